/* Evaluating a filter. */
#include "twin/filter_impl.h"

#include <stdlib.h>
#include <string.h>

void filter_free(struct filter *filter)
{
    if (!filter)
        return;
    for (size_t i = 0; i < filter->term_count; i++)
        term_done(&filter->terms[i]);
    free(filter);
}

/* ---- operands ---- */

static struct value distance_value(const struct operand *operand,
                                   const struct subject_of_query *subject)
{
    double lat, lon;
    if (!path_position(operand->path, subject, &lat, &lon))
        return (struct value){.type = VALUE_MISSING};
    double distance_m = geo_distance_m(operand->lat, operand->lon, lat, lon);
    if (distance_m != distance_m)
        return (struct value){.type = VALUE_MISSING};
    return value_of_double(distance_m);
}

static int64_t elapsed_ns(int64_t since_ns, int64_t now_ns)
{
    int64_t age_ns;
    if (__builtin_sub_overflow(now_ns, since_ns, &age_ns))
        return now_ns > since_ns ? INT64_MAX : INT64_MIN;
    return age_ns;
}

static struct value age_value(const struct operand *operand, const struct subject_of_query *subject,
                              int64_t now_ns)
{
    int64_t since_ns = path_since_ns(operand->path, subject);
    if (since_ns == TIMESTAMP_NONE)
        return (struct value){.type = VALUE_MISSING};
    return (struct value){.type = VALUE_DURATION, .ns = elapsed_ns(since_ns, now_ns)};
}

static struct value operand_value(const struct operand *operand,
                                  const struct subject_of_query *subject, int64_t now_ns)
{
    switch ((enum operand_kind)operand->kind) {
    case OPERAND_PATH:
        return path_value(operand->path, subject);
    case OPERAND_DISTANCE:
        return distance_value(operand, subject);
    case OPERAND_AGE:
        return age_value(operand, subject, now_ns);
    case OPERAND_LITERAL:
        break;
    }
    return operand->literal;
}

/* ---- comparing ---- */

static bool order_satisfies(int order, enum comparison comparison)
{
    switch (comparison) {
    case CMP_EQ:
        return order == 0;
    case CMP_NE:
        return order != 0;
    case CMP_LT:
        return order < 0;
    case CMP_LE:
        return order <= 0;
    case CMP_GT:
        return order > 0;
    case CMP_GE:
        return order >= 0;
    }
    return false;
}

/* A string beside a timestamp becomes one; false where it is none. */
static bool string_to_time(struct value *value)
{
    int64_t ns;
    if (!timestamp_parse(value->string.at, value->string.size, &ns))
        return false;
    *value = value_of_time(ns);
    return true;
}

static bool compare(struct value a, struct value b, enum comparison comparison)
{
    if (a.type == VALUE_TIME && b.type == VALUE_STRING && !string_to_time(&b))
        return false;
    if (b.type == VALUE_TIME && a.type == VALUE_STRING && !string_to_time(&a))
        return false;
    if (a.type != b.type)
        return false;
    switch ((enum value_type)a.type) {
    case VALUE_NUMBER:
    case VALUE_STRING:
    case VALUE_TIME:
    case VALUE_DURATION:
        return order_satisfies(value_compare(&a, &b), comparison);
    case VALUE_BOOL:
        if (comparison == CMP_NE)
            return a.boolean != b.boolean;
        return comparison == CMP_EQ && a.boolean == b.boolean;
    case VALUE_NULL:
        return comparison == CMP_EQ;
    case VALUE_MISSING:
    case VALUE_OBJECT:
    case VALUE_ARRAY:
        break;
    }
    return false;
}

static bool like(const struct term *term, struct slice text)
{
    struct slice piece = term->right.literal.string;
    bool found;
    if (text.size < piece.size)
        found = false;
    else if (term->any_first && term->any_last)
        found = piece.size == 0 || memmem(text.at, text.size, piece.at, piece.size);
    else if (piece.size == 0)
        found = true;
    else
        found = memcmp(term->any_first ? text.at + text.size - piece.size : text.at, piece.at,
                       piece.size) == 0;
    return found == (term->comparison == CMP_EQ);
}

/* ---- the other terms ---- */

static bool filled(const struct value *value)
{
    switch ((enum value_type)value->type) {
    case VALUE_MISSING:
    case VALUE_NULL:
        return false;
    case VALUE_OBJECT:
    case VALUE_ARRAY:
        return value->members > 0;
    default:
        return true;
    }
}

static bool holds(const struct value *value, const struct value *literal)
{
    struct doc_ref box = value->doc;
    if (value->type == VALUE_OBJECT)
        return literal->type == VALUE_STRING &&
               doc_exists(doc_get(box, literal->string.at, literal->string.size));
    if (value->type != VALUE_ARRAY)
        return compare(*value, *literal, CMP_EQ);
    for (struct doc_ref m = doc_first(box); doc_exists(m); m = doc_next(box, m))
        if (compare(value_of_doc(m), *literal, CMP_EQ))
            return true;
    return false;
}

static bool geo_holds(const struct term *term, const struct subject_of_query *subject)
{
    double lat, lon;
    if (!path_position(term->left.path, subject, &lat, &lon))
        return false;
    if (term->kind == TERM_INSIDE)
        return geo_area_holds(term->area, lat, lon);
    if (term->kind == TERM_BOX)
        return geo_box_holds(&term->box, lat, lon);
    int order = geo_circle_compare(&term->circle, lat, lon);
    return order != GEO_NOWHERE && order_satisfies(order, (enum comparison)term->comparison);
}

