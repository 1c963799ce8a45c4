#include "hub/query_page.h"

#include "hub/record_hash.h"

#include <stdlib.h>
#include <string.h>

enum query_status query_page_init(struct query_page *page, const struct query *query, size_t size)
{
    memset(page, 0, offsetof(struct query_page, after));
    page->query = query;
    page->size = size;
    page->entries = malloc((size + 1) * sizeof *page->entries);
    if (order_keys(query->order) > 0)
        page->keys = malloc((size + 1) * sizeof *page->keys);
    if (page->entries && (page->keys || order_keys(query->order) == 0))
        return QUERY_OK;
    query_page_done(page);
    return QUERY_NO_MEMORY;
}

void query_page_done(struct query_page *page)
{
    free(page->entries);
    free(page->keys);
    page->entries = NULL;
    page->keys = NULL;
}

/* ---- the heap: the last in order on top ---- */

static bool comes_later(const struct query_page *page, const struct query_entry *a,
                        const struct query_entry *b)
{
    int order = 0;
    if (page->keys)
        order = order_compare(page->query->order, &page->keys[a->slot], &page->keys[b->slot]);
    return order ? order > 0 : strcmp(a->twin->vid, b->twin->vid) > 0;
}

static void swap(struct query_page *page, size_t a, size_t b)
{
    struct query_entry entry = page->entries[a];
    page->entries[a] = page->entries[b];
    page->entries[b] = entry;
}

static void sink(struct query_page *page, size_t at, size_t count)
{
    for (;;) {
        size_t child = 2 * at + 1, last = at;
        for (size_t i = child; i < child + 2 && i < count; i++)
            if (comes_later(page, &page->entries[i], &page->entries[last]))
                last = i;
        if (last == at)
            return;
        swap(page, at, last);
        at = last;
    }
}

static void rise(struct query_page *page, size_t at)
{
    while (at > 0) {
        size_t parent = (at - 1) / 2;
        if (!comes_later(page, &page->entries[at], &page->entries[parent]))
            return;
        swap(page, at, parent);
        at = parent;
    }
}

/* What is left of a heap sort when the heap is there already. */
static void sort_entries(struct query_page *page)
{
    for (size_t left = page->count; left > 1; left--) {
        swap(page, 0, left - 1);
        sink(page, 0, left - 1);
    }
}

/* ---- one vehicle ---- */

/* Whether it stands behind (>0), at or before the given place in order. */
static int place_of(const struct query_page *page, const struct order_values *keys, const char *vid,
                    const struct order_values *other_keys, const char *other_vid)
{
    int order = page->keys ? order_compare(page->query->order, keys, other_keys) : 0;
    return order ? order : strcmp(vid, other_vid);
}

static void offer(void *closure, uint32_t index, const struct twin *twin)
{
    struct query_page *page = closure;
    struct order_values keys;
    page->total++;
    if (page->keys)
        order_take(page->query->order, &(struct subject_of_query){twin, page->query->region, NULL},
                   &keys);
    if (page->goes_on && place_of(page, &keys, twin->vid, &page->after, page->after_vid) <= 0)
        return;
    struct query_entry entry = {twin, index, (uint32_t)page->count};
    bool full = page->count > page->size;
    if (full) {
        const struct query_entry *last = &page->entries[0];
        const struct order_values *last_keys = page->keys ? &page->keys[last->slot] : NULL;
        if (place_of(page, &keys, twin->vid, last_keys, last->twin->vid) >= 0)
            return;
        entry.slot = last->slot;
    }
    if (page->keys)
        memcpy(page->keys[entry.slot].key, keys.key,
               order_keys(page->query->order) * sizeof keys.key[0]);
    page->entries[full ? 0 : page->count] = entry;
    if (full)
        sink(page, 0, page->count);
    else
        rise(page, page->count++);
}

enum query_status query_page_run(struct query_page *page, const struct store *store,
                                 struct query_denial *denial)
{
    enum query_status status =
        query_scan(page->query, store, 0, store_count(store), offer, page, denial);
    if (status == QUERY_OK)
        sort_entries(page);
    return status;
}

/* ---- tokens ---- */

/* A sort key may be a text of any length, a token must fit into a request's header. Of a long text
 * the token holds the beginning, and a digest of the whole: the next page takes the vehicle's own
 * key as long as that is what it was. Where it has changed, the page begins at the shortened key,
 * and may repeat those that begin like it; it skips nobody. */
