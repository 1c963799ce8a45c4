/* What the records of an export say of the record itself, keys and retention, is believed of the
 * hub alone: exports are made here of records as vehicles, and others, could have them made. */
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

#define ORIGIN "fleethub/test/claims"
#define SLICE(text) ((struct slice){text, sizeof(text) - 1})

enum { LINE_BYTES = 512 };

static struct audit_signer *ours, *next, *after, *rogue;
static struct audit_keys keys, none;
static struct audit_report report;

/* An export under way. */
static struct buf lines, body;
static struct tree_spine spine;
static int64_t records;

static struct audit_signer *make_signer(void)
{
    struct buf pem = BUF_INIT;
    struct audit_signer *signer = NULL;
    char error[AUDIT_ERROR_BYTES];
    assert_true(audit_key_make(&pem, error));
    assert_true(audit_signer_read(pem.data, pem.size_bytes, &signer, error));
    buf_done(&pem);
    return signer;
}

static int setup_group(void **state)
{
    struct audit_key key = {.name = ORIGIN};
    (void)state;
    ours = make_signer();
    next = make_signer();
    after = make_signer();
    rogue = make_signer();
    memcpy(key.public, audit_signer_public(ours), AUDIT_PUBLIC_BYTES);
    assert_true(audit_keys_add(&keys, &key));
    return 0;
}

static int teardown_group(void **state)
{
    (void)state;
    audit_signer_free(ours);
    audit_signer_free(next);
    audit_signer_free(after);
    audit_signer_free(rogue);
    buf_done(&lines);
    buf_done(&body);
    return 0;
}

static int begin(void **state)
{
    (void)state;
    buf_reset(&body);
    tree_spine_init(&spine);
    records = 0;
    return 0;
}

/* ---- making exports ---- */

static struct record of_hub(const char *type)
{
    struct record record;
    record_init(&record);
    record.kind = RECORD_SYSTEM;
    record.type = (struct slice){type, strlen(type)};
    return record;
}

static struct record of_vehicle(const char *type)
{
    struct record record = of_hub(type);
    record.kind = RECORD_EVENT;
    record.vid = SLICE("V1");
    record.stream = SLICE("TWIN_EVENTS");
    record.stream_seq = 1;
    return record;
}

static void add(struct record record, const char *data)
{
    struct buf scratch = BUF_INIT;
    struct tree_hash leaf;
    record.seq = spine.size + 1;
    record.region = SLICE("r");
    record.received_ns = record.archived_ns = record.seq * NS_PER_S;
    record.data = (struct slice){data, strlen(data)};
    assert_true(record_hash(&record, &scratch, record.hash));
    memcpy(leaf.bytes, record.hash, sizeof leaf.bytes);
    record_write_public(&body, &record, true);
    buf_addc(&body, '\n');
    assert_true(tree_spine_append(&spine, 0, &leaf));
    records++;
    buf_done(&scratch);
}

static void add_events(int count)
{
    for (int i = 0; i < count; i++)
        add(of_vehicle("waypoint"), "{}");
}

static void write_hex(struct buf *out, const struct tree_hash *hash)
{
    buf_addc(out, '"');
    for (int i = 0; i < TREE_HASH_BYTES; i++)
        buf_addf(out, "%02x", hash->bytes[i]);
    buf_addc(out, '"');
}

/* One record that is not there. */
static void skip_one(void)
{
    struct tree_hash leaf = {{(uint8_t)spine.size}};
    buf_adds(&body, "{\"skip\":1,\"nodes\":[");
    write_hex(&body, &leaf);
    buf_adds(&body, "]}\n");
    assert_true(tree_spine_append(&spine, 0, &leaf));
}

static void add_checkpoint(const struct audit_signer *signer)
{
    struct buf note = BUF_INIT;
    struct tree_hash root;
    tree_spine_root(&spine, &root);
    audit_note_write(&note, ORIGIN, spine.size, &root, NS_PER_S);
    assert_true(audit_note_sign(&note, ORIGIN, signer));
    buf_adds(&body, "{\"checkpoint\":");
    buf_json_string(&body, note.data, note.size_bytes);
    buf_adds(&body, "}\n");
    buf_done(&note);
}

