/*
 * fields: the parts of a twin that a client asks for, `fields=vid,state.battery.remaining,…`:
 * nested as in the twin, `vid` always there (contract §5). Whatever is not there, and what the
 * viewer may not see, is left out.
 *
 * Ownership: fields_free. Threads: once compiled, any number of threads.
 * Limits: FIELDS_MAX paths, of FIELDS_MAX_BYTES of text.
 */
#ifndef HUB_FIELDS_H
#define HUB_FIELDS_H

#include "twin/path.h"
#include "twin/twin.h"

enum { FIELDS_MAX = 100, FIELDS_MAX_BYTES = 8192 };

struct fields;

/* NULL with *error set; error->detail is "out of memory" where there is none. A path may stand
 * there twice. */
struct fields *fields_compile(const char *text, size_t size, struct text_error *error);
void fields_free(struct fields *fields);

/* The twin's JSON object, less what was not asked for. With view->metadata that is there too. */
void fields_write(struct buf *out, const struct fields *fields, const struct twin *twin,
                  const struct twin_view *view);

/* ---- one by one, for tables ---- */

size_t fields_count(const struct fields *fields);
/* As asked, without blanks around it. */
struct slice fields_label(const struct fields *fields, size_t i);
/* What stands at the i-th path; missing where the viewer may not see it. */
struct value fields_value(const struct fields *fields, size_t i, const struct twin *twin,
                          const struct twin_view *view);
/* The same as JSON, nothing where it is missing; objects less what the viewer may not see. */
void fields_write_value(struct buf *out, const struct fields *fields, size_t i,
                        const struct twin *twin, const struct twin_view *view);
/* A value as JSON; objects and arrays only where they stand in a document. */
void fields_write_scalar(struct buf *out, const struct value *value);

#endif
