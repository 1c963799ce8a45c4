/* Pages of a query: every vehicle once and in order, whoever asks; tokens. */
#include "hub/query_page.h"

#include "hub/record_hash.h"
#include "tests/unit/fault.h"
#include "tests/unit/fleet_help.h"
#include "tests/unit/random.h"

#include <stdio.h>

enum { VEHICLES = 200, LONG_BYTES = 1000 };

static struct store *store;

static void fill_one(struct random *random, int i)
{
    static const char *const values[] = {"3",    "3.0",    "-1.5", "\"b\"", "\"a\"",
                                         "true", "false",  "null", "[1]",   "{\"x\":1}",
                                         "1e2",  "\"b*\"", "\"\"", "0.1",   NULL};
    char vid[16], text[64];
    snprintf(vid, sizeof vid, "V%03d", i);
    const char *value = values[random_below(random, 15)];
    if (value)
        snprintf(text, sizeof text, "{\"k\":%s,\"n\":%u}", value, random_below(random, 5));
    fleet_part(store, vid, PART_META, value ? text : "{}");
}

static int make_store(void **state)
{
    struct random random = random_seeded("pages");
    (void)state;
    store = store_new();
    if (!store)
        return -1;
    for (int i = VEHICLES; i-- > 0;)
        fill_one(&random, i);
    return 0;
}

static int free_store(void **state)
{
    (void)state;
    store_free(store);
    return 0;
}

/* ---- every vehicle once ---- */

struct walk {
    char vids[VEHICLES + 1][TOKEN_MAX_BYTES + 1];
    size_t count, pages;
};

static void scope_of(const struct query *query, struct buf *scope)
{
    query_scope(query, "test", scope);
    assert_false(scope->failed);
}

/* One page; `token` is that of the page and becomes the next one's, empty at the end. */
static void read_page(const struct query *query, size_t size, struct buf *token, struct walk *walk)
{
    struct query_page page;
    struct query_denial denial;
    struct buf scope = BUF_INIT;
    scope_of(query, &scope);
    assert_int_equal(query_page_init(&page, query, size), QUERY_OK);
    size_t place = store_enter(store);
    if (token->size_bytes > 0)
        assert_true(query_page_resume(&page, store, buf_cstr(token), buf_cstr(&scope)));
    assert_int_equal(query_page_run(&page, store, &denial), QUERY_OK);
    for (size_t i = 0; i < page.count && i < size; i++) {
        assert_true(walk->count < VEHICLES);
        strcpy(walk->vids[walk->count++], page.entries[i].twin->vid);
        assert_ptr_equal(store_at(store, page.entries[i].index), page.entries[i].twin);
    }
    buf_reset(token);
    if (page.count > size)
        query_page_token(&page, buf_cstr(&scope), token);
    store_leave(store, place);
    assert_false(token->failed);
    walk->pages++;
    buf_done(&scope);
    query_page_done(&page);
}

static void walk_all(const struct query *query, size_t size, struct walk *walk)
{
    struct buf token = BUF_INIT;
    walk->count = walk->pages = 0;
    do {
        read_page(query, size, &token, walk);
    } while (token.size_bytes > 0);
    buf_done(&token);
}

/* The order by the rules alone: every pair stands as it must. */
static void expect_ordered(const struct query *query, const struct walk *walk)
{
    for (size_t i = 1; i < walk->count; i++) {
        struct order_values a, b;
        struct subject_of_query before = {fleet_twin(store, walk->vids[i - 1]), "eu-north", NULL};
        struct subject_of_query behind = {fleet_twin(store, walk->vids[i]), "eu-north", NULL};
        order_take(query->order, &before, &a);
        order_take(query->order, &behind, &b);
        int order = order_compare(query->order, &a, &b);
        assert_true(order < 0 || (order == 0 && strcmp(walk->vids[i - 1], walk->vids[i]) < 0));
    }
}

static void pages_hold_each_vehicle_once_and_in_order(void **state)
{
    (void)state;
    static const char *const orders[] = {"", "meta.k", "meta.k desc", "meta.n, meta.k desc",
                                         "vid desc"};
    static const size_t sizes[] = {1, 3, 50, VEHICLES - 1, VEHICLES, VEHICLES + 1};
    struct walk walk;
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++)
        for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
            struct query query = fleet_query(&viewer_all, NULL, orders[o]);
            walk_all(&query, sizes[s], &walk);
            assert_int_equal(walk.count, VEHICLES);
            assert_int_equal(walk.pages, (VEHICLES + sizes[s] - 1) / sizes[s]);
            expect_ordered(&query, &walk);
            query_done(&query);
        }
}

