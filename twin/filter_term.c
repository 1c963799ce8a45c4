/* Reading one term of a filter. */
#include "twin/filter_impl.h"

#include <stdlib.h>
#include <string.h>

enum { /* what a term costs, by what it touches */
       COST_INLINE = 1,
       COST_PART = 3,
       COST_STATE = 4,
       COST_GEO = 3,
       COST_GROUP = 200,
};

void term_done(struct term *term)
{
    operand_done(&term->left);
    operand_done(&term->right);
    if (term->kind == TERM_GROUP)
        free(term->group);
    if (term->kind == TERM_INSIDE)
        geo_area_free(term->area);
}

/* ---- conditions ---- */

static bool inside_read(struct reading *reading, struct term *term)
{
    struct lex *lex = &reading->lex;
    struct slice wkt;
    if (!lex_expect(lex, ','))
        return false;
    int c = lex_peek(lex);
    size_t at = lex->at;
    if (c != '"')
        return lex_unexpected(lex, at, "a polygon as a string");
    if (!lex_string(lex, &wkt))
        return false;
    struct text_error error = {0};
    term->area = geo_area_from_wkt(wkt.at, wkt.size, &error);
    if (!term->area) {
        if (strcmp(error.detail, "out of memory") == 0)
            return lex_no_memory(lex);
        lex_fail(lex, at, "%s (character %zu of the string)", error.detail, error.offset);
        return lex_hint(lex, "%s", error.hint);
    }
    term->kind = TERM_INSIDE; /* from here on it owns the area */
    return lex_expect(lex, ')');
}

static bool group_read(struct reading *reading, struct term *term)
{
    struct lex *lex = &reading->lex;
    const struct filter_groups *groups = reading->groups;
    struct slice name;
    if (!lex_expect(lex, '('))
        return false;
    int c = lex_peek(lex);
    size_t at = lex->at;
    if (c != '"')
        return lex_unexpected(lex, at, "the name of a group as a string");
    if (!lex_string(lex, &name))
        return false;
    term->group = bytes_keep(name);
    if (!term->group)
        return lex_no_memory(lex);
    term->kind = TERM_GROUP;
    if (memchr(name.at, '\0', name.size) || !groups ||
        !groups->exists(groups->closure, term->group))
        return lex_fail(lex, at, "there is no group \"%.*s\"", (int)name.size, name.at);
    return lex_expect(lex, ')');
}

static bool condition_read(struct reading *reading, enum function function, struct term *term)
{
    struct lex *lex = &reading->lex;
    lex->at += lex_word(lex).size;
    if (function == FUNCTION_GROUP)
        return group_read(reading, term);
    if (!lex_expect(lex, '('))
        return false;
    term->left.kind = OPERAND_PATH;
    term->left.path = path_read(reading->kind, lex, PLACE_ARGUMENT);
    if (!term->left.path)
        return false;
    if (function == FUNCTION_INSIDE)
        return inside_read(reading, term);
    term->kind = TERM_BOX;
    return box_read(lex, &term->box) && lex_expect(lex, ')');
}

/* ---- comparisons ---- */

static bool comparison_read(struct lex *lex, struct term *term)
{
    static const struct {
        const char *text;
        enum comparison comparison;
    } comparisons[] = {{"!=", CMP_NE}, {"<=", CMP_LE}, {">=", CMP_GE},
                       {"=", CMP_EQ},  {"<", CMP_LT},  {">", CMP_GT}};
    lex_peek(lex);
    struct slice rest = {lex->text + lex->at, lex->size - lex->at};
    struct slice two = {rest.at, rest.size < 2 ? rest.size : 2};
    bool foreign =
        slice_is(two, "==") || slice_is(two, "=>") || slice_is(two, "=<") || slice_is(two, "<>");
    for (size_t i = 0; !foreign && i < sizeof comparisons / sizeof *comparisons; i++) {
        size_t size = strlen(comparisons[i].text);
        if (rest.size >= size && memcmp(rest.at, comparisons[i].text, size) == 0) {
            lex->at += size;
            term->comparison = (uint8_t)comparisons[i].comparison;
            return true;
        }
    }
    bool path = term->left.kind == OPERAND_PATH;
    lex_unexpected(lex, lex->at, path ? "an operator: = != < <= > >= or :" : "= != < <= > or >=");
    if (path && !foreign && (rest.size == 0 || *rest.at == ')' || lex_is_name_char(*rest.at)))
        lex_hint(lex, "did you mean %s:*?", path_text(term->left.path));
    return false;
}

/* A `*` first or last, `\*` there for a star (contract §5). */
static void stars_read(struct term *term)
{
    struct slice *string = &term->right.literal.string;
    char *text = (char *)string->at; /* ours: literal_keep made it */
    size_t size = string->size;
    bool star_first = size > 0 && text[0] == '*';
    bool escaped_first = size > 1 && text[0] == '\\' && text[1] == '*';
    bool star_last = size > 1 && text[size - 1] == '*';
    bool escaped_last = star_last && text[size - 2] == '\\';

    if (escaped_last) {
        text[size - 2] = '*';
        size--;
    } else if (star_last) {
        term->any_last = true;
        size--;
    }
    bool same_star = escaped_last && escaped_first && string->size == 2;
    if (star_first || (escaped_first && !same_star)) {
        term->any_first = star_first;
        size--;
        memmove(text, text + 1, size);
    }
    string->size = size;
    if (term->any_first || term->any_last)
        term->kind = TERM_LIKE;
}

