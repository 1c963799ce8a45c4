/* audit_file: exports that somebody made by hand. What is no export is unusable, what does not hold
 * is bad, by the first record that it is bad of, and what is trusted is trusted for a reason. */
#include "hub/audit_chain.h"
#include "hub/audit_export.h"
#include "hub/audit_file.h"
#include "hub/record_hash.h"
#include "twin/timestamp.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ORIGIN "fleethub/test/hostile"
#define REST "\"kind\":\"event\",\"type\":\"t\",\"data\":{}}"
#define ZEROS "0000000000000000000000000000000000000000000000000000000000000000"

static struct audit_signer *signer, *other;
static struct audit_keys trusted, none;
static struct audit_report report;
static struct audit_note outside;
static size_t outside_count;

/* An export under construction, and the tree of its lines. */
static struct buf lines, header;
static struct tree_spine spine;

static struct audit_signer *make_signer(void)
{
    struct buf pem = BUF_INIT;
    struct audit_signer *made = NULL;
    char error[AUDIT_ERROR_BYTES];
    assert_true(audit_key_make(&pem, error));
    assert_true(audit_signer_read(pem.data, pem.size_bytes, &made, error));
    buf_done(&pem);
    return made;
}

static int setup_group(void **state)
{
    struct audit_key key = {.name = ORIGIN};
    (void)state;
    signer = make_signer();
    other = make_signer();
    memcpy(key.public, audit_signer_public(signer), AUDIT_PUBLIC_BYTES);
    return audit_keys_add(&trusted, &key) ? 0 : -1;
}

static int teardown_group(void **state)
{
    (void)state;
    audit_signer_free(signer);
    audit_signer_free(other);
    buf_done(&lines);
    buf_done(&header);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    buf_reset(&lines);
    buf_reset(&header);
    tree_spine_init(&spine);
    outside_count = 0;
    return 0;
}

/* ---- making ---- */

static void write_hex(struct buf *out, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        buf_addf(out, "%02x", bytes[i]);
}

/* A record's line, with the hash of what it says; `rest` begins behind the hash. */
static void add_record(int64_t seq, const char *rest)
{
    struct buf plain = BUF_INIT;
    struct tree_hash leaf;
    buf_addc(&plain, '\0');
    buf_addf(&plain, "{\"id\":\"%032llx\",\"seq\":%lld,%s", (long long)seq, (long long)seq, rest);
    record_sha256(plain.data, plain.size_bytes, leaf.bytes);
    buf_addf(&lines, "{\"id\":\"%032llx\",\"seq\":%lld,\"hash\":\"", (long long)seq,
             (long long)seq);
    write_hex(&lines, leaf.bytes, sizeof leaf.bytes);
    buf_addf(&lines, "\",%s\n", rest);
    tree_spine_append(&spine, 0, &leaf);
    buf_done(&plain);
}

/* A checkpoint of the records so far, as somebody signs it; `of`: another root's last byte. */
static void make_note(struct buf *note, const char *origin, int64_t size, uint8_t of,
                      const struct audit_signer *by)
{
    struct tree_hash root;
    tree_spine_root(&spine, &root);
    root.bytes[TREE_HASH_BYTES - 1] ^= of;
    audit_note_write(note, origin, size, &root, 0);
    if (by)
        assert_true(audit_note_sign(note, origin, by));
}

static void add_checkpoint(const char *origin, const struct audit_signer *by)
{
    struct buf note = BUF_INIT;
    make_note(&note, origin, spine.size, 0, by);
    buf_adds(&lines, "{\"checkpoint\":");
    buf_json_string(&lines, note.data, note.size_bytes);
    buf_adds(&lines, "}\n");
    buf_done(&note);
}

static void give_outside(const char *origin, int64_t size, uint8_t of,
                         const struct audit_signer *by)
{
    static struct buf note = BUF_INIT;
    const char *reason;
    size_t used;
    buf_done(&note);
    make_note(&note, origin, size, of, by);
    assert_true(audit_note_parse(note.data, note.size_bytes, &outside, &used, &reason));
    outside_count = 1;
}

/* The first line for what the file has so far, with these keys ("" for none). */
static void write_header(const char *keys)
{
    struct tree_hash root;
    tree_spine_root(&spine, &root);
    buf_reset(&header);
    buf_addf(&header,
             "{\"export\":\"" AUDIT_EXPORT_FORMAT "\",\"origin\":\"" ORIGIN "\",\"size\":%lld,"
             "\"root\":\"",
             (long long)spine.size);
    write_hex(&header, root.bytes, sizeof root.bytes);
    buf_addf(&header, "\",\"keys\":[%s]}\n", keys);
}

