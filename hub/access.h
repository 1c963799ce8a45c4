/*
 * access: who calls, and what they may do: tokens made here and JWTs of configured issuers, with
 * their grants (contract §6).
 *
 * Tokens and grants live in TWIN_ACCESS under `auth.token.<id>` and `auth.grant.<id>` and are
 * followed by every hub, so that a change counts everywhere as soon as it is delivered. A token is
 * `fh_<id>_<secret>`; of the secret, 256 random bits, only the SHA-256 is stored.
 *
 * Whoever holds something open (a live query) watches his principal, and is told when it no longer
 * may do the same as when it began: revoked, expired, or changed by a grant.
 *
 * Every change is on record (kind `access`) under an id that derives from its message, by every hub
 * that reads it.
 *
 * Threads: one of its own; every function from any thread. access_write waits for NATS,
 * ACCESS_WRITE_MS at most; nothing else waits.
 */
#ifndef HUB_ACCESS_H
#define HUB_ACCESS_H

#include "hub/access_set.h"
#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/store.h"

enum {
    ACCESS_WRITE_MS = 5000,
    ACCESS_TOKEN_BYTES = 96, /* of a whole token, NUL included */
    ACCESS_LOOK_MS = 200,    /* between two looks whether something has expired */
    ACCESS_RECORD_DAYS = 1,  /* a change older than that and than the mark is on record */
};

struct access;
/* Reads the issuers' keys. NULL, and text in `error`, where one cannot be used. */
struct access *access_new(const struct config *config, struct bus *bus, char error[512]);
/* Takes the issuers of the configuration in force. False, and text in `error`: the old ones stay.
 */
bool access_reload(struct access *access, char error[512]);
/* Follows the bucket. What came behind `vouched`, the mark's position, or within the last day goes
 * on record. False when there is no memory. */
bool access_start(struct access *access, struct recorder *recorder, struct position vouched);
/* True once all that was there at the start is read; false again while a bucket that was made anew
 * is. */
bool access_recovered(struct access *access);
void access_stop(struct access *access);
void access_free(struct access *access); /* NULL is nothing */

/* ---- who calls ---- */

enum access_verdict {
    ACCESS_OK,
    ACCESS_BAD,      /* `why` says what is wrong with the credential */
    ACCESS_STARTING, /* the tokens are not read yet */
    ACCESS_NO_MEMORY,
};
/* Who holds this bearer token. *principal is counted for the caller on ACCESS_OK. */
enum access_verdict access_resolve(struct access *access, const char *bearer,
                                   struct principal **principal, const char **why);
/* The principal of a token's id or of <iss>#<sub>, as far as it is known here: of a JWT, what its
 * grants say. NULL where there is none. */
struct principal *access_look_up(struct access *access, const char *name);

/* Calls cut(closure) once, on the lane's thread, when the principal may no longer do the same. */
struct access_watch;
struct access_watch *access_watch(struct access *access, struct principal *principal,
                                  void (*cut)(void *closure), void *closure);
/* After it `cut` is not called, and does not run. NULL is nothing. */
void access_unwatch(struct access *access, struct access_watch *watch);

/* Takes one request of the principal's minute; 0, or in how many seconds there is one again. */
int access_take_request(struct access *access, const struct principal *principal);

/* ---- tokens and grants ---- */

/* A new id and, for a token, its secret: fills in entry->id, entry->secret_hash and the whole
 * token. With `key` (NULL: none) the id derives from it and the actor: the same request makes the
 * same id, which access_write then finds taken. False: no random numbers. */
bool access_mint(struct access_entry *entry, const char *actor, const char *key,
                 char token[ACCESS_TOKEN_BYTES]);
/* What is stored under the entry's kind and id, which the caller frees; NULL where it was taken
 * away, or is unreadable. */
enum bus_status access_stored(struct bus *bus, const struct access_entry *entry,
                              struct access_entry **stored, struct bus_error *error);
/* Who asks for a change, where, by which request; all but the first NULL on the command line. */
struct access_by {
    const char *actor, *request_id, *remote;
};
/* Stores the entry (BUS_CONFLICT: its id is taken), or, with `removed`, takes it away, and waits
 * until this hub knows. `access` may
 * be NULL: then it is stored by `bus` alone (the command line). */
enum bus_status access_write(struct access *access, struct bus *bus,
                             const struct access_entry *entry, bool removed,
                             const struct access_by *by, struct bus_error *error);

/* Shows an entry, with the lock held; false: it is passed over. */
typedef bool access_show_fn(void *closure, const struct access_entry *entry);
/* Calls fn for entries of that kind behind `after` ("" for the first), in the order of their ids,
 * until `count` are shown, or what they are `written` to has ACCESS_PAGE_BYTES: nobody is let in
 * meanwhile. Returns whether there may be more. */
enum { ACCESS_PAGE_BYTES = 1 << 20 };
bool access_list(struct access *access, enum access_kind kind, const char *after, size_t count,
                 const struct buf *written, access_show_fn *fn, void *closure);
/* Calls fn for that one; false where there is none. */
bool access_with(struct access *access, enum access_kind kind, const char *id, access_show_fn *fn,
                 void *closure);
size_t access_count(struct access *access);
/* How many tokens and grants are stored, by whoever follows no bucket (the command line). Waits for
 * NATS, timeout_ms at most. */
enum bus_status access_count_stored(struct bus *bus, int timeout_ms, size_t *count,
                                    struct bus_error *error);

#endif
