/* The binary parameters of pg.h: what PostgreSQL's receive functions read (src/backend/utils/adt,
 * *_recv): integers in network order; an array as dimensions, a flag for nulls, the element type,
 * length and lower bound of its one dimension, then each element behind its length. */
#include "hub/pg.h"

#include <limits.h>
#include <string.h>

#define PG_EPOCH_US INT64_C(946684800000000)

void pg_params_init(struct pg_params *params)
{
    memset(params, 0, sizeof *params);
}

void pg_params_reset(struct pg_params *params)
{
    buf_reset(&params->bytes);
    params->count = 0;
}

void pg_params_done(struct pg_params *params)
{
    buf_done(&params->bytes);
    params->count = 0;
}

static void put(struct pg_params *params, uint64_t value, int bytes)
{
    char out[8];
    for (int i = bytes - 1; i >= 0; i--) {
        out[i] = (char)(value & 0xff);
        value >>= 8;
    }
    buf_add(&params->bytes, out, (size_t)bytes);
}

static void add(struct pg_params *params, size_t at, int size)
{
    if (params->count == PG_PARAMS_MAX) {
        params->bytes.failed = true;
        return;
    }
    params->value[params->count].at = at;
    params->value[params->count].size = size;
    params->count++;
}

/* Closes the parameter that began at `at`. */
static void add_from(struct pg_params *params, size_t at)
{
    size_t size = params->bytes.size_bytes - at;
    if (size > INT_MAX)
        params->bytes.failed = true;
    add(params, at, params->bytes.failed ? 0 : (int)size);
}

void pg_add_null(struct pg_params *params)
{
    add(params, 0, -1);
}

void pg_add_int8(struct pg_params *params, int64_t value)
{
    size_t at = params->bytes.size_bytes;
    put(params, (uint64_t)value, 8);
    add_from(params, at);
}

void pg_add_text(struct pg_params *params, const char *text, size_t size)
{
    pg_add_bytea(params, text, size);
}

void pg_add_bytea(struct pg_params *params, const void *bytes, size_t size)
{
    /* An empty value still needs an address that is not NULL, which would mean SQL's null. */
    buf_reserve(&params->bytes, 1);
    size_t at = params->bytes.size_bytes;
    buf_add(&params->bytes, bytes, size);
    add_from(params, at);
}

void pg_add_timestamp_us(struct pg_params *params, int64_t unix_us)
{
    pg_add_int8(params, unix_us - PG_EPOCH_US);
}

void pg_literal(struct buf *sql, const char *text, size_t size)
{
    buf_adds(sql, "E'");
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\'' || text[i] == '\\')
            buf_addc(sql, text[i]);
        buf_addc(sql, text[i]);
    }
    buf_addc(sql, '\'');
}

void pg_array_begin(struct pg_params *params, enum pg_type type)
{
    params->array_at = params->bytes.size_bytes;
    params->array_count = 0;
    put(params, 1, 4);
    put(params, 1, 4); /* may hold nulls; the server looks at each element's length anyway */
    put(params, type, 4);
    put(params, 0, 4); /* elements, known at the end */
    put(params, 1, 4);
}

static void element(struct pg_params *params, int32_t size)
{
    params->array_count++;
    put(params, (uint32_t)size, 4);
}

void pg_array_null(struct pg_params *params)
{
    element(params, -1);
}

void pg_array_bool(struct pg_params *params, bool value)
{
    element(params, 1);
    put(params, value, 1);
}

void pg_array_int2(struct pg_params *params, int16_t value)
{
    element(params, 2);
    put(params, (uint16_t)value, 2);
}

void pg_array_int4(struct pg_params *params, int32_t value)
{
    element(params, 4);
    put(params, (uint32_t)value, 4);
}

void pg_array_int8(struct pg_params *params, int64_t value)
{
    element(params, 8);
    put(params, (uint64_t)value, 8);
}

void pg_array_bytes(struct pg_params *params, const void *bytes, size_t size)
{
    if (size > INT_MAX) {
        params->bytes.failed = true;
        return;
    }
    element(params, (int32_t)size);
    buf_add(&params->bytes, bytes, size);
}

void pg_array_timestamp_us(struct pg_params *params, int64_t unix_us)
{
    pg_array_int8(params, unix_us - PG_EPOCH_US);
}

void pg_array_end(struct pg_params *params)
{
    if (!params->bytes.failed) {
        char *header = params->bytes.data + params->array_at;
        uint32_t count = (uint32_t)params->array_count;
        if (count == 0) { /* an empty array has no dimension */
            header[3] = 0;
            params->bytes.size_bytes = params->array_at + 3 * 4;
        }
        for (int i = 0; count && i < 4; i++)
            header[3 * 4 + i] = (char)(count >> (24 - 8 * i) & 0xff);
    }
    add_from(params, params->array_at);
}
