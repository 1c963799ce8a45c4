/* Questions and answers as one line of JSON and, behind it, the body as it is. */
#include "hub/command_ask.h"

#include "twin/envelope.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_DEPTH = 8 };

static const char *const verb_names[COMMAND_VERBS] = {
#define X(id, name) [VERB_##id] = name,
    COMMAND_VERB_TABLE(X)
#undef X
};

/* ---- answers ---- */

void command_answer_init(struct command_answer *answer)
{
    *answer = (struct command_answer){.status = 200, .problem = -1};
}

void command_answer_done(struct command_answer *answer)
{
    buf_done(&answer->body);
    buf_done(&answer->next);
}

void command_answer_problem(struct command_answer *answer, enum problem problem, const char *format,
                            ...)
{
    va_list args;
    answer->problem = (int)problem;
    answer->has_text_error = false;
    va_start(args, format);
    vsnprintf(answer->detail, sizeof answer->detail, format, args);
    va_end(args);
}

void command_answer_text(struct command_answer *answer, enum problem problem, const char *parameter,
                         const struct text_error *error)
{
    command_answer_problem(answer, problem, "%s", parameter);
    answer->has_text_error = true;
    answer->text_error = *error;
}

/* ---- writing ---- */

static void add_text(struct buf *out, const char *name, const char *text)
{
    if (!text)
        return;
    buf_json_name(out, name);
    buf_json_cstr(out, text);
}

static void add_int(struct buf *out, const char *name, int64_t value)
{
    buf_json_name(out, name);
    buf_json_int(out, value);
}

static void add_patterns(struct buf *out, const char *name, const struct viewer_patterns *patterns)
{
    if (!patterns->given)
        return;
    buf_json_name(out, name);
    buf_addc(out, '[');
    for (size_t i = 0; i < patterns->count; i++) {
        if (i > 0)
            buf_addc(out, ',');
        buf_json_cstr(out, patterns->patterns[i]);
    }
    buf_addc(out, ']');
}

static void write_viewer(struct buf *out, const struct viewer *viewer)
{
    buf_json_name(out, "viewer");
    buf_addc(out, '{');
    add_text(out, "principal", viewer->principal);
    add_patterns(out, "deny", &viewer->deny);
    buf_json_name(out, "scopes");
    buf_addc(out, '[');
    for (size_t i = 0; i < viewer->scope_count; i++) {
        buf_adds(out, i > 0 ? ",{" : "{");
        add_patterns(out, "vehicles", &viewer->scopes[i].vehicles);
        add_patterns(out, "allow", &viewer->scopes[i].allow);
        buf_addc(out, '}');
    }
    buf_adds(out, "]}");
}

void command_ask_write(struct buf *out, const struct command_ask *ask)
{
    buf_addc(out, '{');
    add_text(out, "verb", verb_names[ask->verb]);
    add_text(out, "id", ask->id);
    add_text(out, "page_token", ask->page_token);
    add_text(out, "status", ask->status);
    add_text(out, "type", ask->type);
    add_text(out, "state", ask->state);
    add_int(out, "page_size", (int64_t)ask->page_size);
    add_int(out, "since", (int64_t)ask->since);
    add_text(out, "key", ask->key);
    add_text(out, "principal", ask->principal);
    add_text(out, "request_id", ask->request_id);
    write_viewer(out, ask->viewer);
    buf_adds(out, "}\n");
    buf_add(out, ask->body, ask->body_bytes);
}

void command_answer_write(struct buf *out, const struct command_answer *answer)
{
    buf_addc(out, '{');
    add_int(out, "status", answer->status);
    add_int(out, "problem", answer->problem);
    add_text(out, "detail", answer->detail);
    if (answer->has_text_error) {
        add_int(out, "offset", (int64_t)answer->text_error.offset);
        add_text(out, "error", answer->text_error.detail);
        add_text(out, "hint", answer->text_error.hint);
    }
    add_text(out, "location", answer->location);
    struct buf next = BUF_INIT;
    buf_add(&next, answer->next.data, answer->next.size_bytes);
    add_text(out, "next", buf_cstr(&next));
    buf_done(&next);
    add_int(out, "change", (int64_t)answer->change);
    buf_json_name(out, "ended");
    buf_adds(out, answer->ended ? "true" : "false");
    buf_adds(out, "}\n");
    buf_add(out, answer->body.data, answer->body.size_bytes);
    out->failed = out->failed || answer->body.failed;
}

/* ---- reading ---- */

/* Texts of the head, NUL-terminated, one after the other. */
struct texts {
    char *at;
    size_t used;
};

static const char *take_value(struct texts *texts, struct doc_ref value)
{
    size_t size;
    if (!doc_is(value, DOC_STRING))
        return NULL;
    const char *text = doc_string(value, &size);
    char *copy = texts->at + texts->used;
    memcpy(copy, text, size);
    copy[size] = '\0';
    texts->used += size + 1;
    return copy;
}

static const char *take(struct texts *texts, struct doc_ref root, const char *name)
{
    return take_value(texts, doc_getz(root, name));
}

static void copy_to(char *out, size_t room, struct doc_ref root, const char *name)
{
    struct doc_ref member = doc_getz(root, name);
    size_t size = 0;
    const char *text = doc_is(member, DOC_STRING) ? doc_string(member, &size) : "";
    snprintf(out, room, "%.*s", (int)size, text);
}

static int64_t take_int(struct doc_ref root, const char *name)
{
    int64_t value;
    return doc_int(doc_getz(root, name), &value) ? value : 0;
}

