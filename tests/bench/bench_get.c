/*
 * bench_get: libmicrohttpd answering every request with the same bytes, prepared: the limit that
 * GET /v1/vehicles/{vid} of a hub is compared with.
 *
 *     bench_get REPLY
 *
 * REPLY is a file: lines `Name: value` of the headers, an empty line, the body. Prints the port and
 * answers until its input ends; tests/bench/get.py starts it.
 */
#include <arpa/inet.h>
#include <microhttpd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { THREADS = 2 /* as the hub has */, REPLY_MAX_BYTES = 1 << 20, CONNECTIONS_MAX = 1024 };

static char reply[REPLY_MAX_BYTES];

static void die(const char *why)
{
    fprintf(stderr, "bench_get: %s\n", why);
    exit(1);
}

static enum MHD_Result answer(void *closure, struct MHD_Connection *connection, const char *url,
                              const char *method, const char *version, const char *data,
                              size_t *data_bytes, void **request)
{
    static int begun;
    (void)url, (void)method, (void)version, (void)data, (void)data_bytes;
    if (!*request) { /* an answer at the first call would close the connection */
        *request = &begun;
        return MHD_YES;
    }
    return MHD_queue_response(connection, MHD_HTTP_OK, closure);
}

/* The library makes its own of these. */
static int is_its_own(const char *name)
{
    return strcasecmp(name, "Date") == 0 || strcasecmp(name, "Content-Length") == 0 ||
           strcasecmp(name, "Connection") == 0;
}

static struct MHD_Response *prepare(const char *path)
{
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(reply, 1, sizeof reply - 1, file) : 0;
    if (!file || size == 0)
        die("cannot read the reply");
    fclose(file);
    char *body = strstr(reply, "\n\n");
    if (!body)
        die("the reply has no body");
    body[1] = '\0';
    body += 2;
    struct MHD_Response *response = MHD_create_response_from_buffer(size - (size_t)(body - reply),
                                                                    body, MHD_RESPMEM_PERSISTENT);
    char *rest = NULL;
    for (char *line = strtok_r(reply, "\n", &rest); line && response;
         line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strstr(line, ": ");
        if (!colon)
            die("a header without a value");
        *colon = '\0';
        if (!is_its_own(line) && MHD_add_response_header(response, line, colon + 2) != MHD_YES)
            die("a header that the library refuses");
    }
    return response;
}

int main(int argc, char **argv)
{
    if (argc != 2)
        die("usage: bench_get REPLY");
    struct MHD_Response *response = prepare(argv[1]);
    struct sockaddr_in any = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct MHD_Daemon *daemon =
        response
            ? MHD_start_daemon(MHD_USE_EPOLL_INTERNAL_THREAD | MHD_USE_TURBO, 0, NULL, NULL, answer,
                               response, MHD_OPTION_SOCK_ADDR, &any, MHD_OPTION_THREAD_POOL_SIZE,
                               (unsigned)THREADS, MHD_OPTION_CONNECTION_LIMIT,
                               (unsigned)CONNECTIONS_MAX, MHD_OPTION_END)
            : NULL;
    const union MHD_DaemonInfo *info =
        daemon ? MHD_get_daemon_info(daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info)
        die("cannot start");
    printf("%u\n", (unsigned)info->port);
    fflush(stdout);
    char line[16];
    while (read(STDIN_FILENO, line, sizeof line) > 0)
        ;
    MHD_stop_daemon(daemon);
    MHD_destroy_response(response);
    return 0;
}