static void all_are_the_pages_in_one(void **state)
{
    (void)state;
    static const char *const orders[] = {"", "meta.k desc", "meta.n desc, meta.k"};
    struct walk walk;
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        struct query query = fleet_query(&viewer_all, "meta.n < 3", orders[o]);
        struct query_denial denial;
        uint32_t *indices;
        size_t count;
        walk_all(&query, 7, &walk);
        assert_int_equal(query_all(&query, store, &indices, &count, &denial), QUERY_OK);
        assert_int_equal(count, walk.count);
        assert_true(count > 50 && count < VEHICLES);
        for (size_t i = 0; i < count; i++)
            assert_string_equal(store_at(store, indices[i])->vid, walk.vids[i]);
        free(indices);
        query_done(&query);
    }
}

static void vehicle_that_appears_moves_nobody(void **state)
{
    (void)state;
    struct query query = fleet_query(&viewer_all, "vid = \"V*\"", "meta.n");
    struct buf token = BUF_INIT;
    static struct walk before, seen;
    walk_all(&query, 10, &before);
    do {
        char vid[16];
        read_page(&query, 10, &token, &seen);
        snprintf(vid, sizeof vid, "U%03zu", seen.pages); /* before and behind, by its number */
        fleet_part(store, vid, PART_META, seen.pages % 2 ? "{\"n\":0}" : "{\"n\":9}");
    } while (token.size_bytes > 0);
    assert_int_equal(seen.count, before.count);
    assert_memory_equal(seen.vids, before.vids, sizeof seen.vids[0] * seen.count);
    buf_done(&token);
    query_done(&query);
}

static void retired_vehicle_is_in_no_page(void **state)
{
    (void)state;
    struct query query = fleet_query(&viewer_all, NULL, NULL);
    struct walk walk;
    fleet_hide(store, "V007");
    walk_all(&query, 1000, &walk);
    assert_int_equal(walk.count, VEHICLES - 1);
    for (size_t i = 0; i < walk.count; i++)
        assert_string_not_equal(walk.vids[i], "V007");
    query_done(&query);
}

/* ---- viewers ---- */

/* The total, or, where the query is denied, the path for which. */
static uint64_t total_of(const struct viewer *viewer, const char *filter, const char *order,
                         const char *denied)
{
    struct query_denial denial;
    struct query query = fleet_query(viewer, filter, order);
    struct query_page page;
    assert_int_equal(query_page_init(&page, &query, 10), QUERY_OK);
    enum query_status status = query_page_run(&page, store, &denial);
    assert_int_equal(status, denied ? QUERY_DENIED : QUERY_OK);
    if (denied) {
        assert_string_equal(denial.path, denied);
        assert_memory_equal(denial.vid, "V00", 3);
    }
    uint64_t total = page.total;
    query_page_done(&page);
    query_done(&query);
    return total;
}

static void hidden_vehicles_are_in_no_page_and_no_total(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("V00*", "V19*", "V100"), ANYTHING}};
    struct viewer viewer = {"p", scopes, 1, PATTERNS("state.position")};
    struct walk walk;
    struct query query = fleet_query(&viewer, NULL, "meta.k");
    walk_all(&query, 4, &walk);
    assert_int_equal(walk.count, 21);
    expect_ordered(&query, &walk);
    query_done(&query);
    assert_int_equal(total_of(&viewer, "vid:*", NULL, NULL), 21);
    assert_int_equal(total_of(&viewer, "vid = \"V01*\"", NULL, NULL), 0);
}

static void denied_path_refuses_the_query_where_a_vehicle_is_in_view(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("V00*"), ANYTHING}};
    struct viewer_scope nobody[] = {{PATTERNS("W*"), ANYTHING}};
    struct viewer viewer = {"p", scopes, 1, PATTERNS("meta.k")};
    struct viewer blind = {"p", nobody, 1, PATTERNS("meta.k")};
    total_of(&viewer, "meta.k = 3", NULL, "meta.k");
    total_of(&viewer, NULL, "meta.k", "meta.k");
    /* Also where another term leaves nobody over: who matched would show in the outcome. */
    total_of(&viewer, "vid = \"none\" AND NOT meta.k = 3", NULL, "meta.k");
    total_of(&viewer, "meta.n < 9", "meta.n", NULL);
    assert_int_equal(total_of(&blind, "meta.k = 3", NULL, NULL), 0);
}

/* ---- tokens ---- */

