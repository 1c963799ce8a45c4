#include "hub/cli_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TOKEN_FILE_MAX_BYTES = 8192 };
#define DEFAULT_SERVER "http://127.0.0.1:8480"

static const char *from_environment(const char *given, const char *name)
{
    const char *value = given ? given : getenv(name);
    return value && *value ? value : NULL;
}

/* The file's first line. False, having said why. */
static bool read_token(const char *subcommand, const char *path, char token[TOKEN_FILE_MAX_BYTES])
{
    FILE *file = fopen(path, "re");
    bool read = file && fgets(token, TOKEN_FILE_MAX_BYTES, file);
    if (!read)
        fprintf(stderr, "fleethub %s: %s: %s\n", subcommand, path,
                file && !ferror(file) ? "is empty" : strerror(errno));
    if (file)
        fclose(file);
    if (read)
        token[strcspn(token, "\r\n")] = '\0';
    return read;
}

/* A token goes into a header: whatever else it holds, it must not begin another one. */
static bool is_token(const char *token)
{
    for (; *token; token++)
        if ((unsigned char)*token <= ' ' || (unsigned char)*token >= 0x7f)
            return false;
    return true;
}

struct client *cli_client(const char *subcommand, const struct cli_args *args)
{
    const char *server = from_environment(cli_value(args, "server"), "FLEETHUB_SERVER");
    const char *path = from_environment(cli_value(args, "token-file"), "FLEETHUB_TOKEN_FILE");
    const char *token = path ? NULL : from_environment(NULL, "FLEETHUB_TOKEN");
    char read[TOKEN_FILE_MAX_BYTES];
    struct buf why = BUF_INIT;
    if (path) {
        if (!read_token(subcommand, path, read))
            return NULL;
        token = read;
    }
    if (token && !is_token(token)) {
        fprintf(stderr, "fleethub %s: what is given as a token is none\n", subcommand);
        return NULL;
    }
    struct client *client = client_new(server ? server : DEFAULT_SERVER, token, &why);
    if (!client)
        fprintf(stderr, "fleethub %s: %s\n", subcommand, buf_cstr(&why));
    buf_done(&why);
    return client;
}
