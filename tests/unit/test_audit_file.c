/* Exports verified from the file alone, and the test vectors of docs/record-format.md: they are
 * made here from what the document says goes in, and have to be the files that stand there.
 * FLEETHUB_WRITE_VECTORS=1 writes these files. */
#include "hub/audit_file.h"
#include "hub/record_hash.h"
#include "tests/unit/random.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ORIGIN "fleethub/test/vectors"
#define SLICE(text) ((struct slice){text, sizeof(text) - 1})

enum { RECORDS = 5, PATH_BYTES = 512 };

/* RFC 8032, section 7.1, test 1. */
static const char private_pem[] =
    "-----BEGIN PRIVATE KEY-----\n"
    "MC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpezJpGXA7rAMcrn9g\n"
    "-----END PRIVATE KEY-----\n";

static struct audit_signer *signer;
static struct audit_keys keys, none;
static struct buf whole, part;
static struct audit_report report;

/* ---- the vectors ---- */

static int64_t at(const char *text)
{
    int64_t ns;
    assert_true(timestamp_parse(text, strlen(text), &ns));
    return ns;
}

static void make_record(int64_t seq, struct record *record)
{
    char key[32];
    record_init(record);
    snprintf(key, sizeof key, "vector/%lld", (long long)seq);
    record->seq = seq;
    record->region = SLICE("vectors");
    record->archived_ns = at("2026-01-15T10:30:02.000001Z") + seq * NS_PER_S;
    record->received_ns = at("2026-01-15T10:30:01.000000217Z") + seq * NS_PER_S;
    switch (seq) {
    case 1: /* what the hub puts on record itself */
        record->kind = RECORD_SYSTEM;
        record->severity = SEVERITY_NOTICE;
        record->type = SLICE("signing_key");
        record->data = SLICE("{\"key\":\"fleethub/test/vectors+515827b4+"
                             "AddamAGCsQq31Uv+08lkBzoO4XLz2qYjJa8CGmj3B1Ea\",\"replaces\":null}");
        break;
    case 2: /* everything there is */
        record->kind = RECORD_EVENT;
        record->severity = SEVERITY_WARNING;
        record->vid = SLICE("VID-001");
        record->type = SLICE("battery.low");
        record->boot = SLICE("b7");
        record->vehicle_seq = 12345;
        record->timestamp_ns = at("2026-01-15T10:30:00.123Z");
        record->stream = SLICE("TWIN_EVENTS");
        record->stream_seq = 812;
        record->data = SLICE("{ \"severity\": 4,  \"remaining\": 0.10 }");
        break;
    case 3: /* strings that need escapes, and characters beyond ASCII that do not */
        record->kind = RECORD_SHADOW;
        record->vid = SLICE("VID-001");
        record->type = SLICE("requested");
        record->actor = SLICE("https://id.example#\xc3\xa6 \"ops\"\\\t\x1f\x7f");
        record->request_id = SLICE("7c1e");
        record->stream = SLICE("TWIN_RECORD");
        record->stream_seq = 1;
        record->data = SLICE("{\"part\":\"desired\",\"before\":{},\"after\":{\"mode\":\"RTL\"}}");
        break;
    case 4: /* line breaks between the tokens of the data, and a NUL within a string */
        record->kind = RECORD_EVENT;
        record->vid = SLICE("VID-002");
        record->type = SLICE("statustext");
        record->timestamp_ns = at("1969-12-31T23:59:59.999999999Z");
        record->stream = SLICE("TWIN_EVENTS");
        record->stream_seq = 813;
        record->data = SLICE("{\r\n  \"text\": \"\\u0000\"\n}");
        break;
    default:
        record->kind = RECORD_ACK;
        record->vid = SLICE("VID-001");
        record->type = SLICE("rtl");
        record->stream = SLICE("TWIN_ACK");
        record->stream_seq = 9;
        record->data = SLICE("{\"cmd_id\":\"c1.VID-001\",\"status\":\"completed\"}");
    }
    record_id_of(record->kind, key, strlen(key), record->id);
}

static void write_hex(struct buf *out, const struct tree_hash *hash)
{
    buf_addc(out, '"');
    for (int i = 0; i < TREE_HASH_BYTES; i++)
        buf_addf(out, "%02x", hash->bytes[i]);
    buf_addc(out, '"');
}

static void write_header(struct buf *out, const struct tree_hash *root, const char *selection)
{
    buf_adds(out, "{\"export\":\"fleethub-record/1\",\"origin\":\"" ORIGIN "\","
                  "\"made\":\"2026-01-15T11:00:00.000Z\",\"size\":5,\"root\":");
    write_hex(out, root);
    buf_adds(out, ",\"keys\":[\"");
    audit_vkey_write(out, ORIGIN, audit_signer_public(signer));
    buf_addf(out,
             "\"],\"selection\":{\"vid\":%s,\"start_time\":null,\"end_time\":null,"
             "\"from_seq\":0,\"to_seq\":0}}\n",
             selection);
}

