/* `audit verify` and `audit key`. */
#include "hub/cli_audit.h"
#include "hub/audit_runner.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { NOTES_MAX = 1024, CHECKPOINT_FILE_MAX_BYTES = 4 * 1024 * 1024 };

const struct cli_option cli_audit_verify_options[] = {
    {"key", "FILE", "public keys to trust: verifier keys or PEM, any number"},
    {"checkpoint", "FILE", "checkpoints as they were published, kept elsewhere"},
    {"json", NULL, "the verdict as a JSON object"},
    {NULL, NULL, NULL}};
const struct cli_option cli_audit_key_options[] = {
    {"output", "FILE", "write the new private key there, readable by its owner alone"},
    {"public", NULL, "make none: print the public key of record.signing_key_file"},
    {NULL, NULL, NULL}};

int cli_audit_unusable(const char *what, const char *why)
{
    fprintf(stderr, "fleethub audit: %s%s%s\n", what, *what ? ": " : "", why);
    return AUDIT_EXIT_UNUSABLE;
}

/* ---- what is given ---- */

static bool add_keys(const char *path, struct audit_keys *keys)
{
    char error[AUDIT_ERROR_BYTES];
    if (audit_keys_load(keys, path, error))
        return true;
    cli_audit_unusable(path, error);
    return false;
}

/* The keys to trust: those of --key, else those that the configuration signs with. Who verifies may
 * well not be allowed to read these. */
static bool load_keys(const struct cli_args *args, const struct config *config,
                      struct audit_keys *keys)
{
    const char *given = cli_value(args, "key");
    if (given)
        return add_keys(given, keys);
    const char *configured[] = {config ? config->record.signing_key_file : NULL,
                                config ? config->record.previous_key_file : NULL};
    for (size_t i = 0; i < sizeof configured / sizeof *configured; i++) {
        if (!configured[i])
            continue;
        if (access(configured[i], R_OK) != 0)
            fprintf(stderr,
                    "fleethub audit: %s cannot be read, so its signatures are not checked: "
                    "%s\n",
                    configured[i], strerror(errno));
        else if (!add_keys(configured[i], keys))
            return false;
    }
    return true;
}

void cli_notes_done(struct cli_notes *notes)
{
    free(notes->notes);
    buf_done(&notes->text);
}

/* Checkpoints, one behind the other, as they come out of a stream or a growing file. */
bool cli_notes_load(const char *path, struct cli_notes *notes)
{
    char error[AUDIT_ERROR_BYTES];
    const char *reason = "there is none in it";
    size_t at = 0, used;
    if (!path)
        return true;
    notes->notes = calloc(NOTES_MAX, sizeof *notes->notes);
    if (!notes->notes || !audit_file_read(path, CHECKPOINT_FILE_MAX_BYTES, &notes->text, error)) {
        cli_audit_unusable(path, notes->notes ? error : "there is no memory");
        return false;
    }
    const char *text = buf_cstr(&notes->text);
    while (at < notes->text.size_bytes && notes->count < NOTES_MAX &&
           audit_note_parse(text + at, notes->text.size_bytes - at, &notes->notes[notes->count],
                            &used, &reason)) {
        notes->count++;
        at += used;
    }
    if (notes->count > 0 && at == notes->text.size_bytes)
        return true;
    cli_audit_unusable(path, notes->count == NOTES_MAX ? "it holds too many" : reason);
    return false;
}

/* ---- what is said ---- */

static void write_hex(struct buf *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buf_addf(out, "%02x", bytes[i]);
}

static void write_limits(struct buf *out, const struct cli_verdict *verdict)
{
    const struct audit_report *report = verdict->report;
    if (report->covered_to < report->records)
        buf_addf(out,
                 "no checkpoint covers the last %lld records yet: they fit together, and whoever "
                 "can write to the database could have made them\n",
                 (long long)(report->records - report->covered_to));
    if (verdict->own_keys && report->trusted > 0)
        buf_adds(out, "no key was given (--key FILE): signatures were checked with the keys in the "
                      "file itself, so compare those with what the hub's operator has published\n");
    else if (verdict->keys->count == 0)
        buf_adds(out, "no key was given (--key FILE): who made the checkpoints is not known, and "
                      "whoever can write to the database could have made all of this\n");
    if (verdict->given == 0)
        buf_addf(out,
                 "no checkpoint from elsewhere was given (--checkpoint FILE): this cannot tell "
                 "whether records were cut off the end, whether the %s, or whether a holder of the "
                 "signing key made the record anew\n",
                 verdict->file ? "file is of an old backup" : "database is an old backup");
}

