/*
 * record_reuse: two different messages under one `Nats-Msg-Id` (contract §5). Each is a record of
 * its own, since ids of records derive from content; that the id of the message was used again goes
 * on record beside them: kind `system`, type `message_id_reused`, with the ids of both.
 *
 * What is remembered is the last RECORD_REUSE_SLOTS message ids or so, in memory: a gateway that
 * numbers its messages wrongly, or somebody who speaks for it, is found while it does so. What lies
 * further apart, or on either side of a change of writer, is not. The id of such a record derives
 * from both records', so that reading again makes no other.
 *
 * Ownership: a record made here borrows from the table until its next use, and from the message.
 * Threads: one per table.
 */
#ifndef HUB_RECORD_REUSE_H
#define HUB_RECORD_REUSE_H

#include "hub/record.h"

enum { RECORD_REUSE_SLOTS = 65536, RECORD_MSG_ID_MAX_BYTES = 256 };

struct record_reuse;
/* NULL when there is no memory. */
struct record_reuse *record_reuse_new(void);
void record_reuse_free(struct record_reuse *reuse);

/* Remembers under which id a vehicle's message made a record. True when another record was made
 * under it before: then *flag is the record that says so. `msg_id` NULL: it had none. */
bool record_reuse_look(struct record_reuse *reuse, const struct record *made, const char *msg_id,
                       struct record *flag);

#endif
