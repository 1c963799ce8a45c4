#include "hub/api_access.h"

#include "hub/access_http.h"
#include "hub/api_query.h"
#include "hub/api_write.h"
#include "hub/clock.h"
#include "hub/cursor.h"
#include "twin/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BODY_DEPTH = 4, SCOPE_BYTES = 640, KEY_MAX_BYTES = 255 };

static const struct kind_words {
    const char *list, *one, *path, *members;
} words[] = {
    [ACCESS_TOKEN] = {"tokens", "token", "/v1/tokens", "name role vehicles allow deny expires"},
    [ACCESS_GRANT] = {"grants", "grant", "/v1/grants",
                      "subject role vehicles allow deny expires reason"},
};

/* ---- reading ---- */

struct listing {
    const struct viewer *viewer;
    struct http_reply *reply;
    size_t written;
    char last[ACCESS_ID_BYTES];
};

static bool list_one(void *closure, const struct access_entry *entry)
{
    struct listing *listing = closure;
    if (!rights_within(&entry->rights, listing->viewer))
        return false;
    buf_adds(&listing->reply->body, listing->written++ > 0 ? "," : "");
    access_entry_show(&listing->reply->body, entry, NULL);
    snprintf(listing->last, sizeof listing->last, "%s", entry->id);
    return true;
}

static void list(const struct http_request *request, struct http_reply *reply,
                 enum access_kind kind)
{
    const struct app *app = request->app;
    const char *token = http_query(request, "page_token");
    char after[CURSOR_KEY_MAX_BYTES + 1] = "", scope[SCOPE_BYTES];
    size_t size, after_bytes;
    struct listing listing = {.viewer = request->viewer, .reply = reply};
    if (!query_page_size(request, reply, &size))
        return;
    snprintf(scope, sizeof scope, "%s/%s", words[kind].list, request->principal);
    if (token && !cursor_read(token, scope, after, &after_bytes)) {
        http_problem(request, reply, PROBLEM_BAD_PAGE_TOKEN,
                     "This page_token belongs to another list, or is none. Begin again without.");
        return;
    }
    buf_addf(&reply->body, "{\"%s\":[", words[kind].list);
    bool more = access_list(app->access, kind, after, size, &reply->body, list_one, &listing);
    buf_addc(&reply->body, ']');
    if (more) {
        struct buf next = BUF_INIT;
        cursor_write(&next, scope, listing.last, strlen(listing.last));
        buf_json_name(&reply->body, "next_page_token");
        buf_json_cstr(&reply->body, buf_cstr(&next));
        query_link_next(request, reply, buf_cstr(&next));
        buf_done(&next);
    }
    buf_addc(&reply->body, '}');
}

void api_tokens(const struct http_request *request, struct http_reply *reply)
{
    list(request, reply, ACCESS_TOKEN);
}

void api_grants(const struct http_request *request, struct http_reply *reply)
{
    list(request, reply, ACCESS_GRANT);
}

/* ---- making ---- */

/* The body with who makes it and when, as it would be stored; read back, it is judged as any entry
 * is. A token's hash is filled in later. */
static struct access_entry *read_entry(enum access_kind kind, struct doc_parser *parser,
                                       struct doc_ref body, const char *actor, char error[256])
{
    static const char no_hash[] =
        "0000000000000000000000000000000000000000000000000000000000000000";
    struct buf text = BUF_INIT;
    struct doc_ref whole;
    struct access_entry *entry = NULL;
    char now[TIMESTAMP_TEXT_BYTES];
    struct doc_limits limits = {DOC_MAX_BYTES, BODY_DEPTH};
    timestamp_format(clock_wall_ns(), now);
    buf_addf(&text, "{\"created\":\"%s\",\"created_by\":", now);
    buf_json_cstr(&text, actor);
    if (kind == ACCESS_TOKEN)
        buf_addf(&text, ",\"secret_sha256\":\"%s\"", no_hash);
    for (struct doc_ref m = doc_first(body); doc_exists(m); m = doc_next(body, m)) {
        size_t size;
        const char *name = doc_name(m, &size);
        buf_addc(&text, ',');
        buf_json_string(&text, name, size);
        buf_addc(&text, ':');
        doc_write(&text, m);
    }
    buf_addc(&text, '}');
    snprintf(error, 256, RIGHTS_NO_MEMORY);
    if (!text.failed && doc_parse(parser, text.data, text.size_bytes, limits, &whole) == DOC_OK)
        entry = access_entry_read(kind, "", whole, error);
    buf_done(&text);
    return entry;
}

/* A grant takes away too: what it denies is denied in all scopes of whom it is granted to, and a
 * JWT's first one ends what his role alone allowed. Whoever is bounded himself may do neither to
 * those who are beyond him. */
