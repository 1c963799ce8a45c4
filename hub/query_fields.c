#include "hub/query_fields.h"

#include "hub/fields.h"
#include "twin/hash.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_VEHICLES = 512, /* in one stay in the store */
    BUCKETS = 32768,      /* more than three times as many as there may be paths */
    EXAMPLE_TRIES = 64,   /* vehicles that are asked for examples */
};

#define LEAF_TABLE(X)                                                                              \
    X(NUMBER, "number")                                                                            \
    X(STRING, "string")                                                                            \
    X(BOOLEAN, "boolean")                                                                          \
    X(ARRAY, "array")

enum leaf {
#define X(id, name) LEAF_##id,
    LEAF_TABLE(X)
#undef X
        LEAF_COUNT
};
static const char *const leaf_names[LEAF_COUNT] = {
#define X(id, name) name,
    LEAF_TABLE(X)
#undef X
};

/* A name below another: a path. It is listed if it was ever a leaf. */
struct known {
    uint32_t number, parent; /* of the root's parent: 0 */
    uint32_t name_count, name_bytes;
    unsigned types; /* a set of 1 << enum leaf */
    unsigned tries; /* values that were taken for an example, or could have been */
    uint64_t vehicles;
    size_t example_count;
    char *examples[FIELD_EXAMPLES_MAX]; /* JSON */
    size_t name_size;
    const char *name; /* in the same block, behind the path */
    char path[];
};

struct query_fields {
    const struct query *query;
    const struct twin *twin; /* being looked at */
    bool sees_all;
    struct known **known;
    uint32_t count;
    uint16_t *buckets; /* a path's number; 0: free */
    struct buf scratch;
    bool truncated, failed;
};

_Static_assert(FLEET_FIELDS_MAX < UINT16_MAX, "a path's number fits its bucket");

struct query_fields *query_fields_new(const struct query *query)
{
    struct query_fields *fields = calloc(1, sizeof *fields);
    if (!fields)
        return NULL;
    fields->query = query;
    fields->sees_all = viewer_sees_everything(query->viewer);
    fields->known = malloc(FLEET_FIELDS_MAX * sizeof(struct known *));
    fields->buckets = calloc(BUCKETS, sizeof *fields->buckets);
    if (fields->known && fields->buckets)
        return fields;
    query_fields_free(fields);
    return NULL;
}

void query_fields_free(struct query_fields *fields)
{
    if (!fields)
        return;
    for (size_t i = 0; i < fields->count; i++) {
        for (size_t e = 0; e < fields->known[i]->example_count; e++)
            free(fields->known[i]->examples[e]);
        free(fields->known[i]);
    }
    free(fields->known);
    free(fields->buckets);
    buf_done(&fields->scratch);
    free(fields);
}

/* ---- paths ---- */

static size_t slot_of(uint32_t parent, const char *name, size_t size)
{
    return hash_slot(hash_more(HASH_BEGIN ^ parent, name, size));
}

/* NULL where no filter could name it, or there is no memory. */
static struct known *make_known(struct query_fields *fields, const struct known *parent,
                                const char *name, size_t size)
{
    struct buf *path = &fields->scratch;
    uint32_t name_count = parent ? parent->name_count + 1 : 1;
    size_t name_bytes = parent ? parent->name_bytes + size : size;
    if (name_count > PATH_MAX_NAMES || name_bytes > PATH_MAX_BYTES)
        return NULL;
    buf_reset(path);
    if (parent) {
        buf_adds(path, parent->path);
        buf_addc(path, '.');
    }
    path_write_name(path, name, size);
    struct known *known =
        path->failed ? NULL : calloc(1, sizeof *known + path->size_bytes + 1 + size);
    if (!known) {
        fields->failed = true;
        return NULL;
    }
    memcpy(known->path, path->data, path->size_bytes);
    char *copy = known->path + path->size_bytes + 1;
    if (size > 0)
        memcpy(copy, name, size);
    known->name = copy;
    known->name_size = size;
    known->name_count = name_count;
    known->name_bytes = (uint32_t)name_bytes;
    known->parent = parent ? parent->number : 0;
    fields->known[fields->count++] = known;
    known->number = fields->count;
    return known;
}

