/*
 * doc: one JSON value, immutable, typed, in one block of memory.
 *
 * A document is an array of 16-byte nodes in document order and a heap of names and strings. A
 * container's node knows how many nodes it spans, so that siblings are found without pointers,
 * and a number keeps its decimal mantissa and exponent: it compares as a value and is written
 * back digit for digit. Nothing of the text has to be kept.
 *
 * Reading is strict: RFC 8259 with the limits of I-JSON (RFC 7493): valid UTF-8, no lone
 * surrogates, no duplicate member names (compared after unescaping), no number beyond the range
 * of a double. `\u0000` is allowed. Depth and size are the caller's bounds; a member name has at
 * most DOC_MAX_NAME_BYTES.
 *
 * Ownership: `struct doc` is one malloc'd block; free() it. A `struct doc_ref` points into a doc
 *            and lives as long as it.
 * Threads: a doc is immutable and may be read by any number of threads; a doc_parser belongs to
 *          one thread at a time.
 * Errors: NULL, or an enum doc_error; outputs are written only on success.
 */
#ifndef TWIN_DOC_H
#define TWIN_DOC_H

#include "twin/buf.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum doc_type {
    DOC_NULL,
    DOC_FALSE,
    DOC_TRUE,
    DOC_DECIMAL, /* mantissa × 10^exponent */
    DOC_DIGITS,  /* a number that does not fit a decimal, as its text */
    DOC_STRING,
    DOC_ARRAY,
    DOC_OBJECT,
};

enum doc_error {
    DOC_OK,
    DOC_BAD_JSON, /* not RFC 8259, bad UTF-8, a duplicate name, a number out of range */
    DOC_TOO_DEEP,
    DOC_TOO_LARGE,
    DOC_NO_MEMORY,
};

struct doc_node {
    uint32_t name; /* offset of the member's name in the heap */
    uint16_t name_len;
    uint8_t type;    /* enum doc_type */
    int8_t exponent; /* DOC_DECIMAL */
    union {
        int64_t mantissa; /* DOC_DECIMAL */
        struct {
            uint32_t at, len;
        } text; /* DOC_STRING, DOC_DIGITS: in the heap */
        struct {
            uint32_t members, span;
        } box; /* DOC_ARRAY, DOC_OBJECT: direct members; nodes in all, itself included */
    } u;
};

struct doc {
    uint32_t node_count;
    uint32_t heap_bytes;
    struct doc_node nodes[]; /* followed by the heap */
};

/* A value within a document. `node` NULL means: there is none. */
struct doc_ref {
    const struct doc_node *node;
    const char *heap;
};

/* ---- reading ---- */

#define DOC_MAX_BYTES (16u << 20) /* no caller may ask for more */
enum { DOC_MAX_NAME_BYTES = UINT16_MAX, DOC_MAX_DEPTH = 255 };

struct doc_limits {
    size_t max_bytes;
    unsigned
        max_depth; /* an array or object that holds no other has depth 1; at most DOC_MAX_DEPTH */
};

struct doc_parser;
struct doc_parser *doc_parser_new(void);
void doc_parser_free(struct doc_parser *parser);

/* Reads one whole JSON text. *root points into the parser and is valid until its next parse. */
enum doc_error doc_parse(struct doc_parser *parser, const char *text, size_t size,
                         struct doc_limits limits, struct doc_ref *root);
/* Where the last parse stopped, in bytes, and why in English; for error messages. */
size_t doc_parser_offset(const struct doc_parser *parser);
const char *doc_parser_reason(const struct doc_parser *parser);

/* A document of its own out of a value: a deep copy. NULL when there is no memory. */
struct doc *doc_copy(struct doc_ref value);
/* The same with a header of `header_bytes` before it in the same block; *doc is set to the
 * document inside. `header_bytes` is a multiple of 16. */
void *doc_copy_behind(struct doc_ref value, size_t header_bytes, struct doc **doc);
size_t doc_bytes(const struct doc *doc); /* size of the block */

/* ---- looking ---- */

struct doc_ref doc_root(const struct doc *doc); /* of NULL: no value */
static inline bool doc_exists(struct doc_ref value)
{
    return value.node != NULL;
}
static inline enum doc_type doc_type(struct doc_ref value)
{
    return (enum doc_type)value.node->type;
}
static inline bool doc_is(struct doc_ref value, enum doc_type type)
{
    return value.node && value.node->type == type;
}
bool doc_is_number(struct doc_ref value);
/* Direct members of an object or array, 0 for anything else. */
size_t doc_members(struct doc_ref value);
/* The first member, then the next: for (m = doc_first(v); doc_exists(m); m = doc_next(v, m)). */
struct doc_ref doc_first(struct doc_ref container);
struct doc_ref doc_next(struct doc_ref container, struct doc_ref member);
/* A member of an object by name; no value where there is none or it is no object. */
struct doc_ref doc_get(struct doc_ref object, const char *name, size_t name_size);
struct doc_ref doc_getz(struct doc_ref object, const char *name);
const char *doc_name(struct doc_ref member, size_t *size);   /* not NUL-terminated */
const char *doc_string(struct doc_ref string, size_t *size); /* not NUL-terminated */
double doc_number(struct doc_ref number);
/* The value where it is a whole number that fits; false otherwise. 1.0 and 1e3 are whole. */
bool doc_int(struct doc_ref value, int64_t *out);

/* ---- comparing and writing ---- */

/* Equal as JSON values: numbers by value, members of objects in any order. */
bool doc_equal(struct doc_ref a, struct doc_ref b);
/* Numbers by value: <0, 0, >0. */
int doc_number_compare(struct doc_ref a, struct doc_ref b);
/* Appends the value as JSON, members in document order. */
void doc_write(struct buf *buf, struct doc_ref value);

/* ---- building ---- */

/* RFC 7396: `patch` applied to `target` (either may be no value). A new document.
 * NULL when there is no memory. */
struct doc *doc_merge(struct doc_ref target, struct doc_ref patch);
/* The value without the null members of its objects, at any depth below arrays too
 * (contract §4). NULL when there is no memory. */
struct doc *doc_without_nulls(struct doc_ref value);
/* The part of `desired` that `reported` does not match (contract §4): recursive through objects,
 * a missing key differs, arrays as wholes, numbers by value, a type mismatch copies the desired
 * side. An object, `{}` where nothing differs. NULL when there is no memory. */
struct doc *doc_delta(struct doc_ref desired, struct doc_ref reported);

#endif
