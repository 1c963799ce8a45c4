/* What stands on either side of a comparison, and which sides never compare. */
#include "twin/filter_impl.h"

#include <stdlib.h>
#include <string.h>

void operand_done(struct operand *operand)
{
    path_free(operand->path);
    if (operand->literal.type == VALUE_STRING ||
        (operand->literal.type == VALUE_NUMBER && operand->literal.form == NUMBER_DIGITS))
        free((char *)operand->literal.string.at);
    *operand = (struct operand){0};
}

/* ---- distance ---- */

/* A coordinate of at most `max` degrees. */
static bool read_degrees(struct lex *lex, double max, const char *name, double *degrees)
{
    struct value value;
    int c = lex_peek(lex);
    size_t at = lex->at;
    if (!lex_is_digit(c) && c != '-')
        return lex_unexpected(lex, at, name);
    if (c == '-' && (at + 1 == lex->size || !lex_is_digit(lex->text[at + 1])))
        return lex_unexpected(lex, at, name);
    if (!lex_number(lex, &value))
        return false;
    if (value.type != VALUE_NUMBER)
        return lex_fail(lex, at, "a %s is a number of degrees", name);
    if (value.number < -max || value.number > max)
        return lex_fail(lex, at, "a %s lies between -%g and %g", name, max, max);
    *degrees = value.number;
    return true;
}

bool distance_read(enum path_kind kind, struct lex *lex, struct operand *operand)
{
    *operand = (struct operand){.kind = OPERAND_DISTANCE};
    if (!lex_expect(lex, '('))
        return false;
    operand->path = path_read(kind, lex, PLACE_ARGUMENT);
    if (operand->path && lex_expect(lex, ',') &&
        read_degrees(lex, GEO_MAX_LAT, "latitude", &operand->lat) && lex_expect(lex, ',') &&
        read_degrees(lex, GEO_MAX_LON, "longitude", &operand->lon) && lex_expect(lex, ')'))
        return true;
    operand_done(operand);
    return false;
}

bool box_read(struct lex *lex, struct geo_box *box)
{
    size_t max_lat_at;
    if (!lex_expect(lex, ',') || !read_degrees(lex, GEO_MAX_LON, "longitude", &box->min_lon) ||
        !lex_expect(lex, ',') || !read_degrees(lex, GEO_MAX_LAT, "latitude", &box->min_lat) ||
        !lex_expect(lex, ',') || !read_degrees(lex, GEO_MAX_LON, "longitude", &box->max_lon) ||
        !lex_expect(lex, ','))
        return false;
    lex_peek(lex);
    max_lat_at = lex->at;
    if (!read_degrees(lex, GEO_MAX_LAT, "latitude", &box->max_lat))
        return false;
    if (box->min_lat > box->max_lat) {
        lex_fail(lex, max_lat_at, "max_lat is below min_lat");
        return lex_hint(lex, "bbox(path, min_lon, min_lat, max_lon, max_lat)");
    }
    return true;
}

/* ---- senselessness ---- */

/* What the text alone says of an operand's type. */
enum sort { SORT_ANY, SORT_TIME, SORT_NUMBER, SORT_STRING, SORT_BOOL, SORT_NULL, SORT_DURATION };

static enum sort sort_of(const struct operand *operand)
{
    switch ((enum operand_kind)operand->kind) {
    case OPERAND_PATH:
        return path_is_time(operand->path) ? SORT_TIME : SORT_ANY;
    case OPERAND_DISTANCE:
        return SORT_NUMBER;
    case OPERAND_AGE:
        return SORT_DURATION;
    case OPERAND_LITERAL:
        break;
    }
    switch ((enum value_type)operand->literal.type) {
    case VALUE_STRING:
        return SORT_STRING;
    case VALUE_NUMBER:
        return SORT_NUMBER;
    case VALUE_BOOL:
        return SORT_BOOL;
    case VALUE_TIME:
        return SORT_TIME;
    case VALUE_DURATION:
        return SORT_DURATION;
    default:
        return SORT_NULL;
    }
}

static const char *sort_name(enum sort sort)
{
    static const char *const names[] = {"a value",   "a timestamp", "a number",  "a string",
                                        "a boolean", "null",        "a duration"};
    return names[sort];
}

/* A literal string beside one of the timestamps of the twin's own is read once and for all. */
static bool make_time(struct operand *operand)
{
    int64_t ns;
    struct slice text = operand->literal.string;
    if (!timestamp_parse(text.at, text.size, &ns))
        return false;
    free((char *)text.at);
    operand->literal = value_of_time(ns);
    return true;
}

static bool fail_pair(struct lex *lex, size_t at, enum sort one, enum sort other,
                      const struct operand *wrong)
{
    if (one == SORT_TIME && other == SORT_STRING)
        return lex_fail(lex, at,
                        "a timestamp compares with a timestamp as in RFC 3339, such as "
                        "\"2026-01-15T10:30:00Z\"");
    lex_fail(lex, at, "%s and %s never compare", sort_name(one), sort_name(other));
    if (one == SORT_DURATION && other == SORT_NUMBER && wrong->kind == OPERAND_LITERAL)
        lex_hint(lex, "durations have a unit: did you mean %gs?", wrong->literal.number);
    else if (one == SORT_DURATION || other == SORT_DURATION)
        lex_hint(lex, "durations compare with durations only: age(…) < 10s");
    return false;
}

bool operands_check(struct lex *lex, struct operand *left, size_t left_at, struct operand *right,
                    size_t right_at)
{
    enum sort one = sort_of(left), other = sort_of(right);
    /* The literal is to blame where only one side is one, and else what came second. */
    bool swap = left->kind == OPERAND_LITERAL && right->kind != OPERAND_LITERAL;
    struct operand *wrong = swap ? left : right;
    size_t at = swap ? left_at : right_at;
    if (swap) {
        enum sort sort = one;
        one = other, other = sort;
    }
    if (one == SORT_ANY || other == SORT_ANY)
        return (one != SORT_DURATION && other != SORT_DURATION) ||
               fail_pair(lex, at, one, other, wrong);
    if (one == SORT_TIME && other == SORT_STRING)
        return make_time(wrong) || fail_pair(lex, at, one, other, wrong);
    if (one == other || (one == SORT_TIME && other == SORT_NULL))
        return true;
    return fail_pair(lex, at, one, other, wrong);
}
