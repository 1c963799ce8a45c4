#include "hub/fields.h"

#include "twin/twin_write.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The paths as one tree of names, so that what they share is written once. */
struct field {
    struct slice name;
    uint32_t child, next; /* 0: none; the tree's root is nobody's child */
    /* The path that ends here: all that is below was asked for. NULL: only some of it. */
    const struct path *whole;
};

struct fields {
    size_t count;
    struct asked {
        struct path *path;
        struct slice label;
    } * asked;
    char *text; /* what labels point into */
    uint32_t tree_size, tree_room;
    struct field *tree; /* names point into paths; [0] is the root */
};

static const struct slice no_name = {NULL, 0};

/* ---- compiling ---- */

static uint32_t child_named(const struct fields *fields, uint32_t parent, struct slice name)
{
    for (uint32_t i = fields->tree[parent].child; i; i = fields->tree[i].next)
        if (fields->tree[i].name.size == name.size &&
            memcmp(fields->tree[i].name.at, name.at, name.size) == 0)
            return i;
    return 0;
}

/* A new last child; 0 when there is no memory. */
static uint32_t add_child(struct fields *fields, uint32_t parent, struct slice name)
{
    if (fields->tree_size == fields->tree_room) {
        uint32_t room = fields->tree_room * 2;
        struct field *tree = realloc(fields->tree, room * sizeof *tree);
        if (!tree)
            return 0;
        fields->tree = tree;
        fields->tree_room = room;
    }
    uint32_t index = fields->tree_size++;
    fields->tree[index] = (struct field){.name = name};
    uint32_t *link = &fields->tree[parent].child;
    while (*link)
        link = &fields->tree[*link].next;
    *link = index;
    return index;
}

static bool add_to_tree(struct fields *fields, const struct path *path)
{
    uint32_t at = 0;
    for (size_t i = 0; path_name(path, i).at; i++) {
        uint32_t child = child_named(fields, at, path_name(path, i));
        at = child ? child : add_child(fields, at, path_name(path, i));
        if (!at)
            return false;
    }
    fields->tree[at].whole = path;
    return true;
}

static struct slice trimmed(const char *text, size_t from, size_t end)
{
    while (end > from && strchr(" \t\r\n,", text[end - 1]))
        end--;
    while (from < end && strchr(" \t\r\n", text[from]))
        from++;
    return (struct slice){text + from, end - from};
}

static bool read_paths(struct fields *fields, size_t size, struct text_error *error)
{
    size_t at = 0;
    while (at < size || fields->count == 0) {
        size_t from = at;
        if (fields->count == FIELDS_MAX) {
            *error = (struct text_error){.offset = 0};
            snprintf(error->detail, sizeof error->detail, "more than %d fields", FIELDS_MAX);
            return false;
        }
        struct path *path = path_next(PATH_OF_TWIN, fields->text, size, &at, error);
        if (!path)
            return false;
        fields->asked[fields->count++] = (struct asked){path, trimmed(fields->text, from, at)};
        if (!add_to_tree(fields, path)) {
            snprintf(error->detail, sizeof error->detail, "out of memory");
            return false;
        }
    }
    return true;
}

struct fields *fields_compile(const char *text, size_t size, struct text_error *error)
{
    enum { FIRST_ROOM = 4 }; /* a live query keeps its fields for as long as it is open */
    struct fields *fields = NULL;
    *error = (struct text_error){.offset = 0};
    if (size > FIELDS_MAX_BYTES) {
        snprintf(error->detail, sizeof error->detail, "more than %d bytes", FIELDS_MAX_BYTES);
        return NULL;
    }
    snprintf(error->detail, sizeof error->detail, "out of memory");
    fields = calloc(1, sizeof *fields);
    if (!fields)
        return NULL;
    size_t most = 1;
    for (size_t i = 0; i < size && most < FIELDS_MAX; i++)
        most += text[i] == ',';
    fields->asked = calloc(most, sizeof *fields->asked);
    fields->text = malloc(size + 1);
    fields->tree = calloc(FIRST_ROOM, sizeof *fields->tree);
    fields->tree_room = FIRST_ROOM;
    fields->tree_size = 1;
    if (fields->asked && fields->text && fields->tree) {
        memcpy(fields->text, text, size);
        fields->text[size] = '\0';
        if (read_paths(fields, size, error))
            return fields;
    }
    fields_free(fields);
    return NULL;
}

