#include "twin/command_params.h"

#include "twin/filter_lex.h"
#include "twin/path_impl.h"

#include <stdio.h>
#include <string.h>

enum { TYPE_MAX_TOKENS = 4, QUOTED_MAX_BYTES = 48 };

/* clang-format off */
const struct command_type command_types[] = {
    {"arm", false, COMMAND_RISES, {{0}}},
    {"disarm", false, COMMAND_STOPS, {{"force", MEMBER_BOOL, true}}},
    {"takeoff", false, COMMAND_HAS_ALT | COMMAND_RISES, {{"alt", MEMBER_ALT, false}}},
    {"land", true, 0, {{0}}},
    {"rtl", true, 0, {{0}}},
    {"hold", true, 0, {{0}}},
    {"goto", false, COMMAND_HAS_ALT | COMMAND_HAS_PLACE,
     {{"lat", MEMBER_LAT, false}, {"lon", MEMBER_LON, false}, {"alt", MEMBER_ALT, false}}},
    {"set_mode", false, 0, {{"mode", MEMBER_TEXT, false}}},
    {"mission.start", false, 0, {{0}}},
    {"mission.upload", false, 0,
     {{"mission_id", MEMBER_TEXT, false}, {"items", MEMBER_LIST, false}}},
    {"param.set", false, 0, {{"name", MEMBER_TEXT, false}, {"value", MEMBER_SCALAR, false}}},
};
/* clang-format on */
const size_t command_type_count = sizeof command_types / sizeof *command_types;

/* What steers a vehicle, as the beginning of a type. */
static const char *const steering[] = {"manual", "rc", "velocity", "attitude", "motor", "actuator"};

static const char *const member_words[] = {
    [MEMBER_ALT] = "metres above home, 0 or more",
    [MEMBER_LAT] = "degrees from -90 to 90",
    [MEMBER_LON] = "degrees from -180 to 180",
    [MEMBER_BOOL] = "true or false",
    [MEMBER_TEXT] = "a text of 1 to 256 bytes",
    [MEMBER_LIST] = "an array",
    [MEMBER_SCALAR] = "a number, a string, true or false",
};

/* ---- types ---- */

const struct command_type *command_type_find(struct slice type)
{
    for (size_t i = 0; i < command_type_count; i++)
        if (slice_is(type, command_types[i].name))
            return &command_types[i];
    return NULL;
}

bool command_type_is_recovery(struct slice type)
{
    const struct command_type *known = command_type_find(type);
    return known && known->recovery;
}

bool command_type_is_well_formed(struct slice type)
{
    for (int tokens = 1; type.size > 0 && tokens <= TYPE_MAX_TOKENS; tokens++) {
        const char *dot = memchr(type.at, '.', type.size);
        size_t size = dot ? (size_t)(dot - type.at) : type.size;
        if (!token_valid(type.at, size))
            return false;
        if (!dot)
            return true;
        type.at += size + 1;
        type.size -= size + 1;
    }
    return false;
}

static bool begins_with(struct slice text, const char *beginning)
{
    for (size_t i = 0; beginning[i]; i++) {
        char c = i < text.size ? text.at[i] : '\0';
        if (c >= 'A' && c <= 'Z')
            c = (char)(c - 'A' + 'a');
        if (c != beginning[i])
            return false;
    }
    return true;
}

const char *command_type_steers(struct slice type)
{
    for (size_t i = 0; i < sizeof steering / sizeof *steering; i++)
        if (begins_with(type, steering[i]))
            return steering[i];
    return NULL;
}

static bool is_extra(struct slice type, const char *const *extra)
{
    for (; extra && *extra; extra++)
        if (slice_is(type, *extra))
            return true;
    return false;
}

static void hint_of_type(struct slice type, struct text_error *error)
{
    const char *names[sizeof command_types / sizeof *command_types + 1] = {NULL};
    size_t room = sizeof error->hint, used = 0;
    for (size_t i = 0; i < command_type_count; i++)
        names[i] = command_types[i].name;
    const char *near = hint_nearest(type, names);
    if (near) {
        snprintf(error->hint, room, "did you mean %s?", near);
        return;
    }
    for (size_t i = 0; i < command_type_count && used < room; i++)
        used += (size_t)snprintf(error->hint + used, room - used, "%s%s", i ? ", " : "there are ",
                                 names[i]);
    if (used < room)
        snprintf(error->hint + used, room - used, "; others if commands.extra_types names them");
}

bool command_type_check(struct slice type, const char *const *extra, struct text_error *error)
{
    const char *family = command_type_steers(type);
    struct text_error found = {0};
    if (!command_type_is_well_formed(type)) {
        snprintf(found.detail, sizeof found.detail,
                 "a command's type is one to four tokens of letters, digits, `_` and `-`");
    } else if (family) {
        snprintf(found.detail, sizeof found.detail,
                 "`%.*s` is refused: no `%s*` command may pass, the network is never in a control "
                 "loop",
                 (int)(type.size < QUOTED_MAX_BYTES ? type.size : QUOTED_MAX_BYTES), type.at,
                 family);
        snprintf(found.hint, sizeof found.hint, "tell the vehicle where to go: goto, hold, rtl");
    } else if (command_type_find(type) || is_extra(type, extra)) {
        return true;
    } else {
        snprintf(found.detail, sizeof found.detail, "`%.*s` is no type of command here",
                 (int)(type.size < QUOTED_MAX_BYTES ? type.size : QUOTED_MAX_BYTES), type.at);
        hint_of_type(type, &found);
    }
    *error = found;
    return false;
}

/* ---- params ---- */

