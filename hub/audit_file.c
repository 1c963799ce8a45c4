#include "hub/audit_file.h"

#include "hub/audit_export.h"
#include "hub/audit_skips.h"
#include "hub/record_hash.h"
#include "twin/doc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { OTHER_LINE_MAX_BYTES = 1024 * 1024, OTHER_DEPTH_MAX = 8, RECORD_DEPTH_MAX = 80 };

struct audit_file {
    const struct audit_request *request;
    struct audit_report *report;
    struct doc_parser *parser;
    struct buf scratch;
    struct audit_keys keys; /* that are trusted */
    bool own_keys;
    struct audit_chain chain; /* and that the record names */

    int64_t line;
    bool begun, ended, over;
    int64_t size; /* as the file says */
    struct tree_hash root;
    struct tree_spine spine; /* of what has been read */
    int64_t records;
    bool whole; /* nothing was selected: what is not there has to be explained */
    struct audit_skips skips;
    int64_t good_to;        /* up to here a checkpoint that counts has held */
    int64_t outside_to;     /* and one from elsewhere */
    int64_t untrusted_size; /* the last checkpoint that no trusted key signed */
    size_t outside_met;
};

struct audit_file *audit_file_new(const struct audit_request *request, struct audit_report *report)
{
    struct audit_file *file = calloc(1, sizeof *file);
    *report = (struct audit_report){.verdict = AUDIT_GOOD};
    if (!file)
        return NULL;
    file->request = request;
    file->report = report;
    file->keys = *request->keys;
    file->parser = doc_parser_new();
    tree_spine_init(&file->spine);
    if (file->parser)
        return file;
    free(file);
    return NULL;
}

bool audit_file_own_keys(const struct audit_file *file)
{
    return file->own_keys;
}

static bool unusable(struct audit_file *file, const char *text)
{
    file->report->verdict = AUDIT_UNUSABLE;
    snprintf(file->report->error, sizeof file->report->error, "%s", text);
    file->over = true;
    return false;
}

/* What was read as the file's next part is not that. */
static bool bad_line(struct audit_file *file, const char *text)
{
    audit_find(&file->report->bad, file->spine.size + 1, "line %lld: %s", (long long)file->line,
               text);
    file->over = true;
    return false;
}

/* ---- reading members ---- */

static bool get_text(struct doc_ref object, const char *name, struct slice *text)
{
    struct doc_ref member = doc_getz(object, name);
    if (!doc_is(member, DOC_STRING))
        return false;
    text->at = doc_string(member, &text->size);
    return true;
}

static bool hex_read(const char *text, size_t size, uint8_t *bytes, size_t count)
{
    static const char digits[] = "0123456789abcdef";
    if (size != 2 * count)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *high = text[2 * i] ? strchr(digits, text[2 * i]) : NULL;
        const char *low = text[2 * i + 1] ? strchr(digits, text[2 * i + 1]) : NULL;
        if (!high || !low)
            return false;
        bytes[i] = (uint8_t)((high - digits) << 4 | (low - digits));
    }
    return true;
}

static bool get_hash(struct doc_ref value, struct tree_hash *hash)
{
    size_t size;
    if (!doc_is(value, DOC_STRING))
        return false;
    const char *text = doc_string(value, &size);
    return hex_read(text, size, hash->bytes, sizeof hash->bytes);
}

/* ---- the first line ---- */

static bool is_format(struct doc_ref root)
{
    struct slice format;
    return get_text(root, "export", &format) && format.size == strlen(AUDIT_EXPORT_FORMAT) &&
           memcmp(format.at, AUDIT_EXPORT_FORMAT, format.size) == 0;
}

/* Without others the keys in the file are all there is to check its signatures with. */
static bool take_keys(struct audit_file *file, struct doc_ref list)
{
    if (!doc_is(list, DOC_ARRAY))
        return false;
    file->own_keys = file->keys.count == 0;
    for (struct doc_ref key = doc_first(list); doc_exists(key); key = doc_next(list, key)) {
        struct audit_key read;
        size_t size;
        if (!doc_is(key, DOC_STRING))
            return false;
        const char *text = doc_string(key, &size);
        if (!audit_vkey_read(text, size, &read))
            return false;
        if (file->own_keys && !audit_keys_add(&file->keys, &read))
            return false;
    }
    return true;
}

