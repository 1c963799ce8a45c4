/* Bodies that are made while they are sent, over real sockets. */
#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

enum { PIECES = 2000, PIECE_BYTES = 1000, LINE_BYTES = 10, BODY_BYTES = PIECES * PIECE_BYTES };

static _Atomic int streams_alive;

struct numbers {
    struct http_stream stream;
    int next, fail_at;
    bool endless;
};

/* Lines of nine digits that count up, so that a reader notices every byte that is out of place. */
static enum http_more numbers_next(struct http_stream *stream, struct buf *out)
{
    struct numbers *numbers = (struct numbers *)stream;
    if (numbers->next == numbers->fail_at)
        return HTTP_FAILED;
    for (int i = 0; i < PIECE_BYTES / LINE_BYTES; i++)
        buf_addf(out, "%09d\n", numbers->next * (PIECE_BYTES / LINE_BYTES) + i);
    if (++numbers->next == PIECES && numbers->endless)
        numbers->next = 0;
    return numbers->next == PIECES ? HTTP_END : HTTP_MORE;
}

static void numbers_free(struct http_stream *stream)
{
    free(stream);
    atomic_fetch_sub(&streams_alive, 1);
}

static void count(const struct http_request *request, struct http_reply *reply)
{
    struct numbers *numbers = calloc(1, sizeof *numbers);
    assert_non_null(numbers);
    numbers->stream = (struct http_stream){.next = numbers_next, .free = numbers_free};
    numbers->fail_at = http_query(request, "fail") ? PIECES / 2 : -1;
    numbers->endless = strcmp(request->path, "/endless") == 0;
    reply->content_type = http_query(request, "plain") ? "image/png" : "text/csv";
    reply->stream = &numbers->stream;
    atomic_fetch_add(&streams_alive, 1);
    if (http_query(request, "head"))
        buf_adds(&reply->body, "first\n");
    if (http_query(request, "refuse"))
        http_problem(request, reply, PROBLEM_BAD_REQUEST, "No.");
}

static const struct http_route table[] = {
    {"GET", "/count", count, 0, "fail plain head refuse"},
    {"GET", "/endless", count, 0, ""},
    {"GET", "/scan", count, ROUTE_SCAN, "fail plain head refuse"},
};

static int start(void **state)
{
    (void)state;
    return fixture_start(table, sizeof table / sizeof table[0]);
}

