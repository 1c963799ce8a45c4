/* tree_store, record_tree: what the tables of the tree may hold without being a tree is refused,
 * and what the server does not say is not made up. */
#include "hub/record_checkpoint.h"
#include "hub/record_tree.h"
#include "hub/tree_store.h"
#include "tests/fake/fake_pg.h"
#include "tests/unit/fault.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { RECORDS = 1100, TILES = RECORDS / TREE_TILE_NODES };
#define EDGE "FROM tree_edge"
#define LEAVES "SELECT seq, hash FROM records"
#define TILE "SELECT nodes FROM tree_tiles"
#define SAVE "INSERT INTO tree_tiles"

static struct tree_hash leaves[RECORDS];
static struct tree_edge whole; /* of all leaves */
static struct tree_hash tiles[TILES][TREE_TILE_NODES];
static struct pg_error error;

static void keep_tile(void *closure, int level, int64_t index, const struct tree_hash *nodes)
{
    (void)closure;
    if (level == 0)
        memcpy(tiles[index], nodes, TREE_TILE_BYTES);
}

static int setup_group(void **state)
{
    (void)state;
    tree_edge_init(&whole);
    for (int i = 0; i < RECORDS; i++) {
        memset(leaves[i].bytes, i % 251, sizeof leaves[i].bytes);
        leaves[i].bytes[0] = (uint8_t)(i >> 8);
        tree_edge_append(&whole, &leaves[i], keep_tile, NULL);
    }
    return 0;
}

static int reset(void **state)
{
    (void)state;
    fake_pg_reset();
    error = (struct pg_error){.text = ""};
    return 0;
}

static void answer_level(int64_t level, int64_t tile, const void *nodes, size_t size)
{
    fake_pg_row();
    fake_pg_int(level);
    fake_pg_int(tile);
    fake_pg_bytes(nodes, size);
}

static void answer_edge(const struct tree_edge *edge)
{
    fake_pg_answer(EDGE, PG_OK);
    for (int level = 0; edge->size >> (level * TREE_TILE_LOG2) > 0; level++)
        answer_level(level, tree_tiles(edge->size, level), edge->nodes[level],
                     (size_t)tree_edge_count(edge->size, level) * TREE_HASH_BYTES);
}

/* ---- the edge ---- */

static void the_edge_of_any_size_is_read_as_it_was_written(void **state)
{
    static const int64_t sizes[] = {1, 31, 32, 33, 1023, 1024, RECORDS, TREE_SIZE_MAX};
    static struct tree_edge edge, read;
    (void)state;
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        reset(NULL);
        memset(&edge, 7, sizeof edge);
        edge.size = sizes[i];
        answer_edge(&edge);
        assert_int_equal(tree_store_load(fake_pg(), &read, &error), PG_OK);
        assert_int_equal(read.size, sizes[i]);
    }
    reset(NULL); /* no row at all: no record */
    assert_int_equal(tree_store_load(fake_pg(), &read, &error), PG_OK);
    assert_int_equal(read.size, 0);
}

