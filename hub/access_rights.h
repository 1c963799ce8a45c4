/*
 * access_rights: what one token or one grant allows: a scope (role × vehicles × parts) and what it
 * denies (contract §6).
 *
 * An absent list restricts nothing, an empty one allows nothing. Vehicle patterns are a vehicle id
 * or the beginning of one and a `*`; part patterns are subject patterns (`*` one token, a final `>`
 * the rest).
 *
 * Ownership: a struct rights owns its patterns; rights_done.
 * Pure, any thread.
 */
#ifndef HUB_ACCESS_RIGHTS_H
#define HUB_ACCESS_RIGHTS_H

#include "hub/access_role.h"
#include "twin/buf.h"
#include "twin/doc.h"
#include "twin/viewer.h"

#include <stdint.h>

enum {
    RIGHTS_PATTERNS_MAX = 256, /* of one list */
    RIGHTS_PATTERN_MAX_BYTES = 256,
};

#define RIGHTS_FOREVER INT64_MAX

struct rights {
    enum role role; /* ROLE_NONE: that of whom it is granted to */
    struct viewer_patterns vehicles, allow, deny;
    int64_t expires_ns; /* since 1970; RIGHTS_FOREVER */
};

/* What is said where something could be read and there was no memory to keep it: it is not wrong,
 * and comes again. */
#define RIGHTS_NO_MEMORY "there is no memory"

/* Reads the members `role`, `vehicles`, `allow`, `deny` and `expires` of an object; others are not
 * looked at. False, and what is wrong in `error`, or RIGHTS_NO_MEMORY. */
bool rights_read(struct doc_ref object, struct rights *rights, char error[256]);
void rights_done(struct rights *rights);
/* Appends `,"role":…` and so on, those that are there. */
void rights_write(struct buf *out, const struct rights *rights);

/* Appends a copy of the patterns to out; one block, free() of out->patterns. False: no memory. */
bool patterns_copy(const struct viewer_patterns *from, struct viewer_patterns *out);

bool vehicle_pattern_valid(const char *pattern);
bool part_pattern_valid(const char *pattern);

/* Whether all that `inner` matches, `outer` matches too. */
bool vehicle_pattern_within(const char *inner, const char *outer);
bool part_pattern_within(const char *inner, const char *outer);

/* Whether who holds `outer` may give `inner` away: one scope of his that administers covers all of
 * it, and it denies whatever he is denied. `outer`: the viewer of CAN_ADMINISTER. */
bool rights_within(const struct rights *inner, const struct viewer *outer);
/* Whether `inner` denies nothing but what `outer` is denied. */
bool rights_deny_no_more(const struct rights *inner, const struct viewer *outer);

#endif
