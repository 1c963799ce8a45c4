/* record_checkpoint: what is made, published and compared when the database, NATS, the file's
 * folder or memory fail in the middle. */
#include "hub/audit_note.h"
#include "hub/log.h"
#include "hub/record_checkpoint.h"
#include "hub/record_tree.h"
#include "tests/fake/fake_bus.h"
#include "tests/fake/fake_pg.h"
#include "tests/unit/edge_help.h"
#include "tests/unit/fault.h"
#include "tests/unit/key_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define ORIGIN "fleethub/t/r"
#define LAST "FROM log_head) FROM checkpoints"
#define NEWEST_KEY "SELECT vkey FROM signing_keys"
#define NOTE_KEY "INSERT INTO signing_keys"
#define SAVE "INSERT INTO checkpoints"
#define UNPUBLISHED "FROM checkpoints WHERE size >"
#define TILE "SELECT nodes FROM tree_tiles"

static struct config config;
static struct record_signers signers;
static struct record_checkpoint *checkpoint;
static struct record_batch *batch;
static struct pg_params params;
static struct pg_error error;
static struct tree_edge edge;
static char note_text[AUDIT_NOTE_MAX_BYTES];

static void grow(int64_t size)
{
    struct tree_hash leaf = {{1}};
    while (edge.size < size)
        tree_edge_append(&edge, &leaf, NULL, NULL);
}

static int setup_group(void **state)
{
    struct buf pem = BUF_INIT;
    char text[AUDIT_ERROR_BYTES];
    key_folder_make(state);
    assert_true(audit_key_make(&pem, text));
    assert_true(audit_signer_read(pem.data, pem.size_bytes, &signers.current, text));
    buf_done(&pem);
    pg_params_init(&params);
    return 0;
}

static int teardown_group(void **state)
{
    record_signers_done(&signers);
    pg_params_done(&params);
    return key_folder_remove(state);
}

static int setup(void **state)
{
    (void)state;
    fake_pg_reset();
    fake_bus_reset();
    config = (struct config){.env = (char *)(uintptr_t) "t", .region = (char *)(uintptr_t) "r"};
    checkpoint = record_checkpoint_new(&config, fake_bus(), &signers);
    batch = record_batch_new("r");
    tree_edge_init(&edge);
    assert_true(checkpoint && batch);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    record_checkpoint_free(checkpoint);
    record_batch_free(batch);
    return 0;
}

/* The hub becomes the writer of a log that has so many records, and a checkpoint of so many. */
static enum pg_status begin(int64_t records, int64_t checkpointed)
{
    fake_pg_answer(LAST, PG_OK);
    fake_pg_row();
    fake_pg_int(checkpointed);
    fake_pg_int(records);
    return record_checkpoint_begin(checkpoint, fake_pg(), batch, &error);
}

static enum pg_status publish(void)
{
    return record_checkpoint_publish(checkpoint, fake_pg(), batch, &error);
}

static void answer_unpublished(int64_t size)
{
    fake_pg_answer(UNPUBLISHED, PG_OK);
    fake_pg_row();
    fake_pg_int(size);
    fake_pg_text("a note");
}

static void write_note(const char *origin, int64_t size, const struct tree_hash *root,
                       const struct audit_signer *by)
{
    struct buf note = BUF_INIT;
    audit_note_write(&note, origin, size, root, 0);
    if (by)
        assert_true(audit_note_sign(&note, origin, by));
    snprintf(note_text, sizeof note_text, "%s", buf_cstr(&note));
    buf_done(&note);
}

/* ---- keys ---- */

