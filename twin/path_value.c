/* Values, and finding them: this is what every filter does for every vehicle. */
#include "twin/path_impl.h"

#include <string.h>

static const struct value missing = {.type = VALUE_MISSING};

/* Short names by the hundred thousand: two loads that may overlap, instead of a call. */
static inline bool same_bytes(const char *a, const char *b, size_t size)
{
    uint64_t x[2], y[2];
    uint32_t p[2], q[2];
    if (size > 2 * sizeof *x || size < sizeof *p)
        return memcmp(a, b, size) == 0;
    if (size >= sizeof *x) {
        memcpy(&x[0], a, sizeof *x);
        memcpy(&x[1], a + size - sizeof *x, sizeof *x);
        memcpy(&y[0], b, sizeof *y);
        memcpy(&y[1], b + size - sizeof *y, sizeof *y);
        return ((x[0] ^ y[0]) | (x[1] ^ y[1])) == 0;
    }
    memcpy(&p[0], a, sizeof *p);
    memcpy(&p[1], a + size - sizeof *p, sizeof *p);
    memcpy(&q[0], b, sizeof *q);
    memcpy(&q[1], b + size - sizeof *q, sizeof *q);
    return ((p[0] ^ q[0]) | (p[1] ^ q[1])) == 0;
}

/* doc_number for what vehicles send: a mantissa and a power of ten that doubles hold exactly, so
 * that one division rounds correctly. */
