/* Loading many rows, of pg.h: COPY FROM STDIN in the binary format of PostgreSQL's documentation.
 */
#include "hub/pg_impl.h"

#include <limits.h>
#include <string.h>

#define PG_EPOCH_US INT64_C(946684800000000) /* 2000-01-01 in microseconds since 1970 */

enum {
    CHUNK_BYTES = 64 * 1024, /* handed to the connection at once */
    JSONB_VERSION = 1,       /* of its text form, jsonb_recv */
};

static const char header[] = "PGCOPY\n\377\r\n\0" /* signature */
                             "\0\0\0\0"           /* flags */
                             "\0\0\0\0";          /* no extension */
static const char trailer[] = "\377\377";

enum pg_status pg_load_begin(struct pg_load *load, struct pg *pg, const char *sql,
                             struct pg_error *error)
{
    PGresult *result;
    *load = (struct pg_load){.pg = pg};
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
    if (PQresultStatus(result) != PGRES_COPY_IN) {
        struct pg_error ignored;
        status = pg_refusal(pg, result, error);
        if (pg_collect(pg, NULL, &ignored) == PG_LOST)
            status = PG_LOST;
    }
    PQclear(result);
    if (status == PG_OK)
        buf_add(&load->bytes, header, sizeof header - 1);
    return status;
}

/* Hands over what there is, and waits until the connection has taken it. A server that has refused
 * a row reads on, and says so at the end. */
static enum pg_status hand_over(struct pg_load *load, struct pg_error *error)
{
    struct pg *pg = load->pg;
    if (load->bytes.failed)
        return pg_drop(pg, error, "no memory");
    if (PQputCopyData(pg->conn, load->bytes.data, (int)load->bytes.size_bytes) != 1)
        return pg_drop(pg, error, "cannot send");
    buf_reset(&load->bytes);
    if (!pg_flush_all(pg, pg_now_ms() + pg->call_timeout_ms))
        return pg_drop(pg, error, "no answer in time");
    return PG_OK;
}

static void put(struct pg_load *load, uint64_t value, int bytes)
{
    char out[8];
    for (int i = bytes - 1; i >= 0; i--) {
        out[i] = (char)(value & 0xff);
        value >>= 8;
    }
    buf_add(&load->bytes, out, (size_t)bytes);
}

enum pg_status pg_load_row(struct pg_load *load, int fields, struct pg_error *error)
{
    if (load->bytes.size_bytes >= CHUNK_BYTES) {
        enum pg_status status = hand_over(load, error);
        if (status != PG_OK) {
            buf_done(&load->bytes);
            return status;
        }
    }
    put(load, (uint16_t)fields, 2);
    return PG_OK;
}

void pg_load_null(struct pg_load *load)
{
    put(load, UINT32_MAX, 4);
}

void pg_load_int2(struct pg_load *load, int16_t value)
{
    put(load, 2, 4);
    put(load, (uint16_t)value, 2);
}

void pg_load_int4(struct pg_load *load, int32_t value)
{
    put(load, 4, 4);
    put(load, (uint32_t)value, 4);
}

void pg_load_int8(struct pg_load *load, int64_t value)
{
    put(load, 8, 4);
    put(load, (uint64_t)value, 8);
}

void pg_load_bytes(struct pg_load *load, const void *bytes, size_t size)
{
    if (size > INT_MAX) {
        load->bytes.failed = true;
        return;
    }
    put(load, size, 4);
    buf_add(&load->bytes, bytes, size);
}

void pg_load_jsonb(struct pg_load *load, const char *text, size_t size)
{
    if (size >= INT_MAX) {
        load->bytes.failed = true;
        return;
    }
    put(load, size + 1, 4);
    put(load, JSONB_VERSION, 1);
    buf_add(&load->bytes, text, size);
}

void pg_load_timestamp_us(struct pg_load *load, int64_t unix_us)
{
    pg_load_int8(load, unix_us - PG_EPOCH_US);
}

enum pg_status pg_load_end(struct pg_load *load, struct pg_error *error)
{
    struct pg *pg = load->pg;
    buf_add(&load->bytes, trailer, sizeof trailer - 1);
    enum pg_status status = hand_over(load, error);
    buf_done(&load->bytes);
    if (status != PG_OK)
        return status;
    if (PQputCopyEnd(pg->conn, NULL) != 1)
        return pg_drop(pg, error, "cannot send");
    if (!pg_flush_all(pg, pg_now_ms() + pg->call_timeout_ms))
        return pg_drop(pg, error, "no answer in time");
    return PG_OK;
}

enum pg_status pg_load_result(struct pg_load *load, struct pg_error *error)
{
    return pg_collect(load->pg, NULL, error);
}
