/*
 * config_key: the table of configuration keys, and what config*.c share. Private to them, to the
 * command line (names and help) and to tests.
 *
 * Ownership: the table is static; values live in the struct config.
 * Threads: pure functions on what they are given.
 */
#ifndef HUB_CONFIG_KEY_H
#define HUB_CONFIG_KEY_H

#include "hub/config.h"

enum {
    CONFIG_FILE_MAX_BYTES = 1 << 20,
    CONFIG_VALUE_MAX_BYTES = 4096,
    CONFIG_LIST_MAX = 256,
    CONFIG_JWT_MAX = 16,
    CONFIG_MAX_ERRORS = 100,
    CONFIG_WHY_BYTES = 256,
    CONFIG_NAME_MAX_BYTES = 64,
};

enum config_type {
    CONFIG_TEXT,
    CONFIG_FILE,   /* a file's path */
    CONFIG_TOKEN,  /* one token of a NATS subject */
    CONFIG_NATS,   /* URLs of NATS servers; may hold a secret */
    CONFIG_DSN,    /* a libpq connection string; may hold a secret */
    CONFIG_LISTEN, /* address:port */
    CONFIG_INTEGER,
    CONFIG_REAL,
    CONFIG_AGE,      /* whole seconds, or 90d, 1h, 5min */
    CONFIG_DURATION, /* seconds, or 1.5s, 500ms, 2min */
    CONFIG_SIZE,     /* bytes, or 256MB, 10GB */
    CONFIG_CHOICE,
    CONFIG_ORIGINS, /* list of web origins */
    CONFIG_TYPES,   /* list of command types */
    CONFIG_JWT,     /* list of struct config_jwt */
    CONFIG_TYPE_COUNT
};

enum config_storage {
    STORED_STRING,
    STORED_INTEGER, /* bool, int or int64_t, by the key's size */
    STORED_REAL,
    STORED_LIST, /* NULL-terminated char ** */
    STORED_JWT,
};

struct config_key {
    const char *name; /* dotted */
    enum config_type type;
    size_t offset, size;  /* of the member of struct config */
    const char *fallback; /* the default as one would write it; NULL: not set */
    double min, max;      /* of a number, inclusive */
    const char *choices;  /* of a CONFIG_CHOICE, `|` between them, in the enum's order */
    const char *variable; /* of the environment, NULL for none */
    const char *example;  /* where there is no default */
    const char *help;     /* one sentence */
    bool required;
    bool reloadable; /* SIGHUP may change it */
};

extern const struct config_key config_keys[];
extern const size_t config_key_count;

/* A key by its full name, NULL where there is none. */
const struct config_key *config_key_find(const char *name, size_t size);
/* True where keys stand below this name: "nats", "nats.tls". */
bool config_is_group(const char *name, size_t size);
/* The key's or group's name that someone who wrote `name` may have meant; NULL: no idea. */
const char *config_suggest(const char *name, size_t size, char suggestion[CONFIG_NAME_MAX_BYTES]);
/* Edits (one byte put in, taken out, changed, or two neighbours swapped) from a to b; SIZE_MAX
 * where one of them is longer than CONFIG_NAME_MAX_BYTES. */
size_t config_distance(const char *a, size_t a_size, const char *b, size_t b_size);

/* ---- values (config_value.c, config_number.c, config_write.c) ---- */

enum config_storage config_storage(const struct config_key *key);
/* What a value is, in a word or two: "whole number", "size". */
const char *config_type_word(const struct config_key *key);
/* Reads `text` into the config, in place of what was there. False, and why, where it makes no
 * sense or there is no memory: a list may then hold a part. Of lists: commas between elements. */
bool config_value_set(struct config *config, const struct config_key *key, const char *text,
                      char why[CONFIG_WHY_BYTES]);
/* A list's elements one by one; starts with an empty list. */
void config_list_clear(struct config *config, const struct config_key *key);
bool config_list_add(struct config *config, const struct config_key *key, const char *element,
                     char why[CONFIG_WHY_BYTES]);
bool config_list_full(const struct config *config, const struct config_key *key);
bool config_jwt_add(struct config *config, const struct config_jwt *jwt,
                    char why[CONFIG_WHY_BYTES]);
void config_jwt_done(struct config_jwt *jwt);
extern const char *const config_jwt_algorithms; /* as `choices` */
/* Position of `text` among choices, -1 where it is none. */
int config_choice(const char *choices, const char *text);
/* The value as YAML on one line, passwords hidden; false where the key is not set. Not of JWTs. */
bool config_value_write(const struct config *config, const struct config_key *key, struct buf *out);
/* A YAML scalar of that text, quoted where it needs to be. */
void config_write_scalar(struct buf *out, const char *text);
/* Frees the key's value. */
void config_value_done(struct config *config, const struct config_key *key);

/* Numbers in the type's units; false where the text is not one. */
bool config_number_read(enum config_type type, const char *text, double *value);
/* As one would write it: in the largest unit that leaves it whole. */
void config_number_write(enum config_type type, double value, struct buf *out);

/* ---- judging texts (config_text.c, config_secret.c): true, or false and why ---- */

bool config_check_text(const char *text, char why[CONFIG_WHY_BYTES]);
bool config_check_token(const char *text, char why[CONFIG_WHY_BYTES]);
bool config_check_nats(const char *text, char why[CONFIG_WHY_BYTES]);
bool config_check_dsn(const char *text, char why[CONFIG_WHY_BYTES]);
bool config_check_listen(const char *text, char why[CONFIG_WHY_BYTES]);
bool config_check_origin(const char *text, char why[CONFIG_WHY_BYTES]);
bool config_check_command_type(const char *text, char why[CONFIG_WHY_BYTES]);
bool config_is_loopback(const char *listen);

/* ---- loading (config.c, config_yaml.c, config_check.c) ---- */

enum config_source { SOURCE_DEFAULT, SOURCE_FILE, SOURCE_ENVIRONMENT, SOURCE_FLAG };

struct config_origin {
    enum config_source source;
    /* In the file, from 1. Of a default: where its group begins, 0 where there is none. */
    unsigned line, column;
    bool bad; /* its value was refused: no other check asks for it */
};

struct config_loading {
    struct config *config;
    struct buf *errors;
    unsigned error_count;
    bool unread; /* the file is no YAML, or not there: nothing is missing in it */
};

struct config_origin *config_origin(const struct config *config, const struct config_key *key);
/* `FILE:LINE:COL`, `environment NAME` or `flag --name`. */
void config_write_origin(const struct config *config, const struct config_key *key,
                         struct buf *out);
/* One error about a key, placed where its value came from. */
void config_error(struct config_loading *loading, const struct config_key *key, const char *format,
                  ...) __attribute__((format(printf, 3, 4)));
/* One error at a place in the file. */
void config_error_at(struct config_loading *loading, unsigned line, unsigned column,
                     const char *format, ...) __attribute__((format(printf, 4, 5)));

/* Reads a YAML file's bytes into the config. */
void config_yaml_read(struct config_loading *loading, const char *text, size_t size);
/* Reads a list written as YAML, `[a, b]`, from the environment or a flag: the key's origin says
 * which. */
void config_yaml_list(struct config_loading *loading, const struct config_key *key,
                      const char *text);
/* What makes no sense between keys, and what is missing. */
void config_check(struct config_loading *loading, const char *required);

#endif
