/*
 * timestamp: RFC 3339 text to and from nanoseconds since 1970-01-01T00:00:00Z.
 *
 * Any fraction and any offset are read; digits beyond the nanosecond are dropped. An instant
 * that 64 bits cannot hold (before 1677, after 2262) becomes the nearest one that they can: both
 * lie far outside what a vehicle's clock is believed in (contract §4). A leap second (:60) is
 * read as the first instant of the next minute. Written: UTC, three digits of fraction, or nine
 * where the instant is finer than a millisecond.
 *
 * Pure functions, any thread.
 */
#ifndef TWIN_TIMESTAMP_H
#define TWIN_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TIMESTAMP_NONE INT64_MIN /* no instant; never the result of a parse */
#define TIMESTAMP_MIN (INT64_MIN + 1)
#define TIMESTAMP_MAX INT64_MAX
#define TIMESTAMP_TEXT_BYTES 40 /* what timestamp_format may write, NUL included */

#define NS_PER_S INT64_C(1000000000)
#define NS_PER_MS INT64_C(1000000)

/* False, and nothing written, where the text is not an RFC 3339 date-time. */
bool timestamp_parse(const char *text, size_t size, int64_t *timestamp_ns);
/* Writes NUL-terminated text and returns its length. `timestamp_ns` is not TIMESTAMP_NONE. */
size_t timestamp_format(int64_t timestamp_ns, char text[TIMESTAMP_TEXT_BYTES]);

#endif
