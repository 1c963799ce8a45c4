/* fleetsim pub: one raw message, for tests and people. */
#include "tools/commands.h"
#include "tools/run.h"

#include "twin/timestamp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HEADER_NAME_BYTES = 128 };
#define PUB_POLL_NS (1 * NS_PER_MS)

static const struct option_spec PUB[] = {
    {"data", "TEXT", "the payload", OPTION_TEXT, offsetof(struct run_options, data), NULL, 0, 0},
    {"file", "FILE", "the payload from a file, - is stdin", OPTION_TEXT,
     offsetof(struct run_options, file), NULL, 0, 0},
    {"header", "NAME:VALUE", "a header, may be given several times", OPTION_TEXTS,
     offsetof(struct run_options, headers), NULL, 0, 0},
    {"js", NULL, "wait for the stream's acknowledgement and print it as JSON", OPTION_FLAG,
     offsetof(struct run_options, js), NULL, 0, 0},
    {"timeout", "S", "for that, or for the server to take it", OPTION_REAL,
     offsetof(struct run_options, timeout_s), "5", 0.001, 3600},
};

static bool read_payload(const struct run_options *options, struct buf *payload)
{
    if (options->data)
        buf_adds(payload, options->data);
    if (!options->file)
        return !payload->failed;
    FILE *file = strcmp(options->file, "-") == 0 ? stdin : fopen(options->file, "rb");
    if (!file) {
        fprintf(stderr, "fleetsim: %s: %s\n", options->file, strerror(errno));
        return false;
    }
    while (!payload->failed && !feof(file) && !ferror(file)) {
        char chunk[65536];
        buf_add(payload, chunk, fread(chunk, 1, sizeof chunk, file));
    }
    bool ok = !ferror(file) && !payload->failed;
    if (file != stdin)
        fclose(file);
    if (!ok)
        fprintf(stderr, "fleetsim: %s cannot be read\n", options->file);
    return ok;
}

/* NAME:VALUE, spaces before the value dropped. `names` holds the names. */
static bool read_headers(const struct option_texts *texts, struct sim_header *headers,
                         char names[][HEADER_NAME_BYTES])
{
    for (size_t i = 0; i < texts->count; i++) {
        const char *colon = strchr(texts->at[i], ':');
        size_t size = colon ? (size_t)(colon - texts->at[i]) : 0;
        if (size == 0 || size >= HEADER_NAME_BYTES) {
            fprintf(stderr, "fleetsim: --header: \"%s\" is no NAME:VALUE\n", texts->at[i]);
            return false;
        }
        memcpy(names[i], texts->at[i], size);
        names[i][size] = '\0';
        headers[i].name = names[i];
        headers[i].value = colon + 1 + strspn(colon + 1, " ");
    }
    return true;
}

static int wait_ack(struct sim_bus *bus, double timeout_s)
{
    int64_t deadline_ns = pace_mono_ns() + (int64_t)(timeout_s * (double)NS_PER_S);
    struct sim_ack ack;

    while (!sim_bus_next_ack(bus, &ack)) {
        if (pace_mono_ns() > deadline_ns || run_stopped()) {
            fprintf(stderr, "fleetsim: no acknowledgement\n");
            return EXIT_FAILED;
        }
        pace_sleep(PUB_POLL_NS);
    }
    switch (ack.outcome) {
    case SIM_ACK_STORED:
        printf("{\"stream\":\"%s\",\"seq\":%llu,\"duplicate\":%s}\n", ack.stream,
               (unsigned long long)ack.seq, ack.duplicate ? "true" : "false");
        return EXIT_OK;
    case SIM_ACK_NO_STREAM:
        fprintf(stderr, "fleetsim: no stream takes this subject\n");
        return EXIT_FAILED;
    case SIM_ACK_REFUSED:
        break;
    }
    fprintf(stderr, "fleetsim: refused: %s (%d)\n", ack.error, ack.error_code);
    return EXIT_FAILED;
}

static int publish(const struct run_options *options, const char *subject,
                   const struct buf *payload, const struct sim_header *headers)
{
    struct sim_bus *bus = run_connect(options);
    int code = EXIT_FAILED;
    bool sent;

    if (!bus)
        return EXIT_FAILED;
    const char *data = payload->data ? payload->data : "";
    if (options->js)
        sent = sim_bus_store(bus, subject, data, payload->size_bytes, headers,
                             options->headers.count, 0);
    else if (options->headers.count > 0)
        sent = sim_bus_publish_headers(bus, subject, data, payload->size_bytes, headers,
                                       options->headers.count);
    else
        sent = sim_bus_publish(bus, subject, data, payload->size_bytes, NULL);
    if (!sent || !sim_bus_flush(bus, (int64_t)(options->timeout_s * 1000)))
        fprintf(stderr, "fleetsim: the server did not take it\n");
    else
        code = options->js ? wait_ack(bus, options->timeout_s) : EXIT_OK;
    sim_bus_close(bus, 0);
    sim_bus_end();
    return code;
}

int pub_main(int argc, char **argv)
{
    const struct option_group groups[] = {{"Message", PUB, sizeof PUB / sizeof *PUB},
                                          RUN_CONNECTION_GROUP};
    const size_t group_count = sizeof groups / sizeof *groups;
    static char names[OPTION_TEXTS_MAX][HEADER_NAME_BYTES];
    struct sim_header headers[OPTION_TEXTS_MAX];
    struct run_options options = {.url = NULL};
    struct buf payload = BUF_INIT;
    struct option_args args;
    char error[OPTION_ERROR_BYTES];
    int code = EXIT_FAILED;

    if (!options_parse(groups, group_count, argc, argv, &options, &args, error)) {
        fprintf(stderr, "fleetsim pub: %s (--help tells all)\n", error);
        return EXIT_USAGE;
    }
    if (args.help) {
        printf("usage: fleetsim pub [options] SUBJECT\n\nPublishes one message as it is.\n");
        options_help(groups, group_count);
        printf("\nExit: 0 good, 1 failed, 2 usage.\n");
        return EXIT_OK;
    }
    if (args.count != 1 || (options.data && options.file)) {
        fprintf(stderr, "usage: fleetsim pub [options] SUBJECT (--help tells all)\n");
        return EXIT_USAGE;
    }
    if (!read_headers(&options.headers, headers, names))
        return EXIT_USAGE;
    if (read_payload(&options, &payload))
        code = publish(&options, args.positionals[0], &payload, headers);
    buf_done(&payload);
    return code;
}