static void token_is_bound_to_what_was_asked_and_by_whom(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("V0*"), ANYTHING}};
    struct viewer other = {"other", viewer_all.scopes, 1, ANYTHING};
    struct viewer narrower = {"local", scopes, 1, ANYTHING};
    struct query query = fleet_query(&viewer_all, "meta.n < 4", "meta.k");
    struct query others[] = {
        fleet_query(&viewer_all, "meta.n < 3", "meta.k"),
        fleet_query(&viewer_all, "meta.n < 4", "meta.k desc"),
        fleet_query(&viewer_all, "meta.n < 4", NULL),
        fleet_query(&other, "meta.n < 4", "meta.k"),
        fleet_query(&narrower, "meta.n < 4", "meta.k"),
    };
    struct buf token = BUF_INIT, scope = BUF_INIT;
    static struct walk walk;
    walk.count = 0;
    read_page(&query, 5, &token, &walk);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        struct query_page page;
        assert_int_equal(query_page_init(&page, &others[i], 5), QUERY_OK);
        buf_reset(&scope);
        scope_of(&others[i], &scope);
        assert_false(query_page_resume(&page, store, buf_cstr(&token), buf_cstr(&scope)));
        query_page_done(&page);
        query_done(&others[i]);
    }
    buf_done(&scope);
    buf_done(&token);
    query_done(&query);
}

static void token_that_was_made_up_is_read_without_harm(void **state)
{
    (void)state;
    struct random random = random_seeded("tokens");
    struct query query = fleet_query(&viewer_all, NULL, "meta.k, meta.n desc");
    struct buf scope = BUF_INIT, token = BUF_INIT;
    unsigned taken = 0;
    scope_of(&query, &scope);
    for (int i = 0; i < 20000; i++) {
        struct query_page page;
        struct query_denial denial;
        char bytes[40];
        size_t size = random_below(&random, sizeof bytes);
        for (size_t b = 0; b < size; b++)
            bytes[b] = (char)random_next(&random);
        static const char *const starts[] = {"w\002V1ll", "s123456789012\002V1ll", "wl", "s",
                                             "w\377"};
        const char *start = starts[random_below(&random, 5)];
        if (random_below(&random, 2) && strlen(start) <= size)
            memcpy(bytes, start, strlen(start));
        buf_reset(&token);
        cursor_write(&token, buf_cstr(&scope), bytes, size);
        assert_int_equal(query_page_init(&page, &query, 3), QUERY_OK);
        if (query_page_resume(&page, store, buf_cstr(&token), buf_cstr(&scope))) {
            assert_int_equal(query_page_run(&page, store, &denial), QUERY_OK);
            taken++;
        }
        query_page_done(&page);
    }
    assert_true(taken > 0);
    buf_done(&scope);
    buf_done(&token);
    query_done(&query);
}

/* A guess at the keys of a vehicle, in a token of the kind that names keys by their digest: the
 * vehicle after which the list goes on, NULL where it goes on with the keys that are written. */
static const char *goes_on_after_guess(const struct query *query, const char *vid,
                                       const char *guess)
{
    static char after[TOKEN_MAX_BYTES + 1];
    enum { DIGEST_BYTES = 12 };
    struct order_values keys = {{{.type = VALUE_STRING, .string = {guess, strlen(guess)}}}};
    struct buf scope = BUF_INIT, bytes = BUF_INIT, token = BUF_INIT;
    uint8_t digest[RECORD_HASH_BYTES];
    struct query_page page;
    order_write(query->order, &keys, &bytes);
    record_sha256(bytes.data, bytes.size_bytes, digest);
    buf_reset(&bytes);
    buf_addc(&bytes, 's');
    buf_add(&bytes, digest, DIGEST_BYTES);
    buf_addc(&bytes, (char)strlen(vid));
    buf_adds(&bytes, vid);
    order_write(query->order, &keys, &bytes);
    scope_of(query, &scope);
    cursor_write(&token, buf_cstr(&scope), bytes.data, bytes.size_bytes);
    assert_int_equal(query_page_init(&page, query, 3), QUERY_OK);
    assert_true(query_page_resume(&page, store, buf_cstr(&token), buf_cstr(&scope)));
    strcpy(after, page.after_vid);
    query_page_done(&page);
    buf_done(&scope);
    buf_done(&bytes);
    buf_done(&token);
    return *after ? after : NULL;
}

static void forged_token_does_not_tell_whether_a_guess_at_a_hidden_vehicle_is_right(void **state)
{
    (void)state;
    struct viewer_scope scopes[] = {{PATTERNS("SEEN-*"), ANYTHING}};
    struct viewer viewer = {"someone", scopes, 1, ANYTHING};
    struct query query = fleet_query(&viewer, NULL, "meta.secret");
    fleet_part(store, "SEEN-1", PART_META, "{\"secret\":\"open\"}");
    fleet_part(store, "HIDDEN-1", PART_META, "{\"secret\":\"hush\"}");
    assert_string_equal(goes_on_after_guess(&query, "SEEN-1", "open"), "SEEN-1");
    assert_null(goes_on_after_guess(&query, "SEEN-1", "shut"));
    assert_null(goes_on_after_guess(&query, "HIDDEN-1", "hush"));
    assert_null(goes_on_after_guess(&query, "HIDDEN-1", "loud"));
    assert_null(goes_on_after_guess(&query, "NOWHERE", "hush"));
    query_done(&query);
}