static void take_patterns(struct texts *texts, const char ***room, struct doc_ref root,
                          const char *name, struct viewer_patterns *patterns)
{
    struct doc_ref list = doc_getz(root, name);
    *patterns = (struct viewer_patterns){.given = doc_is(list, DOC_ARRAY), .patterns = *room};
    for (struct doc_ref m = doc_first(list); doc_exists(m); m = doc_next(list, m)) {
        const char *text = take_value(texts, m);
        if (text) {
            *(*room)++ = text;
            patterns->count++;
        }
    }
}

static bool read_viewer(struct command_asked *asked, struct texts *texts, struct doc_ref root)
{
    struct doc_ref viewer = doc_getz(root, "viewer"), scopes = doc_getz(viewer, "scopes");
    size_t count = doc_members(scopes), strings = doc_members(doc_getz(viewer, "deny")), i = 0;
    for (struct doc_ref s = doc_first(scopes); doc_exists(s); s = doc_next(scopes, s))
        strings += doc_members(doc_getz(s, "vehicles")) + doc_members(doc_getz(s, "allow"));
    size_t scope_bytes = (count + 1) * sizeof(struct viewer_scope);
    asked->lists = calloc(1, scope_bytes + (strings + 1) * sizeof(char *));
    if (!asked->lists || !doc_is(viewer, DOC_OBJECT))
        return false;
    struct viewer_scope *scope = asked->lists;
    const char **room = (const char **)(void *)((char *)asked->lists + scope_bytes);
    asked->viewer.principal = take(texts, viewer, "principal");
    asked->viewer.scopes = scope;
    asked->viewer.scope_count = count;
    take_patterns(texts, &room, viewer, "deny", &asked->viewer.deny);
    for (struct doc_ref s = doc_first(scopes); doc_exists(s); s = doc_next(scopes, s), i++) {
        take_patterns(texts, &room, s, "vehicles", &scope[i].vehicles);
        take_patterns(texts, &room, s, "allow", &scope[i].allow);
    }
    return true;
}

static bool read_verb(struct doc_ref root, enum command_verb *verb)
{
    char name[16];
    copy_to(name, sizeof name, root, "verb");
    for (int i = 0; i < COMMAND_VERBS; i++) {
        if (strcmp(verb_names[i], name) == 0) {
            *verb = (enum command_verb)i;
            return true;
        }
    }
    return false;
}

struct command_asked *command_ask_read(const char *text, size_t size)
{
    struct command_asked *asked = calloc(1, sizeof *asked);
    const char *end = memchr(text, '\n', size);
    struct doc_limits limits = {DOC_MAX_BYTES, HEAD_DEPTH};
    struct doc_ref root;
    if (!asked)
        return NULL;
    size_t head = end ? (size_t)(end - text) : 0;
    asked->parser = doc_parser_new();
    /* what is read is no longer than its text, but for the ends of empty strings */
    asked->texts = malloc(head * 2 + 64);
    struct texts texts = {asked->texts, 0};
    struct command_ask *ask = &asked->ask;
    if (head == 0 || !asked->parser || !asked->texts ||
        doc_parse(asked->parser, text, head, limits, &root) != DOC_OK ||
        !read_verb(root, &ask->verb) || !read_viewer(asked, &texts, root)) {
        command_asked_free(asked);
        return NULL;
    }
    ask->id = take(&texts, root, "id");
    ask->page_token = take(&texts, root, "page_token");
    ask->status = take(&texts, root, "status");
    ask->type = take(&texts, root, "type");
    ask->state = take(&texts, root, "state");
    ask->page_size = (size_t)take_int(root, "page_size");
    ask->since = (uint64_t)take_int(root, "since");
    ask->key = take(&texts, root, "key");
    ask->principal = take(&texts, root, "principal");
    ask->request_id = take(&texts, root, "request_id");
    ask->viewer = &asked->viewer;
    ask->body = end + 1;
    ask->body_bytes = size - head - 1;
    bool named = ask->verb == VERB_CREATE || ask->verb == VERB_LIST || ask->id;
    if (named && ask->principal && ask->request_id)
        return asked;
    command_asked_free(asked);
    return NULL;
}

void command_asked_free(struct command_asked *asked)
{
    if (!asked)
        return;
    doc_parser_free(asked->parser);
    free(asked->texts);
    free(asked->lists);
    free(asked);
}

bool command_answer_read(const char *text, size_t size, struct command_answer *answer)
{
    struct doc_parser *parser = doc_parser_new();
    struct doc_limits limits = {DOC_MAX_BYTES, HEAD_DEPTH};
    struct doc_ref root;
    char next[4096];
    const char *end = memchr(text, '\n', size);
    bool good =
        parser && end && doc_parse(parser, text, (size_t)(end - text), limits, &root) == DOC_OK;
    if (good) {
        answer->status = (int)take_int(root, "status");
        answer->problem = (int)take_int(root, "problem");
        copy_to(answer->detail, sizeof answer->detail, root, "detail");
        answer->has_text_error = doc_exists(doc_getz(root, "offset"));
        answer->text_error.offset = (size_t)take_int(root, "offset");
        copy_to(answer->text_error.detail, sizeof answer->text_error.detail, root, "error");
        copy_to(answer->text_error.hint, sizeof answer->text_error.hint, root, "hint");
        copy_to(answer->location, sizeof answer->location, root, "location");
        copy_to(next, sizeof next, root, "next");
        buf_adds(&answer->next, next);
        answer->change = (uint64_t)take_int(root, "change");
        answer->ended = doc_is(doc_getz(root, "ended"), DOC_TRUE);
        buf_add(&answer->body, end + 1, size - (size_t)(end + 1 - text));
        good = answer->problem >= -1 && answer->problem < PROBLEM_COUNT && answer->status >= 100 &&
               answer->status < 600;
    }
    doc_parser_free(parser);
    return good;
}
