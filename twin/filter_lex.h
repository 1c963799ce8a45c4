/*
 * filter_lex: the tokens of filters, order_by and lists of paths, and what their errors look like.
 * Internal to twin/.
 *
 * White space is space, tab and newline. A failing call returns false, with the error set; nothing
 * but the first error of a text is ever told.
 *
 * Ownership: a lex borrows the text and the error; lex_done frees what it made. Decoded strings
 *            and digits are borrowed from it until the next one is read.
 * Threads: one at a time.
 */
#ifndef TWIN_FILTER_LEX_H
#define TWIN_FILTER_LEX_H

#include "twin/path.h"

struct lex {
    const char *text;
    size_t size, at;
    size_t base; /* offset in code points at which the text stands in what the user wrote */
    struct doc_parser *parser;
    struct text_error *error;
};

enum { LEX_END = -1 };

void lex_init(struct lex *lex, const char *text, size_t size, size_t base,
              struct text_error *error);
void lex_done(struct lex *lex);

/* Code points before byte `at`, the base included. */
size_t lex_offset(const struct lex *lex, size_t at);
/* Sets the error, without a hint, for the token that begins at byte `at`; false. */
bool lex_fail(struct lex *lex, size_t at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Adds a hint to the error that was just set; false. */
bool lex_hint(struct lex *lex, const char *format, ...) __attribute__((format(printf, 2, 3)));
bool lex_no_memory(struct lex *lex);
/* "expected <what>" for whatever stands at byte `at`; false. */
bool lex_unexpected(struct lex *lex, size_t at, const char *what);

/* Skips white space; the byte that is next, or LEX_END. */
int lex_peek(struct lex *lex);
/* Skips white space and then `c`, if it is next. */
bool lex_take(struct lex *lex, char c);
/* The same for one of ( ) and comma, which must be next; else false with the error set. */
bool lex_expect(struct lex *lex, char c);
/* The name characters that are next, not taken; size 0 where there is none. */
struct slice lex_word(const struct lex *lex);
/* AND, OR, NOT. */
bool lex_is_keyword(struct slice word);
bool lex_is_digit(int c);
bool lex_is_name_char(int c);
bool slice_is(struct slice slice, const char *text);

/* The string whose quote is next, decoded. */
bool lex_string(struct lex *lex, struct slice *string);
/* The number or duration whose first character is next. */
bool lex_number(struct lex *lex, struct value *value);
/* The bytes of the JSON number that the text begins with; 0 for none. */
size_t lex_number_size(const char *text, size_t size);

#endif
