/*
 * sse: reads a stream of server-sent events (WHATWG HTML, "Server-sent events"), in whatever pieces
 * it comes.
 *
 * Of the fields `event`, `data` and `id` are kept; several `data` lines become one with line feeds
 * between them. The last id is remembered, for asking on after a break.
 *
 * Ownership: sse_done. An event points into the reader, and is valid while it is told.
 * Threads: one.
 * Limits: SSE_EVENT_MAX_BYTES of one event; a longer one ends the reading.
 */
#ifndef HUB_SSE_H
#define HUB_SSE_H

#include "twin/buf.h"

enum { SSE_EVENT_MAX_BYTES = 16 << 20 };

struct sse_event {
    const char *name; /* "message" where none was given */
    const char *data;
};

struct sse_reader {
    struct buf line, name, data, id, last_id;
    bool has_data, after_cr;
};

void sse_init(struct sse_reader *reader);
void sse_done(struct sse_reader *reader);
/* The connection broke: what was read of an event is void, the last id stays. */
void sse_restart(struct sse_reader *reader);
/* Reads a piece and tells each event that it completes. False where `tell` returned false, the
 * event is too long, or there is no memory. */
bool sse_read(struct sse_reader *reader, const char *bytes, size_t size,
              bool (*tell)(void *closure, const struct sse_event *event), void *closure);
/* The id of the last event that had one; NULL without. */
const char *sse_last_id(struct sse_reader *reader);

#endif
