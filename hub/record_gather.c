#include "hub/record_gather.h"

#include "hub/clock.h"
#include "hub/failpoint.h"

enum {
    TURN_MESSAGES = 100, /* of one stream, before the others have their turn */
    AHEAD_MESSAGES = 16, /* the same, where somebody waits for it to be done */
    IDLE_WAIT_MS = 20,
};

/* Takes up to `most` messages of a stream, waiting wait_ms for the first. */
static enum record_gathered take(struct record_stream *stream, struct record_maker *maker,
                                 struct record_batch *batch, int most, int wait_ms)
{
    struct bus_msg msg;
    enum record_gathered gathered = RECORD_GATHERED_NONE;
    for (int i = 0; i < most && !record_batch_full(batch); i++) {
        enum bus_status status = bus_next(stream->consumer, i == 0 ? wait_ms : 0, &msg);
        if (status == BUS_EPOCH) {
            bus_consumer_close(stream->consumer);
            stream->consumer = NULL;
            stream->retry_at_ms = 0;
        }
        if (status != BUS_OK)
            break;
        bool kept = record_stream_take(stream, maker, &msg, batch);
        bus_msg_done(&msg);
        if (!kept)
            return RECORD_GATHERED_NO_MEMORY;
        gathered = RECORD_GATHERED_SOME;
        failpoint_reached(FAILPOINT_RECORD_TAKEN);
    }
    return gathered;
}

enum record_gathered record_gather(struct record_stream streams[RECORD_STREAMS],
                                   struct record_maker *maker, struct record_batch *batch,
                                   unsigned *turn)
{
    enum record_gathered all = RECORD_GATHERED_NONE;
    for (int i = 0; i < RECORD_STREAMS; i++) {
        if (!streams[i].consumer)
            continue;
        enum record_gathered one = take(&streams[i], maker, batch, TURN_MESSAGES, 0);
        if (one == RECORD_GATHERED_NO_MEMORY)
            return one;
        if (one == RECORD_GATHERED_SOME)
            all = one;
    }
    if (all == RECORD_GATHERED_SOME)
        return all;
    for (int i = 0; i < RECORD_STREAMS; i++) {
        struct record_stream *stream = &streams[(*turn)++ % RECORD_STREAMS];
        if (stream->consumer)
            return take(stream, maker, batch, TURN_MESSAGES, IDLE_WAIT_MS);
    }
    clock_pause_ms(IDLE_WAIT_MS);
    return all;
}

enum record_gathered record_gather_ahead(struct record_stream streams[RECORD_STREAMS],
                                         struct record_maker *maker, struct record_batch *batch,
                                         unsigned *turn)
{
    for (int i = 0; i < RECORD_STREAMS && !record_batch_full(batch); i++) {
        struct record_stream *stream = &streams[(*turn)++ % RECORD_STREAMS];
        if (!stream->consumer || !bus_at_hand(stream->consumer))
            continue;
        enum record_gathered one = take(stream, maker, batch, AHEAD_MESSAGES, 0);
        if (one != RECORD_GATHERED_NONE)
            return one;
    }
    return RECORD_GATHERED_NONE;
}
