#include "hub/archive_audit.h"

#include "hub/archive_impl.h"
#include "hub/audit_note.h"
#include "hub/log.h"
#include "hub/tree_store.h"

#include <stdlib.h>
#include <string.h>

static void write_hex(struct buf *out, const struct tree_hash *hash)
{
    static const char digits[] = "0123456789abcdef";
    buf_addc(out, '"');
    for (int i = 0; i < TREE_HASH_BYTES; i++) {
        buf_addc(out, digits[hash->bytes[i] >> 4]);
        buf_addc(out, digits[hash->bytes[i] & 15]);
    }
    buf_addc(out, '"');
}

static void write_hashes(struct buf *out, const struct tree_proof *proof)
{
    buf_json_name(out, "hashes");
    buf_addc(out, '[');
    for (int i = 0; i < proof->count; i++) {
        if (i > 0)
            buf_addc(out, ',');
        write_hex(out, &proof->hashes[i]);
    }
    buf_addc(out, ']');
}

/* A connection, and the tree as it is now. The caller gives both back. */
static enum archive_status open_tree(struct archive_reader *reader, struct pg **pg,
                                     struct tree_reader **tree, struct archive_error *error)
{
    struct pg_error failed = {.text = "no memory"};
    enum archive_status status = archive_take(reader, pg, error);
    if (status != ARCHIVE_OK)
        return status;
    *tree = malloc(sizeof **tree);
    enum pg_status opened = *tree ? tree_reader_open(*tree, *pg, &failed) : PG_FAILED;
    if (opened == PG_OK)
        return ARCHIVE_OK;
    free(*tree);
    archive_give(reader, *pg);
    return archive_status_of(opened, &failed, error);
}

/* ---- inclusion ---- */

