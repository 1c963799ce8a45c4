#include "hub/archive_row.h"

#include <string.h>

#define COLUMN_TABLE(X)                                                                            \
    X(SEQ, "seq")                                                                                  \
    X(ID, "id")                                                                                    \
    X(HASH, "hash")                                                                                \
    X(KIND, "kind")                                                                                \
    X(VID, "vid")                                                                                  \
    X(REGION, "region")                                                                            \
    X(TYPE, "type")                                                                                \
    X(SEVERITY, "severity")                                                                        \
    X(ACTOR, "actor")                                                                              \
    X(REQUEST_ID, "request_id")                                                                    \
    X(BOOT, "boot")                                                                                \
    X(BOOT_RAW, "boot_raw")                                                                        \
    X(VEHICLE_SEQ, "vehicle_seq")                                                                  \
    X(TIMESTAMP, "timestamp")                                                                      \
    X(TIMESTAMP_REST, "timestamp_rest_ns")                                                         \
    X(RECEIVED, "received")                                                                        \
    X(RECEIVED_REST, "received_rest_ns")                                                           \
    X(ARCHIVED, "archived")                                                                        \
    X(STREAM, "stream")                                                                            \
    X(STREAM_SEQ, "stream_seq")                                                                    \
    X(RAW, "raw")

enum column {
#define X(id, name) COLUMN_##id,
    COLUMN_TABLE(X)
#undef X
        COLUMN_COUNT
};
_Static_assert((int)COLUMN_COUNT == (int)ARCHIVE_ROW_FIELDS, "as many as the header says");

static const char columns[] =
#define X(id, name) ", " name
    COLUMN_TABLE(X)
#undef X
    ;
const char *const archive_row_columns = columns + 2;

static struct slice text_of(struct pg_field field)
{
    return (struct slice){field.at, field.size};
}

static int64_t int_of(struct pg_field field, int64_t none)
{
    return field.at ? pg_field_int(&field) : none;
}

/* A microsecond of PostgreSQL's and the nanoseconds beyond it. */
static int64_t time_of(struct pg_field field, int64_t rest_ns)
{
    if (!field.at)
        return TIMESTAMP_NONE;
    /* Rounded down, the first microsecond of what 64 bits hold lies just outside. */
    __int128 ns = (__int128)pg_field_timestamp_us(&field) * 1000 + rest_ns;
    if (ns < TIMESTAMP_MIN || ns > TIMESTAMP_MAX)
        return ns < 0 ? TIMESTAMP_MIN : TIMESTAMP_MAX;
    return (int64_t)ns;
}

static void severity_read(struct slice name, struct record *record)
{
    for (int i = 1; name.at && i < SEVERITY_COUNT; i++) {
        const char *known = record_severity_name((enum record_severity)i);
        if (strlen(known) == name.size && memcmp(known, name.at, name.size) == 0)
            record->severity = (enum record_severity)i;
    }
}

bool archive_row_read(const struct pg_field fields[ARCHIVE_ROW_FIELDS], struct record *record)
{
    record_init(record);
    struct slice id = text_of(fields[COLUMN_ID]), hash = text_of(fields[COLUMN_HASH]);
    struct slice kind = text_of(fields[COLUMN_KIND]);
    if (id.size != RECORD_ID_BYTES || hash.size != RECORD_HASH_BYTES ||
        !record_kind_parse(kind.at, kind.size, &record->kind))
        return false;
    memcpy(record->id, id.at, RECORD_ID_BYTES);
    memcpy(record->hash, hash.at, RECORD_HASH_BYTES);
    severity_read(text_of(fields[COLUMN_SEVERITY]), record);
    record->seq = int_of(fields[COLUMN_SEQ], 0);
    record->vid = text_of(fields[COLUMN_VID]);
    record->region = text_of(fields[COLUMN_REGION]);
    record->type = text_of(fields[COLUMN_TYPE]);
    record->actor = text_of(fields[COLUMN_ACTOR]);
    record->request_id = text_of(fields[COLUMN_REQUEST_ID]);
    record->boot = text_of(fields[COLUMN_BOOT]);
    if (!record->boot.at)
        record->boot = text_of(fields[COLUMN_BOOT_RAW]);
    record->vehicle_seq = int_of(fields[COLUMN_VEHICLE_SEQ], SEQ_NONE);
    record->timestamp_ns =
        time_of(fields[COLUMN_TIMESTAMP], int_of(fields[COLUMN_TIMESTAMP_REST], 0));
    record->received_ns = time_of(fields[COLUMN_RECEIVED], int_of(fields[COLUMN_RECEIVED_REST], 0));
    record->archived_ns = time_of(fields[COLUMN_ARCHIVED], 0);
    record->stream = text_of(fields[COLUMN_STREAM]);
    record->stream_seq = int_of(fields[COLUMN_STREAM_SEQ], RECORD_STREAM_SEQ_NONE);
    record->data = text_of(fields[COLUMN_RAW]);
    return true;
}
