#include "hub/http_shares.h"
#include "twin/hash.h"

#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

enum { CHAINS = 1024 };

struct share {
    struct share *next;
    size_t has[SHARE_KINDS];
    char principal[];
};

struct http_shares {
    pthread_mutex_t lock;
    struct share *chains[CHAINS];
};

struct http_shares *http_shares_new(void)
{
    struct http_shares *shares = calloc(1, sizeof *shares);
    if (shares)
        pthread_mutex_init(&shares->lock, NULL);
    return shares;
}

void http_shares_free(struct http_shares *shares)
{
    if (!shares)
        return;
    for (size_t i = 0; i < CHAINS; i++)
        for (struct share *at = shares->chains[i], *next; at; at = next) {
            next = at->next;
            free(at);
        }
    pthread_mutex_destroy(&shares->lock);
    free(shares);
}

/* Where the principal stands, or would stand. */
static struct share **find(struct http_shares *shares, const char *principal)
{
    struct share **at = &shares->chains[hash_of_text(principal) % CHAINS];
    while (*at && strcmp((*at)->principal, principal) != 0)
        at = &(*at)->next;
    return at;
}

static struct share *add(struct share **at, const char *principal)
{
    size_t size = strlen(principal) + 1;
    struct share *share = calloc(1, sizeof *share + size);
    if (!share)
        return NULL;
    memcpy(share->principal, principal, size);
    *at = share;
    return share;
}

static void drop_empty(struct share **at)
{
    struct share *share = *at;
    for (int i = 0; i < SHARE_KINDS; i++)
        if (share->has[i] > 0)
            return;
    *at = share->next;
    free(share);
}

bool http_shares_take(struct http_shares *shares, const char *principal, enum http_share kind,
                      size_t amount, size_t max)
{
    pthread_mutex_lock(&shares->lock);
    struct share **at = find(shares, principal);
    size_t has = *at ? (*at)->has[kind] : 0;
    bool fits = has <= max && amount <= max - has;
    struct share *share = !fits ? NULL : *at ? *at : add(at, principal);
    if (share)
        share->has[kind] += amount;
    pthread_mutex_unlock(&shares->lock);
    return share != NULL;
}

void http_shares_give(struct http_shares *shares, const char *principal, enum http_share kind,
                      size_t amount)
{
    pthread_mutex_lock(&shares->lock);
    struct share **at = find(shares, principal);
    if (*at) {
        (*at)->has[kind] -= amount < (*at)->has[kind] ? amount : (*at)->has[kind];
        drop_empty(at);
    }
    pthread_mutex_unlock(&shares->lock);
}

size_t http_shares_of(struct http_shares *shares, const char *principal, enum http_share kind)
{
    pthread_mutex_lock(&shares->lock);
    const struct share *at = *find(shares, principal);
    size_t has = at ? at->has[kind] : 0;
    pthread_mutex_unlock(&shares->lock);
    return has;
}
