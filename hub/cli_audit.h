/*
 * What cli_audit.c and cli_audit_file.c share: the evidence that is given on the command line, and
 * how a verdict is told.
 */
#ifndef HUB_CLI_AUDIT_H
#define HUB_CLI_AUDIT_H

#include "hub/audit_db.h"
#include "hub/cli.h"

enum { AUDIT_EXIT_GOOD = 0, AUDIT_EXIT_BAD = 1, AUDIT_EXIT_UNUSABLE = 2 };

/* Says why on standard error; AUDIT_EXIT_UNUSABLE. */
int cli_audit_unusable(const char *what, const char *why);

struct cli_notes {
    struct buf text; /* what they borrow from */
    struct audit_note *notes;
    size_t count;
};
/* The checkpoints of a file, one behind the other; none where `path` is NULL. */
bool cli_notes_load(const char *path, struct cli_notes *notes);
void cli_notes_done(struct cli_notes *notes);

struct cli_verdict {
    const struct audit_report *report;
    const struct audit_keys *keys; /* that were given */
    size_t given;                  /* checkpoints from elsewhere */
    bool file, own_keys;           /* an export, checked with the keys that it holds itself */
    bool json;
};
/* Prints it; the exit code. */
int cli_audit_tell(const struct cli_verdict *verdict);

/* `audit verify FILE`; the keys are those of --key. */
int cli_audit_verify_file(const char *path, const struct audit_keys *keys,
                          const struct cli_notes *notes, bool json);

#endif
