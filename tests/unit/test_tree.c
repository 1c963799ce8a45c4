/* The Merkle tree of the record against RFC 6962 as it is written down there. */
#include "hub/record_hash.h"
#include "hub/tree.h"
#include "hub/tree_proof.h"
#include "tests/unit/random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LEAVES = 2200, TILES_MAX = LEAVES / TREE_TILE_NODES + 1, TILE_LEVELS = 3 };

static struct tree_hash leaves[LEAVES];

/* What a database keeps: the tiles that filled, and the edge. */
struct kept {
    struct tree_edge edge;
    struct tree_hash tiles[TILE_LEVELS][TILES_MAX][TREE_TILE_NODES];
    int64_t count[TILE_LEVELS];
};

static void keep_tile(void *closure, int level, int64_t index, const struct tree_hash *nodes)
{
    struct kept *kept = closure;
    assert_in_range(level, 0, TILE_LEVELS - 1);
    assert_int_equal(index, kept->count[level]++);
    memcpy(kept->tiles[level][index], nodes, TREE_TILE_BYTES);
}

static const struct tree_hash *find_tile(void *closure, int level, int64_t index, int count)
{
    const struct kept *kept = closure;
    if (index < kept->count[level])
        return kept->tiles[level][index];
    assert_int_equal(index, kept->count[level]);
    assert_true(count <= tree_edge_count(kept->edge.size, level));
    return kept->edge.nodes[level];
}

static struct kept kept;
static const struct tree_source source = {find_tile, &kept};

static int setup(void **state)
{
    (void)state;
    tree_edge_init(&kept.edge);
    for (uint32_t i = 0; i < LEAVES; i++) {
        record_sha256(&i, sizeof i, leaves[i].bytes);
        tree_edge_append(&kept.edge, &leaves[i], keep_tile, &kept);
    }
    return 0;
}

/* RFC 6962 §2.1, word for word. */
static void reference_root(const struct tree_hash *at, int count, struct tree_hash *root)
{
    if (count == 1) {
        *root = *at;
        return;
    }
    int k = 1;
    while (k * 2 < count)
        k *= 2;
    struct tree_hash left, right;
    reference_root(at, k, &left);
    reference_root(at + k, count - k, &right);
    tree_parent(&left, &right, root);
}

static void assert_hex(const struct tree_hash *hash, const char *wanted)
{
    char text[2 * TREE_HASH_BYTES + 1];
    for (int i = 0; i < TREE_HASH_BYTES; i++)
        snprintf(text + 2 * i, 3, "%02x", hash->bytes[i]);
    assert_string_equal(text, wanted);
}

/* ---- tests ---- */

static void roots_are_those_of_the_published_vectors(void **state)
{
    /* The eight leaves of Certificate Transparency's own tests, and the roots of 0 to 8 of them. */
    static const struct {
        const char *leaf;
        size_t size;
    } inputs[] = {{"", 0},
                  {"\x00", 1},
                  {"\x10", 1},
                  {"\x20\x21", 2},
                  {"\x30\x31", 2},
                  {"\x40\x41\x42\x43", 4},
                  {"\x50\x51\x52\x53\x54\x55\x56\x57", 8},
                  {"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f", 16}};
    static const char *const roots[] = {
        "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
        "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
        "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
        "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
        "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
        "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
        "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328"};
    static struct tree_edge edge;
    struct tree_spine spine;
    struct tree_hash root;
    (void)state;
    tree_edge_init(&edge);
    tree_spine_init(&spine);
    for (size_t i = 0;; i++) {
        tree_edge_root(&edge, &root);
        assert_hex(&root, roots[i]);
        tree_spine_root(&spine, &root);
        assert_hex(&root, roots[i]);
        if (i == sizeof inputs / sizeof *inputs)
            break;
        char bytes[1 + 16] = {0};
        struct tree_hash leaf;
        memcpy(bytes + 1, inputs[i].leaf, inputs[i].size);
        record_sha256(bytes, 1 + inputs[i].size, leaf.bytes);
        tree_edge_append(&edge, &leaf, NULL, NULL);
        assert_true(tree_spine_append(&spine, 0, &leaf));
    }
}

static void edge_spine_and_tiles_have_the_root_of_the_definition(void **state)
{
    static struct tree_edge edge;
    struct tree_spine spine;
    (void)state;
    tree_edge_init(&edge);
    tree_spine_init(&spine);
    for (int size = 1; size <= LEAVES; size++) {
        struct tree_hash wanted, root;
        tree_edge_append(&edge, &leaves[size - 1], NULL, NULL);
        tree_spine_append(&spine, 0, &leaves[size - 1]);
        if (size > 130 && size % 31 != 0 && size % 32 > 1)
            continue;
        reference_root(leaves, size, &wanted);
        tree_edge_root(&edge, &root);
        assert_true(tree_same(&root, &wanted));
        tree_spine_root(&spine, &root);
        assert_true(tree_same(&root, &wanted));
        assert_true(tree_root_at(&source, size, &root));
        assert_true(tree_same(&root, &wanted));
    }
}

