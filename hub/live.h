/*
 * live: live queries (contract §5): a snapshot of what matches, then what changes, to any number of
 * clients, and again from where a client was, on any hub.
 *
 * One thread serves all clients. A client has no queue: it has a number, up to which it has seen
 * all changes, and a buffer of events on their way, LIVE_OUT_BYTES of them. When it is its turn
 * (there is something, its socket takes more, and as often as its max_hz allows) the vehicles that
 * changed since are judged and written (hub/changes.h). So whatever happens to a vehicle meanwhile
 * becomes one event, a client that is slow costs nobody anything, and nothing is ever skipped: it
 * is only told later.
 *
 * What a turn cannot finish goes on over the fleet by index, each vehicle once, so that no vehicle
 * that keeps changing is put off for ever.
 *
 * Ids: hub/live_id.h. An event's id is a position up to which the client has seen everything, so
 * after a break it is told of each vehicle that was heard of since: the streams' sequences say
 * which.
 *
 * Threads: live_open from any; the hub's lanes never wait for this one, nor take a lock of it.
 * Ownership: a client belongs to its connection and to the lane, whoever lets go last.
 * Limits: clients_max; one more is refused.
 */
#ifndef HUB_LIVE_H
#define HUB_LIVE_H

#include "hub/broker_clock.h"
#include "hub/fields.h"
#include "hub/groups.h"
#include "hub/http.h"
#include "hub/live_id.h"
#include "hub/query.h"
#include "hub/store.h"

enum {
    LIVE_OUT_BYTES = 16 * 1024, /* of a client's events on their way, one event may exceed it */
    LIVE_HEARTBEAT_MS = 15000,
    LIVE_JUDGE_MS = 1000,    /* between two judgings of a filter that depends on time */
    LIVE_CATCH_UP_MS = 5000, /* for this hub to come as far as a client's id */
    LIVE_MAX_HZ = 1000,
};

struct live;

struct live_options {
    struct store *store;
    struct broker_clock *clock;
    struct groups *groups; /* NULL: there are none */
    const char *region;
    struct presence_limits presence;
    size_t clients_max;
};
/* NULL: no memory, or no thread. */
struct live *live_new(const struct live_options *options);
/* Ends all streams, and refuses new ones. Before http_stop. NULL is nothing. */
void live_drain(struct live *live);
/* After http_stop, and when nobody writes to the store any more. */
void live_free(struct live *live);

/* What a client asks for. Query and fields are taken over where live_open succeeds. */
struct live_request {
    struct query *query;               /* its viewer and texts live as long as the stream */
    struct fields *fields;             /* NULL: whole twins */
    int period_ms;                     /* between two events of a vehicle; 0: as they come */
    bool resumes;                      /* it has an id */
    bool id_good;                      /* which can be read */
    struct live_id id;                 /* that is it; its digest is of the query it was given for */
    uint8_t digest[LIVE_DIGEST_BYTES]; /* of this one, but for its groups */
};
enum live_status { LIVE_OK, LIVE_FULL, LIVE_STOPPING, LIVE_NO_MEMORY };
enum live_status live_open(struct live *live, struct live_request *request,
                           struct http_stream **stream);

#endif
