/*
 * config_help: loading a configuration from a text, for tests.
 *
 * What load returns is released with loaded_done. The texts are named t.yaml in errors.
 */
#ifndef TESTS_UNIT_CONFIG_HELP_H
#define TESTS_UNIT_CONFIG_HELP_H

#include "hub/config_key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define REQUIRED                                                                                   \
    "env: test\nregion: eu-north\nnats: {url: 'nats://127.0.0.1:4222'}\n"                          \
    "postgres: {dsn: host=127.0.0.1 dbname=fleethub}\n"

struct loaded {
    int status;
    struct config config;
    struct buf errors;
};

/* One load of a text named t.yaml (NULL: no file) with at most one flag. */
static inline struct loaded load_with_flag(const char *text, const char *flag, const char *value)
{
    struct loaded loaded = {0};
    struct config_flag flags = {flag, flag ? strlen(flag) : 0, value};
    struct config_request request = {
        .file = text ? "t.yaml" : NULL,
        .text = text,
        .text_bytes = text ? strlen(text) : 0,
        .flags = &flags,
        .flag_count = flag ? 1 : 0,
    };
    loaded.status = config_load(&request, &loaded.config, &loaded.errors);
    return loaded;
}

static inline struct loaded load(const char *text)
{
    return load_with_flag(text, NULL, NULL);
}

static inline void loaded_done(struct loaded *loaded)
{
    if (loaded->status == 0)
        config_done(&loaded->config);
    buf_done(&loaded->errors);
}

static inline const struct config_key *key_named(const char *name)
{
    const struct config_key *key = config_key_find(name, strlen(name));
    assert_non_null(key);
    return key;
}

static inline int clear_environment(void **state)
{
    (void)state;
    for (size_t i = 0; i < config_key_count; i++)
        if (config_keys[i].variable)
            unsetenv(config_keys[i].variable);
    return 0;
}

#define TEST(name) cmocka_unit_test_setup(name, clear_environment)

#endif
