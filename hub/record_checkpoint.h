/*
 * record_checkpoint: checkpoints of the record (audit_note.h), every `record.checkpoint_s` seconds
 * or RECORD_CHECKPOINT_RECORDS records while there is anything new: made in the transaction that
 * commits the last record they cover, then published on TWIN_CHECKPOINTS and written to
 * `record.checkpoint_file`.
 *
 * What was published is also what the database is held against when this hub begins to write: a
 * database that has less, or something else, than a checkpoint that is out already was restored
 * from a backup, or changed. That is an error in the log, a metric and a `system` record of type
 * `diverged`; recording goes on.
 *
 * A key that signs for the first time is named by a `system` record of type `signing_key`, before
 * its first checkpoint. While `record.previous_key_file` is set that key signs too, so that who
 * trusts the old key alone can check the record that names the new one.
 *
 * Threads: the record lane's. It may wait for the broker, PUBLISH_TIMEOUT_MS at most.
 */
#ifndef HUB_RECORD_CHECKPOINT_H
#define HUB_RECORD_CHECKPOINT_H

#include "hub/audit_key.h"
#include "hub/bus.h"
#include "hub/config.h"
#include "hub/pg.h"
#include "hub/record_batch.h"
#include "hub/tree.h"

enum { RECORD_CHECKPOINT_RECORDS = 1000 };

struct record_checkpoint;

/* Which key signs, and which also does; both may be NULL. */
struct record_signers {
    struct audit_signer *current, *previous;
};
/* Reads the keys that the configuration names; false, and why, where one cannot be used. */
bool record_signers_load(const struct config *config, struct record_signers *signers,
                         char error[AUDIT_ERROR_BYTES]);
/* Their public keys, those that this hub itself trusts. */
void record_signers_keys(const struct record_signers *signers, struct audit_keys *keys);
void record_signers_done(struct record_signers *signers);

/* `config`, `bus` and `signers` (NULL: unsigned) outlive it. NULL when there is no memory. */
struct record_checkpoint *record_checkpoint_new(const struct config *config, struct bus *bus,
                                                const struct record_signers *signers);
void record_checkpoint_free(struct record_checkpoint *checkpoint);

/* This hub has become the writer: reads what the last checkpoint was, and adds to the batch what is
 * to be said of the key. */
enum pg_status record_checkpoint_begin(struct record_checkpoint *checkpoint, struct pg *pg,
                                       struct record_batch *batch, struct pg_error *error);
/* A transaction begins: whatever an earlier one made was not committed. */
void record_checkpoint_batch(struct record_checkpoint *checkpoint);
/* True when a log of that size has RECORD_CHECKPOINT_RECORDS more than at the last one, or than at
 * the one made in this transaction. */
bool record_checkpoint_full(const struct record_checkpoint *checkpoint, int64_t size);
/* True when one has to be made for a log of that size, at the end of a batch. */
bool record_checkpoint_due(const struct record_checkpoint *checkpoint, int64_t size);
/* Makes one of this edge, and keeps it for `save`. False: no memory. */
bool record_checkpoint_make(struct record_checkpoint *checkpoint, const struct tree_edge *edge);
/* Those that were made, within the transaction that commits what they cover. */
enum pg_status record_checkpoint_save(struct record_checkpoint *checkpoint, struct pg *pg,
                                      struct pg_params *params, struct pg_error *error);
/* That transaction is committed, the log has that many records; the checkpoint, if one was made,
 * may be published. */
void record_checkpoint_committed(struct record_checkpoint *checkpoint, int64_t size);
/* True when what is committed is due for a checkpoint, though nothing more comes. */
bool record_checkpoint_waiting(const struct record_checkpoint *checkpoint);
/* Publishes what is not yet, and writes the file; adds to the batch what is found on the way.
 * Called once a second. What fails is tried again; only trouble with the database is the caller's.
 */
enum pg_status record_checkpoint_publish(struct record_checkpoint *checkpoint, struct pg *pg,
                                         struct record_batch *batch, struct pg_error *error);

#endif
