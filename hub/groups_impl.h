/*
 * groups_impl: what group.c (one group), groups.c (the set, and following), groups_filter.c
 * (filters that name groups) and groups_write.c share.
 */
#ifndef HUB_GROUPS_IMPL_H
#define HUB_GROUPS_IMPL_H

#include "hub/epoch.h"
#include "hub/groups.h"
#include "hub/streams.h"

#include <pthread.h>
#include <stdatomic.h>

#define GROUP_HEADER_ACTOR "Fleet-Actor"
#define GROUP_HEADER_REQUEST "Fleet-Request-Id"
#define GROUP_HEADER_REMOTE "Fleet-Remote"

/* All groups, by name. Immutable. */
struct groups_set {
    size_t count;
    const struct group *groups[];
};

struct groups {
    const struct config *config;
    struct bus *bus;
    struct store *store;
    struct recorder *recorder;
    struct epoch *epoch; /* of sets and groups; retired by the thread alone */
    _Atomic(struct groups_set *) set;
    _Atomic uint64_t version;
    struct filter_groups outer; /* for filters that are asked */
    struct filter_groups inner; /* for those stored in groups */

    /* the thread's */
    struct bus_consumer *consumer;
    struct doc_parser *parser;
    struct position position, vouched;
    _Atomic bool stop, recovered;
    bool running;
    pthread_t thread;
};

/* `$KV.TWIN_ACCESS.group.<name>`. Returns `out`. */
const char *group_subject(const char *name, char out[STREAMS_SUBJECT_BYTES]);

const struct group *groups_set_find(const struct groups_set *set, const char *name);
/* Sets up `outer` and `inner`. */
void groups_filters_init(struct groups *groups);
/* Whether `group`, as it is to be, would hold itself or need too much work. Inside groups_enter. */
bool groups_cyclic(const struct groups_set *set, const struct group *group);

#endif
