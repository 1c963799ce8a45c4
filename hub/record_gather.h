/*
 * record_gather: from the three streams into a batch, each in its turn.
 *
 * `turn` is where the round begins the next time; the caller keeps it. Streams that are not open
 * are passed over.
 *
 * Threads: the record lane's.
 */
#ifndef HUB_RECORD_GATHER_H
#define HUB_RECORD_GATHER_H

#include "hub/record_stream.h"

enum record_gathered {
    RECORD_GATHERED_SOME,
    RECORD_GATHERED_NONE,
    RECORD_GATHERED_NO_MEMORY, /* or it is not known now who is registered: a message was passed
                                  over */
};

/* One turn of every stream; where none has anything, a short wait at one of them. */
enum record_gathered record_gather(struct record_stream streams[RECORD_STREAMS],
                                   struct record_maker *maker, struct record_batch *batch,
                                   unsigned *turn);
/* A little of what is at hand, without any wait. */
enum record_gathered record_gather_ahead(struct record_stream streams[RECORD_STREAMS],
                                         struct record_maker *maker, struct record_batch *batch,
                                         unsigned *turn);

#endif