static void add_end(int64_t records)
{
    buf_addf(&lines, "{\"end\":true,\"records\":%lld}\n", (long long)records);
}

/* ---- verifying ---- */

static void verify_lines(const struct audit_keys *keys, const char *first, const char *rest)
{
    struct audit_request request = {
        .keys = keys, .outside = &outside, .outside_count = outside_count};
    struct audit_file *file = audit_file_new(&request, &report);
    const char *texts[] = {first, rest};
    assert_non_null(file);
    for (size_t i = 0; i < 2; i++)
        for (const char *at = texts[i], *end; *at; at = end + 1) {
            end = strchr(at, '\n');
            audit_file_line(file, at, (size_t)(end - at)); /* also when it is over */
        }
    audit_file_end(file);
}

static void verify(const struct audit_keys *keys)
{
    verify_lines(keys, buf_cstr(&header), buf_cstr(&lines));
}

static void assert_verdict(enum audit_verdict verdict, int64_t seq, const char *text)
{
    const char *said = verdict == AUDIT_UNUSABLE ? report.error : report.bad.reason;
    if (report.verdict != verdict || report.bad.seq != seq || !strstr(said, text))
        fail_msg("verdict %d, record %lld: %s%s", (int)report.verdict, (long long)report.bad.seq,
                 report.bad.reason, report.error);
}

/* ---- the first line ---- */

#define FIRST(origin, size, root, keys)                                                            \
    "{\"export\":\"" AUDIT_EXPORT_FORMAT "\",\"origin\":" origin ",\"size\":" size                 \
    ",\"root\":" root ",\"keys\":" keys "}\n"

static void a_first_line_that_is_malformed_is_no_export(void **state)
{
    static char long_origin[AUDIT_NAME_BYTES + 256];
    static const char *const texts[] = {
        FIRST("\"o\\u0000\"", "0", "\"" ZEROS "\"", "[]"),
        FIRST("7", "0", "\"" ZEROS "\"", "[]"),
        FIRST("\"o\"", "\"0\"", "\"" ZEROS "\"", "[]"),
        FIRST("\"o\"", "-1", "\"" ZEROS "\"", "[]"),
        FIRST("\"o\"", "1152921504606846976", "\"" ZEROS "\"", "[]"),
        FIRST("\"o\"", "0", "7", "[]"),
        FIRST("\"o\"", "0", "\"00\"", "[]"),
        FIRST("\"o\"", "0",
              "\"\\u0000000000000000000000000000000000000000000000000000000000000000\"", "[]"),
        FIRST("\"o\"", "0",
              "\"0\\u000000000000000000000000000000000000000000000000000000000000000\"", "[]"),
        FIRST("\"o\"", "0", "\"" ZEROS "\"", "{}"),
        FIRST("\"o\"", "0", "\"" ZEROS "\"", "[7]"),
        FIRST("\"o\"", "0", "\"" ZEROS "\"", "[\"nonsense\"]"),
        long_origin,
    };
    char name[AUDIT_NAME_BYTES + 1];
    (void)state;
    memset(name, 'o', AUDIT_NAME_BYTES);
    name[AUDIT_NAME_BYTES] = '\0';
    snprintf(long_origin, sizeof long_origin,
             "{\"export\":\"" AUDIT_EXPORT_FORMAT "\",\"origin\":\"%s\",\"size\":0,"
             "\"root\":\"" ZEROS "\",\"keys\":[]}\n",
             name);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        verify_lines(&none, texts[i], "");
        assert_verdict(AUDIT_UNUSABLE, 0, "malformed");
    }
}

static void more_keys_than_are_kept_are_no_export(void **state)
{
    struct buf keys = BUF_INIT;
    (void)state;
    for (int i = 0; i <= AUDIT_KEYS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "n%d", i);
        buf_adds(&keys, i ? ",\"" : "\"");
        audit_vkey_write(&keys, name, audit_signer_public(other));
        buf_addc(&keys, '"');
    }
    write_header(buf_cstr(&keys));
    add_end(0);
    verify(&none);
    assert_verdict(AUDIT_UNUSABLE, 0, "malformed");
    verify(&trusted); /* who has keys of his own needs none of these */
    assert_verdict(AUDIT_GOOD, 0, "");
    buf_done(&keys);
}

/* ---- records ---- */

