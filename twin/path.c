/* Reading paths: names, their root, and what of them is known before any twin is seen. */
#include "twin/path_impl.h"

#include <stdlib.h>
#include <string.h>

static const char *const twin_roots[] = {
#define X(id, name) [ROOT_##id] = name,
    TWIN_ROOT_TABLE(X)
#undef X
        [TWIN_ROOT_COUNT] = NULL,
};

static const char *const record_roots[] = {
#define X(name, kept) [RECORD_ROOT_##name] = #name,
    RECORD_VIEW_TABLE(X)
#undef X
        [RECORD_ROOT_COUNT] = NULL,
};

const char *const *path_roots(enum path_kind kind)
{
    return kind == PATH_OF_TWIN ? twin_roots : record_roots;
}

/* ---- names ---- */

void path_write_name(struct buf *out, const char *name, size_t size)
{
    bool plain = size > 0 && !lex_is_keyword((struct slice){name, size});
    for (size_t i = 0; plain && i < size; i++)
        plain = lex_is_name_char((unsigned char)name[i]);
    if (plain)
        buf_add(out, name, size);
    else
        buf_json_string(out, name, size);
}

/* The names of a path as they are read. */
struct names {
    struct slice name[PATH_MAX_NAMES];
    size_t count, bytes;
    char room[PATH_MAX_BYTES];
};

static bool add_name(struct lex *lex, size_t start, struct names *names, struct slice name)
{
    if (names->count == PATH_MAX_NAMES)
        return lex_fail(lex, start, "a path has at most %d names", PATH_MAX_NAMES);
    if (name.size > sizeof names->room - names->bytes)
        return lex_fail(lex, start, "the names of a path have at most %d bytes", PATH_MAX_BYTES);
    char *to = names->room + names->bytes;
    if (name.size)
        memcpy(to, name.at, name.size);
    names->name[names->count++] = (struct slice){to, name.size};
    names->bytes += name.size;
    return true;
}

static bool read_name(struct lex *lex, size_t start, struct names *names)
{
    struct slice name;
    if (lex_peek(lex) == '"')
        return lex_string(lex, &name) && add_name(lex, start, names, name);
    name = lex_word(lex);
    if (name.size == 0)
        return lex_unexpected(lex, lex->at, "a name");
    if (lex_is_keyword(name)) {
        lex_fail(lex, lex->at, "%.*s is a keyword; as a name it is quoted", (int)name.size,
                 name.at);
        return lex_hint(lex, "did you mean \"%.*s\"?", (int)name.size, name.at);
    }
    lex->at += name.size;
    return add_name(lex, start, names, name);
}

static bool read_names(struct lex *lex, size_t start, struct names *names)
{
    do {
        if (!read_name(lex, start, names))
            return false;
    } while (lex_take(lex, '.'));
    return true;
}

/* ---- making ---- */

static uint8_t field_of(enum path_kind kind, size_t root, const struct slice *names, size_t count)
{
    enum part_kind part;
    if (kind != PATH_OF_TWIN || count != 2)
        return 0;
    if (root == ROOT_REVISION)
        return part_of_name(names[1].at, names[1].size, &part) ? (uint8_t)part : PART_COUNT;
    if (root != ROOT_PRESENCE)
        return 0;
    if (slice_is(names[1], "status"))
        return PRESENCE_STATUS;
    if (slice_is(names[1], "last_seen"))
        return PRESENCE_LAST_SEEN;
    return slice_is(names[1], "since") ? PRESENCE_SINCE : PRESENCE_NOTHING;
}

/* One block: the struct, its names, their bytes, the canonical text. */
static struct path *make_path(enum path_kind kind, size_t root, const struct slice *names,
                              size_t count)
{
    struct buf text = BUF_INIT;
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++) {
        if (i > 0)
            buf_addc(&text, '.');
        path_write_name(&text, names[i].at, names[i].size);
        bytes += names[i].size;
    }
    struct path *path = NULL;
    if (!text.failed)
        path = malloc(sizeof *path + count * sizeof *path->names + bytes + text.size_bytes + 1);
    if (!path)
        goto out;
    path->kind = (uint8_t)kind;
    path->root = (uint8_t)root;
    path->field = field_of(kind, root, names, count);
    path->count = (uint8_t)count;
    path->guess = &path->guess_room;
    atomic_init(path->guess, 0);
    char *to = (char *)(path->names + count);
    for (size_t i = 0; i < count; i++) {
        if (names[i].size)
            memcpy(to, names[i].at, names[i].size);
        path->names[i] = (struct slice){to, names[i].size};
        to += names[i].size;
    }
    memcpy(to, text.data, text.size_bytes);
    to[text.size_bytes] = '\0';
    path->text = to;
out:
    buf_done(&text);
    return path;
}

