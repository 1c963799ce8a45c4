#include "hub/record_checkpoint_impl.h"

#include "hub/audit_chain.h"
#include "hub/audit_note.h"
#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/tree_store.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    DATA_BYTES = 1024,
};

/* ---- keys ---- */

static bool load_key(const char *what, const char *path, struct audit_signer **signer,
                     char error[AUDIT_ERROR_BYTES])
{
    char why[AUDIT_ERROR_BYTES];
    struct stat file;
    *signer = NULL;
    if (!path)
        return true;
    if (!audit_signer_load(path, signer, why)) {
        snprintf(error, AUDIT_ERROR_BYTES, "%s %.120s: %.100s", what, path, why);
        return false;
    }
    if (stat(path, &file) == 0 && (file.st_mode & (S_IRWXG | S_IRWXO)))
        log_warn("record.key_readable", "file", path, "detail",
                 "others than its owner may use this key; its mode should be 0600");
    return true;
}

bool record_signers_load(const struct config *config, struct record_signers *signers,
                         char error[AUDIT_ERROR_BYTES])
{
    *signers = (struct record_signers){NULL, NULL};
    if (load_key("record.signing_key_file", config->record.signing_key_file, &signers->current,
                 error) &&
        load_key("record.previous_key_file", config->record.previous_key_file, &signers->previous,
                 error))
        return true;
    record_signers_done(signers);
    return false;
}

void record_signers_keys(const struct record_signers *signers, struct audit_keys *keys)
{
    const struct audit_signer *each[] = {signers->current, signers->previous};
    keys->count = 0;
    for (size_t i = 0; i < sizeof each / sizeof *each; i++) {
        struct audit_key key = {.name = ""};
        if (!each[i])
            continue;
        memcpy(key.public, audit_signer_public(each[i]), AUDIT_PUBLIC_BYTES);
        audit_keys_add(keys, &key);
    }
}

void record_signers_done(struct record_signers *signers)
{
    audit_signer_free(signers->current);
    audit_signer_free(signers->previous);
    *signers = (struct record_signers){NULL, NULL};
}

/* ---- its life ---- */

struct record_checkpoint *record_checkpoint_new(const struct config *config, struct bus *bus,
                                                const struct record_signers *signers)
{
    struct record_checkpoint *checkpoint = calloc(1, sizeof *checkpoint);
    if (!checkpoint)
        return NULL;
    checkpoint->config = config;
    checkpoint->bus = bus;
    if (signers)
        checkpoint->signers = *signers;
    checkpoint->last_size = -1;
    audit_origin(config->env, config->region, checkpoint->origin);
    streams_subject(TWIN_CHECKPOINTS, config->env, config->region, checkpoint->subject);
    if (checkpoint->signers.current)
        audit_vkey_write(&checkpoint->vkey, checkpoint->origin,
                         audit_signer_public(checkpoint->signers.current));
    buf_cstr(&checkpoint->vkey); /* its end needs memory too, and is read again and again */
    if (!checkpoint->vkey.failed)
        return checkpoint;
    record_checkpoint_free(checkpoint);
    return NULL;
}

void record_checkpoint_free(struct record_checkpoint *checkpoint)
{
    if (!checkpoint)
        return;
    buf_done(&checkpoint->vkey);
    buf_done(&checkpoint->making_notes);
    buf_done(&checkpoint->made);
    buf_done(&checkpoint->note);
    free(checkpoint);
}

/* ---- beginning ---- */

bool record_checkpoint_notice(struct record_batch *batch, enum record_severity severity,
                              const char *type, const struct buf *key, const struct buf *data)
{
    struct record record;
    record_init(&record);
    record.kind = RECORD_SYSTEM;
    record.severity = severity;
    record.type = (struct slice){type, strlen(type)};
    record.received_ns = clock_wall_ns();
    record.data = (struct slice){data->data, data->size_bytes};
    if (key->failed || data->failed)
        return false;
    record_id_of(RECORD_SYSTEM, key->data, key->size_bytes, record.id);
    return record_batch_add(batch, &record, 0);
}

static enum pg_status no_memory(struct pg_error *error)
{
    *error = (struct pg_error){.text = "no memory"};
    return PG_FAILED;
}

/* The record of the key that signs from now on. While the one before is configured it vouches for
 * this one: with the key itself, whatever the database says. */
static bool add_key(struct record_checkpoint *checkpoint, struct record_batch *batch,
                    const char *replaces)
{
    const struct audit_signer *previous = checkpoint->signers.previous;
    const char *vkey = buf_cstr(&checkpoint->vkey);
    struct buf data = BUF_INIT, key = BUF_INIT, signature = BUF_INIT;
    bool added = !previous || audit_chain_sign(&signature, checkpoint->origin, previous, vkey);
    buf_addf(&key, "signing_key/%s/%s%s", vkey, replaces ? replaces : "",
             previous ? "/signed" : "");
    buf_addc(&data, '{');
    buf_json_name(&data, "key");
    buf_json_cstr(&data, vkey);
    buf_json_name(&data, "replaces");
    buf_json_cstr(&data, replaces);
    buf_json_name(&data, "signature");
    buf_json_cstr(&data, previous ? buf_cstr(&signature) : NULL);
    buf_addc(&data, '}');
    added = added && record_checkpoint_notice(batch, SEVERITY_NOTICE, "signing_key", &key, &data);
    buf_done(&data);
    buf_done(&key);
    buf_done(&signature);
    return added;
}

