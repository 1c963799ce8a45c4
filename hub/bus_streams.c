#include "hub/bus_api.h"
#include "hub/bus_impl.h"
#include "twin/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Error codes of the JetStream API (nats-server's errors.json). */
enum {
    JS_STREAM_NOT_FOUND = 10059,
    JS_CONSUMER_NOT_FOUND = 10014,
    JS_MESSAGE_NOT_FOUND = 10037,
    JS_WRONG_LAST_SEQUENCE = 10071,
    JS_WRONG_LAST_SEQUENCE_CONSTANT = 10164,
    JS_STREAM_NAME_EXISTS = 10058,
    JS_STREAM_STORE_FAILED = 10077,
    JS_STORAGE_EXCEEDED = 10047,
    JS_INSUFFICIENT_RESOURCES = 10023,
    JS_ACCOUNT_RESOURCES_EXCEEDED = 10002,
    JS_UNAVAILABLE = 10008,
    HTTP_UNAVAILABLE = 503,
    STREAM_LIST_MAX = 1000000, /* streams looked at when adding up what is reserved */
};

static enum bus_status status_of_api_error(int code, int err_code, const char *description)
{
    switch (err_code) {
    case JS_STREAM_NOT_FOUND:
    case JS_CONSUMER_NOT_FOUND:
    case JS_MESSAGE_NOT_FOUND:
        return BUS_NOT_FOUND;
    case JS_WRONG_LAST_SEQUENCE:
    case JS_WRONG_LAST_SEQUENCE_CONSTANT:
    case JS_STREAM_NAME_EXISTS:
        return BUS_CONFLICT;
    case JS_STORAGE_EXCEEDED:
    case JS_INSUFFICIENT_RESOURCES:
    case JS_ACCOUNT_RESOURCES_EXCEEDED:
        return BUS_FULL;
    case JS_STREAM_STORE_FAILED: /* one code for every reason */
        return strstr(description, "maximum") ? BUS_FULL : BUS_ERROR;
    case JS_UNAVAILABLE:
        return BUS_DISCONNECTED;
    default:
        return code == HTTP_UNAVAILABLE ? BUS_DISCONNECTED : BUS_ERROR;
    }
}

enum bus_status bus_api_answer(const char *text, size_t size, json_t **root,
                               struct bus_error *error)
{
    json_error_t why;
    json_t *answer = json_loadb(text ? text : "", text ? size : 0, 0, &why);
    if (!json_is_object(answer)) {
        bus_error_set(error, "JetStream's answer is no JSON object");
        json_decref(answer);
        return BUS_ERROR;
    }
    const json_t *bad = json_object_get(answer, "error");
    if (!bad) {
        *root = answer;
        return BUS_OK;
    }
    const char *description = json_string_value(json_object_get(bad, "description"));
    int code = (int)json_integer_value(json_object_get(bad, "code"));
    int err_code = (int)json_integer_value(json_object_get(bad, "err_code"));
    if (!description)
        description = "error without a description";
    bus_error_set(error, "%s (%d)", description, err_code);
    enum bus_status status = status_of_api_error(code, err_code, description);
    json_decref(answer);
    return status;
}

enum bus_status bus_api(struct bus *bus, const char *call, json_t *request, json_t **reply,
                        struct bus_error *error)
{
    enum bus_status status = BUS_ERROR;
    char subject[BUS_API_SUBJECT_BYTES];
    natsMsg *answer = NULL;
    char *body = request ? json_dumps(request, JSON_COMPACT) : NULL;
    natsConnection *nc = bus_link_up(bus);
    if (request && !body) {
        bus_error_set(error, "out of memory");
        goto out;
    }
    if (snprintf(subject, sizeof(subject), "$JS.API.%s", call) >= (int)sizeof(subject)) {
        bus_error_set(error, "the subject is too long");
        goto out;
    }
    if (!nc) {
        bus_error_set(error, "not connected");
        status = BUS_DISCONNECTED;
        goto out;
    }
    natsStatus sent = natsConnection_Request(&answer, nc, subject, body ? body : "",
                                             body ? (int)strlen(body) : 0, BUS_API_TIMEOUT_MS);
    if (sent != NATS_OK) {
        status = bus_status_of(sent);
        if (status == BUS_TIMEOUT)
            status = BUS_DISCONNECTED;
        bus_error_set(error, "%s: %s", subject, natsStatus_GetText(sent));
        goto out;
    }
    json_t *root = NULL;
    status = bus_api_answer(natsMsg_GetData(answer), (size_t)natsMsg_GetDataLength(answer), &root,
                            error);
    if (status == BUS_OK && reply)
        *reply = root;
    else
        json_decref(root);
out:
    natsMsg_Destroy(answer);
    free(body);
    json_decref(request);
    return status;
}

