#include "hub/access_set.h"

#include "twin/timestamp.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* ---- the set ---- */

static int compare(const struct access_entry *entry, enum access_kind kind, const char *id)
{
    return entry->kind != kind ? (int)entry->kind - (int)kind : strcmp(entry->id, id);
}

static size_t place_of(const struct access_set *set, enum access_kind kind, const char *id)
{
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (compare(set->entries[middle], kind, id) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool is_at(const struct access_set *set, size_t at, enum access_kind kind, const char *id)
{
    return at < set->count && compare(set->entries[at], kind, id) == 0;
}

const struct access_entry *access_set_find(const struct access_set *set, enum access_kind kind,
                                           const char *id)
{
    size_t at = place_of(set, kind, id);
    return is_at(set, at, kind, id) ? set->entries[at] : NULL;
}

static bool make_room(struct access_set *set)
{
    enum { FIRST_ROOM = 16 };
    if (set->count < set->room)
        return true;
    size_t room = set->room ? 2 * set->room : FIRST_ROOM;
    struct access_entry **entries = reallocarray(set->entries, room, sizeof *entries);
    if (!entries)
        return false;
    set->entries = entries;
    set->room = room;
    return true;
}

bool access_set_put(struct access_set *set, struct access_entry *entry)
{
    size_t at = place_of(set, entry->kind, entry->id);
    if (is_at(set, at, entry->kind, entry->id)) {
        access_entry_free(set->entries[at]);
        set->entries[at] = entry;
        return true;
    }
    if (!make_room(set))
        return false;
    memmove(set->entries + at + 1, set->entries + at, (set->count - at) * sizeof *set->entries);
    set->entries[at] = entry;
    set->count++;
    return true;
}

void access_set_remove(struct access_set *set, enum access_kind kind, const char *id)
{
    size_t at = place_of(set, kind, id);
    if (!is_at(set, at, kind, id))
        return;
    access_entry_free(set->entries[at]);
    set->count--;
    memmove(set->entries + at, set->entries + at + 1, (set->count - at) * sizeof *set->entries);
}

void access_set_done(struct access_set *set)
{
    for (size_t i = 0; i < set->count; i++)
        access_entry_free(set->entries[i]);
    free(set->entries);
    *set = (struct access_set){0};
}

size_t access_set_grants_to(const struct access_set *set, const char *subject)
{
    size_t count = 0;
    for (size_t i = place_of(set, ACCESS_GRANT, ""); i < set->count; i++)
        count += strcmp(set->entries[i]->name, subject) == 0;
    return count;
}

/* ---- principals ---- */

void principal_ref(struct principal *principal)
{
    atomic_fetch_add_explicit(&principal->users, 1, memory_order_relaxed);
}

static void free_principal(struct principal *principal)
{
    for (size_t i = 0; i < principal->held_count; i++)
        rights_done(&principal->held[i]);
    free(principal->held);
    free(principal->scopes);
    free((void *)(uintptr_t)principal->deny.patterns);
    free(principal->name);
    free(principal);
}

void principal_unref(struct principal *principal)
{
    if (principal && atomic_fetch_sub_explicit(&principal->users, 1, memory_order_acq_rel) == 1)
        free_principal(principal);
}

static bool same_patterns(const struct viewer_patterns *a, const struct viewer_patterns *b)
{
    if (a->given != b->given || a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (strcmp(a->patterns[i], b->patterns[i]) != 0)
            return false;
    return true;
}

bool principal_same(const struct principal *a, const struct principal *b)
{
    if (strcmp(a->name, b->name) != 0 || a->held_count != b->held_count ||
        !same_patterns(&a->deny, &b->deny))
        return false;
    for (size_t i = 0; i < a->held_count; i++)
        if (a->held[i].role != b->held[i].role ||
            !same_patterns(&a->held[i].vehicles, &b->held[i].vehicles) ||
            !same_patterns(&a->held[i].allow, &b->held[i].allow))
            return false;
    return true;
}

bool principal_within(const struct principal *principal, const struct viewer *outer)
{
    for (size_t i = 0; i < principal->held_count; i++) {
        struct rights held = principal->held[i]; /* borrowed */
        held.deny = principal->deny;
        if (!rights_within(&held, outer))
            return false;
    }
    return true;
}

/* Adds a scope; without a role of its own it has `role`. False: no memory. */
static bool hold(struct principal *principal, const struct rights *rights, enum role role)
{
    struct rights *held = &principal->held[principal->held_count];
    *held = (struct rights){.role = rights->role == ROLE_NONE ? role : rights->role,
                            .expires_ns = rights->expires_ns};
    principal->held_count++;
    return patterns_copy(&rights->vehicles, &held->vehicles) &&
           patterns_copy(&rights->allow, &held->allow) && patterns_copy(&rights->deny, &held->deny);
}

static bool join_denied(struct principal *principal)
{
    size_t count = 0;
    for (size_t i = 0; i < principal->held_count; i++)
        count += principal->held[i].deny.count;
    if (count == 0)
        return true;
    const char **all = malloc(count * sizeof *all);
    struct viewer_patterns joined = {.given = true, .patterns = all};
    if (!all)
        return false;
    for (size_t i = 0; i < principal->held_count; i++)
        for (size_t j = 0; j < principal->held[i].deny.count; j++)
            all[joined.count++] = principal->held[i].deny.patterns[j];
    bool copied = patterns_copy(&joined, &principal->deny);
    free(all);
    return copied;
}

/* A viewer for each capability: the scopes of the roles that have it. */
static bool make_viewers(struct principal *principal)
{
    size_t count = principal->held_count;
    if (!join_denied(principal))
        return false;
    principal->scopes = calloc(CAPABILITIES * count + 1, sizeof *principal->scopes);
    if (!principal->scopes)
        return false;
    for (int can = 0; can < CAPABILITIES; can++) {
        struct viewer_scope *scopes = principal->scopes + (size_t)can * count;
        struct viewer *viewer = &principal->viewers[can];
        *viewer = (struct viewer){
            .principal = principal->name, .scopes = scopes, .deny = principal->deny};
        for (size_t i = 0; i < count; i++)
            if (role_can(principal->held[i].role, (enum capability)can))
                scopes[viewer->scope_count++] =
                    (struct viewer_scope){principal->held[i].vehicles, principal->held[i].allow};
    }
    return true;
}

/* `own`: its first scope, NULL for none. */
static struct principal *make(const struct access_set *set, const char *name, enum role role,
                              const struct rights *own, int64_t now_ns)
{
    struct principal *principal = calloc(1, sizeof *principal);
    if (!principal)
        return NULL;
    atomic_init(&principal->users, 1);
    principal->next_ns = RIGHTS_FOREVER;
    principal->name = strdup(name);
    principal->held = calloc(access_set_grants_to(set, name) + 1, sizeof *principal->held);
    bool made = principal->name && principal->held && (!own || hold(principal, own, role));
    for (size_t i = place_of(set, ACCESS_GRANT, ""); made && i < set->count; i++) {
        const struct access_entry *grant = set->entries[i];
        if (strcmp(grant->name, name) != 0 || grant->rights.expires_ns <= now_ns)
            continue;
        if (grant->rights.expires_ns < principal->next_ns)
            principal->next_ns = grant->rights.expires_ns;
        made = hold(principal, &grant->rights, role);
    }
    if (made && make_viewers(principal))
        return principal;
    free_principal(principal);
    return NULL;
}

struct principal *access_set_token(const struct access_set *set, const char *id, int64_t now_ns,
                                   bool *known)
{
    const struct access_entry *token = access_set_find(set, ACCESS_TOKEN, id);
    *known = token && token->rights.expires_ns > now_ns;
    if (!*known)
        return NULL;
    struct principal *principal = make(set, id, token->rights.role, &token->rights, now_ns);
    if (!principal)
        return NULL;
    principal->expires_ns = token->rights.expires_ns;
    if (principal->expires_ns < principal->next_ns)
        principal->next_ns = principal->expires_ns;
    return principal;
}

struct principal *access_set_jwt(const struct access_set *set, const struct jwt_claims *claims,
                                 int64_t now_ns)
{
    struct rights alone = {.role = claims->role, .expires_ns = claims->expires_ns};
    bool bounded = access_set_grants_to(set, claims->principal) > 0;
    bool has_role = claims->role != ROLE_NONE && !bounded;
    struct principal *principal =
        make(set, claims->principal, claims->role, has_role ? &alone : NULL, now_ns);
    if (!principal)
        return NULL;
    principal->is_jwt = true;
    principal->jwt_role = claims->role;
    principal->jwt_trust = claims->trust;
    principal->expires_ns = claims->expires_ns;
    if (principal->expires_ns < principal->next_ns)
        principal->next_ns = principal->expires_ns;
    return principal;
}
