#include "hub/query_fields.h"

#include "hub/fields.h"

#include <stdlib.h>
#include <string.h>

enum {
    CHUNK_VEHICLES = 512, /* in one stay in the store */
    BUCKETS = 32768,      /* more than three times as many as there may be paths */
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

struct known {
    unsigned types; /* a set of 1 << enum leaf */
    uint64_t vehicles;
    size_t example_count;
    char *examples[FIELD_EXAMPLES_MAX]; /* JSON */
    char path[];
};

struct query_fields {
    const struct query *query;
    const struct twin *twin; /* being looked at */
    bool sees_all;
    struct known **known;
    size_t count;
    uint16_t *buckets; /* a path's number and one; 0: free */
    struct buf path;   /* on the way down */
    size_t names;      /* in it */
    size_t name_bytes;
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
    buf_done(&fields->path);
    buf_done(&fields->scratch);
    free(fields);
}

/* ---- one leaf ---- */

static size_t hash_of(const char *bytes, size_t size)
{
    uint64_t hash = UINT64_C(14695981039346656037);
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32);
}

/* The path that stands in `path`; NULL where there is no room for one more, or no memory. */
static struct known *known_here(struct query_fields *fields)
{
    const char *path = fields->path.data;
    size_t size = fields->path.size_bytes;
    uint16_t number;
    size_t i = hash_of(path, size);
    for (; (number = fields->buckets[i % BUCKETS]) != 0; i++) {
        struct known *known = fields->known[number - 1];
        if (strncmp(known->path, path, size) == 0 && known->path[size] == '\0')
            return known;
    }
    if (fields->count == FLEET_FIELDS_MAX) {
        fields->truncated = true;
        return NULL;
    }
    struct known *known = calloc(1, sizeof *known + size + 1);
    if (!known) {
        fields->failed = true;
        return NULL;
    }
    memcpy(known->path, path, size);
    fields->known[fields->count++] = known;
    fields->buckets[i % BUCKETS] = (uint16_t)fields->count;
    return known;
}

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
    if (json->failed || json->size_bytes > FIELD_EXAMPLE_MAX_BYTES)
        return;
    for (size_t i = 0; i < known->example_count; i++)
        if (strlen(known->examples[i]) == json->size_bytes &&
            memcmp(known->examples[i], json->data, json->size_bytes) == 0)
            return;
    char *example = strndup(json->data, json->size_bytes);
    if (example)
        known->examples[known->example_count++] = example;
}

static void add_leaf(struct query_fields *fields, const struct value *value)
{
    enum leaf leaf;
    struct known *known;
    if (fields->path.failed || !leaf_of(value, &leaf) || !(known = known_here(fields)))
        return;
    known->types |= 1u << leaf;
    known->vehicles++;
    if (known->example_count < FIELD_EXAMPLES_MAX)
        add_example(fields, known, value);
}

/* ---- the way down ---- */

/* Takes one more name into the path; false where no filter could have it. *mark goes to leave. */
static bool enter(struct query_fields *fields, const char *name, size_t size, size_t *mark)
{
    *mark = fields->path.size_bytes;
    if (fields->names == PATH_MAX_NAMES || size > PATH_MAX_BYTES - fields->name_bytes)
        return false;
    if (fields->names++ > 0)
        buf_addc(&fields->path, '.');
    fields->name_bytes += size;
    path_write_name(&fields->path, name, size);
    return true;
}

static void leave(struct query_fields *fields, size_t size, size_t mark)
{
    fields->names--;
    fields->name_bytes -= size;
    fields->path.size_bytes = mark;
}

static void add_value(struct query_fields *fields, struct doc_ref value)
{
    size_t size, mark;
    if (!doc_is(value, DOC_OBJECT)) {
        struct value leaf = value_of_doc(value);
        add_leaf(fields, &leaf);
        return;
    }
    for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m)) {
        const char *name = doc_name(m, &size);
        if (!enter(fields, name, size, &mark))
            continue;
        add_value(fields, m);
        leave(fields, size, mark);
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
    size_t size, root_mark, mark;
    enter(fields, root, strlen(root), &root_mark);
    for (struct doc_ref m = doc_first(object); doc_exists(m); m = doc_next(object, m)) {
        const char *name = doc_name(m, &size);
        if (!sees(fields, part, name, size) || !enter(fields, name, size, &mark))
            continue;
        add_value(fields, m);
        leave(fields, size, mark);
    }
    leave(fields, strlen(root), root_mark);
}

static void add_states(struct query_fields *fields)
{
    size_t root_mark, mark;
    enter(fields, "state", strlen("state"), &root_mark);
    for (size_t i = 0; i < fields->twin->state_count; i++) {
        const struct state *state = fields->twin->states[i];
        struct slice type = state_type(state);
        if (!sees(fields, "state", type.at, type.size) || !enter(fields, type.at, type.size, &mark))
            continue;
        add_value(fields, doc_root(state->data));
        leave(fields, type.size, mark);
    }
    leave(fields, strlen("state"), root_mark);
}

/* What every twin has, `root` or `root.name`. */
static void add_fixed(struct query_fields *fields, const char *root, const char *name,
                      struct value value)
{
    size_t root_mark, mark;
    enter(fields, root, strlen(root), &root_mark);
    if (!name) {
        add_leaf(fields, &value);
    } else if (enter(fields, name, strlen(name), &mark)) {
        add_leaf(fields, &value);
        leave(fields, strlen(name), mark);
    }
    leave(fields, strlen(root), root_mark);
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
    fields->path.size_bytes = 0;
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
    return fields->failed || fields->path.failed ? QUERY_NO_MEMORY : QUERY_OK;
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
    for (size_t i = 0; i < fields->count; i++) {
        buf_adds(out, i > 0 ? "," : "");
        write_known(out, fields->known[i]);
    }
    buf_addc(out, ']');
    if (fields->truncated)
        buf_adds(out, ",\"truncated\":true");
    buf_addc(out, '}');
}
