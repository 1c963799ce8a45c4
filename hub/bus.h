/*
 * bus: the NATS connection and JetStream, in the hub's own types. The files bus*.c alone include
 * nats.h: bus.c and bus_connect.c are the connection, bus_streams.c the streams, bus_consumer.c and
 * bus_next.c reading, bus_line.c and bus_wire.c a connection of a reader's own, bus_get.c reading
 * one message, bus_store.c and bus_outbox.c publishing, bus_request.c asking another hub and
 * answering it.
 *
 * KV buckets are plain streams here (`KV_<bucket>`, subjects `$KV.<bucket>.>`): a key is read and
 * written by its subject, a compare-and-set is a publish with the expected last sequence of that
 * subject, a delete is a message with the header KV-Operation.
 *
 * Ownership: a message is released by the caller with bus_msg_done; consumers are closed by the
 *            lane that opened them. Strings handed in are copied.
 * Threads: a bus may be used by any thread; a consumer by one thread at a time.
 * Errors: enum bus_status, and text in the caller's `struct bus_error`.
 */
#ifndef HUB_BUS_H
#define HUB_BUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bus;
struct bus_consumer;

enum bus_status {
    BUS_OK,
    BUS_TIMEOUT,      /* nothing came within the time */
    BUS_DISCONNECTED, /* no connection, or no answer from JetStream */
    BUS_NOT_FOUND,    /* no such stream or message */
    BUS_CONFLICT,     /* a compare-and-set whose expectation was wrong */
    BUS_EPOCH,        /* the stream was made anew, or lost its tail: positions in it are void */
    BUS_FULL,         /* the stream takes no more (discard new), or the outbox is full */
    BUS_ERROR,        /* anything else; the text says what */
};

struct bus_error {
    char text[256];
};

/* The options of a connection; secrets come from files (contract §7). NULL: not used. */
struct bus_options {
    const char *url; /* one or more, comma separated */
    const char *name;
    const char *creds_file;
    const char *tls_ca_file, *tls_cert_file, *tls_key_file;
    int connect_timeout_ms;
};

/* Connects in the background and reconnects for ever; returns at once even with no server there.
 * BUS_ERROR only for options that can never work. */
enum bus_status bus_open(const struct bus_options *options, struct bus **bus,
                         struct bus_error *error);
/* Flushes what was published (bounded by timeout_ms) and closes. All consumers are closed before.
 */
void bus_close(struct bus *bus, int timeout_ms);
bool bus_connected(const struct bus *bus);
/* Counts connections made: it grows by one with each (re)connect. */
uint64_t bus_connects(const struct bus *bus);

/* ---- streams ---- */

enum bus_discard { BUS_DISCARD_OLD, BUS_DISCARD_NEW };

struct bus_stream_spec {
    const char *name;
    const char *subject; /* one subject each is all that contract §3 needs */
    enum bus_discard discard;
    int64_t max_bytes;       /* 0: no bound */
    int64_t max_age_ns;      /* 0: for good */
    int64_t duplicate_ns;    /* window of Nats-Msg-Id; 0: the server's default */
    int64_t max_per_subject; /* KV history; 0: no bound */
    int32_t max_msg_bytes;   /* 0: no bound */
    int replicas;
    bool kv; /* a KV bucket: deletes denied, direct reads allowed */
};

struct bus_stream_info {
    int64_t created_ns; /* the stream's epoch */
    uint64_t first_seq, last_seq;
    uint64_t messages, bytes;
    uint64_t subjects; /* that these messages have; 0 where the server does not say */
    int64_t max_bytes; /* -1: none */
    int64_t replicas;
    /* what streams_ensure compares */
    bool limits_retention, file_storage, rollup_allowed, discard_new;
    int64_t max_per_subject; /* -1: no bound */
    char subject[256];       /* the first one, "" for none */
    int subject_count;
};

enum bus_status bus_stream_info(struct bus *bus, const char *stream, struct bus_stream_info *info,
                                struct bus_error *error);
/* Creates it. BUS_FULL when the server has not as much storage to reserve (error 10047). */
enum bus_status bus_stream_create(struct bus *bus, const struct bus_stream_spec *spec,
                                  struct bus_error *error);
