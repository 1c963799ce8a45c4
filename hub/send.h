/*
 * send: the parts of `fleethub send`: the body of the request out of the options, and what is shown
 * while the command runs and at its end.
 *
 * Threads: the main thread.
 */
#ifndef HUB_SEND_H
#define HUB_SEND_H

#include "hub/cli.h"
#include "twin/command_life.h"
#include "twin/doc.h"

/* The body of POST /v1/commands. False with `why` where the options make no sense together. */
bool send_body(const struct cli_args *args, struct buf *body, struct buf *why);

/* ---- what a hub says of a command ---- */

struct send_status {
    char id[80], status[16];
    uint64_t total, of[DELIVERY_STATES];
    bool ended, succeeded;
};
/* False where that is no command. */
bool send_status_read(struct doc_ref command, struct send_status *status);
/* Those that are still under way. A delivery that is to be verified is so while it is accepted or
 * completed, one that is to be accepted no more once it is; the hub says when all have ended. */
uint64_t send_pending(const struct send_status *status);

/* ---- showing ---- */

/* "[######····] 40/167 120 accepted, 40 completed, 3 pending" */
void send_write_bar(struct buf *out, const struct send_status *status, unsigned width);
/* "120 accepted, 40 completed, 3 pending": the states that there are. */
void send_write_counts(struct buf *out, const struct send_status *status);
/* One line of the table: what became of one vehicle. */
void send_write_vehicle(struct buf *out, struct doc_ref vehicle, bool coloured);
/* What a dry run says: how many, a sample, and who is blocked. True where anybody is left. */
bool send_write_dry_run(struct buf *out, struct doc_ref answer);

#endif