/* The data of a record that names a key, vouched for by another or by none. */
static const char *naming(const struct audit_signer *signer, const struct audit_signer *by)
{
    static char text[LINE_BYTES];
    struct buf vkey = BUF_INIT, signature = BUF_INIT;
    audit_vkey_write(&vkey, ORIGIN, audit_signer_public(signer));
    if (by)
        assert_true(audit_chain_sign(&signature, ORIGIN, by, buf_cstr(&vkey)));
    snprintf(text, sizeof text,
             "{\"key\":\"%s\",\"kind\":\"system\",\"type\":\"signing_key\",\"a\":0%s%s%s}",
             buf_cstr(&vkey), by ? ",\"signature\":\"" : "", by ? buf_cstr(&signature) : "",
             by ? "\"" : "");
    buf_done(&vkey);
    buf_done(&signature);
    return text;
}

static void verify_part(const struct audit_keys *trusted, const char *selection)
{
    struct audit_request request = {.keys = trusted};
    struct audit_file *file = audit_file_new(&request, &report);
    struct tree_hash root;
    assert_non_null(file);
    tree_spine_root(&spine, &root);
    buf_reset(&lines);
    buf_addf(&lines,
             "{\"export\":\"fleethub-record/1\",\"origin\":\"" ORIGIN "\",\"size\":%lld,\"root\":",
             (long long)spine.size);
    write_hex(&lines, &root);
    buf_addf(&lines, ",\"keys\":[],\"selection\":%s}\n%s{\"end\":true,\"records\":%lld}\n",
             selection, buf_cstr(&body), (long long)records);
    for (const char *at = buf_cstr(&lines), *end; (end = strchr(at, '\n')); at = end + 1)
        audit_file_line(file, at, (size_t)(end - at));
    audit_file_end(file);
}

static void verify(const struct audit_keys *trusted)
{
    verify_part(trusted, "{\"vid\":null,\"start_time\":null,\"end_time\":null,\"from_seq\":0,"
                         "\"to_seq\":0}");
}

static void assert_good(void)
{
    if (report.verdict != AUDIT_GOOD)
        fail_msg("record %lld: %s%s", (long long)report.bad.seq, report.bad.reason, report.error);
}

static void assert_bad(int64_t seq)
{
    if (report.verdict != AUDIT_BAD || report.bad.seq != seq)
        fail_msg("verdict %d, record %lld instead of %lld: %s%s", (int)report.verdict,
                 (long long)report.bad.seq, (long long)seq, report.bad.reason, report.error);
}

/* ---- keys ---- */

static void a_key_is_trusted_that_the_one_before_vouches_for(void **state)
{
    (void)state;
    add_events(1);
    add(of_hub("signing_key"), naming(next, ours));
    add_checkpoint(ours);
    add_events(1);
    add(of_hub("signing_key"), naming(after, next));
    add_checkpoint(next);
    add_events(1);
    add_checkpoint(after);
    verify(&keys);
    assert_good();
    assert_int_equal(report.covered_to, 5);
    assert_int_equal(report.trusted, 3);
}

static void a_key_that_no_trusted_one_vouches_for_is_not_trusted(void **state)
{
    const struct audit_signer *by[] = {NULL, rogue, after};
    for (size_t i = 0; i < sizeof by / sizeof *by; i++) {
        begin(state);
        add(of_hub("signing_key"), naming(rogue, by[i]));
        add_checkpoint(ours);
        add_events(1);
        add_checkpoint(rogue);
        verify(&keys);
        assert_bad(2);
    }
}

/* What vouches for one key does not vouch for another. */
static void a_signature_over_another_key_vouches_for_nothing(void **state)
{
    char text[LINE_BYTES];
    struct buf vkey = BUF_INIT, signature = BUF_INIT;
    (void)state;
    audit_vkey_write(&vkey, ORIGIN, audit_signer_public(next));
    assert_true(audit_chain_sign(&signature, ORIGIN, ours, buf_cstr(&vkey)));
    buf_reset(&vkey);
    audit_vkey_write(&vkey, ORIGIN, audit_signer_public(rogue));
    snprintf(text, sizeof text, "{\"key\":\"%s\",\"signature\":\"%s\"}", buf_cstr(&vkey),
             buf_cstr(&signature));
    add(of_hub("signing_key"), text);
    add_checkpoint(ours);
    add_events(1);
    add_checkpoint(rogue);
    verify(&keys);
    assert_bad(2);
    buf_done(&vkey);
    buf_done(&signature);
}