/* Sends a GET and reads the head alone. */
static int ask(const char *target, const char *fields, struct client_reply *reply)
{
    int fd = client_connect(fixture_port);
    char text[512];
    size_t size = 0;
    snprintf(text, sizeof text, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", target, fields);
    client_sends(fd, text);
    do {
        assert_true(size < sizeof reply->head - 1);
        assert_int_equal(recv(fd, reply->head + size, 1, 0), 1);
        reply->head[++size] = '\0';
    } while (size < 4 || memcmp(reply->head + size - 4, "\r\n\r\n", 4) != 0);
    assert_int_equal(sscanf(reply->head, "HTTP/1.1 %d ", &reply->status), 1);
    return fd;
}

static bool read_exactly(FILE *from, char *to, size_t size)
{
    return fread(to, 1, size, from) == size;
}

/* The body, its chunks joined; false where it ends without its last chunk. */
static bool read_chunks(FILE *from, char *body, size_t room, size_t *size)
{
    char line[64], end[2];
    *size = 0;
    while (fgets(line, sizeof line, from)) {
        size_t chunk = strtoul(line, NULL, 16);
        if (chunk == 0)
            return read_exactly(from, end, 2);
        assert_true(*size + chunk <= room);
        if (!read_exactly(from, body + *size, chunk) || !read_exactly(from, end, 2))
            return false;
        *size += chunk;
    }
    return false;
}

static void expect_numbers(const char *body, size_t size)
{
    char line[LINE_BYTES + 1];
    assert_int_equal(size, BODY_BYTES);
    for (int i = 0; i < BODY_BYTES / LINE_BYTES; i++) {
        snprintf(line, sizeof line, "%09d\n", i);
        assert_memory_equal(body + (size_t)i * LINE_BYTES, line, LINE_BYTES);
    }
}

static void await_none_alive(void)
{
    for (int ms = 0; atomic_load(&streams_alive) > 0 && ms < CLIENT_TIMEOUT_S * 1000; ms += 5)
        nanosleep(&(struct timespec){0, 5000000}, NULL);
    assert_int_equal(atomic_load(&streams_alive), 0);
}

static void expect_whole(const char *target, const char *before)
{
    static char body[BODY_BYTES + 100];
    struct client_reply reply;
    size_t size, ahead = strlen(before);
    int fd = ask(target, "", &reply);
    FILE *from = fdopen(fd, "r");
    assert_int_equal(reply.status, 200);
    assert_null(client_header(&reply, "Content-Length"));
    assert_true(read_chunks(from, body, sizeof body, &size));
    assert_memory_equal(body, before, ahead);
    expect_numbers(body + ahead, size - ahead);
    fclose(from);
    await_none_alive();
}

static void http_streamed_body_arrives_whole(void **state)
{
    (void)state;
    expect_whole("/count", "");
    expect_whole("/scan", "");
}

static void http_streamed_body_follows_what_was_written_before(void **state)
{
    (void)state;
    expect_whole("/count?head", "first\n");
}

static void http_connection_serves_again_after_a_stream(void **state)
{
    (void)state;
    static char body[BODY_BYTES + 100];
    struct client_reply reply;
    size_t size;
    int fd = ask("/count", "", &reply), second = dup(fd);
    FILE *from = fdopen(fd, "r");
    assert_true(read_chunks(from, body, sizeof body, &size));
    client_sends(second, "GET /nowhere HTTP/1.1\r\nHost: test\r\n\r\n");
    client_read(second, &reply, false);
    assert_int_equal(reply.status, 404);
    client_reply_done(&reply);
    fclose(from);
    close(second);
}

static void unpack(const char *packed, size_t packed_size, char *out, size_t room, size_t *size)
{
    z_stream unpacker = {.next_in = (Bytef *)(uintptr_t)packed,
                         .avail_in = (uInt)packed_size,
                         .next_out = (Bytef *)out,
                         .avail_out = (uInt)room};
    assert_int_equal(inflateInit2(&unpacker, 15 + 16), Z_OK);
    assert_int_equal(inflate(&unpacker, Z_FINISH), Z_STREAM_END);
    *size = room - unpacker.avail_out;
    inflateEnd(&unpacker);
}

static void http_streamed_body_is_packed_where_accepted(void **state)
{
    (void)state;
    static char packed[BODY_BYTES], body[BODY_BYTES + 100];
    struct client_reply reply;
    size_t packed_size, size;
    int fd = ask("/count?head", "Accept-Encoding: gzip\r\n", &reply);
    FILE *from = fdopen(fd, "r");
    assert_string_equal(header_of(&reply, "Content-Encoding"), "gzip");
    assert_true(read_chunks(from, packed, sizeof packed, &packed_size));
    assert_true(packed_size < BODY_BYTES / 2);
    unpack(packed, packed_size, body, sizeof body, &size);
    assert_memory_equal(body, "first\n", 6);
    expect_numbers(body + 6, size - 6);
    fclose(from);

    fd = ask("/count?plain", "Accept-Encoding: gzip\r\n", &reply);
    assert_null(client_header(&reply, "Content-Encoding"));
    close(fd);
    await_none_alive();
}

static void http_stream_that_fails_is_seen_to_be_cut(void **state)
{
    (void)state;
    static char body[BODY_BYTES];
    struct client_reply reply;
    size_t size;
    int fd = ask("/count?fail", "", &reply);
    FILE *from = fdopen(fd, "r");
    assert_int_equal(reply.status, 200);
    assert_false(read_chunks(from, body, sizeof body, &size));
    assert_true(size <= BODY_BYTES / 2);
    fclose(from);
    await_none_alive();
}

static void http_stream_without_an_end_keeps_nobody_else_waiting(void **state)
{
    (void)state;
    struct client_reply reply;
    int fd = ask("/endless", "", &reply);
    /* Another client is answered meanwhile, and nobody reads from this one. */
    struct client_reply other;
    client_get(fixture_port, "/nowhere", &other);
    assert_int_equal(other.status, 404);
    client_reply_done(&other);
    assert_int_equal(atomic_load(&streams_alive), 1);
    close(fd);
    await_none_alive();
}

static void http_problem_in_place_of_a_stream_frees_it(void **state)
{
    (void)state;
    struct client_reply reply;
    char detail[1024];
    client_get(fixture_port, "/count?refuse", &reply);
    assert_int_equal(atomic_load(&streams_alive), 0);
    expect_problem(&reply, 400, "bad-request", detail);
}

static void http_head_of_a_stream_has_no_body(void **state)
{
    (void)state;
    struct client_reply reply;
    client_do(fixture_port, "HEAD", "/count", "", NULL, &reply);
    assert_int_equal(reply.status, 200);
    client_reply_done(&reply);
    await_none_alive();
}

static void http_stop_ends_streams_that_nobody_reads(void **state)
{
    struct client_reply reply;
    int fd = ask("/endless", "", &reply);
    assert_true(http_stop(fixture_server, 50));
    assert_int_equal(atomic_load(&streams_alive), 0);
    close(fd);
    assert_int_equal(start(state), 0);
}

int main(void)
{
    log_setup(LOG_ERROR, false);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(http_streamed_body_arrives_whole),
        cmocka_unit_test(http_streamed_body_follows_what_was_written_before),
        cmocka_unit_test(http_connection_serves_again_after_a_stream),
        cmocka_unit_test(http_streamed_body_is_packed_where_accepted),
        cmocka_unit_test(http_stream_that_fails_is_seen_to_be_cut),
        cmocka_unit_test(http_stream_without_an_end_keeps_nobody_else_waiting),
        cmocka_unit_test(http_problem_in_place_of_a_stream_frees_it),
        cmocka_unit_test(http_head_of_a_stream_has_no_body),
        cmocka_unit_test(http_stop_ends_streams_that_nobody_reads),
    };
    return cmocka_run_group_tests_name("http_stream", tests, start, fixture_stop);
}
