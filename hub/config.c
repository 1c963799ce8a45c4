#include "hub/config.h"

#include "hub/config_key.h"
#include "hub/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- origins and errors ---- */

struct config_origin *config_origin(const struct config *config, const struct config_key *key)
{
    return &config->origins[key - config_keys];
}

static void write_place(struct buf *out, const char *file, unsigned line, unsigned column)
{
    buf_addf(out, "%s:%u:%u", file ? file : "configuration", line ? line : 1, column ? column : 1);
}

void config_write_origin(const struct config *config, const struct config_key *key, struct buf *out)
{
    const struct config_origin *origin = config_origin(config, key);
    switch (origin->source) {
    case SOURCE_ENVIRONMENT:
        buf_addf(out, "environment %s", key->variable);
        break;
    case SOURCE_FLAG:
        buf_addf(out, "flag --%s", key->name);
        break;
    case SOURCE_FILE:
    case SOURCE_DEFAULT:
        if (config->file)
            write_place(out, config->file, origin->line, origin->column);
        else
            buf_adds(out, "configuration");
        break;
    }
}

/* True where the error is to be told: beyond the bound they are only counted. */
static bool count_error(struct config_loading *loading)
{
    loading->error_count++;
    if (loading->error_count == CONFIG_MAX_ERRORS + 1)
        buf_adds(loading->errors, "too many errors: the others are not told\n");
    return loading->error_count <= CONFIG_MAX_ERRORS;
}

__attribute__((format(printf, 2, 0))) static void add_text(struct buf *errors, const char *format,
                                                           va_list args)
{
    char text[4 * CONFIG_WHY_BYTES];
    size_t size, taken;
    vsnprintf(text, sizeof text, format, args);
    size = strlen(text);
    buf_adds(errors, ": ");
    /* What someone wrote is repeated, but sends nothing to a terminal. */
    for (size_t i = 0; i < size; i += taken) {
        bool control = utf8_is_control(utf8_next(text + i, size - i, &taken));
        buf_add(errors, control ? "?" : text + i, control ? 1 : taken);
    }
    buf_addc(errors, '\n');
}

void config_error(struct config_loading *loading, const struct config_key *key, const char *format,
                  ...)
{
    config_origin(loading->config, key)->bad = true;
    if (!count_error(loading))
        return;
    va_list args;
    va_start(args, format);
    config_write_origin(loading->config, key, loading->errors);
    add_text(loading->errors, format, args);
    va_end(args);
}

void config_error_at(struct config_loading *loading, unsigned line, unsigned column,
                     const char *format, ...)
{
    if (!count_error(loading))
        return;
    va_list args;
    va_start(args, format);
    write_place(loading->errors, loading->config->file, line, column);
    add_text(loading->errors, format, args);
    va_end(args);
}

static void file_error(struct config_loading *loading, const char *text)
{
    loading->unread = true;
    if (count_error(loading))
        buf_addf(loading->errors, "%s: %s\n", loading->config->file, text);
}

/* ---- sources, the weakest first ---- */

static void load_defaults(struct config_loading *loading)
{
    char why[CONFIG_WHY_BYTES];
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        if (key->fallback && !config_value_set(loading->config, key, key->fallback, why))
            config_error(loading, key, "%s: default: %s", key->name, why);
    }
}