/* Changes max_bytes alone (0: no bound), whatever else the stream is configured with. */
enum bus_status bus_stream_resize(struct bus *bus, const char *stream, int64_t max_bytes,
                                  struct bus_error *error);
/* Removes what lies before `before_seq`; that one stays. `purged`, where not NULL: how many. */
enum bus_status bus_stream_purge(struct bus *bus, const char *stream, uint64_t before_seq,
                                 uint64_t *purged, struct bus_error *error);
/* Bytes of file storage that the account can still reserve; INT64_MAX where it is not bounded (the
 * server as a whole may be, and then refuses with BUS_FULL). */
enum bus_status bus_storage_left(struct bus *bus, int64_t *bytes, struct bus_error *error);

/* ---- reading ---- */

struct bus_msg {
    const char *subject; /* NUL-terminated */
    const char *data;
    size_t size;
    uint64_t stream_seq;
    int64_t received_ns; /* the broker's time */
    uint64_t pending;    /* messages behind this one in the consumer */
    void *impl;
    const char *headers; /* where it came over a line of its own */
    size_t headers_bytes;
};
/* A header's first value, valid as long as the message; NULL where there is none. */
const char *bus_msg_header(const struct bus_msg *msg, const char *name);
void bus_msg_done(struct bus_msg *msg);

enum bus_from {
    BUS_FROM_SEQ,      /* from `seq` on (0 and 1: from the first) */
    BUS_FROM_LAST_PER, /* the last of each subject, then on */
    BUS_FROM_NEW,      /* only what comes from now on */
    BUS_FROM_TIME,     /* the first that was received at `time_ns` or later, then on */
};

struct bus_consume {
    const char *stream;
    const char *filter; /* subject, NULL for all of the stream */
    enum bus_from from;
    uint64_t seq;
    int64_t time_ns;  /* BUS_FROM_TIME */
    int64_t epoch_ns; /* the stream's creation that `seq` belongs to; 0: whatever it is */
    /* The broker's time of message `seq` - 1, 0 where not known: another time there means that the
     * stream lost its tail and wrote on (acknowledged is not yet fsynced). */
    int64_t before_received_ns;
    bool headers_only;
    /* Read over a connection of its own where that is possible (hub/bus_line.h): for streams whose
     * messages cost more to be handed over than to be dealt with. Then a message is valid until the
     * next call of bus_next. */
    bool own_line;
};

/* Opens an ordered, unacknowledged consumer. It survives reconnects: what was lost on the way is
 * read again from the last sequence handed out, in order, nothing twice. BUS_EPOCH when the stream
 * is not of `epoch_ns` or ends before `seq` - 1. `info`, where not NULL, tells of the stream as it
 * was at opening, also with BUS_EPOCH. */
enum bus_status bus_consume(struct bus *bus, const struct bus_consume *what,
                            struct bus_consumer **consumer, struct bus_stream_info *info,
                            struct bus_error *error);
/* The next message. BUS_TIMEOUT: none within timeout_ms (0: none at hand). BUS_DISCONNECTED: no
 * connection now, or the stream is gone; call again, it comes back by itself. BUS_EPOCH: close and
 * open anew. While messages keep coming it looks for more once a millisecond. Where it has to
 * subscribe anew it may wait for the server's answers beyond timeout_ms, seconds at most. */
enum bus_status bus_next(struct bus_consumer *consumer, int timeout_ms, struct bus_msg *msg);
/* True when bus_next has something to look at without waiting. */
bool bus_at_hand(struct bus_consumer *consumer);
/* True when all that the stream held at the last look has been handed out, and the connection is
 * up; a look costs a request and is made only when nothing is at hand. */
bool bus_caught_up(struct bus_consumer *consumer);
/* The same as of this call: the server is asked in any case, and waited for. */
bool bus_caught_up_now(struct bus_consumer *consumer);
void bus_consumer_close(struct bus_consumer *consumer);

/* One message, asked for by name: the leader's answer, so what was stored before is seen. Released
 * with bus_stored_done. */