static void records_that_are_not_in_the_form_of_one_are_bad(void **state)
{
    static const char *const texts[] = {
        "{\"id\":\"00000000000000000000000000000000\",\"seq\":1234567890123456789,\"hash\":\"" ZEROS
        "\",}\n",
        "{\"id\":\"00000000000000000000000000000000\",\"seq\":1,\"hash\":\"" ZEROS "0,}\n",
        "{\"id\":\"00000000000000000000000000000000\",\"seq\":1,\"hash\":\"" ZEROS "\",]\n",
        "{\"id\":\"00000000000000000000000000000000\",\"seq\":01,\"hash\":\"" ZEROS "\",}\n",
        "{\"id\":\"0000000000000000000000000000000g\",\"seq\":1,\"hash\":\"" ZEROS "\",}\n",
    };
    (void)state;
    add_record(1, REST);
    write_header("");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        verify_lines(&none, buf_cstr(&header), texts[i]);
        assert_verdict(AUDIT_BAD, 1, "not in the form of one");
    }
}

static void of_two_changed_records_the_first_is_named(void **state)
{
    (void)state;
    for (int64_t seq = 1; seq <= 3; seq++)
        add_record(seq, REST);
    add_end(3);
    write_header("");
    for (char *at = strchr(lines.data, '\n'); (at = strstr(at, "\"type\":\"t\"")) != NULL; at++)
        at[8] = 'u';
    verify(&none);
    assert_verdict(AUDIT_BAD, 2, "does not have its hash");
    assert_true(report.bad.has_id);
}

static void there_is_no_more_than_the_first_line_says(void **state)
{
    (void)state;
    add_record(1, REST);
    write_header("");
    add_record(2, REST);
    add_end(2);
    verify(&none);
    assert_verdict(AUDIT_BAD, 2, "more here than the first line says");
}

static void what_stands_for_records_is_exactly_what_they_take(void **state)
{
    static const char *const texts[] = {
        "{\"skip\":\"1\",\"nodes\":[\"" ZEROS "\"]}\n",
        "{\"skip\":1,\"nodes\":[\"" ZEROS "\",\"" ZEROS "\"]}\n",
        "{\"skip\":3,\"nodes\":[\"" ZEROS "\"]}\n",
        "{\"skip\":1,\"nodes\":[7]}\n",
    };
    (void)state;
    add_record(1, REST);
    add_record(2, REST);
    write_header("");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        verify_lines(&none, buf_cstr(&header), texts[i]);
        assert_verdict(AUDIT_BAD, i == 1 ? 2 : 1, "what stands for records");
    }
    add_end(1); /* which are two */
    verify(&none);
    assert_verdict(AUDIT_BAD, 3, "ends before all of it was there");
}

/* ---- checkpoints ---- */

static void a_checkpoint_of_another_place_or_record_is_bad(void **state)
{
    static const char *const origins[] = {"fleethub/test/hostilf", "fleethub/test"};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        begin(NULL);
        add_record(1, REST);
        write_header("");
        add_checkpoint(origins[i], signer);
        verify(&trusted);
        assert_verdict(AUDIT_BAD, 2, "not one of this record");
    }
    begin(NULL);
    add_record(1, REST);
    write_header("");
    buf_adds(&lines, "{\"checkpoint\":\"" ORIGIN "\\n");
    for (int i = 0; i < AUDIT_NOTE_MAX_BYTES; i++)
        buf_addc(&lines, 'x');
    buf_adds(&lines, "\"}\n");
    verify(&trusted);
    assert_verdict(AUDIT_BAD, 2, "not one of this record");
}

static void without_any_key_a_checkpoint_counts_by_its_root(void **state)
{
    (void)state;
    add_record(1, REST);
    add_checkpoint(ORIGIN, NULL);
    add_end(1);
    write_header("");
    verify(&none);
    assert_verdict(AUDIT_GOOD, 0, "");
    assert_int_equal(report.covered_to, 1);
    assert_int_equal(report.trusted, 0);
}

static void an_empty_record_needs_no_checkpoint(void **state)
{
    (void)state;
    write_header("");
    add_end(0);
    verify(&trusted);
    assert_verdict(AUDIT_GOOD, 0, "");
    begin(NULL);
    add_record(1, REST);
    write_header("");
    add_end(1);
    verify(&trusted);
    assert_verdict(AUDIT_BAD, 1, "no checkpoint that a trusted key signed");
}

/* A record of the hub that names a key, as `rest` of a line: the trusted one says so. */
static void introduction(char rest[1024], const struct audit_signer *of, const char *kind,
                         const char *type, const char *stream)
{
    struct buf vkey = BUF_INIT, signature = BUF_INIT;
    audit_vkey_write(&vkey, ORIGIN, audit_signer_public(of));
    assert_true(audit_chain_sign(&signature, ORIGIN, signer, buf_cstr(&vkey)));
    snprintf(rest, 1024,
             "\"kind\":%s,\"vid\":null,\"type\":%s,\"stream\":%s,\"data\":{\"type\":"
             "\"signing_key\",\"key\":\"%s\",\"signature\":\"%s\"}}",
             kind, type, stream, buf_cstr(&vkey), buf_cstr(&signature));
    buf_done(&vkey);
    buf_done(&signature);
}

