/* Comparisons that the text alone shows to be senseless: two sides that can never have one type. */
#include "twin/filter_impl.h"

#include <stdlib.h>

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
