/* Writing a document as JSON (twin/doc.h). It is done for every answer: room is made once for each
 * member, and written to without another look. */
#include "twin/doc.h"

#include "twin/json_put.h"

enum {
    PLAIN_DECIMALS = 18, /* more digits behind the point are written with an exponent */
    SCALAR_BYTES = 48,   /* more than the longest decimal and its comma */
};

static uint64_t magnitude(int64_t value)
{
    return value < 0 ? (uint64_t)0 - (uint64_t)value : (uint64_t)value;
}

static char *put_int(char *at, int64_t value)
{
    char digits[PUT_DIGITS_MAX], *end = digits + sizeof digits;
    char *first = put_digits_before(end, magnitude(value));
    if (value < 0)
        *at++ = '-';
    memcpy(at, first, (size_t)(end - first));
    return at + (end - first);
}

static char *put_decimal(char *at, int64_t mantissa, int exponent)
{
    if (exponent >= 0 || exponent < -PLAIN_DECIMALS) {
        at = put_int(at, mantissa);
        if (exponent == 0)
            return at;
        *at++ = 'e';
        return put_int(at, exponent);
    }
    /* With zeros in front, so that there is a digit before the point. */
    char digits[PLAIN_DECIMALS + PUT_DIGITS_MAX], *end = digits + sizeof digits;
    size_t decimals = (size_t)-exponent;
    char *first = put_digits_before(end, magnitude(mantissa));
    while ((size_t)(end - first) <= decimals)
        *--first = '0';
    size_t whole = (size_t)(end - first) - decimals;
    if (mantissa < 0)
        *at++ = '-';
    memcpy(at, first, whole);
    at[whole] = '.';
    memcpy(at + whole + 1, end - decimals, decimals);
    return at + whole + 1 + decimals;
}

static const struct doc_node *write_box(struct buf *buf, const struct doc_node *box,
                                        const char *heap);

/* Writes the value at `node` to `at`, the end of what is written, where there is room for
 * SCALAR_BYTES, and returns what stands behind it. */
static const struct doc_node *write_value(struct buf *buf, char *at, const struct doc_node *node,
                                          const char *heap)
{
    switch ((enum doc_type)node->type) {
    case DOC_NULL:
        memcpy(at, "null", 4);
        at += 4;
        break;
    case DOC_FALSE:
        memcpy(at, "false", 5);
        at += 5;
        break;
    case DOC_TRUE:
        memcpy(at, "true", 4);
        at += 4;
        break;
    case DOC_DECIMAL:
        at = put_decimal(at, node->u.mantissa, node->exponent);
        break;
    case DOC_DIGITS:
        buf->size_bytes = (size_t)(at - buf->data);
        buf_add(buf, heap + node->u.text.at, node->u.text.len);
        return node + 1;
    case DOC_STRING:
        buf->size_bytes = (size_t)(at - buf->data);
        buf_json_string(buf, heap + node->u.text.at, node->u.text.len);
        return node + 1;
    case DOC_OBJECT:
    case DOC_ARRAY:
        buf->size_bytes = (size_t)(at - buf->data);
        return write_box(buf, node, heap);
    }
    buf->size_bytes = (size_t)(at - buf->data);
    return node + 1;
}

/* The name with its colon; where the value goes, with room for SCALAR_BYTES. NULL: no memory. */
static char *write_name(struct buf *buf, char *at, const struct doc_node *node, const char *heap)
{
    if (put_plain(at + 1, heap + node->name, node->name_len)) {
        *at++ = '"';
        at += node->name_len;
        *at++ = '"';
        *at++ = ':';
        return at;
    }
    buf->size_bytes = (size_t)(at - buf->data);
    buf_json_string(buf, heap + node->name, node->name_len);
    buf_addc(buf, ':');
    return buf_room(buf, SCALAR_BYTES);
}

static const struct doc_node *write_box(struct buf *buf, const struct doc_node *box,
                                        const char *heap)
{
    const struct doc_node *node = box + 1, *end = box + box->u.box.span;
    bool object = box->type == DOC_OBJECT;
    char before = object ? '{' : '[';
    if (node == end)
        buf_addc(buf, before);
    while (node < end) {
        char *at = buf_room(buf, node->name_len + sizeof ",\"\":" + SCALAR_BYTES);
        if (!at)
            return end;
        *at++ = before;
        before = ',';
        if (object)
            at = write_name(buf, at, node, heap);
        if (!at)
            return end;
        node = write_value(buf, at, node, heap);
    }
    buf_addc(buf, object ? '}' : ']');
    return end;
}

void doc_write(struct buf *buf, struct doc_ref value)
{
    char *at = buf_room(buf, SCALAR_BYTES);
    if (at)
        write_value(buf, at, value.node, value.heap);
}