enum {
    KEY_TEXT_MAX_BYTES = 256,
    KEY_DIGEST_BYTES = 12,
    KEYS_WHOLE = 'w',
    KEYS_SHORTENED = 's',
};

static bool shorten(const struct query *query, struct order_values *keys,
                    char room[ORDER_MAX_KEYS][KEY_TEXT_MAX_BYTES + 1])
{
    bool shortened = false;
    for (size_t i = 0; i < order_keys(query->order); i++) {
        struct value *value = &keys->key[i];
        bool digits = value->type == VALUE_NUMBER && value->form == NUMBER_DIGITS;
        if (!(digits || value->type == VALUE_STRING) || value->string.size <= KEY_TEXT_MAX_BYTES)
            continue;
        shortened = true;
        if (digits) {
            *value = value_of_double(value->number);
            continue;
        }
        /* Before all that begin with it: behind them, where the order descends, comes a byte that
         * no text holds. */
        memcpy(room[i], value->string.at, KEY_TEXT_MAX_BYTES);
        room[i][KEY_TEXT_MAX_BYTES] = (char)0xFF;
        value->string.at = room[i];
        value->string.size = KEY_TEXT_MAX_BYTES + (order_descends(query->order, i) ? 1 : 0);
    }
    return shortened;
}

static bool digest_keys(const struct query *query, const struct order_values *keys,
                        uint8_t digest[RECORD_HASH_BYTES])
{
    struct buf bytes = BUF_INIT;
    order_write(query->order, keys, &bytes);
    bool ok = !bytes.failed;
    if (ok)
        record_sha256(bytes.data, bytes.size_bytes, digest);
    buf_done(&bytes);
    return ok;
}

void query_page_token(const struct query_page *page, const char *scope, struct buf *out)
{
    const struct query *query = page->query;
    const struct query_entry *last = &page->entries[page->size - 1];
    char room[ORDER_MAX_KEYS][KEY_TEXT_MAX_BYTES + 1];
    struct order_values keys;
    uint8_t digest[RECORD_HASH_BYTES];
    struct buf bytes = BUF_INIT;
    bool shortened = false;
    if (page->keys) {
        memcpy(keys.key, page->keys[last->slot].key, order_keys(query->order) * sizeof keys.key[0]);
        shortened = shorten(query, &keys, room);
    }
    buf_addc(&bytes, shortened ? KEYS_SHORTENED : KEYS_WHOLE);
    if (shortened && digest_keys(query, &page->keys[last->slot], digest))
        buf_add(&bytes, digest, KEY_DIGEST_BYTES);
    buf_addc(&bytes, (char)strlen(last->twin->vid));
    buf_adds(&bytes, last->twin->vid);
    if (page->keys)
        order_write(query->order, &keys, &bytes);
    if (bytes.failed)
        out->failed = true;
    else
        cursor_write(out, scope, bytes.data, bytes.size_bytes);
    buf_done(&bytes);
}

/* The vehicle's keys of now, if they are what the digest is of. Of a vehicle that the viewer does
 * not see a token could only have been forged, to find out whether a guess at its keys is right. */
static bool take_whole_keys(struct query_page *page, const struct store *store, const char *digest)
{
    const struct query *query = page->query;
    const struct twin *twin = store_find(store, page->after_vid);
    struct order_values keys;
    uint8_t now[RECORD_HASH_BYTES];
    if (!twin || query_sight_of(query->sight, twin->vid, NULL) != SIGHT_SEEN)
        return false;
    order_take(query->order, &(struct subject_of_query){twin, query->region, NULL}, &keys);
    if (!digest_keys(query, &keys, now) || memcmp(now, digest, KEY_DIGEST_BYTES) != 0)
        return false;
    page->after = keys;
    return true;
}

