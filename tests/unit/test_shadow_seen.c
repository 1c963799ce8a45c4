/* shadow_seen: the requests that were carried out lately, with the revision of each. */
#include "hub/shadow_seen.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void name(uint8_t id[RECORD_ID_BYTES], uint64_t number)
{
    memset(id, 0, RECORD_ID_BYTES);
    memcpy(id, &number, sizeof number);
}

static void a_request_that_was_carried_out_has_its_revision(void **state)
{
    (void)state;
    struct shadow_seen *seen = shadow_seen_new();
    uint8_t id[RECORD_ID_BYTES];
    uint64_t revision = 7;
    assert_non_null(seen);
    name(id, 0); /* of zeros, as an empty place is */
    assert_false(shadow_seen_find(seen, id, &revision));
    assert_int_equal(revision, 7);
    shadow_seen_add(seen, id, 10);
    assert_true(shadow_seen_find(seen, id, &revision));
    assert_int_equal(revision, 10);
    name(id, 1);
    assert_false(shadow_seen_find(seen, id, &revision));
    shadow_seen_free(seen);
    shadow_seen_free(NULL);
}

static void only_the_last_ones_are_kept(void **state)
{
    (void)state;
    struct shadow_seen *seen = shadow_seen_new();
    uint8_t id[RECORD_ID_BYTES];
    uint64_t revision;
    assert_non_null(seen);
    for (uint64_t i = 0; i <= SHADOW_SEEN_MAX; i++) {
        name(id, i);
        shadow_seen_add(seen, id, 100 + i);
    }
    name(id, 0);
    assert_false(shadow_seen_find(seen, id, &revision));
    for (uint64_t i = 1; i <= SHADOW_SEEN_MAX; i += SHADOW_SEEN_MAX - 1) {
        name(id, i);
        assert_true(shadow_seen_find(seen, id, &revision));
        assert_int_equal(revision, 100 + i);
    }
    shadow_seen_free(seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_that_was_carried_out_has_its_revision),
        cmocka_unit_test(only_the_last_ones_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
