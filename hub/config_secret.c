/* Hiding passwords in connection strings. Where a text is malformed, rather too much is hidden. */
#include "hub/config_key.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

static const char hidden[] = "***";

/* Names of parameters of libpq that hold a secret. */
static bool is_secret_name(const char *name, size_t size)
{
    static const char *const names[] = {"password", "sslpassword"};
    /* In a URI a name may be percent-encoded; nobody has an honest reason to. */
    if (memchr(name, '%', size))
        return true;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strlen(names[i]) == size && strncasecmp(names[i], name, size) == 0)
            return true;
    return false;
}

/* `scheme://user:password@rest`: the password, or, as a NATS token is, all before the `@`. */
static void hide_url(const char *url, size_t size, bool lone_user_is_secret, struct buf *out)
{
    const char *end = url + size;
    const char *scheme = memmem(url, size, "://", 3);
    const char *start = scheme ? scheme + 3 : url;
    size_t rest = (size_t)(end - start), authority = 0;
    while (authority < rest && start[authority] != '/' && start[authority] != '?')
        authority++;
    const char *at = memrchr(start, '@', authority);
    if (!at)
        at = memrchr(start, '@', rest); /* a password with a `/` that should have been encoded */
    const char *colon = at ? memchr(start, ':', (size_t)(at - start)) : NULL;
    if (at && (colon || lone_user_is_secret)) {
        buf_add(out, url, (size_t)((colon ? colon + 1 : start) - url));
        buf_adds(out, hidden);
        url = at;
    }
    buf_add(out, url, (size_t)(end - url));
}

void config_hide_nats_url(const char *url, struct buf *out)
{
    for (;;) {
        size_t size = strcspn(url, ",");
        const char *end = url + size;
        hide_url(url, size, true, out);
        if (*end == '\0')
            return;
        buf_addc(out, ',');
        url = end + 1;
    }
}

/* `?name=value&name=value` of a URI. */
static void hide_query(const char *query, struct buf *out)
{
    while (*query) {
        buf_addc(out, *query++); /* `?` or `&` */
        size_t name = strcspn(query, "=&"), pair = strcspn(query, "&");
        bool secret = name < pair && is_secret_name(query, name);
        buf_add(out, query, secret ? name + 1 : pair);
        if (secret)
            buf_adds(out, hidden);
        query += pair;
    }
}

static void hide_uri(const char *dsn, struct buf *out)
{
    const char *query = strchr(dsn, '?');
    const char *late_at = strrchr(dsn, '@');
    if (!query) {
        hide_url(dsn, strlen(dsn), false, out);
        return;
    }
    size_t before = (size_t)(query - dsn);
    if (late_at > query && !memrchr(dsn, '@', before) &&
        !memchr(query, '=', (size_t)(late_at - query))) {
        hide_url(dsn, strlen(dsn), false, out); /* a password with a `?` in it */
        return;
    }
    hide_url(dsn, before, false, out);
    hide_query(query, out);
}

/* The size of a value of libpq's keyword form: quoted, or up to white space; backslash escapes. */
static size_t value_size(const char *value)
{
    size_t i = 0;
    bool quoted = value[0] == '\'';
    if (quoted)
        i++;
    while (value[i] && (quoted ? value[i] != '\'' : !isspace((unsigned char)value[i]))) {
        if (value[i] == '\\' && value[i + 1])
            i++;
        i++;
    }
    return quoted && value[i] ? i + 1 : i;
}

static size_t skip_spaces(const char *text, size_t at)
{
    while (isspace((unsigned char)text[at]))
        at++;
    return at;
}

/* One `name = value` of the keyword form; all are positions in the text. */
struct pair {
    size_t start, name, name_end, value, end;
    bool well_formed;
};

/* The pair at `start`; false at the end of the text. */
static bool next_pair(const char *dsn, size_t start, struct pair *pair)
{
    size_t at = skip_spaces(dsn, start);
    *pair = (struct pair){.start = start, .name = at};
    while (dsn[at] && dsn[at] != '=' && !isspace((unsigned char)dsn[at]))
        at++;
    pair->name_end = at;
    size_t equals = skip_spaces(dsn, at);
    pair->well_formed = dsn[equals] == '=' && pair->name_end > pair->name;
    if (dsn[equals] == '=') {
        pair->value = skip_spaces(dsn, equals + 1);
        at = pair->value + value_size(dsn + pair->value);
        /* libpq would go on with the next name behind the quote; hidden, that would read otherwise
         */
        pair->well_formed = pair->well_formed && (!dsn[at] || isspace((unsigned char)dsn[at]));
    } else {
        pair->value = pair->name; /* a word alone may be the second word of a password */
    }
    pair->end = at;
    return at > pair->name;
}

static void hide_keywords(const char *dsn, struct buf *out)
{
    struct pair pair;
    for (size_t at = 0; next_pair(dsn, at, &pair); at = pair.end) {
        bool secret =
            !pair.well_formed || is_secret_name(dsn + pair.name, pair.name_end - pair.name);
        buf_add(out, dsn + pair.start, (secret ? pair.value : pair.end) - pair.start);
        if (secret)
            buf_adds(out, hidden);
    }
}

static bool is_uri(const char *dsn)
{
    return strncmp(dsn, "postgres://", 11) == 0 || strncmp(dsn, "postgresql://", 13) == 0;
}

bool config_check_dsn(const char *text, char why[CONFIG_WHY_BYTES])
{
    if (!config_check_text(text, why))
        return false;
    if (is_uri(text))
        return true;
    struct pair pair;
    size_t at = 0;
    while (next_pair(text, at, &pair) && pair.well_formed)
        at = pair.end;
    if (pair.end > pair.name || at == 0) {
        /* The text may hold a password, so it is not repeated here. */
        snprintf(why, CONFIG_WHY_BYTES,
                 "is no connection string such as `host=127.0.0.1 dbname=fleethub` or "
                 "postgresql://127.0.0.1/fleethub");
        return false;
    }
    return true;
}

void config_hide_dsn(const char *dsn, struct buf *out)
{
    if (is_uri(dsn))
        hide_uri(dsn, out);
    else
        hide_keywords(dsn, out);
}
