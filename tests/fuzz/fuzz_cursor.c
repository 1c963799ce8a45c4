/* Page tokens: whatever a client sends is refused, or is the one token of its key and scope; and a
 * list of vehicles goes on behind it, whatever it says, with what it would have shown anyway. */
#include "hub/cursor.h"
#include "hub/query_page.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { INPUT_MAX_BYTES = 8 * 1024, PAGE = 3 };

#define SCOPE "fuzz"

/* Two keys, so that a token holds values of any type. */
#define ORDER "state.battery.remaining desc, meta.site"

static struct store *store;
static struct query query;

static void set_up(void)
{
    static const struct query_options options = {
        .viewer = &viewer_all, .region = "eu-north", .order = ORDER};
    struct text_error error;
    store = store_new();
    REQUIRE(store);
    REQUIRE(query_init(&query, &options, &error) == QUERY_OK);
}

/* The token of a key that is given is read as that key. */
static void check_written(const char *key, size_t size)
{
    char read[CURSOR_KEY_MAX_BYTES + 1];
    size_t read_bytes;
    struct buf token = BUF_INIT;
    if (size > CURSOR_KEY_MAX_BYTES)
        return;
    cursor_write(&token, SCOPE, key, size);
    REQUIRE(cursor_read(buf_cstr(&token), SCOPE, read, &read_bytes));
    REQUIRE(read_bytes == size && memcmp(read, key, size) == 0);
    REQUIRE(!cursor_read(buf_cstr(&token), SCOPE "2", read, &read_bytes));
    struct query_page page;
    REQUIRE(query_page_init(&page, &query, PAGE) == QUERY_OK);
    if (query_page_resume(&page, store, buf_cstr(&token), SCOPE))
        REQUIRE(strlen(page.after_vid) <= TOKEN_MAX_BYTES);
    query_page_done(&page);
    buf_done(&token);
}

static void check_read(const char *text)
{
    char key[CURSOR_KEY_MAX_BYTES + 1];
    size_t key_bytes;
    struct buf again = BUF_INIT;
    if (!cursor_read(text, SCOPE, key, &key_bytes))
        return;
    cursor_write(&again, SCOPE, key, key_bytes);
    REQUIRE(strcmp(buf_cstr(&again), text) == 0);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > INPUT_MAX_BYTES)
        return 0;
    if (!store)
        set_up();
    char *text = malloc(size + 1);
    REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    check_written(text, size);
    check_read(text);
    free(text);
    return 0;
}
