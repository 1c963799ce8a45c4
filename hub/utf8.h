/*
 * utf8: one character of a text that may not be UTF-8 at all, for those that write or judge
 * text from outside: log lines and configuration values.
 *
 * Pure functions, any thread.
 */
#ifndef HUB_UTF8_H
#define HUB_UTF8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define UTF8_BAD UINT32_MAX

/* The character at `text` and how many bytes it takes; UTF8_BAD and 1 byte where none begins
 * there (RFC 3629: overlong forms and surrogates are none). `size` is at least 1. */
uint32_t utf8_next(const char *text, size_t size, size_t *taken);

/* Controls, C1 ones included, and what YAML 1.1 does not print: never part of a sane setting, and
 * never sent to a terminal. */
bool utf8_is_control(uint32_t character);

#endif