#define SYSTEM "\"system\""
#define SIGNING_KEY "\"signing_key\""

static void a_key_that_a_covered_record_names_is_as_good_as_its_own(void **state)
{
    char rest[1024];
    (void)state;
    for (int covered = 0; covered < 2; covered++) {
        begin(NULL);
        introduction(rest, other, SYSTEM, SIGNING_KEY, "null");
        add_record(1, rest);
        if (covered)
            add_checkpoint(ORIGIN, signer);
        add_record(2, REST);
        add_checkpoint(ORIGIN, other);
        add_end(2);
        write_header("");
        verify(&trusted);
        if (covered)
            assert_verdict(AUDIT_GOOD, 0, "");
        else
            assert_verdict(AUDIT_BAD, 1, "no checkpoint behind record 0");
        assert_int_equal(report.covered_to, covered ? 2 : 0);
    }
}

/* Only what the hub itself says, in a record of that type, counts. */
static void what_only_looks_like_an_introduction_is_none(void **state)
{
    static const struct {
        const char *kind, *type, *stream;
    } cases[] = {
        {SYSTEM, "\"gossip\"", "null"},     {SYSTEM, "7", "null"},
        {"\"event\"", SIGNING_KEY, "null"}, {SYSTEM, SIGNING_KEY, "\"TWIN_RECORD\""},
        {SYSTEM, "\"retention\"", "null"},
    };
    char rest[1024];
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        begin(NULL);
        introduction(rest, other, cases[i].kind, cases[i].type, cases[i].stream);
        add_record(1, rest);
        add_checkpoint(ORIGIN, signer);
        add_record(2, REST);
        add_checkpoint(ORIGIN, other);
        add_end(2);
        write_header("");
        verify(&trusted);
        assert_verdict(AUDIT_BAD, 2, "no checkpoint behind record 1");
    }
}

/* ---- a checkpoint from elsewhere ---- */

static void a_checkpoint_from_elsewhere_is_evidence_or_refused(void **state)
{
    (void)state;
    add_record(1, REST);
    give_outside("fleethub/test/hostilf", 1, 0, signer);
    add_checkpoint(ORIGIN, signer);
    add_end(1);
    write_header("");
    verify(&trusted);
    assert_verdict(AUDIT_UNUSABLE, 0, "of another record");
    give_outside("fleethub/test", 1, 0, signer);
    verify(&trusted);
    assert_verdict(AUDIT_UNUSABLE, 0, "of another record");
    give_outside(ORIGIN, 1, 0, other);
    verify(&trusted);
    assert_verdict(AUDIT_UNUSABLE, 0, "not signed by a key that is trusted");
    verify(&none); /* who trusts no key in particular takes it for what it is */
    assert_verdict(AUDIT_GOOD, 0, "");
    give_outside(ORIGIN, 1, 0, signer);
    outside.signatures[0].bytes[7] ^= 1;
    verify(&trusted);
    assert_verdict(AUDIT_UNUSABLE, 0, "not signed by a key that is trusted");
    give_outside(ORIGIN, 1, 1, signer);
    verify(&trusted);
    assert_verdict(AUDIT_BAD, 1, "from elsewhere");
    give_outside(ORIGIN, 1, 0, signer);
    verify(&trusted);
    assert_verdict(AUDIT_GOOD, 0, "");
    assert_int_equal(report.outside, 1);
    give_outside(ORIGIN, 7, 0, signer);
    verify(&trusted);
    assert_verdict(AUDIT_UNUSABLE, 0, "does not show the record as it was");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_first_line_that_is_malformed_is_no_export, begin),
        cmocka_unit_test_setup(more_keys_than_are_kept_are_no_export, begin),
        cmocka_unit_test_setup(records_that_are_not_in_the_form_of_one_are_bad, begin),
        cmocka_unit_test_setup(of_two_changed_records_the_first_is_named, begin),
        cmocka_unit_test_setup(there_is_no_more_than_the_first_line_says, begin),
        cmocka_unit_test_setup(what_stands_for_records_is_exactly_what_they_take, begin),
        cmocka_unit_test_setup(a_checkpoint_of_another_place_or_record_is_bad, begin),
        cmocka_unit_test_setup(without_any_key_a_checkpoint_counts_by_its_root, begin),
        cmocka_unit_test_setup(an_empty_record_needs_no_checkpoint, begin),
        cmocka_unit_test_setup(a_key_that_a_covered_record_names_is_as_good_as_its_own, begin),
        cmocka_unit_test_setup(what_only_looks_like_an_introduction_is_none, begin),
        cmocka_unit_test_setup(a_checkpoint_from_elsewhere_is_evidence_or_refused, begin),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
