/*
 * audit_file: verification of an export (audit_export.h) with nothing but the file: neither
 * network nor database. It is read line by line, each judged when it comes, in constant memory; any
 * bytes at all are judged.
 *
 * Ownership: what it is asked with outlives the verification. Threads: one per verification.
 * Limits: a line of AUDIT_LINE_MAX_BYTES, AUDIT_KEYS_MAX keys.
 */
#ifndef HUB_AUDIT_FILE_H
#define HUB_AUDIT_FILE_H

#include "hub/audit_db.h"

enum { AUDIT_LINE_MAX_BYTES = 32 * 1024 * 1024 };

struct audit_file;
/* `keys` and the checkpoints from elsewhere are taken from the request, whose dsn is not used. NULL
 * when there is no memory. */
struct audit_file *audit_file_new(const struct audit_request *request, struct audit_report *report);
/* The next line, without its line feed. False: it is judged, the rest changes nothing. */
bool audit_file_line(struct audit_file *file, const char *line, size_t size);
/* There is no more: completes the report, and frees it. */
void audit_file_end(struct audit_file *file);
/* Whether the keys that the file itself holds were trusted, for want of others. */
bool audit_file_own_keys(const struct audit_file *file);

#endif
