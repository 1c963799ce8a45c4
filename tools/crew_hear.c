/* crew: what vehicles hear, and what is to become of it. */
#include "tools/crew_impl.h"

#include "twin/envelope.h"

#include <stdlib.h>
#include <string.h>

static struct order *order_new(struct crew *crew, uint32_t vehicle, struct slice cmd_id,
                               struct slice type)
{
    if (crew->order_count == crew->order_room) {
        size_t room = crew->order_room ? 2 * crew->order_room : CREW_FIRST_ROOM;
        struct order **orders = realloc(crew->orders, room * sizeof(struct order *));
        if (!orders)
            return NULL;
        crew->orders = orders;
        crew->order_room = room;
    }
    struct order *order = calloc(1, sizeof *order + cmd_id.size + 1);
    char *copy = strndup(type.at, type.size);
    if (!order || !copy || crew->order_count >= CREW_ORDERS_MAX) {
        free(order);
        free(copy);
        return NULL;
    }
    memcpy(order->cmd_id, cmd_id.at, cmd_id.size);
    order->type = copy;
    order->vehicle = vehicle;
    order->older = crew->mates[vehicle].newest;
    crew->mates[vehicle].newest = order;
    crew->orders[crew->order_count++] = order;
    return order;
}

static enum crew_fate draw(struct crew *crew, struct mate *mate)
{
    double drawn = rng_unit(&mate->rng) * 100;
    for (int fate = FATE_OBEY + 1; fate < FATE_COUNT; fate++) {
        double pct = crew->config.options->fate_pct[fate];
        if (drawn < pct)
            return (enum crew_fate)fate;
        drawn -= pct;
    }
    return FATE_OBEY;
}

static void obey(struct crew *crew, struct order *order, bool expired, int64_t now_ns)
{
    struct mate *mate = &crew->mates[order->vehicle];
    double latency_ms = rng_between(&mate->rng, 0.5, 1.5) * crew->config.options->latency_ms;
    order->known = true;
    order->fate = expired ? FATE_EXPIRED : draw(crew, mate);
    order->disordered =
        order->fate == FATE_OBEY && rng_percent(&mate->rng, crew->config.options->disorder_pct);
    if (order->fate != FATE_SILENT)
        crew_plan(crew, (struct step){.at_ns = after_ms(now_ns, latency_ms),
                                      .order = order,
                                      .vehicle = order->vehicle,
                                      .kind = STEP_BEGIN});
}

static struct slice text_of(struct doc_ref value)
{
    struct slice text = {NULL, 0};
    if (doc_is(value, DOC_STRING))
        text.at = doc_string(value, &text.size);
    return text;
}

/* A good command for a vehicle of ours; false where it is anything else. */
static bool read_command(struct crew *crew, const char *subject, const char *payload, size_t size,
                         struct envelope *envelope, uint32_t *vehicle, struct slice *cmd_id)
{
    if (envelope_parse(crew->parser, subject, payload, size, ENVELOPE_MAX_BYTES_DEFAULT,
                       envelope) != REFUSAL_NONE ||
        envelope->subject.category != CATEGORY_COMMAND)
        return false;
    *vehicle =
        roster_find(crew->config.roster, envelope->subject.vid.at, envelope->subject.vid.size);
    *cmd_id = text_of(doc_getz(envelope->data, "cmd_id"));
    return *vehicle != ROSTER_NONE && cmd_id->size > 0 && !memchr(cmd_id->at, '\0', cmd_id->size);
}

void crew_hear(struct crew *crew, const char *subject, const char *payload, size_t size,
               int64_t now_ns, int64_t real_ns)
{
    struct envelope envelope;
    struct slice cmd_id;
    uint32_t vehicle;
    int64_t expires_ns;
    if (!read_command(crew, subject, payload, size, &envelope, &vehicle, &cmd_id)) {
        crew->counts.strange++;
        return;
    }
    struct mate *mate = &crew->mates[vehicle];
    if (crew_is_offline(crew, vehicle, now_ns)) {
        crew->counts.unheard++;
        return;
    }
    crew->counts.heard++;
    struct order *order = mate->newest;
    while (order && (strlen(order->cmd_id) != cmd_id.size ||
                     memcmp(order->cmd_id, cmd_id.at, cmd_id.size) != 0))
        order = order->older;
    if (order && order->known) {
        order->heard++;
        crew->counts.repeated++;
        if (order->last != WORD_NONE && order->fate != FATE_WORDLESS)
            crew_say(crew, order, order->last, true, now_ns);
        return;
    }
    if (!order) {
        order = order_new(crew, vehicle, cmd_id, envelope.subject.type);
        struct doc_ref params = doc_getz(envelope.data, "params");
        if (!order)
            return;
        order->params = doc_exists(params) ? doc_copy(params) : NULL;
    }
    order->heard++;
    struct slice expires = text_of(doc_getz(envelope.data, "expires_at"));
    bool expired = expires.at && timestamp_parse(expires.at, expires.size, &expires_ns) &&
                   real_ns >= expires_ns;
    obey(crew, order, expired, now_ns);
}