static bool take_outside(struct audit_file *file)
{
    const struct audit_request *request = file->request;
    for (size_t i = 0; i < request->outside_count; i++) {
        const struct audit_note *note = &request->outside[i];
        if (note->origin.size != strlen(file->report->origin) ||
            memcmp(note->origin.at, file->report->origin, note->origin.size) != 0)
            return unusable(file, "the checkpoint given is of another record than this file");
        enum audit_trust trust = audit_note_trust(note, &file->keys);
        if (trust == AUDIT_FORGED || (request->keys->count > 0 && trust != AUDIT_TRUSTED))
            return unusable(file, "the checkpoint given is not signed by a key that is trusted");
    }
    return true;
}

static bool is_nothing(struct doc_ref value)
{
    int64_t number;
    return !doc_exists(value) || doc_is(value, DOC_NULL) ||
           (doc_is_number(value) && doc_int(value, &number) && number == 0);
}

static bool is_whole(struct doc_ref selection)
{
    static const char *const conditions[] = {"vid", "start_time", "end_time", "from_seq", "to_seq"};
    for (size_t i = 0; i < sizeof conditions / sizeof *conditions; i++)
        if (!is_nothing(doc_getz(selection, conditions[i])))
            return false;
    return true;
}

static bool take_header(struct audit_file *file, struct doc_ref root)
{
    struct slice origin;
    if (!is_format(root))
        return unusable(file, "this is no export of a record (" AUDIT_EXPORT_FORMAT ")");
    if (!get_text(root, "origin", &origin) || origin.size == 0 || origin.size >= AUDIT_NAME_BYTES ||
        memchr(origin.at, '\0', origin.size) || !doc_int(doc_getz(root, "size"), &file->size) ||
        file->size < 0 || file->size > TREE_SIZE_MAX ||
        !get_hash(doc_getz(root, "root"), &file->root) || !take_keys(file, doc_getz(root, "keys")))
        return unusable(file, "the first line of this export is malformed");
    memcpy(file->report->origin, origin.at, origin.size);
    file->report->records = file->size;
    file->report->head = file->root;
    file->whole = is_whole(doc_getz(root, "selection"));
    file->begun = true;
    return take_outside(file);
}

/* ---- the tree ---- */

/* The tree is at a size that a checkpoint from elsewhere may be of. */
static void meet_outside(struct audit_file *file)
{
    const struct audit_request *request = file->request;
    for (size_t i = 0; i < request->outside_count; i++) {
        struct tree_hash root;
        if (request->outside[i].size != file->spine.size)
            continue;
        tree_spine_root(&file->spine, &root);
        file->outside_met++;
        if (tree_same(&root, &request->outside[i].root)) {
            file->outside_to = file->good_to = file->spine.size;
            continue;
        }
        audit_find(&file->report->bad, file->outside_to + 1,
                   "records %lld to %lld are not those that the checkpoint from elsewhere of %lld "
                   "records was published of",
                   (long long)file->outside_to + 1, (long long)file->spine.size,
                   (long long)file->spine.size);
    }
}

/* A node that fits: the caller has compared with the size that the file says. */
static void take_node(struct audit_file *file, int height, const struct tree_hash *node)
{
    tree_spine_append(&file->spine, height, node);
    meet_outside(file);
}

static bool take_skip(struct audit_file *file, struct doc_ref root)
{
    int64_t count;
    struct doc_ref nodes = doc_getz(root, "nodes");
    if (!doc_int(doc_getz(root, "skip"), &count) || count < 1 ||
        count > file->size - file->spine.size || !doc_is(nodes, DOC_ARRAY))
        return bad_line(file, "what stands for records that are not in the file is malformed");
    int64_t to = file->spine.size + count;
    audit_skips_add(&file->skips, file->spine.size + 1, to);
    for (struct doc_ref item = doc_first(nodes); doc_exists(item); item = doc_next(nodes, item)) {
        struct tree_hash node;
        if (file->spine.size >= to || !get_hash(item, &node))
            return bad_line(file, "what stands for records that are not in the file is malformed");
        take_node(file, tree_skip_height(file->spine.size, to), &node);
    }
    if (file->spine.size != to)
        return bad_line(file, "what stands for records that are not in the file is not all there");
    return true;
}

