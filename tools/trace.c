#include "tools/trace.h"

#include "tools/geo.h"
#include "tools/message.h"

#include "twin/timestamp.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TRACE_SECONDS_MAX 1e7

struct trace {
    struct trace_line *lines;
    size_t count, capacity;
    struct roster *vehicles;
    char **texts; /* one a line; the line's type and data point into it */
};

struct trace *trace_new(void)
{
    struct trace *trace = calloc(1, sizeof *trace);
    if (trace && !(trace->vehicles = roster_new())) {
        free(trace);
        return NULL;
    }
    return trace;
}

void trace_free(struct trace *trace)
{
    if (!trace)
        return;
    for (size_t i = 0; i < trace->count; i++)
        free(trace->texts[i]);
    free(trace->texts);
    free(trace->lines);
    roster_free(trace->vehicles);
    free(trace);
}

/* ---- finding the bytes of a member in text that is known to be valid JSON ---- */

static size_t skip_space(const char *text, size_t at)
{
    return at + strspn(text + at, " \t\r\n");
}

static size_t skip_string(const char *text, size_t at)
{
    for (at++; text[at] != '"'; at++)
        if (text[at] == '\\')
            at++;
    return at + 1;
}

static size_t skip_value(const char *text, size_t at)
{
    int depth = 0;
    do {
        char c = text[at];
        if (c == '"') {
            at = skip_string(text, at);
        } else if (c == '{' || c == '[') {
            depth++;
            at++;
        } else if (c == '}' || c == ']') {
            depth--;
            at++;
        } else if (depth == 0) {
            return at + strcspn(text + at, ",}] \t\r\n");
        } else {
            at++;
        }
    } while (depth > 0);
    return at;
}

/* The value of the member `name` of the object at `at`, in text that ends in NUL. */
static bool find_member(const char *text, size_t at, const char *name, size_t *start, size_t *end)
{
    size_t name_bytes = strlen(name);
    at = skip_space(text, skip_space(text, at) + 1);
    while (text[at] == '"') {
        size_t name_start = at + 1, name_end = skip_string(text, at) - 1;
        size_t value = skip_space(text, skip_space(text, name_end + 1) + 1);
        size_t after = skip_value(text, value);
        if (name_end - name_start == name_bytes &&
            memcmp(text + name_start, name, name_bytes) == 0) {
            *start = value;
            *end = after;
            return true;
        }
        at = skip_space(text, after);
        if (text[at] == ',')
            at = skip_space(text, at + 1);
    }
    return false;
}

/* ---- reading ---- */

static const char *read_line(struct trace *trace, json_t *root, char *text, struct trace_line *line)
{
    double t;
    const char *vid, *subject;
    json_t *data;
    size_t start, end;

    if (json_unpack(root, "{s:F, s:s, s:s, s:o}", "t", &t, "vid", &vid, "subject", &subject, "data",
                    &data) != 0 ||
        !json_is_object(data))
        return "it needs \"t\", \"vid\", \"subject\" and an object \"data\"";
    if (!(t >= 0 && t <= TRACE_SECONDS_MAX))
        return "\"t\" is not in 0..1e7";
    if (!message_kind_parse(subject, &line->category, &line->type))
        return "\"subject\" is none of state.*, evt.*, cmdack.*";
    line->vehicle = roster_add(trace->vehicles, vid, strlen(vid));
    if (line->vehicle == ROSTER_NONE)
        return "\"vid\" is no vehicle id";
    line->t_ns = (int64_t)llround(t * (double)NS_PER_S);
    json_t *lat = json_object_get(data, "lat"), *lon = json_object_get(data, "lon");
    line->placed = line->category == CATEGORY_STATE && strcmp(line->type, "position") == 0 &&
                   json_is_number(lat) && json_is_number(lon) &&
                   (json_number_value(lat) != 0 || json_number_value(lon) != 0);
    line->lat = json_number_value(lat);
    line->lon = json_number_value(lon);
    /* the type's text lives in the JSON tree, which goes: find it in the line, which stays */
    if (!find_member(text, 0, "subject", &start, &end) || end - start - 2 != strlen(subject) ||
        memchr(text + start, '\\', end - start))
        return "\"subject\" has escapes";
    text[end - 1] = '\0';
    line->type = text + start + 1 + (line->type - subject);
    return NULL;
}

static bool add_room(struct trace *trace)
{
    if (trace->count < trace->capacity)
        return true;
    size_t capacity = trace->capacity ? trace->capacity * 2 : 1024;
    struct trace_line *lines = realloc(trace->lines, capacity * sizeof *lines);
    if (lines)
        trace->lines = lines;
    char **texts = realloc(trace->texts, capacity * sizeof *texts);
    if (texts)
        trace->texts = texts;
    if (!lines || !texts)
        return false;
    trace->capacity = capacity;
    return true;
}

