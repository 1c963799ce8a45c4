#include "hub/sse.h"

#include <string.h>

void sse_init(struct sse_reader *reader)
{
    *reader = (struct sse_reader){.has_data = false};
}

void sse_done(struct sse_reader *reader)
{
    buf_done(&reader->line);
    buf_done(&reader->name);
    buf_done(&reader->data);
    buf_done(&reader->id);
    buf_done(&reader->last_id);
}

void sse_restart(struct sse_reader *reader)
{
    buf_reset(&reader->line);
    buf_reset(&reader->name);
    buf_reset(&reader->data);
    buf_reset(&reader->id);
    reader->has_data = reader->after_cr = false;
}

const char *sse_last_id(struct sse_reader *reader)
{
    return reader->last_id.size_bytes > 0 ? buf_cstr(&reader->last_id) : NULL;
}

static void replace(struct buf *buf, const char *text, size_t size)
{
    buf_reset(buf);
    buf_add(buf, text, size);
}

static bool end_event(struct sse_reader *reader,
                      bool (*tell)(void *closure, const struct sse_event *event), void *closure)
{
    bool more = true;
    if (reader->has_data) {
        struct sse_event event = {.name = reader->name.size_bytes > 0 ? buf_cstr(&reader->name)
                                                                      : "message",
                                  .data = buf_cstr(&reader->data)};
        more = tell(closure, &event);
    }
    /* Only now has all of the event been told that its id stands for. */
    if (more && reader->id.size_bytes > 0)
        replace(&reader->last_id, reader->id.data, reader->id.size_bytes);
    buf_reset(&reader->name);
    buf_reset(&reader->data);
    reader->has_data = false;
    return more;
}

static bool is_field(const char *line, size_t size, const char *name)
{
    return strlen(name) == size && memcmp(line, name, size) == 0;
}

static void take_line(struct sse_reader *reader)
{
    const char *line = reader->line.data, *colon = memchr(line, ':', reader->line.size_bytes);
    size_t size = reader->line.size_bytes, name_size = colon ? (size_t)(colon - line) : size;
    const char *value = colon ? colon + 1 : line + size;
    if (value < line + size && *value == ' ')
        value++;
    size_t value_size = (size_t)(line + size - value);
    if (is_field(line, name_size, "event")) {
        replace(&reader->name, value, value_size);
    } else if (is_field(line, name_size, "data")) {
        if (reader->has_data)
            buf_addc(&reader->data, '\n');
        buf_add(&reader->data, value, value_size);
        reader->has_data = true;
    } else if (is_field(line, name_size, "id") && !memchr(value, '\0', value_size)) {
        replace(&reader->id, value, value_size);
    }
}

static bool failed(const struct sse_reader *reader)
{
    return reader->line.failed || reader->name.failed || reader->data.failed || reader->id.failed ||
           reader->last_id.failed ||
           reader->line.size_bytes + reader->data.size_bytes > SSE_EVENT_MAX_BYTES;
}

bool sse_read(struct sse_reader *reader, const char *bytes, size_t size,
              bool (*tell)(void *closure, const struct sse_event *event), void *closure)
{
    for (size_t i = 0; i < size && !failed(reader); i++) {
        bool line_feed_of_pair = bytes[i] == '\n' && reader->after_cr;
        reader->after_cr = bytes[i] == '\r';
        if (line_feed_of_pair)
            continue;
        if (bytes[i] != '\n' && bytes[i] != '\r') {
            buf_addc(&reader->line, bytes[i]);
            continue;
        }
        if (reader->line.size_bytes > 0)
            take_line(reader);
        else if (!end_event(reader, tell, closure))
            return false;
        buf_reset(&reader->line);
    }
    return !failed(reader);
}