/* The name below `parent` (NULL: a root), made if it is new. NULL where it cannot be had. */
static struct known *below(struct query_fields *fields, const struct known *parent,
                           const char *name, size_t size)
{
    uint32_t above = parent ? parent->number : 0;
    size_t i = slot_of(above, name, size);
    uint16_t number;
    for (; (number = fields->buckets[i % BUCKETS]) != 0; i++) {
        struct known *known = fields->known[number - 1];
        if (known->parent == above && known->name_size == size &&
            (size == 0 || memcmp(known->name, name, size) == 0))
            return known;
    }
    if (fields->count == FLEET_FIELDS_MAX) {
        fields->truncated = true;
        return NULL;
    }
    struct known *known = make_known(fields, parent, name, size);
    if (known)
        fields->buckets[i % BUCKETS] = (uint16_t)known->number;
    return known;
}

static struct known *belowz(struct query_fields *fields, const struct known *parent,
                            const char *name)
{
    return below(fields, parent, name, strlen(name));
}

/* ---- one leaf ---- */

static bool leaf_of(const struct value *value, enum leaf *leaf)
{
    switch ((enum value_type)value->type) {
    case VALUE_NUMBER:
        *leaf = LEAF_NUMBER;
        return true;
    case VALUE_STRING:
    case VALUE_TIME:
        *leaf = LEAF_STRING;
        return true;
    case VALUE_BOOL:
        *leaf = LEAF_BOOLEAN;
        return true;
    case VALUE_ARRAY:
        *leaf = LEAF_ARRAY;
        return true;
    default:
        return false;
    }
}

static void add_example(struct query_fields *fields, struct known *known, const struct value *value)
{
    struct buf *json = &fields->scratch;
    if (value->type == VALUE_STRING && value->string.size > FIELD_EXAMPLE_MAX_BYTES)
        return;
    buf_reset(json);
    fields_write_scalar(json, value);
    fields->failed = fields->failed || json->failed;
    if (json->failed || json->size_bytes > FIELD_EXAMPLE_MAX_BYTES)
        return;
    for (size_t i = 0; i < known->example_count; i++)
        if (strlen(known->examples[i]) == json->size_bytes &&
            memcmp(known->examples[i], json->data, json->size_bytes) == 0)
            return;
    char *example = strndup(json->data, json->size_bytes);
    if (example)
        known->examples[known->example_count++] = example;
    else
        fields->failed = true;
}

static void add_leaf(struct query_fields *fields, struct known *known, const struct value *value)
{
    enum leaf leaf;
    if (!known || !leaf_of(value, &leaf))
        return;
    known->types |= 1u << leaf;
    known->vehicles++;
    if (known->example_count < FIELD_EXAMPLES_MAX && known->tries < EXAMPLE_TRIES) {
        known->tries++;
        add_example(fields, known, value);
    }
}

/* ---- the way down ---- */

static void add_value(struct query_fields *fields, struct known *known, struct doc_ref value)
{
    size_t size;
    if (!known)
        return;
    if (!doc_is(value, DOC_OBJECT)) {
        struct value leaf = value_of_doc(value);
        add_leaf(fields, known, &leaf);
        return;
    }
    for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m)) {
        const char *name = doc_name(m, &size);
        add_value(fields, below(fields, known, name, size), m);
    }
}

static bool sees(const struct query_fields *fields, const char *part, const char *rest, size_t size)
{
    return fields->sees_all ||
           viewer_sees_part(fields->query->viewer, fields->twin->vid, part, rest, size);
}

/* The members of a part that the viewer may see by the name of `part`. */
static void add_members(struct query_fields *fields, const char *root, const char *part,
                        struct doc_ref object)
{
    size_t size;
    struct known *known = belowz(fields, NULL, root);
    for (struct doc_ref m = doc_first(object); known && doc_exists(m); m = doc_next(object, m)) {
        const char *name = doc_name(m, &size);
        if (sees(fields, part, name, size))
            add_value(fields, below(fields, known, name, size), m);
    }
}