static void a_key_that_others_may_read_is_used_and_one_that_is_none_is_not(void **state)
{
    struct buf pem = BUF_INIT;
    struct record_signers loaded;
    struct audit_keys keys;
    char text[AUDIT_ERROR_BYTES] = "";
    (void)state;
    assert_true(audit_key_make(&pem, text));
    const char *path = key_file(pem.data, pem.size_bytes);
    config.record.signing_key_file = (char *)(uintptr_t)path;
    for (int i = 0; i < 2; i++) {
        assert_int_equal(chmod(path, i ? 0600 : 0644), 0);
        assert_true(record_signers_load(&config, &loaded, text));
        record_signers_keys(&loaded, &keys);
        assert_int_equal(keys.count, 1);
        record_signers_done(&loaded);
    }
    config.record.previous_key_file = key_folder;
    assert_false(record_signers_load(&config, &loaded, text));
    assert_non_null(strstr(text, "record.previous_key_file"));
    assert_null(loaded.current);
    config.record.previous_key_file = NULL;
    config.record.signing_key_file = key_folder;
    assert_false(record_signers_load(&config, &loaded, text));
    buf_done(&pem);
}

/* ---- beginning ---- */

static bool begin_without_memory(void *context)
{
    (void)context;
    struct record_batch *own = record_batch_new("r");
    enum pg_status status =
        own ? record_checkpoint_begin(checkpoint, fake_pg(), own, &error) : PG_FAILED;
    if (status == PG_OK)
        assert_int_equal(record_batch_count(own), 1); /* that says which key signs */
    record_batch_free(own);
    return status == PG_OK;
}

static void a_writer_begins_with_what_it_can_say_on_record(void **state)
{
    (void)state;
    assert_int_equal(begin(5, 3), PG_OK);
    fault_loop(begin_without_memory, NULL);
    fake_pg_reset();
    fake_pg_answer(LAST, PG_LOST);
    assert_int_equal(record_checkpoint_begin(checkpoint, fake_pg(), batch, &error), PG_LOST);
    fake_pg_reset();
    fake_pg_answer(NEWEST_KEY, PG_FAILED);
    assert_int_equal(begin(5, 3), PG_FAILED);
}

/* ---- making ---- */

static bool make_without_memory(void *context)
{
    (void)context;
    struct record_checkpoint *fresh = record_checkpoint_new(&config, fake_bus(), &signers);
    bool made = fresh && record_checkpoint_make(fresh, &edge);
    if (fresh && !made) /* then there is nothing of it to be saved */
        assert_int_equal(record_checkpoint_save(fresh, fake_pg(), &params, &error), PG_OK);
    record_checkpoint_free(fresh);
    return made;
}

static void a_checkpoint_is_made_whole_or_not_at_all(void **state)
{
    (void)state;
    grow(3);
    assert_true(fault_loop(make_without_memory, NULL) >= 3);
    assert_int_equal(fake_pg_asked(SAVE), 0);
}

static void who_is_not_the_writer_has_nothing_due(void **state)
{
    (void)state;
    assert_false(record_checkpoint_full(checkpoint, 1000000));
    assert_false(record_checkpoint_due(checkpoint, 1000000));
    assert_false(record_checkpoint_waiting(checkpoint));
    assert_int_equal(begin(5, 3), PG_OK);
    assert_true(record_checkpoint_waiting(checkpoint));
    assert_false(record_checkpoint_due(checkpoint, 3));
    assert_true(record_checkpoint_full(checkpoint, 3 + RECORD_CHECKPOINT_RECORDS));
}

static void a_transaction_takes_no_more_checkpoints_than_it_has_room_for(void **state)
{
    enum { MADE = RECORD_BATCH_ROWS / RECORD_CHECKPOINT_RECORDS + 2 };
    (void)state;
    grow(1);
    assert_int_equal(begin(0, 0), PG_OK);
    record_checkpoint_batch(checkpoint);
    for (int i = 0; i < MADE + 3; i++)
        assert_true(record_checkpoint_make(checkpoint, &edge));
    assert_int_equal(record_checkpoint_save(checkpoint, fake_pg(), &params, &error), PG_OK);
    fake_pg_answer(NOTE_KEY, PG_LOST);
    assert_int_equal(record_checkpoint_save(checkpoint, fake_pg(), &params, &error), PG_LOST);
    assert_int_equal(fake_pg_asked(SAVE), 1);
}