/* ---- records ---- */

static const char id_name[] = "{\"id\":\"",
                  seq_name[] = "\",\"seq\":", hash_name[] = ",\"hash\":\"";
enum {
    ID_AT = sizeof id_name - 1,
    SEQ_AT = ID_AT + 2 * RECORD_ID_BYTES + sizeof seq_name - 1,
    SEQ_DIGITS_MAX = 18,
    HASH_MEMBER_BYTES = sizeof hash_name - 1 + 2 * RECORD_HASH_BYTES + 1,
};

struct record_line {
    uint8_t id[RECORD_ID_BYTES], hash[RECORD_HASH_BYTES];
    int64_t seq;
    size_t hash_at; /* of the member `hash`, which the hash does not cover */
};

static bool read_record(const char *line, size_t size, struct record_line *record)
{
    if (size < SEQ_AT ||
        !hex_read(line + ID_AT, 2 * RECORD_ID_BYTES, record->id, RECORD_ID_BYTES) ||
        memcmp(line + ID_AT + 2 * RECORD_ID_BYTES, seq_name, sizeof seq_name - 1) != 0)
        return false;
    size_t at = SEQ_AT;
    record->seq = 0;
    while (at < size && at < SEQ_AT + SEQ_DIGITS_MAX && line[at] >= '0' && line[at] <= '9')
        record->seq = record->seq * 10 + (line[at++] - '0');
    record->hash_at = at;
    if (at == SEQ_AT || line[SEQ_AT] == '0' || size - at < HASH_MEMBER_BYTES + 1 ||
        memcmp(line + at, hash_name, sizeof hash_name - 1) != 0)
        return false;
    at += sizeof hash_name - 1;
    return hex_read(line + at, 2 * RECORD_HASH_BYTES, record->hash, RECORD_HASH_BYTES) &&
           line[at + 2 * RECORD_HASH_BYTES] == '"' && line[size - 1] == '}';
}

static void find_record(struct audit_file *file, const struct record_line *record,
                        const char *reason)
{
    struct audit_finding *bad = &file->report->bad;
    if (bad->seq != 0) /* which was before: records come in order */
        return;
    audit_find(bad, record->seq, "%s", reason);
    bad->has_id = true;
    memcpy(bad->id, record->id, RECORD_ID_BYTES);
}

static bool says(struct slice text, const char *what)
{
    return text.size == strlen(what) && memcmp(text.at, what, text.size) == 0;
}

/* A record that names a key: once a checkpoint covers it, that key is as good as the one that
 * vouches for it there. */
static void take_introduction(struct audit_file *file, struct doc_ref data, int64_t seq)
{
    struct slice key, signature = {NULL, 0};
    if (!get_text(data, "key", &key))
        return;
    get_text(data, "signature", &signature);
    audit_chain_take(&file->chain, &file->keys, seq, key, signature);
}

static void take_retention(struct audit_file *file, struct doc_ref data)
{
    int64_t floor;
    if (doc_int(doc_getz(data, "floor_seq"), &floor))
        audit_skips_dropped(&file->skips, floor - 1);
}

/* What the hub itself says of the record counts here: kind `system`, and by no stream. The kind
 * stands behind the hash in every record's line, so that only few are parsed. */
