/* archive_audit, audit_export: proofs and exports of a record whose tables are not as a hub leaves
 * them, or whose server does not answer. */
#include "hub/archive_audit.h"
#include "hub/audit_export.h"
#include "hub/audit_note.h"
#include "hub/log.h"
#include "hub/tree_proof.h"
#include "tests/fake/fake_pg.h"
#include "tests/unit/edge_help.h"
#include "tests/unit/fault.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TILE "SELECT nodes FROM tree_tiles"
#define COVERING "FROM checkpoints WHERE size >="
#define NEWEST "FROM checkpoints WHERE size <"
#define STOPS "SELECT size, note FROM checkpoints ORDER BY size"
#define KEYS "SELECT vkey FROM signing_keys"
#define SCOPE "SELECT scope FROM log_head"
#define ROWS "COPY (SELECT seq"
#define FLOOR "max(floor)"

enum { RECORDS = 1060 }; /* a full tile of level 1 */

static struct archive_reader *reader;
static struct archive_error error;
static struct tree_edge edge;
static struct tree_hash full[TREE_TILE_NODES]; /* of level 0: they are all the same */
static struct buf out;

static int setup_group(void **state)
{
    struct tree_hash leaf = {{7}};
    (void)state;
    tree_edge_init(&edge);
    for (int i = 0; i < RECORDS; i++) {
        full[i % TREE_TILE_NODES] = leaf;
        tree_edge_append(&edge, &leaf, NULL, NULL);
    }
    return 0;
}

static int setup(void **state)
{
    (void)state;
    fake_pg_reset();
    buf_reset(&out);
    error = (struct archive_error){.text = ""};
    archive_reader_free(reader); /* of the case before */
    reader = archive_reader_new("dsn", 1);
    return reader ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    archive_reader_free(reader);
    reader = NULL;
    return 0;
}

static int teardown_group(void **state)
{
    (void)state;
    buf_done(&out);
    return 0;
}

static void answer_tile(void)
{
    fake_pg_answer(TILE, PG_OK);
    fake_pg_row();
    fake_pg_bytes(full, sizeof full);
}

static void answer_covering(int64_t size)
{
    fake_pg_answer(COVERING, PG_OK);
    fake_pg_row();
    fake_pg_int(size);
    fake_pg_text("a note");
}

/* ---- proofs ---- */

static void a_record_without_a_checkpoint_is_proved_in_the_tree_as_it_is(void **state)
{
    (void)state;
    answer_edge(&edge);
    answer_tile();
    assert_int_equal(archive_proof(reader, 1058, &out, &error), ARCHIVE_OK);
    assert_non_null(strstr(buf_cstr(&out), "\"size\":1060"));
    assert_non_null(strstr(buf_cstr(&out), "\"checkpoint\":null"));
}

/* Nothing is vouched for: the checkpoint is of more than there is, or a tile of the proof, or of
 * the root, is not there. */
static void what_the_tree_does_not_have_is_answered_with_no_proof(void **state)
{
    (void)state;
    for (int tiles = -1; tiles < 3; tiles++) {
        setup(NULL);
        answer_edge(&edge);
        answer_covering(tiles < 0 ? RECORDS + 1 : 40);
        for (int i = 0; i < tiles; i++)
            answer_tile();
        fake_pg_answer(TILE, PG_OK); /* and no row */
        assert_int_equal(archive_proof(reader, 1, &out, &error), ARCHIVE_OK);
        assert_string_equal(buf_cstr(&out), "null");
        teardown(NULL);
    }
    setup(NULL);
    answer_edge(&edge);
    answer_covering(40);
    for (int i = 0; i < 3; i++)
        answer_tile();
    assert_int_equal(archive_proof(reader, 1, &out, &error), ARCHIVE_OK);
    assert_non_null(strstr(buf_cstr(&out), "\"checkpoint\":\"a note\""));
}

