/*
 * events_ask: what a request asks of the record: vid, kind, type, start_time, end_time, filter and
 * order_by, the same way on every route that reads it.
 *
 * Ownership: events_asked_done; borrows the request's texts and viewer, until events_asked_keep.
 * Threads: once read, one at a time.
 */
#ifndef HUB_EVENTS_ASK_H
#define HUB_EVENTS_ASK_H

#include "hub/http.h"
#include "hub/record_judge.h"

struct events_asked {
    struct record_question question;
    struct filter *filter; /* of the question; NULL: none was given */
    bool ascending;
    struct viewer *viewer; /* of the question, and its texts: kept; NULL: they are borrowed */
    char *vid, *type;
};

/* `vid` is the path's, NULL: the request may name one. False, with the problem in the reply, where
 * something makes no sense or may not be asked. */
bool events_ask(const struct http_request *request, struct http_reply *reply, const char *vid,
                struct events_asked *asked);
/* Makes it independent of the request. False when there is no memory. */
bool events_asked_keep(struct events_asked *asked);
void events_asked_done(struct events_asked *asked);

/* Appends all that decides which records are meant, in what order, and for whom. */
void events_asked_scope(const struct events_asked *asked, const struct http_request *request,
                        struct buf *scope);

#endif
