#include "hub/record_reuse.h"

#include "hub/utf8.h"

#include <stdlib.h>
#include <string.h>

/* A place for each hash of vehicle and message id; who comes later has it. */
struct slot {
    uint64_t tag; /* the rest of the hash; 0: empty */
    uint8_t first[RECORD_ID_BYTES];
};

struct record_reuse {
    struct slot slots[RECORD_REUSE_SLOTS];
    struct buf key, data;
};

struct record_reuse *record_reuse_new(void)
{
    return calloc(1, sizeof(struct record_reuse));
}

void record_reuse_free(struct record_reuse *reuse)
{
    if (!reuse)
        return;
    buf_done(&reuse->key);
    buf_done(&reuse->data);
    free(reuse);
}

static bool readable(const char *text, size_t size)
{
    size_t taken;
    if (size > RECORD_MSG_ID_MAX_BYTES)
        return false;
    for (size_t at = 0; at < size; at += taken) {
        uint32_t character = utf8_next(text + at, size - at, &taken);
        if (character == UTF8_BAD || utf8_is_control(character))
            return false;
    }
    return true;
}

static void write_data(struct buf *data, const char *msg_id, const uint8_t first[RECORD_ID_BYTES],
                       const uint8_t second[RECORD_ID_BYTES])
{
    char text[RECORD_ID_TEXT_BYTES];
    size_t size = strlen(msg_id);
    buf_reset(data);
    buf_adds(data, "{\"message_id\":");
    buf_json_cstr(data, readable(msg_id, size) ? msg_id : NULL);
    record_id_format(first, text);
    buf_addf(data, ",\"first\":\"%s\"", text);
    record_id_format(second, text);
    buf_addf(data, ",\"second\":\"%s\"}", text);
}

static void fill_flag(struct record_reuse *reuse, const struct record *made, const char *msg_id,
                      const uint8_t first[RECORD_ID_BYTES], struct record *flag)
{
    static const char type[] = "message_id_reused";
    uint8_t key[2 * RECORD_ID_BYTES];
    write_data(&reuse->data, msg_id, first, made->id);
    memcpy(key, first, RECORD_ID_BYTES);
    memcpy(key + RECORD_ID_BYTES, made->id, RECORD_ID_BYTES);
    record_init(flag);
    record_id_of(RECORD_SYSTEM, key, sizeof key, flag->id);
    flag->kind = RECORD_SYSTEM;
    flag->severity = SEVERITY_WARNING;
    flag->vid = made->vid;
    flag->type = (struct slice){type, sizeof type - 1};
    flag->received_ns = made->received_ns;
    flag->stream = made->stream;
    flag->stream_seq = made->stream_seq;
    flag->data = (struct slice){reuse->data.data, reuse->data.size_bytes};
}

bool record_reuse_look(struct record_reuse *reuse, const struct record *made, const char *msg_id,
                       struct record *flag)
{
    uint8_t hash[RECORD_ID_BYTES];
    uint64_t place, tag;
    if (!msg_id || *msg_id == '\0' || !made->vid.at)
        return false;
    buf_reset(&reuse->key);
    buf_add(&reuse->key, made->stream.at, made->stream.size);
    buf_addc(&reuse->key, '\0');
    buf_add(&reuse->key, made->vid.at, made->vid.size);
    buf_addc(&reuse->key, '\0');
    buf_adds(&reuse->key, msg_id);
    if (reuse->key.failed)
        return false;
    record_id_of(RECORD_SYSTEM, reuse->key.data, reuse->key.size_bytes, hash);
    memcpy(&place, hash, sizeof place);
    memcpy(&tag, hash + sizeof place, sizeof tag);
    tag |= 1;
    struct slot *slot = &reuse->slots[place % RECORD_REUSE_SLOTS];
    if (slot->tag != tag) {
        slot->tag = tag;
        memcpy(slot->first, made->id, RECORD_ID_BYTES);
        return false;
    }
    if (memcmp(slot->first, made->id, RECORD_ID_BYTES) == 0)
        return false;
    fill_flag(reuse, made, msg_id, slot->first, flag);
    return !reuse->data.failed;
}