static void a_server_that_does_not_answer_is_told_as_such(void **state)
{
    static const struct {
        const char *what;
        enum pg_status status;
        enum archive_status expected;
    } cases[] = {
        {"connect", PG_LOST, ARCHIVE_UNAVAILABLE}, {EDGE, PG_LOST, ARCHIVE_UNAVAILABLE},
        {TILE, PG_LOST, ARCHIVE_UNAVAILABLE},      {TILE, PG_FAILED, ARCHIVE_FAILED},
        {EDGE, PG_FAILED, ARCHIVE_FAILED},
    };
    int64_t size, last;
    bool more;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        setup(NULL);
        fake_pg_answer(cases[i].what, cases[i].status);
        answer_edge(&edge);
        assert_int_equal(archive_proof(reader, 1, &out, &error), cases[i].expected);
        teardown(NULL);
        setup(NULL);
        fake_pg_answer(cases[i].what, cases[i].status);
        answer_edge(&edge);
        assert_int_equal(archive_consistency(reader, 33, 40, &size, &out, &error),
                         cases[i].expected);
        teardown(NULL);
    }
    setup(NULL);
    fake_pg_answer("connect", PG_LOST);
    assert_int_equal(archive_checkpoints(reader, INT64_MAX, 5, &out, &more, &last, &error),
                     ARCHIVE_UNAVAILABLE);
}

static void consistency_is_of_two_trees_that_there_were(void **state)
{
    int64_t size = 0;
    (void)state;
    answer_edge(&edge);
    for (int i = 0; i < 20; i++)
        answer_tile();
    assert_int_equal(archive_consistency(reader, 50, 40, &size, &out, &error), ARCHIVE_NOT_FOUND);
    assert_int_equal(archive_consistency(reader, 5, RECORDS + 1, &size, &out, &error),
                     ARCHIVE_NOT_FOUND);
    assert_int_equal(size, RECORDS);
    assert_int_equal(archive_consistency(reader, 0, 40, &size, &out, &error), ARCHIVE_FAILED);
    /* Whichever tile is missing: there is no half of an answer. */
    for (int tiles = 0;; tiles++) {
        assert_true(tiles < 30);
        setup(NULL);
        answer_edge(&edge);
        for (int i = 0; i < tiles; i++)
            answer_tile();
        fake_pg_answer(TILE, PG_OK);
        enum archive_status status = archive_consistency(reader, 33, 40, &size, &out, &error);
        assert_int_equal(out.size_bytes > 0, status == ARCHIVE_OK);
        teardown(NULL);
        if (status == ARCHIVE_OK)
            break;
        assert_int_equal(status, ARCHIVE_FAILED);
    }
    setup(NULL);
}

static void what_cannot_be_read_as_a_checkpoint_is_shown_all_the_same(void **state)
{
    int64_t last = 0;
    bool more = true;
    (void)state;
    fake_pg_answer(NEWEST, PG_OK);
    fake_pg_row();
    fake_pg_int(5);
    fake_pg_text("no note");
    assert_int_equal(archive_checkpoints(reader, INT64_MAX, 5, &out, &more, &last, &error),
                     ARCHIVE_OK);
    assert_string_equal(buf_cstr(&out), "{\"size\":5,\"root\":null,\"time\":null,\"signatures\":0,"
                                        "\"note\":\"no note\"}");
    assert_false(more);
    assert_int_equal(last, 5);
}

/* ---- exports ---- */

static const uint8_t zeros[RECORD_HASH_BYTES];

static void answer_row(int64_t seq, const char *kind)
{
    fake_pg_row();
    fake_pg_int(seq);
    fake_pg_bytes(zeros, RECORD_ID_BYTES);
    fake_pg_bytes(zeros, RECORD_HASH_BYTES);
    fake_pg_text(kind);
    fake_pg_null(); /* vid */
    fake_pg_text("r");
    fake_pg_text("t");
    for (int i = 0; i < 7; i++) /* severity to timestamp */
        fake_pg_null();
    fake_pg_int2(0);
    fake_pg_int(0);
    fake_pg_int2(0);
    fake_pg_int(0);
    fake_pg_null();
    fake_pg_null();
    fake_pg_text("{}");
    fake_pg_null();
}

