/*
 * record_formats: records as JSON, NDJSON or CSV (contract §5). In CSV the columns are the members
 * of a record, in the order of the contract; `data` is JSON.
 *
 * Pure functions over borrowed data, any thread.
 */
#ifndef HUB_RECORD_FORMATS_H
#define HUB_RECORD_FORMATS_H

#include "hub/formats.h"
#include "hub/record.h"

/* Those that records come in. */
enum { RECORD_FORMATS = 1 << FORMAT_JSON | 1 << FORMAT_NDJSON | 1 << FORMAT_CSV };

void record_format_begin(struct buf *out, enum format format);
/* `first`: no record was written before this one. */
void record_format_item(struct buf *out, enum format format, const struct record *record,
                        bool first);
/* `token`: of the next page, "" where there is none. */
void record_format_end(struct buf *out, enum format format, const char *token);

#endif
