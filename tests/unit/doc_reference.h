/*
 * doc_reference: the document operations done slowly, on jansson's trees, to test twin/doc against.
 *
 * Where the two readers may differ, and nowhere else:
 *   - whole numbers from 2^63 on: we keep every digit, jansson refuses them;
 *   - an escaped NUL in a member's name: allowed by us, not by jansson;
 *   - a raw NUL byte: never allowed by us; jansson 2.14 overlooks one that follows a number;
 *   - depth beyond DOC_MAX_DEPTH and names beyond DOC_MAX_NAME_BYTES: bounds of ours.
 *
 * Functions return new references, as jansson's do. Used by unit tests and by fuzz targets.
 */
#ifndef TESTS_UNIT_DOC_REFERENCE_H
#define TESTS_UNIT_DOC_REFERENCE_H

#include "tests/unit/doc_help.h"

#include <jansson.h>

enum { REFERENCE_FLAGS = JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL | JSON_DECODE_ANY };

/* The document holds exactly what jansson read. */
static inline bool reference_same(struct doc_ref value, json_t *expected)
{
    size_t size;
    int64_t whole;
    switch (json_typeof(expected)) {
    case JSON_NULL:
        return doc_is(value, DOC_NULL);
    case JSON_TRUE:
        return doc_is(value, DOC_TRUE);
    case JSON_FALSE:
        return doc_is(value, DOC_FALSE);
    case JSON_INTEGER:
        return doc_int(value, &whole) && whole == json_integer_value(expected);
    case JSON_REAL:
        return doc_is_number(value) && doc_number(value) == json_real_value(expected);
    case JSON_STRING:
        if (!doc_is(value, DOC_STRING))
            return false;
        const char *text = doc_string(value, &size);
        return size == json_string_length(expected) &&
               memcmp(text, json_string_value(expected), size) == 0;
    case JSON_ARRAY:
        if (!doc_is(value, DOC_ARRAY) || doc_members(value) != json_array_size(expected))
            return false;
        size_t index = 0;
        for (struct doc_ref m = doc_first(value); doc_exists(m); m = doc_next(value, m))
            if (!reference_same(m, json_array_get(expected, index++)))
                return false;
        return true;
    case JSON_OBJECT:
        if (!doc_is(value, DOC_OBJECT) || doc_members(value) != json_object_size(expected))
            return false;
        const char *name;
        json_t *member;
        json_object_foreach(expected, name, member)
        {
            struct doc_ref m = doc_getz(value, name);
            if (!doc_exists(m) || !reference_same(m, member))
                return false;
        }
        return true;
    }
    return false;
}

/* Whether jansson's refusal is one that we need not share. */
static inline bool reference_may_refuse(const json_error_t *error)
{
    return json_error_code(error) == json_error_null_byte_in_key ||
           (json_error_code(error) == json_error_numeric_overflow &&
            strncmp(error->text, "too big", 7) == 0);
}

/* What was read is written, and read again as the same by us and, where it can, by jansson. */
static inline const char *reference_check_writing(struct doc_ref root, json_t *expected)
{
    const char *fault = NULL;
    size_t size = 0;
    char *text = text_of_doc(root, &size);
    struct doc *copy = text ? doc_of_bytes(text, size) : NULL;
    json_t *again = text ? json_loadb(text, size, REFERENCE_FLAGS, NULL) : NULL;
    if (!copy)
        fault = "what was written is refused";
    else if (!doc_equal(root, doc_root(copy)) || !doc_equal(doc_root(copy), root))
        fault = "what was written reads otherwise";
    else if (expected && (!again || !reference_same(root, again)))
        fault = "jansson reads otherwise what was written";
    json_decref(again);
    free(copy);
    free(text);
    return fault;
}

/* Reads the text with both. NULL where they agree, else in what they do not. */
static inline const char *reference_check(struct doc_parser *parser, const char *text, size_t size)
{
    json_error_t error;
    struct doc_ref root;
    const char *fault = NULL;
    json_t *expected = json_loadb(text, size, REFERENCE_FLAGS, &error);
    enum doc_error verdict = parse_exact(parser, text, size, wide_limits, &root);
    if (verdict == DOC_OK) {
        if (size && memchr(text, '\0', size))
            fault = "accepted a raw NUL";
        else if (!expected && !reference_may_refuse(&error))
            fault = "accepted what jansson refuses";
        else if (expected && !reference_same(root, expected))
            fault = "read otherwise than jansson does";
        else
            fault = reference_check_writing(root, expected);
    } else if (verdict == DOC_BAD_JSON && expected && !(size && memchr(text, '\0', size))) {
        fault = "refused what jansson accepts";
    }
    json_decref(expected);
    return fault;
}

/* ---- operations ---- */

static inline bool reference_equal(json_t *a, json_t *b)
{
    if (json_is_number(a) && json_is_number(b))
        return json_number_value(a) == json_number_value(b);
    if (json_typeof(a) != json_typeof(b))
        return false;
    if (json_is_array(a)) {
        size_t size = json_array_size(a);
        bool equal = size == json_array_size(b);
        for (size_t i = 0; equal && i < size; i++)
            equal = reference_equal(json_array_get(a, i), json_array_get(b, i));
        return equal;
    }
    if (!json_is_object(a))
        return json_equal(a, b);
    const char *name;
    json_t *member;
    bool equal = json_object_size(a) == json_object_size(b);
    json_object_foreach(a, name, member)
    {
        json_t *other = json_object_get(b, name);
        equal = equal && other && reference_equal(member, other);
    }
    return equal;
}

/* RFC 7396, section 2, line by line. `target` may be NULL. */
static inline json_t *reference_merge(json_t *target, json_t *patch)
{
    if (!json_is_object(patch))
        return json_deep_copy(patch);
    json_t *result = json_is_object(target) ? json_deep_copy(target) : json_object();
    const char *name;
    json_t *value;
    json_object_foreach(patch, name, value)
    {
        if (json_is_null(value))
            json_object_del(result, name);
        else
            json_object_set_new(result, name,
                                reference_merge(json_object_get(result, name), value));
    }
    return result;
}

/* Contract §4. */
static inline json_t *reference_delta(json_t *desired, json_t *reported)
{
    if (!json_is_object(desired) || !json_is_object(reported))
        return json_deep_copy(desired);
    json_t *result = json_object();
    const char *name;
    json_t *value;
    json_object_foreach(desired, name, value)
    {
        json_t *other = json_object_get(reported, name);
        if (other && json_is_object(value) && json_is_object(other)) {
            json_t *inner = reference_delta(value, other);
            if (json_object_size(inner) > 0)
                json_object_set(result, name, inner);
            json_decref(inner);
        } else if (!other || !reference_equal(value, other)) {
            json_object_set_new(result, name, json_deep_copy(value));
        }
    }
    return result;
}

static inline json_t *reference_without_nulls(json_t *value)
{
    const char *name;
    size_t index;
    json_t *member;
    if (json_is_array(value)) {
        json_t *result = json_array();
        json_array_foreach(value, index, member)
            json_array_append_new(result, reference_without_nulls(member));
        return result;
    }
    if (!json_is_object(value))
        return json_deep_copy(value);
    json_t *result = json_object();
    json_object_foreach(value, name, member)
    {
        if (!json_is_null(member))
            json_object_set_new(result, name, reference_without_nulls(member));
    }
    return result;
}

#endif
