/* What every match of a filter fulfils. A filter is terms with two jumps each, so a term must hold
 * where the way to acceptance is cut without its jump. */
#include "twin/filter_impl.h"

#include <string.h>

/* Whether the filter can accept if the terms of the set never hold. */
static bool accepts_without(const struct filter *filter, uint64_t never)
{
    uint64_t seen = 0, todo = 0;
    if (filter->start >= filter->term_count)
        return filter->start == TERM_ACCEPT;
    todo = UINT64_C(1) << filter->start;
    while (todo) {
        unsigned at = (unsigned)__builtin_ctzll(todo);
        uint8_t next[] = {filter->terms[at].on_false, filter->terms[at].on_true};
        seen |= UINT64_C(1) << at;
        todo &= todo - 1;
        for (size_t i = 0; i < (never >> at & 1 ? 1u : 2u); i++) {
            if (next[i] == TERM_ACCEPT)
                return true;
            if (next[i] != TERM_REJECT && !(seen >> next[i] & 1))
                todo |= UINT64_C(1) << next[i];
        }
    }
    return false;
}

/* Whether it says that one path is equal to one literal, as it stands. */
static bool is_equality(const struct term *term)
{
    if (term->left.kind != OPERAND_PATH || term->right.kind != OPERAND_LITERAL)
        return false;
    if (term->kind == TERM_HOLDS) /* of what is never an array or object */
        return term->left.path->kind == PATH_OF_RECORD &&
               term->left.path->root != RECORD_ROOT_data && term->left.path->count == 1;
    bool compares = term->kind == TERM_COMPARE || term->kind == TERM_FIELD;
    return compares && term->comparison == CMP_EQ && !term->any_first && !term->any_last;
}

/* All equalities of the term's path, if one of them must hold and this is the first. */
static bool read_one_of(const struct filter *filter, size_t at, struct filter_condition *condition)
{
    const char *path = path_text(filter->terms[at].left.path);
    uint64_t never = 0;
    condition->value_count = 0;
    for (size_t i = 0; i < filter->term_count; i++) {
        const struct term *term = &filter->terms[i];
        if (!is_equality(term) || strcmp(path_text(term->left.path), path) != 0)
            continue;
        if (i < at)
            return false;
        never |= UINT64_C(1) << i;
        condition->values[condition->value_count++] = &term->right.literal;
    }
    condition->relation = FILTER_ONE_OF;
    return !accepts_without(filter, never);
}

/* An age is compared with a duration: that is the instant beside another, the other way round. */
static bool read_age(const struct term *term, int64_t now_ns, struct filter_condition *condition)
{
    static const enum filter_relation mirrored[] = {[CMP_LT] = FILTER_ABOVE,
                                                    [CMP_LE] = FILTER_FROM,
                                                    [CMP_GT] = FILTER_BELOW,
                                                    [CMP_GE] = FILTER_UP_TO};
    int64_t instant_ns;
    if (term->comparison == CMP_EQ || term->comparison == CMP_NE ||
        __builtin_sub_overflow(now_ns, term->right.literal.ns, &instant_ns) ||
        instant_ns == TIMESTAMP_NONE || !path_is_time(term->left.path))
        return false;
    condition->own = value_of_time(instant_ns);
    condition->values[0] = &condition->own;
    condition->relation = mirrored[term->comparison];
    return true;
}

static bool read_comparison(const struct term *term, struct filter_condition *condition)
{
    static const enum filter_relation relations[] = {
        [CMP_EQ] = FILTER_ONE_OF, [CMP_NE] = FILTER_NOT,   [CMP_LT] = FILTER_BELOW,
        [CMP_LE] = FILTER_UP_TO,  [CMP_GT] = FILTER_ABOVE, [CMP_GE] = FILTER_FROM};
    if (term->left.kind != OPERAND_PATH || term->right.kind != OPERAND_LITERAL)
        return false;
    condition->values[0] = &term->right.literal;
    condition->relation = relations[term->comparison];
    bool wild = term->any_first || term->any_last;
    if (wild && (term->comparison != CMP_EQ || term->any_first))
        return false;
    if (wild)
        condition->relation = FILTER_BEGINS;
    return term->kind == TERM_COMPARE || term->kind == TERM_LIKE || term->kind == TERM_FIELD;
}

bool filter_next_condition(const struct filter *filter, size_t *at, int64_t now_ns,
                           struct filter_condition *condition)
{
    while (*at < filter->term_count) {
        size_t i = (*at)++;
        const struct term *term = &filter->terms[i];
        condition->path = term->left.path;
        condition->value_count = 1;
        bool holds;
        if (is_equality(term))
            holds = read_one_of(filter, i, condition);
        else
            holds = (term->kind == TERM_AGE ? read_age(term, now_ns, condition)
                                            : read_comparison(term, condition)) &&
                    !accepts_without(filter, UINT64_C(1) << i);
        if (holds)
            return true;
    }
    return false;
}
