/*
 * sim_bus: the NATS connection of the simulated gateways. sim_bus.c is the one file here that
 * includes nats.h.
 *
 * What comes in is polled, never called back: subscriptions queue in the library until the one
 * thread of the run asks. Publish acknowledgements are read off an inbox of our own, since a
 * gateway needs the stream sequence they carry, whichever version of nats.c is below.
 *
 * Ownership: a message is released with sim_msg_done; subscriptions before the bus.
 * Threads: one.
 */
#ifndef TOOLS_SIM_BUS_H
#define TOOLS_SIM_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SIM_ERROR_BYTES = 256,
    SIM_SERVERS_MAX = 16,
    SIM_STREAM_NAME_BYTES = 64,
    /* what one subscription may hold unread before the library drops: both are far above what a
     * run's windows allow to be under way */
    SIM_PENDING_MESSAGES_MAX = 1000000,
    SIM_PENDING_BYTES_MAX = 512 * 1024 * 1024,
    /* what is kept while there is no connection */
    SIM_RECONNECT_BUFFER_BYTES = 64 * 1024 * 1024,
};

struct sim_error {
    char text[SIM_ERROR_BYTES];
};

struct sim_bus;
struct sim_sub;

struct sim_bus_options {
    const char *url; /* one or more, comma separated */
    const char *creds_file, *tls_ca_file, *tls_cert_file, *tls_key_file; /* NULL: not used */
    int64_t connect_timeout_ms; /* of the first connection; 0: as long as it takes */
    bool (*stopped)(void);      /* asked while waiting for it */
};

/* Connects; afterwards it reconnects for ever. NULL, with `error` set, where that failed. */
struct sim_bus *sim_bus_open(const struct sim_bus_options *options, struct sim_error *error);
/* Sends out what is still buffered, for at most timeout_ms, and closes. Accepts NULL. */
void sim_bus_close(struct sim_bus *bus, int64_t timeout_ms);
bool sim_bus_connected(const struct sim_bus *bus);
/* Grows by one with each reconnect. */
unsigned sim_bus_reconnects(const struct sim_bus *bus);
/* True when the server has taken all that was published. */
bool sim_bus_flush(struct sim_bus *bus, int64_t timeout_ms);

struct sim_header {
    const char *name, *value;
};

/* At most once, no answer. `msg_id`: the header Nats-Msg-Id, NULL for none. False where the bytes
 * went nowhere (the reconnect buffer is full, the message too large). */
bool sim_bus_publish(struct sim_bus *bus, const char *subject, const void *data, size_t size,
                     const char *msg_id);
/* The same with other headers. */
bool sim_bus_publish_headers(struct sim_bus *bus, const char *subject, const void *data,
                             size_t size, const struct sim_header *headers, size_t header_count);
/* Publishes with a reply subject: the stream's answer comes out of sim_bus_next_ack with `tag`. */
bool sim_bus_store(struct sim_bus *bus, const char *subject, const void *data, size_t size,
                   const struct sim_header *headers, size_t header_count, uint64_t tag);

enum sim_ack_outcome {
    SIM_ACK_STORED,
    SIM_ACK_NO_STREAM, /* nobody listens there: no stream, or JetStream is not up */
    SIM_ACK_REFUSED,   /* the stream said no; `error_code` and `error` say why */
};

#define SIM_TAG_UNKNOWN UINT64_MAX

struct sim_ack {
    uint64_t tag; /* SIM_TAG_UNKNOWN with SIM_ACK_NO_STREAM, where it cannot be told */
    enum sim_ack_outcome outcome;
    char stream[SIM_STREAM_NAME_BYTES];
    uint64_t seq;
    bool duplicate;
    int error_code;
    char error[SIM_ERROR_BYTES];
};
/* The next answer at hand; false where there is none. */
bool sim_bus_next_ack(struct sim_bus *bus, struct sim_ack *ack);

struct sim_msg {
    const char *subject;
    const char *data;
    size_t size;
    bool deleted; /* KV: a delete marker */
    void *impl;
};

struct sim_sub *sim_sub_open(struct sim_bus *bus, const char *subject, struct sim_error *error);
/* What a stream holds now, the last message of each subject, and then on. The answer to the
 * request comes first, as a message whose subject is not one of the stream's. */
struct sim_sub *sim_sub_open_last(struct sim_bus *bus, const char *stream, const char *filter,
                                  struct sim_error *error);
void sim_sub_close(struct sim_sub *sub);
/* The next message at hand; false where there is none. */
bool sim_sub_next(struct sim_sub *sub, struct sim_msg *msg);
void sim_msg_done(struct sim_msg *msg);

/* Ends the library's threads, once everything is closed. */
void sim_bus_end(void);

#endif
