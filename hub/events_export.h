/*
 * events_export: any number of records, sent while they are read, in constant memory.
 *
 * An export is a scan whose turns run on the lane's threads, one statement each, whenever its
 * client has taken most of what was read before. A client that reads slowly, or not at all, holds
 * neither a thread nor anything in the database: the scan goes on behind the last record when it is
 * asked for more. One whose client leaves ends, its statement with it. What is recorded after an
 * export began is not in it.
 *
 * A database that does not answer is asked again for EXPORT_RETRY_MS; then the body is cut, so that
 * nobody takes it for whole.
 *
 * Threads: EXPORT_THREADS of its own, each with a connection. exports_open from any that may not
 * block. Memory: about two pieces of EXPORT_PIECE_BYTES for each export, and one record.
 * Limits: EXPORTS_MAX at a time.
 */
#ifndef HUB_EVENTS_EXPORT_H
#define HUB_EVENTS_EXPORT_H

#include "hub/events_ask.h"
#include "hub/formats.h"
#include "hub/http.h"

enum {
    EXPORT_THREADS = 2,
    EXPORTS_MAX = 32,
    EXPORT_PIECE_BYTES = 1 << 20,
    EXPORT_RETRY_MS = 10000,
    EXPORT_RETRY_AFTER_S = 10, /* what one more is told */
};

struct exports;
/* NULL: no memory, or no threads. */
struct exports *exports_new(const char *dsn);
/* Ends all of them, and refuses new ones. Before http_stop. NULL is nothing. */
void exports_drain(struct exports *exports);
/* After http_stop. False: a statement still runs; call again. */
bool exports_stop(struct exports *exports, int timeout_ms);
/* After exports_stop was true. */
void exports_free(struct exports *exports);

enum export_status { EXPORT_OK, EXPORT_FULL, EXPORT_STOPPING, EXPORT_NO_MEMORY };
/* What was asked is taken over. The request lives as long as the stream. */
enum export_status exports_open(struct exports *exports, const struct http_request *request,
                                struct events_asked *asked, enum format format,
                                struct http_stream **stream);

#endif
