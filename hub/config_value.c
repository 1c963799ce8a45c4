/* One value of the configuration: text to member of struct config, and back. */
#include "hub/config_key.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *const config_jwt_algorithms = "EdDSA|ES256|RS256";

struct type {
    const char *word;
    enum config_storage storage;
    bool (*check)(const char *text, char why[CONFIG_WHY_BYTES]); /* of a string or an element */
    const char *shape; /* what a number should have looked like */
};

static const struct type types[CONFIG_TYPE_COUNT] = {
    [CONFIG_TEXT] = {"text", STORED_STRING, config_check_text, NULL},
    [CONFIG_FILE] = {"file", STORED_STRING, config_check_text, NULL},
    [CONFIG_TOKEN] = {"name", STORED_STRING, config_check_token, NULL},
    [CONFIG_NATS] = {"servers", STORED_STRING, config_check_nats, NULL},
    [CONFIG_DSN] = {"connection string", STORED_STRING, config_check_dsn, NULL},
    [CONFIG_LISTEN] = {"address:port", STORED_STRING, config_check_listen, NULL},
    [CONFIG_INTEGER] = {"whole number", STORED_INTEGER, NULL, "a whole number"},
    [CONFIG_REAL] = {"number", STORED_REAL, NULL, "a number"},
    [CONFIG_AGE] = {"age", STORED_INTEGER, NULL, "whole seconds, or such as 90d or 1h"},
    [CONFIG_DURATION] = {"duration", STORED_REAL, NULL, "seconds, or such as 2min"},
    [CONFIG_SIZE] = {"size", STORED_INTEGER, NULL, "bytes, or such as 256MB or 10GB"},
    [CONFIG_CHOICE] = {"choice", STORED_INTEGER, NULL, NULL},
    [CONFIG_ORIGINS] = {"list", STORED_LIST, config_check_origin, NULL},
    [CONFIG_TYPES] = {"list", STORED_LIST, config_check_command_type, NULL},
    [CONFIG_JWT] = {"list", STORED_JWT, NULL, NULL},
};

enum config_storage config_storage(const struct config_key *key)
{
    return types[key->type].storage;
}

const char *config_type_word(const struct config_key *key)
{
    return types[key->type].word;
}

static void *member(struct config *config, const struct config_key *key)
{
    return (char *)config + key->offset;
}

static void store_integer(struct config *config, const struct config_key *key, int64_t value)
{
    void *at = member(config, key);
    if (key->size == sizeof(bool))
        *(bool *)at = value != 0;
    else if (key->size == sizeof(int))
        memcpy(at, &(int){(int)value}, sizeof(int)); /* an int, or an enum of its size */
    else
        *(int64_t *)at = value;
}

/* ---- numbers ---- */

static bool set_number(struct config *config, const struct config_key *key, const char *text,
                       char why[CONFIG_WHY_BYTES])
{
    const struct type *type = &types[key->type];
    double value;
    if (!config_number_read(key->type, text, &value) ||
        (type->storage == STORED_INTEGER && value != floor(value))) {
        snprintf(why, CONFIG_WHY_BYTES, "expects %s, not `%.64s`", type->shape, text);
        return false;
    }
    if (value < key->min || value > key->max) {
        struct buf range = BUF_INIT;
        config_number_write(key->type, key->min, &range);
        buf_adds(&range, " to ");
        config_number_write(key->type, key->max, &range);
        snprintf(why, CONFIG_WHY_BYTES, "`%.64s` is out of range: it must be %s", text,
                 buf_cstr(&range));
        buf_done(&range);
        return false;
    }
    if (type->storage == STORED_INTEGER)
        store_integer(config, key, (int64_t)value);
    else
        *(double *)member(config, key) = value;
    return true;
}

/* ---- choices and strings ---- */

int config_choice(const char *choices, const char *text)
{
    size_t size = strlen(text);
    for (int position = 0;; position++) {
        size_t choice = strcspn(choices, "|");
        if (choice == size && memcmp(choices, text, size) == 0)
            return position;
        if (choices[choice] == '\0')
            return -1;
        choices += choice + 1;
    }
}

static bool set_choice(struct config *config, const struct config_key *key, const char *text,
                       char why[CONFIG_WHY_BYTES])
{
    int position = config_choice(key->choices, text);
    if (position < 0) {
        snprintf(why, CONFIG_WHY_BYTES, "`%.64s` is not one of %s", text, key->choices);
        return false;
    }
    store_integer(config, key, position);
    return true;
}

static char *copy_text(const char *text, char why[CONFIG_WHY_BYTES])
{
    char *copy = strdup(text);
    if (!copy)
        snprintf(why, CONFIG_WHY_BYTES, "no memory");
    return copy;
}

