#include "hub/http_uri.h"

#include "hub/utf8.h"

#include <string.h>
#include <strings.h>

const char *uri_error_text(enum uri_error error)
{
    switch (error) {
    case URI_OK:
        break;
    case URI_BAD_ESCAPE:
        return "a % must be followed by two hexadecimal digits";
    case URI_BAD_TEXT:
        return "the decoded text must be UTF-8 without NUL";
    case URI_SLASH:
        return "no part of a path may hold an encoded slash";
    case URI_TOO_MANY:
        return "there are too many parts";
    case URI_NO_PATH:
        return "the request target must be a path that begins with /";
    }
    return "";
}

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool text_valid(const char *text, size_t size)
{
    size_t taken = 0;
    for (size_t at = 0; at < size; at += taken)
        if (text[at] == '\0' || utf8_next(text + at, size - at, &taken) == UTF8_BAD)
            return false;
    return true;
}

/* Decodes `text` in place. Decoded text is never longer, so writing never overtakes reading. */
static enum uri_error decode(char *text, bool plus_is_blank)
{
    if (!text[strcspn(text, plus_is_blank ? "%+" : "%")])
        return text_valid(text, strlen(text)) ? URI_OK : URI_BAD_TEXT;
    char *to = text;
    for (const char *from = text; *from; from++) {
        if (*from == '%') {
            int high = hex_value(from[1]);
            int low = high < 0 ? -1 : hex_value(from[2]);
            if (low < 0)
                return URI_BAD_ESCAPE;
            *to++ = (char)(high * 16 + low);
            from += 2;
        } else {
            *to++ = *from == '+' && plus_is_blank ? ' ' : *from;
        }
    }
    *to = '\0';
    return text_valid(text, (size_t)(to - text)) ? URI_OK : URI_BAD_TEXT;
}

enum uri_error uri_split(char *target, char **path, char **query)
{
    char *start = target;
    if (*start != '/') {
        if (strncasecmp(start, "http://", 7) != 0 && strncasecmp(start, "https://", 8) != 0)
            return URI_NO_PATH;
        start = strstr(start, "//") + 2;
        start += strcspn(start, "/?#");
        if (*start != '/')
            return URI_NO_PATH;
    }
    start[strcspn(start, "#")] = '\0'; /* a fragment is the client's own affair */
    char *mark = strchr(start, '?');
    if (mark)
        *mark = '\0';
    *path = start;
    *query = mark ? mark + 1 : start + strlen(start);
    return URI_OK;
}

enum uri_error uri_path(char *path, char *segments[URI_MAX_SEGMENTS], size_t *count)
{
    *count = 0;
    if (*path != '/')
        return URI_NO_PATH;
    for (char *at = path; at;) {
        char *segment = at + 1;
        at = strchr(segment, '/');
        if (at)
            *at = '\0';
        if (*count == URI_MAX_SEGMENTS)
            return URI_TOO_MANY;
        enum uri_error error = decode(segment, false);
        if (error)
            return error;
        if (strchr(segment, '/'))
            return URI_SLASH;
        segments[(*count)++] = segment;
    }
    return URI_OK;
}

enum uri_error uri_query(char *query, struct http_param *params, size_t max, size_t *count)
{
    *count = 0;
    for (char *part = query; part;) {
        char *next = strchr(part, '&');
        if (next)
            *next++ = '\0';
        char *name = part;
        part = next;
        if (!*name)
            continue;
        if (*count == max)
            return URI_TOO_MANY;
        char *value = strchr(name, '=');
        if (value)
            *value++ = '\0';
        else
            value = name + strlen(name);
        enum uri_error error = decode(name, true);
        if (!error)
            error = decode(value, true);
        if (error)
            return error;
        params[(*count)++] = (struct http_param){.name = name, .value = value};
    }
    return URI_OK;
}
