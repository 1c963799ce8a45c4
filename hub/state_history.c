#include "hub/state_history.h"

#include "hub/clock.h"
#include "hub/streams.h"
#include "twin/timestamp.h"

#include <string.h>

enum { NEXT_MS = 250 };

/* ---- by a consumer ---- */

static enum bus_status read_consumer(const struct state_history *what,
                                     struct bus_consumer *consumer)
{
    int64_t until_ms = clock_mono_ms() + STATE_HISTORY_MS;
    for (;;) {
        struct bus_msg msg;
        if (bus_caught_up(consumer))
            return BUS_OK;
        enum bus_status status = bus_next(consumer, NEXT_MS, &msg);
        if (status == BUS_OK) {
            bool more = msg.pending > 0;
            more = what->take(what->closure, &msg) && more;
            bus_msg_done(&msg);
            if (!more)
                return BUS_OK;
        } else if (status != BUS_TIMEOUT && status != BUS_DISCONNECTED) {
            return status;
        }
        if (clock_mono_ms() >= until_ms)
            return BUS_DISCONNECTED;
    }
}

static enum bus_status read_counted(struct bus *bus, const struct state_history *what, uint64_t seq,
                                    struct bus_error *error)
{
    struct bus_consumer *consumer = NULL;
    struct bus_consume from = {.stream = streams_name(TWIN_STATE),
                               .filter = what->filter,
                               .from = BUS_FROM_SEQ,
                               .seq = seq};
    if (seq == 0 && what->start_ns != TIMESTAMP_NONE) {
        from.from = BUS_FROM_TIME;
        from.time_ns = what->start_ns;
    }
    enum bus_status status = bus_consume(bus, &from, &consumer, NULL, error);
    if (status == BUS_EPOCH) /* it ends before that place: nothing more is there */
        return BUS_OK;
    if (status == BUS_OK)
        status = read_consumer(what, consumer);
    bus_consumer_close(consumer);
    return status;
}

/* ---- one by one ---- */

static enum bus_status read_singly(struct bus *bus, const struct state_history *what, uint64_t seq,
                                   uint64_t *next_seq, struct bus_error *error)
{
    int64_t until_ms = clock_mono_ms() + STATE_HISTORY_SINGLY_MS;
    while (seq <= what->last_seq) {
        struct bus_stored stored;
        enum bus_status status =
            bus_get_next(bus, streams_name(TWIN_STATE), what->filter, seq, &stored, error);
        if (status != BUS_OK)
            return status == BUS_NOT_FOUND ? BUS_OK : status;
        struct bus_msg msg = {.subject = stored.subject,
                              .data = stored.data,
                              .size = stored.size,
                              .stream_seq = stored.seq,
                              .received_ns = stored.received_ns};
        bool more = what->take(what->closure, &msg);
        seq = stored.seq + 1;
        bus_stored_done(&stored);
        if (!more)
            return BUS_OK;
        if (clock_mono_ms() >= until_ms) {
            *next_seq = seq;
            return BUS_OK;
        }
    }
    return BUS_OK;
}

/* ---- the place ---- */

/* The first message that was received at start_ns or later, by halves; behind the last: there is
 * none. Times go up with sequences. */
static enum bus_status find_start(struct bus *bus, const struct bus_stream_info *info,
                                  int64_t start_ns, uint64_t *seq, struct bus_error *error)
{
    uint64_t low = info->first_seq, high = info->last_seq + 1;
    while (low < high) {
        struct bus_stored stored;
        uint64_t middle = low + (high - low) / 2;
        enum bus_status status =
            bus_get_next(bus, streams_name(TWIN_STATE), ">", middle, &stored, error);
        if (status == BUS_NOT_FOUND) {
            high = middle;
            continue;
        }
        if (status != BUS_OK)
            return status;
        if (stored.received_ns >= start_ns)
            high = middle;
        else
            low = stored.seq + 1;
        bus_stored_done(&stored);
    }
    *seq = low;
    return BUS_OK;
}

enum bus_status state_history_read(struct bus *bus, const struct state_history *what,
                                   uint64_t *next_seq, struct bus_error *error)
{
    struct bus_stream_info info;
    uint64_t seq = what->from_seq;
    *next_seq = 0;
    enum bus_status status = bus_stream_info(bus, streams_name(TWIN_STATE), &info, error);
    if (status != BUS_OK)
        return status;
    if (info.messages > what->counted_max && seq == 0 && what->start_ns != TIMESTAMP_NONE) {
        status = find_start(bus, &info, what->start_ns, &seq, error);
        if (status != BUS_OK)
            return status;
    } else if (info.messages > what->counted_max && seq < info.first_seq) {
        seq = info.first_seq;
    }
    if (info.messages <= what->counted_max || info.last_seq + 1 - seq <= what->counted_max)
        return read_counted(bus, what, seq, error);
    return read_singly(bus, what, seq, next_seq, error);
}