static void swap_sides(struct term *term)
{
    static const uint8_t mirrored[] = {[CMP_EQ] = CMP_EQ, [CMP_NE] = CMP_NE, [CMP_LT] = CMP_GT,
                                       [CMP_LE] = CMP_GE, [CMP_GT] = CMP_LT, [CMP_GE] = CMP_LE};
    struct operand left = term->left;
    term->left = term->right;
    term->right = left;
    term->comparison = mirrored[term->comparison];
}

static bool compare_read(struct reading *reading, size_t left_at, struct term *term)
{
    struct lex *lex = &reading->lex;
    if (!comparison_read(lex, term))
        return false;
    lex_peek(lex);
    size_t right_at = lex->at;
    if (!operand_read(reading, &term->right, PLACE_RIGHT) ||
        !operands_check(lex, &term->left, left_at, &term->right, right_at))
        return false;
    const struct value *literal = &term->right.literal;
    if (literal->type == VALUE_STRING && (term->comparison == CMP_EQ || term->comparison == CMP_NE))
        stars_read(term);
    if (term->left.kind == OPERAND_LITERAL && term->right.kind != OPERAND_LITERAL)
        swap_sides(term);
    if (term->left.kind == OPERAND_DISTANCE && literal->type == VALUE_NUMBER) {
        term->kind = TERM_NEAR;
        geo_circle_init(&term->circle, term->left.lat, term->left.lon, literal->number);
    }
    return true;
}

/* `:*` or `:literal` behind a path. */
static bool has_read(struct reading *reading, size_t left_at, struct term *term)
{
    struct lex *lex = &reading->lex;
    size_t colon_at = lex->at;
    if (term->left.kind != OPERAND_PATH)
        return lex_unexpected(lex, colon_at, "= != < <= > or >=");
    lex->at++;
    if (lex_take(lex, '*')) {
        term->kind = TERM_FILLED;
        return true;
    }
    lex_peek(lex);
    size_t right_at = lex->at;
    if (!operand_read(reading, &term->right, PLACE_RIGHT))
        return false;
    if (term->right.kind != OPERAND_LITERAL) {
        lex_fail(lex, right_at, "behind : stands * or a literal");
        return lex_hint(lex, "strings stand in double quotes");
    }
    if (!operands_check(lex, &term->left, left_at, &term->right, right_at))
        return false;
    term->kind = TERM_HOLDS;
    if (!path_is_object(term->left.path) || term->right.literal.type != VALUE_STRING)
        return true;
    struct path *child = path_child(term->left.path, term->right.literal.string);
    if (!child)
        return lex_no_memory(lex);
    path_free(term->left.path);
    term->left.path = child;
    term->kind = TERM_EXISTS;
    return true;
}

/* ---- terms ---- */

static unsigned path_cost(const struct path *path)
{
    if (!path)
        return 0;
    if (path->kind == PATH_OF_RECORD)
        return path->root == RECORD_ROOT_data ? COST_PART : COST_INLINE;
    switch ((enum twin_root)path->root) {
    case ROOT_STATE:
        return COST_STATE;
    case ROOT_REPORTED:
    case ROOT_DESIRED:
    case ROOT_CONFIG:
    case ROOT_META:
    case ROOT_REVISION:
        return COST_PART;
    case ROOT_DELTA:
        return path->count > 1 ? COST_PART : COST_INLINE;
    default:
        return COST_INLINE;
    }
}

static uint16_t term_cost(const struct term *term)
{
    unsigned cost = path_cost(term->left.path) + path_cost(term->right.path);
    if (term->kind == TERM_GROUP)
        cost += COST_GROUP;
    if (term->kind == TERM_INSIDE || term->kind == TERM_BOX ||
        term->left.kind == OPERAND_DISTANCE || term->right.kind == OPERAND_DISTANCE)
        cost += COST_GEO;
    return (uint16_t)cost;
}

bool term_read(struct reading *reading, struct term *term)
{
    struct lex *lex = &reading->lex;
    bool good;
    *term = (struct term){.kind = TERM_COMPARE};
    lex_peek(lex);
    size_t at = lex->at;
    enum function function = function_next(lex);
    if (function == FUNCTION_INSIDE || function == FUNCTION_BBOX || function == FUNCTION_GROUP)
        good = condition_read(reading, function, term);
    else if (!operand_read(reading, &term->left, PLACE_LEFT))
        good = false;
    else if (lex_peek(lex) == ':')
        good = has_read(reading, at, term);
    else
        good = compare_read(reading, at, term);
    if (!good) {
        term_done(term);
        return false;
    }
    term->cost = term_cost(term);
    term_speed_up(term);
    return true;
}
