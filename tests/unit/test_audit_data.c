/* What a jsonb shows against what it was made of. */
#include "hub/audit_data.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static struct audit_comparer *comparer;

static int setup(void **state)
{
    (void)state;
    comparer = audit_comparer_new();
    return comparer ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    audit_comparer_free(comparer);
    return 0;
}

static void expect(enum audit_sameness wanted, const char *said, const char *shown)
{
    enum audit_sameness found = audit_compare(comparer, (struct slice){said, strlen(said)},
                                              (struct slice){shown, strlen(shown)});
    if (found != wanted)
        fail_msg("%s and %s: %d instead of %d", said, shown, (int)found, (int)wanted);
}

static void jsonb_as_postgresql_writes_it_is_the_same(void **state)
{
    (void)state;
    expect(AUDIT_SAME, "{\"bb\":1,\"a\":[true,null,\"x\"]}",
           "{\"a\": [true, null, \"x\"], \"bb\": 1}");
    expect(AUDIT_SAME, "{\"a\":\"\\u0041\\/\\u00e6\"}", "{\"a\": \"A/\xc3\xa6\"}");
    expect(AUDIT_SAME, "{\"a\":1.50}", "{\"a\": 1.50}");
    expect(AUDIT_SAME, "{\"a\":1e3}", "{\"a\": 1000}");
    expect(AUDIT_SAME, "{\"a\":1.5E-3}", "{\"a\": 0.0015}");
    expect(AUDIT_SAME, "{\"a\":1.50e1}", "{\"a\": 15.0}");
    expect(AUDIT_SAME, "{}", "{}");
}

static void what_a_reader_would_see_changed_is_different(void **state)
{
    (void)state;
    expect(AUDIT_DIFFERENT, "{\"a\":\"x\"}", "{\"a\": \"y\"}");
    expect(AUDIT_UNSURE, "{\"a\":1}", "{\"a\": 123456789012345678901234567890.5}");
    expect(AUDIT_DIFFERENT, "{\"a\":1.5}", "{\"a\": 1.50}");
    expect(AUDIT_DIFFERENT, "{\"a\":1e3}", "{\"a\": 1000.0}");
    expect(AUDIT_DIFFERENT, "{\"a\":1}", "{\"a\": 2}");
    expect(AUDIT_DIFFERENT, "{\"a\":1}", "{\"a\": \"1\"}");
    expect(AUDIT_DIFFERENT, "{\"a\":1}", "{\"b\": 1}");
    expect(AUDIT_DIFFERENT, "{\"a\":1}", "{\"a\": 1, \"b\": 1}");
    expect(AUDIT_DIFFERENT, "{\"a\":1,\"b\":1}", "{\"a\": 1}");
    expect(AUDIT_DIFFERENT, "{\"a\":[1,2]}", "{\"a\": [2, 1]}");
    expect(AUDIT_DIFFERENT, "{\"a\":[1,2]}", "{\"a\": [1]}");
    expect(AUDIT_DIFFERENT, "{\"a\":true}", "{\"a\": false}");
    expect(AUDIT_DIFFERENT, "{\"a\":null}", "{\"a\": {}}");
    expect(AUDIT_DIFFERENT, "{\"a\":\"x\"}", "{\"a\": \"x \"}");
    expect(AUDIT_DIFFERENT, "{\"a\":{\"b\":{\"c\":1}}}", "{\"a\": {\"b\": {\"c\": 3}}}");
}

static void what_is_not_judged_here_is_left_to_the_server(void **state)
{
    struct buf said = BUF_INIT;
    (void)state;
    expect(AUDIT_UNSURE, "{\"a\":123456789012345678901234567890}",
           "{\"a\": 123456789012345678901234567890}");
    expect(AUDIT_UNSURE, "{\"a\":-0}", "{\"a\": 0}");
    expect(AUDIT_UNSURE, "no JSON", "{}");
    expect(AUDIT_UNSURE, "{}", "no JSON");
    buf_addc(&said, '{');
    for (int i = 0; i < 65; i++)
        buf_addf(&said, "%s\"m%d\":1", i ? "," : "", i);
    buf_addc(&said, '}');
    expect(AUDIT_UNSURE, buf_cstr(&said), buf_cstr(&said));
    buf_done(&said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(jsonb_as_postgresql_writes_it_is_the_same),
        cmocka_unit_test(what_a_reader_would_see_changed_is_different),
        cmocka_unit_test(what_is_not_judged_here_is_left_to_the_server),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