/* The value as JSON, cut short between two characters. */
static void quote(struct doc_ref value, char quoted[QUOTED_MAX_BYTES + 4])
{
    struct buf text = BUF_INIT;
    doc_write(&text, value);
    const char *all = buf_cstr(&text);
    size_t size = strlen(all);
    bool cut = size > QUOTED_MAX_BYTES;
    if (cut)
        for (size = QUOTED_MAX_BYTES; size > 0 && ((unsigned char)all[size] & 0xc0) == 0x80;)
            size--;
    memcpy(quoted, all, size);
    snprintf(quoted + size, 4, "%s", cut ? "…" : "");
    buf_done(&text);
}

static bool number_within(struct doc_ref value, double min, double max)
{
    double number = doc_is_number(value) ? doc_number(value) : min - 1;
    return number >= min && number <= max;
}

static bool member_fits(enum command_member_kind kind, struct doc_ref value)
{
    static const double any_altitude = 1e300;
    size_t size;
    switch (kind) {
    case MEMBER_ALT:
        return number_within(value, 0, any_altitude);
    case MEMBER_LAT:
        return number_within(value, -GEO_MAX_LAT, GEO_MAX_LAT);
    case MEMBER_LON:
        return number_within(value, -GEO_MAX_LON, GEO_MAX_LON);
    case MEMBER_BOOL:
        return doc_is(value, DOC_TRUE) || doc_is(value, DOC_FALSE);
    case MEMBER_TEXT:
        if (!doc_is(value, DOC_STRING))
            return false;
        doc_string(value, &size);
        return size > 0 && size <= COMMAND_TEXT_MAX_BYTES;
    case MEMBER_LIST:
        return doc_is(value, DOC_ARRAY);
    case MEMBER_SCALAR:
        return doc_is_number(value) || doc_is(value, DOC_STRING) || doc_is(value, DOC_TRUE) ||
               doc_is(value, DOC_FALSE);
    }
    return false;
}

static bool shallower_than(struct doc_ref value, unsigned depth)
{
    if (!doc_is(value, DOC_ARRAY) && !doc_is(value, DOC_OBJECT))
        return true;
    if (depth == 0)
        return false;
    for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m))
        if (!shallower_than(m, depth - 1))
            return false;
    return true;
}

/* The names of all members of the type's schema, comma separated. */
static void list_members(const struct command_type *type, char *out, size_t room)
{
    size_t used = 0;
    for (const struct command_member *member = type->members; member->name && used < room; member++)
        used += (size_t)snprintf(out + used, room - used, "%s%s",
                                 member == type->members ? "" : ", ", member->name);
}

static bool refuse_member(const struct command_type *type, struct doc_ref member,
                          struct text_error *error)
{
    const char *names[COMMAND_MEMBERS_MAX + 1] = {NULL};
    char listed[64] = "", quoted[QUOTED_MAX_BYTES + 4];
    struct text_error found = {0};
    struct slice name;
    struct buf text = BUF_INIT;
    name.at = doc_name(member, &name.size);
    path_write_name(&text, name.at, name.size < QUOTED_MAX_BYTES ? name.size : 0);
    /* Quoted, a name may be several times as long; cut, it might end within a character. */
    bool fits = name.size < QUOTED_MAX_BYTES && !text.failed && text.size_bytes < sizeof quoted;
    snprintf(quoted, sizeof quoted, "%s", fits ? buf_cstr(&text) : "of that name");
    buf_done(&text);
    list_members(type, listed, sizeof listed);
    snprintf(found.detail, sizeof found.detail, "`%s` has no parameter %s: it takes %s", type->name,
             quoted, *listed ? listed : "none");
    for (size_t i = 0; type->members[i].name; i++)
        names[i] = type->members[i].name;
    const char *near = hint_nearest(name, names);
    if (near)
        snprintf(found.hint, sizeof found.hint, "did you mean %s?", near);
    *error = found;
    return false;
}

static bool check_known(const struct command_type *type, struct doc_ref params,
                        struct text_error *error)
{
    for (struct doc_ref m = doc_first(params); doc_exists(m); m = doc_next(params, m)) {
        struct slice name;
        const struct command_member *member = type->members;
        name.at = doc_name(m, &name.size);
        while (member->name && !slice_is(name, member->name))
            member++;
        if (!member->name)
            return refuse_member(type, m, error);
    }
    return true;
}

static bool check_member(const struct command_type *type, const struct command_member *member,
                         struct doc_ref value, struct text_error *error)
{
    char quoted[QUOTED_MAX_BYTES + 4];
    struct text_error found = {0};
    if (!doc_exists(value)) {
        if (member->optional)
            return true;
        snprintf(found.detail, sizeof found.detail, "`%s` needs params.%s: %s", type->name,
                 member->name, member_words[member->kind]);
    } else if (member_fits(member->kind, value)) {
        return true;
    } else {
        quote(value, quoted);
        snprintf(found.detail, sizeof found.detail, "params.%s must be %s, not %s", member->name,
                 member_words[member->kind], quoted);
    }
    *error = found;
    return false;
}

bool command_params_check(struct slice type, struct doc_ref params, const char *const *extra,
                          struct text_error *error)
{
    if (!command_type_check(type, extra, error))
        return false;
    const struct command_type *known = command_type_find(type);
    if (doc_exists(params) && !doc_is(params, DOC_OBJECT)) {
        *error = (struct text_error){.detail = "params must be an object"};
        return false;
    }
    if (doc_exists(params) && !shallower_than(params, COMMAND_PARAMS_MAX_DEPTH)) {
        *error = (struct text_error){.detail = "params are nested too deep for a message"};
        return false;
    }
    if (!known)
        return true;
    if (!check_known(known, params, error))
        return false;
    for (const struct command_member *member = known->members; member->name; member++)
        if (!check_member(known, member, doc_getz(params, member->name), error))
            return false;
    return true;
}