/* ---- looking ---- */

static uint64_t count_of(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

static bool text_is(const json_t *object, const char *name, const char *text)
{
    const char *value = json_string_value(json_object_get(object, name));
    return value && strcmp(value, text) == 0;
}

static bool info_read(const json_t *root, struct bus_stream_info *info)
{
    const char *created = json_string_value(json_object_get(root, "created"));
    const json_t *config = json_object_get(root, "config");
    const json_t *state = json_object_get(root, "state");
    const json_t *subjects = json_object_get(config, "subjects");
    const char *subject = json_string_value(json_array_get(subjects, 0));
    struct bus_stream_info read = {
        .first_seq = count_of(state, "first_seq"),
        .last_seq = count_of(state, "last_seq"),
        .messages = count_of(state, "messages"),
        .bytes = count_of(state, "bytes"),
        .subjects = count_of(state, "num_subjects"),
        .max_bytes = json_integer_value(json_object_get(config, "max_bytes")),
        .replicas = json_integer_value(json_object_get(config, "num_replicas")),
        .limits_retention = text_is(config, "retention", "limits"),
        .file_storage = text_is(config, "storage", "file"),
        .rollup_allowed = json_is_true(json_object_get(config, "allow_rollup_hdrs")),
        .discard_new = text_is(config, "discard", "new"),
        .max_per_subject = json_integer_value(json_object_get(config, "max_msgs_per_subject")),
        .subject_count = (int)json_array_size(subjects),
    };
    if (!created || !timestamp_parse(created, strlen(created), &read.created_ns))
        return false;
    if (read.max_per_subject <= 0)
        read.max_per_subject = -1;
    if (read.max_bytes <= 0)
        read.max_bytes = -1;
    snprintf(read.subject, sizeof(read.subject), "%s", subject ? subject : "");
    *info = read;
    return true;
}

static enum bus_status info_request(struct bus *bus, const char *stream, json_t **root,
                                    struct bus_error *error)
{
    char call[BUS_API_SUBJECT_BYTES];
    snprintf(call, sizeof(call), "STREAM.INFO.%s", stream);
    return bus_api(bus, call, NULL, root, error);
}

enum bus_status bus_stream_info(struct bus *bus, const char *stream, struct bus_stream_info *info,
                                struct bus_error *error)
{
    json_t *root = NULL;
    enum bus_status status = info_request(bus, stream, &root, error);
    if (status == BUS_OK && !info_read(root, info)) {
        bus_error_set(error, "%s: JetStream's answer has no creation time", stream);
        status = BUS_ERROR;
    }
    json_decref(root);
    return status;
}

enum bus_status bus_api_msg_time(struct bus *bus, const char *stream, uint64_t seq,
                                 int64_t *received_ns, struct bus_error *error)
{
    char call[BUS_API_SUBJECT_BYTES];
    json_t *root = NULL;
    snprintf(call, sizeof(call), "STREAM.MSG.GET.%s", stream);
    enum bus_status status =
        bus_api(bus, call, json_pack("{s:I}", "seq", (json_int_t)seq), &root, error);
    if (status == BUS_OK) {
        const char *time =
            json_string_value(json_object_get(json_object_get(root, "message"), "time"));
        if (!time || !timestamp_parse(time, strlen(time), received_ns)) {
            bus_error_set(error, "%s: a message without a time", stream);
            status = BUS_ERROR;
        }
    }
    json_decref(root);
    return status;
}

/* ---- changing ---- */

static json_int_t bound(int64_t value)
{
    return value > 0 ? (json_int_t)value : -1;
}

enum bus_status bus_stream_create(struct bus *bus, const struct bus_stream_spec *spec,
                                  struct bus_error *error)
{
    char call[BUS_API_SUBJECT_BYTES];
    json_t *config = json_pack(
        "{s:s, s:[s], s:s, s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:i, s:b, s:b, s:b}", "name",
        spec->name, "subjects", spec->subject, "retention", "limits", "storage", "file", "discard",
        spec->discard == BUS_DISCARD_NEW ? "new" : "old", "max_consumers", (json_int_t)-1,
        "max_msgs", (json_int_t)-1, "max_bytes", bound(spec->max_bytes), "max_age",
        (json_int_t)spec->max_age_ns, "max_msgs_per_subject", bound(spec->max_per_subject),
        "max_msg_size", bound(spec->max_msg_bytes), "num_replicas",
        spec->replicas > 0 ? spec->replicas : 1, "allow_rollup_hdrs", 0, "deny_delete", spec->kv,
        "allow_direct", spec->kv);
    if (config && spec->duplicate_ns > 0)
        json_object_set_new(config, "duplicate_window", json_integer(spec->duplicate_ns));
    if (!config) {
        bus_error_set(error, "out of memory");
        return BUS_ERROR;
    }
    snprintf(call, sizeof(call), "STREAM.CREATE.%s", spec->name);
    return bus_api(bus, call, config, NULL, error);
}

enum bus_status bus_stream_resize(struct bus *bus, const char *stream, int64_t max_bytes,
                                  struct bus_error *error)
{
    char call[BUS_API_SUBJECT_BYTES];
    json_t *root = NULL;
    enum bus_status status = info_request(bus, stream, &root, error);
    if (status != BUS_OK)
        return status;
    json_t *config = json_incref(json_object_get(root, "config"));
    json_decref(root);
    if (json_object_set_new(config, "max_bytes", json_integer(bound(max_bytes))) != 0) {
        json_decref(config);
        bus_error_set(error, "%s: JetStream's answer has no configuration", stream);
        return BUS_ERROR;
    }
    snprintf(call, sizeof(call), "STREAM.UPDATE.%s", stream);
    return bus_api(bus, call, config, NULL, error);
}

enum bus_status bus_stream_purge(struct bus *bus, const char *stream, uint64_t before_seq,
                                 uint64_t *purged, struct bus_error *error)
{
    char call[BUS_API_SUBJECT_BYTES];
    json_t *root = NULL;
    if (before_seq <= 1) { /* to the server 0 means everything */
        if (purged)
            *purged = 0;
        return BUS_OK;
    }
    json_t *request = json_pack("{s:I}", "seq", (json_int_t)before_seq);
    if (!request) { /* a purge without its bound would be a purge of everything */
        bus_error_set(error, "out of memory");
        return BUS_ERROR;
    }
    snprintf(call, sizeof(call), "STREAM.PURGE.%s", stream);
    enum bus_status status = bus_api(bus, call, request, &root, error);
    if (status == BUS_OK && purged)
        *purged = count_of(root, "purged");
    json_decref(root);
    return status;
}

/* What the account's streams reserve: each its max_bytes, for every replica. */
static enum bus_status reserved_bytes(struct bus *bus, int64_t *bytes, struct bus_error *error)
{
    int64_t sum = 0;
    for (json_int_t offset = 0; offset < STREAM_LIST_MAX;) {
        json_t *root = NULL;
        enum bus_status status =
            bus_api(bus, "STREAM.LIST", json_pack("{s:I}", "offset", offset), &root, error);
        if (status != BUS_OK)
            return status;
        const json_t *streams = json_object_get(root, "streams");
        size_t count = json_array_size(streams);
        json_int_t total = json_integer_value(json_object_get(root, "total"));
        for (size_t i = 0; i < count; i++) {
            const json_t *one = json_array_get(streams, i);
            const json_t *config = json_object_get(one, "config");
            json_int_t replicas = json_integer_value(json_object_get(config, "num_replicas"));
            json_int_t most = json_integer_value(json_object_get(config, "max_bytes"));
            if (!text_is(config, "storage", "file"))
                continue;
            if (most <= 0) /* unbounded: what it holds counts */
                most = (json_int_t)count_of(json_object_get(one, "state"), "bytes");
            sum += most * (replicas > 1 ? replicas : 1);
        }
        json_decref(root);
        offset += (json_int_t)count;
        if (count == 0 || offset >= total)
            break;
    }
    *bytes = sum;
    return BUS_OK;
}

enum bus_status bus_storage_left(struct bus *bus, int64_t *bytes, struct bus_error *error)
{
    json_t *root = NULL;
    enum bus_status status = bus_api(bus, "INFO", NULL, &root, error);
    if (status != BUS_OK)
        return status;
    const json_t *limit = json_object_get(json_object_get(root, "limits"), "max_storage");
    int64_t most = json_is_integer(limit) ? json_integer_value(limit) : -1;
    json_decref(root);
    if (most < 0) {
        *bytes = INT64_MAX;
        return BUS_OK;
    }
    int64_t reserved = 0;
    status = reserved_bytes(bus, &reserved, error);
    if (status == BUS_OK)
        *bytes = most > reserved ? most - reserved : 0;
    return status;
}
