/*
 * archive: reading the record back.
 *
 * A scan answers a question to the record in the order of `seq`, in turns of one statement each:
 * what the database can sort out it does (hub/archive_sql.h), the rest is judged here row by row as
 * the rows come, and none is kept. Between two turns nothing is held in the database, so a scan may
 * rest for as long as it likes, and what is recorded meanwhile moves nothing.
 *
 * Ownership: the reader owns a pool of connections; a scan borrows its question; what is written
 * goes into the caller's buffers. Threads: any, each call borrows a connection; calls block, up to
 * ARCHIVE_CALL_TIMEOUT_MS. A scan by one thread at a time.
 */
#ifndef HUB_ARCHIVE_H
#define HUB_ARCHIVE_H

#include "hub/record.h"
#include "hub/record_judge.h"
#include "hub/store.h"
#include "twin/viewer.h"

enum { ARCHIVE_STATEMENT_TIMEOUT_MS = 10000, ARCHIVE_CALL_TIMEOUT_MS = 12000 };

enum archive_status {
    ARCHIVE_OK,
    ARCHIVE_NOT_FOUND,
    ARCHIVE_UNAVAILABLE, /* PostgreSQL is not there or did not answer in time, or no memory */
    ARCHIVE_TOO_SLOW,    /* so much had to be looked at that the time was up */
    ARCHIVE_CHANGED,     /* a group that the filter names is not what the rights were judged by */
    ARCHIVE_GIVEN_UP,    /* the caller said that nobody waits any more */
    ARCHIVE_FAILED,      /* anything else; the text says what */
};

struct archive_error {
    char text[256];
};

struct archive_reader;
/* Connects when asked for the first time. NULL when there is no memory. */
struct archive_reader *archive_reader_new(const char *dsn, int connections_max);
void archive_reader_free(struct archive_reader *reader);

/* The one record of that id, as far as the question's viewer may see it, handed to `take`. */
enum archive_status archive_get(struct archive_reader *reader, const struct viewer *viewer,
                                const uint8_t id[RECORD_ID_BYTES],
                                void (*take)(void *closure, const struct record *record),
                                void *closure, struct archive_error *error);

/* How far each stream is on record; zero for those that are not. */
enum archive_status archive_positions(struct archive_reader *reader,
                                      struct position positions[STREAM_LABELS],
                                      struct archive_error *error);
/* The lowest and the highest `seq` there are; 0 and 0 where there is none. */
enum archive_status archive_bounds(struct archive_reader *reader, int64_t *first, int64_t *last,
                                   struct archive_error *error);

/* ---- scans ---- */

struct archive_scan;
/* NULL when there is no memory. */
struct archive_scan *archive_scan_new(const struct record_question *question, bool ascending);
void archive_scan_free(struct archive_scan *scan);
/* Goes on behind this one, in the scan's order; before the first turn. */
void archive_scan_after(struct archive_scan *scan, int64_t seq);
/* Nothing beyond this one, which is the highest there will be. */
void archive_scan_until(struct archive_scan *scan, int64_t last_seq);
/* There is nothing more. */
bool archive_scan_ended(const struct archive_scan *scan);
/* The last one looked at, whether it was asked for or not. */
int64_t archive_scan_at(const struct archive_scan *scan);

struct archive_turn {
    size_t want;    /* about so many records are wanted */
    int timeout_ms; /* at most ARCHIVE_CALL_TIMEOUT_MS */
    /* Takes a record, which is borrowed for the call. False: no more after this one. */
    bool (*take)(void *closure, const struct record *record);
    bool (*given_up)(void *closure); /* asked now and then; NULL: never */
    void *closure;
};
/* One statement. A turn that took nothing may still not be the last. */
enum archive_status archive_scan_turn(struct archive_scan *scan, struct archive_reader *reader,
                                      const struct archive_turn *turn, struct archive_error *error);

#endif
