/*
 * fuzz_doc: any bytes through the JSON reader and the operations on documents.
 *
 * The input is one JSON text, or two with a byte 0x00 between them (no JSON text holds one). Each
 * is judged as jansson judges it, and written and read again; two are merged, compared and
 * subtracted as the slow reference does it.
 */
#include "tests/unit/doc_reference.h"

#include <stdint.h>
#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds, const char *what)
{
    if (!holds) {
        fprintf(stderr, "broken: %s\n", what);
        abort();
    }
}

static void require_same(struct doc *got, json_t *expected, const char *what)
{
    require(got != NULL, "an operation succeeds");
    if (expected)
        require(reference_same(doc_root(got), expected), what);
    struct doc *copy = doc_copy(doc_root(got));
    require(copy && doc_bytes(copy) == doc_bytes(got) && memcmp(copy, got, doc_bytes(got)) == 0,
            "a copy is the same bytes");
    free(copy);
    free(got);
    json_decref(expected);
}

static void check_pair(struct doc_ref a, struct doc_ref b, json_t *p, json_t *q)
{
    bool equal = doc_equal(a, b);
    require(equal == doc_equal(b, a), "equality is symmetric");
    if (doc_is_number(a) && doc_is_number(b)) {
        int order = doc_number_compare(a, b), back = doc_number_compare(b, a);
        require((order > 0) == (back < 0) && (order < 0) == (back > 0), "order is antisymmetric");
        require(equal == (order == 0), "equal numbers compare as equal");
        double x = doc_number(a), y = doc_number(b);
        require(!(x < y && order > 0) && !(x > y && order < 0), "order is that of the doubles");
    }
    /* The reference compares numbers as doubles: where only the operations look at them, their
     * results hold members of the one or of the other, so it is asked about merging alone. */
    require_same(doc_merge(a, b), p && q ? reference_merge(p, q) : NULL, "merge");

    struct doc *clean = doc_without_nulls(a);
    struct doc *delta = doc_delta(doc_root(clean), b);
    struct doc *merged = doc_merge(b, doc_root(delta));
    struct doc *rest = doc_delta(doc_root(clean), doc_root(merged));
    require(clean && delta && merged && rest, "an operation succeeds");
    if (doc_is(a, DOC_OBJECT) && doc_is(b, DOC_OBJECT))
        require(doc_members(doc_root(rest)) == 0, "the delta merged leaves no delta");
    free(clean);
    free(delta);
    free(merged);
    free(rest);
}

static void check_one(struct doc_parser *parser, const char *text, size_t size)
{
    const char *fault = reference_check(parser, text, size);
    require(!fault, fault);
    require(doc_parser_offset(parser) <= size, "the place of a fault lies in the text");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *nul = size ? memchr(text, '\0', size) : NULL;
    struct doc_parser *parser = doc_parser_new();
    require(parser != NULL, "memory");
    check_one(parser, text, size);
    if (nul) {
        size_t first = (size_t)(nul - text), second = size - first - 1;
        check_one(parser, text, first);
        check_one(parser, nul + 1, second);
        struct doc *a = doc_of_bytes(text, first), *b = doc_of_bytes(nul + 1, second);
        if (a && b) {
            json_t *p = json_loadb(text, first, REFERENCE_FLAGS, NULL);
            json_t *q = json_loadb(nul + 1, second, REFERENCE_FLAGS, NULL);
            check_pair(doc_root(a), doc_root(b), p, q);
            json_decref(p);
            json_decref(q);
        }
        free(a);
        free(b);
    }
    doc_parser_free(parser);
    return 0;
}
