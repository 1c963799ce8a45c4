/*
 * bus_wire: what a NATS server sends, taken apart in place (the client protocol:
 * docs.nats.io, reference, nats-protocol).
 *
 *     MSG <subject> <sid> [reply] <bytes>\r\n<data>\r\n
 *     HMSG <subject> <sid> [reply] <header bytes> <bytes>\r\n<headers><data>\r\n
 *     PING, PONG, +OK, -ERR <text>, INFO <JSON>
 *
 * Pure functions, any thread. Nothing is copied: a frame points into the bytes it was read from.
 */
#ifndef HUB_BUS_WIRE_H
#define HUB_BUS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    WIRE_LINE_MAX_BYTES = 64 * 1024, /* of a line; INFO names every server of a cluster */
    WIRE_MSG_MAX_BYTES = 64 << 20,   /* no server takes more (its max_payload) */
    WIRE_STATUS_BYTES = 4,
};

enum wire_kind {
    WIRE_MORE, /* the frame is not complete yet */
    WIRE_BAD,  /* no server sends this */
    WIRE_MSG,
    WIRE_PING,
    WIRE_PONG,
    WIRE_ERR,
    WIRE_OTHER, /* +OK, INFO */
};

struct wire_frame {
    enum wire_kind kind;
    size_t bytes; /* of the whole frame; WIRE_MORE: how many there are at least, 0: not known */
    /* WIRE_MSG: */
    uint64_t sid;
    const char *subject, *reply; /* NUL-terminated; reply "" where there is none */
    const char *headers;         /* the lines behind the first, each ends in NUL and \n */
    size_t headers_bytes;
    char status[WIRE_STATUS_BYTES]; /* of the headers' first line, "" for none */
    const char *data;               /* NUL-terminated (the NUL is not counted) */
    size_t size;
    const char *text; /* WIRE_ERR: NUL-terminated */
};

/* Takes the first frame of what was received. It is written into (NULs) where the frame is
 * complete, and left alone where it is not. */
void wire_take(char *received, size_t size, struct wire_frame *frame);
/* A header's first value, NUL-terminated; NULL where there is none. */
const char *wire_header(const char *headers, size_t headers_bytes, const char *name);

#endif
