/*
 * filter_impl: a compiled filter, and what its readers share. Internal to twin/.
 *
 * A filter is an array of terms with two jumps each, where to go on when the term holds and where
 * when it does not; NOT, AND, OR and parentheses are nothing but these jumps. Within an AND or an
 * OR the cheap terms come first: terms have no effects, so their order changes nothing but time.
 */
#ifndef TWIN_FILTER_IMPL_H
#define TWIN_FILTER_IMPL_H

#include "twin/filter.h"
#include "twin/path_impl.h"

enum operand_kind { OPERAND_LITERAL, OPERAND_PATH, OPERAND_DISTANCE, OPERAND_AGE };

struct operand {
    uint8_t kind;      /* enum operand_kind */
    struct path *path; /* owned; NULL for a literal */
    double lat, lon;   /* of a distance */
    /* Its string or digits are owned. */
    struct value literal;
};

enum comparison { CMP_EQ, CMP_NE, CMP_LT, CMP_LE, CMP_GT, CMP_GE };

enum term_kind {
    TERM_COMPARE,
    TERM_LIKE,   /* = or != with a wildcard */
    TERM_NEAR,   /* a distance compared with a number */
    TERM_FILLED, /* path:* */
    TERM_EXISTS, /* root:"key" */
    TERM_HOLDS,  /* path:literal */
    TERM_INSIDE,
    TERM_BOX,
    TERM_GROUP,
    /* Faster ways to answer some of the first three: */
    TERM_FIELD,  /* a value in a document beside a number or a string */
    TERM_AGE,    /* an age beside a duration */
    TERM_STATUS, /* anything about presence.status: the answer for each status is known */
};

struct term {
    uint8_t kind;       /* enum term_kind */
    uint8_t comparison; /* enum comparison */
    bool any_first, any_last;
    uint8_t on_true, on_false; /* the next term, or one of the two ends */
    uint16_t cost;
    struct operand left, right; /* where only one is looked at, it is the left */
    union {
        uint8_t statuses; /* a bit for each that it holds for */
        struct geo_circle circle;
        struct geo_area *area; /* owned */
        struct geo_box box;
        char *group; /* owned */
    };
};

enum { TERM_ACCEPT = FILTER_ACCEPTS, TERM_REJECT = FILTER_REJECTS };

struct filter {
    const struct filter_groups *groups;
    uint8_t start;
    size_t term_count;
    struct term terms[];
};

/* What a text is read with. */
struct reading {
    enum path_kind kind;
    struct lex lex;
    const struct filter_groups *groups;
};

/* Reads one term. On failure the term owns nothing. */
bool term_read(struct reading *reading, struct term *term);
void term_done(struct term *term);
/* Makes of a term just read one that is faster to answer, where there is one. */
void term_speed_up(struct term *term);
/* The bytes in a block of their own, NUL-terminated; NULL when there is no memory. */
char *bytes_keep(struct slice bytes);

enum function {
    FUNCTION_NONE,
    FUNCTION_DISTANCE,
    FUNCTION_AGE,
    FUNCTION_INSIDE,
    FUNCTION_BBOX,
    FUNCTION_GROUP,
    FUNCTION_UNKNOWN,
};
/* Which function is called by the word that is next, if one is. */
enum function function_next(const struct lex *lex);

/* Reads one side of a comparison. On failure the operand may own something: operand_done. */
bool operand_read(struct reading *reading, struct operand *operand, enum path_place place);
/* Reads `(path, lat, lon)` behind the word distance. */
bool distance_read(enum path_kind kind, struct lex *lex, struct operand *operand);
/* Reads `, min_lon, min_lat, max_lon, max_lat` behind the path of a bbox. */
bool box_read(struct lex *lex, struct geo_box *box);
void operand_done(struct operand *operand);
/* Refuses two operands whose text shows that they never compare; a string beside a timestamp
 * becomes one. `at` are where the two begin. */
bool operands_check(struct lex *lex, struct operand *left, size_t left_at, struct operand *right,
                    size_t right_at);

#endif
