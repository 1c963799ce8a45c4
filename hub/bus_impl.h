/*
 * bus_impl: what the files of bus share. Nothing outside hub/bus*.c includes it.
 *
 * nats.c 3.4.1 looks a subscription up and lets go of its lock before it uses it, so destroying
 * one while a message for it is being read is a crash (its issue 637). Here no subscription is
 * destroyed by hand: bus_bury takes the interest away, and frees it once the reading thread has
 * provably moved on.
 */
#ifndef HUB_BUS_IMPL_H
#define HUB_BUS_IMPL_H

#include "hub/bus.h"

#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>

/* One connection of nats.c. It reconnects by itself; where it gives up (a server that refused the
 * credentials twice) the dialer makes another. Kept until the bus closes: a lane may use it. */
struct bus_link {
    struct bus *bus;
    natsConnection *nc;
    bool closed; /* its last callback has been called; under bus->mutex */
    struct bus_link *next;
};

struct bus_grave {
    natsConnection *nc;
    natsSubscription *sub;
};

struct bus {
    natsOptions *options;
    natsOptions *line_options; /* NULL: no lines; under line_mutex, held while a line connects */
    pthread_mutex_t line_mutex;
    _Atomic(natsConnection *) nc; /* the newest connection, NULL before the first */
    atomic_uint_fast64_t connects;
    pthread_t dialer;

    pthread_mutex_t mutex;
    pthread_cond_t changed; /* closing, or a link's closed */
    bool closing;
    struct bus_link *links;
    struct bus_grave *graves;
    size_t grave_count, grave_room;
    int64_t error_logged_ms;
    uint64_t errors_unlogged;
};

/* ---- bus.c ---- */
int64_t bus_now_ms(void); /* monotonic */
void bus_sleep_ms(int64_t ms);
void bus_cond_init(pthread_cond_t *cond); /* timed by the monotonic clock */
/* Waits on `cond` until `until_ms` of bus_now_ms at the latest. */
void bus_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ms);
void bus_error_set(struct bus_error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
enum bus_status bus_status_of(natsStatus status);
/* The newest connection where it is up, else NULL. */
natsConnection *bus_link_up(const struct bus *bus);
void bus_bury(struct bus *bus, natsConnection *nc, natsSubscription *sub);
/* The next message of a synchronous subscription, as natsSubscription_NextMsg. While messages
 * keep coming it looks once a millisecond rather than being woken for each: *busy is its memory,
 * false at first. May return NATS_TIMEOUT before wait_ms is over. */
natsStatus bus_poll(natsSubscription *sub, bool *busy, int64_t wait_ms, natsMsg **msg);

/* ---- bus_store.c ---- */
enum bus_status bus_store_msg(const struct bus_store *what, const char *reply, natsMsg **msg,
                              struct bus_error *error);
/* Judges the answer to a publish. */
enum bus_status bus_store_answer(natsMsg *answer, uint64_t *seq, struct bus_error *error);

#endif