bool query_page_resume(struct query_page *page, const struct store *store, const char *token,
                       const char *scope)
{
    const char *at = page->token, *digest = NULL;
    size_t size;
    if (!cursor_read(token, scope, page->token, &size))
        return false;
    const char *end = at + size;
    if (end - at < 2 || (*at != KEYS_WHOLE && *at != KEYS_SHORTENED))
        return false;
    if (*at++ == KEYS_SHORTENED) {
        digest = at;
        at += KEY_DIGEST_BYTES;
    }
    if (end - at < 1)
        return false;
    size_t vid_size = (unsigned char)*at++;
    if (vid_size > TOKEN_MAX_BYTES || vid_size > (size_t)(end - at))
        return false;
    memcpy(page->after_vid, at, vid_size);
    page->after_vid[vid_size] = '\0';
    at += vid_size;
    if (page->keys && !order_read(page->query->order, at, (size_t)(end - at), &page->after))
        return false;
    if (digest && page->keys && !take_whole_keys(page, store, digest))
        page->after_vid[0] = '\0';
    page->goes_on = true;
    return true;
}

static void add_patterns(struct buf *out, const struct viewer_patterns *patterns)
{
    buf_addc(out, patterns->given ? '[' : '-');
    for (size_t i = 0; i < patterns->count; i++)
        buf_json_cstr(out, patterns->patterns[i]);
    buf_addc(out, ']');
}

void query_scope(const struct query *query, const char *kind, struct buf *out)
{
    const struct viewer *viewer = query->viewer;
    buf_json_cstr(out, kind);
    buf_json_cstr(out, viewer->principal);
    buf_json_cstr(out, query->filter_text);
    buf_json_cstr(out, query->order_text);
    for (size_t i = 0; i < viewer->scope_count; i++) {
        add_patterns(out, &viewer->scopes[i].vehicles);
        add_patterns(out, &viewer->scopes[i].allow);
    }
    add_patterns(out, &viewer->deny);
}

/* ---- all of them ---- */

/* One vehicle that was found, its keys behind it. */
struct found {
    const char *vid;
    uint32_t index;
    struct value keys[];
};

struct finding {
    const struct query *query;
    size_t count, room, keys, stride_bytes;
    char *found;
    bool failed;
};

static void collect(void *closure, uint32_t index, const struct twin *twin)
{
    enum { FIRST_ROOM = 1024 };
    struct finding *finding = closure;
    struct order_values values;
    if (finding->count == finding->room && !finding->failed) {
        size_t room = finding->room ? finding->room * 2 : FIRST_ROOM;
        char *more = realloc(finding->found, room * finding->stride_bytes);
        finding->failed = more == NULL;
        finding->found = more ? more : finding->found;
        finding->room = more ? room : finding->room;
    }
    if (finding->failed)
        return;
    struct found *found =
        (struct found *)(void *)(finding->found + finding->count++ * finding->stride_bytes);
    found->vid = twin->vid;
    found->index = index;
    if (finding->keys == 0)
        return;
    order_take(finding->query->order,
               &(struct subject_of_query){twin, finding->query->region, NULL}, &values);
    memcpy(found->keys, values.key, finding->keys * sizeof found->keys[0]);
}

static int compare_found(const void *a, const void *b, void *closure)
{
    const struct finding *finding = closure;
    const struct found *x = a, *y = b;
    if (finding->keys > 0) {
        struct order_values left, right;
        memcpy(left.key, x->keys, finding->keys * sizeof left.key[0]);
        memcpy(right.key, y->keys, finding->keys * sizeof right.key[0]);
        int order = order_compare(finding->query->order, &left, &right);
        if (order)
            return order;
    }
    return strcmp(x->vid, y->vid);
}

enum query_status query_all(const struct query *query, const struct store *store,
                            uint32_t **indices, size_t *count, struct query_denial *denial)
{
    struct finding finding = {.query = query, .keys = order_keys(query->order)};
    finding.stride_bytes = sizeof(struct found) + finding.keys * sizeof(struct value);
    enum query_status status =
        query_scan(query, store, 0, store_count(store), collect, &finding, denial);
    uint32_t *result = NULL;
    if (status == QUERY_OK && !finding.failed)
        result = malloc((finding.count + 1) * sizeof *result);
    if (status == QUERY_OK && !result)
        status = QUERY_NO_MEMORY;
    if (status == QUERY_OK) {
        if (finding.count > 0)
            qsort_r(finding.found, finding.count, finding.stride_bytes, compare_found, &finding);
        for (size_t i = 0; i < finding.count; i++)
            result[i] = ((struct found *)(void *)(finding.found + i * finding.stride_bytes))->index;
        *indices = result;
        *count = finding.count;
    }
    free(finding.found);
    return status;
}