static enum pg_status first_checkpoint(struct pg *pg, int64_t seq, int64_t *size, struct buf *note,
                                       struct pg_error *error)
{
    static const struct pg_statement covering = {
        .name = "audit_covering",
        .sql = "SELECT size, note FROM checkpoints WHERE size >= $1::bigint ORDER BY size LIMIT 1"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    pg_params_init(&params);
    pg_add_int8(&params, seq);
    enum pg_status status = pg_run(pg, &covering, &params, &rows, error);
    if (status == PG_OK && pg_rows(rows) == 1) {
        size_t note_size;
        const char *text = pg_get_bytes(rows, 0, 1, &note_size);
        *size = pg_get_int(rows, 0, 0);
        buf_add(note, text, note_size);
    }
    pg_result_free(rows);
    pg_params_done(&params);
    return status;
}

static void write_inclusion(struct tree_reader *tree, int64_t seq, int64_t size,
                            const struct buf *note, struct buf *out)
{
    struct tree_proof proof;
    struct tree_hash root;
    if (size > tree->edge.size || !tree_prove_inclusion(&tree->source, seq - 1, size, &proof) ||
        !tree_root_at(&tree->source, size, &root)) {
        if (!tree_reader_unread(tree))
            log_error("audit.no_proof", "seq", LOG_INT(seq), "error", tree->error.text, "detail",
                      "the tree is not whole: see `fleethub audit verify`");
        buf_adds(out, "null");
        return;
    }
    buf_addf(out, "{\"index\":%lld,\"size\":%lld,\"root\":", (long long)seq - 1, (long long)size);
    write_hex(out, &root);
    write_hashes(out, &proof);
    buf_json_name(out, "checkpoint");
    if (note->size_bytes > 0)
        buf_json_string(out, note->data, note->size_bytes);
    else
        buf_adds(out, "null");
    buf_addc(out, '}');
}

enum archive_status archive_proof(struct archive_reader *reader, int64_t seq, struct buf *out,
                                  struct archive_error *error)
{
    struct pg *pg;
    struct pg_error failed;
    struct tree_reader *tree;
    struct buf note = BUF_INIT;
    /* The checkpoint first: the tree that is read behind it has no fewer records. */
    enum archive_status status = archive_take(reader, &pg, error);
    if (status != ARCHIVE_OK)
        return status;
    int64_t size = 0;
    enum pg_status found = first_checkpoint(pg, seq, &size, &note, &failed);
    archive_give(reader, pg);
    status = archive_status_of(found, &failed, error);
    if (status == ARCHIVE_OK)
        status = open_tree(reader, &pg, &tree, error);
    if (status == ARCHIVE_OK) {
        write_inclusion(tree, seq, size ? size : tree->edge.size, &note, out);
        if (tree_reader_unread(tree))
            status = archive_status_of(tree->status, &tree->error, error);
        free(tree);
        archive_give(reader, pg);
    }
    buf_done(&note);
    return status;
}

/* ---- consistency ---- */

enum archive_status archive_consistency(struct archive_reader *reader, int64_t from, int64_t to,
                                        int64_t *size, struct buf *out, struct archive_error *error)
{
    struct pg *pg;
    struct tree_reader *tree;
    struct tree_proof proof;
    struct tree_hash from_root, to_root;
    enum archive_status status = open_tree(reader, &pg, &tree, error);
    if (status != ARCHIVE_OK)
        return status;
    *size = tree->edge.size;
    if (to == 0)
        to = *size;
    if (to > *size || from > to) {
        status = ARCHIVE_NOT_FOUND;
    } else if (tree_prove_consistency(&tree->source, from, to, &proof) &&
               tree_root_at(&tree->source, from, &from_root) &&
               tree_root_at(&tree->source, to, &to_root)) {
        buf_addf(out, "{\"from\":%lld,\"to\":%lld,\"from_root\":", (long long)from, (long long)to);
        write_hex(out, &from_root);
        buf_json_name(out, "to_root");
        write_hex(out, &to_root);
        write_hashes(out, &proof);
        buf_addc(out, '}');
    } else {
        status = archive_status_of(tree->status == PG_OK ? PG_FAILED : tree->status, &tree->error,
                                   error);
    }
    free(tree);
    archive_give(reader, pg);
    return status;
}

/* ---- checkpoints ---- */

/* What cannot be read as a checkpoint is shown all the same, without what it should say. */
static void write_checkpoint(const struct pg_result *rows, int row, struct buf *out)
{
    struct audit_note note;
    const char *reason;
    size_t size, used;
    const char *text = pg_get_bytes(rows, row, 1, &size);
    bool good = audit_note_parse(text, size, &note, &used, &reason);
    buf_addf(out, "{\"size\":%lld,\"root\":", (long long)pg_get_int(rows, row, 0));
    if (good)
        write_hex(out, &note.root);
    else
        buf_adds(out, "null");
    buf_json_name(out, "time");
    buf_json_timestamp(out, good ? note.time_ns : TIMESTAMP_NONE);
    buf_json_name(out, "signatures");
    buf_json_int(out, good ? note.signature_count : 0);
    buf_json_name(out, "note");
    buf_json_string(out, text, size);
    buf_addc(out, '}');
}

enum archive_status archive_checkpoints(struct archive_reader *reader, int64_t before, size_t limit,
                                        struct buf *out, bool *more, int64_t *last,
                                        struct archive_error *error)
{
    static const struct pg_statement newest = {
        .name = "audit_newest",
        .sql = "SELECT size, note FROM checkpoints WHERE size < $1::bigint ORDER BY size DESC "
               "LIMIT $2::bigint"};
    struct pg_params params;
    struct pg_result *rows = NULL;
    struct pg_error failed;
    struct pg *pg;
    enum archive_status status = archive_take(reader, &pg, error);
    if (status != ARCHIVE_OK)
        return status;
    pg_params_init(&params);
    pg_add_int8(&params, before);
    pg_add_int8(&params, (int64_t)limit + 1); /* one more tells whether this is the last page */
    enum pg_status asked = pg_run(pg, &newest, &params, &rows, &failed);
    archive_give(reader, pg);
    pg_params_done(&params);
    status = archive_status_of(asked, &failed, error);
    if (status == ARCHIVE_OK) {
        int count = pg_rows(rows);
        *more = (size_t)count > limit;
        for (int row = 0; row < count && (size_t)row < limit; row++) {
            if (row > 0)
                buf_addc(out, ',');
            write_checkpoint(rows, row, out);
            *last = pg_get_int(rows, row, 0);
        }
    }
    pg_result_free(rows);
    return status;
}
