/* Bodies that wait for something to send, and requests that wait to be answered: over real sockets,
 * woken by other threads. Meant for TSan above all. */
#include "http_fixture.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { CLIENTS = 40, LINES = 400, LINE_BYTES = 8 };

/* ---- a stream that sends a line for each time it was told to ---- */

struct ticker {
    struct http_stream stream;
    struct ticker *next;
    _Atomic int told, sent; /* lines */
    _Atomic bool over, gone;
    pthread_mutex_t lock; /* nobody wakes it while it goes */
};

static struct ticker *tickers;
static pthread_mutex_t tickers_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int alive;

static enum http_more ticker_next(struct http_stream *stream, struct buf *out)
{
    struct ticker *ticker = (struct ticker *)stream;
    int told = atomic_load(&ticker->told);
    bool over = atomic_load(&ticker->over);
    for (; atomic_load(&ticker->sent) < told; atomic_fetch_add(&ticker->sent, 1))
        buf_addf(out, "%07d\n", atomic_load(&ticker->sent));
    if (over && atomic_load(&ticker->sent) == atomic_load(&ticker->told))
        return HTTP_END;
    return HTTP_WAIT;
}

static void ticker_free(struct http_stream *stream)
{
    struct ticker *ticker = (struct ticker *)stream;
    pthread_mutex_lock(&ticker->lock);
    atomic_store(&ticker->gone, true);
    pthread_mutex_unlock(&ticker->lock);
    atomic_fetch_sub(&alive, 1);
}

static void tick(const struct http_request *request, struct http_reply *reply)
{
    struct ticker *ticker = calloc(1, sizeof *ticker);
    (void)request;
    assert_non_null(ticker);
    ticker->stream = (struct http_stream){.next = ticker_next, .free = ticker_free, .waits = true};
    pthread_mutex_init(&ticker->lock, NULL);
    atomic_fetch_add(&alive, 1);
    pthread_mutex_lock(&tickers_lock);
    ticker->next = tickers;
    tickers = ticker;
    pthread_mutex_unlock(&tickers_lock);
    reply->content_type = "text/event-stream";
    reply->stream = &ticker->stream;
}

static struct ticker *all_tickers(void)
{
    pthread_mutex_lock(&tickers_lock);
    struct ticker *first = tickers;
    pthread_mutex_unlock(&tickers_lock);
    return first;
}

static void wake(struct ticker *ticker)
{
    pthread_mutex_lock(&ticker->lock);
    if (!atomic_load(&ticker->gone))
        http_stream_wake(&ticker->stream);
    pthread_mutex_unlock(&ticker->lock);
}

static void tell(struct ticker *ticker)
{
    atomic_fetch_add(&ticker->told, 1);
    wake(ticker);
}

static void end_all(void)
{
    for (struct ticker *ticker = all_tickers(); ticker; ticker = ticker->next) {
        atomic_store(&ticker->over, true);
        wake(ticker);
    }
}

static void await(_Atomic int *value, int wanted)
{
    for (int ms = 0; atomic_load(value) != wanted && ms < CLIENT_TIMEOUT_S * 1000; ms += 2)
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    assert_int_equal(atomic_load(value), wanted);
}

/* ---- a gate that opens when it is told to ---- */

struct ticket {
    struct ticket *next;
    void (*over)(void *waiter);
    void *waiter;
    _Atomic bool refuse;
};

static struct ticket *waiting;
static pthread_mutex_t waiting_lock = PTHREAD_MUTEX_INITIALIZER;
static _Atomic int tickets, held;

static enum http_gate_answer gate_judge(void *closure, const struct http_request *request,
                                        struct http_reply *reply, unsigned flags, void **ticket)
{
    const char *how = http_query(request, "gate");
    struct ticket *mine = *ticket;
    (void)closure;
    assert_true(flags & ROUTE_POSITION);
    if (mine && !atomic_load(&mine->refuse))
        return GATE_GO;
    if (mine || (how && strcmp(how, "refuse") == 0)) {
        http_problem(request, reply, PROBLEM_NOT_REACHED, "Not now.");
        return GATE_REFUSED;
    }
    if (!how)
        return GATE_GO;
    mine = calloc(1, sizeof *mine);
    assert_non_null(mine);
    atomic_store(&mine->refuse, strcmp(how, "wait-refuse") == 0);
    atomic_fetch_add(&tickets, 1);
    *ticket = mine;
    return GATE_WAIT;
}