static bool may_bound(const struct http_request *request, const struct access_entry *entry)
{
    const struct app *app = request->app;
    if (entry->kind == ACCESS_TOKEN || viewer_sees_everything(request->viewer))
        return true;
    struct principal *subject = access_look_up(app->access, entry->name);
    bool may = subject && principal_within(subject, request->viewer) &&
               rights_deny_no_more(&entry->rights, request->viewer);
    principal_unref(subject);
    return may;
}

static bool judge(const struct http_request *request, struct http_reply *reply,
                  const struct access_entry *entry)
{
    if (entry->rights.expires_ns <= clock_wall_ns()) {
        http_problem(request, reply, PROBLEM_BAD_REQUEST, "`expires` has passed already.");
        return false;
    }
    if (!rights_within(&entry->rights, request->viewer)) {
        http_problem(request, reply, PROBLEM_FORBIDDEN,
                     "It would allow more than you may give: it must lie within one scope of yours "
                     "that administers, and deny what you are denied.");
        return false;
    }
    if (!may_bound(request, entry)) {
        http_problem(
            request, reply, PROBLEM_FORBIDDEN,
            "It could take something away beyond your scopes: it may deny nothing but what "
            "you are denied, and its subject has to be a token, or the subject of a JWT "
            "that has grants, all of whose scopes lie within one of yours.");
        return false;
    }
    return true;
}

static bool answer_written(const struct http_request *request, struct http_reply *reply,
                           enum bus_status status, const struct bus_error *error)
{
    if (status == BUS_OK)
        return true;
    http_problem(request, reply,
                 status == BUS_FULL || status == BUS_ERROR ? PROBLEM_INTERNAL : PROBLEM_UNAVAILABLE,
                 "Not done, as far as is known: %s.", error->text);
    return false;
}

/* Whether it was asked for as it is: by the same actor, with the same body. */
static bool same_request(struct access_entry *stored, const struct access_entry *entry,
                         bool *no_memory)
{
    struct buf one = BUF_INIT, other = BUF_INIT;
    stored->created_ns = entry->created_ns;
    access_entry_show(&one, stored, NULL);
    access_entry_show(&other, entry, NULL);
    *no_memory = one.failed || other.failed;
    bool same = !*no_memory && one.size_bytes == other.size_bytes &&
                memcmp(one.data, other.data, one.size_bytes) == 0;
    buf_done(&one);
    buf_done(&other);
    return same;
}

/* The id of an Idempotency-Key is taken: this was asked before. A token's secret is kept nowhere,
 * so it is not in the answer. */
static void answer_again(const struct http_request *request, struct http_reply *reply,
                         const struct access_entry *entry)
{
    const struct app *app = request->app;
    struct bus_error error = {""};
    struct access_entry *stored = NULL;
    if (!answer_written(request, reply, access_stored(app->bus, entry, &stored, &error), &error))
        return;
    int64_t created_ns = stored ? stored->created_ns : 0;
    bool no_memory = false, same = stored && same_request(stored, entry, &no_memory);
    if (no_memory) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory for it.");
    } else if (!stored) {
        http_problem(request, reply, PROBLEM_CONFLICT,
                     "The %s %s that this Idempotency-Key made was taken away since.",
                     words[entry->kind].one, entry->id);
    } else if (!same) {
        http_problem(request, reply, PROBLEM_CONFLICT,
                     "This Idempotency-Key was used for another request, which made the %s %s.",
                     words[entry->kind].one, entry->id);
    } else {
        struct buf shown = BUF_INIT;
        stored->created_ns = created_ns;
        access_entry_show(&shown, stored, NULL);
        buf_adds(&reply->body, "{\"replayed\":true,");
        if (shown.failed)
            reply->body.failed = true;
        else
            buf_adds(&reply->body, buf_cstr(&shown) + 1); /* behind its bracket */
        buf_done(&shown);
        reply->status = 201;
        http_reply_header(reply, "Location", "%s/%s", words[entry->kind].path, entry->id);
    }
    access_entry_free(stored);
}

static bool read_key(const struct http_request *request, struct http_reply *reply, const char **key)
{
    *key = http_header(request, "Idempotency-Key");
    if (!*key || (**key && strlen(*key) <= KEY_MAX_BYTES))
        return true;
    http_problem(request, reply, PROBLEM_BAD_REQUEST, "Idempotency-Key has 1 to %d characters.",
                 KEY_MAX_BYTES);
    return false;
}

