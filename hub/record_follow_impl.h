/*
 * record_follow_impl: a follower of the record, and what the lane and its readers share. Internal
 * to hub/record_follow*.c.
 */
#ifndef HUB_RECORD_FOLLOW_IMPL_H
#define HUB_RECORD_FOLLOW_IMPL_H

#include "hub/archive.h"
#include "hub/record_follow.h"
#include "hub/record_ring.h"
#include "hub/workers.h"

#include <pthread.h>
#include <stdatomic.h>

/* What a client calls the lane for. */
enum {
    CALL_NEW = 1 << 0,
    CALL_ROOM = 1 << 1,     /* its connection has taken what there was */
    CALL_RETURNED = 1 << 2, /* a reader is done with it */
    CALL_LEFT = 1 << 3,     /* its connection has let go, and calls no more */
};

struct follow_client {
    struct http_stream stream; /* first */
    struct record_follow *follow;
    _Atomic int users; /* the connection, the lane */
    struct events_asked asked;

    struct follow_client *next_called; /* with the lane's lock */
    unsigned calls;

    pthread_mutex_t lock; /* of what follows, up to the next blank line */
    struct buf out;
    bool full, broken, gone;

    /* Of whoever serves it: the lane, or a reader between a submission and CALL_RETURNED. */
    struct follow_client *next, **link; /* the lane's list */
    bool read;                          /* a reader has it */
    bool leaving;                       /* CALL_LEFT came meanwhile */
    struct record_judge judge;
    struct buf piece;
    const char *reset;
    bool greeted;
    int64_t cursor; /* the last seq that was looked at */
    int64_t told;   /* the last that the client was given as an id */
    int64_t beat_ms, retry_ms;
    struct worker_job job;
    struct archive_scan *scan; /* NULL: none is under way */
    int64_t target;            /* where it ends */
};

struct record_follow {
    struct archive_reader *reader; /* the lane's */
    struct archive_reader *catch_up;
    struct workers *workers;
    pthread_t thread;
    bool running;
    int wake_fd;
    _Atomic int open;
    _Atomic bool draining, stop;
    pthread_mutex_t lock; /* of `called` */
    struct follow_client *called;

    /* the lane's */
    struct follow_client *clients;
    struct record_ring *ring;
    int64_t last; /* as far as it has looked; -1: it has not */
    int64_t look_ms;
};

/* Asks for the lane's attention. Any thread. */
void follow_call(struct follow_client *client, unsigned why);

/* ---- a client; hub/record_follow_client.c ---- */

void follow_client_unref(struct follow_client *client);
/* How much may be written for it; 0 also where nothing is to be sent any more. */
size_t follow_client_room(struct follow_client *client);
/* Writes into the client's piece: the first thing that it hears; a record. */
void follow_client_greet(struct follow_client *client);
void follow_client_write(struct follow_client *client, const struct record *record);
/* Hands over what was written, or a heartbeat when it is due. Without memory the client is cut off
 * rather than left without. */
void follow_client_deliver(struct follow_client *client);

#endif