static void spine_takes_whole_subtrees_where_they_fit_alone(void **state)
{
    struct tree_spine spine;
    struct tree_hash node, root, wanted;
    (void)state;
    tree_spine_init(&spine);
    assert_true(tree_node_at(&source, 6, 0, &node));
    assert_true(tree_spine_append(&spine, 6, &node));
    assert_true(tree_spine_append(&spine, 0, &leaves[64]));
    assert_false(tree_spine_append(&spine, 1, &leaves[65]));
    assert_false(tree_spine_append(&spine, -1, &leaves[65]));
    assert_false(tree_spine_append(&spine, TREE_HEIGHTS, &leaves[65]));
    assert_true(tree_spine_append(&spine, 0, &leaves[65]));
    assert_true(tree_node_at(&source, 1, 33, &node));
    assert_true(tree_spine_append(&spine, 1, &node));
    reference_root(leaves, 68, &wanted);
    tree_spine_root(&spine, &root);
    assert_true(tree_same(&root, &wanted));
}

static void inclusion_is_proved_for_every_leaf_and_no_other(void **state)
{
    static const int sizes[] = {1, 2, 3, 5, 31, 32, 33, 64, 100, 1023, 1024, 1025, 2100, LEAVES};
    struct random random = random_seeded("inclusion");
    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        int size = sizes[s];
        struct tree_hash root;
        assert_true(tree_root_at(&source, size, &root));
        for (int n = 0; n < 200; n++) {
            struct tree_proof proof;
            int index = size <= 200 ? n % size : (int)random_below(&random, (unsigned)size);
            assert_true(tree_prove_inclusion(&source, index, size, &proof));
            assert_true(tree_included(&leaves[index], index, size, &proof, &root));
            assert_false(tree_included(&leaves[index], index + 1, size, &proof, &root));
            assert_false(tree_included(&leaves[(index + 1) % LEAVES], index, size, &proof, &root));
            if (proof.count == 0)
                continue;
            proof.hashes[random_below(&random, (unsigned)proof.count)].bytes[0] ^= 1;
            assert_false(tree_included(&leaves[index], index, size, &proof, &root));
        }
    }
    struct tree_proof proof;
    assert_false(tree_prove_inclusion(&source, 5, 5, &proof));
    assert_false(tree_prove_inclusion(&source, -1, 5, &proof));
}

static void a_proof_of_another_length_proves_nothing(void **state)
{
    struct tree_hash root, old;
    struct tree_proof proof;
    (void)state;
    assert_true(tree_root_at(&source, 1000, &root));
    assert_true(tree_prove_inclusion(&source, 17, 1000, &proof));
    proof.count--;
    assert_false(tree_included(&leaves[17], 17, 1000, &proof, &root));
    proof.count += 2;
    assert_false(tree_included(&leaves[17], 17, 1000, &proof, &root));
    assert_true(tree_root_at(&source, 600, &old));
    assert_true(tree_prove_consistency(&source, 600, 1000, &proof));
    proof.count--;
    assert_false(tree_consistent(600, &old, 1000, &root, &proof));
    proof.count = 0;
    assert_false(tree_consistent(600, &old, 1000, &root, &proof));
}

static void consistency_is_proved_for_every_earlier_tree_and_no_other(void **state)
{
    struct random random = random_seeded("consistency");
    (void)state;
    for (int n = 0; n < 4000; n++) {
        unsigned bound = n < 2000 ? 70 : LEAVES;
        int to = 1 + (int)random_below(&random, bound);
        int from = 1 + (int)random_below(&random, (unsigned)to);
        struct tree_hash old, new;
        struct tree_proof proof;
        assert_true(tree_root_at(&source, from, &old));
        assert_true(tree_root_at(&source, to, &new));
        assert_true(tree_prove_consistency(&source, from, to, &proof));
        assert_true(tree_consistent(from, &old, to, &new, &proof));
        if (from < to)
            assert_false(tree_consistent(from, &new, to, &new, &proof));
        assert_false(tree_consistent(from, &old, to + 1, &leaves[0], &proof));
        if (proof.count == 0)
            continue;
        proof.hashes[random_below(&random, (unsigned)proof.count)].bytes[31] ^= 0x80;
        assert_false(tree_consistent(from, &old, to, &new, &proof));
    }
}

/* ---- what is refused ---- */

/* The tiles, of which the one asked for after so many others is not there. */
static int tiles_left;

static const struct tree_hash *find_tile_unless(void *closure, int level, int64_t index, int count)
{
    return tiles_left-- == 0 ? NULL : find_tile(closure, level, index, count);
}

