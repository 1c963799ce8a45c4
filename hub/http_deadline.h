/*
 * http_deadline: until when a client has to have sent its request, or taken its reply. The library
 * closes connections on which nothing moves; one that sends, or takes, a byte now and then it keeps
 * for ever. So every connection has a time at which it is cut, whatever trickles: the socket is
 * shut down, and the library finds it closed.
 *
 * Ownership: a deadline is a member of something of the caller's, between add and remove. The
 * socket stays open until remove has returned.
 * Threads: one of its own, which looks each DEADLINE_LOOK_MS; any for the rest.
 */
#ifndef HUB_HTTP_DEADLINE_H
#define HUB_HTTP_DEADLINE_H

#include <stdatomic.h>
#include <stdint.h>

enum { DEADLINE_LOOK_MS = 200 };

struct http_deadlines;
/* NULL: no memory, or no thread. */
struct http_deadlines *http_deadlines_new(void);
void http_deadlines_free(struct http_deadlines *deadlines); /* all are removed; NULL is nothing */

struct http_deadline {
    _Atomic int64_t at_ms; /* clock_mono_ms; 0: none */
    int socket;
    struct http_deadline *next, **here;
};
/* With no time set. */
void http_deadline_add(struct http_deadlines *deadlines, struct http_deadline *deadline,
                       int socket);
void http_deadline_remove(struct http_deadlines *deadlines, struct http_deadline *deadline);
/* In so many milliseconds from now; 0: not at all. NULL is nothing. */
void http_deadline_set(struct http_deadline *deadline, int64_t in_ms);

#endif