static void write_missing(struct buf *out, const struct cli_verdict *verdict)
{
    long long missing = (long long)(verdict->report->records - verdict->report->rows);
    if (missing > 0 && verdict->file)
        buf_addf(
            out,
            "\nin the file: %lld; for the other %lld the tree is there, not what they say: the "
            "file cannot show that none of them belongs to what was asked for",
            (long long)verdict->report->rows, missing);
    else if (missing > 0)
        buf_addf(out, "\nretention: %lld of them are no longer there; the tree still has them",
                 missing);
}

/* As GET /v1/audit/verify answers, and what only this command knows. */
static void write_json(struct buf *out, const struct cli_verdict *verdict)
{
    const struct audit_report *report = verdict->report;
    audit_report_write(out, report);
    if (out->size_bytes > 0)
        out->size_bytes--; /* the object goes on */
    buf_adds(out, ",\"origin\":");
    buf_json_cstr(out, report->origin);
    buf_addf(out,
             ",\"records_there\":%lld,\"records_covered\":%lld,\"checkpoints\":%lld,"
             "\"checkpoints_trusted\":%lld,\"checkpoints_from_elsewhere\":%zu}\n",
             (long long)report->rows, (long long)report->covered_to, (long long)report->checkpoints,
             (long long)report->trusted, verdict->given);
}

int cli_audit_tell(const struct cli_verdict *verdict)
{
    const struct audit_report *report = verdict->report;
    struct buf out = BUF_INIT;
    int exit_code = AUDIT_EXIT_GOOD;
    if (report->verdict == AUDIT_UNUSABLE)
        return cli_audit_unusable("", report->error);
    if (report->verdict == AUDIT_BAD)
        exit_code = AUDIT_EXIT_BAD;
    if (verdict->json) {
        write_json(&out, verdict);
    } else if (report->verdict == AUDIT_BAD) {
        buf_addf(&out, "bad: record %lld", (long long)report->bad.seq);
        if (report->bad.has_id) {
            buf_adds(&out, " (id ");
            write_hex(&out, report->bad.id, RECORD_ID_BYTES);
            buf_addc(&out, ')');
        }
        buf_addf(&out, ": %s\n", report->bad.reason);
    } else {
        buf_addf(&out, "good: %lld records of %s\nhead: ", (long long)report->records,
                 report->origin);
        write_hex(&out, report->head.bytes, TREE_HASH_BYTES);
        write_missing(&out, verdict);
        buf_addf(&out, "\ncheckpoints: %lld, %lld signed by a trusted key; %zu from elsewhere\n",
                 (long long)report->checkpoints, (long long)report->trusted, verdict->given);
        write_limits(&out, verdict);
    }
    if (cli_print(&out) != CLI_OK)
        exit_code = AUDIT_EXIT_UNUSABLE;
    buf_done(&out);
    return exit_code;
}

/* ---- verify ---- */

static int verify_database(const struct cli_args *args, const struct cli_notes *notes)
{
    struct config config;
    struct audit_keys keys = {.count = 0};
    struct audit_report report;
    int exit_code = AUDIT_EXIT_UNUSABLE;
    if (!cli_load(args, "postgres.", &config))
        return AUDIT_EXIT_UNUSABLE;
    if (load_keys(args, &config, &keys)) {
        struct audit_request request = {.dsn = config.postgres.dsn,
                                        .keys = &keys,
                                        .outside = notes->notes,
                                        .outside_count = notes->count};
        audit_db_verify(&request, &report);
        struct cli_verdict verdict = {.report = &report,
                                      .keys = &keys,
                                      .given = notes->count,
                                      .json = cli_value(args, "json") != NULL};
        exit_code = cli_audit_tell(&verdict);
    }
    config_done(&config);
    return exit_code;
}

