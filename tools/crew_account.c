/* crew: what each vehicle did, in the end. */
#include "tools/crew_impl.h"

static const char *const fates[FATE_COUNT] = {[FATE_OBEY] = "obey",
                                              [FATE_EXPIRED] = "expired",
#define X(id, name, help) [FATE_##id] = name,
                                              CREW_FATE_TABLE(X)
#undef X
};

static void write_order(const struct crew *crew, const struct order *order, struct buf *out)
{
    const char *comma = "";
    buf_adds(out, "{\"vid\":");
    buf_json_cstr(out, roster_vid(crew->config.roster, order->vehicle));
    buf_adds(out, ",\"cmd_id\":");
    buf_json_cstr(out, order->cmd_id);
    buf_adds(out, ",\"type\":");
    buf_json_cstr(out, order->type);
    buf_addf(out, ",\"fate\":\"%s\",\"heard\":%u,\"acted\":%u,\"acks\":{", fates[order->fate],
             order->heard, order->acted);
    for (int word = WORD_NONE + 1; word < WORD_COUNT; word++) {
        if (order->said[word] == 0)
            continue;
        buf_addf(out, "%s\"%s\":%u", comma, crew_words[word], order->said[word]);
        comma = ",";
    }
    buf_adds(out, "},\"outcome\":");
    buf_json_cstr(out, order->last != WORD_NONE ? crew_words[order->last] : NULL);
    bool refused = order->last == WORD_REJECTED || order->last == WORD_FAILED;
    buf_adds(out, ",\"error\":");
    buf_json_cstr(out, refused ? order->refusal.error : NULL);
    if (refused && order->refusal.code != CODE_NONE)
        buf_addf(out, ",\"code\":%d}\n", (int)order->refusal.code);
    else
        buf_adds(out, ",\"code\":null}\n");
}

void crew_write_account(const struct crew *crew, struct buf *out)
{
    for (size_t i = 0; i < crew->order_count; i++)
        write_order(crew, crew->orders[i], out);
}
