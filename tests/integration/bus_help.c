#include "tests/integration/bus_help.h"

#include "hub/bus_api.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { FILL_OUTBOX = 2000 };

int64_t help_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void help_nap(void)
{
    struct timespec nap = {.tv_nsec = 10000000};
    nanosleep(&nap, NULL);
}

void help_wait_connected(struct bus *bus, bool connected)
{
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    while (bus_connected(bus) != connected) {
        assert_true(help_now_ms() < until_ms);
        help_nap();
    }
}

void help_wait_connects(const struct bus *bus, uint64_t connects)
{
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    while (bus_connects(bus) < connects) {
        assert_true(help_now_ms() < until_ms);
        help_nap();
    }
}

struct bus *help_open(const struct bus_server *server, bool wait)
{
    struct bus *bus = NULL;
    struct bus_error error = {""};
    struct bus_options options = {.url = server->url, .name = "test"};
    assert_int_equal(bus_open(&options, &bus, &error), BUS_OK);
    if (wait)
        help_wait_connected(bus, true);
    return bus;
}

void help_stream(struct bus *bus, const char *name, const char *subject)
{
    struct bus_error error = {""};
    struct bus_stream_spec spec = {.name = name, .subject = subject, .replicas = 1};
    if (bus_stream_create(bus, &spec, &error) != BUS_OK)
        fail_msg("%s: %s", name, error.text);
}

static void count_good(void *closure, uint64_t tag, enum bus_status status, uint64_t seq)
{
    (void)tag;
    (void)seq;
    if (status == BUS_OK)
        atomic_fetch_add((atomic_int *)closure, 1);
}

void help_fill(struct bus *bus, const char *subject, int fan, int from, int count)
{
    atomic_int good = 0;
    struct bus_outbox *outbox = bus_outbox_new(bus, FILL_OUTBOX, count_good, &good);
    assert_non_null(outbox);
    const char *place = strstr(subject, "%d");
    for (int i = from; i < from + count; i++) {
        char to[128];
        char text[32];
        int size = snprintf(text, sizeof(text), "%d", i);
        if (place)
            snprintf(to, sizeof(to), "%.*s%d%s", (int)(place - subject), subject, i % fan,
                     place + 2);
        else
            snprintf(to, sizeof(to), "%s", subject);
        struct bus_store what = {.subject = to,
                                 .data = text,
                                 .size = (size_t)size,
                                 .expected_last_of_subject = BUS_ANY_SEQ};
        enum bus_status status;
        while ((status = bus_outbox_store(outbox, &what, (uint64_t)i)) == BUS_FULL)
            bus_outbox_flush(outbox, 20);
        assert_int_equal(status, BUS_OK);
    }
    assert_true(bus_outbox_flush(outbox, HELP_WAIT_MS));
    bus_outbox_free(outbox);
    assert_int_equal(atomic_load(&good), count);
}

struct bus_stream_info help_info(struct bus *bus, const char *stream)
{
    struct bus_stream_info info;
    struct bus_error error = {""};
    if (bus_stream_info(bus, stream, &info, &error) != BUS_OK)
        fail_msg("%s: %s", stream, error.text);
    return info;
}

void help_api(struct bus *bus, const char *call, const char *request)
{
    struct bus_error error = {""};
    json_t *json = request ? json_loads(request, 0, NULL) : NULL;
    assert_true(!request || json);
    if (bus_api(bus, call, json, NULL, &error) != BUS_OK)
        fail_msg("%s: %s", call, error.text);
}

struct bus_msg help_next(struct bus_consumer *consumer)
{
    struct bus_msg msg = {0};
    int64_t until_ms = help_now_ms() + HELP_WAIT_MS;
    enum bus_status status = BUS_TIMEOUT;
    while (status == BUS_TIMEOUT || status == BUS_DISCONNECTED) {
        assert_true(help_now_ms() < until_ms);
        status = bus_next(consumer, 100, &msg);
    }
    assert_int_equal(status, BUS_OK);
    return msg;
}

int help_number(const struct bus_msg *msg)
{
    char text[32] = "";
    assert_in_range(msg->size, 1, sizeof(text) - 1);
    memcpy(text, msg->data, msg->size);
    return atoi(text);
}
