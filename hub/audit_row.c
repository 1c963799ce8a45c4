#include "hub/audit_row.h"

#include "twin/timestamp.h"

#include <string.h>

enum { JSONB_VERSION = 1 }; /* a byte before the text of a jsonb in binary */

/* name, size of its binary form (0: any), whether null is allowed */
#define FIELD_TABLE(X)                                                                             \
    X(SEQ, "seq", 8, false)                                                                        \
    X(ID, "id", RECORD_ID_BYTES, false)                                                            \
    X(HASH, "hash", RECORD_HASH_BYTES, false)                                                      \
    X(KIND, "kind", 0, false)                                                                      \
    X(VID, "vid", 0, true)                                                                         \
    X(REGION, "region", 0, false)                                                                  \
    X(TYPE, "type", 0, false)                                                                      \
    X(SEVERITY, "severity", 0, true)                                                               \
    X(ACTOR, "actor", 0, true)                                                                     \
    X(REQUEST_ID, "request_id", 0, true)                                                           \
    X(BOOT, "boot", 0, true)                                                                       \
    X(BOOT_RAW, "boot_raw", 0, true)                                                               \
    X(VEHICLE_SEQ, "vehicle_seq", 8, true)                                                         \
    X(TIMESTAMP, "timestamp", 8, true)                                                             \
    X(TIMESTAMP_REST, "timestamp_rest_ns", 2, false)                                               \
    X(RECEIVED, "received", 8, false)                                                              \
    X(RECEIVED_REST, "received_rest_ns", 2, false)                                                 \
    X(ARCHIVED, "archived", 8, false)                                                              \
    X(STREAM, "stream", 0, true)                                                                   \
    X(STREAM_SEQ, "stream_seq", 8, true)                                                           \
    X(RAW, "raw", 0, false)

enum field {
#define X(id, name, size, nullable) FIELD_##id,
    FIELD_TABLE(X)
#undef X
        FIELD_DATA
};
_Static_assert(FIELD_DATA == AUDIT_ROW_FIELDS - 1, "the last field is about `data`");

static const struct {
    const char *name, *malformed;
    size_t size;
    bool nullable;
} table[] = {
#define X(id, name, size, nullable) {name, "its column `" name "` is malformed", size, nullable},
    FIELD_TABLE(X)
#undef X
};

void audit_row_query(struct buf *sql, int64_t from, int64_t to, const char *more)
{
    buf_adds(sql, "COPY (SELECT ");
    for (size_t i = 0; i < FIELD_DATA; i++)
        buf_addf(sql, "%s, ", table[i].name);
    buf_adds(sql, "data");
    buf_addf(sql, " FROM records WHERE seq > %lld AND seq <= %lld", (long long)from, (long long)to);
    buf_adds(sql, more);
    buf_adds(sql, " ORDER BY seq) TO STDOUT (FORMAT binary)");
}

static struct slice text_of(const struct pg_field *field)
{
    return (struct slice){field->at, field->size};
}

static int64_t int_of(const struct pg_field *field, int64_t none)
{
    return field->at ? pg_field_int(field) : none;
}

/* The writer splits an instant into microseconds, rounded down, and the nanoseconds left. */
static bool time_of(const struct pg_field *field, const struct pg_field *rest, int64_t *ns)
{
    int64_t rest_ns = pg_field_int(rest);
    if (!field->at) {
        *ns = TIMESTAMP_NONE;
        return rest_ns == 0;
    }
    __int128 whole = (__int128)pg_field_timestamp_us(field) * 1000 + rest_ns;
    *ns = (int64_t)whole;
    return rest_ns >= 0 && rest_ns < 1000 && whole >= TIMESTAMP_MIN && whole <= TIMESTAMP_MAX;
}

static bool severity_of(struct slice name, enum record_severity *severity)
{
    *severity = SEVERITY_NONE;
    if (!name.at)
        return true;
    for (int i = SEVERITY_NONE + 1; i < SEVERITY_COUNT; i++) {
        const char *known = record_severity_name((enum record_severity)i);
        if (strlen(known) == name.size && memcmp(known, name.at, name.size) == 0)
            *severity = (enum record_severity)i;
    }
    return *severity != SEVERITY_NONE;
}

