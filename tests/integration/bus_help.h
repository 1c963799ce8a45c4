/* bus_help: what the tests of bus and streams do again and again. */
#ifndef TESTS_BUS_HELP_H
#define TESTS_BUS_HELP_H

#include "hub/bus.h"
#include "tests/integration/bus_server.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { HELP_WAIT_MS = 20000 };

int64_t help_now_ms(void);
void help_nap(void); /* ten milliseconds, between two looks at a condition */
/* Opens a bus; waits until it is connected where `wait`. */
struct bus *help_open(const struct bus_server *server, bool wait);
void help_wait_connected(struct bus *bus, bool connected);
/* Until it has been connected so many times. */
void help_wait_connects(const struct bus *bus, uint64_t connects);
/* A stream of one subject with file storage. */
void help_stream(struct bus *bus, const char *name, const char *subject);
/* Stores messages `from`..`from + count - 1`; each holds its number, and goes to `subject`, which
 * may have one %d: its number modulo `fan`. Every one is acknowledged. */
void help_fill(struct bus *bus, const char *subject, int fan, int from, int count);
struct bus_stream_info help_info(struct bus *bus, const char *stream);
/* Asks JetStream's API, which must agree. `request` is JSON, NULL for none. */
void help_api(struct bus *bus, const char *call, const char *request);
/* The next message, waited for through disconnections. */
struct bus_msg help_next(struct bus_consumer *consumer);
/* The number that a message of help_fill holds. */
int help_number(const struct bus_msg *msg);

#endif
