/* `audit export`, and `audit verify` of a file. */
#include "hub/audit_export.h"
#include "hub/audit_file.h"
#include "hub/cli_audit.h"
#include "twin/timestamp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { READ_BYTES = 64 * 1024 };

const struct cli_option cli_audit_export_options[] = {
    {"output", "FILE", "write to this file instead of standard output"},
    {"vid", "VID", "only what concerns this vehicle"},
    {"start", "TIME", "only what was received at this time or later (RFC 3339)"},
    {"end", "TIME", "only what was received before this time"},
    {"from", "SEQ", "only from this record on"},
    {"to", "SEQ", "only up to this record"},
    {"checkpoint", "FILE", "show the record as it was at these checkpoints, too"},
    {NULL, NULL, NULL}};

/* ---- verify ---- */

/* Lines of any length and content; one beyond AUDIT_LINE_MAX_BYTES is judged by its beginning,
 * which is no line of an export. */
static int read_lines(FILE *in, const char *path, struct audit_file *file)
{
    struct buf text = BUF_INIT;
    size_t start = 0, looked = 0, got = 1;
    bool more = true;
    while (more && got > 0) {
        const char *end = text.size_bytes > looked
                              ? memchr(text.data + looked, '\n', text.size_bytes - looked)
                              : NULL;
        if (end) {
            more = audit_file_line(file, text.data + start, (size_t)(end - text.data) - start);
            start = looked = (size_t)(end - text.data) + 1;
            continue;
        }
        if (start > 0)
            memmove(text.data, text.data + start, text.size_bytes - start);
        text.size_bytes -= start;
        start = 0;
        looked = text.size_bytes;
        if (text.size_bytes > AUDIT_LINE_MAX_BYTES || !buf_reserve(&text, READ_BYTES))
            break;
        got = fread(text.data + text.size_bytes, 1, READ_BYTES, in);
        text.size_bytes += got;
    }
    bool failed = ferror(in) != 0;
    if (more && !failed && text.size_bytes > start)
        audit_file_line(file, text.data + start, text.size_bytes - start);
    const char *why = text.failed ? "no memory" : strerror(errno);
    failed |= text.failed;
    buf_done(&text);
    return failed ? cli_audit_unusable(path, why) : AUDIT_EXIT_GOOD;
}

int cli_audit_verify_file(const char *path, const struct audit_keys *keys,
                          const struct cli_notes *notes, bool json)
{
    struct audit_request request = {
        .keys = keys, .outside = notes->notes, .outside_count = notes->count};
    struct audit_report report;
    bool from_stdin = strcmp(path, "-") == 0;
    FILE *in = from_stdin ? stdin : fopen(path, "re");
    if (!in)
        return cli_audit_unusable(path, strerror(errno));
    struct audit_file *file = audit_file_new(&request, &report);
    int exit_code = file ? read_lines(in, path, file) : cli_audit_unusable("", "no memory");
    struct cli_verdict verdict = {
        .report = &report, .keys = keys, .given = notes->count, .file = true, .json = json};
    if (file) {
        verdict.own_keys = audit_file_own_keys(file);
        audit_file_end(file);
    }
    if (exit_code == AUDIT_EXIT_GOOD)
        exit_code = cli_audit_tell(&verdict);
    if (!from_stdin)
        fclose(in);
    return exit_code;
}

/* ---- export ---- */

static int bad_value(const char *name, const char *what)
{
    fprintf(stderr, "fleethub audit export: --%s is %s\n", name, what);
    return CLI_USAGE;
}

static bool read_time(const struct cli_args *args, const char *name, int64_t *ns)
{
    const char *text = cli_value(args, name);
    *ns = TIMESTAMP_NONE;
    return !text || timestamp_parse(text, strlen(text), ns);
}

static bool read_seq(const struct cli_args *args, const char *name, int64_t *seq)
{
    const char *text = cli_value(args, name);
    char *end = NULL;
    *seq = 0;
    if (!text)
        return true;
    errno = 0;
    *seq = *text >= '0' && *text <= '9' ? strtoll(text, &end, 10) : 0;
    return end && *end == '\0' && errno == 0 && *seq > 0;
}

static int read_selection(const struct cli_args *args, struct audit_selection *selection)
{
    selection->vid = cli_value(args, "vid");
    if (selection->vid && !vid_valid(selection->vid, strlen(selection->vid)))
        return bad_value("vid", "1 to 64 of the characters A-Z a-z 0-9 _ -");
    if (!read_time(args, "start", &selection->start_ns))
        return bad_value("start", "a time as 2026-01-15T10:30:00Z");
    if (!read_time(args, "end", &selection->end_ns))
        return bad_value("end", "a time as 2026-01-15T10:30:00Z");
    if (!read_seq(args, "from", &selection->from_seq))
        return bad_value("from", "the seq of a record, a whole number from 1");
    if (!read_seq(args, "to", &selection->to_seq))
        return bad_value("to", "the seq of a record, a whole number from 1");
    return CLI_OK;
}

/* Into a file beside it, which takes its name once it is whole. */
static int export_to(const char *path, struct audit_export_request *request)
{
    struct audit_export_report report;
    char error[AUDIT_ERROR_BYTES];
    struct buf temporary = BUF_INIT;
    int exit_code = CLI_FAILED;
    buf_addf(&temporary, "%s.part", path ? path : "");
    request->out = path ? fopen(buf_cstr(&temporary), "we") : stdout;
    if (!request->out) {
        fprintf(stderr, "fleethub audit export: %s: %s\n", buf_cstr(&temporary), strerror(errno));
        goto out;
    }
    bool good = audit_export(request, &report, error);
    if (good && (fflush(request->out) != 0 || (path && fsync(fileno(request->out)) != 0))) {
        snprintf(error, sizeof error, "%s", strerror(errno));
        good = false;
    }
    if (path && fclose(request->out) != 0)
        good = false;
    if (good && path && rename(buf_cstr(&temporary), path) != 0) {
        snprintf(error, sizeof error, "%s", strerror(errno));
        good = false;
    }
    if (good) {
        fprintf(stderr, "exported %lld of %lld records\n", (long long)report.records,
                (long long)report.size);
        exit_code = CLI_OK;
    } else {
        fprintf(stderr, "fleethub audit export: %s\n", error);
        if (path)
            unlink(buf_cstr(&temporary));
    }
out:
    buf_done(&temporary);
    return exit_code;
}

int cli_audit_export(const struct cli_args *args)
{
    struct config config;
    struct audit_export_request request = {.out = NULL};
    struct cli_notes notes = {.count = 0};
    int exit_code = read_selection(args, &request.selection);
    if (exit_code != CLI_OK)
        return exit_code;
    if (!cli_notes_load(cli_value(args, "checkpoint"), &notes)) {
        cli_notes_done(&notes);
        return CLI_FAILED;
    }
    exit_code = CLI_FAILED;
    if (cli_load(args, "postgres.", &config)) {
        request.dsn = config.postgres.dsn;
        request.outside = notes.notes;
        request.outside_count = notes.count;
        exit_code = export_to(cli_value(args, "output"), &request);
        config_done(&config);
    }
    cli_notes_done(&notes);
    return exit_code;
}
