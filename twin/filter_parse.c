/* From text to a filter: NOT, AND, OR and parentheses become jumps between terms. */
#include "twin/filter_impl.h"

#include <stdlib.h>
#include <string.h>

enum node_kind { NODE_TERM, NODE_AND, NODE_OR };

enum { NODES_MAX = 2 * FILTER_MAX_TERMS, NODE_NONE = UINT8_MAX };

/* A term, or two and more of these in one AND or OR. */
struct node {
    uint8_t kind; /* enum node_kind */
    bool negated;
    uint8_t term;
    uint8_t child, next; /* the first child, the next sibling; NODE_NONE */
    unsigned cost;
};

struct parser {
    struct reading reading;
    struct node nodes[NODES_MAX];
    size_t node_count, term_count;
    struct term terms[FILTER_MAX_TERMS];
};

static uint8_t node_new(struct parser *parser, enum node_kind kind)
{
    struct node *node = &parser->nodes[parser->node_count];
    *node = (struct node){.kind = (uint8_t)kind, .child = NODE_NONE, .next = NODE_NONE};
    return (uint8_t)parser->node_count++;
}

/* ---- reading ---- */

static bool level_read(struct parser *parser, unsigned depth, uint8_t *result);

static bool read_term(struct parser *parser, uint8_t *result)
{
    struct lex *lex = &parser->reading.lex;
    if (parser->term_count == FILTER_MAX_TERMS)
        return lex_fail(lex, lex->at, "a filter has at most %d terms", FILTER_MAX_TERMS);
    struct term *term = &parser->terms[parser->term_count];
    if (!term_read(&parser->reading, term))
        return false;
    *result = node_new(parser, NODE_TERM);
    parser->nodes[*result].term = (uint8_t)parser->term_count++;
    parser->nodes[*result].cost = term->cost;
    return true;
}

/* NOT, or a minus that belongs to no number. */
static bool take_not(struct lex *lex)
{
    int c = lex_peek(lex);
    if (c == '-' && !(lex->at + 1 < lex->size && lex_is_digit(lex->text[lex->at + 1]))) {
        lex->at++;
        return true;
    }
    struct slice word = lex_word(lex);
    if (!slice_is(word, "NOT"))
        return false;
    lex->at += word.size;
    return true;
}

static bool unary_read(struct parser *parser, unsigned depth, uint8_t *result)
{
    struct lex *lex = &parser->reading.lex;
    bool negated = false;
    while (take_not(lex))
        negated = !negated;
    if (lex_peek(lex) != '(') {
        if (!read_term(parser, result))
            return false;
    } else {
        if (depth == FILTER_MAX_DEPTH)
            return lex_fail(lex, lex->at, "parentheses are nested more than %d deep",
                            FILTER_MAX_DEPTH);
        lex->at++;
        if (!level_read(parser, depth + 1, result))
            return false;
        if (!lex_take(lex, ')'))
            return lex_unexpected(lex, lex->at, "AND, OR or )");
    }
    parser->nodes[*result].negated ^= negated;
    return true;
}

/* The AND or OR that is next, not taken; NODE_TERM where there is neither. */
static enum node_kind connector_next(struct lex *lex)
{
    lex_peek(lex);
    struct slice word = lex_word(lex);
    if (slice_is(word, "AND"))
        return NODE_AND;
    return slice_is(word, "OR") ? NODE_OR : NODE_TERM;
}

static bool fail_mixed(struct lex *lex)
{
    lex_fail(lex, lex->at,
             "AND and OR at one level need parentheses: readers disagree on which "
             "binds tighter");
    return lex_hint(lex, "write (a AND b) OR c, or a AND (b OR c)");
}

/* All that stands between two parentheses, or in the whole text. */
static bool level_read(struct parser *parser, unsigned depth, uint8_t *result)
{
    struct lex *lex = &parser->reading.lex;
    enum node_kind kind, level = NODE_TERM;
    uint8_t last, fresh;
    if (!unary_read(parser, depth, &last))
        return false;
    *result = last;
    while ((kind = connector_next(lex)) != NODE_TERM) {
        if (level != NODE_TERM && kind != level)
            return fail_mixed(lex);
        lex->at += lex_word(lex).size;
        if (!unary_read(parser, depth, &fresh))
            return false;
        if (level == NODE_TERM) {
            level = kind;
            *result = node_new(parser, kind);
            parser->nodes[*result].child = last;
            parser->nodes[*result].cost = parser->nodes[last].cost;
        }
        parser->nodes[last].next = fresh;
        parser->nodes[*result].cost += parser->nodes[fresh].cost;
        last = fresh;
    }
    return true;
}