/* Retention has on record that it dropped all up to there. */
static void answer_floor(int64_t dropped_to)
{
    fake_pg_answer(FLOOR, PG_OK);
    fake_pg_row();
    fake_pg_int(dropped_to);
    fake_pg_int(dropped_to);
}

static char why[AUDIT_ERROR_BYTES];
static char *text;

/* The text of the export, or NULL and `why`. */
static const char *export(const struct audit_selection *selection, const struct audit_note *outside,
                          size_t outside_count)
{
    size_t size;
    struct audit_export_report report;
    free(text);
    text = NULL;
    why[0] = '\0';
    struct audit_export_request request = {.dsn = "dsn",
                                           .selection = *selection,
                                           .outside = outside,
                                           .outside_count = outside_count,
                                           .out = open_memstream(&text, &size)};
    bool done = audit_export(&request, &report, why);
    fclose(request.out);
    assert_int_equal(done, why[0] == '\0');
    return done ? text : NULL;
}

static const struct audit_selection all = {.start_ns = TIMESTAMP_NONE, .end_ns = TIMESTAMP_NONE};

static void answer_small(int64_t size)
{
    struct tree_hash leaf = {{7}};
    static struct tree_edge small;
    tree_edge_init(&small);
    while (small.size < size)
        tree_edge_append(&small, &leaf, NULL, NULL);
    fake_pg_reset();
    fake_pg_answer(EDGE, PG_OK);
    fake_pg_row();
    fake_pg_int(0);
    fake_pg_int(0);
    fake_pg_bytes(small.nodes[0], (size_t)size * TREE_HASH_BYTES);
    answer_floor(size);
    fake_pg_answer(SCOPE, PG_OK);
    fake_pg_row();
    fake_pg_text("t/r");
    fake_pg_answer(KEYS, PG_OK);
    for (int i = 0; i < 2; i++) {
        fake_pg_row();
        fake_pg_text(i ? "two" : "one");
    }
}

static void checkpoints_of_what_the_export_does_not_have_are_left_out(void **state)
{
    struct audit_note outside[2] = {{.size = 2}, {.size = 9}};
    (void)state;
    answer_small(3);
    fake_pg_answer(STOPS, PG_OK);
    for (int64_t size = 0; size <= 4; size += 2) {
        fake_pg_row();
        fake_pg_int(size);
        fake_pg_text(size == 2 ? "within" : "without");
    }
    fake_pg_answer(ROWS, PG_OK);
    answer_row(1, "event");
    const char *made = export(&all, outside, 2);
    assert_non_null(made);
    assert_non_null(strstr(made, "\"origin\":\"fleethub/t/r\""));
    assert_non_null(strstr(made, "\"keys\":[\"one\",\"two\"]"));
    assert_non_null(strstr(made, "{\"checkpoint\":\"within\"}"));
    assert_null(strstr(made, "without"));
    assert_non_null(strstr(made, "{\"end\":true,\"records\":1}"));
}

static void a_log_that_has_no_head_is_exported_without_a_name(void **state)
{
    (void)state;
    answer_small(1);
    fake_pg_answer(ROWS, PG_OK);
    assert_non_null(export(&all, NULL, 0));
    fake_pg_reset();
    assert_non_null(export(&all, NULL, 0));
    assert_non_null(strstr(text, "\"origin\":\"\""));
}

static void rows_that_are_no_records_are_not_exported(void **state)
{
    (void)state;
    answer_small(3);
    fake_pg_answer(ROWS, PG_OK);
    answer_row(1, "gossip");
    assert_null(export(&all, NULL, 0));
    assert_non_null(strstr(why, "record 1 cannot be exported (its column `kind`"));
    answer_small(3);
    fake_pg_answer(ROWS, PG_OK);
    answer_row(1, "event");
    answer_row(1, "event");
    assert_null(export(&all, NULL, 0));
    assert_non_null(strstr(why, "its seq is there twice"));
}

