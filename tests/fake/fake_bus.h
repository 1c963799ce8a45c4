/*
 * fake_bus: stands in for NATS and for the recorder's queue, so that a test says what comes, what
 * is taken, and when neither is to be had.
 *
 * A test that calls a function of this header is linked with this instead of hub/bus*.c and
 * hub/recorder.c.
 *
 * Threads: what is asked may be asked by any thread; answers are set under a lock.
 */
#ifndef TESTS_FAKE_BUS_H
#define TESTS_FAKE_BUS_H

#include "hub/bus.h"
#include "hub/recorder.h"

enum { FAKE_BUS_TEXT_BYTES = 4096, FAKE_BUS_KEPT_MAX = 64 };

struct bus *fake_bus(void);
struct recorder *fake_recorder(void);

/* Everything as at first: connected, nothing stored, all that is stored is taken. */
void fake_bus_reset(void);
void fake_bus_connected(bool connected);

/* ---- a stream that is followed ---- */

/* What bus_consume says, once for each call of this; BUS_OK from then on. `created_ns` and
 * `last_seq` are what it says of the stream. */
void fake_bus_opening(enum bus_status status, int64_t created_ns, uint64_t last_seq);
/* The next message. Headers are "Name: value" pairs, NULL-terminated pairs of strings. */
struct fake_bus_msg {
    const char *subject, *data;
    uint64_t seq;
    int64_t received_ns;
    struct bus_header headers[4];
};
void fake_bus_comes(const struct fake_bus_msg *msg);
/* What bus_next says before the next message; it says BUS_TIMEOUT where nothing is left. */
void fake_bus_says(enum bus_status status);
/* Called when nothing is left to come, and when the recorder refuses for good; a lane that the test
 * runs in its own thread is ended by this. NULL: nothing is. */
void fake_bus_when_idle(void (*fn)(void *closure), void *closure);
/* Where the last consumer was opened. */
struct bus_consume fake_bus_opened(void);
int fake_bus_openings(void);

/* ---- storing and asking ---- */

/* What bus_store and bus_outbox_store say, or, with `late`, what an outbox hears of what it sent;
 * from now on. */
void fake_bus_stores(enum bus_status status, bool late);
/* bus_outbox_new gives none, or what is sent is not answered in time; from now on. */
void fake_bus_no_outbox(bool none);
void fake_bus_unanswered(bool unanswered);
/* How many messages were stored, and the last one's text and subject. */
int fake_bus_stored(void);
const char *fake_bus_stored_text(void);
/* What bus_get_last says; `data` NULL: no message. */
void fake_bus_last(enum bus_status status, const char *data);
/* That one stands at `seq` (1 otherwise), and this is what bus_get_seq says of those before it. */
void fake_bus_before(uint64_t seq, enum bus_status status, const char *data);

/* ---- records ---- */

/* The queue is full for so many records, then takes all; -1: for good. */
void fake_recorder_refuses(int count);
/* recorder_wait says this. */
void fake_recorder_stores(bool stores);
int fake_recorder_count(void);
/* `kind type actor data` of the record put last. */
const char *fake_recorder_last(void);

#endif
