/* archive_scan: what the database sorts out beside what is judged row by row, for random questions.
 */
#include "hub/archive.h"
#include "hub/pg.h"
#include "tests/integration/record_help.h"
#include "tests/unit/record_filters.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    RECORDS = 700,
    QUESTIONS = 150,
    DEPTH = 2,
    TURN_MS = 10000,
    PATIENCE_MS = 300,
    ENDED_MS = 10000
};

#define FROM_NS INT64_C(1768473000000000000) /* 2026-01-15T10:30:00Z */
#define NOW_NS (FROM_NS + 40 * NS_PER_S)

static struct archive_reader *reader;

/* ---- the records ---- */

static const char *pick(struct random *random, const char *const *list, unsigned count)
{
    return list[random_below(random, count)];
}

static void add_text(struct buf *sql, const char *text)
{
    buf_adds(sql, ", ");
    if (text)
        pg_literal(sql, text, strlen(text));
    else
        buf_adds(sql, "NULL");
}

static void add_row(struct random *random, struct buf *sql, int seq)
{
    static const char *const vids[] = {"V-1", "V-2", "V-3", "V-12", "W-1", NULL};
    static const char *const kinds[] = {"event", "ack", "track", "event", "system"};
    static const char *const types[] = {"battery.low", "battery.critical", "waypoint", "takeoff"};
    static const char *const severities[] = {"warning", "info", NULL};
    static const char *const boots[] = {"b1", "b2", NULL};
    static const char *const streams[] = {"TWIN_EVENTS", "TWIN_ACK", NULL};
    bool whole = random_below(random, 2);
    unsigned ms = whole ? random_below(random, 50) * 1000 : random_below(random, 50000);
    unsigned index = random_below(random, 40);
    bool raw_boot = random_below(random, 8) == 0;
    buf_addf(sql, "%s(%d, md5('%d')::uuid, sha256('%d')", seq > 1 ? "," : "", seq, seq, seq);
    add_text(sql, pick(random, kinds, 5));
    add_text(sql, pick(random, vids, 6));
    add_text(sql, "north");
    add_text(sql, pick(random, types, 4));
    add_text(sql, pick(random, severities, 3));
    add_text(sql, random_below(random, 2) ? "o'hara\\" : NULL);
    add_text(sql, NULL);
    add_text(sql, raw_boot ? NULL : pick(random, boots, 3));
    buf_adds(sql, raw_boot ? ", '\\x620031'" : ", NULL");
    if (random_below(random, 3))
        buf_addf(sql, ", %u", index);
    else
        buf_adds(sql, ", NULL");
    if (random_below(random, 4))
        buf_addf(sql, ", timestamptz '2026-01-15T10:30:00Z' + interval '%u ms', %u", ms,
                 random_below(random, 1000));
    else
        buf_adds(sql, ", NULL, 0");
    buf_addf(sql, ", timestamptz '2026-01-15T10:30:00Z' + interval '%u us', %u", ms * 1000,
             random_below(random, 3) ? 0 : random_below(random, 1000));
    buf_addf(sql, ", timestamptz '2026-01-15T10:31:00Z' + interval '%d ms'", seq);
    add_text(sql, pick(random, streams, 3));
    buf_addf(sql, ", %d, convert_to('{\"index\":%u,\"load\":%u.5,\"phase\":%s}', 'UTF8'))", seq,
             index, random_below(random, 3),
             random_below(random, 3) ? "\"takeoff\"" : "[\"takeoff\"]");
}

static int group_setup(void **state)
{
    struct random random = random_seeded("records");
    struct buf sql = BUF_INIT;
    struct pg_error error;
    record_help_servers(state);
    record_help_setup(state);
    buf_adds(&sql,
             "INSERT INTO records (seq, id, hash, kind, vid, region, type, severity, actor, "
             "request_id, boot, boot_raw, vehicle_seq, timestamp, timestamp_rest_ns, received, "
             "received_rest_ns, archived, stream, stream_seq, raw) VALUES ");
    for (int seq = 1; seq <= RECORDS; seq++)
        add_row(&random, &sql, seq);
    if (pg_script(help.pg, buf_cstr(&sql), &error) != PG_OK)
        fail_msg("%s", error.text);
    buf_done(&sql);
    reader = archive_reader_new(help.postgres.dsn, 2);
    return reader ? 0 : -1;
}

static int group_teardown(void **state)
{
    archive_reader_free(reader);
    record_help_teardown(state);
    record_help_servers_done(state);
    return 0;
}

/* ---- asking ---- */

struct found {
    int64_t seqs[RECORDS + 1];
    size_t count, stop_at; /* 0: never */
};

static bool note(void *closure, const struct record *record)
{
    struct found *found = closure;
    if (found->count <= RECORDS)
        found->seqs[found->count++] = record->seq;
    return found->count != found->stop_at;
}

