/*
 * pace: from the schedule of a run (nanoseconds since its start, in flight time) to instants.
 *
 * With a speed S a line of schedule time t is due at start + t/S and carries exactly that instant
 * as its timestamp, whenever it is really sent. As fast as possible (speed 0) nothing waits, and
 * the timestamps must neither lie ahead (the hub replaces what is more than max_clock_skew_s ahead,
 * contract §4) nor lose the order of the schedule: a run of known length is therefore dated back,
 * start - length + t, so that it ends at its start's present; one without an end is stamped with
 * the instant of sending, each later than the one before.
 *
 * Threads: one.
 */
#ifndef TOOLS_PACE_H
#define TOOLS_PACE_H

#include <stdbool.h>
#include <stdint.h>

struct pace {
    double speed; /* 0: as fast as possible */
    bool endless;
    int64_t start_mono_ns; /* when schedule time 0 is due */
    int64_t base_real_ns;  /* the timestamp of schedule time 0 */
    int64_t last_ns;       /* endless at speed 0: the last timestamp given */
};

/* `length_ns` is the whole schedule's, 0 where it has no end. */
void pace_init(struct pace *pace, double speed, int64_t length_ns, int64_t now_mono_ns,
               int64_t now_real_ns);
/* When it is due on the monotonic clock; INT64_MIN (at once) at speed 0. */
int64_t pace_due(const struct pace *pace, int64_t schedule_ns);
/* The schedule time that is due then; the reverse of pace_due. 0 at speed 0. */
int64_t pace_schedule(const struct pace *pace, int64_t mono_ns);
/* The timestamp to put into the envelope. */
int64_t pace_timestamp(struct pace *pace, int64_t schedule_ns, int64_t now_real_ns);

int64_t pace_mono_ns(void);
int64_t pace_real_ns(void);
/* Returns early on a signal. */
void pace_sleep(int64_t ns);

#endif
