/* What a NATS server sends, taken apart. */
#include "hub/bus_wire.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A copy in a block of its own, so that the sanitizer sees what is read beyond it. */
static char *received;

static struct wire_frame take_bytes(const char *text, size_t size)
{
    struct wire_frame frame;
    free(received);
    received = malloc(size ? size : 1);
    assert_non_null(received);
    memcpy(received, text, size);
    wire_take(received, size, &frame);
    return frame;
}

static struct wire_frame take(const char *text)
{
    return take_bytes(text, strlen(text));
}

static int clean(void **state)
{
    (void)state;
    free(received);
    received = NULL;
    return 0;
}

static void a_message_has_subject_reply_and_data(void **state)
{
    (void)state;
    static const char text[] = "MSG s.a.b 7 $JS.ACK.S.c.1.2.3.4.5 5\r\nhello\r\nMSG";
    struct wire_frame frame = take(text);
    assert_int_equal(frame.kind, WIRE_MSG);
    assert_int_equal(frame.sid, 7);
    assert_string_equal(frame.subject, "s.a.b");
    assert_string_equal(frame.reply, "$JS.ACK.S.c.1.2.3.4.5");
    assert_int_equal(frame.size, 5);
    assert_string_equal(frame.data, "hello");
    assert_null(frame.headers);
    assert_string_equal(frame.status, "");
    assert_int_equal(frame.bytes, strlen(text) - 3);
}

static void a_message_without_reply_or_data(void **state)
{
    (void)state;
    struct wire_frame frame = take("MSG\ts \t 1   0\r\n\r\n");
    assert_int_equal(frame.kind, WIRE_BAD); /* the name ends in a blank */
    frame = take("MSG s \t 1   0\r\n\r\n");
    assert_int_equal(frame.kind, WIRE_MSG);
    assert_string_equal(frame.reply, "");
    assert_int_equal(frame.size, 0);
    assert_string_equal(frame.data, "");
}

static void headers_are_found_by_name(void **state)
{
    (void)state;
    struct wire_frame frame =
        take("HMSG s 1 r 45 49\r\nNATS/1.0\r\nKV-Operation: DEL\r\nA:  b c\r\nAB:\r\n\r\nbody\r\n");
    assert_int_equal(frame.kind, WIRE_MSG);
    assert_string_equal(frame.data, "body");
    assert_string_equal(frame.status, "");
    assert_string_equal(wire_header(frame.headers, frame.headers_bytes, "KV-Operation"), "DEL");
    assert_string_equal(wire_header(frame.headers, frame.headers_bytes, "A"), "b c");
    assert_string_equal(wire_header(frame.headers, frame.headers_bytes, "AB"), "");
    assert_null(wire_header(frame.headers, frame.headers_bytes, "kv-operation"));
    assert_null(wire_header(frame.headers, frame.headers_bytes, "KV"));
}

static void a_heartbeat_has_a_status(void **state)
{
    (void)state;
    struct wire_frame frame =
        take("HMSG s 1 54 54\r\nNATS/1.0 100 Idle Heartbeat\r\nNats-Last-Consumer: 8\r\n\r\n\r\n");
    assert_int_equal(frame.kind, WIRE_MSG);
    assert_string_equal(frame.status, "100");
    assert_int_equal(frame.size, 0);
    assert_string_equal(wire_header(frame.headers, frame.headers_bytes, "Nats-Last-Consumer"), "8");
    frame = take("HMSG s 1 16 16\r\nNATS/1.0 404\r\n\r\n\r\n");
    assert_string_equal(frame.status, "404");
    assert_int_equal(frame.headers_bytes, 2);
}

static void lines_are_what_they_say(void **state)
{
    (void)state;
    assert_int_equal(take("PING\r\n").kind, WIRE_PING);
    assert_int_equal(take("PONG\r\nPING\r\n").bytes, 6);
    assert_int_equal(take("PONG\r\n").kind, WIRE_PONG);
    assert_int_equal(take("+OK\r\n").kind, WIRE_OTHER);
    assert_int_equal(take("INFO {\"ldm\":true}\r\n").kind, WIRE_OTHER);
    struct wire_frame frame = take("-ERR 'Stale Connection'\r\n");
    assert_int_equal(frame.kind, WIRE_ERR);
    assert_string_equal(frame.text, "'Stale Connection'");
}

/* Whatever is cut off is asked for, and nothing of it is written over. */
static void an_incomplete_frame_is_left_alone(void **state)
{
    (void)state;
    static const char *const frames[] = {
        "MSG s 1 5\r\nhello\r\n",
        "MSG s 1 reply 5\r\nhello\r\n",
        "HMSG s 1 23 28\r\nNATS/1.0 100\r\nA: b\r\n\r\n\nhello\r\n",
        "INFO {}\r\n",
        "PING\r\n",
        "-ERR 'x'\r\n",
    };
    for (size_t i = 0; i < sizeof frames / sizeof *frames; i++)
        for (size_t size = 0; size < strlen(frames[i]) - 1; size++) {
            struct wire_frame frame = take_bytes(frames[i], size);
            assert_int_equal(frame.kind, WIRE_MORE);
            assert_memory_equal(received, frames[i], size);
            assert_true(frame.bytes == 0 || frame.bytes == strlen(frames[i]));
        }
}

static void what_is_not_the_protocol_is_bad(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "\r\n",
        "HTTP/1.1 400 Bad Request\r\n",
        "MSG \r\n",
        "MSG s 1\r\n",
        "MSG s 1 a b 5\r\nhello\r\n",
        "MSG s x 5\r\nhello\r\n",
        "MSG s 1 -5\r\nhello\r\n",
        "MSG s 1 5x\r\nhello\r\n",
        "MSG s 1 5\r\nhello, world\r\n",
        "MSG s 1 67108865\r\n",
        "MSG s 1 99999999999999999999\r\n",
        "HMSG s 1 6 5\r\nhello\r\n",
        "HMSG s 1 5 5\r\nhello\r\n",
        "HMSG s 1 12 12\r\nHTTP/1.0\r\n\r\n\r\n",
        "HMSG s 1 16 16\r\nNATS/1.0\r\nabc\n\r\n\r\n",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (take(bad[i]).kind != WIRE_BAD)
            fail_msg("taken: %s", bad[i]);
}

static void a_line_has_an_end(void **state)
{
    (void)state;
    char *text = malloc(WIRE_LINE_MAX_BYTES);
    assert_non_null(text);
    memset(text, 'I', WIRE_LINE_MAX_BYTES);
    assert_int_equal(take_bytes(text, WIRE_LINE_MAX_BYTES - 1).kind, WIRE_MORE);
    assert_int_equal(take_bytes(text, WIRE_LINE_MAX_BYTES).kind, WIRE_BAD);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_has_subject_reply_and_data),
        cmocka_unit_test(a_message_without_reply_or_data),
        cmocka_unit_test(headers_are_found_by_name),
        cmocka_unit_test(a_heartbeat_has_a_status),
        cmocka_unit_test(lines_are_what_they_say),
        cmocka_unit_test(an_incomplete_frame_is_left_alone),
        cmocka_unit_test(what_is_not_the_protocol_is_bad),
        cmocka_unit_test(a_line_has_an_end),
    };
    return cmocka_run_group_tests(tests, NULL, clean);
}
