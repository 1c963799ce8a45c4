#include "hub/retention.h"

#include "hub/record.h"
#include "hub/tree_store.h"

#include <string.h>

enum {
    DAY_S = 86400,
    NAME_BYTES = RETENTION_NAME_BYTES,
    MARK_BYTES = 64,
    DIGESTS_CHUNK = 200000,
    PARTITIONS_MAX = 256, /* of one run; the next run takes the others */
};

static const char *const undated[] = {"digests_undated", "digests_default"};

/* Where retention stands: what is past it, and which holds are in force. */
struct stand {
    int64_t cutoff_us;
    char mark[MARK_BYTES];
    int64_t floor_seq; /* the first record that is not past retention */
};

struct part {
    char name[NAME_BYTES];
    int64_t lower_us, upper_us;
    int64_t dropped, kept, first_seq, last_seq, kept_first_seq;
    char kept_hash[2 * RECORD_HASH_BYTES + 1];
};

static struct slice text_at(const struct pg_result *rows, int row, int column)
{
    struct slice text = {NULL, 0};
    if (!pg_get_null(rows, row, column))
        text.at = pg_get_bytes(rows, row, column, &text.size);
    return text;
}

static void text_copy(char *to, size_t to_bytes, struct slice text)
{
    size_t size = text.size < to_bytes ? text.size : to_bytes - 1;
    memcpy(to, text.at ? text.at : "", text.at ? size : 0);
    to[text.at ? size : 0] = '\0';
}

static void add_text(struct pg_params *params, const char *text)
{
    pg_add_text(params, text, strlen(text));
}

/* ---- looking ---- */