/* Said once for each key, and once more where the one before it is configured only later: a record
 * of the same id that is there already is not made again. */
static enum pg_status notice_key(struct record_checkpoint *checkpoint, struct pg *pg,
                                 struct record_batch *batch, struct pg_error *error)
{
    static const struct pg_statement newest = {
        .sql = "SELECT vkey FROM signing_keys ORDER BY first_size DESC, made DESC LIMIT 1"};
    const struct audit_signer *previous = checkpoint->signers.previous;
    struct pg_result *rows = NULL;
    struct buf old = BUF_INIT;
    enum pg_status status = pg_run(pg, &newest, NULL, &rows, error);
    if (status != PG_OK)
        return status;
    const char *before = pg_rows(rows) > 0 ? pg_get_bytes(rows, 0, 0, NULL) : NULL;
    checkpoint->key_noted = before && strcmp(before, buf_cstr(&checkpoint->vkey)) == 0;
    if (previous) {
        audit_vkey_write(&old, checkpoint->origin, audit_signer_public(previous));
        before = buf_cstr(&old);
    }
    if (!checkpoint->key_noted) {
        log_info("record.signing_key", "key", buf_cstr(&checkpoint->vkey), "replaces",
                 before ? before : "");
        if (before && !previous)
            log_warn("record.key_not_vouched_for", "replaces", before, "detail",
                     "record.previous_key_file is not set: whoever trusts the old key alone will "
                     "not trust this one");
    }
    if ((!checkpoint->key_noted || previous) && (old.failed || !add_key(checkpoint, batch, before)))
        status = no_memory(error);
    pg_result_free(rows);
    buf_done(&old);
    return status;
}

enum pg_status record_checkpoint_begin(struct record_checkpoint *checkpoint, struct pg *pg,
                                       struct record_batch *batch, struct pg_error *error)
{
    static const struct pg_statement last = {
        .sql =
            "SELECT coalesce(max(size), 0), (SELECT next_seq - 1 FROM log_head) FROM checkpoints"};
    struct pg_result *rows = NULL;
    enum pg_status status = pg_run(pg, &last, NULL, &rows, error);
    if (status != PG_OK)
        return status;
    checkpoint->last_size = pg_get_int(rows, 0, 0);
    checkpoint->log_size = pg_get_int(rows, 0, 1);
    pg_result_free(rows);
    /* What is there without a checkpoint has waited long enough. */
    checkpoint->last_ms = clock_mono_ms() - checkpoint->config->record.checkpoint_s * INT64_C(1000);
    checkpoint->made_size = 0;
    checkpoint->asked = false;
    checkpoint->rest_until_ms = 0;
    metrics_set(METRIC_RECORD_CHECKPOINT_SIZE, 0, (double)checkpoint->last_size);
    if (checkpoint->signers.current)
        return notice_key(checkpoint, pg, batch, error);
    log_warn(
        "record.unsigned", "detail",
        "record.signing_key_file is not set: checkpoints are not signed, and whoever can write "
        "to the database can make them anew; `fleethub audit key` makes a key");
    return PG_OK;
}

/* ---- making ---- */

void record_checkpoint_batch(struct record_checkpoint *checkpoint)
{
    checkpoint->made_size = 0;
    checkpoint->making_count = 0;
    buf_reset(&checkpoint->making_notes);
}

bool record_checkpoint_full(const struct record_checkpoint *checkpoint, int64_t size)
{
    int64_t last_size = checkpoint->made_size ? checkpoint->made_size : checkpoint->last_size;
    return last_size >= 0 && size - last_size >= RECORD_CHECKPOINT_RECORDS;
}

bool record_checkpoint_due(const struct record_checkpoint *checkpoint, int64_t size)
{
    if (checkpoint->last_size < 0 || size <= checkpoint->last_size)
        return false;
    return record_checkpoint_full(checkpoint, size) ||
           (checkpoint->made_size == 0 &&
            clock_mono_ms() - checkpoint->last_ms >=
                checkpoint->config->record.checkpoint_s * INT64_C(1000));
}

static enum pg_status note_key(struct record_checkpoint *checkpoint, struct pg *pg,
                               struct pg_params *params, int64_t size, struct pg_error *error)
{
    static const struct pg_statement insert = {
        .sql = "INSERT INTO signing_keys (vkey, first_size, made) "
               "VALUES ($1::text, $2::bigint, now()) ON CONFLICT DO NOTHING"};
    pg_params_reset(params);
    pg_add_text(params, buf_cstr(&checkpoint->vkey), checkpoint->vkey.size_bytes);
    pg_add_int8(params, size);
    return pg_run(pg, &insert, params, NULL, error);
}

