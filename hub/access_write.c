/* Making and taking away tokens and grants (hub/access.h). */
#include "hub/access_impl.h"

#include "hub/clock.h"
#include "hub/cursor.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

enum {
    ID_RANDOM_BYTES = 8,
    SECRET_RANDOM_BYTES = 32,
    STEP_MS = 2,
    NEXT_MS = 10,
    STORED_DEPTH = 4,
};

/* Who knows an id has nothing yet, so that it may be foreseen by whoever chose the key. */
static bool derive_id(const struct access_entry *entry, const char *actor, const char *key,
                      uint8_t id[ID_RANDOM_BYTES])
{
    uint8_t hash[RECORD_HASH_BYTES];
    struct buf text = BUF_INIT;
    buf_addf(&text, "%d/", (int)entry->kind);
    buf_add(&text, actor, strlen(actor) + 1);
    buf_adds(&text, key);
    bool made = !text.failed;
    if (made) {
        record_sha256(text.data, text.size_bytes, hash);
        memcpy(id, hash, ID_RANDOM_BYTES);
    }
    buf_done(&text);
    return made;
}

bool access_mint(struct access_entry *entry, const char *actor, const char *key,
                 char token[ACCESS_TOKEN_BYTES])
{
    uint8_t id[ID_RANDOM_BYTES], secret[SECRET_RANDOM_BYTES];
    struct buf text = BUF_INIT;
    if (RAND_bytes(id, sizeof id) != 1 || RAND_bytes(secret, sizeof secret) != 1)
        return false;
    if (key && !derive_id(entry, actor, key, id))
        return false;
    for (size_t i = 0; i < sizeof id; i++)
        snprintf(entry->id + 2 * i, 3, "%02x", id[i]);
    token[0] = '\0';
    if (entry->kind == ACCESS_GRANT)
        return true;
    cursor_base64url(&text, secret, sizeof secret);
    bool made = !text.failed;
    if (made) {
        record_sha256(text.data, text.size_bytes, entry->secret_hash);
        snprintf(token, ACCESS_TOKEN_BYTES, "fh_%s_%s", entry->id, buf_cstr(&text));
    }
    buf_done(&text);
    return made;
}

enum bus_status access_stored(struct bus *bus, const struct access_entry *entry,
                              struct access_entry **stored, struct bus_error *error)
{
    char subject[STREAMS_SUBJECT_BYTES], why[256] = "";
    struct bus_stored found = {0};
    struct doc_ref value;
    struct doc_limits limits = {DOC_MAX_BYTES, STORED_DEPTH};
    *stored = NULL;
    enum bus_status status =
        bus_get_last(bus, streams_name(TWIN_ACCESS),
                     access_subject(entry->kind, entry->id, subject), &found, error);
    if (status != BUS_OK)
        return status;
    struct doc_parser *parser = doc_parser_new();
    enum doc_error parsed =
        parser ? doc_parse(parser, found.data, found.size, limits, &value) : DOC_NO_MEMORY;
    if (parsed == DOC_OK)
        *stored = access_entry_read(entry->kind, entry->id, value, why);
    doc_parser_free(parser);
    bus_stored_done(&found);
    if (parsed != DOC_NO_MEMORY && (*stored || strcmp(why, RIGHTS_NO_MEMORY) != 0))
        return BUS_OK;
    snprintf(error->text, sizeof error->text, RIGHTS_NO_MEMORY);
    return BUS_TIMEOUT;
}

enum bus_status access_write(struct access *access, struct bus *bus,
                             const struct access_entry *entry, bool removed,
                             const struct access_by *by, struct bus_error *error)
{
    char subject[STREAMS_SUBJECT_BYTES];
    struct buf value = BUF_INIT;
    uint64_t seq;
    if (!removed)
        access_entry_write(&value, entry);
    struct bus_store what = {.subject = access_subject(entry->kind, entry->id, subject),
                             .data = removed ? "" : value.data,
                             .size = removed ? 0 : value.size_bytes,
                             .expected_last_of_subject = removed ? BUS_ANY_SEQ : 0,
                             .headers = {{ACCESS_HEADER_ACTOR, by->actor}}};
    size_t headers = 1; /* the first without a name ends them */
    if (by->request_id)
        what.headers[headers++] = (struct bus_header){ACCESS_HEADER_REQUEST, by->request_id};
    if (by->remote)
        what.headers[headers++] = (struct bus_header){ACCESS_HEADER_REMOTE, by->remote};
    if (removed)
        what.headers[headers] = (struct bus_header){"KV-Operation", "DEL"};
    enum bus_status status = BUS_TIMEOUT;
    if (value.failed)
        snprintf(error->text, sizeof error->text, RIGHTS_NO_MEMORY);
    else
        status = bus_store(bus, &what, ACCESS_WRITE_MS / 2, &seq, error);
    buf_done(&value);
    for (int ms = 0; status == BUS_OK && access && atomic_load(&access->applied_seq) < seq;
         ms += STEP_MS) {
        if (ms >= ACCESS_WRITE_MS / 2) {
            snprintf(error->text, sizeof error->text, "it is written, and not in force here yet");
            return BUS_TIMEOUT;
        }
        clock_pause_ms(STEP_MS);
    }
    return status;
}

enum bus_status access_count_stored(struct bus *bus, int timeout_ms, size_t *count,
                                    struct bus_error *error)
{
    struct bus_consume what = {.stream = streams_name(TWIN_ACCESS),
                               .filter = "$KV.TWIN_ACCESS.auth.>",
                               .from = BUS_FROM_LAST_PER};
    struct bus_consumer *consumer = NULL;
    struct bus_stream_info info;
    int64_t until_ms = clock_mono_ms() + timeout_ms;
    *count = 0;
    enum bus_status status = bus_consume(bus, &what, &consumer, &info, error);
    while (status == BUS_OK && !bus_caught_up(consumer)) {
        struct bus_msg msg;
        if (clock_mono_ms() >= until_ms) {
            snprintf(error->text, sizeof error->text, "it is not read within %d ms", timeout_ms);
            status = BUS_TIMEOUT;
        } else if (bus_next(consumer, NEXT_MS, &msg) == BUS_OK) {
            *count += bus_msg_header(&msg, "KV-Operation") == NULL;
            bus_msg_done(&msg);
        }
    }
    bus_consumer_close(consumer);
    return status;
}
