/* One value of the configuration as YAML on one line. */
#include "hub/config_key.h"

#include <ctype.h>
#include <string.h>
#include <strings.h>

static int64_t load_integer(const struct config *config, const struct config_key *key)
{
    const void *at = (const char *)config + key->offset;
    int narrow;
    if (key->size == sizeof(bool))
        return *(const bool *)at;
    if (key->size != sizeof(int))
        return *(const int64_t *)at;
    memcpy(&narrow, at, sizeof narrow);
    return narrow;
}

/* True where YAML reads the bare text as the same string, and config_yaml not as `not set`. */
static bool is_plain(const char *text)
{
    size_t size = strlen(text);
    if (size == 0 || !(isalnum((unsigned char)text[0]) || text[0] == '/') ||
        text[size - 1] == ':' || strcasecmp(text, "null") == 0)
        return false;
    for (size_t i = 0; i < size; i++)
        if (!isalnum((unsigned char)text[i]) && !strchr("_./:+-", text[i]))
            return false;
    return true;
}

void config_write_scalar(struct buf *out, const char *text)
{
    if (is_plain(text))
        buf_adds(out, text);
    else
        buf_json_cstr(out, text); /* what JSON quotes, YAML reads */
}

static void write_string(const struct config_key *key, const char *text, struct buf *out)
{
    struct buf shown = BUF_INIT;
    if (key->type == CONFIG_DSN)
        config_hide_dsn(text, &shown);
    else if (key->type == CONFIG_NATS)
        config_hide_nats_url(text, &shown);
    else
        buf_adds(&shown, text);
    config_write_scalar(out, buf_cstr(&shown));
    out->failed |= shown.failed;
    buf_done(&shown);
}

static void write_choice(const struct config_key *key, int64_t position, struct buf *out)
{
    const char *choice = key->choices;
    for (; position > 0; position--)
        choice += strcspn(choice, "|") + 1;
    buf_add(out, choice, strcspn(choice, "|"));
}

bool config_value_write(const struct config *config, const struct config_key *key, struct buf *out)
{
    const void *at = (const char *)config + key->offset;
    char *const *list;
    switch (config_storage(key)) {
    case STORED_STRING:
        if (!*(char *const *)at)
            return false;
        write_string(key, *(char *const *)at, out);
        return true;
    case STORED_INTEGER:
        if (key->type == CONFIG_CHOICE)
            write_choice(key, load_integer(config, key), out);
        else
            config_number_write(key->type, (double)load_integer(config, key), out);
        return true;
    case STORED_REAL:
        config_number_write(key->type, *(const double *)at, out);
        return true;
    case STORED_LIST:
        list = *(char *const *const *)at;
        buf_addc(out, '[');
        for (size_t i = 0; list && list[i]; i++) {
            buf_adds(out, i ? ", " : "");
            buf_json_cstr(out, list[i]);
        }
        buf_addc(out, ']');
        return true;
    case STORED_JWT:
        break;
    }
    return false;
}
