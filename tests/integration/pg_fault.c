#include "tests/integration/pg_fault.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

static struct {
    atomic_uint left; /* calls until the one that fails, itself included; 0: none does */
    atomic_bool hit;
    enum pg_status status;
    enum pg_fault_where where;
    pthread_t armed_by;
} fault;

void pg_fault_arm(unsigned nth, enum pg_status status, enum pg_fault_where where)
{
    fault.status = status;
    fault.where = where;
    fault.armed_by = pthread_self();
    atomic_store(&fault.hit, false);
    atomic_store(&fault.left, nth);
}

bool pg_fault_hit(void)
{
    return atomic_load(&fault.hit);
}

bool pg_fault_disarm(void)
{
    atomic_store(&fault.left, 0);
    return pg_fault_hit();
}

static bool fails(struct pg_error *error)
{
    unsigned left = atomic_load(&fault.left);
    if (left == 0 ||
        (fault.where == PG_FAULT_ELSEWHERE && pthread_equal(fault.armed_by, pthread_self())))
        return false;
    while (left > 0 && !atomic_compare_exchange_weak(&fault.left, &left, left - 1))
        ;
    if (left != 1)
        return false;
    *error = (struct pg_error){.sqlstate = "XX000", .text = "a fault of the test"};
    atomic_store(&fault.hit, true);
    return true;
}

/* What the linker's --wrap calls and provides. */
#define WRAPPED(name, parameters, arguments)                                                       \
    enum pg_status __real_##name parameters;                                                       \
    enum pg_status __wrap_##name parameters;                                                       \
    enum pg_status __wrap_##name parameters                                                        \
    {                                                                                              \
        return fails(error) ? fault.status : __real_##name arguments;                              \
    }

WRAPPED(pg_open, (const struct pg_options *options, struct pg **pg, struct pg_error *error),
        (options, pg, error))
WRAPPED(pg_run,
        (struct pg * pg, const struct pg_statement *statement, const struct pg_params *params,
         struct pg_result **result, struct pg_error *error),
        (pg, statement, params, result, error))
WRAPPED(pg_script, (struct pg * pg, const char *sql, struct pg_error *error), (pg, sql, error))
WRAPPED(pg_copy_begin, (struct pg * pg, const char *sql, struct pg_error *error), (pg, sql, error))
WRAPPED(pg_load_begin,
        (struct pg_load * load, struct pg *pg, const char *sql, struct pg_error *error),
        (load, pg, sql, error))

enum pg_status __real_pg_copy_next(struct pg *pg, struct pg_field *fields, int count, bool *over,
                                   struct pg_error *error);
enum pg_status __wrap_pg_copy_next(struct pg *pg, struct pg_field *fields, int count, bool *over,
                                   struct pg_error *error);
enum pg_status __wrap_pg_copy_next(struct pg *pg, struct pg_field *fields, int count, bool *over,
                                   struct pg_error *error)
{
    if (!fails(error))
        return __real_pg_copy_next(pg, fields, count, over, error);
    pg_copy_cancel(pg); /* a failure ends the copying */
    return fault.status;
}