void fields_free(struct fields *fields)
{
    if (!fields)
        return;
    for (size_t i = 0; i < fields->count; i++)
        path_free(fields->asked[i].path);
    free(fields->asked);
    free(fields->tree);
    free(fields->text);
    free(fields);
}

/* ---- writing the tree ---- */

struct writing {
    struct buf *out;
    const struct fields *fields;
    const struct twin *twin;
    const struct viewer *viewer;
    const char *region;
    bool all; /* the viewer sees everything */
};

/* A member's name, with a comma where one is needed. */
static void begin_member(struct buf *out, struct slice name)
{
    if (out->size_bytes > 0 && out->data[out->size_bytes - 1] != '{')
        buf_addc(out, ',');
    buf_json_string(out, name.at, name.size);
    buf_addc(out, ':');
}

/* Takes the object begun at `mark` back where nothing came into it. */
static void end_object(struct buf *out, size_t mark, size_t empty)
{
    if (out->size_bytes == empty)
        out->size_bytes = mark;
    else
        buf_addc(out, '}');
}

static void write_below(const struct writing *w, uint32_t parent, struct doc_ref object);

static void write_member(const struct writing *w, const struct field *field, uint32_t index,
                         struct doc_ref value)
{
    struct buf *out = w->out;
    size_t mark = out->size_bytes;
    if (!doc_exists(value))
        return;
    begin_member(out, field->name);
    if (field->whole) {
        doc_write(out, value);
    } else {
        buf_addc(out, '{');
        size_t empty = out->size_bytes;
        write_below(w, index, value);
        end_object(out, mark, empty);
    }
}

/* The members of an object that were asked for. */
static void write_below(const struct writing *w, uint32_t parent, struct doc_ref object)
{
    for (uint32_t i = w->fields->tree[parent].child; i; i = w->fields->tree[i].next) {
        const struct field *field = &w->fields->tree[i];
        write_member(w, field, i, doc_get(object, field->name.at, field->name.size));
    }
}

static bool sees(const struct writing *w, const char *part, struct slice rest)
{
    return w->all || viewer_sees_part(w->viewer, w->twin->vid, part, rest.at, rest.size);
}

static void write_states(const struct writing *w, uint32_t root)
{
    for (uint32_t i = w->fields->tree[root].child; i; i = w->fields->tree[i].next) {
        const struct field *field = &w->fields->tree[i];
        const struct state *state = twin_state(w->twin, field->name);
        if (state && sees(w, "state", field->name))
            write_member(w, field, i, doc_root(state->data));
    }
}

static void write_part(const struct writing *w, uint32_t root, const char *part,
                       struct doc_ref object)
{
    for (uint32_t i = w->fields->tree[root].child; i; i = w->fields->tree[i].next) {
        const struct field *field = &w->fields->tree[i];
        if (sees(w, part, field->name))
            write_member(w, field, i, doc_get(object, field->name.at, field->name.size));
    }
}

/* Of what is computed, not kept as a document. */
static void write_known(const struct writing *w, uint32_t root)
{
    struct subject_of_query subject = {w->twin, w->region, NULL};
    for (uint32_t i = w->fields->tree[root].child; i; i = w->fields->tree[i].next) {
        const struct field *field = &w->fields->tree[i];
        if (!field->whole)
            continue;
        struct value value = path_value(field->whole, &subject);
        if (value.type == VALUE_MISSING)
            continue;
        begin_member(w->out, field->name);
        fields_write_scalar(w->out, &value);
    }
}

static bool is(struct slice name, const char *text)
{
    return strlen(text) == name.size && memcmp(name.at, text, name.size) == 0;
}

/* A root as a whole. */
static void write_root(struct buf *out, struct slice name, const struct twin *twin,
                       const struct viewer *viewer, const char *region)
{
    enum part_kind kind;
    if (is(name, "vid"))
        buf_json_cstr(out, twin->vid);
    else if (is(name, "region"))
        buf_json_cstr(out, region);
    else if (is(name, "presence"))
        twin_write_presence(out, twin);
    else if (is(name, "state"))
        twin_write_states(out, twin, viewer);
    else if (is(name, "delta"))
        twin_write_delta(out, twin, viewer);
    else if (is(name, "delta_since"))
        buf_json_timestamp(out, twin->delta_since_ns);
    else if (is(name, "revision"))
        twin_write_revision(out, twin);
    else if (part_of_name(name.at, name.size, &kind))
        twin_write_part(out, twin, kind, viewer);
}

