/*
 * record_throttle: refused messages of one stream, counted by vehicle within a minute of the
 * broker's clock. The first RECORD_REFUSED_PER_MINUTE of a vehicle are put on record one by one,
 * what comes beyond becomes one counted record when the minute is over (contract §2).
 *
 * Deterministic: what is admitted depends on the stream's messages alone, and the counts are
 * committed with the position up to which they count, so that a restart goes on with them.
 *
 * Ownership: sums and changes point into the throttle, until its next use.
 * Threads: one per throttle.
 * Limits: RECORD_THROTTLE_VEHICLES counted apart; further ones share the count of those without a
 *         valid vid.
 */
#ifndef HUB_RECORD_THROTTLE_H
#define HUB_RECORD_THROTTLE_H

#include "hub/record.h"

enum { RECORD_REFUSED_PER_MINUTE = 10000, RECORD_THROTTLE_VEHICLES = 16384 };

#define RECORD_MINUTE_NS (60 * NS_PER_S)

struct record_refusals {
    char vid[TOKEN_MAX_BYTES + 1]; /* "": no valid one */
    int64_t minute;                /* since 1970 */
    int64_t recorded, suppressed;
    int64_t last_seq, last_ns; /* of the last one suppressed */
    int64_t reasons[REFUSAL_COUNT];
    bool changed; /* since record_throttle_saved */
};

struct record_throttle;
struct record_throttle *record_throttle_new(void);
void record_throttle_free(struct record_throttle *throttle);
void record_throttle_reset(struct record_throttle *throttle);

/* Takes over what an earlier run had committed. False: no memory. */
bool record_throttle_restore(struct record_throttle *throttle,
                             const struct record_refusals *refusals);

/* One vehicle with suppressed messages of a minute that is over at now_ns, taken out; NULL when
 * there is none left, and then the counts of that minute are gone. To be called to the end before
 * record_throttle_admit sees a message of a later minute. */
const struct record_refusals *record_throttle_due(struct record_throttle *throttle, int64_t now_ns);
/* Counts a refused message. *admitted: it gets a record of its own. False: no memory. */
bool record_throttle_admit(struct record_throttle *throttle, struct slice vid, enum refusal refusal,
                           const struct bus_msg *msg, bool *admitted);

/* The i-th vehicle counted, NULL behind the last: for saving what changed. */
const struct record_refusals *record_throttle_at(const struct record_throttle *throttle, size_t i);
/* Rows of minutes before this one have to go. */
int64_t record_throttle_minute(const struct record_throttle *throttle);
void record_throttle_saved(struct record_throttle *throttle);
/* Anything counted, or a minute ended, since record_throttle_saved. */
bool record_throttle_changed(const struct record_throttle *throttle);

/* The counted record. False: no memory. */
bool record_of_throttled(struct record_scratch *scratch, const char *stream,
                         const struct record_refusals *refusals, struct record *record);

#endif
