/*
 * http_stream: a reply's body in pieces, as the server asks for it: what the handler has written
 * already, then what its stream makes, packed where the client accepts that.
 *
 * A stream that has nothing now is parked: whoever sends suspends the connection first and parks
 * the pump then, and is called back when the stream is woken.
 *
 * Ownership: a pump takes over the body and the stream. Threads: one at a time, but for the waking.
 * Memory: one piece, and as much again and a compressor (270 KB) where it is packed; nothing while
 * it is parked.
 */
#ifndef HUB_HTTP_STREAM_H
#define HUB_HTTP_STREAM_H

#include "hub/http.h"

#include <sys/types.h>

enum { PUMP_WAIT = 0, PUMP_END = -1, PUMP_FAILED = -2 };

/* Takes the reply's body and stream. NULL when there is no memory: then it took nothing. */
struct http_pump *http_pump_new(struct http_reply *reply, bool packed);
/* At least one byte of the body and at most `room`, or one of the above. */
ssize_t http_pump_read(struct http_pump *pump, char *out, size_t room);
/* After PUMP_WAIT. False: it was woken since, so read on; else wake(closure) is called once, when
 * it is woken, on that thread. */
bool http_pump_park(struct http_pump *pump, void (*wake)(void *closure), void *closure);
/* Ends it before its time: a stream of events ends, any other body breaks off, so that nobody takes
 * it for whole. Any thread, until it is freed. */
void http_pump_cut(void *pump);
void http_pump_free(struct http_pump *pump);

#endif
