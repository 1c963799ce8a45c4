/*
 * The configuration's file: whatever the bytes, reading ends with a configuration that shows and
 * reads back as the same, or with errors that send nothing to a terminal.
 */
#include "hub/config.h"

#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The keys without a default come from here, so that a short input is enough for a good file. */
static const struct config_flag required[] = {
    {"env", 3, "fuzz"},
    {"region", 6, "here"},
    {"nats.url", 8, "nats://h"},
    {"postgres.dsn", 12, "host=h"},
};

static int load(const char *text, size_t size, bool flags, struct config *config,
                struct buf *errors)
{
    struct config_request request = {
        .file = "fuzz.yaml",
        .text = text,
        .text_bytes = size,
        .flags = required,
        .flag_count = flags ? sizeof required / sizeof *required : 0,
    };
    return config_load(&request, config, errors);
}

static void check_errors(struct buf *errors)
{
    if (errors->size_bytes == 0 || errors->data[errors->size_bytes - 1] != '\n')
        abort();
    for (size_t i = 0; i < errors->size_bytes; i++) {
        unsigned char byte = (unsigned char)errors->data[i];
        if ((byte < 0x20 && byte != '\n') || byte == 0x7f)
            abort();
    }
}

static void check_round_trip(const struct config *config, struct buf *errors)
{
    struct buf shown = BUF_INIT, again = BUF_INIT;
    struct config reread;
    config_show(config, true, &shown);
    if (load(shown.data, shown.size_bytes, false, &reread, errors) != 0)
        abort();
    buf_reset(&shown);
    config_show(config, false, &shown);
    config_show(&reread, false, &again);
    if (strcmp(buf_cstr(&shown), buf_cstr(&again)) != 0)
        abort();
    config_done(&reread);
    buf_done(&shown);
    buf_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config config;
    struct buf errors = BUF_INIT;
    /* With and without flags: a DSN or URL of the file's own is shown only without. */
    for (int flags = 0; flags < 2; flags++) {
        buf_reset(&errors);
        if (load((const char *)data, size, flags, &config, &errors) != 0) {
            check_errors(&errors);
            continue;
        }
        check_round_trip(&config, &errors);
        config_done(&config);
    }
    buf_done(&errors);
    return 0;
}