/* Adds one line; NULL, or what is wrong with it. */
static const char *add_line(struct trace *trace, const char *from, size_t size)
{
    struct trace_line line = {.order = (uint32_t)trace->count};
    const char *wrong = "no memory";
    size_t start, end;

    if (size > TRACE_LINE_BYTES_MAX || trace->count >= TRACE_LINES_MAX)
        return "too long, or too many";
    json_t *root = json_loadb(from, size, JSON_REJECT_DUPLICATES, NULL);
    if (!root)
        return "it is not JSON";
    char *text = strndup(from, size);
    if (text && add_room(trace)) {
        if (!find_member(text, 0, "data", &start, &end)) {
            wrong = "it has no \"data\"";
        } else {
            line.data = text + start;
            line.data_bytes = (uint32_t)(end - start);
            wrong = read_line(trace, root, text, &line);
        }
    }
    json_decref(root);
    if (wrong) {
        free(text);
        return wrong;
    }
    trace->texts[trace->count] = text;
    trace->lines[trace->count++] = line;
    return NULL;
}

bool trace_read_text(struct trace *trace, const char *name, const char *text, size_t size,
                     char error[TRACE_ERROR_BYTES])
{
    size_t number = 0;
    for (size_t at = 0; at < size;) {
        const char *newline = memchr(text + at, '\n', size - at);
        size_t length = newline ? (size_t)(newline - (text + at)) : size - at;
        size_t used = length;
        number++;
        while (used > 0 && strchr(" \t\r", text[at + used - 1]))
            used--;
        const char *wrong = used > 0 ? add_line(trace, text + at, used) : NULL;
        if (wrong) {
            snprintf(error, TRACE_ERROR_BYTES, "%s:%zu: %s", name, number, wrong);
            return false;
        }
        at += length + 1;
    }
    return true;
}

bool trace_read(struct trace *trace, const char *path, char error[TRACE_ERROR_BYTES])
{
    struct buf text = BUF_INIT;
    bool stdin_asked = strcmp(path, "-") == 0, ok = false;
    FILE *file = stdin_asked ? stdin : fopen(path, "rb");

    if (!file) {
        snprintf(error, TRACE_ERROR_BYTES, "%s: %s", path, strerror(errno));
        return false;
    }
    while (!text.failed && !feof(file) && !ferror(file)) {
        char chunk[65536];
        buf_add(&text, chunk, fread(chunk, 1, sizeof chunk, file));
    }
    if (ferror(file) || text.failed)
        snprintf(error, TRACE_ERROR_BYTES, "%s: %s", path,
                 text.failed ? "no memory" : strerror(errno));
    else
        ok = trace_read_text(trace, path, text.data, text.size_bytes, error);
    if (!stdin_asked)
        fclose(file);
    buf_done(&text);
    return ok;
}

static int compare_lines(const void *a, const void *b)
{
    const struct trace_line *x = a, *y = b;
    if (x->t_ns != y->t_ns)
        return x->t_ns < y->t_ns ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

void trace_sort(struct trace *trace)
{
    if (trace->count > 0)
        qsort(trace->lines, trace->count, sizeof *trace->lines, compare_lines);
}

size_t trace_count(const struct trace *trace)
{
    return trace->count;
}

const struct trace_line *trace_line(const struct trace *trace, size_t at)
{
    return &trace->lines[at];
}

int64_t trace_length_ns(const struct trace *trace)
{
    return trace->count ? trace->lines[trace->count - 1].t_ns : 0;
}

const struct roster *trace_vehicles(const struct trace *trace)
{
    return trace->vehicles;
}

void trace_write_displaced(struct buf *buf, const struct trace_line *line, double north_m,
                           double east_m)
{
    size_t lat_start, lat_end, lon_start, lon_end;
    double lat = geo_lat(line->lat, north_m), lon = geo_lon(line->lat, line->lon, east_m);

    /* the text that follows data closes the line's own object, so the search ends within it */
    if (!line->placed || !find_member(line->data, 0, "lat", &lat_start, &lat_end) ||
        !find_member(line->data, 0, "lon", &lon_start, &lon_end)) {
        buf_add(buf, line->data, line->data_bytes);
        return;
    }
    bool lat_first = lat_start < lon_start;
    size_t a = lat_first ? lat_start : lon_start, a_end = lat_first ? lat_end : lon_end;
    size_t b = lat_first ? lon_start : lat_start, b_end = lat_first ? lon_end : lat_end;
    buf_add(buf, line->data, a);
    buf_addf(buf, "%.7f", lat_first ? lat : lon);
    buf_add(buf, line->data + a_end, b - a_end);
    buf_addf(buf, "%.7f", lat_first ? lon : lat);
    buf_add(buf, line->data + b_end, line->data_bytes - b_end);
}
