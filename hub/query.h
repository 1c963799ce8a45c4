/*
 * query: a question to the whole fleet: who is asking, a filter, an order. Lists, statistics and
 * exports are made of it; what they do with a vehicle that matches is theirs.
 *
 * A query runs over the store without any lock. It loads the newest twin of every vehicle once;
 * vehicles that the viewer does not see are passed over before anything else is asked of them.
 *
 * Ownership: query_done; borrows the texts and the viewer.
 * Threads: once made, any number of threads.
 */
#ifndef HUB_QUERY_H
#define HUB_QUERY_H

#include "hub/groups_seal.h"
#include "hub/query_sight.h"
#include "hub/store.h"
#include "twin/filter.h"

struct query_options {
    const struct viewer *viewer;
    const char *region;
    int64_t now_ns;                     /* the broker's time, for age() */
    const struct filter_groups *groups; /* NULL: there are none */
    const char *filter, *order;         /* NULL: not given */
};

/* Which blocks of a twin the query reads, so that they can be fetched before they are needed. Sets
 * of blocks have a bit for each of the types, and behind them for each part of the shadow. */
enum { QUERY_FETCH_MAX = 8, QUERY_BLOCK_PARTS = QUERY_FETCH_MAX };
struct query_fetch {
    size_t type_count;
    struct slice types[QUERY_FETCH_MAX]; /* of states; borrowed from paths */
    uint16_t terms[FILTER_MAX_TERMS];    /* what each term of the filter reads */
    uint16_t rest;                       /* what is asked of those that match */
};

struct query {
    const struct viewer *viewer;
    const char *region;
    int64_t now_ns;
    bool sees_everything; /* the viewer does */
    const char *filter_text, *order_text;
    struct filter *filter;
    struct order *order;
    struct query_sight *sight;
    struct groups_seal seal; /* of the groups that the viewer's rights were judged by */
    struct query_fetch fetch;
};

enum query_status {
    QUERY_OK,
    QUERY_BAD_FILTER,
    QUERY_BAD_ORDER,
    QUERY_DENIED,
    QUERY_CHANGED, /* a group is another one than was judged: what was found must not be told */
    QUERY_NO_MEMORY
};

/* On failure nothing is left to be done; *error says what of the text is wrong. */
enum query_status query_init(struct query *query, const struct query_options *options,
                             struct text_error *error);
void query_done(struct query *query);
/* The query looks at one more path, which has to be allowed too. False: no memory. */
bool query_looks_at(struct query *query, const struct path *path);

bool query_matches(const struct query *query, const struct twin *twin);
/* Whether the twin is there, the viewer sees it, and it matches. */
bool query_selects(const struct query *query, const struct twin *twin);

/* Calls `visit` for the vehicles from index `from` up to `end` that the query selects. QUERY_DENIED
 * where it must not be answered: *path is what the viewer may not ask for, *vid of whom. Inside
 * store_enter. */
typedef void query_visit(void *closure, uint32_t index, const struct twin *twin);
struct query_denial {
    const char *path; /* the query's */
    char vid[TOKEN_MAX_BYTES + 1];
};
enum query_status query_scan(const struct query *query, const struct store *store, uint32_t from,
                             uint32_t end, query_visit *visit, void *closure,
                             struct query_denial *denial);

#endif
