/*
 * report: what a run did, counted as it goes and told at the end as one JSON object.
 *
 * Threads: one.
 */
#ifndef TOOLS_REPORT_H
#define TOOLS_REPORT_H

#include "tools/crew.h"
#include "tools/faults.h"
#include "tools/gateway.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    REPORT_TYPES_MAX = 512,
    REPORT_TYPE_NONE = -1,
};

struct report_type {
    enum category category;
    char name[TYPE_MAX_BYTES + 1];
    uint64_t sent;
};

/* What the shadow's part of the run counts. */
struct shadow_counts {
    uint64_t reported_writes, reported_acknowledged;
    uint64_t desired_seen, desired_followed, desired_ignored;
};

struct report {
    const char *command, *env;
    uint64_t seed;
    uint64_t vehicles, passes;
    int64_t started_real_ns, started_mono_ns, published_mono_ns, ended_mono_ns;
    const char *ended_by; /* "end", "max_messages", "signal", "error" */
    bool until_archived;

    struct report_type types[REPORT_TYPES_MAX];
    int type_count;
    uint64_t sent[CATEGORY_COUNT]; /* good messages, each once, whatever faults befell it */
    uint64_t sent_bytes;           /* their payloads */
    uint64_t state_dropped;        /* of them, lost for want of a connection */

    uint64_t duplicates[CATEGORY_COUNT], late[CATEGORY_COUNT], shuffled[CATEGORY_COUNT];
    uint64_t wrong_clock[CLOCK_FAULT_COUNT][CATEGORY_COUNT];
    uint64_t hostile[HOSTILE_COUNT][CATEGORY_COUNT];
};

/* The place where messages of this type are counted; REPORT_TYPE_NONE where the table is full. */
int report_type(struct report *report, enum category category, const char *name);
uint64_t report_sent(const struct report *report);
/* Appends the JSON object; `shadow` and `crew` NULL where the run had none. */
void report_write(struct buf *buf, const struct report *report, const struct gateway *gateway,
                  const struct shadow_counts *shadow, const struct crew_counts *crew,
                  unsigned reconnects);

#endif
