#include "hub/accept.h"

#include <string.h>
#include <strings.h>

enum { QUALITY_MAX = 1000 }; /* qualities are thousandths, as the header writes them */

static const char *skip_blanks(const char *at)
{
    return at + strspn(at, " \t");
}

/* A run that ends at one of `stops`, blanks at both its ends left out. */
struct word {
    const char *at;
    size_t size;
};

static struct word take_word(const char **cursor, const char *stops)
{
    const char *at = skip_blanks(*cursor);
    size_t size = strcspn(at, stops);
    *cursor = at + size;
    while (size > 0 && (at[size - 1] == ' ' || at[size - 1] == '\t'))
        size--;
    return (struct word){at, size};
}

static bool word_is(struct word word, const char *text)
{
    return word.size == strlen(text) && strncasecmp(word.at, text, word.size) == 0;
}

/* qvalue = 0[.ddd] | 1[.000]; -1 for anything else. */
static int quality_parse(struct word word)
{
    if (word.size == 0 || word.size > 5 || (word.at[0] != '0' && word.at[0] != '1'))
        return -1;
    int quality = (word.at[0] - '0') * QUALITY_MAX;
    if (word.size > 1 && word.at[1] != '.')
        return -1;
    int unit = QUALITY_MAX / 10;
    for (size_t i = 2; i < word.size; i++, unit /= 10) {
        if (word.at[i] < '0' || word.at[i] > '9')
            return -1;
        quality += (word.at[i] - '0') * unit;
    }
    return quality <= QUALITY_MAX ? quality : -1;
}

/* Takes one element of the list and its quality; false at the end. -1: malformed. */
static bool take_element(const char **cursor, struct word *name, int *quality)
{
    *cursor += strspn(*cursor, " \t,");
    if (!**cursor)
        return false;
    *name = take_word(cursor, ",;");
    *quality = name->size ? QUALITY_MAX : -1;
    while (**cursor == ';') {
        ++*cursor;
        struct word parameter = take_word(cursor, ",;=");
        struct word value = {NULL, 0};
        if (**cursor == '=') {
            ++*cursor;
            value = take_word(cursor, ",;");
        }
        if (word_is(parameter, "q"))
            *quality = quality_parse(value);
    }
    return true;
}

/* How closely a media range names a type: 3 itself, 2 its family, 1 everything, 0 not at all. */
static int closeness(struct word range, const char *media_type)
{
    if (word_is(range, media_type))
        return 3;
    if (word_is(range, "*/*"))
        return 1;
    if (range.size < 3 || memcmp(range.at + range.size - 2, "/*", 2) != 0)
        return 0;
    return strncasecmp(range.at, media_type, range.size - 1) == 0 ? 2 : 0;
}

static int media_quality(const char *header, const char *media_type)
{
    int best_closeness = 0, best_quality = 0, quality;
    struct word range;
    while (take_element(&header, &range, &quality)) {
        int near = quality < 0 ? 0 : closeness(range, media_type);
        if (near > best_closeness) {
            best_closeness = near;
            best_quality = quality;
        }
    }
    return best_quality;
}

int accept_choose(const char *header, const char *format, const struct accept_offer *offers,
                  size_t offer_count)
{
    if (format) {
        for (size_t i = 0; i < offer_count; i++)
            if (strcmp(offers[i].format, format) == 0)
                return (int)i;
        return ACCEPT_BAD_FORMAT;
    }
    if (!*skip_blanks(header))
        return 0;
    int best = ACCEPT_NOTHING, best_quality = 0;
    for (size_t i = 0; i < offer_count; i++) {
        int quality = media_quality(header, offers[i].media_type);
        if (quality > best_quality) {
            best = (int)i;
            best_quality = quality;
        }
    }
    return best;
}

bool accept_gzip(const char *header)
{
    int gzip = -1, any = -1, identity = -1, quality;
    struct word coding;
    if (!header)
        return false;
    while (take_element(&header, &coding, &quality)) {
        if (quality < 0)
            continue;
        if (word_is(coding, "gzip") || word_is(coding, "x-gzip"))
            gzip = quality;
        else if (word_is(coding, "*"))
            any = quality;
        else if (word_is(coding, "identity"))
            identity = quality;
    }
    if (gzip < 0)
        gzip = any;
    return gzip > 0 && gzip >= identity;
}