static bool set_string(struct config *config, const struct config_key *key, const char *text,
                       char why[CONFIG_WHY_BYTES])
{
    static const char localhost[] = "localhost:";
    char address[CONFIG_NAME_MAX_BYTES];
    if (key->type == CONFIG_LISTEN && strncmp(text, localhost, sizeof localhost - 1) == 0) {
        snprintf(address, sizeof address, "127.0.0.1:%s", text + sizeof localhost - 1);
        text = address;
    }
    if (!types[key->type].check(text, why))
        return false;
    char *copy = copy_text(text, why);
    if (!copy)
        return false;
    char **at = member(config, key);
    free(*at);
    *at = copy;
    return true;
}

/* ---- lists ---- */

static size_t list_size(char *const *list)
{
    size_t size = 0;
    while (list && list[size])
        size++;
    return size;
}

void config_list_clear(struct config *config, const struct config_key *key)
{
    if (types[key->type].storage == STORED_JWT) {
        for (size_t i = 0; i < config->auth.jwt_count; i++)
            config_jwt_done(&config->auth.jwt[i]);
        config->auth.jwt_count = 0;
        return;
    }
    char **list = *(char ***)member(config, key);
    for (size_t i = 0; list && list[i]; i++) {
        free(list[i]);
        list[i] = NULL;
    }
}

bool config_list_full(const struct config *config, const struct config_key *key)
{
    char *const *const *list = (const void *)((const char *)config + key->offset);
    return list_size(*list) >= CONFIG_LIST_MAX;
}

bool config_list_add(struct config *config, const struct config_key *key, const char *element,
                     char why[CONFIG_WHY_BYTES])
{
    char ***at = member(config, key);
    size_t size = list_size(*at);
    if (!config_check_text(element, why) || !types[key->type].check(element, why))
        return false;
    if (size >= CONFIG_LIST_MAX) {
        snprintf(why, CONFIG_WHY_BYTES, "has more than %d elements", (int)CONFIG_LIST_MAX);
        return false;
    }
    char **list = realloc(*at, (size + 2) * sizeof *list);
    if (list)
        *at = list;
    char *copy = list ? copy_text(element, why) : NULL;
    if (!copy) {
        snprintf(why, CONFIG_WHY_BYTES, "no memory");
        if (list)
            list[size] = NULL;
        return false;
    }
    list[size] = copy;
    list[size + 1] = NULL;
    return true;
}

bool config_jwt_add(struct config *config, const struct config_jwt *jwt, char why[CONFIG_WHY_BYTES])
{
    size_t count = config->auth.jwt_count;
    if (count >= CONFIG_JWT_MAX) {
        snprintf(why, CONFIG_WHY_BYTES, "has more than %d issuers", (int)CONFIG_JWT_MAX);
        return false;
    }
    struct config_jwt *all = realloc(config->auth.jwt, (count + 1) * sizeof *all);
    if (!all) {
        snprintf(why, CONFIG_WHY_BYTES, "no memory");
        return false;
    }
    config->auth.jwt = all;
    all[count] = *jwt;
    config->auth.jwt_count = count + 1;
    return true;
}

void config_jwt_done(struct config_jwt *jwt)
{
    free(jwt->issuer);
    free(jwt->audience);
    free(jwt->key_file);
    *jwt = (struct config_jwt){0};
}

/* `a, b, c` */
static bool set_list(struct config *config, const struct config_key *key, const char *text,
                     char why[CONFIG_WHY_BYTES])
{
    char *copy = copy_text(text, why), *rest = copy;
    if (!copy)
        return false;
    bool good = true;
    config_list_clear(config, key);
    for (char *element; good && (element = strsep(&rest, ",")) != NULL;) {
        element += strspn(element, " ");
        for (size_t size = strlen(element); size > 0 && element[size - 1] == ' '; size--)
            element[size - 1] = '\0';
        if (*element == '\0' && *text == '\0')
            break; /* nothing at all is the empty list */
        good = config_list_add(config, key, element, why);
    }
    free(copy);
    return good;
}

bool config_value_set(struct config *config, const struct config_key *key, const char *text,
                      char why[CONFIG_WHY_BYTES])
{
    switch (types[key->type].storage) {
    case STORED_STRING:
        return set_string(config, key, text, why);
    case STORED_LIST:
        return set_list(config, key, text, why);
    case STORED_JWT:
        snprintf(why, CONFIG_WHY_BYTES, "expects a list such as %s", key->example);
        return false;
    case STORED_INTEGER:
    case STORED_REAL:
        break;
    }
    return key->type == CONFIG_CHOICE ? set_choice(config, key, text, why)
                                      : set_number(config, key, text, why);
}

void config_value_done(struct config *config, const struct config_key *key)
{
    enum config_storage storage = types[key->type].storage;
    if (storage == STORED_STRING) {
        char **at = member(config, key);
        free(*at);
        *at = NULL;
    } else if (storage == STORED_LIST) {
        char ***at = member(config, key);
        config_list_clear(config, key);
        free(*at);
        *at = NULL;
    } else if (storage == STORED_JWT) {
        config_list_clear(config, key);
        free(config->auth.jwt);
        config->auth.jwt = NULL;
    }
}
