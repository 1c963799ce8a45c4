/*
 * message: the text of a vehicle's messages (contract §1 and §2). Pure functions.
 */
#ifndef TOOLS_MESSAGE_H
#define TOOLS_MESSAGE_H

#include "twin/buf.h"
#include "twin/envelope.h"

/* "state", "evt", "cmd", "cmdack" */
const char *category_token(enum category category);
/* Takes `state.position` apart into category and type; false where it is none of a vehicle's own
 * (state, evt, cmdack) with a valid type. `type` points into `text`. */
bool message_kind_parse(const char *text, enum category *category, const char **type);

struct message {
    const char *vid;
    const char *timestamp; /* text, so that it may be wrong */
    const char *boot;
    uint64_t seq;
    const char *data; /* JSON */
    size_t data_bytes;
};
/* Appends the envelope. */
void message_write(struct buf *buf, const struct message *message);
/* Appends fleet.<env>.veh.<vid>.<category>.<type>. */
void message_subject(struct buf *buf, const char *env, const char *vid, enum category category,
                     const char *type);

#endif