static inline double number_of(struct doc_ref ref)
{
    static const double powers[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                    1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    static const int64_t exact = INT64_C(1) << 53;
    const struct doc_node *node = ref.node;
    int shift = -node->exponent;
    if (node->type != DOC_DECIMAL || shift < 0 || shift >= (int)(sizeof powers / sizeof *powers) ||
        node->u.mantissa > exact || node->u.mantissa < -exact)
        return doc_number(ref);
    return (double)node->u.mantissa / powers[shift];
}

/* ---- values ---- */

struct value value_of_double(double number)
{
    return (struct value){.type = VALUE_NUMBER, .form = NUMBER_DOUBLE, .number = number};
}

struct value value_of_int(int64_t number)
{
    return (struct value){
        .type = VALUE_NUMBER, .form = NUMBER_DECIMAL, .number = (double)number, .mantissa = number};
}

struct value value_of_time(int64_t timestamp_ns)
{
    if (timestamp_ns == TIMESTAMP_NONE)
        return (struct value){.type = VALUE_NULL};
    return (struct value){.type = VALUE_TIME, .ns = timestamp_ns};
}

struct value value_of_string(const char *at, size_t size)
{
    return (struct value){.type = VALUE_STRING, .string = {at, size}};
}

static struct value value_of_object(size_t members)
{
    return (struct value){.type = VALUE_OBJECT, .members = members};
}

struct value value_of_doc(struct doc_ref ref)
{
    struct value value = {.doc = ref};
    if (!ref.node)
        return missing;
    switch (doc_type(ref)) {
    case DOC_NULL:
        value.type = VALUE_NULL;
        break;
    case DOC_FALSE:
    case DOC_TRUE:
        value.type = VALUE_BOOL;
        value.boolean = ref.node->type == DOC_TRUE;
        break;
    case DOC_DECIMAL:
        value.type = VALUE_NUMBER;
        value.form = NUMBER_DECIMAL;
        value.number = number_of(ref);
        value.mantissa = ref.node->u.mantissa;
        value.exponent = ref.node->exponent;
        break;
    case DOC_DIGITS:
        value.type = VALUE_NUMBER;
        value.form = NUMBER_DIGITS;
        value.number = doc_number(ref);
        value.string.at = doc_string(ref, &value.string.size);
        break;
    case DOC_STRING:
        value.type = VALUE_STRING;
        value.string.at = doc_string(ref, &value.string.size);
        break;
    case DOC_ARRAY:
    case DOC_OBJECT:
        value.type = doc_is(ref, DOC_OBJECT) ? VALUE_OBJECT : VALUE_ARRAY;
        value.members = doc_members(ref);
        break;
    }
    return value;
}

/* The number as a document of its own, for the exact comparison. */
static struct doc_ref number_node(const struct value *value, struct doc_node *node)
{
    if (value->form == NUMBER_DECIMAL) {
        *node = (struct doc_node){.type = DOC_DECIMAL, .exponent = value->exponent};
        node->u.mantissa = value->mantissa;
        return (struct doc_ref){node, ""};
    }
    *node = (struct doc_node){.type = DOC_DIGITS};
    node->u.text.len = (uint32_t)value->string.size;
    return (struct doc_ref){node, value->string.at};
}

/* Rounding to the nearest double keeps the order of what it does not make equal. */
static int compare_numbers(const struct value *a, const struct value *b)
{
    if (a->number != b->number)
        return a->number < b->number ? -1 : 1;
    if (a->form == NUMBER_DOUBLE || b->form == NUMBER_DOUBLE)
        return 0;
    if (a->form == NUMBER_DECIMAL && b->form == NUMBER_DECIMAL && a->exponent == b->exponent)
        return (a->mantissa > b->mantissa) - (a->mantissa < b->mantissa);
    struct doc_node a_node, b_node;
    return doc_number_compare(number_node(a, &a_node), number_node(b, &b_node));
}

static int compare_strings(struct slice a, struct slice b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common ? memcmp(a.at, b.at, common) : 0;
    return order ? order : (a.size > b.size) - (a.size < b.size);
}

int value_compare(const struct value *a, const struct value *b)
{
    switch ((enum value_type)a->type) {
    case VALUE_NUMBER:
        return compare_numbers(a, b);
    case VALUE_STRING:
        return compare_strings(a->string, b->string);
    case VALUE_TIME:
    case VALUE_DURATION:
        return (a->ns > b->ns) - (a->ns < b->ns);
    case VALUE_BOOL:
        return a->boolean - b->boolean;
    case VALUE_MISSING:
    case VALUE_NULL:
    case VALUE_OBJECT:
    case VALUE_ARRAY:
        break;
    }
    return 0;
}

/* ---- finding ---- */

static inline struct doc_ref member(struct doc_ref object, struct slice name)
{
    if (!doc_is(object, DOC_OBJECT))
        return (struct doc_ref){NULL, NULL};
    const struct doc_node *end = object.node + object.node->u.box.span;
    for (const struct doc_node *node = object.node + 1; node < end;
         node += node->type >= DOC_ARRAY ? node->u.box.span : 1)
        if (node->name_len == name.size && same_bytes(object.heap + node->name, name.at, name.size))
            return (struct doc_ref){node, object.heap};
    return (struct doc_ref){NULL, NULL};
}

/* The value below `ref` that the names from the i-th on lead to. */
static struct doc_ref descend(const struct path *path, size_t i, struct doc_ref ref)
{
    for (; i < path->count && ref.node; i++)
        ref = member(ref, path->names[i]);
    return ref;
}

static inline bool state_is(const struct state *state, struct slice type)
{
    return state->type_len == type.size && same_bytes(state->text, type.at, type.size);
}

/* Looking at a state costs a line of memory, so the place where the last vehicle had it is tried
 * before all others. */
static const struct state *find_state(const struct path *path, const struct twin *twin)
{
    struct slice type = path->names[1];
    size_t guess = atomic_load_explicit(path->guess, memory_order_relaxed);
    if (guess < twin->state_count && state_is(twin->states[guess], type))
        return twin->states[guess];
    size_t low = 0, high = twin->state_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = compare_strings(type, state_type(twin->states[middle]));
        if (order == 0) {
            atomic_store_explicit(path->guess, (uint16_t)middle, memory_order_relaxed);
            return twin->states[middle];
        }
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* Where a path leads into a document; no value where it does not. */
static struct doc_ref document(const struct path *path, const struct twin *twin)
{
    const struct state *state;
    const struct part *part = NULL;
    switch ((enum twin_root)path->root) {
    case ROOT_STATE:
        state = path->count > 1 ? find_state(path, twin) : NULL;
        return descend(path, 2, doc_root(state ? state->data : NULL));
    case ROOT_DELTA:
        return descend(path, 1, doc_root(twin->delta));
    case ROOT_DESIRED:
        part = twin->parts[PART_DESIRED];
        break;
    case ROOT_REPORTED:
        part = twin->parts[PART_REPORTED];
        break;
    case ROOT_CONFIG:
        part = twin->parts[PART_CONFIG];
        break;
    case ROOT_META:
        part = twin->parts[PART_META];
        break;
    default:
        break;
    }
    return descend(path, 1, doc_root(part ? part->value : NULL));
}

static struct value presence_value(const struct path *path, const struct twin *twin)
{
    const char *status;
    if (path->count == 1)
        return value_of_object(3);
    switch ((enum presence_field)path->field) {
    case PRESENCE_STATUS:
        status = presence_name(twin->presence.status);
        return value_of_string(status, strlen(status));
    case PRESENCE_LAST_SEEN:
        return value_of_time(twin->presence.last_seen_ns);
    case PRESENCE_SINCE:
        return value_of_time(twin->presence.since_ns);
    case PRESENCE_NOTHING:
        break;
    }
    return missing;
}

static struct value revision_value(const struct path *path, const struct twin *twin)
{
    if (path->count == 1)
        return value_of_object(PART_COUNT);
    if (path->count > 2 || path->field == PART_COUNT)
        return missing;
    const struct part *part = twin->parts[path->field];
    return value_of_int(part ? (int64_t)part->revision : 0);
}

static struct value twin_value(const struct path *path, const struct subject_of_query *subject)
{
    const struct twin *twin = subject->twin;
    struct doc_ref ref;
    switch ((enum twin_root)path->root) {
    case ROOT_VID:
        return path->count == 1 ? value_of_string(twin->vid, strlen(twin->vid)) : missing;
    case ROOT_REGION:
        if (path->count > 1 || !subject->region)
            return missing;
        return value_of_string(subject->region, strlen(subject->region));
    case ROOT_PRESENCE:
        return presence_value(path, twin);
    case ROOT_REVISION:
        return revision_value(path, twin);
    case ROOT_DELTA_SINCE:
        return path->count == 1 ? value_of_time(twin->delta_since_ns) : missing;
    case ROOT_STATE:
        if (path->count == 1)
            return value_of_object(twin->state_count);
        break;
    default:
        break;
    }
    ref = document(path, twin);
    /* A part that does not exist yet is an empty object. */
    return ref.node || path->count > 1 ? value_of_doc(ref) : value_of_object(0);
}

/* ---- records ---- */

static struct value text_value(struct slice text)
{
    if (!text.at)
        return (struct value){.type = VALUE_NULL};
    return (struct value){.type = VALUE_STRING, .string = text};
}

static struct value number_value(int64_t number)
{
    return number < 0 ? (struct value){.type = VALUE_NULL} : value_of_int(number);
}

static struct value record_value(const struct path *path, const struct record_view *record)
{
    if (path->root == RECORD_ROOT_data && record->data.node)
        return value_of_doc(descend(path, 1, record->data));
    if (path->count > 1)
        return missing;
    switch ((enum record_root)path->root) {
#define RECORD_VIEW_TEXT(name) return text_value(record->name);
#define RECORD_VIEW_NUMBER(name) return number_value(record->name);
#define RECORD_VIEW_TIME(name) return value_of_time(record->name##_ns);
#define RECORD_VIEW_DATA(name) return (struct value){.type = VALUE_NULL};
#define X(name, kept)                                                                              \
    case RECORD_ROOT_##name:                                                                       \
        RECORD_VIEW_##kept(name)
        RECORD_VIEW_TABLE(X)
#undef X
    case RECORD_ROOT_COUNT:
        break;
    }
    return missing;
}

struct value path_value(const struct path *path, const struct subject_of_query *subject)
{
    if (path->kind == PATH_OF_TWIN)
        return twin_value(path, subject);
    return record_value(path, subject->record);
}

/* ---- values in documents ---- */

struct doc_ref path_document(const struct path *path, const struct subject_of_query *subject)
{
    if (path->kind == PATH_OF_TWIN)
        return document(path, subject->twin);
    if (path->root != RECORD_ROOT_data)
        return (struct doc_ref){NULL, NULL};
    return descend(path, 1, subject->record->data);
}

bool path_in_document(const struct path *path)
{
    if (path->kind == PATH_OF_RECORD)
        return path->root == RECORD_ROOT_data && path->count > 1;
    switch ((enum twin_root)path->root) {
    case ROOT_STATE:
    case ROOT_REPORTED:
    case ROOT_DESIRED:
    case ROOT_DELTA:
    case ROOT_CONFIG:
    case ROOT_META:
        return path->count > 1;
    default:
        return false;
    }
}

int document_compare(struct doc_ref ref, const struct value *literal)
{
    static const int types[] = {
        [DOC_NULL] = VALUE_NULL,      [DOC_FALSE] = VALUE_BOOL,    [DOC_TRUE] = VALUE_BOOL,
        [DOC_DECIMAL] = VALUE_NUMBER, [DOC_DIGITS] = VALUE_NUMBER, [DOC_STRING] = VALUE_STRING,
        [DOC_ARRAY] = VALUE_ARRAY,    [DOC_OBJECT] = VALUE_OBJECT};
    if (!ref.node || types[ref.node->type] != literal->type)
        return NEVER_COMPARES;
    if (literal->type == VALUE_NUMBER) {
        double number = number_of(ref);
        if (number != literal->number)
            return number < literal->number ? -1 : 1;
    }
    struct value value = value_of_doc(ref);
    int order = value_compare(&value, literal);
    return (order > 0) - (order < 0);
}

/* ---- positions and ages ---- */

bool path_position(const struct path *path, const struct subject_of_query *subject, double *lat,
                   double *lon)
{
    static const struct slice lat_name = {"lat", 3}, lon_name = {"lon", 3};
    struct doc_ref at = path_document(path, subject);
    struct doc_ref lat_ref = member(at, lat_name), lon_ref = member(at, lon_name);
    if (!doc_is_number(lat_ref) || !doc_is_number(lon_ref))
        return false;
    *lat = number_of(lat_ref);
    *lon = number_of(lon_ref);
    return true;
}

int64_t path_since_ns(const struct path *path, const struct subject_of_query *subject)
{
    if (path->kind == PATH_OF_TWIN && path->root == ROOT_STATE) {
        const struct state *state = find_state(path, subject->twin);
        return state ? state->received_ns : TIMESTAMP_NONE;
    }
    if (path->kind == PATH_OF_TWIN && path->root == ROOT_DELTA)
        return subject->twin->delta_since_ns;
    struct value value = path_value(path, subject);
    return value.type == VALUE_TIME ? value.ns : TIMESTAMP_NONE;
}
