#include "hub/term.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char *const starts[TERM_COLOURS] = {
    [TERM_PLAIN] = "",           [TERM_BOLD] = "\033[1m", [TERM_GOOD] = "\033[32m",
    [TERM_WARNING] = "\033[33m", [TERM_BAD] = "\033[31m",
};

static const struct {
    const char *word;
    enum term_colour colour;
} words[] = {
    {"online", TERM_GOOD},     {"stale", TERM_WARNING},     {"offline", TERM_BAD},
    {"warning", TERM_WARNING}, {"error", TERM_BAD},         {"critical", TERM_BAD},
    {"completed", TERM_GOOD},  {"verified", TERM_GOOD},     {"succeeded", TERM_GOOD},
    {"blocked", TERM_WARNING}, {"cancelled", TERM_WARNING}, {"partial", TERM_WARNING},
    {"rejected", TERM_BAD},    {"failed", TERM_BAD},        {"timed_out", TERM_BAD},
    {"expired", TERM_BAD},     {"aborted", TERM_BAD},       {"enter", TERM_GOOD},
    {"leave", TERM_WARNING},
};

bool term_has_colours(int fd)
{
    const char *off = getenv("NO_COLOR"), *terminal = getenv("TERM");
    if (off && *off)
        return false;
    return terminal && *terminal && strcmp(terminal, "dumb") != 0 && isatty(fd) == 1;
}

enum term_colour term_colour_of(const char *word, size_t size)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i].word) == size && memcmp(words[i].word, word, size) == 0)
            return words[i].colour;
    return TERM_PLAIN;
}

void term_begin(struct buf *out, enum term_colour colour)
{
    buf_adds(out, starts[colour]);
}

void term_end(struct buf *out, enum term_colour colour)
{
    if (colour != TERM_PLAIN)
        buf_adds(out, "\033[0m");
}

size_t term_control_size(const char *text, size_t left)
{
    const unsigned char *at = (const unsigned char *)text;
    if (iscntrl(at[0]))
        return 1;
    return left > 1 && at[0] == 0xC2 && at[1] < 0xA0 ? 2 : 0;
}

void term_add(struct buf *out, const char *text)
{
    for (size_t size = strlen(text), i = 0, step; i < size; i += step) {
        size_t control = term_control_size(text + i, size - i);
        step = control ? control : 1;
        buf_addc(out, control ? ' ' : text[i]);
    }
}