static void write_below_root(const struct writing *w, uint32_t root, struct slice name)
{
    enum part_kind kind;
    if (is(name, "state")) {
        write_states(w, root);
    } else if (is(name, "delta")) { /* what is desired shows in the delta */
        write_part(w, root, part_name(PART_DESIRED), doc_root(w->twin->delta));
    } else if (part_of_name(name.at, name.size, &kind)) {
        const struct part *part = w->twin->parts[kind];
        write_part(w, root, part_name(kind), doc_root(part ? part->value : NULL));
    } else if (is(name, "presence") || is(name, "revision")) {
        write_known(w, root);
    }
}

/* Whether the viewer may see anything of the root: presence and delta stand or fall as wholes. */
static bool sees_root(const struct writing *w, struct slice name)
{
    if (is(name, "presence"))
        return sees(w, "presence", no_name);
    if (is(name, "delta") || is(name, "delta_since"))
        return sees(w, "delta", no_name);
    return true;
}

void fields_write(struct buf *out, const struct fields *fields, const struct twin *twin,
                  const struct twin_view *view)
{
    struct writing w = {out,          fields,       twin,
                        view->viewer, view->region, viewer_sees_everything(view->viewer)};
    buf_adds(out, "{\"vid\":");
    buf_json_cstr(out, twin->vid);
    for (uint32_t i = fields->tree[0].child; i; i = fields->tree[i].next) {
        const struct field *field = &fields->tree[i];
        size_t mark = out->size_bytes;
        if (is(field->name, "vid") || !sees_root(&w, field->name))
            continue;
        begin_member(out, field->name);
        if (field->whole) {
            write_root(out, field->name, twin, view->viewer, view->region);
            continue;
        }
        buf_addc(out, '{');
        size_t empty = out->size_bytes;
        write_below_root(&w, i, field->name);
        end_object(out, mark, empty);
    }
    if (view->metadata) {
        buf_adds(out, ",\"metadata\":");
        twin_write_metadata(out, twin, view->viewer);
    }
    buf_addc(out, '}');
}

/* ---- one by one ---- */

size_t fields_count(const struct fields *fields)
{
    return fields->count;
}

struct slice fields_label(const struct fields *fields, size_t i)
{
    return fields->asked[i].label;
}

static bool sees_path(const struct path *path, const struct twin *twin, const struct viewer *viewer)
{
    const char *part;
    struct slice rest;
    path_part(path, &part, &rest);
    /* Of a whole, what may not be seen is left out when it is written. */
    bool whole = part && !rest.at && strcmp(part, "presence") != 0 && strcmp(part, "delta") != 0;
    if (part && !whole && !viewer_sees_part(viewer, twin->vid, part, rest.at, rest.size))
        return false;
    path_second_part(path, &part, &rest);
    return !part || viewer_sees_part(viewer, twin->vid, part, rest.at, rest.size);
}

struct value fields_value(const struct fields *fields, size_t i, const struct twin *twin,
                          const struct twin_view *view)
{
    struct subject_of_query subject = {twin, view->region, NULL};
    if (!viewer_sees_everything(view->viewer) &&
        !sees_path(fields->asked[i].path, twin, view->viewer))
        return (struct value){.type = VALUE_MISSING};
    return path_value(fields->asked[i].path, &subject);
}

void fields_write_scalar(struct buf *out, const struct value *value)
{
    switch ((enum value_type)value->type) {
    case VALUE_MISSING:
        break;
    case VALUE_NULL:
        buf_adds(out, "null");
        break;
    case VALUE_BOOL:
        buf_adds(out, value->boolean ? "true" : "false");
        break;
    case VALUE_STRING:
        buf_json_string(out, value->string.at, value->string.size);
        break;
    case VALUE_TIME:
        buf_json_timestamp(out, value->ns);
        break;
    case VALUE_NUMBER:
        if (value->doc.node)
            doc_write(out, value->doc);
        else
            buf_json_int(out, value->mantissa);
        break;
    case VALUE_OBJECT:
    case VALUE_ARRAY:
        if (value->doc.node)
            doc_write(out, value->doc);
        break;
    case VALUE_DURATION: /* nothing that stands at a path is one */
        break;
    }
}

void fields_write_value(struct buf *out, const struct fields *fields, size_t i,
                        const struct twin *twin, const struct twin_view *view)
{
    const struct path *path = fields->asked[i].path;
    struct value value = fields_value(fields, i, twin, view);
    if (value.type == VALUE_MISSING)
        return;
    if (path_name(path, 1).at)
        fields_write_scalar(out, &value);
    else
        write_root(out, path_name(path, 0), twin, view->viewer, view->region);
}
