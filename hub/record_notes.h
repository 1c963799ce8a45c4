/*
 * record_notes: changes made in the archive's own database (retention, holds) on their way onto the
 * record. Whoever makes such a change leaves a note in the same transaction; the hub that writes
 * the record takes notes up into its batches. A note's id is its record's: taken up twice, it is
 * on record once, whatever dies in between.
 *
 * Threads: as the connection.
 * Limits: RECORD_NOTES_AT_ONCE a call.
 */
#ifndef HUB_RECORD_NOTES_H
#define HUB_RECORD_NOTES_H

#include "hub/record_batch.h"

enum { RECORD_NOTES_AT_ONCE = 100 };

/* Ticks off the notes that are on record by now, and adds the others to the batch. */
enum pg_status record_notes_take(struct pg *pg, struct record_batch *batch, struct pg_error *error);

#endif
