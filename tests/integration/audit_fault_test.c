/* PostgreSQL fails at each of the hub's calls in turn: what cannot be looked at is not judged, what
 * cannot be read is not shown, and what could not be written is on record once all the same. */
#include "hub/archive_audit.h"
#include "hub/audit_db.h"
#include "hub/audit_export.h"
#include "hub/record_checkpoint.h"
#include "tests/integration/pg_fault.h"
#include "tests/integration/record_help.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RECORDS = 40, CALLS_MAX = 2000, LANE_CALLS = 40, LOOK_MS = 20 };

static struct record_signers signers;
static struct audit_keys keys;
static struct audit_note outside;
static char outside_text[AUDIT_NOTE_MAX_BYTES];

static void make_signers(void)
{
    struct buf pem = BUF_INIT;
    char error[AUDIT_ERROR_BYTES];
    struct audit_key key = {.name = ""};
    assert_true(audit_key_make(&pem, error));
    assert_true(audit_signer_read(pem.data, pem.size_bytes, &signers.current, error));
    memcpy(key.public, audit_signer_public(signers.current), AUDIT_PUBLIC_BYTES);
    assert_true(audit_keys_add(&keys, &key));
    buf_done(&pem);
}

static int setup_group(void **state)
{
    const char *reason;
    size_t used;
    record_help_servers(state);
    record_help_setup(state);
    make_signers();
    help.signers = &signers;
    help.config.record.checkpoint_s = 1;
    record_help_start();
    record_help_events("V1", 1, RECORDS);
    record_help_wait("SELECT count(*) FROM records WHERE kind = 'event'", RECORDS);
    record_help_wait("SELECT max(seq) - (SELECT max(size) FROM checkpoints) FROM records", 0);
    record_help_stop();
    pg_server_text(help.pg, "SELECT note FROM checkpoints ORDER BY size LIMIT 1", outside_text,
                   sizeof outside_text);
    assert_true(audit_note_parse(outside_text, strlen(outside_text), &outside, &used, &reason));
    return 0;
}

static int teardown_group(void **state)
{
    record_help_teardown(state);
    record_signers_done(&signers);
    return record_help_servers_done(state);
}

/* ---- reading ---- */

/* Returns false where it says that it could not; fails the test where it says what is not so. */
typedef bool operation_fn(void *context);

static void with_each_call_failing(operation_fn *operation, void *context, unsigned calls_least)
{
    static const enum pg_status statuses[] = {PG_LOST, PG_FAILED};
    for (size_t i = 0; i < sizeof statuses / sizeof *statuses; i++) {
        unsigned nth = 1, failures = 0;
        for (bool hit = true; hit; nth++) {
            assert_true(nth < CALLS_MAX);
            pg_fault_arm(nth, statuses[i], PG_FAULT_ANYWHERE);
            bool done = operation(context);
            hit = pg_fault_disarm();
            /* A setting that an older server does not have is the one thing that may be refused. */
            if (hit && statuses[i] == PG_LOST)
                assert_false(done);
            if (!hit)
                assert_true(done);
            failures += !done;
        }
        assert_true(failures >= calls_least);
    }
}

static bool verify(void *context)
{
    static struct audit_report report;
    struct audit_request request = {
        .dsn = help.postgres.dsn, .keys = context, .outside = &outside, .outside_count = 1};
    memset(&report, 0, sizeof report);
    audit_db_verify(&request, &report);
    if (report.verdict == AUDIT_BAD)
        fail_msg("record %lld: %s", (long long)report.bad.seq, report.bad.reason);
    if (report.verdict == AUDIT_UNUSABLE)
        assert_string_not_equal(report.error, "");
    return report.verdict == AUDIT_GOOD;
}

static void verification_that_cannot_look_accuses_nobody_and_vouches_for_nothing(void **state)
{
    (void)state;
    with_each_call_failing(verify, &keys, 8);
}