static enum pg_status stand_read(const struct retention *retention, struct stand *stand,
                                 struct pg_error *error)
{
    static const struct pg_statement read = {
        .sql = "SELECT cutoff, hold_mark(), retention_floor(cutoff) FROM (SELECT "
               "least(clock_timestamp(), $1::timestamptz) - $2::bigint * interval '1 second' "
               "AS cutoff) AS c"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    pg_add_timestamp_us(&params, retention->now_ns / 1000);
    pg_add_int8(&params, retention->keep_s);
    enum pg_status status = pg_run(retention->pg, &read, &params, &rows, error);
    if (status == PG_OK) {
        stand->cutoff_us = pg_get_timestamp_us(rows, 0, 0);
        text_copy(stand->mark, sizeof stand->mark, text_at(rows, 0, 1));
        stand->floor_seq = pg_get_int(rows, 0, 2);
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

static enum pg_status parts_due(const struct retention *retention, const struct stand *stand,
                                struct part parts[PARTITIONS_MAX], int *count,
                                struct pg_error *error)
{
    static const struct pg_statement list = {
        .sql = "SELECT name, CASE WHEN lower > '-infinity' THEN lower END, upper "
               "FROM retention_due($1::timestamptz)"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    pg_add_timestamp_us(&params, stand->cutoff_us);
    enum pg_status status = pg_run(retention->pg, &list, &params, &rows, error);
    *count = 0;
    for (int row = 0; status == PG_OK && row < pg_rows(rows) && row < PARTITIONS_MAX; row++) {
        struct part *part = &parts[(*count)++];
        *part = (struct part){.lower_us = TIMESTAMP_NONE};
        text_copy(part->name, sizeof part->name, text_at(rows, row, 0));
        if (!pg_get_null(rows, row, 1))
            part->lower_us = pg_get_timestamp_us(rows, row, 1);
        part->upper_us = pg_get_timestamp_us(rows, row, 2);
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

/* Counts what goes and what stays. */
static enum pg_status part_look(struct pg *pg, struct part *part, struct pg_error *error)
{
    static const struct pg_statement look = {
        .sql = "SELECT dropped, kept, first_seq, last_seq, kept_first_seq, kept_hash "
               "FROM retention_look($1::text)"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    add_text(&params, part->name);
    enum pg_status status = pg_run(pg, &look, &params, &rows, error);
    if (status == PG_OK) {
        part->dropped = pg_get_int(rows, 0, 0);
        part->kept = pg_get_int(rows, 0, 1);
        part->first_seq = pg_get_int(rows, 0, 2);
        part->last_seq = pg_get_int(rows, 0, 3);
        part->kept_first_seq = pg_get_int(rows, 0, 4);
        text_copy(part->kept_hash, sizeof part->kept_hash, text_at(rows, 0, 5));
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

/* ---- what goes on record ---- */

/* The root of the tree up to the last record that is past retention: what was there stays
 * provable. */
static void write_root(struct pg *pg, int64_t size, struct buf *out)
{
    struct tree_reader reader;
    struct tree_hash root;
    struct pg_error error;
    if (tree_reader_open(&reader, pg, &error) != PG_OK || size > reader.edge.size ||
        !tree_root_at(&reader.source, size, &root)) {
        buf_adds(out, "null");
        return;
    }
    buf_addc(out, '"');
    for (size_t i = 0; i < sizeof root.bytes; i++)
        buf_addf(out, "%02x", root.bytes[i]);
    buf_addc(out, '"');
}

static void write_seq(struct buf *out, const char *name, int64_t seq)
{
    buf_adds(out, name);
    if (seq > 0)
        buf_addf(out, "%lld,", (long long)seq);
    else
        buf_adds(out, "null,");
}

static void write_data(const struct retention *retention, const struct stand *stand,
                       const struct part *part, struct buf *out)
{
    write_seq(out, "{\"first_seq\":", part->first_seq);
    write_seq(out, "\"last_seq\":", part->last_seq);
    buf_addf(out, "\"dropped\":%lld,\"kept\":%lld,", (long long)part->dropped,
             (long long)part->kept);
    write_seq(out, "\"kept_first_seq\":", part->kept_first_seq);
    buf_adds(out, "\"kept_hash\":");
    buf_json_cstr(out, part->kept > 0 ? part->kept_hash : NULL);
    buf_adds(out, ",\"archived_from\":");
    buf_json_timestamp(out,
                       part->lower_us == TIMESTAMP_NONE ? TIMESTAMP_NONE : part->lower_us * 1000);
    buf_adds(out, ",\"archived_to\":");
    buf_json_timestamp(out, part->upper_us * 1000);
    buf_addf(out, ",\"floor_seq\":%lld,\"retention_days\":%lld,\"tree\":{\"size\":%lld,\"root\":",
             (long long)stand->floor_seq, (long long)(retention->keep_s / DAY_S),
             (long long)(stand->floor_seq - 1));
    write_root(retention->pg, stand->floor_seq - 1, out);
    buf_adds(out, "}}");
}

/* ---- dropping ---- */

static enum pg_status copy_kept(struct pg *pg, const char *name, struct pg_error *error)
{
    static const struct pg_statement copy = {.sql = "SELECT retention_copy($1::text)"};
    struct pg_params params;
    pg_params_init(&params);
    add_text(&params, name);
    enum pg_status status = pg_run(pg, &copy, &params, NULL, error);
    pg_params_done(&params);
    return status;
}

/* Holds keep all of it. */
static enum pg_status leave(const struct retention *retention, int64_t writer,
                            const struct stand *stand, const struct part *part, bool *done,
                            struct pg_error *error)
{
    static const struct pg_statement statement = {
        .sql = "SELECT retention_leave($1::bigint, $2::text, $3::text, $4::text)"};
    struct buf data = BUF_INIT;
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    write_data(retention, stand, part, &data);
    pg_add_int8(&params, writer);
    add_text(&params, part->name);
    add_text(&params, stand->mark);
    pg_add_text(&params, data.data, data.size_bytes);
    enum pg_status status = PG_FAILED;
    if (data.failed)
        *error = (struct pg_error){.text = "no memory"};
    else
        status = pg_run(retention->pg, &statement, &params, &rows, error);
    *done = status == PG_OK && pg_get_bool(rows, 0, 0);
    pg_result_free(rows);
    pg_params_done(&params);
    buf_done(&data);
    return status;
}

static enum pg_status swap(const struct retention *retention, int64_t writer,
                           const struct stand *stand, const struct part *part, bool *done,
                           struct pg_error *error)
{
    static const struct pg_statement statement = {
        .sql = "SELECT retention_swap($1::bigint, $2::text, $3::text, $4::bigint > 0, $5::bigint, "
               "$6::bigint, $7::bigint, $4::bigint, $8::text)"};
    struct buf data = BUF_INIT;
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    write_data(retention, stand, part, &data);
    pg_add_int8(&params, writer);
    add_text(&params, part->name);
    add_text(&params, stand->mark);
    pg_add_int8(&params, part->kept);
    pg_add_int8(&params, part->first_seq);
    pg_add_int8(&params, part->last_seq);
    pg_add_int8(&params, part->dropped);
    pg_add_text(&params, data.data, data.size_bytes);
    enum pg_status status = PG_FAILED;
    if (data.failed)
        *error = (struct pg_error){.text = "no memory"};
    else
        status = pg_run(retention->pg, &statement, &params, &rows, error);
    *done = status == PG_OK && pg_get_bool(rows, 0, 0);
    pg_result_free(rows);
    pg_params_done(&params);
    buf_done(&data);
    return status;
}

/* Whether all of it is there; `reason` is empty where it is. After part_look, so that what is gone
 * by then is not counted there unseen. */
static enum pg_status part_whole(struct pg *pg, const struct part *part,
                                 char reason[RETENTION_REASON_BYTES], struct pg_error *error)
{
    static const struct pg_statement missing = {.sql = "SELECT retention_missing($1::text)"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    add_text(&params, part->name);
    enum pg_status status = pg_run(pg, &missing, &params, &rows, error);
    if (status == PG_OK)
        text_copy(reason, RETENTION_REASON_BYTES, text_at(rows, 0, 0));
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

static enum pg_status part_refuse(const struct retention *retention, int64_t writer,
                                  const struct part *part, struct retention_outcome *outcome,
                                  bool *done, struct pg_error *error)
{
    static const struct pg_statement refuse = {.sql =
                                                   "SELECT retention_refuse($1::bigint, $2::text)"};
    struct buf data = BUF_INIT;
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    text_copy(outcome->refused, sizeof outcome->refused,
              (struct slice){part->name, strlen(part->name)});
    buf_adds(&data, "{\"archived_to\":");
    buf_json_timestamp(&data, part->upper_us * 1000);
    buf_adds(&data, ",\"reason\":");
    buf_json_cstr(&data, outcome->reason);
    buf_addc(&data, '}');
    pg_add_int8(&params, writer);
    pg_add_text(&params, data.data, data.size_bytes);
    enum pg_status status = PG_FAILED;
    if (data.failed)
        *error = (struct pg_error){.text = "no memory"};
    else
        status = pg_run(retention->pg, &refuse, &params, &rows, error);
    *done = status == PG_OK && pg_get_bool(rows, 0, 0);
    pg_result_free(rows);
    pg_params_done(&params);
    buf_done(&data);
    return status;
}

static enum pg_status part_drop(const struct retention *retention, int64_t writer,
                                const struct stand *stand, struct part *part,
                                struct retention_outcome *outcome, bool *done,
                                struct pg_error *error)
{
    enum pg_status status = part_look(retention->pg, part, error);
    if (status == PG_OK)
        status = part_whole(retention->pg, part, outcome->reason, error);
    if (status != PG_OK)
        return status;
    if (outcome->reason[0])
        return part_refuse(retention, writer, part, outcome, done, error);
    if (part->dropped == 0 && part->kept > 0)
        return leave(retention, writer, stand, part, done, error);
    if (part->kept > 0)
        status = copy_kept(retention->pg, part->name, error);
    return status == PG_OK ? swap(retention, writer, stand, part, done, error) : status;
}

/* ---- digests ---- */

static enum pg_status digests_swap(struct pg *pg, int64_t writer, const struct stand *stand,
                                   const char *name, bool *done, struct pg_error *error)
{
    static const struct pg_statement copy = {
        .sql = "SELECT retention_digests_copy($1::text, $2::bigint, $3::timestamptz)"};
    static const struct pg_statement swap_in = {
        .sql = "SELECT retention_digests_swap($1::bigint, $2::text, $3::text, $4::bigint, "
               "$5::bigint)"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    add_text(&params, name);
    pg_add_int8(&params, stand->floor_seq);
    pg_add_timestamp_us(&params, stand->cutoff_us);
    enum pg_status status = pg_run(pg, &copy, &params, &rows, error);
    if (status == PG_OK) {
        int64_t copied_upto = pg_get_int(rows, 0, 0);
        pg_result_free(rows);
        rows = NULL;
        pg_params_reset(&params);
        pg_add_int8(&params, writer);
        add_text(&params, name);
        add_text(&params, stand->mark);
        pg_add_int8(&params, stand->floor_seq);
        pg_add_int8(&params, copied_upto);
        status = pg_run(pg, &swap_in, &params, &rows, error);
        *done = status == PG_OK && pg_get_bool(rows, 0, 0);
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

static enum pg_status digests_of_days(const struct retention *retention, int64_t writer,
                                      const struct stand *stand, bool *done, struct pg_error *error)
{
    static const struct pg_statement list = {
        .sql = "SELECT name FROM retention_digests_due($1::timestamptz, $2::bigint)"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    char name[NAME_BYTES];
    pg_params_init(&params);
    pg_add_timestamp_us(&params, stand->cutoff_us);
    pg_add_int8(&params, stand->floor_seq);
    enum pg_status status = pg_run(retention->pg, &list, &params, &rows, error);
    for (int row = 0; status == PG_OK && *done && row < pg_rows(rows); row++) {
        text_copy(name, sizeof name, text_at(rows, row, 0));
        status = digests_swap(retention->pg, writer, stand, name, done, error);
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

/* Harmless without the fence: the digests of records that are gone are in nobody's way. */
static enum pg_status digests_undated(struct pg *pg, const struct stand *stand,
                                      struct pg_error *error)
{
    static const struct pg_statement delete_some = {
        .sql = "SELECT retention_digests_delete($1::text, $2::bigint, $3::timestamptz, "
               "$4::bigint::integer)"};
    enum pg_status status = PG_OK;
    for (size_t i = 0; i < sizeof undated / sizeof *undated && status == PG_OK; i++) {
        int64_t gone = DIGESTS_CHUNK;
        while (status == PG_OK && gone == DIGESTS_CHUNK) {
            struct pg_params params;
            struct pg_result *rows = NULL;
            pg_params_init(&params);
            add_text(&params, undated[i]);
            pg_add_int8(&params, stand->floor_seq);
            pg_add_timestamp_us(&params, stand->cutoff_us);
            pg_add_int8(&params, DIGESTS_CHUNK);
            status = pg_run(pg, &delete_some, &params, &rows, error);
            gone = status == PG_OK ? pg_get_int(rows, 0, 0) : 0;
            pg_result_free(rows);
            pg_params_done(&params);
        }
    }
    return status;
}

/* ---- the whole ---- */

enum pg_status retention_run(const struct retention *retention, int64_t writer,
                             struct retention_outcome *outcome, struct pg_error *error)
{
    struct part parts[PARTITIONS_MAX];
    struct stand stand;
    bool done = true;
    *outcome = (struct retention_outcome){0};
    if (retention->keep_s < 1)
        return PG_OK;
    enum pg_status status = stand_read(retention, &stand, error);
    if (status == PG_OK)
        status = parts_due(retention, &stand, parts, &outcome->partitions, error);
    int64_t records = 0;
    for (int i = 0; status == PG_OK && done && i < outcome->partitions; i++) {
        status = part_drop(retention, writer, &stand, &parts[i], outcome, &done, error);
        if (status != PG_OK || !done || outcome->refused[0])
            break;
        outcome->dropped += parts[i].dropped;
        outcome->kept += parts[i].kept;
        records += parts[i].dropped + parts[i].kept;
    }
    if (status == PG_OK && done && !outcome->refused[0])
        status = digests_of_days(retention, writer, &stand, &done, error);
    if (status == PG_OK && done && records > 0)
        status = digests_undated(retention->pg, &stand, error);
    outcome->fenced = status == PG_OK && !done;
    return status;
}

enum pg_status retention_plan(const struct retention *retention, bool json, struct buf *out,
                              struct pg_error *error)
{
    struct part parts[PARTITIONS_MAX];
    struct stand stand;
    int count = 0;
    enum pg_status status = stand_read(retention, &stand, error);
    if (status == PG_OK)
        status = parts_due(retention, &stand, parts, &count, error);
    for (int i = 0; status == PG_OK && i < count; i++) {
        struct part *part = &parts[i];
        status = part_look(retention->pg, part, error);
        if (status != PG_OK)
            break;
        char upper[TIMESTAMP_TEXT_BYTES];
        timestamp_format(part->upper_us * 1000, upper);
        if (json) {
            buf_addf(out,
                     "{\"archived_before\":\"%s\",\"dropped\":%lld,\"first_seq\":%lld,"
                     "\"last_seq\":%lld,\"held\":%lld}\n",
                     upper, (long long)part->dropped, (long long)part->first_seq,
                     (long long)part->last_seq, (long long)part->kept);
            continue;
        }
        buf_addf(out, "archived before %s: %lld records go", upper, (long long)part->dropped);
        if (part->dropped > 0)
            buf_addf(out, " (seq %lld to %lld)", (long long)part->first_seq,
                     (long long)part->last_seq);
        buf_addf(out, ", %lld stay under a hold\n", (long long)part->kept);
    }
    if (status == PG_OK && count == 0 && !json)
        buf_addf(out, "nothing is past %lld days that a hold does not keep\n",
                 (long long)(retention->keep_s / DAY_S));
    return status;
}