static void create_entry(const struct http_request *request, struct http_reply *reply,
                         struct access_entry *entry)
{
    const struct app *app = request->app;
    char token[ACCESS_TOKEN_BYTES];
    const char *key;
    struct bus_error error = {""};
    bool is_token = entry->kind == ACCESS_TOKEN;
    if (!read_key(request, reply, &key))
        return;
    if (!access_mint(entry, request->principal, key, token)) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "There are no random numbers, or there is no memory for them.");
        return;
    }
    enum bus_status status = access_write(
        app->access, app->bus, entry, false,
        &(struct access_by){request->principal, request->request_id, request->remote}, &error);
    if (key && status == BUS_CONFLICT) {
        answer_again(request, reply, entry);
        return;
    }
    if (!answer_written(request, reply, status, &error))
        return;
    access_entry_show(&reply->body, entry, is_token ? token : NULL);
    reply->status = 201;
    http_reply_header(reply, "Location", "%s/%s", words[entry->kind].path, entry->id);
}

static void create(const struct http_request *request, struct http_reply *reply,
                   enum access_kind kind)
{
    const struct app *app = request->app;
    struct doc_ref body;
    char error[256];
    if (!write_no_patch(request, reply) || !write_ready(request, reply))
        return;
    struct doc_parser *parser = doc_parser_new(), *again = doc_parser_new();
    struct access_entry *entry = NULL;
    if (!write_body(request, reply, again ? parser : NULL, BODY_DEPTH, false, &body) ||
        !write_members(request, reply, body, words[kind].members))
        goto out;
    entry = read_entry(kind, again, body, request->principal, error);
    if (!entry) {
        http_problem(request, reply,
                     strcmp(error, RIGHTS_NO_MEMORY) == 0 ? PROBLEM_UNAVAILABLE
                                                          : PROBLEM_BAD_REQUEST,
                     "%s.", error);
        goto out;
    }
    if (access_count(app->access) >= ACCESS_ENTRIES_MAX) {
        http_problem(request, reply, PROBLEM_CONFLICT,
                     "There are %d tokens and grants already; revoke some.", ACCESS_ENTRIES_MAX);
        goto out;
    }
    if (judge(request, reply, entry))
        create_entry(request, reply, entry);
out:
    access_entry_free(entry);
    doc_parser_free(parser);
    doc_parser_free(again);
}

void api_token_create(const struct http_request *request, struct http_reply *reply)
{
    create(request, reply, ACCESS_TOKEN);
}

void api_grant_create(const struct http_request *request, struct http_reply *reply)
{
    create(request, reply, ACCESS_GRANT);
}

/* ---- revoking ---- */

/* `bounds`: whoever it is granted to may more without it. A denial spans all of his scopes, and a
 * JWT that has no grant any more has its role for the whole fleet. */
struct found {
    const struct viewer *reads, *administers;
    bool seen, within, bounds;
};

static bool note_found(void *closure, const struct access_entry *entry)
{
    struct found *found = closure;
    found->seen = rights_within(&entry->rights, found->reads);
    found->within = rights_within(&entry->rights, found->administers);
    found->bounds = entry->kind == ACCESS_GRANT &&
                    (entry->rights.deny.count > 0 || strchr(entry->name, '#') != NULL);
    return true;
}

/* With a token goes all that was granted to it. Nobody is one that has expired. */
static bool holds_more(const struct http_request *request, const char *token_id)
{
    const struct app *app = request->app;
    struct principal *holder = access_look_up(app->access, token_id);
    bool more = holder && !principal_within(holder, request->viewer);
    principal_unref(holder);
    return more;
}

static void revoke(const struct http_request *request, struct http_reply *reply,
                   enum access_kind kind)
{
    const struct app *app = request->app;
    const char *id = request->path_param[0];
    struct access_entry entry = {.kind = kind};
    struct bus_error error = {""};
    struct found found = {.reads = access_viewer(request, CAN_AUDIT),
                          .administers = request->viewer};
    if (strlen(id) >= ACCESS_ID_BYTES || !access_with(app->access, kind, id, note_found, &found) ||
        !found.seen) {
        http_problem(request, reply, PROBLEM_NOT_FOUND, "There is no %s %s.", words[kind].one, id);
        return;
    }
    found.within = found.within && (kind == ACCESS_GRANT || !holds_more(request, id));
    if (!found.within || (found.bounds && !viewer_sees_everything(request->viewer))) {
        http_problem(
            request, reply, PROBLEM_FORBIDDEN, "%s",
            found.within
                ? "It bounds whom it is granted to, by what it denies or because he is the "
                  "subject of a JWT: to free him takes an admin who is not bounded himself."
                : "It allows more than your own scopes do.");
        return;
    }
    if (!write_ready(request, reply))
        return;
    strcpy(entry.id, id);
    enum bus_status status = access_write(
        app->access, app->bus, &entry, true,
        &(struct access_by){request->principal, request->request_id, request->remote}, &error);
    if (answer_written(request, reply, status, &error))
        reply->status = 204;
}

void api_token_revoke(const struct http_request *request, struct http_reply *reply)
{
    revoke(request, reply, ACCESS_TOKEN);
}

void api_grant_revoke(const struct http_request *request, struct http_reply *reply)
{
    revoke(request, reply, ACCESS_GRANT);
}