bool record_checkpoint_make(struct record_checkpoint *checkpoint, const struct tree_edge *edge)
{
    struct tree_hash root;
    int64_t now_ns = clock_wall_ns() / NS_PER_MS * NS_PER_MS;
    if (checkpoint->making_count == MADE_MAX)
        return true; /* the next batch makes the next one */
    tree_edge_root(edge, &root);
    buf_reset(&checkpoint->made);
    audit_note_write(&checkpoint->made, checkpoint->origin, edge->size, &root, now_ns);
    const struct audit_signer *signers[] = {checkpoint->signers.current,
                                            checkpoint->signers.previous};
    for (size_t i = 0; i < sizeof signers / sizeof *signers; i++) {
        if (signers[i] && !audit_note_sign(&checkpoint->made, checkpoint->origin, signers[i]))
            return false;
    }
    buf_add(&checkpoint->making_notes, checkpoint->made.data, checkpoint->made.size_bytes);
    if (checkpoint->made.failed || checkpoint->making_notes.failed)
        return false;
    checkpoint->making[checkpoint->making_count++] =
        (struct made){edge->size, now_ns / 1000, checkpoint->made.size_bytes};
    checkpoint->made_size = edge->size;
    return true;
}

static void add_made(struct pg_params *params, const struct record_checkpoint *checkpoint)
{
    const char *note = checkpoint->making_notes.data;
    pg_params_reset(params);
    pg_array_begin(params, PG_INT8);
    for (int i = 0; i < checkpoint->making_count; i++)
        pg_array_int8(params, checkpoint->making[i].size);
    pg_array_end(params);
    pg_array_begin(params, PG_TIMESTAMPTZ);
    for (int i = 0; i < checkpoint->making_count; i++)
        pg_array_timestamp_us(params, checkpoint->making[i].made_us);
    pg_array_end(params);
    pg_array_begin(params, PG_TEXT);
    for (int i = 0; i < checkpoint->making_count; i++) {
        pg_array_bytes(params, note, checkpoint->making[i].note_bytes);
        note += checkpoint->making[i].note_bytes;
    }
    pg_array_end(params);
}

enum pg_status record_checkpoint_save(struct record_checkpoint *checkpoint, struct pg *pg,
                                      struct pg_params *params, struct pg_error *error)
{
    static const struct pg_statement insert = {
        .name = "record_checkpoints",
        .sql = "INSERT INTO checkpoints (size, made, note) "
               "SELECT * FROM unnest($1::bigint[], $2::timestamptz[], $3::text[]) "
               "ON CONFLICT DO NOTHING"};
    enum pg_status status = PG_OK;
    if (checkpoint->making_count == 0)
        return PG_OK;
    if (checkpoint->signers.current && !checkpoint->key_noted)
        status = note_key(checkpoint, pg, params, checkpoint->making[0].size, error);
    if (status != PG_OK)
        return status;
    add_made(params, checkpoint);
    return pg_run(pg, &insert, params, NULL, error);
}

bool record_checkpoint_waiting(const struct record_checkpoint *checkpoint)
{
    return record_checkpoint_due(checkpoint, checkpoint->log_size);
}

void record_checkpoint_committed(struct record_checkpoint *checkpoint, int64_t size)
{
    checkpoint->log_size = size;
    if (checkpoint->made_size == 0)
        return;
    checkpoint->last_size = checkpoint->made_size;
    checkpoint->last_ms = clock_mono_ms();
    checkpoint->made_size = 0;
    checkpoint->key_noted = true;
    struct buf kept = checkpoint->note;
    checkpoint->note = checkpoint->made;
    checkpoint->made = kept;
    checkpoint->file_due = checkpoint->config->record.checkpoint_file != NULL;
    metrics_set(METRIC_RECORD_CHECKPOINT_SIZE, 0, (double)checkpoint->last_size);
    metrics_set(METRIC_RECORD_CHECKPOINT_TIME, 0, (double)clock_wall_ns() / 1e9);
}

/* ---- the file ---- */

static bool write_all(int fd, const char *bytes, size_t size)
{
    while (size > 0) {
        ssize_t written = write(fd, bytes, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        bytes += written;
        size -= (size_t)written;
    }
    return fsync(fd) == 0;
}

/* The newest checkpoint, whole or not at all: whoever ships the file may read it at any time. */
void record_checkpoint_write_file(struct record_checkpoint *checkpoint)
{
    const char *path = checkpoint->config->record.checkpoint_file;
    struct buf temporary = BUF_INIT;
    buf_addf(&temporary, "%s.new", path);
    int fd = open(buf_cstr(&temporary), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    bool good = fd >= 0 && write_all(fd, checkpoint->note.data, checkpoint->note.size_bytes);
    if (fd >= 0)
        good = close(fd) == 0 && good;
    good = good && rename(buf_cstr(&temporary), path) == 0;
    if (!good)
        log_warn("record.checkpoint_file", "file", path, "error", strerror(errno));
    checkpoint->file_due = false; /* the next one is not far */
    buf_done(&temporary);
}