/* All of it, `want` at a time; each turn may be ended by hand. */
static void scan(const struct record_question *question, bool ascending, size_t want,
                 size_t stop_at, struct found *found)
{
    struct archive_scan *scan = archive_scan_new(question, ascending);
    struct archive_error error = {""};
    *found = (struct found){.count = 0};
    assert_non_null(scan);
    while (!archive_scan_ended(scan)) {
        found->stop_at = stop_at ? found->count + stop_at : 0;
        struct archive_turn turn = {
            .want = want, .timeout_ms = TURN_MS, .take = note, .closure = found};
        if (archive_scan_turn(scan, reader, &turn, &error) != ARCHIVE_OK)
            fail_msg("%s", error.text);
    }
    archive_scan_free(scan);
}

struct slow {
    struct record_judge judge;
    struct found found;
};

static bool judge_one(void *closure, const struct record *record)
{
    struct slow *slow = closure;
    struct record copy = *record;
    if (record_judge_ask(&slow->judge, &copy) == RECORD_YES)
        note(&slow->found, &copy);
    return true;
}

/* The same without the database's help: every record is looked at here. */
static void scan_slowly(const struct record_question *question, struct found *found)
{
    struct record_question everything;
    struct slow slow = {.found = {.count = 0}};
    struct archive_error error = {""};
    record_question_init(&everything, &viewer_all);
    struct archive_scan *scan = archive_scan_new(&everything, true);
    assert_true(scan && record_judge_init(&slow.judge, question));
    struct archive_turn turn = {
        .want = RECORDS + 1, .timeout_ms = TURN_MS, .take = judge_one, .closure = &slow};
    while (!archive_scan_ended(scan))
        if (archive_scan_turn(scan, reader, &turn, &error) != ARCHIVE_OK)
            fail_msg("%s", error.text);
    record_judge_done(&slow.judge);
    archive_scan_free(scan);
    *found = slow.found;
}

static void expect_same(const struct found *fast, const struct found *slow, bool ascending,
                        const char *text)
{
    bool same = fast->count == slow->count;
    for (size_t i = 0; same && i < slow->count; i++)
        same = fast->seqs[i] == slow->seqs[ascending ? i : slow->count - 1 - i];
    if (!same)
        fail_msg("%zu records instead of %zu, or others: %s", fast->count, slow->count, text);
}

static const char *const some_vehicles[] = {"V-1*", "W-1"}, *const no_state[] = {"state.*"};
static const struct viewer_scope some_scope = {.vehicles = {true, some_vehicles, 2}};
static const struct viewer_scope all_scope = {.vehicles = {false, NULL, 0}};
static const struct viewer viewers[] = {
    {.principal = "some", .scopes = &some_scope, .scope_count = 1},
    {.principal = "stateless", .scopes = &all_scope, .scope_count = 1, .deny = {true, no_state, 1}},
};

/* A question with some of what there is to be asked. */
static void make_question(struct random *random, struct record_question *question)
{
    static const char *const vids[] = {"V-1", "V-2", "V-9"};
    static const char *const types[] = {"battery.low", "waypoint"};
    unsigned viewer = random_below(random, 5);
    record_question_init(question, viewer < 2 ? &viewers[viewer] : &viewer_all);
    question->now_ns = NOW_NS;
    if (random_below(random, 4) == 0)
        question->vid = pick(random, vids, 3);
    if (random_below(random, 5) == 0)
        question->type = pick(random, types, 2);
    question->by_kind = random_below(random, 5) == 0;
    question->kind = random_below(random, 2) ? RECORD_EVENT : RECORD_TRACK;
    if (random_below(random, 4) == 0)
        question->start_ns = FROM_NS + random_below(random, 50) * NS_PER_S + 1;
    if (random_below(random, 4) == 0)
        question->end_ns = FROM_NS + random_below(random, 50) * NS_PER_S;
}

static void scans_find_what_every_record_was_asked_for(void **state)
{
    struct random random = random_seeded("questions");
    unsigned some = 0;
    (void)state;
    for (int i = 0; i < QUESTIONS; i++) {
        struct record_question question;
        struct text_error error;
        struct buf text = BUF_INIT;
        struct found slow, fast;
        bool ascending = random_below(&random, 2);
        make_question(&random, &question);
        record_filters_write(&random, &text, DEPTH);
        struct filter *filter =
            filter_compile(PATH_OF_RECORD, text.data, text.size_bytes, NULL, &error);
        if (!filter)
            fail_msg("%s: %s", error.detail, buf_cstr(&text));
        question.filter = random_below(&random, 10) ? filter : NULL;
        scan_slowly(&question, &slow);
        scan(&question, ascending, 1 + random_below(&random, 200), random_below(&random, 2) * 40,
             &fast);
        expect_same(&fast, &slow, ascending, buf_cstr(&text));
        some += slow.count > 0 && slow.count < RECORDS;
        filter_free(filter);
        buf_done(&text);
    }
    print_message("%u of %u questions are answered with some records\n", some, (unsigned)QUESTIONS);
    assert_true(some > QUESTIONS / 3);
}

