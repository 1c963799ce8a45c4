/* `config check|show|example|schema`, and loading for every other subcommand. */
#include "hub/cli.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int cli_print(const struct buf *text)
{
    size_t size = text->size_bytes;
    if (!text->failed && (size == 0 || fwrite(text->data, 1, size, stdout) == size) &&
        fflush(stdout) == 0)
        return CLI_OK;
    fprintf(stderr, "fleethub: cannot write: %s\n", text->failed ? "no memory" : strerror(errno));
    return CLI_FAILED;
}

struct config_request cli_request(const struct cli_args *args, const char *required)
{
    return (struct config_request){
        .file = args->file,
        .flags = args->flags,
        .flag_count = args->flag_count,
        .required = required,
    };
}

static int load(const struct cli_args *args, const char *required, struct config *config,
                struct buf *errors)
{
    struct config_request request = cli_request(args, required);
    return config_load(&request, config, errors);
}

bool cli_load(const struct cli_args *args, const char *required, struct config *config)
{
    struct buf errors = BUF_INIT;
    bool good = load(args, required, config, &errors) == 0;
    if (!good)
        fputs(errors.failed ? "fleethub: no memory\n" : buf_cstr(&errors), stderr);
    buf_done(&errors);
    return good;
}

int cli_config_check(const struct cli_args *args)
{
    struct config config;
    struct buf text = BUF_INIT;
    /* What is wrong is what this command was asked for: it goes to standard output. */
    bool good = load(args, NULL, &config, &text) == 0;
    if (good) {
        good = config_check_files(&config, &text);
        config_done(&config);
    }
    if (good) {
        buf_reset(&text);
        buf_addf(&text, "%s: ok\n", args->file ? args->file : "configuration");
    }
    int printed = cli_print(&text);
    buf_done(&text);
    return good ? printed : CLI_FAILED;
}

int cli_config_show(const struct cli_args *args)
{
    struct config config;
    struct buf text = BUF_INIT;
    if (!cli_load(args, NULL, &config))
        return CLI_FAILED;
    config_show(&config, true, &text);
    int printed = cli_print(&text);
    buf_done(&text);
    config_done(&config);
    return printed;
}

static int print_made(void (*make)(struct buf *out))
{
    struct buf text = BUF_INIT;
    make(&text);
    int printed = cli_print(&text);
    buf_done(&text);
    return printed;
}

int cli_config_example(const struct cli_args *args)
{
    (void)args;
    return print_made(config_example);
}

int cli_config_schema(const struct cli_args *args)
{
    (void)args;
    return print_made(config_schema);
}