static void what_is_no_edge_is_refused_and_never_read_past_its_end(void **state)
{
    static const struct {
        int64_t level, tile;
        size_t size;
    } cases[] = {
        {1, 0, 0},                                    /* level 0 is missing */
        {-1, 0, 0},                                   /* */
        {0, 0, 33},                                   /* no whole node */
        {0, 0, TREE_TILE_BYTES},                      /* a full tile */
        {0, 0, (size_t)4 * TREE_TILE_BYTES},          /* more */
        {0, -1, 32},                                  /* */
        {0, TREE_SIZE_MAX / TREE_TILE_NODES + 1, 32}, /* more than there can be */
        {0, 32, 0},                                   /* 1,024 records, and no level 2 */
    };
    static const uint8_t nodes[4 * TREE_TILE_BYTES];
    static struct tree_edge edge;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reset(NULL);
        fake_pg_answer(EDGE, PG_OK);
        answer_level(cases[i].level, cases[i].tile, nodes, cases[i].size);
        answer_level(1, 0, nodes, 0);
        assert_int_equal(tree_store_load(fake_pg(), &edge, &error), PG_FAILED);
        assert_string_equal(error.sqlstate, ""); /* the table says so, not the server */
        assert_non_null(strstr(error.text, "audit verify"));
    }
    for (int wrong = 0; wrong < 2; wrong++) { /* level 1 does not go with level 0 */
        reset(NULL);
        fake_pg_answer(EDGE, PG_OK);
        answer_level(0, 1, nodes, 0);
        answer_level(1, wrong, nodes, wrong ? 32 : 64);
        assert_int_equal(tree_store_load(fake_pg(), &edge, &error), PG_FAILED);
    }
    reset(NULL); /* a level more than a tree can have */
    fake_pg_answer(EDGE, PG_OK);
    for (int level = 0; level <= TREE_LEVELS; level++)
        answer_level(level, 0, nodes, 0);
    assert_int_equal(tree_store_load(fake_pg(), &edge, &error), PG_FAILED);
}

/* ---- growing ---- */

static void answer_leaves(int from, int to)
{
    fake_pg_answer(LEAVES, PG_OK);
    for (int i = from; i < to; i++) {
        fake_pg_row();
        fake_pg_int(i + 1);
        fake_pg_bytes(leaves[i].bytes, TREE_HASH_BYTES);
    }
}

static enum pg_status catch_up(struct tree_growth *growth, int64_t records)
{
    static struct tree_edge empty;
    tree_edge_init(&empty);
    tree_growth_begin(growth, &empty);
    return tree_growth_catch_up(growth, fake_pg(), records, &error);
}

static void a_tree_is_made_of_a_log_that_had_none(void **state)
{
    static struct tree_growth growth;
    (void)state;
    answer_leaves(0, 700);
    answer_leaves(700, RECORDS);
    assert_int_equal(catch_up(&growth, RECORDS), PG_OK);
    assert_int_equal(growth.edge.size, RECORDS);
    assert_memory_equal(growth.edge.nodes[0], whole.nodes[0],
                        (size_t)tree_edge_count(RECORDS, 0) * TREE_HASH_BYTES);
    tree_growth_done(&growth);
}

static void a_log_that_is_not_whole_gets_no_tree(void **state)
{
    static struct tree_growth growth;
    (void)state;
    answer_leaves(0, 5); /* and no more */
    fake_pg_answer(LEAVES, PG_OK);
    assert_int_equal(catch_up(&growth, 9), PG_FAILED);
    assert_string_equal(error.text, "record 6 is missing or malformed");
    reset(NULL);
    answer_leaves(1, 5);
    assert_int_equal(catch_up(&growth, 9), PG_FAILED);
    assert_string_equal(error.text, "record 1 is missing or malformed");
    reset(NULL);
    fake_pg_answer(LEAVES, PG_OK);
    fake_pg_row();
    fake_pg_int(1);
    fake_pg_bytes("short", 5);
    assert_int_equal(catch_up(&growth, 9), PG_FAILED);
    assert_string_equal(error.text, "record 1 is missing or malformed");
    reset(NULL);
    fake_pg_answer(LEAVES, PG_LOST);
    assert_int_equal(catch_up(&growth, 9), PG_LOST);
    assert_string_equal(error.sqlstate, "XX000");
    tree_growth_done(&growth);
}

