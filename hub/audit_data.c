#include "hub/audit_data.h"

#include "hub/record.h"

#include <stdlib.h>
#include <string.h>

enum { MEMBERS_MAX = 64 }; /* of an object that is compared here: each is looked for */

static const struct doc_limits limits = {DOC_MAX_BYTES, DOC_MAX_DEPTH};

struct audit_comparer {
    struct doc_parser *said, *shown;
};

struct audit_comparer *audit_comparer_new(void)
{
    struct audit_comparer *comparer = calloc(1, sizeof *comparer);
    if (!comparer)
        return NULL;
    comparer->said = doc_parser_new();
    comparer->shown = doc_parser_new();
    if (comparer->said && comparer->shown)
        return comparer;
    audit_comparer_free(comparer);
    return NULL;
}

void audit_comparer_free(struct audit_comparer *comparer)
{
    if (!comparer)
        return;
    doc_parser_free(comparer->said);
    doc_parser_free(comparer->shown);
    free(comparer);
}

static enum audit_sameness compare(struct doc_ref said, struct doc_ref shown);

static enum audit_sameness compare_numbers(struct doc_ref said, struct doc_ref shown)
{
    if (doc_type(said) != DOC_DECIMAL || doc_type(shown) != DOC_DECIMAL)
        return AUDIT_UNSURE;
    int exponent = said.node->exponent < 0 ? said.node->exponent : 0;
    return shown.node->exponent == exponent && doc_number_compare(said, shown) == 0
               ? AUDIT_SAME
               : AUDIT_DIFFERENT;
}

static enum audit_sameness compare_strings(struct doc_ref said, struct doc_ref shown)
{
    size_t said_size, shown_size;
    const char *said_text = doc_string(said, &said_size);
    const char *shown_text = doc_string(shown, &shown_size);
    return said_size == shown_size && memcmp(said_text, shown_text, said_size) == 0
               ? AUDIT_SAME
               : AUDIT_DIFFERENT;
}

static enum audit_sameness compare_arrays(struct doc_ref said, struct doc_ref shown)
{
    struct doc_ref a = doc_first(said), b = doc_first(shown);
    enum audit_sameness all = AUDIT_SAME;
    if (doc_members(said) != doc_members(shown))
        return AUDIT_DIFFERENT;
    for (; doc_exists(a); a = doc_next(said, a), b = doc_next(shown, b)) {
        enum audit_sameness one = compare(a, b);
        if (one == AUDIT_DIFFERENT)
            return one;
        if (one != AUDIT_SAME)
            all = one;
    }
    return all;
}

static enum audit_sameness compare_objects(struct doc_ref said, struct doc_ref shown)
{
    enum audit_sameness all = AUDIT_SAME;
    if (doc_members(said) != doc_members(shown))
        return AUDIT_DIFFERENT;
    if (doc_members(said) > MEMBERS_MAX)
        return AUDIT_UNSURE;
    for (struct doc_ref a = doc_first(said); doc_exists(a); a = doc_next(said, a)) {
        size_t size;
        const char *name = doc_name(a, &size);
        struct doc_ref b = doc_get(shown, name, size);
        enum audit_sameness one = doc_exists(b) ? compare(a, b) : AUDIT_DIFFERENT;
        if (one == AUDIT_DIFFERENT)
            return one;
        if (one != AUDIT_SAME)
            all = one;
    }
    return all;
}

/* Recursion as deep as the reader allows. */
static enum audit_sameness compare(struct doc_ref said, struct doc_ref shown)
{
    if (doc_is_number(said) && doc_is_number(shown))
        return compare_numbers(said, shown);
    if (doc_type(said) != doc_type(shown))
        return AUDIT_DIFFERENT;
    switch (doc_type(said)) {
    case DOC_STRING:
        return compare_strings(said, shown);
    case DOC_ARRAY:
        return compare_arrays(said, shown);
    case DOC_OBJECT:
        return compare_objects(said, shown);
    default:
        return AUDIT_SAME; /* null, false, true */
    }
}

enum audit_sameness audit_compare(struct audit_comparer *comparer, struct slice said,
                                  struct slice shown)
{
    struct doc_ref a, b;
    if (doc_parse(comparer->said, said.at, said.size, limits, &a) != DOC_OK ||
        doc_parse(comparer->shown, shown.at, shown.size, limits, &b) != DOC_OK)
        return AUDIT_UNSURE;
    return compare(a, b);
}
