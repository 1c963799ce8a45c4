/*
 * trace: recorded flights, one JSON object a line: {"t": s, "vid": …, "subject": "state.position",
 * "data": {…}}. Several files are merged in order of `t`.
 *
 * The text of `data` is kept byte for byte, so that what arrives is what was recorded.
 *
 * Ownership: the trace owns everything it hands out. Threads: immutable once read.
 */
#ifndef TOOLS_TRACE_H
#define TOOLS_TRACE_H

#include "tools/roster.h"

#include "twin/buf.h"
#include "twin/envelope.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TRACE_LINES_MAX = 20000000,
    TRACE_LINE_BYTES_MAX = 1 << 20,
    TRACE_ERROR_BYTES = 512,
};

struct trace_line {
    int64_t t_ns;
    uint32_t vehicle; /* in trace_vehicles */
    enum category category;
    const char *type, *data;
    uint32_t data_bytes;
    uint32_t order; /* of reading */
    /* state.position with a fix: where `lat` and `lon` stand as numbers within data */
    bool placed;
    double lat, lon;
};

struct trace;
struct trace *trace_new(void);
void trace_free(struct trace *trace);
/* Adds a file's lines. False, with `error` set, on a file that cannot be read or a bad line. */
bool trace_read(struct trace *trace, const char *path, char error[TRACE_ERROR_BYTES]);
/* The same from text; `name` stands for the file in errors. */
bool trace_read_text(struct trace *trace, const char *name, const char *text, size_t size,
                     char error[TRACE_ERROR_BYTES]);
/* To be called once after reading: brings the lines of all files into order. */
void trace_sort(struct trace *trace);

size_t trace_count(const struct trace *trace);
const struct trace_line *trace_line(const struct trace *trace, size_t at);
int64_t trace_length_ns(const struct trace *trace);
const struct roster *trace_vehicles(const struct trace *trace);

/* Appends the data of a placed line displaced by so many metres. */
void trace_write_displaced(struct buf *buf, const struct trace_line *line, double north_m,
                           double east_m);

#endif
