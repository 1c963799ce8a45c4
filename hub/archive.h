/*
 * archive: reading the record back.
 *
 * Ownership: the reader owns a pool of connections; what it writes goes into the caller's buffers.
 * Threads: any, each call borrows a connection; calls block, up to ARCHIVE_CALL_TIMEOUT_MS.
 */
#ifndef HUB_ARCHIVE_H
#define HUB_ARCHIVE_H

#include "hub/record.h"
#include "hub/store.h"
#include "twin/viewer.h"

enum { ARCHIVE_STATEMENT_TIMEOUT_MS = 10000, ARCHIVE_CALL_TIMEOUT_MS = 12000 };

enum archive_status {
    ARCHIVE_OK,
    ARCHIVE_NOT_FOUND,
    ARCHIVE_UNAVAILABLE, /* PostgreSQL is not there, or did not answer in time */
    ARCHIVE_FAILED,      /* anything else; the text says what */
};

struct archive_error {
    char text[256];
};

struct archive_reader;
/* Connects when asked for the first time. NULL when there is no memory. */
struct archive_reader *archive_reader_new(const char *dsn, int connections_max);
void archive_reader_free(struct archive_reader *reader);

/* Which records, in what order. NULL and TIMESTAMP_NONE do not restrict. */
struct archive_query {
    const struct viewer *viewer;
    const char *vid, *type;
    bool by_kind;
    enum record_kind kind;
    int64_t start_ns, end_ns; /* by `received`, half-open */
    bool ascending;
    bool after_given;
    int64_t after_seq; /* behind this one, in the order asked for */
    size_t limit;      /* at least 1 */
};

struct archive_page {
    size_t count;
    int64_t last_seq; /* of the last one written */
    bool more;        /* there are others behind it */
};

/* Appends the records, as the API serves them, with commas between. */
enum archive_status archive_list(struct archive_reader *reader, const struct archive_query *query,
                                 struct buf *out, struct archive_page *page,
                                 struct archive_error *error);
/* Appends the one record of that id. */
enum archive_status archive_get(struct archive_reader *reader, const struct viewer *viewer,
                                const uint8_t id[RECORD_ID_BYTES], struct buf *out,
                                struct archive_error *error);

/* How far each stream is on record; zero for those that are not. */
enum archive_status archive_positions(struct archive_reader *reader,
                                      struct position positions[STREAM_LABELS],
                                      struct archive_error *error);

#endif
