/* What of a shadow's change is on record: its forms, for those who write and those who look
 * (hub/shadow_write.h). */
#include "hub/shadow_write.h"

#include "hub/shadow_history.h"
#include "hub/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DATA_MAX_BYTES = 960 * 1024 }; /* below the broker's max_payload of 1 MiB, headers beside */

void shadow_record_data(struct buf *out, enum part_kind kind, struct slice before,
                        struct slice after, uint64_t revision)
{
    bool both = before.size + after.size <= DATA_MAX_BYTES;
    buf_addf(out, "{\"part\":\"%s\",\"before\":", part_name(kind));
    if (both)
        buf_add(out, before.at, before.size);
    else
        buf_adds(out, "null");
    buf_adds(out, ",\"after\":");
    buf_add(out, after.at, after.size);
    if (revision)
        buf_addf(out, ",\"revision\":%llu", (unsigned long long)revision);
    buf_addc(out, '}');
}

bool shadow_outcome(const struct record *request, bool applied, uint64_t revision,
                    const char *reason, struct buf *text, struct record *outcome)
{
    char id[RECORD_ID_TEXT_BYTES], key[RECORD_ID_TEXT_BYTES + 16];
    record_id_format(request->id, id);
    /* One id whatever became of it: a request has one outcome, whoever comes to say so. */
    int key_bytes = snprintf(key, sizeof key, "%s/outcome", id);
    buf_addf(text, "{\"request\":\"%s\",\"revision\":%llu", id, (unsigned long long)revision);
    if (reason) {
        buf_adds(text, ",\"reason\":");
        buf_json_cstr(text, reason);
    }
    buf_addc(text, '}');
    record_init(outcome);
    record_id_of(RECORD_SHADOW, key, (size_t)key_bytes, outcome->id);
    outcome->kind = RECORD_SHADOW;
    outcome->type = applied ? (struct slice){"applied", 7} : (struct slice){"refused", 7};
    outcome->vid = request->vid;
    outcome->actor = request->actor;
    outcome->request_id = request->request_id;
    outcome->data = (struct slice){text->data, text->size_bytes};
    return !text->failed;
}

static bool text_is(struct doc_ref value, const char *text)
{
    size_t size;
    if (!doc_is(value, DOC_STRING))
        return false;
    const char *at = doc_string(value, &size);
    return size == strlen(text) && memcmp(at, text, size) == 0;
}

/* Whether the record asks for this value of this part, or had it before: then it is a fence. */
static bool asks_for(const struct bus_stored *stored, struct slice vid, enum part_kind kind,
                     struct doc_ref value)
{
    struct doc_parser *parser = doc_parser_new(), *data_parser = doc_parser_new();
    struct doc_limits limits = {RECORD_MAX_BYTES, RECORD_MAX_DEPTH};
    struct record record;
    struct doc_ref data;
    const char *reason;
    bool asks = parser && data_parser &&
                record_parse(parser, stored->data, stored->size, &record, &reason) &&
                record.kind == RECORD_SHADOW && record.type.size == 9 &&
                memcmp(record.type.at, "requested", 9) == 0 && record.vid.size == vid.size &&
                memcmp(record.vid.at, vid.at, vid.size) == 0 &&
                doc_parse(data_parser, record.data.at, record.data.size, limits, &data) == DOC_OK;
    if (asks) {
        struct doc_ref before = doc_getz(data, "before"), after = doc_getz(data, "after");
        asks = text_is(doc_getz(data, "part"), part_name(kind)) &&
               (doc_equal(after, value) || doc_equal(before, value) || doc_is(before, DOC_NULL));
    }
    doc_parser_free(parser);
    doc_parser_free(data_parser);
    return asks;
}

/* A request so old that the stream has let go of it can only be believed. */
static bool forgotten(struct bus *bus, uint64_t seq)
{
    struct bus_stream_info info;
    struct bus_error error;
    return bus_stream_info(bus, streams_name(TWIN_RECORD), &info, &error) == BUS_OK &&
           seq < info.first_seq;
}

enum shadow_named shadow_named(struct bus *bus, struct slice vid, enum part_kind kind,
                               const char *record, const char *record_seq, struct doc_ref value)
{
    uint8_t id[RECORD_ID_BYTES];
    char stored_id[RECORD_ID_TEXT_BYTES], *end = NULL;
    struct bus_stored stored;
    struct bus_error error;
    if (!record || !record_seq || !record_id_parse(record, strlen(record), id))
        return SHADOW_NOT_NAMED;
    uint64_t seq = strtoull(record_seq, &end, 10);
    if (*end || seq == 0 || seq > INT64_MAX)
        return SHADOW_NOT_NAMED;
    enum bus_status status = bus_get_seq(bus, streams_name(TWIN_RECORD), seq, &stored, &error);
    if (status == BUS_NOT_FOUND)
        return forgotten(bus, seq) ? SHADOW_NAMED : SHADOW_NOT_NAMED;
    if (status != BUS_OK)
        return SHADOW_NAME_NOT_KNOWN_NOW;
    bool named = bus_stored_header(&stored, "Nats-Msg-Id", stored_id, sizeof stored_id) &&
                 strcmp(stored_id, record) == 0 && asks_for(&stored, vid, kind, value);
    bus_stored_done(&stored);
    return named ? SHADOW_NAMED : SHADOW_NOT_NAMED;
}