static void a_tree_that_gets_no_checkpoint_for_want_of_memory_fails_its_batch(void **state)
{
    struct record_tree *tree = record_tree_new();
    uint8_t hash[RECORD_HASH_BYTES] = {7};
    (void)state;
    assert_int_equal(begin(RECORD_CHECKPOINT_RECORDS - 1, 0), PG_OK);
    record_tree_checkpoints(tree, checkpoint);
    grow(RECORD_CHECKPOINT_RECORDS - 1);
    answer_edge(&edge);
    assert_int_equal(record_tree_begin(tree, fake_pg(), 1, edge.size, &error), PG_OK);
    fault_arm(1, FAULT_FROM_THEN);
    bool appended = record_tree_append(tree, hash); /* the thousandth: one is made at once */
    assert_true(fault_disarm());
    assert_false(appended);
    record_tree_free(tree);
}

static void a_tree_that_gets_no_last_checkpoint_fails_its_batch_too(void **state)
{
    struct record_tree *tree = record_tree_new();
    uint8_t hash[RECORD_HASH_BYTES] = {7};
    (void)state;
    record_tree_checkpoints(tree, checkpoint);
    answer_edge(&edge);
    assert_int_equal(begin(0, 0), PG_OK); /* checkpoint_s is 0: each batch gets one */
    assert_int_equal(record_tree_begin(tree, fake_pg(), 1, 0, &error), PG_OK);
    assert_true(record_tree_append(tree, hash));
    pg_params_reset(&params);
    fault_arm(1, FAULT_FROM_THEN);
    enum pg_status status = record_tree_save(tree, fake_pg(), &params, &error);
    assert_true(fault_disarm());
    assert_int_equal(status, PG_FAILED);
    assert_string_equal(error.text, "no memory");
    record_tree_free(tree);
}

/* ---- the file ---- */

static void commit_one(void)
{
    grow(edge.size + 1);
    record_checkpoint_batch(checkpoint);
    assert_true(record_checkpoint_make(checkpoint, &edge));
    record_checkpoint_committed(checkpoint, edge.size);
}

static void a_file_that_cannot_be_written_leaves_the_old_one_and_the_hub_goes_on(void **state)
{
    char path[128], blocked[160];
    (void)state;
    fake_bus_stores(BUS_OK, false);
    assert_int_equal(begin(1, 0), PG_OK);
    config.record.checkpoint_file = (char *)(uintptr_t) "/nowhere/at/all";
    commit_one();
    assert_int_equal(publish(), PG_OK);
    /* The new one stands beside the old: here it is a device that is full, and a folder is in the
     * old one's place. */
    snprintf(path, sizeof path, "%s/checkpoint", key_folder);
    snprintf(blocked, sizeof blocked, "%s.new", path);
    config.record.checkpoint_file = path;
    assert_int_equal(symlink("/dev/full", blocked), 0);
    commit_one();
    assert_int_equal(publish(), PG_OK);
    assert_int_not_equal(access(path, F_OK), 0);
    unlink(blocked);
    assert_int_equal(mkdir(path, 0700), 0);
    commit_one();
    assert_int_equal(publish(), PG_OK);
    rmdir(path);
    commit_one();
    assert_int_equal(publish(), PG_OK);
    assert_int_equal(access(path, F_OK), 0);
    unlink(path);
    unlink(blocked);
}

/* ---- publishing ---- */

static void what_the_broker_does_not_take_is_published_later(void **state)
{
    (void)state;
    for (int i = 0; i < 5; i++) {
        teardown(NULL);
        setup(NULL);
        assert_int_equal(begin(5, 5), PG_OK);
        answer_unpublished(5);
        if (i == 0)
            fake_bus_no_outbox(true);
        else if (i == 1)
            fake_bus_stores(BUS_FULL, false);
        else if (i == 2)
            fake_bus_stores(BUS_TIMEOUT, true);
        else if (i == 3)
            fake_bus_unanswered(true);
        else
            fake_bus_last(BUS_DISCONNECTED, NULL); /* nobody says what was published */
        assert_int_equal(publish(), PG_OK);
        assert_int_equal(publish(), PG_OK); /* it rests for a while */
        assert_int_equal(fake_pg_asked(UNPUBLISHED), i < 4);
        fake_bus_reset();
        assert_int_equal(begin(5, 5), PG_OK); /* the next writer does it */
        assert_int_equal(publish(), PG_OK);
        assert_int_equal(fake_bus_stored(), 1);
    }
    fake_pg_reset();
    fake_pg_answer(UNPUBLISHED, PG_LOST);
    assert_int_equal(begin(5, 5), PG_OK);
    assert_int_equal(publish(), PG_LOST);
}

