/* Reading many rows, of pg.h. The binary format is that of PostgreSQL's documentation of COPY: a
 * header, then each row as its number of fields and each field behind its length, then -1. */
#include "hub/pg_impl.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

#define PG_EPOCH_US INT64_C(946684800000000)

static const char signature[11] = "PGCOPY\n\377\r\n";
enum { HEADER_BYTES = sizeof signature + 4 + 4 };

static enum pg_status malformed(struct pg *pg, struct pg_error *error)
{
    pg_copy_cancel(pg);
    *error = (struct pg_error){.text = "the server's rows are not as COPY writes them"};
    return PG_FAILED;
}

enum pg_status pg_copy_begin(struct pg *pg, const char *sql, struct pg_error *error)
{
    PGresult *result;
    if (!pg->conn) {
        *error = (struct pg_error){.text = "not connected"};
        return PG_LOST;
    }
    if (!PQsendQuery(pg->conn, sql))
        return pg_drop(pg, error, "cannot send");
    int64_t deadline_ms = pg_now_ms() + pg->call_timeout_ms;
    if (!pg_flush_all(pg, deadline_ms) || !pg_result_next(pg, deadline_ms, &result))
        return pg_drop(pg, error, "no answer in time");
    enum pg_status status = PG_OK;
    if (PQresultStatus(result) != PGRES_COPY_OUT) {
        struct pg_error ignored;
        status = pg_refusal(pg, result, error);
        if (pg_collect(pg, NULL, &ignored) == PG_LOST)
            status = PG_LOST;
    }
    PQclear(result);
    pg->copy_begun = false;
    return status;
}

/* The end of the rows: what the server says about it. */
static enum pg_status finish(struct pg *pg, struct pg_error *error)
{
    return pg_collect(pg, NULL, error);
}

static uint32_t get_uint32(const char *at)
{
    const unsigned char *bytes = (const unsigned char *)at;
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

/* Takes a row apart; false where it is none. */
static bool read_row(const char *at, size_t size, struct pg_field *fields, int count)
{
    const char *end = at + size;
    if (size < 2 || (unsigned char)at[0] << 8 != (count & 0xff00) ||
        (unsigned char)at[1] != (count & 0xff))
        return false;
    at += 2;
    for (int i = 0; i < count; i++) {
        if (end - at < 4)
            return false;
        uint32_t length = get_uint32(at);
        at += 4;
        fields[i] = (struct pg_field){NULL, 0};
        if (length == UINT32_MAX)
            continue;
        if (length > (size_t)(end - at))
            return false;
        fields[i] = (struct pg_field){at, length};
        at += length;
    }
    return at == end;
}

/* One message of rows, or *size -1 at their end. */
static enum pg_status next_message(struct pg *pg, int *size, struct pg_error *error)
{
    int64_t deadline_ms = pg_now_ms() + pg->call_timeout_ms;
    PQfreemem(pg->copied);
    pg->copied = NULL;
    while ((*size = PQgetCopyData(pg->conn, &pg->copied, 1)) == 0) {
        if (!pg_socket_wait(pg, POLLIN, deadline_ms) || !PQconsumeInput(pg->conn))
            return pg_drop(pg, error, "no answer in time");
    }
    if (*size == -2)
        return pg_drop(pg, error, "the connection was lost");
    return PG_OK;
}

enum pg_status pg_copy_next(struct pg *pg, struct pg_field *fields, int count, bool *over,
                            struct pg_error *error)
{
    *over = false;
    for (;;) {
        int size;
        enum pg_status status = next_message(pg, &size, error);
        if (status != PG_OK)
            return status;
        if (size < 0) {
            *over = true;
            return finish(pg, error);
        }
        const char *at = pg->copied;
        if (!pg->copy_begun) {
            if (size < HEADER_BYTES || memcmp(at, signature, sizeof signature) != 0)
                return malformed(pg, error);
            pg->copy_begun = true;
            at += HEADER_BYTES;
            size -= HEADER_BYTES;
            if (size == 0)
                continue;
        }
        if (size == 2 && memcmp(at, "\377\377", 2) == 0)
            continue; /* the trailer; the end is still to come */
        if (!read_row(at, (size_t)size, fields, count))
            return malformed(pg, error);
        return PG_OK;
    }
}

void pg_copy_cancel(struct pg *pg)
{
    struct pg_error ignored;
    if (pg->conn)
        pg_drop(pg, &ignored, "given up");
}

int64_t pg_field_int(const struct pg_field *field)
{
    const unsigned char *bytes = (const unsigned char *)field->at;
    uint64_t value = field->size > 0 && (bytes[0] & 0x80) ? UINT64_MAX : 0; /* the sign */
    for (size_t i = 0; i < field->size && i < sizeof value; i++)
        value = value << 8 | bytes[i];
    return (int64_t)value;
}

int64_t pg_field_timestamp_us(const struct pg_field *field)
{
    return pg_field_int(field) + PG_EPOCH_US;
}
