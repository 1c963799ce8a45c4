/* send: the body of the request. */
#include "hub/send.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX_BYTES = 40 };

/* How an option stands in the body. */
enum form { FORM_TEXT, FORM_NUMBER, FORM_TRUE };

struct part {
    const char *option, *member;
    enum form form;
};

static const struct part params[] = {{"alt", "alt", FORM_NUMBER},
                                     {"lat", "lat", FORM_NUMBER},
                                     {"lon", "lon", FORM_NUMBER},
                                     {"mode", "mode", FORM_TEXT},
                                     {"force", "force", FORM_TRUE}};
static const struct part rollout[] = {{"batch", "batch", FORM_NUMBER},
                                      {"interval-ms", "interval_ms", FORM_NUMBER},
                                      {"abort-failed", "abort_failed_pct", FORM_NUMBER},
                                      {"abort-min", "abort_min", FORM_NUMBER}};
static const struct part verify[] = {{"verify", "filter", FORM_TEXT},
                                     {"verify-within", "within_s", FORM_NUMBER}};
static const struct part whole[] = {{"reason", "reason", FORM_TEXT},
                                    {"ttl", "ttl_s", FORM_NUMBER},
                                    {"within", "complete_within_s", FORM_NUMBER},
                                    {"wait", "wait", FORM_TEXT},
                                    {"confirm", "confirm", FORM_NUMBER},
                                    {"dry-run", "dry_run", FORM_TRUE}};
#define PARTS(table) table, sizeof table / sizeof *table

/* A number as JSON has it, which the shell's user may write as he likes. */
static bool write_number(struct buf *body, const char *text)
{
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref number;
    size_t size = strlen(text);
    bool good = parser && size <= NUMBER_MAX_BYTES &&
                doc_parse(parser, text, size,
                          (struct doc_limits){.max_bytes = NUMBER_MAX_BYTES, .max_depth = 1},
                          &number) == DOC_OK &&
                doc_is_number(number);
    if (good)
        doc_write(body, number);
    doc_parser_free(parser);
    return good;
}

/* Those of the options that were given, as members. */
static bool write_parts(const struct cli_args *args, const struct part *parts, size_t count,
                        struct buf *body, struct buf *why)
{
    for (size_t i = 0; i < count; i++) {
        const char *value = cli_value(args, parts[i].option);
        if (!value)
            continue;
        buf_json_name(body, parts[i].member);
        if (parts[i].form == FORM_TEXT) {
            buf_json_cstr(body, value);
        } else if (parts[i].form == FORM_TRUE) {
            buf_adds(body, "true");
        } else if (!write_number(body, value)) {
            buf_addf(why, "--%s: `%.40s` is no number", parts[i].option, value);
            return false;
        }
    }
    return true;
}

static bool any_given(const struct cli_args *args, const struct part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (cli_value(args, parts[i].option))
            return true;
    return false;
}

static bool write_object(const struct cli_args *args, const char *name, const struct part *parts,
                         size_t count, struct buf *body, struct buf *why)
{
    if (!any_given(args, parts, count))
        return true;
    buf_json_name(body, name);
    buf_addc(body, '{');
    bool good = write_parts(args, parts, count, body, why);
    buf_addc(body, '}');
    return good;
}

static bool write_params(const struct cli_args *args, struct buf *body, struct buf *why)
{
    const char *given = cli_value(args, "params");
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref root;
    bool good = true;
    if (given && any_given(args, PARTS(params))) {
        buf_adds(why, "--params says all of them: no --alt, --lat, --lon, --mode or --force "
                      "beside it");
        good = false;
    } else if (given) {
        enum doc_error error =
            parser ? doc_parse(parser, given, strlen(given),
                               (struct doc_limits){.max_bytes = 1 << 20, .max_depth = 32}, &root)
                   : DOC_NO_MEMORY;
        good = error == DOC_OK && doc_is(root, DOC_OBJECT);
        if (good) {
            buf_json_name(body, "params");
            doc_write(body, root);
        } else {
            buf_adds(why, "--params must be a JSON object such as '{\"alt\": 30}'");
        }
    } else {
        good = write_object(args, "params", PARTS(params), body, why);
    }
    doc_parser_free(parser);
    return good;
}

/* a,b,c as an array of texts */
static void write_list(struct buf *body, const char *text)
{
    buf_addc(body, '[');
    for (const char *comma = ""; *text; comma = ",") {
        size_t size = strcspn(text, ",");
        buf_adds(body, comma);
        buf_json_string(body, text, size);
        text += size + (text[size] == ',');
    }
    buf_addc(body, ']');
}

static bool write_target(const struct cli_args *args, struct buf *body, struct buf *why)
{
    static const char *const ways[] = {"vids", "filter", "group", "all"};
    const char *way = NULL, *value = NULL;
    int given = 0;
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        if (!cli_value(args, ways[i]))
            continue;
        way = ways[i];
        value = cli_value(args, way);
        given++;
    }
    if (given != 1) {
        buf_adds(why, "say which vehicles by one of --filter, --vids, --group and --all");
        return false;
    }
    buf_json_name(body, "target");
    buf_addf(body, "{\"%s\":", way);
    if (strcmp(way, "vids") == 0)
        write_list(body, value);
    else if (strcmp(way, "all") == 0)
        buf_adds(body, "true");
    else
        buf_json_cstr(body, value);
    buf_addc(body, '}');
    return true;
}

bool send_body(const struct cli_args *args, struct buf *body, struct buf *why)
{
    if (!args->word) {
        buf_adds(why, "say which command: rtl, land, hold, goto, …");
        return false;
    }
    if (cli_value(args, "verify-within") && !cli_value(args, "verify")) {
        buf_adds(why, "--verify-within makes no sense without --verify");
        return false;
    }
    buf_addc(body, '{');
    buf_json_name(body, "type");
    buf_json_cstr(body, args->word);
    bool good = write_params(args, body, why) && write_target(args, body, why) &&
                write_parts(args, PARTS(whole), body, why) &&
                write_object(args, "rollout", PARTS(rollout), body, why) &&
                write_object(args, "verify", PARTS(verify), body, why);
    buf_addc(body, '}');
    return good;
}