static void a_gap_is_retention_s_or_ends_the_export(void **state)
{
    (void)state;
    for (int64_t dropped_to = 0; dropped_to <= 3; dropped_to++) {
        fake_pg_reset();
        answer_floor(dropped_to);
        fake_pg_answer(EDGE, PG_OK);
        fake_pg_row();
        fake_pg_int(0);
        fake_pg_int(0);
        fake_pg_bytes(full, (size_t)3 * TREE_HASH_BYTES);
        fake_pg_answer(ROWS, PG_OK);
        answer_row(2, "event");
        assert_int_equal(export(&all, NULL, 0) != NULL, dropped_to == 3);
        if (dropped_to < 3)
            assert_non_null(strstr(why, dropped_to == 0 ? "record 1 is" : "record 3 is"));
    }
}

/* Records that are left out, and a tile of what stands for them that is not there: before a record,
 * before a checkpoint, and at the end. */
static void a_tree_that_is_not_whole_ends_the_export(void **state)
{
    struct audit_note outside = {.size = 64};
    struct audit_selection part = {.start_ns = -1, .end_ns = 1, .from_seq = 200, .to_seq = 5000};
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        fake_pg_reset();
        answer_edge(&edge);
        fake_pg_answer(TILE, PG_OK);
        fake_pg_answer(ROWS, PG_OK);
        if (kind != 2)
            answer_row(kind == 0 ? 40 : kind == 1 ? 100 : 1, "event");
        assert_null(export(&part, &outside, kind == 1 || kind == 2));
        assert_non_null(strstr(why, "of the tree is missing"));
    }
}

static void a_disk_that_is_full_is_told(void **state)
{
    enum { MANY = 400 };
    struct audit_export_report report;
    (void)state;
    fake_pg_reset();
    answer_edge(&edge);
    fake_pg_answer(ROWS, PG_OK);
    for (int64_t seq = 1; seq <= MANY; seq++)
        answer_row(seq, "event");
    FILE *disk = fopen("/dev/full", "we");
    assert_non_null(disk);
    setvbuf(disk, NULL, _IONBF, 0);
    struct audit_export_request request = {.dsn = "dsn", .selection = all, .out = disk};
    assert_false(audit_export(&request, &report, why));
    assert_non_null(strstr(why, "No space left"));
    fclose(disk);
}

static void what_the_server_does_not_say_is_not_exported(void **state)
{
    static const char *const what[] = {"connect", EDGE, SCOPE, STOPS, KEYS, ROWS, FLOOR};
    (void)state;
    for (size_t i = 0; i < sizeof what / sizeof *what; i++) {
        fake_pg_reset();
        fake_pg_answer(what[i], PG_LOST);
        answer_edge(&edge);
        answer_floor(RECORDS);
        assert_null(export(&all, NULL, 0));
        assert_string_equal(why, "a fault of the test");
    }
    answer_small(3);
    fake_pg_broken_answer(ROWS, PG_LOST);
    answer_row(1, "event");
    assert_null(export(&all, NULL, 0));
    free(text);
    text = NULL;
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_record_without_a_checkpoint_is_proved_in_the_tree_as_it_is),
        TEST(what_the_tree_does_not_have_is_answered_with_no_proof),
        TEST(a_server_that_does_not_answer_is_told_as_such),
        TEST(consistency_is_of_two_trees_that_there_were),
        TEST(what_cannot_be_read_as_a_checkpoint_is_shown_all_the_same),
        TEST(checkpoints_of_what_the_export_does_not_have_are_left_out),
        TEST(a_log_that_has_no_head_is_exported_without_a_name),
        TEST(rows_that_are_no_records_are_not_exported),
        TEST(a_gap_is_retention_s_or_ends_the_export),
        TEST(a_tree_that_is_not_whole_ends_the_export),
        TEST(a_disk_that_is_full_is_told),
        TEST(what_the_server_does_not_say_is_not_exported),
    };
    log_setup((enum log_level)(LOG_ERROR + 1), false);
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
