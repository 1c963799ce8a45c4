/* New documents out of old ones: every operation walks its sources twice with the same code, once
 * to count nodes and bytes, once to write them, so that a document is always one allocation of the
 * right size. */
#include "twin/doc.h"

#include "twin/doc_lookup.h"

#include <stdlib.h>
#include <string.h>

/* Where nodes and bytes go: into a document, or (doc NULL) only into the count. */
struct sink {
    struct doc *doc;
    char *heap;
    uint32_t nodes;
    size_t bytes;
};

static uint32_t put_bytes(struct sink *sink, const char *bytes, size_t size)
{
    size_t at = sink->bytes;
    if (sink->doc && size)
        memcpy(sink->heap + at, bytes, size);
    sink->bytes += size;
    return (uint32_t)at;
}

/* A node with the type, name and scalar of `value`; its index. */
static uint32_t put_node(struct sink *sink, struct doc_ref value, bool named)
{
    uint32_t index = sink->nodes++;
    struct doc_node node = *value.node;
    size_t size = 0;
    const char *name = doc_name(value, &size);
    node.name_len = named ? node.name_len : 0;
    node.name = put_bytes(sink, name, named ? size : 0);
    if (node.type == DOC_STRING || node.type == DOC_DIGITS) {
        const char *text = doc_string(value, &size);
        node.u.text.at = put_bytes(sink, text, size);
    }
    if (sink->doc)
        sink->doc->nodes[index] = node;
    return index;
}

static void close_box(struct sink *sink, uint32_t index, uint32_t members)
{
    if (!sink->doc)
        return;
    sink->doc->nodes[index].u.box.members = members;
    sink->doc->nodes[index].u.box.span = sink->nodes - index;
}

static void put_tree(struct sink *sink, struct doc_ref value, bool named)
{
    uint32_t index = put_node(sink, value, named);
    if (value.node->type < DOC_ARRAY)
        return;
    for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m))
        put_tree(sink, m, doc_type(value) == DOC_OBJECT);
    close_box(sink, index, (uint32_t)doc_members(value));
}

/* ---- an operation, run twice ---- */

struct job {
    void (*put)(struct sink *sink, const struct job *job);
    struct doc_ref a, b;
};

static const struct doc_node empty_object = {.type = DOC_OBJECT, .u.box = {0, 1}};

static void *build(const struct job *job, size_t header_bytes, struct doc **doc)
{
    struct sink count = {0};
    job->put(&count, job);
    if (count.bytes > UINT32_MAX)
        return NULL;
    size_t bytes =
        header_bytes + sizeof(struct doc) + count.nodes * sizeof(struct doc_node) + count.bytes;
    char *block = malloc(bytes);
    if (!block)
        return NULL;
    *doc = (struct doc *)(void *)(block + header_bytes);
    **doc = (struct doc){count.nodes, (uint32_t)count.bytes};
    struct sink sink = {.doc = *doc, .heap = (char *)((*doc)->nodes + count.nodes)};
    job->put(&sink, job);
    return block;
}

static struct doc *build_doc(const struct job *job)
{
    struct doc *doc;
    return build(job, 0, &doc) ? doc : NULL;
}

/* ---- copy ---- */

static void put_copy(struct sink *sink, const struct job *job)
{
    put_tree(sink, job->a, false);
}

void *doc_copy_behind(struct doc_ref value, size_t header_bytes, struct doc **doc)
{
    return build(&(struct job){.put = put_copy, .a = value}, header_bytes, doc);
}

struct doc *doc_copy(struct doc_ref value)
{
    return build_doc(&(struct job){.put = put_copy, .a = value});
}

/* ---- without nulls ---- */

static void put_clean(struct sink *sink, struct doc_ref value, bool named)
{
    uint32_t index = put_node(sink, value, named), members = 0;
    if (value.node->type < DOC_ARRAY)
        return;
    bool object = doc_type(value) == DOC_OBJECT;
    for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m)) {
        if (object && doc_is(m, DOC_NULL))
            continue;
        put_clean(sink, m, object);
        members++;
    }
    close_box(sink, index, members);
}