static void take_own(struct audit_file *file, const char *line, size_t size,
                     const struct record_line *record)
{
    static const struct doc_limits limits = {OTHER_LINE_MAX_BYTES, RECORD_DEPTH_MAX};
    static const char system[] = ",\"kind\":\"system\",";
    const char *behind = line + record->hash_at + HASH_MEMBER_BYTES;
    struct doc_ref root;
    struct slice kind, type;
    if ((size_t)(line + size - behind) < sizeof system - 1 ||
        memcmp(behind, system, sizeof system - 1) != 0 ||
        doc_parse(file->parser, line, size, limits, &root) != DOC_OK ||
        !get_text(root, "kind", &kind) || !says(kind, "system") || !get_text(root, "type", &type) ||
        !doc_is(doc_getz(root, "stream"), DOC_NULL))
        return;
    if (says(type, AUDIT_CHAIN_TYPE))
        take_introduction(file, doc_getz(root, "data"), record->seq);
    else if (says(type, "retention"))
        take_retention(file, doc_getz(root, "data"));
}

static bool take_record(struct audit_file *file, const char *line, size_t size)
{
    struct record_line record;
    struct tree_hash leaf;
    int64_t expected = file->spine.size + 1;
    if (!read_record(line, size, &record))
        return bad_line(file, "a record here is not in the form of one");
    if (record.seq != expected) {
        audit_find(&file->report->bad, expected,
                   "line %lld: record %lld stands in its place: it was taken out, or the order was "
                   "changed",
                   (long long)file->line, (long long)record.seq);
        file->over = true;
        return false;
    }
    if (file->spine.size == file->size)
        return bad_line(file, "there is more here than the first line says");
    struct buf *bytes = &file->scratch;
    buf_reset(bytes);
    buf_addc(bytes, '\0');
    buf_add(bytes, line, record.hash_at);
    buf_add(bytes, line + record.hash_at + HASH_MEMBER_BYTES,
            size - record.hash_at - HASH_MEMBER_BYTES);
    if (bytes->failed)
        return unusable(file, "no memory");
    record_sha256(bytes->data, bytes->size_bytes, leaf.bytes);
    if (memcmp(leaf.bytes, record.hash, sizeof leaf.bytes) != 0)
        find_record(file, &record, "it was changed: what it says does not have its hash");
    /* The tree goes on with the hash that the line has: what is wrong with this record alone is not
     * laid at the door of all others up to the next checkpoint. */
    memcpy(leaf.bytes, record.hash, sizeof leaf.bytes);
    file->records++;
    take_own(file, line, size, &record);
    take_node(file, 0, &leaf);
    return true;
}

/* ---- checkpoints ---- */

static enum audit_trust judge_trust(struct audit_file *file, const struct audit_note *note)
{
    struct audit_mark mark = {.trust = audit_note_trust(note, &file->keys)};
    audit_chain_judge(&file->chain, note, &mark.trust, &mark.introduced_by);
    if (mark.trust == AUDIT_OTHER_KEY && mark.introduced_by > 0 &&
        mark.introduced_by <= file->good_to)
        return AUDIT_TRUSTED;
    return mark.trust;
}

static bool take_checkpoint(struct audit_file *file, struct doc_ref value)
{
    struct audit_note note;
    struct tree_hash root;
    const char *reason;
    size_t size, used;
    struct audit_report *report = file->report;
    if (!doc_is(value, DOC_STRING))
        return bad_line(file, "a checkpoint here is none");
    const char *text = doc_string(value, &size);
    if (size > AUDIT_NOTE_MAX_BYTES || !audit_note_parse(text, size, &note, &used, &reason) ||
        used != size || note.size != file->spine.size ||
        note.origin.size != strlen(report->origin) ||
        memcmp(note.origin.at, report->origin, note.origin.size) != 0)
        return bad_line(file, "a checkpoint here is not one of this record at this place");
    report->checkpoints++;
    enum audit_trust trust = judge_trust(file, &note);
    if (trust == AUDIT_FORGED) {
        audit_find(&report->bad, note.size,
                   "the checkpoint of %lld records has a signature that is not of the key it names",
                   (long long)note.size);
        return true;
    }
    if (file->keys.count > 0 && trust != AUDIT_TRUSTED) {
        file->untrusted_size = note.size;
        return true;
    }
    report->trusted += trust == AUDIT_TRUSTED;
    tree_spine_root(&file->spine, &root);
    if (tree_same(&root, &note.root))
        file->good_to = note.size;
    else
        audit_find(
            &report->bad, file->good_to + 1,
            "records %lld to %lld, or what stands for those that are not in the file, are not "
            "what the checkpoint of %lld records was made of",
            (long long)file->good_to + 1, (long long)note.size, (long long)note.size);
    return true;
}

