/*
 * audit_runner: verification of the whole record (audit_db.h) for a request over HTTP. It takes
 * seconds for each million records, so its answer is a stream: a blank a second, which JSON allows
 * before a value, and the verdict at its end. A client that leaves ends it.
 *
 * One runs at a time, the next waits for it; AUDIT_RUNNER_MAX are taken.
 *
 * Ownership: the runner outlives the HTTP server. Threads: two for each verification, and those of
 * audit_db.
 */
#ifndef HUB_AUDIT_RUNNER_H
#define HUB_AUDIT_RUNNER_H

#include "hub/audit_db.h"
#include "hub/http.h"

enum { AUDIT_RUNNER_MAX = 4, AUDIT_RUNNER_TICK_MS = 1000 };

struct audit_runner;
/* `dsn` and `keys` are copied. NULL when there is no memory. */
struct audit_runner *audit_runner_new(const char *dsn, const struct audit_keys *keys);
/* Waits for those that run; their streams are freed by then, so that they give up. */
void audit_runner_free(struct audit_runner *runner);

/* A stream that makes the answer; NULL where as many wait already, or there is no memory. */
struct http_stream *audit_runner_stream(struct audit_runner *runner);

/* The answer (contract §5). */
void audit_report_write(struct buf *out, const struct audit_report *report);

#endif