static void write_checkpoint(struct buf *out, const struct tree_spine *spine)
{
    struct buf note = BUF_INIT;
    struct tree_hash root;
    tree_spine_root(spine, &root);
    audit_note_write(&note, ORIGIN, spine->size, &root,
                     at("2026-01-15T10:31:00Z") + spine->size * NS_PER_S);
    assert_true(audit_note_sign(&note, ORIGIN, signer));
    buf_adds(out, "{\"checkpoint\":");
    buf_json_string(out, note.data, note.size_bytes);
    buf_adds(out, "}\n");
    buf_done(&note);
}

static void write_skip(struct buf *out, const struct tree_hash *nodes, int records, int count)
{
    buf_addf(out, "{\"skip\":%d,\"nodes\":[", records);
    for (int i = 0; i < count; i++) {
        if (i > 0)
            buf_addc(out, ',');
        write_hex(out, &nodes[i]);
    }
    buf_adds(out, "]}\n");
}

/* All five with checkpoints of 1, 3 and 5 records; and records 2 and 5 alone, with the last. */
static void make_vectors(void)
{
    struct tree_hash leaves[RECORDS], pair, root;
    struct buf lines[RECORDS] = {BUF_INIT}, scratch = BUF_INIT;
    struct tree_spine spine;
    tree_spine_init(&spine);
    for (int i = 0; i < RECORDS; i++) {
        struct record record;
        make_record(i + 1, &record);
        assert_true(record_hash(&record, &scratch, record.hash));
        memcpy(leaves[i].bytes, record.hash, sizeof leaves[i].bytes);
        record_write_public(&lines[i], &record, true);
        buf_addc(&lines[i], '\n');
        tree_spine_append(&spine, 0, &leaves[i]);
    }
    tree_spine_root(&spine, &root);
    write_header(&whole, &root, "null");
    write_header(&part, &root, "\"VID-001\"");
    tree_spine_init(&spine);
    for (int i = 0; i < RECORDS; i++) {
        buf_add(&whole, lines[i].data, lines[i].size_bytes);
        tree_spine_append(&spine, 0, &leaves[i]);
        if (i % 2 == 0)
            write_checkpoint(&whole, &spine);
    }
    tree_parent(&leaves[2], &leaves[3], &pair);
    write_skip(&part, &leaves[0], 1, 1);
    buf_add(&part, lines[1].data, lines[1].size_bytes);
    write_skip(&part, &pair, 2, 1);
    buf_add(&part, lines[4].data, lines[4].size_bytes);
    write_checkpoint(&part, &spine);
    buf_adds(&whole, "{\"end\":true,\"records\":5}\n");
    buf_adds(&part, "{\"end\":true,\"records\":2}\n");
    for (int i = 0; i < RECORDS; i++)
        buf_done(&lines[i]);
    buf_done(&scratch);
}

static int setup(void **state)
{
    struct audit_key key = {.name = ORIGIN};
    char error[AUDIT_ERROR_BYTES];
    (void)state;
    assert_true(audit_signer_read(private_pem, strlen(private_pem), &signer, error));
    memcpy(key.public, audit_signer_public(signer), AUDIT_PUBLIC_BYTES);
    audit_keys_add(&keys, &key);
    make_vectors();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    audit_signer_free(signer);
    buf_done(&whole);
    buf_done(&part);
    return 0;
}

/* ---- verifying ---- */

static void verify(const char *text, size_t size, const struct audit_keys *trusted)
{
    struct audit_request request = {.keys = trusted};
    struct audit_file *file = audit_file_new(&request, &report);
    bool more = true;
    assert_non_null(file);
    while (more && size > 0) {
        const char *end = memchr(text, '\n', size);
        size_t line = end ? (size_t)(end - text) : size;
        more = audit_file_line(file, text, line);
        text += line + (end != NULL);
        size -= line + (end != NULL);
    }
    audit_file_end(file);
}

static void verify_text(const char *text, const struct audit_keys *trusted)
{
    verify(text, strlen(text), trusted);
}

/* ---- tests ---- */

static void compare_with_file(const char *name, struct buf *made)
{
    char path[PATH_BYTES], error[AUDIT_ERROR_BYTES];
    struct buf kept = BUF_INIT;
    const char *source = getenv("FLEETHUB_SOURCE_DIR");
    snprintf(path, sizeof path, "%s/docs/vectors/%s", source ? source : ".", name);
    if (getenv("FLEETHUB_WRITE_VECTORS")) {
        FILE *out = fopen(path, "w");
        assert_non_null(out);
        assert_int_equal(fwrite(made->data, 1, made->size_bytes, out), made->size_bytes);
        fclose(out);
    }
    if (!audit_file_read(path, 1 << 20, &kept, error))
        fail_msg("%s: %s", path, error);
    assert_string_equal(buf_cstr(&kept), buf_cstr(made));
    buf_done(&kept);
}

static void the_vectors_are_those_of_the_document(void **state)
{
    (void)state;
    compare_with_file("record.ndjson", &whole);
    compare_with_file("record-part.ndjson", &part);
}

