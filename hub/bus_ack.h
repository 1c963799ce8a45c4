/*
 * bus_ack: what a reply subject of JetStream says about the message it came with.
 *
 *     $JS.ACK.<stream>.<consumer>.<delivered>.<stream seq>.<consumer seq>.<time>.<pending>
 *     $JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<...>.<pending>[.<token>]
 *
 * (NATS ADR-15.) Read in place: nats.c's own reading allocates for every message.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_BUS_ACK_H
#define HUB_BUS_ACK_H

#include <stdbool.h>
#include <stdint.h>

struct bus_ack {
    uint64_t stream_seq;
    uint64_t consumer_seq; /* counts what this consumer delivered, from 1 */
    int64_t received_ns;   /* the broker's time */
    uint64_t pending;      /* messages behind this one in the consumer */
};

/* False, and nothing written, where `reply` is none of these; NULL is none. */
bool bus_ack_parse(const char *reply, struct bus_ack *ack);

#endif
