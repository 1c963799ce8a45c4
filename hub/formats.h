/*
 * formats: a list of twins as JSON, NDJSON, CSV (RFC 4180) or GeoJSON (RFC 7946), as contract §5
 * says.
 *
 * A list is begun, gets its vehicles one by one, and is ended. In NDJSON and CSV an item is one
 * record, which ends with its line; what a page has to say beside its vehicles stands in headers.
 *
 * Pure functions over immutable values, any thread.
 */
#ifndef HUB_FORMATS_H
#define HUB_FORMATS_H

#include "hub/accept.h"
#include "hub/fields.h"

/* X(id, media type, name for ?format=), in the order of preference where a client takes all. */
#define FORMAT_TABLE(X)                                                                            \
    X(JSON, "application/json", "json")                                                            \
    X(NDJSON, "application/x-ndjson", "ndjson")                                                    \
    X(CSV, "text/csv", "csv")                                                                      \
    X(GEOJSON, "application/geo+json", "geojson")

enum format {
#define X(id, media_type, name) FORMAT_##id,
    FORMAT_TABLE(X)
#undef X
        FORMAT_COUNT
};
extern const struct accept_offer format_offers[FORMAT_COUNT];
/* For Content-Type: a literal, with its charset where the type has one. */
const char *format_content_type(enum format format);

struct format_list {
    enum format format;
    const struct fields *fields; /* NULL: the whole twin; CSV needs them */
    struct twin_view view;
};

void format_begin(struct buf *out, const struct format_list *list);
/* `first`: no item was written before this one. */
void format_item(struct buf *out, const struct format_list *list, const struct twin *twin,
                 bool first);
/* `token`: of the next page, "" on the last one. */
void format_end(struct buf *out, const struct format_list *list, const char *token,
                uint64_t total_size);

#endif