static void gate_wait(void *closure, void *ticket, void (*over)(void *waiter), void *waiter)
{
    struct ticket *mine = ticket;
    (void)closure;
    mine->over = over;
    mine->waiter = waiter;
    pthread_mutex_lock(&waiting_lock);
    mine->next = waiting;
    waiting = mine;
    pthread_mutex_unlock(&waiting_lock);
    atomic_fetch_add(&held, 1);
}

static void gate_drop(void *ticket)
{
    atomic_fetch_sub(&tickets, 1);
    free(ticket);
}

static void open_gate(void)
{
    pthread_mutex_lock(&waiting_lock);
    struct ticket *all = waiting, *next;
    waiting = NULL;
    pthread_mutex_unlock(&waiting_lock);
    for (; all; all = next) {
        next = all->next;
        atomic_fetch_sub(&held, 1);
        all->over(all->waiter);
    }
}

static const struct http_gate gate = {"gate", NULL, gate_judge, gate_wait, gate_drop};

/* ---- the server ---- */

static const struct http_route table[] = {
    {"GET", "/tick", tick, 0, ""},
    {"GET", "/gated", fixture_echo, ROUTE_POSITION, "filter"},
    {"GET", "/gated-scan", fixture_echo, ROUTE_POSITION | ROUTE_SCAN, ""},
    {"GET", "/open", fixture_echo, 0, ""},
};

static int start(void **state)
{
    (void)state;
    struct http_options options = {
        .listen = "127.0.0.1:0",
        .settings = {.connections_max = 256,
                     .per_address_max = 256,
                     .header_bytes_max = HEADER_MAX_BYTES,
                     .body_bytes_max = BODY_MAX_BYTES},
        .event_threads = 2,
        .workers = 1,
        .scan_workers = 1,
        .queue_max = CLIENTS,
        .routes = table,
        .route_count = sizeof table / sizeof table[0],
        .gate = &gate,
    };
    char error[256];
    fixture_server = http_start(&options, error);
    fixture_port = fixture_server ? http_port(fixture_server) : 0;
    return fixture_server ? 0 : -1;
}

static int stop(void **state)
{
    int result = fixture_stop(state);
    assert_int_equal(atomic_load(&alive), 0);
    assert_int_equal(atomic_load(&tickets), 0);
    while (tickers) {
        struct ticker *next = tickers->next;
        pthread_mutex_destroy(&tickers->lock);
        free(tickers);
        tickers = next;
    }
    return result;
}

/* Connected, and the head of the answer read. */
static int open_tick(void)
{
    int fd = client_connect(fixture_port);
    char head[4096];
    size_t size = 0;
    client_sends(fd, "GET /tick HTTP/1.1\r\nHost: test\r\nAccept-Encoding: gzip\r\n\r\n");
    do {
        assert_int_equal(recv(fd, head + size, 1, 0), 1);
        head[++size] = '\0';
    } while (size < 4 || memcmp(head + size - 4, "\r\n\r\n", 4) != 0);
    assert_non_null(strstr(head, "HTTP/1.1 200"));
    assert_null(strstr(head, "Content-Encoding"));
    return fd;
}

/* Everything up to the last chunk; how many lines, each of which is the next number. */
static int read_lines(int fd)
{
    FILE *from = fdopen(fd, "r");
    char line[64];
    int lines = 0;
    for (;;) {
        assert_non_null(fgets(line, sizeof line, from));
        size_t size = strtoul(line, NULL, 16);
        assert_int_equal(size % LINE_BYTES, 0);
        for (size_t i = 0; i < size / LINE_BYTES; i++, lines++) {
            assert_non_null(fgets(line, sizeof line, from));
            assert_int_equal(atoi(line), lines);
        }
        assert_non_null(fgets(line, sizeof line, from)); /* the chunk's end */
        if (size == 0)
            break;
    }
    fclose(from);
    return lines;
}

/* ---- streams ---- */

static void a_stream_that_waits_sends_what_it_is_woken_for(void **state)
{
    (void)state;
    int fd = open_tick();
    struct ticker *ticker = all_tickers();
    for (int i = 1; i <= 20; i++) {
        tell(ticker);
        await(&ticker->sent, i); /* each by itself: it has waited in between */
    }
    end_all();
    assert_int_equal(read_lines(fd), 20);
    await(&alive, 0);
}

struct teller {
    pthread_t thread;
    int turn;
};

/* Two of them, on all streams at once: wakings meet sendings in every order. */
static void *tell_all(void *closure)
{
    struct teller *teller = closure;
    for (int i = 0; i < LINES; i++)
        for (struct ticker *ticker = all_tickers(); ticker; ticker = ticker->next)
            if (i % 2 == teller->turn)
                tell(ticker);
    return NULL;
}