static bool export_all(void *context)
{
    char error[AUDIT_ERROR_BYTES] = "", *text = NULL;
    size_t size = 0;
    struct audit_export_report report;
    struct audit_export_request request = {.dsn = help.postgres.dsn,
                                           .selection = *(struct audit_selection *)context,
                                           .outside = &outside,
                                           .outside_count = 1,
                                           .out = open_memstream(&text, &size)};
    bool done = audit_export(&request, &report, error);
    fclose(request.out);
    assert_int_equal(done, error[0] == '\0');
    if (done)
        assert_true(report.records > 0);
    free(text);
    return done;
}

static void an_export_that_breaks_off_says_so(void **state)
{
    (void)state;
    struct audit_selection all = {.start_ns = TIMESTAMP_NONE, .end_ns = TIMESTAMP_NONE};
    struct audit_selection part = {
        .vid = "V1", .start_ns = 0, .end_ns = TIMESTAMP_MAX, .from_seq = 5, .to_seq = 20};
    with_each_call_failing(export_all, &all, 6);
    with_each_call_failing(export_all, &part, 6);
}

/* A file that takes nothing: no part of an export is taken for the whole. */
static void an_export_to_a_full_disk_says_so(void **state)
{
    (void)state;
    char error[AUDIT_ERROR_BYTES] = "";
    struct audit_export_report report;
    FILE *full = fopen("/dev/full", "w");
    assert_non_null(full);
    setvbuf(full, NULL, _IONBF, 0);
    struct audit_export_request request = {
        .dsn = help.postgres.dsn,
        .selection = {.start_ns = TIMESTAMP_NONE, .end_ns = TIMESTAMP_NONE},
        .out = full};
    assert_false(audit_export(&request, &report, error));
    assert_non_null(strstr(error, "No space left"));
    fclose(full);
}

static bool prove(void *context)
{
    struct archive_reader *reader = archive_reader_new(context, 1);
    struct archive_error error = {.text = ""};
    struct buf out = BUF_INIT;
    bool more, done = false;
    int64_t size, last;
    assert_non_null(reader);
    if (archive_proof(reader, 7, &out, &error) == ARCHIVE_OK &&
        archive_consistency(reader, 7, 0, &size, &out, &error) == ARCHIVE_OK &&
        archive_checkpoints(reader, INT64_MAX, 10, &out, &more, &last, &error) == ARCHIVE_OK)
        done = true;
    assert_int_equal(done, error.text[0] == '\0');
    if (done)
        assert_null(strstr(buf_cstr(&out), "null"));
    archive_reader_free(reader);
    buf_done(&out);
    return done;
}

static void a_proof_that_cannot_be_read_is_no_proof(void **state)
{
    (void)state;
    with_each_call_failing(prove, help.postgres.dsn, 6);
}

/* ---- writing ---- */

/* The lane's calls fail one after the other, while it starts and while events come. */
static void whatever_fails_each_event_is_on_record_once(void **state)
{
    (void)state;
    static const enum pg_status statuses[] = {PG_LOST, PG_FAILED};
    int64_t events = RECORDS;
    for (unsigned nth = 1; nth <= LANE_CALLS; nth++) {
        pg_fault_arm(nth, statuses[nth % 2], PG_FAULT_ELSEWHERE);
        record_help_start();
        record_help_events("V1", (int)events + 1, 2);
        events += 2;
        record_help_wait("SELECT count(*) FROM records WHERE kind = 'event'", events);
        record_help_stop();
        pg_fault_disarm();
    }
    record_help_check_log();
    assert_true(verify(&keys));
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(verification_that_cannot_look_accuses_nobody_and_vouches_for_nothing),
        cmocka_unit_test(an_export_that_breaks_off_says_so),
        cmocka_unit_test(an_export_to_a_full_disk_says_so),
        cmocka_unit_test(a_proof_that_cannot_be_read_is_no_proof),
        cmocka_unit_test(whatever_fails_each_event_is_on_record_once),
    };
    record_help_child(argc, argv);
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
