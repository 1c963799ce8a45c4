/*
 * record_checkpoint_impl: what record_checkpoint.c (beginning, making, the file) and
 * record_checkpoint_publish.c (publishing, and what was published) share.
 */
#ifndef HUB_RECORD_CHECKPOINT_IMPL_H
#define HUB_RECORD_CHECKPOINT_IMPL_H

#include "hub/record_checkpoint.h"
#include "hub/streams.h"

#include <stdatomic.h>

enum { MADE_MAX = RECORD_BATCH_ROWS / RECORD_CHECKPOINT_RECORDS + 2 }; /* in one transaction */

/* Made in the transaction under way, and not yet saved. */
struct made {
    int64_t size, made_us;
    size_t note_bytes; /* of `made` */
};

struct record_checkpoint {
    const struct config *config;
    struct bus *bus;
    struct record_signers signers;
    char origin[AUDIT_NAME_BYTES], subject[STREAMS_SUBJECT_BYTES];
    struct buf vkey; /* of the current key */

    int64_t last_size; /* the last one committed; -1: not known, this hub is not the writer */
    int64_t last_ms;
    int64_t log_size;  /* records committed */
    int64_t made_size; /* in the transaction under way; 0: none */
    struct made making[MADE_MAX];
    int making_count;
    struct buf making_notes; /* one behind the other */
    struct buf made, note;   /* the last one: of this transaction, and committed */
    bool key_noted;          /* the current key is in signing_keys */

    bool asked;             /* what is published is known */
    int64_t published_size; /* up to here nothing has to be published */
    uint64_t foreign_seq;   /* what others published behind all of ours; 0: nothing */
    int64_t rest_until_ms;
    bool file_due;
    atomic_int refused; /* messages that the broker did not take */
};

/* Adds a `system` record of the hub's own, whose id derives from the key. False: no memory. */
bool record_checkpoint_notice(struct record_batch *batch, enum record_severity severity,
                              const char *type, const struct buf *key, const struct buf *data);
/* Writes the newest checkpoint to `record.checkpoint_file`, whole or not at all. */
void record_checkpoint_write_file(struct record_checkpoint *checkpoint);

#endif