/* What is asked of nearly every vehicle: a value in a document beside a number or a string. */
static bool field_holds(const struct term *term, const struct subject_of_query *subject)
{
    struct doc_ref ref = path_document(term->left.path, subject);
    struct slice text;
    if (!term->any_first && !term->any_last) {
        int order = document_compare(ref, &term->right.literal);
        return order != NEVER_COMPARES && order_satisfies(order, (enum comparison)term->comparison);
    }
    if (!doc_is(ref, DOC_STRING))
        return false;
    text.at = doc_string(ref, &text.size);
    return like(term, text);
}

static bool age_holds(const struct term *term, const struct subject_of_query *subject,
                      int64_t now_ns)
{
    int64_t since_ns = path_since_ns(term->left.path, subject);
    if (since_ns == TIMESTAMP_NONE)
        return false;
    int64_t age_ns = elapsed_ns(since_ns, now_ns), limit_ns = term->right.literal.ns;
    return order_satisfies((age_ns > limit_ns) - (age_ns < limit_ns),
                           (enum comparison)term->comparison);
}

static bool term_matches(const struct filter *filter, const struct term *term,
                         const struct subject_of_query *subject, int64_t now_ns)
{
    struct value left, right;
    switch ((enum term_kind)term->kind) {
    case TERM_NEAR:
    case TERM_INSIDE:
    case TERM_BOX:
        return geo_holds(term, subject);
    case TERM_STATUS:
        return term->statuses >> subject->twin->presence.status & 1;
    case TERM_FIELD:
        return field_holds(term, subject);
    case TERM_AGE:
        return age_holds(term, subject, now_ns);
    case TERM_GROUP:
        return filter->groups->holds(filter->groups->closure, term->group, subject, now_ns);
    default:
        break;
    }
    left = operand_value(&term->left, subject, now_ns);
    if (left.type == VALUE_MISSING)
        return false;
    switch ((enum term_kind)term->kind) {
    case TERM_LIKE:
        return left.type == VALUE_STRING && like(term, left.string);
    case TERM_FILLED:
        return filled(&left);
    case TERM_EXISTS:
        return true;
    case TERM_HOLDS:
        return holds(&left, &term->right.literal);
    default:
        break;
    }
    right = operand_value(&term->right, subject, now_ns);
    return compare(left, right, (enum comparison)term->comparison);
}

size_t filter_first(const struct filter *filter)
{
    return filter->start;
}

size_t filter_ask(const struct filter *filter, size_t at, const struct subject_of_query *subject,
                  int64_t now_ns)
{
    const struct term *term = &filter->terms[at];
    return term_matches(filter, term, subject, now_ns) ? term->on_true : term->on_false;
}

const struct path *filter_term_path(const struct filter *filter, size_t at, size_t i)
{
    if (at >= filter->term_count)
        return NULL;
    const struct path *left = filter->terms[at].left.path, *right = filter->terms[at].right.path;
    const struct path *paths[] = {left ? left : right, left ? right : NULL};
    return i < 2 ? paths[i] : NULL;
}

bool filter_matches(const struct filter *filter, const struct subject_of_query *subject,
                    int64_t now_ns)
{
    size_t at = filter->start;
    while (at < filter->term_count)
        at = filter_ask(filter, at, subject, now_ns);
    return at == TERM_ACCEPT;
}

void term_speed_up(struct term *term)
{
    const struct path *path = term->left.path;
    enum value_type literal = (enum value_type)term->right.literal.type;
    if (term->right.kind != OPERAND_LITERAL)
        return;
    if (term->left.kind == OPERAND_AGE && term->kind == TERM_COMPARE)
        term->kind = TERM_AGE;
    if (term->left.kind != OPERAND_PATH)
        return;
    if (path->kind == PATH_OF_TWIN && path->root == ROOT_PRESENCE &&
        path->field == PRESENCE_STATUS && term->kind <= TERM_HOLDS) {
        uint8_t statuses = 0;
        struct twin twin = {.vid = ""};
        struct subject_of_query subject = {.twin = &twin};
        for (int status = 0; status < PRESENCE_COUNT; status++) {
            twin.presence.status = (enum presence_status)status;
            statuses |= (uint8_t)(term_matches(NULL, term, &subject, 0) << status);
        }
        term->statuses = statuses;
        term->kind = TERM_STATUS;
    } else if ((term->kind == TERM_COMPARE || term->kind == TERM_LIKE) &&
               (literal == VALUE_NUMBER || literal == VALUE_STRING) && path_in_document(path)) {
        term->kind = TERM_FIELD;
    }
}

/* ---- asking about the filter ---- */

bool filter_depends_on_time(const struct filter *filter)
{
    const struct filter_groups *groups = filter->groups;
    for (size_t i = 0; i < filter->term_count; i++) {
        const struct term *term = &filter->terms[i];
        if (term->left.kind == OPERAND_AGE || term->right.kind == OPERAND_AGE)
            return true;
        if (term->kind == TERM_GROUP &&
            (!groups->depends_on_time || groups->depends_on_time(groups->closure, term->group)))
            return true;
    }
    return false;
}

const struct path *filter_path(const struct filter *filter, size_t i)
{
    const struct path *path;
    for (size_t t = 0; t < filter->term_count; t++)
        for (size_t k = 0; (path = filter_term_path(filter, t, k)) != NULL; k++)
            if (i-- == 0)
                return path;
    return NULL;
}

const char *filter_group(const struct filter *filter, size_t i)
{
    for (size_t t = 0; t < filter->term_count; t++)
        if (filter->terms[t].kind == TERM_GROUP && i-- == 0)
            return filter->terms[t].group;
    return NULL;
}
