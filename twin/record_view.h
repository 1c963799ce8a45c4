/*
 * record_view: one entry of the record as filters and paths see it (contract §5, the shape of a
 * record). The members' names are the roots of paths of kind PATH_OF_RECORD.
 *
 * Ownership: everything is borrowed from whoever filled it in.
 * Threads: a plain value, any thread.
 */
#ifndef TWIN_RECORD_VIEW_H
#define TWIN_RECORD_VIEW_H

#include "twin/doc.h"
#include "twin/envelope.h"
#include "twin/timestamp.h"

/* X(name, how it is kept): texts whose `at` is NULL, numbers below 0, instants that are
 * TIMESTAMP_NONE and data that is not there are null. */
#define RECORD_VIEW_TABLE(X)                                                                       \
    X(id, TEXT)                                                                                    \
    X(seq, NUMBER)                                                                                 \
    X(hash, TEXT)                                                                                  \
    X(kind, TEXT)                                                                                  \
    X(vid, TEXT)                                                                                   \
    X(region, TEXT)                                                                                \
    X(type, TEXT)                                                                                  \
    X(severity, TEXT)                                                                              \
    X(actor, TEXT)                                                                                 \
    X(request_id, TEXT)                                                                            \
    X(boot, TEXT)                                                                                  \
    X(vehicle_seq, NUMBER)                                                                         \
    X(timestamp, TIME)                                                                             \
    X(received, TIME)                                                                              \
    X(archived, TIME)                                                                              \
    X(stream, TEXT)                                                                                \
    X(stream_seq, NUMBER)                                                                          \
    X(data, DATA)

struct record_view {
#define RECORD_VIEW_TEXT(name) struct slice name;
#define RECORD_VIEW_NUMBER(name) int64_t name;
#define RECORD_VIEW_TIME(name) int64_t name##_ns;
#define RECORD_VIEW_DATA(name) struct doc_ref name;
#define X(name, kept) RECORD_VIEW_##kept(name)
    RECORD_VIEW_TABLE(X)
#undef X
#undef RECORD_VIEW_TEXT
#undef RECORD_VIEW_NUMBER
#undef RECORD_VIEW_TIME
#undef RECORD_VIEW_DATA
};

#endif