static void what_was_not_kept_for_want_of_memory_is_not_saved(void **state)
{
    static struct tree_growth growth;
    struct pg_params params;
    (void)state;
    pg_params_init(&params);
    tree_edge_init(&growth.edge);
    tree_growth_begin(&growth, &growth.edge);
    fault_arm(1, FAULT_ONCE);
    for (int i = 0; i < TREE_TILE_NODES; i++)
        tree_growth_append(&growth, &leaves[i]);
    assert_true(fault_disarm());
    assert_int_equal(tree_growth_save(&growth, fake_pg(), &params, &error), PG_FAILED);
    assert_string_equal(error.text, "no memory");
    assert_int_equal(fake_pg_asked(SAVE), 0);
    tree_growth_done(&growth);
    pg_params_done(&params);
}

static void what_is_saved_is_saved_once_and_after_a_failure_again(void **state)
{
    static struct tree_growth growth;
    struct pg_params params;
    (void)state;
    pg_params_init(&params);
    answer_leaves(0, RECORDS);
    assert_int_equal(catch_up(&growth, RECORDS), PG_OK);
    fake_pg_answer(SAVE, PG_LOST);
    fake_pg_answer(SAVE, PG_OK);
    assert_int_equal(tree_growth_save(&growth, fake_pg(), &params, &error), PG_LOST);
    assert_int_equal(growth.saved_size, 0);
    assert_int_equal(tree_growth_save(&growth, fake_pg(), &params, &error), PG_OK);
    assert_int_equal(growth.saved_size, RECORDS);
    assert_int_equal(tree_growth_save(&growth, fake_pg(), &params, &error), PG_OK);
    assert_int_equal(fake_pg_asked(SAVE), 2);
    /* All levels at once: the largest tree that there can be. */
    growth.saved_size = 0;
    growth.edge.size = TREE_SIZE_MAX;
    assert_int_equal(tree_growth_save(&growth, fake_pg(), &params, &error), PG_OK);
    assert_int_equal(params.count, 6);
    tree_growth_done(&growth);
    pg_params_done(&params);
}

/* ---- nodes for proofs ---- */

static void a_tile_that_is_not_there_is_told_from_a_server_that_is_not(void **state)
{
    static const struct {
        enum pg_status status;
        size_t size; /* of the tile; 0: no row */
        enum pg_status expected;
        const char *text;
    } cases[] = {
        {PG_OK, TREE_TILE_BYTES, PG_OK, ""},
        {PG_OK, 0, PG_FAILED, "tile 0 of level 0 of the tree is missing"},
        {PG_OK, 32, PG_FAILED, "tile 0 of level 0 of the tree is missing"},
        {PG_LOST, 0, PG_LOST, "a fault of the test"},
        {PG_FAILED, 0, PG_FAILED, "a fault of the test"},
    };
    static struct tree_reader reader;
    struct tree_hash node;
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        reset(NULL);
        answer_edge(&whole);
        fake_pg_answer(TILE, cases[i].status);
        if (cases[i].size > 0) {
            fake_pg_row();
            fake_pg_bytes(tiles[0], cases[i].size);
        }
        assert_int_equal(tree_reader_open(&reader, fake_pg(), &error), PG_OK);
        bool found = tree_node_at(&reader.source, 0, 3, &node);
        assert_int_equal(found, cases[i].expected == PG_OK);
        assert_int_equal(reader.status, cases[i].expected);
        assert_string_equal(reader.error.text, cases[i].text);
        if (!found)
            continue;
        assert_true(tree_same(&node, &leaves[3]));
        assert_true(tree_node_at(&reader.source, 0, 4, &node)); /* of the tile that is kept */
        assert_int_equal(fake_pg_asked(TILE), 1);
    }
}

static void a_reader_has_no_nodes_behind_the_tree_s_end(void **state)
{
    static struct tree_reader reader;
    struct tree_hash node;
    (void)state;
    answer_edge(&whole);
    assert_int_equal(tree_reader_open(&reader, fake_pg(), &error), PG_OK);
    assert_true(tree_node_at(&reader.source, 0, RECORDS - 1, &node));
    assert_false(tree_node_at(&reader.source, 0, RECORDS, &node));
    assert_int_equal(reader.status, PG_OK); /* nothing was asked */
    reset(NULL);
    fake_pg_answer(EDGE, PG_LOST);
    assert_int_equal(tree_reader_open(&reader, fake_pg(), &error), PG_LOST);
}

