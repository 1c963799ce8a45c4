/*
 * audit_help: what somebody with all rights on the database could do to a record, on the server of
 * record_help; and exports of it.
 *
 * Threads: the test's.
 */
#ifndef TESTS_AUDIT_HELP_H
#define TESTS_AUDIT_HELP_H

#include "hub/audit_key.h"

#include <stdint.h>

/* Gives a row the hash of what it says now. */
void audit_help_rehash(int64_t seq);
/* Makes tiles and edge anew, of the rows' hashes. */
void audit_help_rebuild(void);
/* Signs the text of every checkpoint anew, with another key. */
void audit_help_resign(const struct audit_signer *signer);
/* Replaces every checkpoint by one of the records as they are, signed; as the holder of the
 * signing key can. */
void audit_help_remake(const struct audit_signer *signer);

/* An export of all of the record, or from a record on; false, and why. */
bool audit_help_export(int64_t from_seq, struct buf *text, char error[AUDIT_ERROR_BYTES]);
/* It is refused, and says this. */
void audit_help_no_export(int64_t from_seq, struct buf *text, const char *why);
void audit_help_export_is_good(struct buf *text);

#endif
