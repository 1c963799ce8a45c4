/* order_by: sort keys, their order, and their bytes in page tokens. */
#include "twin/filter_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct order_key {
    struct operand operand;
    bool descending;
};

struct order {
    size_t count;
    struct order_key keys[];
};

/* ---- reading ---- */

static bool direction_read(struct lex *lex, bool *descending)
{
    lex_peek(lex);
    struct slice word = lex_word(lex);
    *descending = slice_is(word, "desc");
    if (*descending || slice_is(word, "asc"))
        lex->at += word.size;
    int c = lex_peek(lex);
    if (c == LEX_END || c == ',')
        return true;
    return lex_unexpected(lex, lex->at, "asc, desc, a comma or the end");
}

static bool key_read(enum path_kind kind, struct lex *lex, struct order_key *key)
{
    *key = (struct order_key){.operand.kind = OPERAND_PATH};
    lex_peek(lex);
    struct lex ahead = *lex;
    struct slice word = lex_word(lex);
    ahead.at += word.size;
    bool call = word.size > 0 && lex_peek(&ahead) == '(';
    if (call && !slice_is(word, "distance"))
        return lex_fail(lex, lex->at, "the only function to order by is distance(path, lat, lon)");
    if (call) {
        lex->at += word.size;
        if (!distance_read(kind, lex, &key->operand))
            return false;
    } else {
        key->operand.path = path_read(kind, lex, PLACE_ALONE);
        if (!key->operand.path)
            return false;
    }
    if (direction_read(lex, &key->descending))
        return true;
    operand_done(&key->operand);
    return false;
}

static bool keys_read(enum path_kind kind, struct lex *lex, struct order_key *keys, size_t *count)
{
    if (lex_peek(lex) == LEX_END)
        return true;
    do {
        lex_peek(lex);
        if (*count == ORDER_MAX_KEYS)
            return lex_fail(lex, lex->at, "there are at most %d keys to order by", ORDER_MAX_KEYS);
        if (!key_read(kind, lex, &keys[*count]))
            return false;
        ++*count;
    } while (lex_take(lex, ','));
    return true;
}

struct order *order_compile(enum path_kind kind, const char *text, size_t size,
                            struct text_error *error)
{
    struct lex lex;
    struct order_key keys[ORDER_MAX_KEYS];
    size_t count = 0;
    struct order *order = NULL;
    lex_init(&lex, text, size, 0, error);
    if (!keys_read(kind, &lex, keys, &count))
        goto out;
    order = malloc(sizeof *order + count * sizeof *keys);
    if (!order) {
        lex_no_memory(&lex);
        goto out;
    }
    order->count = count;
    memcpy(order->keys, keys, count * sizeof *keys);
    count = 0; /* the order has them now */
out:
    while (count > 0)
        operand_done(&keys[--count].operand);
    lex_done(&lex);
    return order;
}

void order_free(struct order *order)
{
    if (!order)
        return;
    for (size_t i = 0; i < order->count; i++)
        operand_done(&order->keys[i].operand);
    free(order);
}

size_t order_keys(const struct order *order)
{
    return order->count;
}

const struct path *order_path(const struct order *order, size_t key)
{
    return key < order->count ? order->keys[key].operand.path : NULL;
}

bool order_descends(const struct order *order, size_t key)
{
    return order->keys[key].descending;
}

/* ---- ordering ---- */

void order_take(const struct order *order, const struct subject_of_query *subject,
                struct order_values *values)
{
    for (size_t i = 0; i < order->count; i++) {
        const struct operand *operand = &order->keys[i].operand;
        double lat, lon, distance_m = NAN;
        if (operand->kind == OPERAND_PATH) {
            values->key[i] = path_value(operand->path, subject);
            continue;
        }
        if (path_position(operand->path, subject, &lat, &lon))
            distance_m = geo_distance_m(operand->lat, operand->lon, lat, lon);
        values->key[i] =
            isnan(distance_m) ? (struct value){.type = VALUE_MISSING} : value_of_double(distance_m);
    }
}

enum rank { RANK_NUMBER, RANK_STRING, RANK_TIME, RANK_DURATION, RANK_BOOL, RANK_LAST };

static enum rank rank_of(const struct value *value)
{
    switch ((enum value_type)value->type) {
    case VALUE_NUMBER:
        return RANK_NUMBER;
    case VALUE_STRING:
        return RANK_STRING;
    case VALUE_TIME:
        return RANK_TIME;
    case VALUE_DURATION:
        return RANK_DURATION;
    case VALUE_BOOL:
        return RANK_BOOL;
    case VALUE_MISSING:
    case VALUE_NULL:
    case VALUE_OBJECT:
    case VALUE_ARRAY:
        break;
    }
    return RANK_LAST;
}

int order_compare(const struct order *order, const struct order_values *a,
                  const struct order_values *b)
{
    for (size_t i = 0; i < order->count; i++) {
        enum rank x = rank_of(&a->key[i]), y = rank_of(&b->key[i]);
        if (x == RANK_LAST || y == RANK_LAST) {
            if (x != y)
                return x == RANK_LAST ? 1 : -1;
            continue;
        }
        int result = x == y ? value_compare(&a->key[i], &b->key[i]) : (int)x - (int)y;
        if (result)
            return order->keys[i].descending ? -result : result;
    }
    return 0;
}

/* ---- page tokens ---- */

