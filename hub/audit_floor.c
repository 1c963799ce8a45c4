#include "hub/audit_floor.h"

enum pg_status audit_floor_read(struct pg *pg, int64_t size, struct audit_floor *floor,
                                struct pg_error *error)
{
    static const struct pg_statement newest = {
        .sql = "SELECT coalesce(max(floor) FILTER (WHERE recorded), 1) - 1, "
               "coalesce(max(floor), 1) - 1 FROM (SELECT recorded, CASE WHEN data->>'floor_seq' ~ "
               "'^[0-9]{1,18}$' THEN (data->>'floor_seq')::bigint END AS floor FROM "
               "(SELECT true AS recorded, data FROM records WHERE " AUDIT_FLOOR_RECORDS
               " AND seq BETWEEN 1 AND least($1::bigint, (SELECT next_seq - 1 FROM log_head)) "
               "UNION ALL SELECT false, data::jsonb FROM "
               "record_notes WHERE type = 'retention' AND NOT recorded) AS r) AS f"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    pg_add_int8(&params, size);
    enum pg_status status = pg_run(pg, &newest, &params, &rows, error);
    if (status == PG_OK)
        *floor = (struct audit_floor){pg_get_int(rows, 0, 0), pg_get_int(rows, 0, 1)};
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}
