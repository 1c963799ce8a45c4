/* record_batch: how many rows go at once. */
#include "hub/record_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static size_t fill(struct record_batch *batch)
{
    struct record record;
    record_init(&record);
    record.kind = RECORD_EVENT;
    record.type = (struct slice){"t", 1};
    record.data = (struct slice){"{}", 2};
    record_batch_reset(batch);
    while (!record_batch_full(batch))
        assert_true(record_batch_add(batch, &record, 0));
    return record_batch_count(batch);
}

static void batch_holds_as_many_rows_as_are_quick_to_commit(void **state)
{
    (void)state;
    struct record_batch *one = record_batch_new("r"), *two = record_batch_new("r");
    assert_int_equal(fill(one), RECORD_BATCH_ROWS_MIN);
    record_batch_adapt(one, two, 300);
    assert_int_equal(fill(two), 2 * RECORD_BATCH_ROWS_MIN);
    record_batch_reset(two);
    for (int i = 0; i < 20; i++) {
        fill(one);
        record_batch_adapt(one, two, 0);
    }
    assert_int_equal(fill(two), RECORD_BATCH_ROWS);
    record_batch_adapt(two, one, 100000);
    assert_int_equal(fill(one), RECORD_BATCH_ROWS / 2);
    record_batch_reset(one);
    record_batch_adapt(one, two, 0); /* not full: it says nothing */
    assert_int_equal(fill(two), RECORD_BATCH_ROWS / 2);
    for (int i = 0; i < 20; i++)
        record_batch_adapt(one, two, 100000);
    assert_int_equal(fill(two), RECORD_BATCH_ROWS_MIN);
    record_batch_free(one);
    record_batch_free(two);
}

static void batch_that_is_full_goes_without_waiting_to_become_larger(void **state)
{
    (void)state;
    struct record_batch *one = record_batch_new("r"), *two = record_batch_new("r");
    fill(one);
    fill(two);
    record_batch_adapt(one, two, 0);
    assert_true(record_batch_full(two));
    record_batch_reset(one); /* its turn is after the other's */
    assert_true(fill(one) > 2 * RECORD_BATCH_ROWS_MIN);
    record_batch_adapt(two, one, 0);
    assert_true(record_batch_full(one));
    assert_int_equal(fill(two), record_batch_count(one));
    record_batch_adapt(one, two, 100000); /* what has become too large is full at less */
    assert_true(record_batch_full(two));
    record_batch_reset(two);
    assert_int_equal(fill(two), record_batch_count(one) / 2);
    record_batch_free(one);
    record_batch_free(two);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(batch_holds_as_many_rows_as_are_quick_to_commit),
        cmocka_unit_test(batch_that_is_full_goes_without_waiting_to_become_larger),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
