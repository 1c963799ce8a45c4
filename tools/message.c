#include "tools/message.h"

#include <string.h>

static const char *const CATEGORY_TOKENS[CATEGORY_COUNT] = {
    [CATEGORY_STATE] = "state",
    [CATEGORY_EVENT] = "evt",
    [CATEGORY_COMMAND] = "cmd",
    [CATEGORY_ACK] = "cmdack",
};

enum { TYPE_TOKENS_MAX = 4 };

const char *category_token(enum category category)
{
    return CATEGORY_TOKENS[category];
}

static bool type_valid(const char *type)
{
    for (int tokens = 1; tokens <= TYPE_TOKENS_MAX; tokens++) {
        size_t size = strcspn(type, ".");
        if (!token_valid(type, size))
            return false;
        if (type[size] == '\0')
            return true;
        type += size + 1;
    }
    return false;
}

bool message_kind_parse(const char *text, enum category *category, const char **type)
{
    static const enum category own[] = {CATEGORY_STATE, CATEGORY_EVENT, CATEGORY_ACK};
    size_t size = strcspn(text, ".");

    if (text[size] == '\0' || !type_valid(text + size + 1))
        return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++) {
        const char *token = CATEGORY_TOKENS[own[i]];
        if (strlen(token) == size && memcmp(token, text, size) == 0) {
            *category = own[i];
            *type = text + size + 1;
            return true;
        }
    }
    return false;
}

void message_write(struct buf *buf, const struct message *message)
{
    buf_adds(buf, "{\"vid\":\"");
    buf_adds(buf, message->vid);
    buf_adds(buf, "\",\"timestamp\":\"");
    buf_adds(buf, message->timestamp);
    buf_adds(buf, "\",\"boot\":\"");
    buf_adds(buf, message->boot);
    buf_adds(buf, "\",\"seq\":");
    buf_json_int(buf, (int64_t)message->seq);
    buf_adds(buf, ",\"data\":");
    buf_add(buf, message->data, message->data_bytes);
    buf_addc(buf, '}');
}

void message_subject(struct buf *buf, const char *env, const char *vid, enum category category,
                     const char *type)
{
    buf_adds(buf, "fleet.");
    buf_adds(buf, env);
    buf_adds(buf, ".veh.");
    buf_adds(buf, vid);
    buf_addc(buf, '.');
    buf_adds(buf, CATEGORY_TOKENS[category]);
    buf_addc(buf, '.');
    buf_adds(buf, type);
}
