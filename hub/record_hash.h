/*
 * record_hash: what makes the record provable.
 *
 * The canonical bytes of a record are one line of JSON, UTF-8, without a line break at its end:
 *
 *     {"id":"…","seq":40213,"kind":"event","vid":"VID-001","region":"eu-north",
 *      "type":"battery.low","severity":"warning","actor":null,"request_id":null,"boot":"b7",
 *      "vehicle_seq":12345,"timestamp":"…","received":"…","archived":"…",
 *      "stream":"TWIN_EVENTS","stream_seq":812,"data":{…}}
 *
 * (one line: broken here for reading), with exactly these members in this order and no white
 * space outside `data`. Absent values are null. `id` is 32 lower-case hex digits. Integers are
 * decimal. Timestamps are RFC 3339 in UTC with a `Z`, three digits of fraction, or nine where the
 * instant is finer than a millisecond. In strings, `"` and `\` have a backslash before them, the
 * bytes 8, 9, 10, 12 and 13 are \b \t \n \f \r, other bytes below 32 are \u00xx in lower case,
 * and everything else stands for itself. `data` is the text as it was published, byte for byte,
 * except that each carriage return and line feed, which JSON allows only between tokens, is
 * written as a space.
 *
 * `hash` is the leaf hash of RFC 6962 §2.1: SHA-256 of a zero byte and the canonical bytes. So the
 * line alone, as exported, is all that a verifier has to hash.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_RECORD_HASH_H
#define HUB_RECORD_HASH_H

#include "hub/record.h"

void record_sha256(const void *bytes, size_t size, uint8_t hash[RECORD_HASH_BYTES]);
/* Of the pieces, one behind the other, without a buffer that there may be no memory for. */
void record_sha256_of(const struct slice *pieces, size_t count, uint8_t hash[RECORD_HASH_BYTES]);

/* Of the record's canonical bytes; `scratch` is used for them. False when there is no memory. */
bool record_hash(const struct record *record, struct buf *scratch, uint8_t hash[RECORD_HASH_BYTES]);

#endif
