/* Reading what stands on either side of a comparison: literals, paths, functions. */
#include "twin/filter_impl.h"

#include <stdlib.h>
#include <string.h>

char *bytes_keep(struct slice bytes)
{
    char *copy = malloc(bytes.size + 1);
    if (!copy)
        return NULL;
    if (bytes.size)
        memcpy(copy, bytes.at, bytes.size);
    copy[bytes.size] = '\0';
    return copy;
}

void operand_done(struct operand *operand)
{
    path_free(operand->path);
    if (operand->literal.type == VALUE_STRING ||
        (operand->literal.type == VALUE_NUMBER && operand->literal.form == NUMBER_DIGITS))
        free((char *)operand->literal.string.at);
    *operand = (struct operand){0};
}

/* ---- functions ---- */

enum function function_next(const struct lex *lex)
{
    static const char *const names[] = {[FUNCTION_DISTANCE] = "distance",
                                        [FUNCTION_AGE] = "age",
                                        [FUNCTION_INSIDE] = "inside",
                                        [FUNCTION_BBOX] = "bbox",
                                        [FUNCTION_GROUP] = "group"};
    struct lex ahead = *lex;
    struct slice word = lex_word(lex);
    if (word.size == 0 || *word.at == '-' || lex_is_digit(*word.at) || lex_is_keyword(word))
        return FUNCTION_NONE;
    ahead.at += word.size;
    if (lex_peek(&ahead) != '(')
        return FUNCTION_NONE;
    for (size_t i = FUNCTION_DISTANCE; i <= FUNCTION_GROUP; i++)
        if (slice_is(word, names[i]))
            return (enum function)i;
    return FUNCTION_UNKNOWN;
}

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

static bool age_read(struct reading *reading, struct operand *operand)
{
    struct lex *lex = &reading->lex;
    *operand = (struct operand){.kind = OPERAND_AGE};
    if (!lex_expect(lex, '('))
        return false;
    lex_peek(lex);
    size_t at = lex->at;
    operand->path = path_read(reading->kind, lex, PLACE_ARGUMENT);
    if (!operand->path)
        return false;
    if (path_has_age(operand->path))
        return lex_expect(lex, ')');
    bool twin = reading->kind == PATH_OF_TWIN;
    lex_fail(lex, at, "age() is of %s",
             twin ? "state.<type>, delta, or a timestamp of the twin's own"
                  : "timestamp, received or archived");
    hint_of_age(lex, operand->path);
    return false;
}

/* ---- operands ---- */

/* Gives a literal bytes of its own. */
static bool literal_keep(struct lex *lex, struct operand *operand, struct value value)
{
    if (value.type == VALUE_STRING || (value.type == VALUE_NUMBER && value.form == NUMBER_DIGITS)) {
        value.string.at = bytes_keep(value.string);
        if (!value.string.at)
            return lex_no_memory(lex);
    }
    *operand = (struct operand){.kind = OPERAND_LITERAL, .literal = value};
    return true;
}

/* A string, or the path that begins with one. */
static bool quoted_read(struct reading *reading, struct operand *operand, enum path_place place)
{
    struct lex *lex = &reading->lex;
    struct slice text;
    size_t start = lex->at;
    if (!lex_string(lex, &text))
        return false;
    int behind = lex_peek(lex);
    if (behind != '.' && (behind != ':' || place == PLACE_RIGHT))
        return literal_keep(lex, operand, value_of_string(text.at, text.size));
    lex->at = start;
    *operand = (struct operand){.kind = OPERAND_PATH};
    operand->path = path_read(reading->kind, lex, place);
    return operand->path != NULL;
}

/* true, false or null, if that is next. */
static bool word_literal(struct lex *lex, struct value *value)
{
    struct slice word = lex_word(lex);
    if (slice_is(word, "true"))
        *value = (struct value){.type = VALUE_BOOL, .boolean = true};
    else if (slice_is(word, "false"))
        *value = (struct value){.type = VALUE_BOOL};
    else if (slice_is(word, "null"))
        *value = (struct value){.type = VALUE_NULL};
    else
        return false;
    lex->at += word.size;
    return true;
}

static bool function_read(struct reading *reading, enum function function, struct operand *operand)
{
    struct lex *lex = &reading->lex;
    struct slice word = lex_word(lex);
    size_t at = lex->at;
    lex->at += word.size;
    if (function == FUNCTION_DISTANCE)
        return distance_read(reading->kind, lex, operand);
    if (function == FUNCTION_AGE)
        return age_read(reading, operand);
    if (function != FUNCTION_UNKNOWN)
        return lex_fail(lex, at, "%.*s() is a condition and has no value to compare",
                        (int)word.size, word.at);
    lex_fail(lex, at, "there is no function %.*s()", (int)word.size, word.at);
    hint_of_function(lex, word);
    return false;
}

bool operand_read(struct reading *reading, struct operand *operand, enum path_place place)
{
    struct lex *lex = &reading->lex;
    struct value value;
    *operand = (struct operand){0};
    int c = lex_peek(lex);
    if (c == '"')
        return quoted_read(reading, operand, place);
    bool minus = c == '-' && lex->at + 1 < lex->size && lex_is_digit(lex->text[lex->at + 1]);
    if (lex_is_digit(c) || minus)
        return lex_number(lex, &value) && literal_keep(lex, operand, value);
    if (c == '-' || !lex_is_name_char(c) || lex_is_keyword(lex_word(lex))) {
        lex_unexpected(lex, lex->at, place == PLACE_RIGHT ? "a value" : "a condition");
        return c == '*' ? lex_hint(lex, "wildcards stand in strings: \"VID-0*\"") : false;
    }
    enum function function = function_next(lex);
    if (function != FUNCTION_NONE)
        return function_read(reading, function, operand);
    if (word_literal(lex, &value))
        return literal_keep(lex, operand, value);
    operand->kind = OPERAND_PATH;
    operand->path = path_read(reading->kind, lex, place);
    return operand->path != NULL;
}