static void without_a_tile_there_is_neither_root_nor_proof(void **state)
{
    (void)state;
    static const struct tree_source holed = {find_tile_unless, &kept};
    enum { INCLUSION, CONSISTENCY, ROOT, KINDS };
    for (int kind = 0; kind < KINDS; kind++) {
        struct tree_proof proof;
        struct tree_hash root;
        int missing = 0;
        for (bool made = false; !made; missing++) {
            assert_true(missing < LEAVES);
            tiles_left = missing;
            if (kind == INCLUSION)
                made = tree_prove_inclusion(&holed, 1000, LEAVES, &proof);
            else if (kind == CONSISTENCY)
                made = tree_prove_consistency(&holed, 1001, LEAVES, &proof);
            else
                made = tree_root_at(&holed, LEAVES, &root);
            assert_int_equal(made, tiles_left >= 0);
        }
        assert_true(missing > 2);
    }
}

static void proofs_of_what_the_tree_does_not_have_are_refused(void **state)
{
    (void)state;
    struct tree_proof proof;
    assert_false(tree_prove_inclusion(&source, -1, LEAVES, &proof));
    assert_false(tree_prove_inclusion(&source, LEAVES, LEAVES, &proof));
    assert_false(tree_prove_consistency(&source, 0, LEAVES, &proof));
    assert_false(tree_prove_consistency(&source, LEAVES, LEAVES - 1, &proof));
}

static void proofs_that_say_too_much_or_nothing_prove_nothing(void **state)
{
    (void)state;
    struct tree_proof proof;
    struct tree_hash root, early;
    assert_true(tree_root_at(&source, LEAVES, &root));
    assert_true(tree_root_at(&source, 1001, &early));
    assert_true(tree_prove_inclusion(&source, 7, LEAVES, &proof));
    assert_true(tree_included(&leaves[7], 7, LEAVES, &proof, &root));
    assert_false(tree_included(&leaves[7], -1, LEAVES, &proof, &root));
    assert_false(tree_included(&leaves[7], LEAVES, LEAVES, &proof, &root));
    proof.hashes[proof.count++] = early;
    assert_false(tree_included(&leaves[7], 7, LEAVES, &proof, &root));

    assert_true(tree_prove_consistency(&source, 1001, LEAVES, &proof));
    assert_true(tree_consistent(1001, &early, LEAVES, &root, &proof));
    assert_false(tree_consistent(0, &early, LEAVES, &root, &proof));
    assert_false(tree_consistent(LEAVES, &root, 1001, &early, &proof));
    proof.hashes[proof.count++] = early;
    assert_false(tree_consistent(1001, &early, LEAVES, &root, &proof));
    assert_false(tree_consistent(LEAVES, &root, LEAVES, &root, &proof));
    proof.count = 0;
    assert_true(tree_consistent(LEAVES, &root, LEAVES, &root, &proof));
    assert_false(tree_consistent(LEAVES, &early, LEAVES, &root, &proof));
}

static void a_spine_that_is_full_takes_nothing(void **state)
{
    (void)state;
    struct tree_spine spine;
    tree_spine_init(&spine);
    spine.size = TREE_SIZE_MAX;
    assert_false(tree_spine_append(&spine, 0, &leaves[0]));
    assert_int_equal(spine.size, TREE_SIZE_MAX);
}

static void count_tile(void *closure, int level, int64_t index, const struct tree_hash *nodes)
{
    int *levels = closure;
    (void)nodes;
    assert_int_equal(level, *levels);
    assert_int_equal(index, tree_tiles(TREE_SIZE_MAX, level));
    ++*levels;
}

static void the_last_leaf_of_the_largest_tree_fills_a_tile_of_each_level(void **state)
{
    (void)state;
    static struct tree_edge edge;
    int levels = 0;
    edge.size = TREE_SIZE_MAX;
    tree_edge_append(&edge, &leaves[0], count_tile, &levels);
    assert_int_equal(levels, TREE_LEVELS);
    assert_int_equal(edge.size - 1, TREE_SIZE_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(roots_are_those_of_the_published_vectors),
        cmocka_unit_test(edge_spine_and_tiles_have_the_root_of_the_definition),
        cmocka_unit_test(spine_takes_whole_subtrees_where_they_fit_alone),
        cmocka_unit_test(inclusion_is_proved_for_every_leaf_and_no_other),
        cmocka_unit_test(a_proof_of_another_length_proves_nothing),
        cmocka_unit_test(consistency_is_proved_for_every_earlier_tree_and_no_other),
        cmocka_unit_test(without_a_tile_there_is_neither_root_nor_proof),
        cmocka_unit_test(proofs_of_what_the_tree_does_not_have_are_refused),
        cmocka_unit_test(proofs_that_say_too_much_or_nothing_prove_nothing),
        cmocka_unit_test(a_spine_that_is_full_takes_nothing),
        cmocka_unit_test(the_last_leaf_of_the_largest_tree_fills_a_tile_of_each_level),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
