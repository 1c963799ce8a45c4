#include "hub/record_partitions.h"

static const struct pg_statement make_ahead = {
    .sql = "SELECT record_partitions_ahead($1::bigint::integer)"};

int record_partitions_width_days(int retention_days)
{
    int width_days = retention_days / RECORD_PARTITIONS_KEPT;
    return width_days > 0 ? width_days : 1;
}

enum pg_status record_partitions_ahead(struct pg *pg, int retention_days, int *made,
                                       struct pg_error *error)
{
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    pg_add_int8(&params, record_partitions_width_days(retention_days));
    enum pg_status status = pg_run(pg, &make_ahead, &params, &rows, error);
    if (status == PG_OK)
        *made = (int)pg_get_int(rows, 0, 0);
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}