/* The file's bytes, at most one more than allowed; NULL with errno. */
static char *read_file(const char *path, size_t *size)
{
    char *text = malloc(CONFIG_FILE_MAX_BYTES + 1);
    int fd = text ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    ssize_t got = -1;
    *size = 0;
    while (fd >= 0 && *size <= CONFIG_FILE_MAX_BYTES) {
        got = read(fd, text + *size, CONFIG_FILE_MAX_BYTES + 1 - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        *size += (size_t)got;
    }
    int saved = errno;
    if (fd >= 0)
        close(fd);
    if (fd >= 0 && got >= 0)
        return text;
    free(text);
    errno = saved;
    return NULL;
}

static void load_file(struct config_loading *loading, const struct config_request *request)
{
    char *read = NULL;
    const char *text = request->text;
    size_t size = request->text_bytes;
    if (!text) {
        text = read = read_file(request->file, &size);
        if (!text) {
            file_error(loading, strerror(errno));
            return;
        }
    }
    if (size > CONFIG_FILE_MAX_BYTES)
        file_error(loading, "is larger than 1 MiB");
    else
        config_yaml_read(loading, text, size);
    free(read);
}

/* A value from outside the file. */
static void load_text(struct config_loading *loading, const struct config_key *key,
                      enum config_source source, const char *text)
{
    enum config_storage storage = config_storage(key);
    char why[CONFIG_WHY_BYTES];
    *config_origin(loading->config, key) = (struct config_origin){.source = source};
    if ((storage == STORED_LIST || storage == STORED_JWT) && text[strspn(text, " ")] == '[')
        config_yaml_list(loading, key, text);
    else if (!config_value_set(loading->config, key, text, why))
        config_error(loading, key, "%s: %s", key->name, why);
}

static void load_environment(struct config_loading *loading)
{
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        const char *text = key->variable ? getenv(key->variable) : NULL;
        if (text && *text) /* set to nothing is how a compose file says: not set */
            load_text(loading, key, SOURCE_ENVIRONMENT, text);
    }
}

/* A password on a command line stands in every process list. */
static bool holds_secret(const struct config_key *key, const char *text)
{
    struct buf shown = BUF_INIT;
    if (key->type == CONFIG_DSN)
        config_hide_dsn(text, &shown);
    else if (key->type == CONFIG_NATS)
        config_hide_nats_url(text, &shown);
    else
        return false;
    bool same = strcmp(buf_cstr(&shown), text) == 0;
    buf_done(&shown);
    return !same;
}

static void load_flags(struct config_loading *loading, const struct config_request *request)
{
    char why[CONFIG_WHY_BYTES];
    for (size_t i = 0; i < request->flag_count; i++) {
        const struct config_flag *flag = &request->flags[i];
        const struct config_key *key = config_key_find(flag->name, flag->name_size);
        if (!key) {
            if (count_error(loading))
                buf_addf(loading->errors, "flag --%.*s: unknown key\n", (int)flag->name_size,
                         flag->name);
            continue;
        }
        load_text(loading, key, SOURCE_FLAG, flag->value);
        if ((key->type != CONFIG_DSN || config_check_dsn(flag->value, why)) &&
            holds_secret(key, flag->value))
            config_error(loading, key,
                         "%s: secrets come from files, never from flags: write it into the "
                         "configuration file%s",
                         key->name,
                         key->type == CONFIG_DSN ? ", or name a passfile" : ", or set nats.creds");
    }
}

/* What stands in place of a value that was not set. */
static void settle(struct config_loading *loading)
{
    struct config *config = loading->config;
    if (config->postgres.admin_dsn || !config->postgres.dsn)
        return;
    config->postgres.admin_dsn = strdup(config->postgres.dsn);
    if (!config->postgres.admin_dsn)
        loading->errors->failed = true;
}

int config_load(const struct config_request *request, struct config *config, struct buf *errors)
{
    struct config loaded = {0};
    struct config_loading loading = {.config = &loaded, .errors = errors};
    loaded.origins = calloc(config_key_count, sizeof *loaded.origins);
    loaded.file = request->file ? strdup(request->file) : NULL;
    if (!loaded.origins || (request->file && !loaded.file)) {
        buf_adds(errors, "no memory\n");
        goto out;
    }
    load_defaults(&loading);
    if (request->file)
        load_file(&loading, request);
    load_environment(&loading);
    load_flags(&loading, request);
    if (!loading.unread)
        config_check(&loading, request->required);
    settle(&loading);
    if (loading.error_count == 0 && !errors->failed) {
        *config = loaded;
        return 0;
    }
out:
    config_done(&loaded);
    return -1;
}

void config_done(struct config *config)
{
    for (size_t i = 0; i < config_key_count; i++)
        config_value_done(config, &config_keys[i]);
    config_cell_free(config->cell);
    free(config->file);
    free(config->origins);
    *config = (struct config){0};
}

bool config_listens_on_loopback(const struct config *config)
{
    return config_is_loopback(config->http.listen);
}