/* Whatever a vehicle says, in whatever words, it introduces no key, not even one vouched for; and
 * what came by a stream is not the hub's. */
static void nobody_but_the_hub_introduces_a_key(void **state)
{
    struct record kinds[] = {of_vehicle("signing_key"), of_hub("signing_key"), of_hub("signed")};
    kinds[1].stream = SLICE("TWIN_RECORD");
    kinds[1].stream_seq = 7;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        begin(state);
        add(kinds[i], naming(rogue, ours));
        add_checkpoint(ours);
        add_events(1);
        add_checkpoint(rogue);
        verify(&keys);
        assert_bad(2);
    }
}

static void keys_that_vehicles_name_leave_room_for_those_of_the_hub(void **state)
{
    (void)state;
    for (int i = 0; i < 2 * AUDIT_KEYS_MAX; i++)
        add(i % 2 ? of_vehicle("signing_key") : of_hub("signing_key"), naming(rogue, NULL));
    add(of_hub("signing_key"), naming(next, ours));
    add_checkpoint(ours);
    add_events(1);
    add_checkpoint(next);
    verify(&keys);
    assert_good();
    assert_int_equal(report.covered_to, spine.size);
}

/* ---- retention ---- */

static void what_is_not_in_a_whole_export_is_found(void **state)
{
    (void)state;
    add_events(3);
    skip_one();
    add_events(2);
    add_checkpoint(ours);
    verify(&keys);
    assert_bad(4);
    verify(&none);
    assert_bad(4);
    verify_part(&keys, "{\"vid\":\"V1\"}");
    assert_good();
    verify_part(&keys, "{\"from_seq\":2}");
    assert_good();
    verify_part(&keys, "null");
    assert_bad(4);
}

static void what_retention_dropped_is_not_missing(void **state)
{
    (void)state;
    skip_one();
    skip_one();
    add_events(1); /* which a hold keeps */
    skip_one();
    add_events(2);
    add(of_hub("retention"), "{\"floor_seq\":5}");
    add_checkpoint(ours);
    verify(&keys);
    assert_good();
    skip_one();
    verify(&keys);
    assert_bad(8);
}

static void of_what_is_missing_the_first_is_named_that_retention_did_not_drop(void **state)
{
    (void)state;
    skip_one();
    skip_one();
    add_events(1);
    skip_one();
    add_events(1);
    skip_one();
    add(of_hub("retention"), "{\"floor_seq\":2}");
    verify(&none);
    assert_bad(2);
    add(of_hub("retention"), "{\"floor_seq\":4}");
    verify(&none);
    assert_bad(4);
    add(of_hub("retention"), "{\"floor_seq\":5}");
    verify(&none);
    assert_bad(6);
}

static void nobody_but_the_hub_says_that_it_was_retention(void **state)
{
    struct record kinds[] = {of_vehicle("retention"), of_hub("retention"), of_hub("retained")};
    kinds[1].stream = SLICE("TWIN_RECORD");
    kinds[1].stream_seq = 7;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        begin(state);
        skip_one();
        add_events(1);
        add(kinds[i], "{\"floor_seq\":2,\"kind\":\"system\",\"type\":\"retention\"}");
        verify(&none);
        assert_bad(1);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup(name, begin)
    const struct CMUnitTest tests[] = {
        TEST(a_key_is_trusted_that_the_one_before_vouches_for),
        TEST(a_key_that_no_trusted_one_vouches_for_is_not_trusted),
        TEST(a_signature_over_another_key_vouches_for_nothing),
        TEST(nobody_but_the_hub_introduces_a_key),
        TEST(keys_that_vehicles_name_leave_room_for_those_of_the_hub),
        TEST(what_is_not_in_a_whole_export_is_found),
        TEST(what_retention_dropped_is_not_missing),
        TEST(of_what_is_missing_the_first_is_named_that_retention_did_not_drop),
        TEST(nobody_but_the_hub_says_that_it_was_retention),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
