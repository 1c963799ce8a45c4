/*
 * accept: what a client would rather have: media types and content codings (RFC 9110, 12.4 and
 * 12.5). A part of a header that is malformed counts as not said.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_ACCEPT_H
#define HUB_ACCEPT_H

#include <stdbool.h>
#include <stddef.h>

/* One representation on offer. */
struct accept_offer {
    const char *media_type; /* "text/csv", without parameters */
    const char *format;     /* as in ?format=, "csv" */
};

enum { ACCEPT_NOTHING = -1, ACCEPT_BAD_FORMAT = -2 };

/* The index of the offer to send. `format`, the query parameter, wins over the header where it is
 * given (NULL: it is not); ACCEPT_BAD_FORMAT where nothing on offer has that name. Otherwise the
 * highest quality, the earlier offer among equals; ACCEPT_NOTHING where the header excludes all.
 * An empty header accepts everything. */
int accept_choose(const char *header, const char *format, const struct accept_offer *offers,
                  size_t offer_count);

/* Whether to send gzip, by the header Accept-Encoding (NULL: absent). */
bool accept_gzip(const char *header);

#endif