/* ---- the writer's tree ---- */

static void a_tree_and_a_log_of_different_sizes_are_not_written_on(void **state)
{
    struct record_tree *tree = record_tree_new();
    (void)state;
    assert_non_null(tree);
    answer_edge(&whole);
    assert_int_equal(record_tree_begin(tree, fake_pg(), 1, RECORDS + 1, &error), PG_FAILED);
    assert_string_equal(error.text,
                        "the log has 1101 records and its tree 1100: run `fleethub audit verify`");
    assert_int_equal(record_tree_begin(tree, fake_pg(), 1, RECORDS, &error), PG_OK);
    reset(NULL);
    fake_pg_answer(EDGE, PG_LOST);
    assert_int_equal(record_tree_begin(tree, fake_pg(), 1, RECORDS, &error), PG_LOST);
    reset(NULL);
    fake_pg_answer(LEAVES, PG_LOST); /* a log that has no tree yet */
    assert_int_equal(record_tree_begin(tree, fake_pg(), 1, RECORDS, &error), PG_LOST);
    record_tree_free(tree);
    record_tree_free(NULL);
}

static void the_edge_is_read_once_until_something_fails_or_another_writes(void **state)
{
    struct record_tree *tree = record_tree_new();
    struct pg_params params;
    (void)state;
    pg_params_init(&params);
    answer_edge(&whole);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(record_tree_begin(tree, fake_pg(), 1, RECORDS + i, &error), PG_OK);
        assert_true(record_tree_append(tree, leaves[i].bytes));
        assert_int_equal(record_tree_save(tree, fake_pg(), &params, &error), PG_OK);
        record_tree_committed(tree);
    }
    assert_int_equal(fake_pg_asked(EDGE), 1);
    assert_int_equal(record_tree_begin(tree, fake_pg(), 1, RECORDS + 3, &error), PG_OK);
    /* That was not committed: what the table has is what counts. */
    assert_int_equal(record_tree_begin(tree, fake_pg(), 1, RECORDS, &error), PG_OK);
    assert_int_equal(fake_pg_asked(EDGE), 2);
    assert_true(record_tree_append(tree, leaves[0].bytes));
    fake_pg_answer(SAVE, PG_FAILED);
    assert_int_equal(record_tree_save(tree, fake_pg(), &params, &error), PG_FAILED);
    assert_int_equal(record_tree_begin(tree, fake_pg(), 2, RECORDS, &error), PG_OK);
    assert_true(record_tree_append(tree, leaves[0].bytes));
    record_tree_free(tree);
    pg_params_done(&params);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(the_edge_of_any_size_is_read_as_it_was_written, reset),
        cmocka_unit_test_setup(what_is_no_edge_is_refused_and_never_read_past_its_end, reset),
        cmocka_unit_test_setup(a_tree_is_made_of_a_log_that_had_none, reset),
        cmocka_unit_test_setup(a_log_that_is_not_whole_gets_no_tree, reset),
        cmocka_unit_test_setup(what_was_not_kept_for_want_of_memory_is_not_saved, reset),
        cmocka_unit_test_setup(what_is_saved_is_saved_once_and_after_a_failure_again, reset),
        cmocka_unit_test_setup(a_tile_that_is_not_there_is_told_from_a_server_that_is_not, reset),
        cmocka_unit_test_setup(a_reader_has_no_nodes_behind_the_tree_s_end, reset),
        cmocka_unit_test_setup(a_tree_and_a_log_of_different_sizes_are_not_written_on, reset),
        cmocka_unit_test_setup(the_edge_is_read_once_until_something_fails_or_another_writes,
                               reset),
    };
    return cmocka_run_group_tests(tests, setup_group, NULL);
}