static void add_states(struct query_fields *fields)
{
    struct known *known = belowz(fields, NULL, "state");
    for (size_t i = 0; known && i < fields->twin->state_count; i++) {
        const struct state *state = fields->twin->states[i];
        struct slice type = state_type(state);
        if (sees(fields, "state", type.at, type.size))
            add_value(fields, below(fields, known, type.at, type.size), doc_root(state->data));
    }
}

/* What every twin has, `root` or `root.name`. */
static void add_fixed(struct query_fields *fields, const char *root, const char *name,
                      struct value value)
{
    struct known *known = belowz(fields, NULL, root);
    if (known && name)
        known = belowz(fields, known, name);
    add_leaf(fields, known, &value);
}

static struct value value_of_text(const char *text)
{
    return value_of_string(text, strlen(text));
}

static void take(void *closure, uint32_t index, const struct twin *twin)
{
    struct query_fields *fields = closure;
    const struct presence *presence = &twin->presence;
    (void)index;
    fields->twin = twin;
    add_fixed(fields, "vid", NULL, value_of_text(twin->vid));
    add_fixed(fields, "region", NULL, value_of_text(fields->query->region));
    if (sees(fields, "presence", NULL, 0)) {
        add_fixed(fields, "presence", "status", value_of_text(presence_name(presence->status)));
        add_fixed(fields, "presence", "last_seen", value_of_time(presence->last_seen_ns));
        add_fixed(fields, "presence", "since", value_of_time(presence->since_ns));
    }
    add_states(fields);
    for (int i = 0; i < PART_COUNT; i++) {
        const struct part *part = twin->parts[i];
        const char *name = part_name((enum part_kind)i);
        add_members(fields, name, name, doc_root(part ? part->value : NULL));
        add_fixed(fields, "revision", name, value_of_int(part ? (int64_t)part->revision : 0));
    }
    if (sees(fields, "delta", NULL, 0)) {
        add_members(fields, "delta", part_name(PART_DESIRED), doc_root(twin->delta));
        add_fixed(fields, "delta_since", NULL, value_of_time(twin->delta_since_ns));
    }
}

enum query_status query_fields_run(struct query_fields *fields, struct store *store,
                                   struct query_denial *denial)
{
    uint32_t count = store_count(store);
    for (uint32_t from = 0; from < count && !fields->failed; from += CHUNK_VEHICLES) {
        uint32_t end = count - from < CHUNK_VEHICLES ? count : from + CHUNK_VEHICLES;
        size_t place = store_enter(store);
        enum query_status status =
            query_scan(fields->query, store, from, end, take, fields, denial);
        store_leave(store, place);
        if (status != QUERY_OK)
            return status;
    }
    return fields->failed ? QUERY_NO_MEMORY : QUERY_OK;
}

/* ---- the answer ---- */

static int by_path(const void *a, const void *b)
{
    return strcmp((*(struct known *const *)a)->path, (*(struct known *const *)b)->path);
}

static void write_known(struct buf *out, const struct known *known)
{
    bool first = true;
    buf_adds(out, "{\"path\":");
    buf_json_cstr(out, known->path);
    buf_adds(out, ",\"types\":[");
    for (unsigned i = 0; i < LEAF_COUNT; i++) {
        if (!(known->types & 1u << i))
            continue;
        buf_adds(out, first ? "" : ",");
        buf_json_cstr(out, leaf_names[i]);
        first = false;
    }
    buf_adds(out, "],\"vehicles\":");
    buf_json_int(out, (int64_t)known->vehicles);
    buf_adds(out, ",\"examples\":[");
    for (size_t i = 0; i < known->example_count; i++) {
        buf_adds(out, i > 0 ? "," : "");
        buf_adds(out, known->examples[i]);
    }
    buf_adds(out, "]}");
}

void query_fields_write(struct query_fields *fields, struct buf *out)
{
    if (fields->count > 1)
        qsort(fields->known, fields->count, sizeof(struct known *), by_path);
    buf_adds(out, "{\"fields\":[");
    bool first = true;
    for (size_t i = 0; i < fields->count; i++) {
        if (!fields->known[i]->types)
            continue;
        buf_adds(out, first ? "" : ",");
        write_known(out, fields->known[i]);
        first = false;
    }
    buf_addc(out, ']');
    if (fields->truncated)
        buf_adds(out, ",\"truncated\":true");
    buf_addc(out, '}');
}
