/*
 * access_set: all tokens and grants there are, and what a caller may do by them (contract §6).
 *
 * A token is a scope of its own; grants whose subject is its id add scopes. A JWT without any grant
 * has its role and no bounds; with grants, also when all of them have expired, it has what they
 * say and no more. What any of them denies is denied in all.
 *
 * Ownership: the set owns its entries. A principal is counted; it owns all that it points to, and
 *            so outlives the entries that it was made of.
 * Threads: a set belongs to whoever guards it (access.c); a principal is immutable but for its
 *          count and may be used by any thread.
 */
#ifndef HUB_ACCESS_SET_H
#define HUB_ACCESS_SET_H

#include "hub/access_rights.h"
#include "hub/jwt.h"
#include "hub/record_hash.h"

enum {
    ACCESS_ENTRIES_MAX = 16384, /* tokens and grants together: more are not made */
    ACCESS_ID_BYTES = 33,       /* of a token or a grant, NUL included */
    ACCESS_NAME_MAX_BYTES = 200,
    ACCESS_SUBJECT_MAX_BYTES = JWT_PRINCIPAL_BYTES - 1,
    ACCESS_REASON_MAX_BYTES = 1000,
};

enum access_kind { ACCESS_TOKEN, ACCESS_GRANT };

struct access_entry {
    enum access_kind kind;
    char id[ACCESS_ID_BYTES];
    uint8_t secret_hash[RECORD_HASH_BYTES]; /* of a token's secret: SHA-256; it is random */
    char *name;                             /* a token's name, a grant's subject */
    char *reason;                           /* a grant's; NULL for none */
    char *created_by;
    int64_t created_ns;
    struct rights rights;
    uint64_t revision;
};
/* Out of what is stored under its key. NULL, and why in `error`: RIGHTS_NO_MEMORY, or what is
 * wrong. */
struct access_entry *access_entry_read(enum access_kind kind, const char *id, struct doc_ref value,
                                       char error[256]);
void access_entry_free(struct access_entry *entry);
/* What is stored. */
void access_entry_write(struct buf *out, const struct access_entry *entry);
/* What the API shows: no hash. An object, `{"id":…}`. `token`: the whole token, shown once; NULL.
 */
void access_entry_show(struct buf *out, const struct access_entry *entry, const char *token);

struct access_set {
    struct access_entry **entries; /* by kind, then id */
    size_t count, room;
};
const struct access_entry *access_set_find(const struct access_set *set, enum access_kind kind,
                                           const char *id);
/* Takes the entry over, in the place of one of its kind and id. False: no memory. There is no other
 * bound: an entry that were left out would keep all that come behind it, revocations too, from
 * being in force. */
bool access_set_put(struct access_set *set, struct access_entry *entry);
void access_set_remove(struct access_set *set, enum access_kind kind, const char *id);
void access_set_done(struct access_set *set);
/* Grants to that subject. */
size_t access_set_grants_to(const struct access_set *set, const char *subject);

/* ---- principals ---- */

struct principal {
    char *name; /* a token's id, or <iss>#<sub>: what `actor` shows */
    bool is_jwt;
    enum role jwt_role;
    uint64_t jwt_trust; /* of the issuer, by which it was let in */
    int64_t expires_ns; /* of the token itself; RIGHTS_FOREVER */
    int64_t next_ns;    /* when any of its scopes ends: it is to be made anew then */
    struct viewer viewers[CAPABILITIES];
    struct rights *held; /* what the viewers point into */
    size_t held_count;
    struct viewer_scope *scopes;
    struct viewer_patterns deny;
    _Atomic unsigned users;
};
void principal_ref(struct principal *principal);
void principal_unref(struct principal *principal); /* NULL is nothing */
static inline bool principal_can(const struct principal *principal, enum capability capability)
{
    return principal->viewers[capability].scope_count > 0;
}
/* Whether `outer`, a viewer of CAN_ADMINISTER, covers all that the principal holds. */
bool principal_within(const struct principal *principal, const struct viewer *outer);
/* Whether both may do the same. */
bool principal_same(const struct principal *a, const struct principal *b);

/* By the set as it is at now_ns. NULL where there is no memory; *known false (and NULL) for a token
 * that is not there or has expired. */
struct principal *access_set_token(const struct access_set *set, const char *id, int64_t now_ns,
                                   bool *known);
struct principal *access_set_jwt(const struct access_set *set, const struct jwt_claims *claims,
                                 int64_t now_ns);

#endif
