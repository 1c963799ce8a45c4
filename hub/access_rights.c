#include "hub/access_rights.h"

#include "twin/envelope.h"
#include "twin/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- patterns ---- */

static const char name_letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789_-";

bool vehicle_pattern_valid(const char *pattern)
{
    size_t size = strspn(pattern, name_letters);
    bool star = pattern[size] == '*';
    return size + star > 0 && size <= TOKEN_MAX_BYTES && pattern[size + star] == '\0';
}

bool part_pattern_valid(const char *pattern)
{
    if (strlen(pattern) > RIGHTS_PATTERN_MAX_BYTES)
        return false;
    for (;;) {
        size_t size = strcspn(pattern, ".");
        bool rest = size == 1 && *pattern == '>', any = size == 1 && *pattern == '*';
        if (size == 0 || (!rest && !any && strcspn(pattern, "*>") < size))
            return false;
        if (pattern[size] == '\0')
            return true;
        if (rest)
            return false;
        pattern += size + 1;
    }
}

bool vehicle_pattern_within(const char *inner, const char *outer)
{
    size_t size = strlen(outer);
    if (size > 0 && outer[size - 1] == '*')
        return strncmp(inner, outer, size - 1) == 0;
    return strcmp(inner, outer) == 0;
}

bool part_pattern_within(const char *inner, const char *outer)
{
    for (;;) {
        size_t in = strcspn(inner, "."), out = strcspn(outer, ".");
        if (out == 1 && *outer == '>')
            return true;
        bool any = out == 1 && *outer == '*' && !(in == 1 && *inner == '>');
        if (!any && (in != out || memcmp(inner, outer, in) != 0))
            return false;
        if (!inner[in] || !outer[out])
            return !inner[in] && !outer[out];
        inner += in + 1;
        outer += out + 1;
    }
}

bool patterns_copy(const struct viewer_patterns *from, struct viewer_patterns *out)
{
    size_t bytes = 0;
    *out = (struct viewer_patterns){.given = from->given};
    for (size_t i = 0; i < from->count; i++)
        bytes += strlen(from->patterns[i]) + 1;
    if (from->count == 0)
        return true;
    const char **patterns = malloc(from->count * sizeof *patterns + bytes);
    if (!patterns)
        return false;
    char *at = (char *)(patterns + from->count);
    for (size_t i = 0; i < from->count; i++) {
        size_t size = strlen(from->patterns[i]) + 1;
        memcpy(at, from->patterns[i], size);
        patterns[i] = at;
        at += size;
    }
    out->patterns = patterns;
    out->count = from->count;
    return true;
}

/* ---- reading ---- */

struct list_kind {
    const char *name, *what;
    bool (*valid)(const char *pattern);
};

static const struct list_kind vehicles_kind = {
    "vehicles", "a vehicle id, or the beginning of one and a `*`", vehicle_pattern_valid};
static const struct list_kind allow_kind = {"allow", "a pattern such as `state.*` or `evt.>`",
                                            part_pattern_valid};
static const struct list_kind deny_kind = {
    "deny", "a pattern such as `state.position` or `cmd.arm`", part_pattern_valid};

static bool read_list(struct doc_ref object, const struct list_kind *kind,
                      struct viewer_patterns *out, char error[256])
{
    struct doc_ref list = doc_getz(object, kind->name);
    const char *patterns[RIGHTS_PATTERNS_MAX];
    char texts[RIGHTS_PATTERN_MAX_BYTES + 1];
    struct buf held = BUF_INIT;
    size_t count = doc_members(list), ends[RIGHTS_PATTERNS_MAX], at = 0;
    bool read = false;
    if (!doc_exists(list) || doc_is(list, DOC_NULL))
        return true;
    if (!doc_is(list, DOC_ARRAY) || count > RIGHTS_PATTERNS_MAX) {
        snprintf(error, 256, "`%s` must be a list of at most %d patterns", kind->name,
                 RIGHTS_PATTERNS_MAX);
        return false;
    }
    for (struct doc_ref item = doc_first(list); doc_exists(item); item = doc_next(list, item)) {
        size_t size = 0;
        const char *text = doc_is(item, DOC_STRING) ? doc_string(item, &size) : NULL;
        bool fits = text && size <= RIGHTS_PATTERN_MAX_BYTES && !memchr(text, '\0', size);
        if (fits) {
            memcpy(texts, text, size);
            texts[size] = '\0';
        }
        if (!fits || !kind->valid(texts)) {
            snprintf(error, 256, "each of `%s` must be %s", kind->name, kind->what);
            goto out;
        }
        buf_add(&held, texts, size + 1);
        ends[at++] = held.size_bytes;
    }
    if (held.failed) {
        snprintf(error, 256, RIGHTS_NO_MEMORY);
        goto out;
    }
    for (size_t i = 0; i < at; i++)
        patterns[i] = held.data + (i ? ends[i - 1] : 0);
    read = patterns_copy(&(struct viewer_patterns){true, patterns, at}, out);
    if (!read)
        snprintf(error, 256, RIGHTS_NO_MEMORY);
out:
    buf_done(&held);
    return read;
}