static void a_scan_goes_on_behind_any_record_and_ends_where_it_is_told(void **state)
{
    struct record_question question;
    struct archive_error error = {""};
    (void)state;
    record_question_init(&question, &viewer_all);
    for (int ascending = 0; ascending < 2; ascending++) {
        struct found found = {.count = 0};
        struct archive_scan *scan = archive_scan_new(&question, ascending);
        struct archive_turn turn = {
            .want = 10, .timeout_ms = TURN_MS, .take = note, .closure = &found};
        archive_scan_after(scan, ascending ? 650 : 20);
        archive_scan_until(scan, 690);
        while (!archive_scan_ended(scan))
            assert_int_equal(archive_scan_turn(scan, reader, &turn, &error), ARCHIVE_OK);
        assert_int_equal(found.count, ascending ? 40 : 19);
        assert_int_equal(found.seqs[0], ascending ? 651 : 19);
        archive_scan_free(scan);
    }
}

/* Texts that would end a literal. */
static void what_is_asked_is_never_taken_for_sql(void **state)
{
    static const char *const texts[] = {"actor = \"o'hara\\\\\"", "actor = \"' OR true --\"",
                                        "type = \"\\\\'; DROP TABLE records\"",
                                        "actor = \"o'hara*\"", "vid < \"V-1' OR '1'='1\""};
    static const size_t counts[] = {1, 0, 0, 1, 1};
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct record_question question;
        struct text_error error;
        struct found fast, slow;
        record_question_init(&question, &viewer_all);
        struct filter *filter =
            filter_compile(PATH_OF_RECORD, texts[i], strlen(texts[i]), NULL, &error);
        assert_non_null(filter);
        question.filter = filter;
        scan(&question, true, 100, 0, &fast);
        scan_slowly(&question, &slow);
        expect_same(&fast, &slow, true, texts[i]);
        assert_int_equal(fast.count > 0, counts[i]);
        filter_free(filter);
    }
}

/* ---- time ---- */

/* The time since which nobody waits any more. */
static bool is_over(void *closure)
{
    return help_now_ms() >= *(const int64_t *)closure;
}

static bool never_comes(void *closure, const struct record *record)
{
    (void)closure;
    (void)record;
    fail_msg("a record came that nobody could wait for");
    return false;
}

static int64_t running_statements(void)
{
    return pg_server_int(help.pg, "SELECT count(*) FROM pg_stat_activity WHERE application_name = "
                                  "'fleethub reader' AND state = 'active'");
}

/* Each row of what the scan reads takes a second. */
static void slow_down(void)
{
    struct pg_error error;
    if (pg_script(
            help.pg,
            "CREATE OR REPLACE FUNCTION slow(raw bytea) RETURNS bytea STABLE LANGUAGE plpgsql "
            "AS $$ BEGIN PERFORM pg_sleep(1); RETURN raw; END $$;"
            "ALTER TABLE records RENAME TO records_kept;"
            "CREATE VIEW records AS SELECT seq, id, hash, kind, vid, region, type, severity, "
            "actor, request_id, boot, boot_raw, vehicle_seq, timestamp, timestamp_rest_ns, "
            "received, received_rest_ns, archived, stream, stream_seq, slow(raw) AS raw "
            "FROM records_kept",
            &error) != PG_OK)
        fail_msg("%s", error.text);
}

static int speed_up(void **state)
{
    struct pg_error error;
    (void)state;
    return pg_script(help.pg, "DROP VIEW records; ALTER TABLE records_kept RENAME TO records",
                     &error) == PG_OK
               ? 0
               : -1;
}

static void wait_until_nothing_runs(void)
{
    int64_t until_ms = help_now_ms() + ENDED_MS;
    while (running_statements() > 0) {
        assert_true(help_now_ms() < until_ms);
        help_nap();
    }
}

static void a_turn_ends_its_statement_when_the_time_is_up_or_nobody_waits(void **state)
{
    struct record_question question;
    struct archive_error error = {""};
    (void)state;
    slow_down();
    record_question_init(&question, &viewer_all);
    for (int given_up = 0; given_up < 2; given_up++) {
        int64_t over_ms = help_now_ms() + PATIENCE_MS;
        struct archive_scan *scan = archive_scan_new(&question, true);
        struct archive_turn turn = {.want = RECORDS,
                                    .timeout_ms = given_up ? TURN_MS : PATIENCE_MS,
                                    .take = never_comes,
                                    .given_up = given_up ? is_over : NULL,
                                    .closure = &over_ms};
        assert_int_equal(archive_scan_turn(scan, reader, &turn, &error),
                         given_up ? ARCHIVE_GIVEN_UP : ARCHIVE_UNAVAILABLE);
        wait_until_nothing_runs();
        archive_scan_free(scan);
    }
}

int main(int argc, char **argv)
{
    record_help_child(argc, argv);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scans_find_what_every_record_was_asked_for),
        cmocka_unit_test(a_scan_goes_on_behind_any_record_and_ends_where_it_is_told),
        cmocka_unit_test(what_is_asked_is_never_taken_for_sql),
        cmocka_unit_test_teardown(a_turn_ends_its_statement_when_the_time_is_up_or_nobody_waits,
                                  speed_up),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
