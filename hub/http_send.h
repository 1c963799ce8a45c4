/*
 * http_send: an exchange's reply as the library wants it: its headers, its body, whole or in
 * pieces, and the pauses of a body that waits.
 *
 * Threads: the event thread of the exchange's connection.
 */
#ifndef HUB_HTTP_SEND_H
#define HUB_HTTP_SEND_H

#include "hub/http_exchange.h"

#include <microhttpd.h>
#include <stdatomic.h>

/* What all replies of a server share. */
struct http_sender {
    struct http_shelf *shelf;
    struct MHD_Response *no_memory; /* made beforehand, so that it needs none */
    atomic_bool draining;           /* every reply is its connection's last */
    atomic_bool leaving;            /* the same, while it still takes new ones */
    bool tls;
};

bool http_sender_init(struct http_sender *sender);
void http_sender_done(struct http_sender *sender);

/* For http_kept: whether the exchange's answer is one that was kept. */
bool http_send_kept(struct exchange *x, struct http_sender *sender, uint64_t mark);
/* Queues the reply on the exchange's connection and accounts for it. */
enum MHD_Result http_send(struct exchange *x, struct http_sender *sender);

#endif