static void what_somebody_else_put_there_proves_nothing(void **state)
{
    struct tree_hash root = {{9}};
    (void)state;
    static const char *const origins[] = {"fleethub/t/q", "fleethub/t"};
    for (int i = 0; i < 4; i++) {
        if (i < 2)
            write_note(origins[i], 3, &root, signers.current);
        else if (i == 2)
            write_note(ORIGIN, 3, &root, NULL);
        else
            strcpy(note_text, "no note");
        fake_bus_last(BUS_OK, note_text);
        assert_int_equal(begin(5, 5), PG_OK);
        record_batch_reset(batch);
        assert_int_equal(publish(), PG_OK);
        assert_int_equal(record_batch_count(batch), 0);
    }
}

static bool notice_without_memory(void *context)
{
    (void)context;
    struct record_batch *own = record_batch_new("r");
    enum pg_status status =
        own ? record_checkpoint_begin(checkpoint, fake_pg(), own, &error) : PG_FAILED;
    if (status == PG_OK)
        status = record_checkpoint_publish(checkpoint, fake_pg(), own, &error);
    if (status == PG_OK)
        assert_int_equal(record_batch_count(own), 2); /* the key, and that it is not the one */
    record_batch_free(own);
    return status == PG_OK;
}

static void an_archive_that_is_not_the_one_published_is_noticed_and_no_other(void **state)
{
    struct tree_hash root;
    (void)state;
    grow(1056); /* 32 full tiles and one more */
    tree_edge_root(&edge, &root);
    write_note(ORIGIN, edge.size, &root, signers.current);
    fake_bus_last(BUS_OK, note_text);
    answer_edge(&edge);
    assert_int_equal(begin(1056, 1056), PG_OK);
    record_batch_reset(batch);
    assert_int_equal(publish(), PG_OK);
    assert_int_equal(record_batch_count(batch), 0);
    /* Another root; more than there is; a tile that is not there. */
    for (int i = 0; i < 3; i++) {
        root.bytes[0] ^= i == 0;
        write_note(ORIGIN, i == 0 ? 1056 : i == 1 ? 2000 : 40, &root, signers.current);
        fake_bus_last(BUS_OK, note_text);
        assert_int_equal(begin(1056, 1056), PG_OK);
        record_batch_reset(batch);
        assert_int_equal(publish(), PG_OK);
        assert_int_equal(record_batch_count(batch), 1);
    }
    fault_loop(notice_without_memory, NULL);
    /* A server that is gone, or will not look, says nothing about the archive. */
    static const enum pg_status statuses[] = {PG_LOST, PG_FAILED};
    for (size_t i = 0; i < 2; i++) {
        fake_pg_answer(TILE, statuses[i]);
        assert_int_equal(begin(1056, 1056), PG_OK);
        record_batch_reset(batch);
        assert_int_equal(publish(), statuses[i]);
        assert_int_equal(record_batch_count(batch), 0);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_key_that_others_may_read_is_used_and_one_that_is_none_is_not),
        TEST(a_writer_begins_with_what_it_can_say_on_record),
        TEST(a_checkpoint_is_made_whole_or_not_at_all),
        TEST(who_is_not_the_writer_has_nothing_due),
        TEST(a_transaction_takes_no_more_checkpoints_than_it_has_room_for),
        TEST(a_tree_that_gets_no_checkpoint_for_want_of_memory_fails_its_batch),
        TEST(a_tree_that_gets_no_last_checkpoint_fails_its_batch_too),
        TEST(a_file_that_cannot_be_written_leaves_the_old_one_and_the_hub_goes_on),
        TEST(what_the_broker_does_not_take_is_published_later),
        TEST(what_somebody_else_put_there_proves_nothing),
        TEST(an_archive_that_is_not_the_one_published_is_noticed_and_no_other),
    };
    log_setup((enum log_level)(LOG_ERROR + 1), false);
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
