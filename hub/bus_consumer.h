/*
 * bus_consumer: what bus_consumer.c, the consumer on the server, and bus_next.c, its messages,
 * share.
 */
#ifndef HUB_BUS_CONSUMER_H
#define HUB_BUS_CONSUMER_H

#include "hub/bus_line.h"

enum {
    BUS_STREAM_NAME_BYTES = 128,
    BUS_CONSUMER_NAME_BYTES = 64,
    BUS_FILTER_BYTES = 256,
};

struct bus_consumer {
    struct bus *bus;
    char stream[BUS_STREAM_NAME_BYTES];
    char filter[BUS_FILTER_BYTES]; /* "" for all */
    bool headers_only, own_line;
    enum bus_from from; /* BUS_FROM_SEQ as soon as there is a position */
    int64_t time_ns;    /* BUS_FROM_TIME */

    /* the position: it outlives every consumer on the server */
    int64_t epoch_ns;
    uint64_t last_seq;    /* handed out last, or what the caller began behind */
    int64_t last_time_ns; /* the broker's time of it, 0 where not known */
    uint64_t covered_seq; /* all that the stream held up to here has been handed out */
    bool epoch_over;

    /* the consumer on the server, and how it is heard: by a line of its own, or by a subscription
     * of the bus's connection; both NULL: there is none now */
    struct bus_line *line;
    natsConnection *nc;
    natsSubscription *sub;
    char name[BUS_CONSUMER_NAME_BYTES];
    uint64_t connects;     /* of the bus, when it was made */
    uint64_t consumer_seq; /* of its last message */
    bool caught_up;        /* nothing was behind the last message handed out */

    bool busy;  /* something was at hand at the last look */
    bool heard; /* something came since heard_ms */
    bool data_heard;
    int64_t heard_ms, data_ms, watched_ms, looked_ms, attach_after_ms, complained_ms;
};

static inline bool bus_attached(const struct bus_consumer *c)
{
    return c->line || c->sub;
}
/* Makes a consumer on the server that delivers from the position on; `info`, where not NULL, is the
 * stream as it was. BUS_EPOCH where the position is of another stream; `info` is set then, too. */
enum bus_status bus_attach(struct bus_consumer *c, struct bus_stream_info *info,
                           struct bus_error *error);
/* Lets go of it; the position stays. */
void bus_detach(struct bus_consumer *c);
/* The same, and says why. */
void bus_lose(struct bus_consumer *c, const char *why);

#endif
