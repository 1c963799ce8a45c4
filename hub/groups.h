/*
 * groups: named groups of vehicles, by list or by filter, the same on every hub (contract §5).
 *
 * They live in TWIN_ACCESS under `group.<name>` and are followed by every hub into one immutable
 * set, which is replaced as a whole when a group changes; who evaluates a filter sees one set or
 * the next, without a lock. A stored filter may name other groups. Cycles, and trees of groups that
 * are too large, are refused when they are written; should two hubs let one in together, evaluation
 * is bounded all the same (GROUP_DEPTH_MAX, GROUP_WORK_MAX), and what lies beyond holds nobody.
 *
 * Every change is on record (kind `access`), under an id that derives from its message, by every
 * hub that reads it; the mark of TWIN_LAST says up to where that was done.
 *
 * Threads: one of its own; every function from any thread. groups_write waits for NATS,
 * GROUPS_WRITE_MS at most.
 */
#ifndef HUB_GROUPS_H
#define HUB_GROUPS_H

#include "hub/bus.h"
#include "hub/config.h"
#include "hub/recorder.h"
#include "hub/store.h"
#include "twin/filter.h"

enum {
    GROUPS_MAX = 4096,
    GROUP_MAX_BYTES = 400 * 1024, /* of its definition: two of them fit into one record */
    GROUP_DEPTH_MAX = 16,         /* groups within groups */
    GROUP_WORK_MAX = 1024,        /* groups looked at to tell whether one vehicle is in one */
    GROUPS_WRITE_MS = 10000,
};

struct groups;
struct groups *groups_new(const struct config *config, struct bus *bus, struct store *store);
/* Follows the bucket; what came behind `vouched`, the mark's position, goes on record. False when
 * there is no memory. */
bool groups_start(struct groups *groups, struct recorder *recorder, struct position vouched);
/* True once all that was there at the start is read. */
bool groups_recovered(struct groups *groups);
void groups_stop(struct groups *groups);
/* Nobody asks any more. NULL is nothing. */
void groups_free(struct groups *groups);

/* For filter_compile; lives as long as the groups. */
const struct filter_groups *groups_for_filters(struct groups *groups);
/* A number that grows before and after every change of any group; in between, whether the change is
 * there already is not known. */
uint64_t groups_version(const struct groups *groups);
bool groups_changing(uint64_t version);

/* ---- one group ---- */

/* A name: one token, as a vehicle's id. */
bool group_name_valid(const char *name);

/* Immutable. */
struct group {
    uint64_t revision;
    int64_t updated_ns;
    char name[TOKEN_MAX_BYTES + 1];
    char *updated_by;
    char *definition;      /* {"vids": […]} or {"filter": "…"}, as JSON, normalised */
    struct filter *filter; /* NULL where it is a list */
    const char **vids;     /* sorted, none twice */
    size_t vid_count;
};
/* Reads a definition; NULL with *error set where it is none. `groups`: what a filter may name.
 * The definition's text is not read from `value` again. */
struct group *group_new(const char *name, struct doc_ref value, const struct filter_groups *groups,
                        struct text_error *error);
void group_free(struct group *group);

/* Borrowed between groups_enter and groups_leave. */
size_t groups_enter(struct groups *groups);
void groups_leave(struct groups *groups, size_t place);
const struct group *groups_find(struct groups *groups, const char *name);
/* The first whose name is greater than `after`, in the order of names; NULL behind the last. */
const struct group *groups_next(struct groups *groups, const char *after);

/* ---- changing one ---- */

struct groups_change {
    const char *name;
    const struct group *group;   /* its new definition; NULL: it is deleted */
    const struct viewer *viewer; /* who changes it; what is hidden from him he does not change */
    const char *if_match;
    const char *actor, *request_id, *remote;
};
enum groups_status {
    GROUPS_WRITTEN,
    GROUPS_CREATED,
    GROUPS_UNCHANGED,
    GROUPS_UNKNOWN, /* nothing to delete */
    GROUPS_HIDDEN,  /* the list as it is, or as it is to be, names vehicles that the viewer does not
                       see */
    GROUPS_PRECONDITION,
    GROUPS_CYCLE,    /* it would hold itself, or far too many others */
    GROUPS_TOO_MANY, /* GROUPS_MAX */
    GROUPS_UNAVAILABLE,
    GROUPS_BUSY,
    GROUPS_FAILED,
};
/* Changes it, and waits until this hub's filters know. */
enum groups_status groups_write(struct groups *groups, const struct groups_change *change,
                                struct bus_error *error);

#endif
