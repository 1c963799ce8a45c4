/*
 * record_filters: filters over the members of records, at random, of terms that a good share of the
 * records of such tests fulfil.
 *
 * One thread at a time per generator.
 */
#ifndef TESTS_UNIT_RECORD_FILTERS_H
#define TESTS_UNIT_RECORD_FILTERS_H

#include "tests/unit/random.h"
#include "twin/buf.h"

#define RECORD_FILTERS_PICK(random, list)                                                          \
    ((list)[random_below((random), sizeof(list) / sizeof *(list))])

static inline void record_filters_term(struct random *random, struct buf *out)
{
    static const char *const paths[] = {"vid",    "kind",       "type", "severity",
                                        "region", "data.phase", "boot", "stream"};
    static const char *const texts[] = {
        "\"V-1\"",      "\"V-2\"",         "\"V-*\"",   "\"V-1*\"",        "\"*1\"",
        "\"event\"",    "\"ack\"",         "\"ev*\"",   "\"battery.low\"", "\"battery.*\"",
        "\"waypoint\"", "\"warning\"",     "\"north\"", "\"takeoff\"",     "\"b1\"",
        "null",         "\"TWIN_EVENTS\"", "\"\"",      "\"*\"",           "7"};
    static const char *const numbered[] = {"seq", "vehicle_seq", "stream_seq", "data.index",
                                           "data.load"};
    static const char *const numbers[] = {"0",  "1",    "5",   "10", "10.5", "2e1",
                                          "37", "-1.5", "1e9", "25", "0.5",  "9223372036854775808"};
    static const char *const timed[] = {"received", "timestamp", "archived"};
    static const char *const times[] = {
        "\"2026-01-15T10:30:00Z\"", "\"2026-01-15T10:30:20Z\"", "\"2026-01-15T10:30:10.0000005Z\"",
        "\"2026-01-15T10:30:30Z\"", "\"2026-01-15T11:30:05+01:00\""};
    static const char *const comparisons[] = {"=", "!=", "<", "<=", ">", ">=", "=", "="};
    switch (random_below(random, 10)) {
    case 0:
        buf_addf(out, "%s:*", RECORD_FILTERS_PICK(random, paths));
        return;
    case 1:
        buf_addf(out, "%s:%s", RECORD_FILTERS_PICK(random, paths),
                 RECORD_FILTERS_PICK(random, texts));
        return;
    case 2:
    case 3:
        buf_addf(out, "%s %s %s", RECORD_FILTERS_PICK(random, numbered),
                 RECORD_FILTERS_PICK(random, comparisons), RECORD_FILTERS_PICK(random, numbers));
        return;
    case 4:
    case 5:
        buf_addf(out, "%s %s %s", RECORD_FILTERS_PICK(random, timed),
                 RECORD_FILTERS_PICK(random, comparisons), RECORD_FILTERS_PICK(random, times));
        return;
    case 6:
        buf_addf(out, "age(%s) %s %us", RECORD_FILTERS_PICK(random, timed),
                 RECORD_FILTERS_PICK(random, comparisons), random_below(random, 60));
        return;
    default:
        buf_addf(out, "%s %s %s", RECORD_FILTERS_PICK(random, paths),
                 RECORD_FILTERS_PICK(random, comparisons), RECORD_FILTERS_PICK(random, texts));
    }
}

/* `depth` levels of AND, OR, NOT and parentheses at most. */
static inline void record_filters_write(struct random *random, struct buf *out, unsigned depth)
{
    if (random_below(random, 5) == 0)
        buf_adds(out, "NOT ");
    if (depth == 0 || random_below(random, 3) == 0) {
        record_filters_term(random, out);
        return;
    }
    const char *connector = random_below(random, 2) ? " AND " : " OR ";
    unsigned count = 2 + random_below(random, 2);
    buf_addc(out, '(');
    for (unsigned i = 0; i < count; i++) {
        buf_adds(out, i ? connector : "");
        record_filters_write(random, out, depth - 1);
    }
    buf_addc(out, ')');
}

#endif
