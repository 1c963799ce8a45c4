/* audit_row: a row of the record is read as a record where the writer could have written it, and
 * else refused by the column that it could not. */
#include "hub/audit_row.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* In the order of audit_row_query. */
enum {
    SEQ,
    ID,
    HASH,
    KIND,
    VID,
    REGION,
    TYPE,
    SEVERITY,
    ACTOR,
    REQUEST_ID,
    BOOT,
    BOOT_RAW,
    VEHICLE_SEQ,
    TIME,
    TIME_REST,
    RECEIVED,
    RECEIVED_REST,
    ARCHIVED,
    STREAM,
    STREAM_SEQ,
    RAW,
    DATA
};

/* Microseconds since 2000-01-01, where PostgreSQL's time begins, of the hub's first and last. */
#define EPOCH_US INT64_C(946684800000000)
#define MIN_US (TIMESTAMP_MIN / 1000 - EPOCH_US)
#define MAX_US (TIMESTAMP_MAX / 1000 - EPOCH_US)

static uint8_t bytes[AUDIT_ROW_FIELDS][RECORD_HASH_BYTES];
static struct pg_field fields[AUDIT_ROW_FIELDS];

static void set_int(int field, int64_t value, size_t size)
{
    for (size_t i = 0; i < size; i++)
        bytes[field][i] = (uint8_t)((uint64_t)value >> (8 * (size - 1 - i)));
    fields[field] = (struct pg_field){(const char *)bytes[field], size};
}

static void set_text(int field, const char *text)
{
    fields[field] = (struct pg_field){text, strlen(text)};
}

/* An event with all that may be null being null. */
static void good_row(void)
{
    memset(fields, 0, sizeof fields);
    set_int(SEQ, 7, 8);
    fields[ID] = (struct pg_field){(const char *)bytes[ID], RECORD_ID_BYTES};
    fields[HASH] = (struct pg_field){(const char *)bytes[HASH], RECORD_HASH_BYTES};
    set_text(KIND, "event");
    set_text(REGION, "r");
    set_text(TYPE, "t");
    set_int(TIME_REST, 0, 2);
    set_int(RECEIVED, 5, 8);
    set_int(RECEIVED_REST, 217, 2);
    set_int(ARCHIVED, 6, 8);
    set_text(RAW, "{}");
    set_text(DATA, "\1{}");
}

static const char *judge(void)
{
    struct record record;
    return audit_row_read(fields, &record);
}

static void a_row_is_the_record_that_was_written(void **state)
{
    struct record record;
    struct slice data;
    (void)state;
    good_row();
    assert_null(audit_row_read(fields, &record));
    assert_int_equal(record.seq, 7);
    assert_int_equal(record.timestamp_ns, TIMESTAMP_NONE);
    assert_int_equal(record.received_ns, (EPOCH_US + 5) * 1000 + 217);
    assert_true(audit_row_data(fields, &data));
    assert_int_equal(data.size, 2);
    fields[DATA] = (struct pg_field){NULL, 0};
    assert_true(audit_row_data(fields, &data));
    assert_null(data.at);
}

static void a_jsonb_of_another_version_is_not_read(void **state)
{
    struct slice data;
    (void)state;
    good_row();
    set_text(DATA, "");
    assert_false(audit_row_data(fields, &data));
    set_text(DATA, "\2{}");
    assert_false(audit_row_data(fields, &data));
}

static void times_that_the_hub_has_no_instant_for_are_malformed(void **state)
{
    static const struct {
        int field, rest;
        int64_t us;
        int16_t rest_ns;
        bool good;
    } cases[] = {
        {TIME, TIME_REST, 5, 999, true},         {TIME, TIME_REST, 5, 1000, false},
        {TIME, TIME_REST, 5, -1, false},         {TIME, TIME_REST, INT64_MAX, 0, false},
        {TIME, TIME_REST, MIN_US - 2, 0, false}, {TIME, TIME_REST, MAX_US + 2, 0, false},
        {RECEIVED, RECEIVED_REST, 5, -1, false}, {RECEIVED, RECEIVED_REST, MAX_US + 2, 0, false},
    };
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        good_row();
        set_int(cases[i].field, cases[i].us, 8);
        set_int(cases[i].rest, cases[i].rest_ns, 2);
        assert_int_equal(judge() == NULL, cases[i].good);
    }
    good_row();
    set_int(TIME_REST, 1, 2); /* of a time that is not there */
    assert_non_null(strstr(judge(), "`timestamp`"));
    static const int64_t never[] = {MIN_US - 2, MAX_US + 2, INT64_MIN / 2, INT64_MAX / 2};
    for (size_t i = 0; i < sizeof never / sizeof *never; i++) {
        good_row();
        set_int(ARCHIVED, never[i], 8);
        assert_non_null(strstr(judge(), "`archived`"));
    }
}

static void every_column_has_its_size_or_is_refused_by_name(void **state)
{
    static const int needed[] = {SEQ,       ID,       HASH,          KIND,     REGION, TYPE,
                                 TIME_REST, RECEIVED, RECEIVED_REST, ARCHIVED, RAW};
    static const int sized[] = {SEQ,       ID,       HASH,          VEHICLE_SEQ, TIME,
                                TIME_REST, RECEIVED, RECEIVED_REST, ARCHIVED,    STREAM_SEQ};
    (void)state;
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        good_row();
        fields[needed[i]] = (struct pg_field){NULL, 0};
        assert_non_null(judge());
    }
    for (size_t i = 0; i < sizeof sized / sizeof *sized; i++) {
        good_row();
        set_int(sized[i], 0, 3);
        assert_non_null(judge());
    }
    static const char *const broken[] = {"{\n}", "{\r}"};
    for (size_t i = 0; i < 2; i++) {
        good_row();
        set_text(RAW, broken[i]);
        assert_non_null(strstr(judge(), "`raw`"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_is_the_record_that_was_written),
        cmocka_unit_test(a_jsonb_of_another_version_is_not_read),
        cmocka_unit_test(times_that_the_hub_has_no_instant_for_are_malformed),
        cmocka_unit_test(every_column_has_its_size_or_is_refused_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
