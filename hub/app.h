/*
 * app: what a request's handler can reach: `request->app` is a struct app.
 *
 * Ownership: hub.c owns all of it and outlives the HTTP server.
 * Threads: read by any; the atomics are written by hub.c, `readiness` by whoever asks.
 */
#ifndef HUB_APP_H
#define HUB_APP_H

#include "hub/broker_clock.h"
#include "hub/bus.h"
#include "hub/config.h"
#include "hub/http.h"
#include "hub/store.h"

#include <stdatomic.h>

struct record_lane;
struct archive_reader;
struct audit_runner;
struct state_lane;
struct shadow_writer;
struct registry;
struct groups;
struct live;
struct access;
struct recorder;
struct exports;
struct record_follow;
struct command_lane;
struct command_watch;

struct app {
    const struct config *config;
    struct bus *bus;
    struct store *store;
    struct broker_clock clock;
    struct record_lane *record;
    struct archive_reader *archive;
    struct audit_runner *audit;
    struct shadow_writer *shadow; /* set before `recovered` */
    struct groups *groups;        /* empty until they are read */
    struct live *live;
    struct access *access; /* tokens and grants */
    struct recorder *recorder;
    struct exports *exports;
    struct record_follow *follow;
    struct command_watch *command_watch;     /* streams of commands */
    _Atomic(struct command_lane *) commands; /* NULL until the twins are read */
    _Atomic(struct registry *) registry;     /* NULL until TWIN_LAST is read */
    _Atomic(struct state_lane *) state;      /* NULL until the twins are being folded */
    _Atomic bool draining;                   /* clients are to go elsewhere */
    _Atomic bool recovered;                  /* the twins are what the streams say, at least once */
    _Atomic int64_t heard_ms;        /* monotonic: when the hub was up to date last; 0: never */
    _Atomic(const char *) starting;  /* what the start waits for, a literal; NULL when done */
    _Atomic(const char *) readiness; /* what /readyz said last, a literal; NULL before */
};

#endif
