/*
 * query_page: the first vehicles of a query in its order, and where the next page goes on; and all
 * of them, for exports.
 *
 * A page is found in one pass over the fleet: a heap keeps the best so far, keys are compared as
 * typed values, nothing is allocated for a vehicle. Pages go on by the keys and the id of the last
 * vehicle shown, so that what comes and goes between two pages moves nobody else.
 *
 * Ownership: query_page_done. What an entry points to lives until store_leave.
 * Threads: one at a time.
 */
#ifndef HUB_QUERY_PAGE_H
#define HUB_QUERY_PAGE_H

#include "hub/cursor.h"
#include "hub/query.h"

struct query_entry {
    const struct twin *twin;
    uint32_t index; /* in the store */
    uint32_t slot;  /* of its sort keys */
};

struct query_page {
    const struct query *query;
    size_t size;  /* asked for */
    size_t count; /* found: at most one more than `size`, which means that there is a next page */
    struct query_entry *entries;
    struct order_values *keys; /* NULL without an order */
    uint64_t total;            /* that match, on all pages */

    bool goes_on; /* behind these: */
    struct order_values after;
    char after_vid[TOKEN_MAX_BYTES + 1];
    char token[CURSOR_KEY_MAX_BYTES + 1]; /* what `after` points into */
};

/* QUERY_OK or QUERY_NO_MEMORY. */
enum query_status query_page_init(struct query_page *page, const struct query *query, size_t size);
void query_page_done(struct query_page *page);
/* The page behind the one that the token came with; false where it is none of this scope. Inside
 * the same store_enter as the run. */
bool query_page_resume(struct query_page *page, const struct store *store, const char *token,
                       const char *scope);
/* Finds the page; entries are in order. */
enum query_status query_page_run(struct query_page *page, const struct store *store,
                                 struct query_denial *denial);
/* Appends the token of the next page; there has to be one. */
void query_page_token(const struct query_page *page, const char *scope, struct buf *out);
/* Appends what a token is bound to: the kind of list, who asks and what it may see, filter and
 * order. */
void query_scope(const struct query *query, const char *kind, struct buf *out);

/* All that the query selects, in order: their indices in the store, free() them. Takes four bytes
 * a vehicle, and 64 more for each key while it sorts. */
enum query_status query_all(const struct query *query, const struct store *store,
                            uint32_t **indices, size_t *count, struct query_denial *denial);

#endif