static void fail_root(struct lex *lex, enum path_kind kind, size_t start, const struct names *names,
                      enum path_place place)
{
    struct slice root = names->name[0];
    lex_fail(lex, start, "%s have nothing named %.*s at their root",
             kind == PATH_OF_TWIN ? "twins" : "records", (int)root.size, root.at);
    hint_of_root(lex, kind, names->name, names->count, place);
}

struct path *path_read(enum path_kind kind, struct lex *lex, enum path_place place)
{
    struct names names = {.count = 0};
    lex_peek(lex);
    size_t start = lex->at, root = 0;
    if (!read_names(lex, start, &names))
        return NULL;
    const char *const *roots = path_roots(kind);
    while (roots[root] && !slice_is(names.name[0], roots[root]))
        root++;
    if (!roots[root]) {
        fail_root(lex, kind, start, &names, place);
        return NULL;
    }
    struct path *path = make_path(kind, root, names.name, names.count);
    if (!path)
        lex_no_memory(lex);
    return path;
}

struct path *path_child(const struct path *path, struct slice name)
{
    struct slice names[UINT8_MAX + 1];
    for (size_t i = 0; i < path->count; i++)
        names[i] = path->names[i];
    names[path->count] = name;
    return make_path((enum path_kind)path->kind, path->root, names, path->count + 1u);
}

struct path *path_compile(enum path_kind kind, const char *text, size_t size, size_t base,
                          struct text_error *error)
{
    struct lex lex;
    lex_init(&lex, text, size, base, error);
    struct path *path = path_read(kind, &lex, PLACE_ALONE);
    if (path && lex_peek(&lex) != LEX_END) {
        lex_unexpected(&lex, lex.at, "the end of the path");
        path_free(path);
        path = NULL;
    }
    lex_done(&lex);
    return path;
}

struct path *path_next(enum path_kind kind, const char *text, size_t size, size_t *at,
                       struct text_error *error)
{
    struct lex lex;
    lex_init(&lex, text, size, 0, error);
    lex.at = *at;
    struct path *path = path_read(kind, &lex, PLACE_ALONE);
    bool comma = path && lex_take(&lex, ',');
    int behind = path ? lex_peek(&lex) : LEX_END;
    if (path && comma == (behind == LEX_END)) {
        lex_unexpected(&lex, lex.at, comma ? "a path" : "a comma");
        path_free(path);
        path = NULL;
    }
    if (path)
        *at = lex.at;
    lex_done(&lex);
    return path;
}

void path_free(struct path *path)
{
    free(path);
}

/* ---- asking ---- */

const char *path_text(const struct path *path)
{
    return path->text;
}

struct slice path_name(const struct path *path, size_t i)
{
    return i < path->count ? path->names[i] : (struct slice){NULL, 0};
}

void path_part(const struct path *path, const char **part, struct slice *rest)
{
    *part = NULL;
    *rest = (struct slice){NULL, 0};
    if (path->kind != PATH_OF_TWIN)
        return;
    switch ((enum twin_root)path->root) {
    case ROOT_STATE:
    case ROOT_REPORTED:
    case ROOT_DESIRED:
    case ROOT_CONFIG:
    case ROOT_META:
        *rest = path_name(path, 1);
        *part = twin_roots[path->root];
        break;
    case ROOT_PRESENCE:
        *part = "presence";
        break;
    case ROOT_DELTA:
    case ROOT_DELTA_SINCE:
        *part = "delta";
        break;
    case ROOT_VID:
    case ROOT_REGION:
    case ROOT_REVISION:
    case TWIN_ROOT_COUNT:
        break;
    }
}

void path_second_part(const struct path *path, const char **part, struct slice *rest)
{
    bool in_delta = path->kind == PATH_OF_TWIN && path->root == ROOT_DELTA && path->count > 1;
    *part = in_delta ? "desired" : NULL;
    *rest = in_delta ? path->names[1] : (struct slice){NULL, 0};
}

bool path_is_time(const struct path *path)
{
    if (path->kind == PATH_OF_RECORD)
        return path->count == 1 &&
               (path->root == RECORD_ROOT_timestamp || path->root == RECORD_ROOT_received ||
                path->root == RECORD_ROOT_archived);
    if (path->root == ROOT_DELTA_SINCE)
        return path->count == 1;
    return path->root == ROOT_PRESENCE &&
           (path->field == PRESENCE_LAST_SEEN || path->field == PRESENCE_SINCE);
}

bool path_is_object(const struct path *path)
{
    if (path->count != 1 || path->kind != PATH_OF_TWIN)
        return false;
    return path->root != ROOT_VID && path->root != ROOT_REGION && path->root != ROOT_DELTA_SINCE;
}

bool path_has_age(const struct path *path)
{
    if (path_is_time(path))
        return true;
    if (path->kind != PATH_OF_TWIN)
        return false;
    return (path->root == ROOT_STATE && path->count == 2) ||
           (path->root == ROOT_DELTA && path->count == 1);
}