static bool fail_behind(struct lex *lex)
{
    static const char *const lower[][2] = {{"and", "AND"}, {"or", "OR"}};
    struct slice word = lex_word(lex);
    if (lex_peek(lex) == ')')
        return lex_fail(lex, lex->at, "there is no ( that this ) closes");
    lex_unexpected(lex, lex->at, "AND, OR or the end");
    for (size_t i = 0; i < sizeof lower / sizeof *lower; i++) {
        bool same = word.size == strlen(lower[i][0]);
        for (size_t j = 0; same && j < word.size; j++)
            same = (word.at[j] | 0x20) == lower[i][0][j];
        if (same)
            lex_hint(lex, "did you mean %s?", lower[i][1]);
    }
    return false;
}

static bool whole_read(struct parser *parser, uint8_t *result)
{
    struct lex *lex = &parser->reading.lex;
    if (lex->size > FILTER_MAX_BYTES)
        return lex_fail(lex, FILTER_MAX_BYTES, "a filter has at most %d bytes", FILTER_MAX_BYTES);
    *result = NODE_NONE;
    if (lex_peek(lex) == LEX_END)
        return true;
    if (!level_read(parser, 0, result))
        return false;
    return lex_peek(lex) == LEX_END || fail_behind(lex);
}

/* ---- jumps ---- */

/* The children of a node, the cheap ones first, else as written; how many. */
static size_t by_cost(const struct parser *parser, const struct node *node,
                      uint8_t children[FILTER_MAX_TERMS])
{
    size_t count = 0;
    for (uint8_t child = node->child; child != NODE_NONE; child = parser->nodes[child].next) {
        size_t place = count++;
        for (; place > 0 && parser->nodes[children[place - 1]].cost > parser->nodes[child].cost;
             place--)
            children[place] = children[place - 1];
        children[place] = child;
    }
    return count;
}

/* Sets the jumps of all that is below a node; where it begins. */
static uint8_t jumps_set(struct parser *parser, uint8_t index, uint8_t on_true, uint8_t on_false)
{
    const struct node *node = &parser->nodes[index];
    if (node->negated) {
        uint8_t other = on_true;
        on_true = on_false;
        on_false = other;
    }
    if (node->kind == NODE_TERM) {
        parser->terms[node->term].on_true = on_true;
        parser->terms[node->term].on_false = on_false;
        return node->term;
    }
    uint8_t children[FILTER_MAX_TERMS];
    size_t count = by_cost(parser, node, children);
    bool all = node->kind == NODE_AND;
    uint8_t entry = all ? on_true : on_false;
    while (count-- > 0)
        entry = all ? jumps_set(parser, children[count], entry, on_false)
                    : jumps_set(parser, children[count], on_true, entry);
    return entry;
}

/* ---- the whole ---- */

static struct filter *filter_new(struct parser *parser, uint8_t root)
{
    size_t bytes = parser->term_count * sizeof *parser->terms;
    struct filter *filter = malloc(sizeof *filter + bytes);
    if (!filter)
        return NULL;
    filter->groups = parser->reading.groups;
    filter->term_count = parser->term_count;
    filter->start =
        root == NODE_NONE ? TERM_ACCEPT : jumps_set(parser, root, TERM_ACCEPT, TERM_REJECT);
    memcpy(filter->terms, parser->terms, bytes);
    parser->term_count = 0; /* the filter has them now */
    return filter;
}

struct filter *filter_compile(enum path_kind kind, const char *text, size_t size,
                              const struct filter_groups *groups, struct text_error *error)
{
    struct filter *filter = NULL;
    struct parser *parser = calloc(1, sizeof *parser);
    struct lex local, *lex = parser ? &parser->reading.lex : &local;
    uint8_t root;
    lex_init(lex, text, size, 0, error);
    if (!parser) {
        lex_no_memory(lex);
        return NULL;
    }
    parser->reading.kind = kind;
    parser->reading.groups = groups;
    if (whole_read(parser, &root)) {
        filter = filter_new(parser, root);
        if (!filter)
            lex_no_memory(lex);
    }
    for (size_t i = 0; i < parser->term_count; i++)
        term_done(&parser->terms[i]);
    lex_done(lex);
    free(parser);
    return filter;
}
