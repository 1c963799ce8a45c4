/* One message by its sequence or its subject, through JetStream's API: the leader answers, so that
 * whatever was acknowledged before is seen. */
#include "hub/bus_api.h"
#include "hub/bus_impl.h"
#include "twin/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* -1 for what is no digit of base64 */
static int digit_value(char c)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c ? strchr(digits, c) : NULL;
    return at ? (int)(at - digits) : -1;
}

/* NUL-terminated; NULL for no text, no base64 or no memory. */
static char *from_base64(const json_t *value, size_t *size)
{
    const char *text = json_string_value(value);
    size_t length = text ? strlen(text) : 0, used = 0;
    char *out = text ? malloc(length / 4 * 3 + 4) : NULL;
    uint32_t held = 0;
    int bits = 0;
    for (size_t i = 0; out && i < length && text[i] != '='; i++) {
        int digit = digit_value(text[i]);
        if (digit < 0) {
            free(out);
            return NULL;
        }
        held = held << 6 | (uint32_t)digit;
        bits += 6;
        if (bits >= 8) {
            bits -= 8;
            out[used++] = (char)(held >> bits);
        }
    }
    if (out)
        out[used] = '\0';
    *size = used;
    return out;
}

static bool read_stored(const json_t *message, struct bus_stored *stored)
{
    const char *subject = json_string_value(json_object_get(message, "subject"));
    const char *time = json_string_value(json_object_get(message, "time"));
    const json_t *data = json_object_get(message, "data"), *hdrs = json_object_get(message, "hdrs");
    json_int_t seq = json_integer_value(json_object_get(message, "seq"));
    size_t header_bytes;
    *stored = (struct bus_stored){.seq = (uint64_t)seq};
    if (!subject || seq <= 0 || !time || !timestamp_parse(time, strlen(time), &stored->received_ns))
        return false;
    stored->subject = strdup(subject);
    stored->data = data ? from_base64(data, &stored->size) : calloc(1, 1);
    stored->headers = hdrs ? from_base64(hdrs, &header_bytes) : NULL;
    if (stored->subject && stored->data && (stored->headers || !hdrs))
        return true;
    bus_stored_done(stored);
    return false;
}

static enum bus_status get(struct bus *bus, const char *stream, json_t *request,
                           struct bus_stored *stored, struct bus_error *error)
{
    char call[BUS_API_SUBJECT_BYTES];
    json_t *root = NULL;
    if (!request) {
        bus_error_set(error, "out of memory");
        return BUS_ERROR;
    }
    snprintf(call, sizeof call, "STREAM.MSG.GET.%s", stream);
    enum bus_status status = bus_api(bus, call, request, &root, error);
    if (status == BUS_OK && !read_stored(json_object_get(root, "message"), stored)) {
        bus_error_set(error, "%s: JetStream's answer holds no readable message", stream);
        status = BUS_ERROR;
    }
    json_decref(root);
    return status;
}

enum bus_status bus_get_last(struct bus *bus, const char *stream, const char *subject,
                             struct bus_stored *stored, struct bus_error *error)
{
    return get(bus, stream, json_pack("{s:s}", "last_by_subj", subject), stored, error);
}

enum bus_status bus_get_seq(struct bus *bus, const char *stream, uint64_t seq,
                            struct bus_stored *stored, struct bus_error *error)
{
    return get(bus, stream, json_pack("{s:I}", "seq", (json_int_t)seq), stored, error);
}

enum bus_status bus_get_next(struct bus *bus, const char *stream, const char *filter, uint64_t seq,
                             struct bus_stored *stored, struct bus_error *error)
{
    json_int_t from = seq > 0 ? (json_int_t)seq : 1;
    return get(bus, stream, json_pack("{s:I, s:s}", "seq", from, "next_by_subj", filter), stored,
               error);
}

bool bus_stored_header(const struct bus_stored *stored, const char *name, char *value,
                       size_t value_bytes)
{
    size_t name_size = strlen(name);
    for (const char *line = stored->headers; line && *line;) {
        const char *end = strstr(line, "\r\n");
        size_t size = end ? (size_t)(end - line) : strlen(line);
        if (size > name_size && line[name_size] == ':' && strncasecmp(line, name, name_size) == 0) {
            const char *at = line + name_size + 1;
            at += *at == ' ';
            size_t length = (size_t)(line + size - at);
            if (length >= value_bytes)
                return false;
            memcpy(value, at, length);
            value[length] = '\0';
            return true;
        }
        line = end ? end + 2 : NULL;
    }
    return false;
}

void bus_stored_done(struct bus_stored *stored)
{
    free(stored->subject);
    free(stored->data);
    free(stored->headers);
    *stored = (struct bus_stored){0};
}