static void no_waking_is_lost_however_it_falls(void **state)
{
    (void)state;
    int fds[CLIENTS];
    struct teller tellers[2] = {{.turn = 0}, {.turn = 1}};
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = open_tick();
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&tellers[i].thread, NULL, tell_all, &tellers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(tellers[i].thread, NULL);
    for (struct ticker *ticker = all_tickers(); ticker; ticker = ticker->next)
        await(&ticker->sent, LINES);
    end_all();
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(read_lines(fds[i]), LINES);
}

static void a_stream_whose_client_has_gone_is_freed_when_it_sends(void **state)
{
    (void)state;
    close(open_tick());
    for (int ms = 0; atomic_load(&alive) > 0 && ms < CLIENT_TIMEOUT_S * 1000; ms += 2) {
        tell(all_tickers());
        nanosleep(&(struct timespec){0, 2000000}, NULL);
    }
    assert_int_equal(atomic_load(&alive), 0);
    tell(all_tickers()); /* nobody is there, and nothing happens */
}

static void streams_that_wait_hold_up_nobody(void **state)
{
    (void)state;
    int fds[CLIENTS];
    for (int i = 0; i < CLIENTS; i++)
        fds[i] = open_tick();
    for (int i = 0; i < 20; i++) {
        struct client_reply reply;
        client_get(fixture_port, "/open", &reply);
        assert_int_equal(reply.status, 200);
        client_reply_done(&reply);
    }
    end_all();
    for (int i = 0; i < CLIENTS; i++)
        assert_int_equal(read_lines(fds[i]), 0);
}

/* ---- the gate ---- */

static void expect(const char *target, int status)
{
    struct client_reply reply;
    client_get(fixture_port, target, &reply);
    assert_int_equal(reply.status, status);
    client_reply_done(&reply);
}

static void a_gate_lets_pass_or_refuses_at_once(void **state)
{
    (void)state;
    expect("/gated", 200);
    expect("/gated?filter=x", 200);
    expect("/gated?gate=refuse", 504);
    expect("/gated?fate=refuse", 400); /* its parameters are known on such routes alone */
    expect("/open?gate=refuse", 400);
}

struct asker {
    pthread_t thread;
    const char *target;
    int status;
};

static void *ask(void *closure)
{
    struct asker *asker = closure;
    struct client_reply reply;
    client_get(fixture_port, asker->target, &reply);
    asker->status = reply.status;
    client_reply_done(&reply);
    return NULL;
}

static void requests_at_a_gate_wait_and_are_answered(void **state)
{
    (void)state;
    static const char *const targets[] = {"/gated?gate=wait", "/gated-scan?gate=wait",
                                          "/gated?gate=wait-refuse"};
    static const int wanted[] = {200, 200, 504};
    struct asker askers[CLIENTS];
    for (int i = 0; i < CLIENTS; i++) {
        askers[i] = (struct asker){.target = targets[i % 3]};
        assert_int_equal(pthread_create(&askers[i].thread, NULL, ask, &askers[i]), 0);
    }
    await(&held, CLIENTS);
    expect("/open", 200); /* nobody else waits */
    open_gate();
    for (int i = 0; i < CLIENTS; i++) {
        pthread_join(askers[i].thread, NULL);
        assert_int_equal(askers[i].status, wanted[i % 3]);
    }
    await(&tickets, 0);
}

static void a_client_that_left_the_gate_costs_nothing(void **state)
{
    (void)state;
    int fd = client_connect(fixture_port);
    client_sends(fd, "GET /gated?gate=wait HTTP/1.1\r\nHost: test\r\n\r\n");
    await(&held, 1);
    close(fd);
    open_gate();
    await(&tickets, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)
    const struct CMUnitTest tests[] = {
        TEST(a_stream_that_waits_sends_what_it_is_woken_for),
        TEST(no_waking_is_lost_however_it_falls),
        TEST(a_stream_whose_client_has_gone_is_freed_when_it_sends),
        TEST(streams_that_wait_hold_up_nobody),
        TEST(a_gate_lets_pass_or_refuses_at_once),
        TEST(requests_at_a_gate_wait_and_are_answered),
        TEST(a_client_that_left_the_gate_costs_nothing),
    };
    log_setup(LOG_ERROR, false);
    return cmocka_run_group_tests_name("http_waiting", tests, NULL, NULL);
}