static void the_vectors_are_good(void **state)
{
    (void)state;
    verify(whole.data, whole.size_bytes, &keys);
    assert_int_equal(report.verdict, AUDIT_GOOD);
    assert_int_equal(report.records, 5);
    assert_int_equal(report.rows, 5);
    assert_int_equal(report.trusted, 3);
    assert_int_equal(report.covered_to, 5);
    verify(part.data, part.size_bytes, &none);
    assert_int_equal(report.verdict, AUDIT_GOOD);
    assert_int_equal(report.rows, 2);
    assert_int_equal(report.trusted, 1);
}

/* The first line says how it came about; behind it every byte counts. (A checkpoint whose signature
 * is lost is passed over, as one of another key is, where a later one covers the same.) */
static void any_byte_changed_is_found(void **state)
{
    struct random random = random_seeded("export");
    (void)state;
    size_t header = (size_t)(strchr(buf_cstr(&whole), '\n') - whole.data) + 1;
    /* Every byte in the end, of another run and another seed: each costs three signatures. */
    for (size_t i = header; i < whole.size_bytes; i += 1 + random_below(&random, 6)) {
        char kept = whole.data[i];
        whole.data[i] = (char)(kept ^ (1 << random_below(&random, 7)));
        verify(whole.data, whole.size_bytes, &keys);
        if (report.verdict == AUDIT_GOOD && report.trusted == 3)
            fail_msg("byte %zu, `%c` for `%c`, is not found", i, whole.data[i], kept);
        whole.data[i] = kept;
    }
}

static void any_end_cut_off_is_found(void **state)
{
    (void)state;
    for (size_t size = 0; size + 1 < whole.size_bytes; size += 3) {
        verify(whole.data, size, &keys);
        assert_int_not_equal(report.verdict, AUDIT_GOOD);
    }
}

static void any_line_taken_out_or_doubled_is_found(void **state)
{
    (void)state;
    size_t from = 0;
    while (from < whole.size_bytes) {
        size_t to = (size_t)((char *)memchr(whole.data + from, '\n', whole.size_bytes - from) -
                             whole.data) +
                    1;
        struct buf changed = BUF_INIT;
        bool checkpoint = strncmp(whole.data + from, "{\"checkpoint\"", 13) == 0;
        buf_add(&changed, whole.data, from);
        buf_add(&changed, whole.data + to, whole.size_bytes - to);
        verify(changed.data, changed.size_bytes, &keys);
        /* Without one of its checkpoints an export is a good one, with fewer. */
        assert_int_equal(report.verdict == AUDIT_GOOD, checkpoint);
        buf_reset(&changed);
        buf_add(&changed, whole.data, to);
        buf_add(&changed, whole.data + from, whole.size_bytes - from);
        verify(changed.data, changed.size_bytes, &keys);
        assert_int_equal(report.verdict == AUDIT_GOOD, checkpoint);
        buf_done(&changed);
        from = to;
    }
}

static void what_is_no_export_is_unusable(void **state)
{
    static const char *const texts[] = {
        "",
        "\n",
        "{}",
        "[]",
        "{\"export\":\"fleethub-record/2\"}",
        "{\"export\":\"fleethub-record/1\"}",
        "{\"export\":\"fleethub-record/1\",\"origin\":\"\",\"size\":0,\"root\":\"\",\"keys\":[]}",
        "{\"id\":\"x\"}",
    };
    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        verify_text(texts[i], &none);
        assert_int_equal(report.verdict, AUDIT_UNUSABLE);
    }
}

static void lines_that_promise_more_than_they_hold_are_bad(void **state)
{
    static const char *const lines[] = {
        "{\"skip\":0,\"nodes\":[]}",
        "{\"skip\":-1,\"nodes\":[]}",
        "{\"skip\":6,\"nodes\":[]}",
        "{\"skip\":9223372036854775807,\"nodes\":[]}",
        "{\"skip\":5,\"nodes\":[\"00\"]}",
        "{\"skip\":5,\"nodes\":{}}",
        "{\"checkpoint\":5}",
        "{\"checkpoint\":\"\"}",
        "{\"end\":true,\"records\":0}",
        "{\"end\":false}",
        "{\"id\":\"\"}",
        "{\"id\":\"00000000000000000000000000000000\",\"seq\":1}",
        "nonsense",
    };
    const char *end = strchr(buf_cstr(&whole), '\n') + 1;
    (void)state;
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) {
        struct buf text = BUF_INIT;
        buf_add(&text, whole.data, (size_t)(end - whole.data));
        buf_adds(&text, lines[i]);
        buf_addc(&text, '\n');
        verify_text(buf_cstr(&text), &none);
        assert_int_equal(report.verdict, AUDIT_BAD);
        assert_int_equal(report.bad.seq, 1);
        buf_done(&text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_vectors_are_those_of_the_document),
        cmocka_unit_test(the_vectors_are_good),
        cmocka_unit_test(any_byte_changed_is_found),
        cmocka_unit_test(any_end_cut_off_is_found),
        cmocka_unit_test(any_line_taken_out_or_doubled_is_found),
        cmocka_unit_test(what_is_no_export_is_unusable),
        cmocka_unit_test(lines_that_promise_more_than_they_hold_are_bad),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