/* The one of two columns that the writer uses. */
static bool boot_of(struct slice text, struct slice raw, struct slice *boot)
{
    *boot = raw.at ? raw : text;
    return !raw.at || (!text.at && memchr(raw.at, '\0', raw.size));
}

/* The columns that are more than their bytes. */
static const char *read_values(const struct pg_field *fields, struct record *record)
{
    struct slice kind = text_of(&fields[FIELD_KIND]);
    if (!record_kind_parse(kind.at, kind.size, &record->kind))
        return table[FIELD_KIND].malformed;
    if (!severity_of(text_of(&fields[FIELD_SEVERITY]), &record->severity))
        return table[FIELD_SEVERITY].malformed;
    if (!boot_of(text_of(&fields[FIELD_BOOT]), text_of(&fields[FIELD_BOOT_RAW]), &record->boot))
        return table[FIELD_BOOT_RAW].malformed;
    if (!time_of(&fields[FIELD_TIMESTAMP], &fields[FIELD_TIMESTAMP_REST], &record->timestamp_ns))
        return table[FIELD_TIMESTAMP].malformed;
    if (!time_of(&fields[FIELD_RECEIVED], &fields[FIELD_RECEIVED_REST], &record->received_ns))
        return table[FIELD_RECEIVED].malformed;
    /* What stands for null is no value. */
    if (fields[FIELD_VEHICLE_SEQ].at && record->vehicle_seq < 0)
        return table[FIELD_VEHICLE_SEQ].malformed;
    if (fields[FIELD_STREAM_SEQ].at && record->stream_seq < 0)
        return table[FIELD_STREAM_SEQ].malformed;
    __int128 archived = (__int128)pg_field_timestamp_us(&fields[FIELD_ARCHIVED]) * 1000;
    if (archived < TIMESTAMP_MIN || archived > TIMESTAMP_MAX)
        return table[FIELD_ARCHIVED].malformed;
    record->archived_ns = (int64_t)archived;
    /* The writer makes spaces of line breaks, so that each byte of `raw` is hashed as it stands. */
    if (memchr(record->data.at, '\n', record->data.size) ||
        memchr(record->data.at, '\r', record->data.size))
        return table[FIELD_RAW].malformed;
    return NULL;
}

static bool has_size(const struct pg_field *fields, enum field field)
{
    return fields[field].at && fields[field].size == table[field].size;
}

const char *audit_row_read(const struct pg_field fields[AUDIT_ROW_FIELDS], struct record *record)
{
    record_init(record);
    /* First of all which record it is: whatever is wrong with the rest is said of this one. */
    if (has_size(fields, FIELD_SEQ))
        record->seq = pg_field_int(&fields[FIELD_SEQ]);
    if (has_size(fields, FIELD_ID))
        memcpy(record->id, fields[FIELD_ID].at, RECORD_ID_BYTES);
    for (size_t i = 0; i < FIELD_DATA; i++) {
        bool good = fields[i].at ? table[i].size == 0 || fields[i].size == table[i].size
                                 : table[i].nullable;
        if (!good)
            return table[i].malformed;
    }
    memcpy(record->hash, fields[FIELD_HASH].at, RECORD_HASH_BYTES);
    record->vid = text_of(&fields[FIELD_VID]);
    record->region = text_of(&fields[FIELD_REGION]);
    record->type = text_of(&fields[FIELD_TYPE]);
    record->actor = text_of(&fields[FIELD_ACTOR]);
    record->request_id = text_of(&fields[FIELD_REQUEST_ID]);
    record->vehicle_seq = int_of(&fields[FIELD_VEHICLE_SEQ], SEQ_NONE);
    record->stream = text_of(&fields[FIELD_STREAM]);
    record->stream_seq = int_of(&fields[FIELD_STREAM_SEQ], RECORD_STREAM_SEQ_NONE);
    record->data = text_of(&fields[FIELD_RAW]);
    return read_values(fields, record);
}

bool audit_row_data(const struct pg_field fields[AUDIT_ROW_FIELDS], struct slice *data)
{
    const struct pg_field *field = &fields[FIELD_DATA];
    *data = (struct slice){NULL, 0};
    if (!field->at)
        return true;
    if (field->size < 1 || *field->at != JSONB_VERSION)
        return false;
    *data = (struct slice){field->at + 1, field->size - 1};
    return true;
}
