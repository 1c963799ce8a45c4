/*
 * access_record: whoever reads the record is on record (contract §6): one record of kind `access`
 * for each request, with who, from where, what was asked and the request's id. It is stored before
 * anything is read; where it cannot be, nothing is read (contract §4).
 *
 * It names no vehicle: a look at a vehicle's timeline does not become part of it.
 *
 * Threads: any that may block, up to ACCESS_RECORD_WAIT_MS.
 */
#ifndef HUB_ACCESS_RECORD_H
#define HUB_ACCESS_RECORD_H

#include "hub/http.h"

enum { ACCESS_RECORD_WAIT_MS = 3000 };

/* X(id, type of the record) */
#define ACCESS_READING_TABLE(X)                                                                    \
    X(READ, "record_read")         /* some of it, or one of them */                                \
    X(EXPORTED, "record_exported") /* all that match */                                            \
    X(STREAMED, "record_streamed") /* what comes, as it comes */                                   \
    X(VERIFIED, "record_verified") /* its proofs */

enum access_reading {
#define X(id, type) ACCESS_##id,
    ACCESS_READING_TABLE(X)
#undef X
};

/* False, with a 503 in the reply, where it could not be stored. */
bool access_record_reading(const struct http_request *request, struct http_reply *reply,
                           enum access_reading reading);

#endif