/* ---- lines ---- */

static bool take_end(struct audit_file *file, struct doc_ref root)
{
    int64_t records;
    if (!doc_is(doc_getz(root, "end"), DOC_TRUE) || !doc_int(doc_getz(root, "records"), &records) ||
        records != file->records || file->spine.size != file->size)
        return bad_line(file, "the file ends before all of it was there");
    file->ended = true;
    return true;
}

static bool take_other(struct audit_file *file, const char *line, size_t size)
{
    static const struct doc_limits limits = {OTHER_LINE_MAX_BYTES, OTHER_DEPTH_MAX};
    struct doc_ref root;
    enum doc_error error = doc_parse(file->parser, line, size, limits, &root);
    if (error == DOC_NO_MEMORY)
        return unusable(file, "no memory");
    bool good = error == DOC_OK && doc_is(root, DOC_OBJECT);
    if (!file->begun)
        return good ? take_header(file, root)
                    : unusable(file, "this is no export of a record (" AUDIT_EXPORT_FORMAT ")");
    if (good && doc_exists(doc_getz(root, "skip")))
        return take_skip(file, root);
    if (good && doc_exists(doc_getz(root, "checkpoint")))
        return take_checkpoint(file, doc_getz(root, "checkpoint"));
    if (good && doc_exists(doc_getz(root, "end")))
        return take_end(file, root);
    return bad_line(file, "it is nothing that an export has");
}

bool audit_file_line(struct audit_file *file, const char *line, size_t size)
{
    file->line++;
    if (file->over)
        return false;
    if (file->ended)
        return bad_line(file, "there is something behind the end");
    if (file->begun && size > ID_AT && memcmp(line, id_name, ID_AT) == 0)
        return take_record(file, line, size);
    return take_other(file, line, size);
}

/* ---- the end ---- */

static void judge_end(struct audit_file *file)
{
    struct audit_report *report = file->report;
    struct tree_hash root;
    if (!file->begun) {
        unusable(file, "this is no export of a record (" AUDIT_EXPORT_FORMAT ")");
        return;
    }
    report->rows = file->records;
    report->covered_to = file->good_to;
    report->outside = (int64_t)file->outside_met;
    tree_spine_root(&file->spine, &root);
    if (!file->over && !file->ended)
        audit_find(&report->bad, file->spine.size + 1, "the file was cut off here");
    else if (file->ended && !tree_same(&root, &file->root))
        audit_find(
            &report->bad, file->good_to + 1,
            "records %lld to %lld, or what stands for those that are not in the file, do not "
            "have the root that the first line says",
            (long long)file->good_to + 1, (long long)file->size);
    int64_t missing = audit_skips_first(&file->skips);
    if (file->ended && file->whole && missing > 0)
        audit_find(&report->bad, missing,
                   "it is not in this export of the whole record, and by no record of retention "
                   "in it was it dropped: it was deleted");
    if (report->bad.seq == 0 && file->untrusted_size > file->good_to)
        audit_find(&report->bad, file->good_to + 1,
                   "no checkpoint behind record %lld is signed by a key that is trusted",
                   (long long)file->good_to);
    if (report->bad.seq == 0 && file->request->keys->count > 0 && report->trusted == 0 &&
        file->size > 0)
        audit_find(&report->bad, 1, "there is no checkpoint that a trusted key signed");
    if (report->bad.seq != 0)
        report->verdict = AUDIT_BAD;
    else if (file->outside_met < file->request->outside_count)
        unusable(file, "the file does not show the record as it was at a checkpoint given: export "
                       "it with --checkpoint, or after that checkpoint was made");
}

void audit_file_end(struct audit_file *file)
{
    if (file->report->verdict != AUDIT_UNUSABLE)
        judge_end(file);
    doc_parser_free(file->parser);
    buf_done(&file->scratch);
    free(file);
}