static bool read_role(struct doc_ref object, enum role *role, char error[256])
{
    struct doc_ref value = doc_getz(object, "role");
    size_t size = 0;
    if (!doc_exists(value))
        return true;
    const char *name = doc_is(value, DOC_STRING) ? doc_string(value, &size) : "";
    *role = role_of(name, size);
    if (*role == ROLE_NONE)
        snprintf(error, 256, "`role` must be %s", role_names);
    return *role != ROLE_NONE;
}

static bool read_expires(struct doc_ref object, int64_t *expires_ns, char error[256])
{
    struct doc_ref value = doc_getz(object, "expires");
    size_t size = 0;
    if (!doc_exists(value) || doc_is(value, DOC_NULL))
        return true;
    const char *text = doc_is(value, DOC_STRING) ? doc_string(value, &size) : "";
    bool read = timestamp_parse(text, size, expires_ns);
    if (!read)
        snprintf(error, 256, "`expires` must be a time as in RFC 3339, 2027-01-31T12:00:00Z");
    return read;
}

bool rights_read(struct doc_ref object, struct rights *rights, char error[256])
{
    struct rights read = {.expires_ns = RIGHTS_FOREVER};
    bool good = read_role(object, &read.role, error) &&
                read_list(object, &vehicles_kind, &read.vehicles, error) &&
                read_list(object, &allow_kind, &read.allow, error) &&
                read_list(object, &deny_kind, &read.deny, error) &&
                read_expires(object, &read.expires_ns, error);
    if (good)
        *rights = read;
    else
        rights_done(&read);
    return good;
}

void rights_done(struct rights *rights)
{
    free((void *)(uintptr_t)rights->vehicles.patterns);
    free((void *)(uintptr_t)rights->allow.patterns);
    free((void *)(uintptr_t)rights->deny.patterns);
    *rights = (struct rights){0};
}

static void write_list(struct buf *out, const char *name, const struct viewer_patterns *patterns)
{
    if (!patterns->given)
        return;
    buf_addf(out, ",\"%s\":[", name);
    for (size_t i = 0; i < patterns->count; i++) {
        buf_adds(out, i ? "," : "");
        buf_json_cstr(out, patterns->patterns[i]);
    }
    buf_addc(out, ']');
}

void rights_write(struct buf *out, const struct rights *rights)
{
    char expires[TIMESTAMP_TEXT_BYTES];
    if (rights->role != ROLE_NONE)
        buf_addf(out, ",\"role\":\"%s\"", role_name(rights->role));
    write_list(out, "vehicles", &rights->vehicles);
    write_list(out, "allow", &rights->allow);
    write_list(out, "deny", &rights->deny);
    if (rights->expires_ns != RIGHTS_FOREVER) {
        timestamp_format(rights->expires_ns, expires);
        buf_addf(out, ",\"expires\":\"%s\"", expires);
    }
}

/* ---- giving away ---- */

typedef bool within(const char *inner, const char *outer);

/* Each of `inner` lies within one of `outer`. */
static bool all_within(const struct viewer_patterns *inner, const struct viewer_patterns *outer,
                       within *is_within)
{
    if (!outer->given)
        return true;
    if (!inner->given)
        return false;
    for (size_t i = 0; i < inner->count; i++) {
        bool held = false;
        for (size_t j = 0; j < outer->count && !held; j++)
            held = is_within(inner->patterns[i], outer->patterns[j]);
        if (!held)
            return false;
    }
    return true;
}

bool rights_within(const struct rights *inner, const struct viewer *outer)
{
    for (size_t i = 0; i < outer->deny.count; i++) {
        bool denied = false;
        for (size_t j = 0; j < inner->deny.count && !denied; j++)
            denied = part_pattern_within(outer->deny.patterns[i], inner->deny.patterns[j]);
        if (!denied)
            return false;
    }
    for (size_t i = 0; i < outer->scope_count; i++)
        if (all_within(&inner->vehicles, &outer->scopes[i].vehicles, vehicle_pattern_within) &&
            all_within(&inner->allow, &outer->scopes[i].allow, part_pattern_within))
            return true;
    return false;
}

bool rights_deny_no_more(const struct rights *inner, const struct viewer *outer)
{
    struct viewer_patterns new_ones = {true, inner->deny.patterns, inner->deny.count};
    struct viewer_patterns old_ones = {true, outer->deny.patterns, outer->deny.count};
    return all_within(&new_ones, &old_ones, part_pattern_within);
}