static void put_without_nulls(struct sink *sink, const struct job *job)
{
    put_clean(sink, job->a, false);
}

struct doc *doc_without_nulls(struct doc_ref value)
{
    return build_doc(&(struct job){.put = put_without_nulls, .a = value});
}

/* ---- RFC 7396 ---- */

static void put_merged(struct sink *sink, struct doc_ref target, struct doc_ref patch, bool named)
{
    if (!doc_is(patch, DOC_OBJECT)) {
        put_tree(sink, patch, named);
        return;
    }
    uint32_t index = put_node(sink, patch, named), members = 0;
    struct doc_lookup old, changes;
    doc_lookup_init(&old, target);
    doc_lookup_init(&changes, patch);
    struct doc_ref m =
        doc_is(target, DOC_OBJECT) ? doc_first(target) : (struct doc_ref){NULL, NULL};
    for (; doc_exists(m); m = doc_next(target, m)) {
        struct doc_ref change = doc_lookup_get(&changes, m);
        if (doc_is(change, DOC_NULL))
            continue;
        if (doc_exists(change))
            put_merged(sink, m, change, true);
        else
            put_tree(sink, m, true);
        members++;
    }
    for (m = doc_first(patch); doc_exists(m); m = doc_next(patch, m)) {
        if (doc_is(m, DOC_NULL) || doc_exists(doc_lookup_get(&old, m)))
            continue;
        put_merged(sink, (struct doc_ref){NULL, NULL}, m, true);
        members++;
    }
    doc_lookup_done(&old);
    doc_lookup_done(&changes);
    close_box(sink, index, members);
}

static void put_merge(struct sink *sink, const struct job *job)
{
    put_merged(sink, job->a, job->b, false);
}

struct doc *doc_merge(struct doc_ref target, struct doc_ref patch)
{
    if (!patch.node)
        patch = (struct doc_ref){&empty_object, ""};
    return build_doc(&(struct job){.put = put_merge, .a = target, .b = patch});
}

/* ---- delta ---- */

static bool matches(struct doc_ref desired, struct doc_ref reported)
{
    if (!doc_is(desired, DOC_OBJECT) || !doc_is(reported, DOC_OBJECT))
        return doc_equal(desired, reported);
    struct doc_lookup lookup;
    bool all = true;
    doc_lookup_init(&lookup, reported);
    for (struct doc_ref m = doc_first(desired); all && doc_exists(m); m = doc_next(desired, m)) {
        struct doc_ref other = doc_lookup_get(&lookup, m);
        all = doc_exists(other) && matches(m, other);
    }
    doc_lookup_done(&lookup);
    return all;
}

static void put_difference(struct sink *sink, struct doc_ref desired, struct doc_ref reported,
                           bool named)
{
    if (!doc_is(desired, DOC_OBJECT) || !doc_is(reported, DOC_OBJECT)) {
        put_tree(sink, desired, named);
        return;
    }
    uint32_t index = put_node(sink, desired, named), members = 0;
    struct doc_lookup lookup;
    doc_lookup_init(&lookup, reported);
    for (struct doc_ref m = doc_first(desired); doc_exists(m); m = doc_next(desired, m)) {
        struct doc_ref other = doc_lookup_get(&lookup, m);
        if (doc_exists(other) && matches(m, other))
            continue;
        put_difference(sink, m, other, true);
        members++;
    }
    doc_lookup_done(&lookup);
    close_box(sink, index, members);
}

static void put_delta(struct sink *sink, const struct job *job)
{
    put_difference(sink, job->a, job->b, false);
}

struct doc *doc_delta(struct doc_ref desired, struct doc_ref reported)
{
    if (!desired.node)
        desired = (struct doc_ref){&empty_object, ""};
    if (!reported.node)
        reported = (struct doc_ref){&empty_object, ""};
    return build_doc(&(struct job){.put = put_delta, .a = desired, .b = reported});
}
