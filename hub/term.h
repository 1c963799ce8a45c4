/*
 * term: colours of what people read on a terminal. Off wherever the output goes to anything else,
 * where NO_COLOR is set (https://no-color.org), and where TERM says that there are none.
 *
 * Threads: one.
 */
#ifndef HUB_TERM_H
#define HUB_TERM_H

#include "twin/buf.h"

enum term_colour { TERM_PLAIN, TERM_BOLD, TERM_GOOD, TERM_WARNING, TERM_BAD, TERM_COLOURS };

/* Whether what is written there may be coloured. */
bool term_has_colours(int fd);
/* The colour of a word that says how something is: presence, severity, what became of a command. */
enum term_colour term_colour_of(const char *word, size_t size);
/* Appends what turns the colour on, and off; nothing for TERM_PLAIN. */
void term_begin(struct buf *out, enum term_colour colour);
void term_end(struct buf *out, enum term_colour colour);
/* The bytes of the control character at `text`, of one or, beyond ASCII, of two: 0 for any other.
 * None of them is for a terminal: what vehicles and callers wrote could move its cursor, or more.
 */
size_t term_control_size(const char *text, size_t left);
/* Appends the text with a space in the place of each control character. */
void term_add(struct buf *out, const char *text);

#endif