/* One byte says what follows. */
enum tag {
    TAG_LAST = 'l',
    TAG_FALSE = 'f',
    TAG_TRUE = 't',
    TAG_DOUBLE = 'g',
    TAG_DECIMAL = 'd',
    TAG_DIGITS = 'n',
    TAG_STRING = 's',
    TAG_TIME = 'i',
};

static void write_int(struct buf *out, uint64_t number, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++)
        buf_addc(out, (char)(number >> 8 * i & 0xff));
}

static void write_slice(struct buf *out, enum tag tag, struct slice slice)
{
    buf_addc(out, (char)tag);
    write_int(out, slice.size, 4);
    buf_add(out, slice.at, slice.size);
}

static void write_number(struct buf *out, const struct value *value)
{
    uint64_t bits;
    switch ((enum number_form)value->form) {
    case NUMBER_DOUBLE:
        buf_addc(out, TAG_DOUBLE);
        memcpy(&bits, &value->number, sizeof bits);
        write_int(out, bits, 8);
        return;
    case NUMBER_DECIMAL:
        buf_addc(out, TAG_DECIMAL);
        write_int(out, (uint64_t)value->mantissa, 8);
        write_int(out, (uint8_t)value->exponent, 1);
        return;
    case NUMBER_DIGITS:
        write_slice(out, TAG_DIGITS, value->string);
        return;
    }
}

void order_write(const struct order *order, const struct order_values *values, struct buf *out)
{
    for (size_t i = 0; i < order->count; i++) {
        const struct value *value = &values->key[i];
        switch ((enum value_type)value->type) {
        case VALUE_NUMBER:
            write_number(out, value);
            break;
        case VALUE_STRING:
            write_slice(out, TAG_STRING, value->string);
            break;
        case VALUE_BOOL:
            buf_addc(out, value->boolean ? TAG_TRUE : TAG_FALSE);
            break;
        case VALUE_TIME:
            buf_addc(out, TAG_TIME);
            write_int(out, (uint64_t)value->ns, 8);
            break;
        default:
            buf_addc(out, TAG_LAST);
        }
    }
}

/* The bytes as they are read; `failed` from the first that is missing on. */
struct source {
    const unsigned char *at, *end;
    bool failed;
};

static uint64_t read_int(struct source *source, size_t bytes)
{
    uint64_t number = 0;
    if (source->failed || (size_t)(source->end - source->at) < bytes) {
        source->failed = true;
        return 0;
    }
    for (size_t i = 0; i < bytes; i++)
        number |= (uint64_t)source->at[i] << 8 * i;
    source->at += bytes;
    return number;
}

static struct slice read_slice(struct source *source)
{
    size_t size = read_int(source, 4);
    if (source->failed || (size_t)(source->end - source->at) < size) {
        source->failed = true;
        return (struct slice){"", 0};
    }
    struct slice slice = {(const char *)source->at, size};
    source->at += size;
    return slice;
}

/* A number out of a node that lives no longer than this call. */
static struct value read_number(struct source *source, enum tag tag)
{
    struct doc_node node = {.type = DOC_DECIMAL};
    const char *heap = "";
    if (tag == TAG_DECIMAL) {
        node.u.mantissa = (int64_t)read_int(source, 8);
        node.exponent = (int8_t)read_int(source, 1);
    } else {
        struct slice digits = read_slice(source);
        node.type = DOC_DIGITS;
        node.u.text.len = (uint32_t)digits.size;
        heap = digits.at;
        if (digits.size == 0 || lex_number_size(digits.at, digits.size) != digits.size)
            source->failed = true;
    }
    if (source->failed)
        return (struct value){.type = VALUE_MISSING};
    struct value value = value_of_doc((struct doc_ref){&node, heap});
    value.doc = (struct doc_ref){NULL, NULL};
    if (!isfinite(value.number))
        source->failed = true;
    return value;
}

static struct value read_value(struct source *source)
{
    enum tag tag = (enum tag)read_int(source, 1);
    struct slice string;
    uint64_t bits;
    double number;
    switch (tag) {
    case TAG_LAST:
        break;
    case TAG_FALSE:
    case TAG_TRUE:
        return (struct value){.type = VALUE_BOOL, .boolean = tag == TAG_TRUE};
    case TAG_DOUBLE:
        bits = read_int(source, 8);
        memcpy(&number, &bits, sizeof number);
        if (!isfinite(number))
            source->failed = true;
        return value_of_double(number);
    case TAG_DECIMAL:
    case TAG_DIGITS:
        return read_number(source, tag);
    case TAG_STRING:
        string = read_slice(source);
        return value_of_string(string.at, string.size);
    case TAG_TIME:
        return (struct value){.type = VALUE_TIME, .ns = (int64_t)read_int(source, 8)};
    default:
        source->failed = true;
    }
    return (struct value){.type = VALUE_MISSING};
}

bool order_read(const struct order *order, const char *bytes, size_t size,
                struct order_values *values)
{
    struct order_values fresh;
    struct source source = {(const unsigned char *)bytes, (const unsigned char *)bytes + size,
                            false};
    for (size_t i = 0; i < order->count; i++)
        fresh.key[i] = read_value(&source);
    if (source.failed || source.at != source.end)
        return false;
    memcpy(values->key, fresh.key, order->count * sizeof *fresh.key);
    return true;
}
