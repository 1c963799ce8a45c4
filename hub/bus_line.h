/*
 * bus_line: a connection of one reader's own, read by the thread that wants the messages.
 *
 * nats.c reads a connection on a thread of its own, hands each message to the thread that wants it
 * and frees it on a third one, which is woken for it: that costs three times what the hub does with
 * a state message. A line is dialled and authenticated by nats.c, which then gives its socket to an
 * event loop; the event loop is the reader, who takes the server's frames apart itself
 * (hub/bus_wire.h). Where the connection is encrypted the socket is of no use to anybody but nats.c
 * and there are no lines: bus_line_possible.
 *
 * A line has one subscription and does not reconnect: once it is closed its reader opens another.
 *
 * Ownership: the reader's; bus_line_close before bus_close.
 * Threads: one at a time.
 */
#ifndef HUB_BUS_LINE_H
#define HUB_BUS_LINE_H

#include "hub/bus_impl.h"
#include "hub/bus_wire.h"

struct bus_line;

bool bus_line_possible(const struct bus *bus);
/* Connects and subscribes; when it is there the server knows of the subscription. Waits for that as
 * long as a connection may take. */
enum bus_status bus_line_open(struct bus *bus, const char *subject, struct bus_line **line,
                              struct bus_error *error);
/* The next message that has come, without waiting. It is valid until the next call. WIRE_MORE: none
 * has; WIRE_ERR: the line is of no use any more, frame->text says why. */
void bus_line_next(struct bus_line *line, struct wire_frame *frame);
/* Waits until something has come, wait_ms at most. */
void bus_line_wait(struct bus_line *line, int64_t wait_ms);
/* Whether something has come. */
bool bus_line_at_hand(struct bus_line *line);
/* Publishes an empty message. What cannot be sent is found out by the next reading. */
void bus_line_answer(struct bus_line *line, const char *subject);
/* NULL is nothing. */
void bus_line_close(struct bus_line *line);

/* Makes `options`, which a bus was given, those of a line. */
natsStatus bus_line_options(natsOptions *options);

#endif