/* Ten vehicles whose keys begin with the same thousand bytes. */
static void add_long_keys(void)
{
    for (int i = 0; i < 10; i++) {
        char vid[16], text[LONG_BYTES + 64] = "{\"long\":\"";
        snprintf(vid, sizeof vid, "L%d", i);
        memset(text + strlen(text), 'x', LONG_BYTES);
        snprintf(text + strlen(text), 32, "%d\",\"g\":%d}", 9 - i, i % 2);
        fleet_part(store, vid, PART_META, text);
    }
}

static void keys_too_long_for_a_token_page_as_any_other(void **state)
{
    (void)state;
    static const char *const orders[] = {"meta.long", "meta.long desc", "meta.g desc, meta.long"};
    struct walk walk;
    add_long_keys();
    for (size_t o = 0; o < sizeof orders / sizeof *orders; o++) {
        struct query query = fleet_query(&viewer_all, "vid = \"L*\"", orders[o]);
        walk_all(&query, 3, &walk);
        assert_int_equal(walk.count, 10);
        expect_ordered(&query, &walk);
        query_done(&query);
    }
}

static void long_key_that_changes_meanwhile_skips_nobody(void **state)
{
    (void)state;
    for (int descending = 0; descending < 2; descending++) {
        struct query query =
            fleet_query(&viewer_all, "vid = \"L*\"", descending ? "meta.long desc" : "meta.long");
        struct buf token = BUF_INIT;
        static struct walk walk;
        bool seen[10] = {false};
        add_long_keys();
        walk.count = 0;
        read_page(&query, 3, &token, &walk);
        fleet_part(store, walk.vids[2], PART_META, "{\"long\":\"elsewhere\"}");
        while (token.size_bytes > 0)
            read_page(&query, 20, &token, &walk);
        for (size_t i = 0; i < walk.count; i++)
            seen[walk.vids[i][1] - '0'] = true;
        for (int i = 0; i < 10; i++)
            assert_true(seen[i]);
        buf_done(&token);
        query_done(&query);
    }
}

/* ---- lost memory ---- */

static bool whole_page(void *context)
{
    (void)context;
    struct text_error error;
    struct query query;
    struct query_page page;
    struct query_denial denial;
    struct buf token = BUF_INIT;
    uint32_t *indices;
    size_t count;
    struct query_options options = {
        .viewer = &viewer_all, .region = "r", .filter = "meta.n = 1", .order = "meta.k"};
    enum query_status status = query_init(&query, &options, &error);
    if (status != QUERY_OK) {
        assert_int_equal(status, QUERY_NO_MEMORY);
        return false;
    }
    bool ok = query_page_init(&page, &query, 2) == QUERY_OK;
    if (ok) {
        ok = query_page_run(&page, store, &denial) == QUERY_OK;
        query_page_token(&page, "scope", &token);
        ok = ok && !token.failed;
        query_page_done(&page);
    }
    if (ok) {
        status = query_all(&query, store, &indices, &count, &denial);
        ok = status == QUERY_OK;
        if (ok)
            free(indices);
        else
            assert_int_equal(status, QUERY_NO_MEMORY);
    }
    buf_done(&token);
    query_done(&query);
    return ok;
}

static void page_without_memory_is_refused(void **state)
{
    (void)state;
    assert_true(fault_loop(whole_page, NULL) > 5);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_store, free_store)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(pages_hold_each_vehicle_once_and_in_order),
        TEST(all_are_the_pages_in_one),
        TEST(vehicle_that_appears_moves_nobody),
        TEST(retired_vehicle_is_in_no_page),
        TEST(hidden_vehicles_are_in_no_page_and_no_total),
        TEST(denied_path_refuses_the_query_where_a_vehicle_is_in_view),
        TEST(token_is_bound_to_what_was_asked_and_by_whom),
        TEST(token_that_was_made_up_is_read_without_harm),
        TEST(forged_token_does_not_tell_whether_a_guess_at_a_hidden_vehicle_is_right),
        TEST(keys_too_long_for_a_token_page_as_any_other),
        TEST(long_key_that_changes_meanwhile_skips_nobody),
        TEST(page_without_memory_is_refused),
    };
    return cmocka_run_group_tests_name("query_page", tests, NULL, NULL);
}
