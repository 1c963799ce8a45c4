/* Reading JSON into nodes: one pass over a private copy of the text, strings unescaped in place
 * (the unescaped form is never longer), so that nothing is allocated per value. */
#include "twin/doc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    FIRST_NODES = 64,
    FIRST_HEAP_BYTES = 1024,
    PAIRWISE_MEMBERS = 16, /* up to here duplicate names are looked for pair by pair */
    MANTISSA_DIGITS = 18,  /* always fit into 63 bits */
    /* Beyond, a written exponent is just "very large": no text has as many digits to offset it. */
    EXPONENT_LIMIT = 4 * DOC_MAX_BYTES,
};

struct frame {
    uint32_t node;
    bool object;
};

struct doc_parser {
    struct doc_node *nodes;
    uint64_t *signatures; /* per node: the first bytes of its name, to tell names apart quickly */
    uint32_t count, capacity;
    char *heap;
    size_t heap_capacity;
    uint32_t *order; /* workspace of the search for duplicate names */
    size_t order_capacity;
    size_t offset;
    const char *reason;
    struct frame frames[DOC_MAX_DEPTH];
};

/* What a byte is inside a string. */
enum { PLAIN, STOP, LEAD2, LEAD3, LEAD4, BAD };
static const uint8_t string_class[256] = {
    [0 ... 0x1f] = STOP,     ['"'] = STOP,
    ['\\'] = STOP,           [0x80 ... 0xc1] = BAD,
    [0xc2 ... 0xdf] = LEAD2, [0xe0 ... 0xef] = LEAD3,
    [0xf0 ... 0xf4] = LEAD4, [0xf5 ... 0xff] = BAD,
};

struct doc_parser *doc_parser_new(void)
{
    return calloc(1, sizeof(struct doc_parser));
}

void doc_parser_free(struct doc_parser *parser)
{
    if (!parser)
        return;
    free(parser->nodes);
    free(parser->signatures);
    free(parser->heap);
    free(parser->order);
    free(parser);
}

size_t doc_parser_offset(const struct doc_parser *parser)
{
    return parser->offset;
}

const char *doc_parser_reason(const struct doc_parser *parser)
{
    return parser->reason ? parser->reason : "";
}

static bool grow_nodes(struct doc_parser *parser)
{
    uint32_t capacity = parser->capacity ? parser->capacity * 2 : FIRST_NODES;
    struct doc_node *nodes = realloc(parser->nodes, capacity * sizeof *nodes);
    if (!nodes)
        return false;
    parser->nodes = nodes;
    uint64_t *signatures = realloc(parser->signatures, capacity * sizeof *signatures);
    if (!signatures)
        return false;
    parser->signatures = signatures;
    parser->capacity = capacity;
    return true;
}

static bool load_text(struct doc_parser *parser, const char *text, size_t size)
{
    if (parser->heap_capacity <= size) {
        size_t capacity = size + 1 > FIRST_HEAP_BYTES ? size + 1 : FIRST_HEAP_BYTES;
        char *heap = realloc(parser->heap, capacity);
        if (!heap)
            return false;
        parser->heap = heap;
        parser->heap_capacity = capacity;
    }
    if (size)
        memcpy(parser->heap, text, size);
    parser->heap[size] = '\0'; /* the sentinel: no byte of JSON is NUL, so every scan stops here */
    return true;
}

/* ---- strings ---- */

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Four hex digits at `at`; -1 where they are not. Stops at the sentinel. */
static int hex_unit(const char *at)
{
    int sum = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(at[i]);
        if (digit < 0)
            return -1;
        sum = sum * 16 + digit;
    }
    return sum;
}

static char *put_utf8(char *out, uint32_t code)
{
    if (code < 0x80) {
        *out++ = (char)code;
    } else if (code < 0x800) {
        *out++ = (char)(0xc0 | code >> 6);
        *out++ = (char)(0x80 | (code & 0x3f));
    } else if (code < 0x10000) {
        *out++ = (char)(0xe0 | code >> 12);
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    } else {
        *out++ = (char)(0xf0 | code >> 18);
        *out++ = (char)(0x80 | (code >> 12 & 0x3f));
        *out++ = (char)(0x80 | (code >> 6 & 0x3f));
        *out++ = (char)(0x80 | (code & 0x3f));
    }
    return out;
}

