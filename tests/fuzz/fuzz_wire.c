/*
 * fuzz_wire: any bytes as what a NATS server sends.
 *
 * All frames of the input are taken, as a line takes them. A frame lies within the bytes, its parts
 * within the frame; what was cut off is taken the same once the rest has come.
 */
#include "hub/bus_wire.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static bool within(const char *at, size_t size, const char *from, size_t bytes)
{
    return at >= from && size <= bytes && (size_t)(at - from) <= bytes - size;
}

static void check_msg(const struct wire_frame *frame, const char *from)
{
    require(within(frame->subject, strlen(frame->subject) + 1, from, frame->bytes),
            "a subject lies in the frame");
    require(!*frame->reply || within(frame->reply, strlen(frame->reply) + 1, from, frame->bytes),
            "a reply lies in the frame");
    require(within(frame->data, frame->size + 1, from, frame->bytes), "data lie in the frame");
    require(frame->data[frame->size] == '\0', "data end in NUL");
    require(memchr(frame->status, '\0', sizeof frame->status) != NULL, "a status ends");
    if (!frame->headers)
        return;
    require(within(frame->headers, frame->headers_bytes, from, frame->bytes),
            "headers lie in the frame");
    static const char *const names[] = {"", "A", "Nats-Last-Consumer", "KV-Operation"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        const char *value = wire_header(frame->headers, frame->headers_bytes, names[i]);
        require(!value || within(value, strlen(value) + 1, from, frame->bytes),
                "a header lies in the frame");
    }
}

/* The first `size` bytes of the frame, alone in a block. */
static void check_cut(const char *text, size_t size, const struct wire_frame *whole)
{
    struct wire_frame frame;
    char *part = malloc(size ? size : 1);
    require(part != NULL, "memory");
    memcpy(part, text, size);
    wire_take(part, size, &frame);
    require(frame.kind == WIRE_MORE || (whole->kind == WIRE_BAD && frame.kind == WIRE_BAD),
            "what is cut off is asked for");
    require(frame.kind == WIRE_BAD || memcmp(part, text, size) == 0,
            "what is cut off is left alone");
    free(part);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *received = malloc(size ? size : 1), *before = malloc(size ? size : 1);
    require(received && before, "memory");
    memcpy(received, data, size);
    for (size_t at = 0;;) {
        struct wire_frame frame;
        memcpy(before, received, size);
        wire_take(received + at, size - at, &frame);
        if (frame.kind == WIRE_MORE) {
            require(memcmp(before, received, size) == 0, "what is not complete is left alone");
            require(frame.bytes == 0 || frame.bytes > size - at, "more is more");
            break;
        }
        if (frame.kind == WIRE_BAD)
            break;
        require(frame.bytes > 0 && frame.bytes <= size - at, "a frame lies within what came");
        if (frame.kind == WIRE_MSG)
            check_msg(&frame, received + at);
        if (frame.kind == WIRE_ERR)
            require(within(frame.text, strlen(frame.text) + 1, received + at, frame.bytes),
                    "a text lies in the frame");
        check_cut(before + at, frame.bytes / 2, &frame);
        check_cut(before + at, frame.bytes - 1, &frame);
        at += frame.bytes;
    }
    free(before);
    free(received);
    return 0;
}
