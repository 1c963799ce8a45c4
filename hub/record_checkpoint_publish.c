/* Publishing checkpoints, and holding the log against the last that was published. */
#include "hub/audit_note.h"
#include "hub/clock.h"
#include "hub/log.h"
#include "hub/metrics.h"
#include "hub/record_checkpoint_impl.h"
#include "hub/tree_store.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    PUBLISH_TIMEOUT_MS = 2000,
    PUBLISH_MAX = 256,       /* at a time */
    PUBLISH_REST_MS = 10000, /* after a failure */
    MSG_ID_BYTES = 64,
    FOREIGN_MAX = 64, /* messages of others on the subject that are looked past */
};

static enum pg_status no_memory(struct pg_error *error)
{
    *error = (struct pg_error){.text = "no memory"};
    return PG_FAILED;
}

/* ---- what was published ---- */

/* Whether the database holds what was published; *differs only where that is known. */
static enum pg_status compare(struct pg *pg, const struct audit_note *note, bool *differs,
                              int64_t *size, struct pg_error *error)
{
    struct tree_hash root;
    struct tree_reader *reader = malloc(sizeof *reader);
    if (!reader)
        return no_memory(error);
    enum pg_status status = tree_reader_open(reader, pg, error);
    if (status == PG_OK) {
        *size = reader->edge.size;
        *differs = note->size > reader->edge.size ||
                   !tree_root_at(&reader->source, note->size, &root) ||
                   !tree_same(&root, &note->root);
        if (tree_reader_unread(reader)) {
            status = reader->status;
            *error = reader->error;
        }
    }
    free(reader);
    return status;
}

static void write_hash(struct buf *out, const struct tree_hash *hash)
{
    for (int i = 0; i < TREE_HASH_BYTES; i++)
        buf_addf(out, "%02x", hash->bytes[i]);
}

static enum pg_status notice_diverged(struct record_batch *batch, const struct audit_note *note,
                                      int64_t size, struct pg_error *error)
{
    struct buf data = BUF_INIT, key = BUF_INIT;
    buf_adds(&key, "diverged/");
    write_hash(&key, &note->root);
    buf_addf(&key, "/%lld/%lld", (long long)note->size, (long long)size);
    buf_addf(&data, "{\"published\":{\"size\":%lld,\"root\":\"", (long long)note->size);
    write_hash(&data, &note->root);
    buf_addf(&data, "\"},\"found\":{\"size\":%lld}}", (long long)size);
    log_error("record.diverged", "published", LOG_INT(note->size), "found", LOG_INT(size), "detail",
              "the archive is not the one that this checkpoint was published of: it was restored "
              "from a backup, or changed; see `fleethub audit verify --checkpoint`");
    bool added = record_checkpoint_notice(batch, SEVERITY_CRITICAL, "diverged", &key, &data);
    buf_done(&data);
    buf_done(&key);
    return added ? PG_OK : no_memory(error);
}

/* What somebody else put on the subject proves nothing. */
static bool is_ours(const struct record_checkpoint *checkpoint, const struct audit_note *note)
{
    struct audit_keys keys;
    if (note->origin.size != strlen(checkpoint->origin) ||
        memcmp(note->origin.at, checkpoint->origin, note->origin.size) != 0)
        return false;
    if (!checkpoint->signers.current)
        return true;
    record_signers_keys(&checkpoint->signers, &keys);
    return audit_note_trust(note, &keys) == AUDIT_TRUSTED;
}

/* The newest of what was published that is ours, looking past FOREIGN_MAX messages of others, whose
 * last one is *foreign; nothing in `stored` where there is none. BUS_NOT_FOUND: nothing at all was
 * published. */
static enum bus_status find_ours(const struct record_checkpoint *checkpoint,
                                 struct bus_stored *stored, struct audit_note *note,
                                 uint64_t *foreign, struct bus_error *error)
{
    const char *reason, *stream = streams_name(TWIN_CHECKPOINTS);
    size_t used;
    uint64_t seq = 0;
    enum bus_status status =
        bus_get_last(checkpoint->bus, stream, checkpoint->subject, stored, error);
    *foreign = status == BUS_OK ? stored->seq : 0;
    for (int others = 0; status == BUS_OK; others++) {
        if (audit_note_parse(stored->data, stored->size, note, &used, &reason) &&
            is_ours(checkpoint, note)) {
            *foreign = others ? *foreign : 0;
            return BUS_OK;
        }
        seq = stored->seq;
        bus_stored_done(stored);
        if (others == FOREIGN_MAX || seq <= 1)
            return BUS_OK;
        status = bus_get_seq(checkpoint->bus, stream, seq - 1, stored, error);
    }
    return *foreign && status == BUS_NOT_FOUND ? BUS_OK : status;
}