/* The escape at `at` (on the backslash) into *out. NULL where it is none. */
static const char *unescape(const char *at, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    char c = at[1];
    const char *simple = c ? strchr(from, c) : NULL;
    if (simple) {
        *(*out)++ = to[simple - from];
        return at + 2;
    }
    if (c != 'u')
        return NULL;
    int unit = hex_unit(at + 2);
    if (unit < 0 || (unit >= 0xdc00 && unit <= 0xdfff))
        return NULL;
    at += 6;
    uint32_t code = (uint32_t)unit;
    if (unit >= 0xd800 && unit <= 0xdbff) {
        int low = at[0] == '\\' && at[1] == 'u' ? hex_unit(at + 2) : -1;
        if (low < 0xdc00 || low > 0xdfff)
            return NULL;
        code = 0x10000 + (((uint32_t)unit & 0x3ff) << 10) + ((uint32_t)low & 0x3ff);
        at += 6;
    }
    *out = put_utf8(*out, code);
    return at;
}

/* Length of the multi-byte UTF-8 sequence at `at`, 0 where it is not valid (RFC 3629). */
static size_t utf8_length(const unsigned char *at)
{
    switch (string_class[at[0]]) {
    case LEAD2:
        return (at[1] & 0xc0) == 0x80 ? 2 : 0;
    case LEAD3:
        if ((at[1] & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80 || (at[0] == 0xe0 && at[1] < 0xa0) ||
            (at[0] == 0xed && at[1] > 0x9f))
            return 0;
        return 3;
    case LEAD4:
        if ((at[1] & 0xc0) != 0x80 || (at[2] & 0xc0) != 0x80 || (at[3] & 0xc0) != 0x80 ||
            (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
            return 0;
        return 4;
    default:
        return 0;
    }
}

/* Reads the string whose opening quote is at `at`, in place. Returns what comes behind its closing
 * quote; NULL, with *fault at the offending byte. */
static char *read_string(char *at, char **start, size_t *size, const char **fault)
{
    char *in = at + 1, *out;
    *start = in;
    while (string_class[(unsigned char)*in] == PLAIN)
        in++;
    if (*in == '"') { /* nearly always: no escapes, ASCII */
        *size = (size_t)(in - *start);
        return in + 1;
    }
    out = in;
    for (;;) {
        unsigned char c = (unsigned char)*in;
        size_t length;
        switch (string_class[c]) {
        case PLAIN:
            *out++ = *in++;
            continue;
        case STOP:
            if (c == '"') {
                *size = (size_t)(out - *start);
                return in + 1;
            }
            if (c == '\\') {
                const char *behind = unescape(in, &out);
                if (behind) {
                    in += behind - in;
                    continue;
                }
            }
            *fault = in;
            return NULL;
        default:
            length = utf8_length((const unsigned char *)in);
            if (length == 0) {
                *fault = in;
                return NULL;
            }
            memmove(out, in, length);
            in += length;
            out += length;
        }
    }
}

/* ---- numbers ---- */

/* Reads the number at `at` into `node`. Returns what is behind it; NULL where it is none. A number
 * that does not fit a decimal keeps its text. */
static char *read_number(struct doc_parser *parser, char *at, struct doc_node *node)
{
    char *start = at;
    bool negative = *at == '-', exact = true;
    int64_t mantissa = 0;
    int digits = 0;
    long exponent = 0, written = 0;

    if (negative)
        at++;
    if (*at == '0' && at[1] >= '0' && at[1] <= '9')
        return NULL;
    if (*at < '0' || *at > '9')
        return NULL;
    for (; *at >= '0' && *at <= '9'; at++) {
        if (digits < MANTISSA_DIGITS)
            mantissa = mantissa * 10 + (*at - '0');
        digits += digits > 0 || *at != '0';
    }
    if (*at == '.') {
        at++;
        if (*at < '0' || *at > '9')
            return NULL;
        for (; *at >= '0' && *at <= '9'; at++) {
            if (digits < MANTISSA_DIGITS)
                mantissa = mantissa * 10 + (*at - '0');
            digits += digits > 0 || *at != '0';
            exponent--;
        }
    }
    exact = digits <= MANTISSA_DIGITS;
    if (*at == 'e' || *at == 'E') {
        at++;
        bool down = *at == '-';
        if (*at == '+' || *at == '-')
            at++;
        if (*at < '0' || *at > '9')
            return NULL;
        for (; *at >= '0' && *at <= '9'; at++)
            if (written < EXPONENT_LIMIT)
                written = written * 10 + (*at - '0');
        exponent += down ? -written : written;
    }
    if (exact && exponent >= INT8_MIN && exponent <= INT8_MAX && !(negative && mantissa == 0)) {
        node->type = DOC_DECIMAL;
        node->exponent = (int8_t)exponent;
        node->u.mantissa = negative ? -mantissa : mantissa;
        return at;
    }
    node->type = DOC_DIGITS;
    node->u.text.at = (uint32_t)(start - parser->heap);
    node->u.text.len = (uint32_t)(at - start);
    char behind = *at;
    *at = '\0';
    bool finite = isfinite(strtod(start, NULL));
    *at = behind;
    return finite ? at : NULL;
}

/* ---- duplicate names ---- */

static uint64_t name_signature(const char *name, size_t size)
{
    uint64_t first = 0;
    memcpy(&first, name, size < sizeof first ? size : sizeof first);
    return first ^ (uint64_t)size << 56;
}

static int name_order(const void *a, const void *b, void *closure)
{
    const struct doc_parser *parser = closure;
    const struct doc_node *x = &parser->nodes[*(const uint32_t *)a];
    const struct doc_node *y = &parser->nodes[*(const uint32_t *)b];
    if (x->name_len != y->name_len)
        return x->name_len < y->name_len ? -1 : 1;
    return memcmp(parser->heap + x->name, parser->heap + y->name, x->name_len);
}

static uint32_t node_span(const struct doc_node *node)
{
    return node->type >= DOC_ARRAY ? node->u.box.span : 1;
}

/* True where two members of the object have one name. Few members are compared pair by pair, many
 * are sorted, so that a hostile object costs n log n. */
static enum doc_error check_names(struct doc_parser *parser, uint32_t object)
{
    uint32_t members = parser->nodes[object].u.box.members;
    if (members < 2)
        return DOC_OK;
    if (parser->order_capacity < members) {
        uint32_t *order = realloc(parser->order, (size_t)members * 2 * sizeof *order);
        if (!order)
            return DOC_NO_MEMORY;
        parser->order = order;
        parser->order_capacity = (size_t)members * 2;
    }
    uint32_t at = object + 1;
    for (uint32_t i = 0; i < members; i++) {
        parser->order[i] = at;
        at += node_span(&parser->nodes[at]);
    }
    if (members <= PAIRWISE_MEMBERS) {
        for (uint32_t i = 1; i < members; i++) {
            uint64_t signature = parser->signatures[parser->order[i]];
            for (uint32_t j = 0; j < i; j++)
                if (signature == parser->signatures[parser->order[j]] &&
                    name_order(&parser->order[i], &parser->order[j], parser) == 0)
                    return DOC_BAD_JSON;
        }
        return DOC_OK;
    }
    qsort_r(parser->order, members, sizeof *parser->order, name_order, parser);
    for (uint32_t i = 1; i < members; i++)
        if (name_order(&parser->order[i - 1], &parser->order[i], parser) == 0)
            return DOC_BAD_JSON;
    return DOC_OK;
}

/* ---- the whole ---- */

static inline char *skip_space(char *at)
{
    while (*at == ' ' || *at == '\n' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

static enum doc_error fail(struct doc_parser *parser, enum doc_error error, const char *at,
                           const char *reason)
{
    parser->offset = at ? (size_t)(at - parser->heap) : 0;
    parser->reason = reason;
    return error;
}

static char *read_literal(char *at, struct doc_node *node)
{
    static const struct {
        const char *text;
        size_t size;
        enum doc_type type;
    } literals[] = {{"true", 4, DOC_TRUE}, {"false", 5, DOC_FALSE}, {"null", 4, DOC_NULL}};
    for (size_t i = 0; i < sizeof literals / sizeof *literals; i++) {
        if (strncmp(at, literals[i].text, literals[i].size) == 0) {
            node->type = (uint8_t)literals[i].type;
            return at + literals[i].size;
        }
    }
    return NULL;
}

/* A scalar at `at` into `node`; NULL, with *fault, where there is none. */
static char *read_scalar(struct doc_parser *parser, char *at, struct doc_node *node,
                         const char **fault)
{
    char *behind, *start;
    size_t size;
    *fault = at;
    switch (*at) {
    case '"':
        behind = read_string(at, &start, &size, fault);
        if (behind) {
            node->type = DOC_STRING;
            node->u.text.at = (uint32_t)(start - parser->heap);
            node->u.text.len = (uint32_t)size;
        }
        return behind;
    case '-':
    case '0' ... '9':
        return read_number(parser, at, node);
    default:
        return read_literal(at, node);
    }
}

enum doc_error doc_parse(struct doc_parser *parser, const char *text, size_t size,
                         struct doc_limits limits, struct doc_ref *root)
{
    parser->count = 0;
    if (size > limits.max_bytes || size > DOC_MAX_BYTES)
        return fail(parser, DOC_TOO_LARGE, NULL, "the text is too large");
    if (!load_text(parser, text, size))
        return fail(parser, DOC_NO_MEMORY, NULL, "out of memory");

    unsigned depth = 0,
             max_depth = limits.max_depth < DOC_MAX_DEPTH ? limits.max_depth : DOC_MAX_DEPTH;
    char *at = parser->heap, *name = at;
    size_t name_size = 0;
    const char *fault = at;

value:
    at = skip_space(at);
    if (parser->count == parser->capacity && !grow_nodes(parser))
        return fail(parser, DOC_NO_MEMORY, at, "out of memory");
    uint32_t index = parser->count++;
    struct doc_node *node = &parser->nodes[index];
    *node =
        (struct doc_node){.name = (uint32_t)(name - parser->heap), .name_len = (uint16_t)name_size};
    parser->signatures[index] = name_signature(name, name_size);

    if (*at == '{' || *at == '[') {
        bool object = *at == '{';
        if (depth == max_depth)
            return fail(parser, DOC_TOO_DEEP, at, "nested too deeply");
        node->type = object ? DOC_OBJECT : DOC_ARRAY;
        parser->frames[depth++] = (struct frame){index, object};
        at = skip_space(at + 1);
        if (*at == (object ? '}' : ']'))
            goto close;
        goto next;
    }
    char *behind = read_scalar(parser, at, node, &fault);
    if (!behind)
        return fail(parser, DOC_BAD_JSON, fault, "not a JSON value");
    at = behind;

after:
    if (depth == 0)
        goto done;
    at = skip_space(at);
    if (*at == ',') {
        at++;
        goto next;
    }
    if (*at != (parser->frames[depth - 1].object ? '}' : ']'))
        return fail(parser, DOC_BAD_JSON, at, "expected a comma or the end of the container");

close:
    depth--;
    node = &parser->nodes[parser->frames[depth].node];
    node->u.box.span = parser->count - parser->frames[depth].node;
    if (parser->frames[depth].object) {
        enum doc_error error = check_names(parser, parser->frames[depth].node);
        if (error)
            return fail(parser, error, at,
                        error == DOC_BAD_JSON ? "duplicate member name" : "out of memory");
    }
    at++;
    goto after;

next: /* the next element of the innermost container */
    parser->nodes[parser->frames[depth - 1].node].u.box.members++;
    name_size = 0;
    if (!parser->frames[depth - 1].object)
        goto value;
    at = skip_space(at);
    if (*at != '"')
        return fail(parser, DOC_BAD_JSON, at, "expected a member name");
    behind = read_string(at, &name, &name_size, &fault);
    if (!behind)
        return fail(parser, DOC_BAD_JSON, fault, "bad string");
    if (name_size > DOC_MAX_NAME_BYTES)
        return fail(parser, DOC_TOO_LARGE, at, "member name too long");
    at = skip_space(behind);
    if (*at != ':')
        return fail(parser, DOC_BAD_JSON, at, "expected a colon");
    at++;
    goto value;

done:
    at = skip_space(at);
    if (at != parser->heap + size)
        return fail(parser, DOC_BAD_JSON, at, "something follows the JSON value");
    parser->offset = size;
    parser->reason = NULL;
    *root = (struct doc_ref){parser->nodes, parser->heap};
    return DOC_OK;
}
