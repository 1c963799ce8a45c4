/*
 * archive_audit: proofs and checkpoints of the record, as JSON.
 *
 * Threads: any; calls block as those of archive.h do.
 */
#ifndef HUB_ARCHIVE_AUDIT_H
#define HUB_ARCHIVE_AUDIT_H

#include "hub/archive.h"

/* `{"index":…,"size":…,"root":"…","hashes":[…],"checkpoint":"…"}`: that this record is in the tree
 * of the first checkpoint that covers it; before there is one (checkpoint null), in the tree as it
 * is. `null` where the tree does not have what a proof needs. */
enum archive_status archive_proof(struct archive_reader *reader, int64_t seq, struct buf *out,
                                  struct archive_error *error);

/* `{"from":…,"to":…,"from_root":"…","to_root":"…","hashes":[…]}`. `to` 0: the tree as it is. *size
 * is that of the tree; ARCHIVE_NOT_FOUND, and nothing written, where it is smaller than `to`. */
enum archive_status archive_consistency(struct archive_reader *reader, int64_t from, int64_t to,
                                        int64_t *size, struct buf *out,
                                        struct archive_error *error);

/* Checkpoints of less than `before` records, the largest first, with commas between; *last is the
 * size of the last one written. */
enum archive_status archive_checkpoints(struct archive_reader *reader, int64_t before, size_t limit,
                                        struct buf *out, bool *more, int64_t *last,
                                        struct archive_error *error);

#endif
