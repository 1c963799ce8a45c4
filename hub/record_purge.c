#include "hub/record_purge.h"

enum { FIRST_WAIT_MS = 2000 };

/* The first message that is not old; *seq 0 where all are. */
static enum bus_status first_young(struct bus *bus, const struct record_purge *what, uint64_t *seq,
                                   struct bus_error *error)
{
    struct bus_consume from = {.stream = what->stream,
                               .from = BUS_FROM_TIME,
                               .time_ns = what->before_ns,
                               .headers_only = true};
    struct bus_consumer *consumer = NULL;
    struct bus_msg msg;
    enum bus_status status = bus_consume(bus, &from, &consumer, NULL, error);
    if (status != BUS_OK)
        return status;
    status = bus_next(consumer, FIRST_WAIT_MS, &msg);
    if (status == BUS_OK) {
        *seq = msg.stream_seq;
        bus_msg_done(&msg);
    } else if (status == BUS_TIMEOUT && bus_caught_up(consumer)) {
        *seq = 0;
        status = BUS_OK;
    }
    bus_consumer_close(consumer);
    return status;
}

enum bus_status record_purge(struct bus *bus, const struct record_purge *what, uint64_t *purged,
                             struct bus_error *error)
{
    struct bus_stream_info info;
    uint64_t young;
    *purged = 0;
    enum bus_status status = bus_stream_info(bus, what->stream, &info, error);
    if (status != BUS_OK)
        return status;
    if (info.created_ns != what->created_ns)
        return BUS_EPOCH;
    if (info.max_bytes <= 0 || info.first_seq > what->archived_seq ||
        info.bytes <= (uint64_t)info.max_bytes / 100 * RECORD_PURGE_PERCENT)
        return BUS_OK;
    status = first_young(bus, what, &young, error);
    if (status != BUS_OK)
        return status;
    uint64_t keep_from = what->archived_seq + 1;
    if (young != 0 && young < keep_from)
        keep_from = young;
    if (keep_from <= info.first_seq)
        return BUS_OK;
    return bus_stream_purge(bus, what->stream, keep_from, purged, error);
}