/* Needs no configuration, as it needs no database. */
static int verify_file(const struct cli_args *args, const struct cli_notes *notes)
{
    struct audit_keys keys = {.count = 0};
    if (!load_keys(args, NULL, &keys))
        return AUDIT_EXIT_UNUSABLE;
    return cli_audit_verify_file(args->word, &keys, notes, cli_value(args, "json") != NULL);
}

int cli_audit_verify(const struct cli_args *args)
{
    struct cli_notes notes = {.count = 0};
    int exit_code = AUDIT_EXIT_UNUSABLE;
    if (cli_notes_load(cli_value(args, "checkpoint"), &notes))
        exit_code = args->word ? verify_file(args, &notes) : verify_database(args, &notes);
    cli_notes_done(&notes);
    return exit_code;
}

/* ---- key ---- */

/* What others need to check signatures: as a vkey where the origin is known, and in PEM. */
static void write_public(struct buf *out, const struct config *config,
                         const struct audit_signer *signer)
{
    if (config->env && config->region) {
        char origin[AUDIT_NAME_BYTES];
        audit_origin(config->env, config->region, origin);
        audit_vkey_write(out, origin, audit_signer_public(signer));
        buf_addc(out, '\n');
    }
    audit_public_pem_write(out, audit_signer_public(signer));
}

static int print_public(const struct config *config, const char *path)
{
    char error[AUDIT_ERROR_BYTES];
    struct audit_signer *signer;
    struct buf out = BUF_INIT;
    if (!path)
        return cli_audit_unusable("record.signing_key_file", "it is not set");
    if (!audit_signer_load(path, &signer, error))
        return cli_audit_unusable(path, error);
    write_public(&out, config, signer);
    int exit_code = cli_print(&out);
    buf_done(&out);
    audit_signer_free(signer);
    return exit_code;
}

/* Never over a file that is there: it could be the key of all checkpoints so far. */
static bool write_private(const char *path, const struct buf *pem)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write(fd, pem->data, pem->size_bytes) == (ssize_t)pem->size_bytes &&
                fsync(fd) == 0;
    if (!good)
        fprintf(stderr, "fleethub audit key: cannot write %s: %s\n", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    return good;
}

static int make_key(const struct config *config, const char *path)
{
    char error[AUDIT_ERROR_BYTES];
    struct audit_signer *signer = NULL;
    struct buf pem = BUF_INIT, out = BUF_INIT;
    struct stat where;
    int exit_code = CLI_FAILED;
    if (!audit_key_make(&pem, error) ||
        !audit_signer_read(pem.data, pem.size_bytes, &signer, error)) {
        fprintf(stderr, "fleethub audit key: %s\n", error);
        goto out;
    }
    write_public(&out, config, signer);
    if (path) {
        exit_code = write_private(path, &pem) ? cli_print(&out) : CLI_FAILED;
        goto out;
    }
    /* `fleethub audit key > FILE`: what the shell has made may be readable by others. */
    if (fstat(STDOUT_FILENO, &where) == 0 && S_ISREG(where.st_mode) && where.st_size == 0 &&
        fchmod(STDOUT_FILENO, 0600) != 0)
        fprintf(stderr, "fleethub audit key: others may be able to read this key: %s\n",
                strerror(errno));
    exit_code = cli_print(&pem);
    fputs(buf_cstr(&out), stderr);
out:
    audit_signer_free(signer);
    buf_done(&pem);
    buf_done(&out);
    return exit_code;
}

int cli_audit_key(const struct cli_args *args)
{
    struct config config;
    if (!cli_load(args, "-", &config)) /* no key of the configuration is needed */
        return CLI_FAILED;
    int exit_code = cli_value(args, "public")
                        ? print_public(&config, config.record.signing_key_file)
                        : make_key(&config, cli_value(args, "output"));
    config_done(&config);
    return exit_code;
}