/* What was published last. False: nobody says now. */
static bool ask(struct record_checkpoint *checkpoint, struct pg *pg, struct record_batch *batch,
                enum pg_status *status, struct pg_error *error)
{
    struct bus_stored stored = {0};
    struct bus_error bus_error;
    struct audit_note note;
    int64_t size = 0;
    bool differs = false;
    enum bus_status found =
        find_ours(checkpoint, &stored, &note, &checkpoint->foreign_seq, &bus_error);
    bool ours = found == BUS_OK && stored.data;
    checkpoint->published_size = 0;
    if (found == BUS_NOT_FOUND)
        return true;
    if (found != BUS_OK)
        return false;
    if (ours) {
        *status = compare(pg, &note, &differs, &size, error);
        checkpoint->published_size = differs ? checkpoint->last_size : note.size;
        if (*status == PG_OK)
            metrics_set(METRIC_RECORD_DIVERGED, 0, differs);
        if (*status == PG_OK && differs)
            *status = notice_diverged(batch, &note, size, error);
    }
    if (checkpoint->foreign_seq) {
        /* The newest follows it; those before it are not published once more. */
        if (!ours || (!differs && checkpoint->published_size >= checkpoint->last_size))
            checkpoint->published_size = checkpoint->last_size - 1;
        log_warn("record.foreign_checkpoint", "subject", checkpoint->subject, "seq",
                 LOG_INT(checkpoint->foreign_seq), "detail",
                 "what was published last is no checkpoint of this hub's key; the newest one is "
                 "published behind it");
    }
    bus_stored_done(&stored);
    return *status == PG_OK;
}

/* ---- what was not ---- */

static void published(void *closure, uint64_t tag, enum bus_status status, uint64_t seq)
{
    struct record_checkpoint *checkpoint = closure;
    (void)tag;
    (void)seq;
    if (status != BUS_OK)
        atomic_fetch_add(&checkpoint->refused, 1);
}

/* The checkpoints of these rows, in order; true when the broker has all of them. */
static bool send_rows(struct record_checkpoint *checkpoint, const struct pg_result *rows)
{
    atomic_store(&checkpoint->refused, 0);
    struct bus_outbox *outbox = bus_outbox_new(checkpoint->bus, PUBLISH_MAX, published, checkpoint);
    if (!outbox)
        return false;
    bool sent = true;
    for (int row = 0; row < pg_rows(rows) && sent; row++) {
        char id[MSG_ID_BYTES];
        size_t size;
        const char *note = pg_get_bytes(rows, row, 1, &size);
        /* One that is published once more, behind something foreign, is no duplicate. */
        snprintf(id, sizeof id, "checkpoint-%lld%s%.0llu", (long long)pg_get_int(rows, row, 0),
                 checkpoint->foreign_seq ? "-after-" : "",
                 (unsigned long long)checkpoint->foreign_seq);
        struct bus_store what = {.subject = checkpoint->subject,
                                 .data = note,
                                 .size = size,
                                 .msg_id = id,
                                 .expected_last_of_subject = BUS_ANY_SEQ};
        sent = bus_outbox_store(outbox, &what, (uint64_t)row) == BUS_OK;
    }
    sent = bus_outbox_flush(outbox, PUBLISH_TIMEOUT_MS) && sent;
    bus_outbox_free(outbox);
    return sent && atomic_load(&checkpoint->refused) == 0;
}

static enum pg_status send_new(struct record_checkpoint *checkpoint, struct pg *pg,
                               struct pg_error *error)
{
    static const struct pg_statement unpublished = {
        .name = "record_unpublished",
        .sql =
            "SELECT size, note FROM checkpoints WHERE size > $1::bigint ORDER BY size LIMIT 256"};
    struct pg_result *rows = NULL;
    struct pg_params params;
    pg_params_init(&params);
    pg_add_int8(&params, checkpoint->published_size);
    enum pg_status status = pg_run(pg, &unpublished, &params, &rows, error);
    pg_params_done(&params);
    if (status != PG_OK)
        return status;
    int count = pg_rows(rows);
    if (count > 0) {
        bool sent = send_rows(checkpoint, rows);
        metrics_inc(METRIC_RECORD_CHECKPOINTS, sent ? RESULT_OK : RESULT_FAILED);
        if (sent) {
            checkpoint->published_size = pg_get_int(rows, count - 1, 0);
            checkpoint->foreign_seq = 0;
        } else {
            checkpoint->rest_until_ms = clock_mono_ms() + PUBLISH_REST_MS;
        }
    }
    pg_result_free(rows);
    return PG_OK;
}

enum pg_status record_checkpoint_publish(struct record_checkpoint *checkpoint, struct pg *pg,
                                         struct record_batch *batch, struct pg_error *error)
{
    enum pg_status status = PG_OK;
    if (checkpoint->file_due)
        record_checkpoint_write_file(checkpoint);
    if (clock_mono_ms() < checkpoint->rest_until_ms)
        return PG_OK;
    if (!checkpoint->asked) {
        checkpoint->asked = ask(checkpoint, pg, batch, &status, error);
        if (!checkpoint->asked)
            checkpoint->rest_until_ms = clock_mono_ms() + PUBLISH_REST_MS;
    }
    if (status == PG_OK && checkpoint->asked && checkpoint->published_size < checkpoint->last_size)
        status = send_new(checkpoint, pg, error);
    return status;
}