struct bus_stored {
    char *subject, *data; /* NUL-terminated */
    size_t size;
    uint64_t seq;
    int64_t received_ns;
    char *headers; /* as stored, NULL for none; read by bus_stored_header */
};
/* The last message of a subject. BUS_NOT_FOUND where there is none. */
enum bus_status bus_get_last(struct bus *bus, const char *stream, const char *subject,
                             struct bus_stored *stored, struct bus_error *error);
/* The message at `seq`. BUS_NOT_FOUND where it is gone, or never was. */
enum bus_status bus_get_seq(struct bus *bus, const char *stream, uint64_t seq,
                            struct bus_stored *stored, struct bus_error *error);
/* The first message at `seq` or behind it whose subject matches. BUS_NOT_FOUND where there is none.
 * It costs the broker a look at what lies between. */
enum bus_status bus_get_next(struct bus *bus, const char *stream, const char *filter, uint64_t seq,
                             struct bus_stored *stored, struct bus_error *error);
/* Copies a header's first value; false where there is none, or it does not fit. */
bool bus_stored_header(const struct bus_stored *stored, const char *name, char *value,
                       size_t value_bytes);
void bus_stored_done(struct bus_stored *stored);

/* ---- publishing ---- */

/* At most once, nothing stored: flushed by the client within a millisecond or so. */
enum bus_status bus_publish(struct bus *bus, const char *subject, const void *data, size_t size);

#define BUS_ANY_SEQ UINT64_MAX

enum { BUS_HEADERS_MAX = 6 };
struct bus_header {
    const char *name, *value;
};

struct bus_store {
    const char *subject;
    const void *data;
    size_t size;
    const char *msg_id;                         /* Nats-Msg-Id, NULL for none */
    uint64_t expected_last_of_subject;          /* BUS_ANY_SEQ: no expectation; 0: none there yet */
    struct bus_header headers[BUS_HEADERS_MAX]; /* others; up to the first without a name */
};
/* Publishes and waits for the stream's acknowledgement. */
enum bus_status bus_store(struct bus *bus, const struct bus_store *what, int timeout_ms,
                          uint64_t *seq, struct bus_error *error);

/* The same without waiting. `done` is called once for each message that was taken (BUS_OK), on a
 * thread of the bus, with the outcome; it must not block. BUS_DISCONNECTED and BUS_TIMEOUT there
 * leave open whether it was stored. Anything but BUS_OK from bus_outbox_store means that nothing
 * was sent and `done` is not called: BUS_FULL when `outbox_max` are unanswered. */
typedef void bus_stored_fn(void *closure, uint64_t tag, enum bus_status status, uint64_t seq);
struct bus_outbox;
struct bus_outbox *bus_outbox_new(struct bus *bus, size_t outbox_max, bus_stored_fn *done,
                                  void *closure);
enum bus_status bus_outbox_store(struct bus_outbox *outbox, const struct bus_store *what,
                                 uint64_t tag);
size_t bus_outbox_pending(const struct bus_outbox *outbox);
/* Waits until nothing is pending; false after timeout_ms. */
bool bus_outbox_flush(struct bus_outbox *outbox, int timeout_ms);
/* What is still unanswered gets its `done` with BUS_DISCONNECTED. */
void bus_outbox_free(struct bus_outbox *outbox);

/* ---- asking and answering, of which nothing is stored ---- */

/* Asks whoever listens on `subject`, and waits. BUS_NOT_FOUND: nobody does. BUS_FULL: more than the
 * server takes in one message. BUS_TIMEOUT and BUS_DISCONNECTED leave open whether it was heard.
 * `*reply` is malloc'd and NUL-terminated. */
enum bus_status bus_request(struct bus *bus, const char *subject, const void *data, size_t size,
                            int timeout_ms, char **reply, size_t *reply_bytes,
                            struct bus_error *error);

/* Listens on a subject, through reconnects. `served` is called for each message that wants an
 * answer, on the service's own thread, and answers now or later by publishing to `reply`. */
typedef void bus_served_fn(void *closure, const char *reply, const char *data, size_t size);
struct bus_service;
struct bus_service *bus_service_open(struct bus *bus, const char *subject, bus_served_fn *served,
                                     void *closure);
/* `served` is not called after this. NULL is closed. */
void bus_service_close(struct bus_service *service);

/* A header's text that names this version of nats.c, for /version. */
const char *bus_library_version(void);

#endif
