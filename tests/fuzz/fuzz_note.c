/* Checkpoints and keys from files: any bytes are read or refused, and what is read of a note means
 * the same when only that is read again. */
#include "hub/audit_note.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void check_notes(const char *text, size_t size)
{
    static struct audit_keys keys = {.count = 1, .keys = {{.public = {1, 2, 3}, .name = ""}}};
    struct audit_note note, again;
    const char *reason;
    size_t used, used_again;
    while (size > 0 && audit_note_parse(text, size, &note, &used, &reason)) {
        REQUIRE(used > 0 && used <= size && note.whole.size <= used);
        REQUIRE(note.size >= 0 && note.size <= TREE_SIZE_MAX);
        REQUIRE(audit_note_parse(note.whole.at, note.whole.size, &again, &used_again, &reason));
        REQUIRE(used_again == note.whole.size && again.size == note.size &&
                again.time_ns == note.time_ns && again.signature_count == note.signature_count);
        REQUIRE(audit_note_trust(&note, &keys) != AUDIT_TRUSTED);
        text += used;
        size -= used;
    }
}

static void check_keys(const char *text, size_t size)
{
    static struct audit_keys keys;
    char error[AUDIT_ERROR_BYTES] = "";
    keys.count = 0;
    if (!audit_keys_parse(&keys, text, size, error)) {
        REQUIRE(error[0] != '\0');
        return;
    }
    REQUIRE(keys.count <= AUDIT_KEYS_MAX);
    for (int i = 0; i < keys.count; i++) {
        struct buf out = BUF_INIT;
        struct audit_key again;
        if (keys.keys[i].name[0] == '\0')
            continue;
        audit_vkey_write(&out, keys.keys[i].name, keys.keys[i].public);
        REQUIRE(audit_vkey_read(out.data, out.size_bytes, &again));
        REQUIRE(strcmp(again.name, keys.keys[i].name) == 0);
        buf_done(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    check_notes((const char *)data, size);
    check_keys((const char *)data, size);
    return 0;
}
