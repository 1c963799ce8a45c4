#include "tools/crew_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SAY_AGAIN_NS (20 * NS_PER_MS)   /* after there was no way */
#define LOOK_AGAIN_NS (100 * NS_PER_MS) /* whether it is done */
#define REPEAT_WITHIN_MS 500.0

const char *const crew_words[WORD_COUNT] = {
#define X(id, name) [WORD_##id] = name,
    CREW_WORD_TABLE(X)
#undef X
};

/* ---- life ---- */

struct crew *crew_new(const struct crew_config *config)
{
    uint32_t count = roster_count(config->roster);
    struct crew *crew = calloc(1, sizeof *crew);
    if (!crew)
        return NULL;
    crew->config = *config;
    crew->mates = calloc(count + 1, sizeof *crew->mates);
    crew->parser = doc_parser_new();
    if (!crew->mates || !crew->parser) {
        crew_free(crew);
        return NULL;
    }
    for (uint32_t i = 0; i < count; i++) {
        rng_init(&crew->mates[i].rng, config->seed * UINT64_C(9176263) + i);
        crew->mates[i].goes_offline =
            rng_percent(&crew->mates[i].rng, config->options->offline_pct);
    }
    return crew;
}

void crew_free(struct crew *crew)
{
    if (!crew)
        return;
    for (size_t i = 0; i < crew->order_count; i++) {
        free(crew->orders[i]->type);
        free(crew->orders[i]->params);
        free(crew->orders[i]);
    }
    free(crew->orders);
    free(crew->steps);
    free(crew->mates);
    doc_parser_free(crew->parser);
    buf_done(&crew->text);
    free(crew);
}

const struct crew_counts *crew_counts(const struct crew *crew)
{
    return &crew->counts;
}

/* ---- steps to come ---- */

static bool before(const struct step *a, const struct step *b)
{
    return a->at_ns != b->at_ns ? a->at_ns < b->at_ns : a->number < b->number;
}

/* Without memory a step is lost: the vehicle says nothing more, which it must be able to. */
void crew_plan(struct crew *crew, struct step step)
{
    if (crew->step_count == crew->step_room) {
        size_t room = crew->step_room ? 2 * crew->step_room : CREW_FIRST_ROOM;
        struct step *steps = realloc(crew->steps, room * sizeof *steps);
        if (!steps)
            return;
        crew->steps = steps;
        crew->step_room = room;
    }
    step.number = crew->step_number++;
    step.life = crew->mates[step.vehicle].life;
    size_t at = crew->step_count++;
    for (; at > 0 && before(&step, &crew->steps[(at - 1) / 2]); at = (at - 1) / 2)
        crew->steps[at] = crew->steps[(at - 1) / 2];
    crew->steps[at] = step;
}

static struct step take_step(struct crew *crew)
{
    struct step first = crew->steps[0], last = crew->steps[--crew->step_count];
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child + 1 < crew->step_count && before(&crew->steps[child + 1], &crew->steps[child]))
            child++;
        if (child >= crew->step_count || !before(&crew->steps[child], &last))
            break;
        crew->steps[at] = crew->steps[child];
        at = child;
    }
    crew->steps[at] = last;
    return first;
}

static void plan_order(struct crew *crew, struct order *order, enum step_kind kind,
                       enum crew_word word, int64_t at_ns)
{
    crew_plan(
        crew,
        (struct step){
            .at_ns = at_ns, .order = order, .vehicle = order->vehicle, .kind = kind, .word = word});
}

/* ---- being cut off ---- */

/* When the vehicle's time offline ends; INT64_MAX: never. */
static int64_t offline_end_ns(const struct crew *crew)
{
    const struct crew_options *options = crew->config.options;
    if (options->offline_for_s <= 0)
        return INT64_MAX;
    return after_ms(crew->config.start_ns,
                    (options->offline_from_s + options->offline_for_s) * 1000);
}

bool crew_is_offline(const struct crew *crew, uint32_t vehicle, int64_t now_ns)
{
    const struct mate *mate = &crew->mates[vehicle];
    int64_t from_ns = after_ms(crew->config.start_ns, crew->config.options->offline_from_s * 1000);
    return mate->down || (mate->goes_offline && now_ns >= from_ns && now_ns < offline_end_ns(crew));
}

/* ---- words ---- */

/* Says it, or plans to say it again where there is no way now. */
void crew_say(struct crew *crew, struct order *order, enum crew_word word, bool repeated,
              int64_t now_ns)
{
    struct mate *mate = &crew->mates[order->vehicle];
    buf_reset(&crew->text);
    buf_adds(&crew->text, "{\"cmd_id\":");
    buf_json_cstr(&crew->text, order->cmd_id);
    buf_addf(&crew->text, ",\"status\":\"%s\"", crew_words[word]);
    if (word == WORD_REJECTED || word == WORD_FAILED) {
        buf_adds(&crew->text, ",\"error\":");
        buf_json_cstr(&crew->text, order->refusal.error);
        if (order->refusal.code != CODE_NONE)
            buf_addf(&crew->text, ",\"code\":%d", (int)order->refusal.code);
    }
    buf_addc(&crew->text, '}');
    if (!crew->config.say(crew->config.closure, order->vehicle, order->type, buf_cstr(&crew->text),
                          crew->text.size_bytes)) {
        crew_plan(crew, (struct step){.at_ns = now_ns + SAY_AGAIN_NS,
                                      .order = order,
                                      .vehicle = order->vehicle,
                                      .kind = STEP_SAY,
                                      .word = word,
                                      .repeated = repeated});
        return;
    }
    order->said[word]++;
    crew->counts.said++;
    if (!repeated && rng_percent(&mate->rng, crew->config.options->duplicate_pct))
        crew_plan(crew, (struct step){
                            .at_ns = after_ms(now_ns, rng_between(&mate->rng, 0, REPEAT_WITHIN_MS)),
                            .order = order,
                            .vehicle = order->vehicle,
                            .kind = STEP_SAY,
                            .word = word,
                            .repeated = true});
}

/* A word that holds from now on. */
static void settle(struct crew *crew, struct order *order, enum crew_word word, int64_t now_ns)
{
    order->last = word;
    crew_say(crew, order, word, false, now_ns);
}

static void refuse(struct crew *crew, struct order *order, enum crew_word word, const char *error,
                   enum crew_code code, int64_t now_ns)
{
    snprintf(order->refusal.error, sizeof order->refusal.error, "%s", error);
    order->refusal.code = code;
    settle(crew, order, word, now_ns);
}

/* ---- doing ---- */

static void begun(struct crew *crew, struct order *order, enum crew_act act, int64_t now_ns)
{
    const struct crew_options *options = crew->config.options;
    struct mate *mate = &crew->mates[order->vehicle];
    bool timed = options->complete_ms >= 0 || order->fate == FATE_FAIL;
    double ms =
        options->complete_ms > 0 ? rng_between(&mate->rng, 0.5, 1.5) * options->complete_ms : 0;
    if (order->fate == FATE_MUTE || order->fate == FATE_WORDLESS)
        return;
    if (order->fate == FATE_RESTART)
        plan_order(crew, order, STEP_RESTART, WORD_NONE, after_ms(now_ns, ms));
    else if (timed || act != ACT_BEGUN)
        plan_order(crew, order, STEP_FINISH, WORD_NONE, after_ms(now_ns, ms));
    else
        plan_order(crew, order, STEP_FINISH, WORD_NONE, now_ns + LOOK_AGAIN_NS);
}

/* What the vehicle was doing is done no more. */
static void leave_off(struct crew *crew, struct mate *mate, const struct order *fresh,
                      int64_t now_ns)
{
    struct order *old = mate->doing;
    char error[CREW_ERROR_BYTES];
    mate->doing = NULL;
    if (!old || old == fresh || old->last != WORD_ACCEPTED || old->fate != FATE_OBEY)
        return;
    snprintf(error, sizeof error, "gave way to %.64s", fresh->type);
    refuse(crew, old, WORD_FAILED, error, CODE_CANCELLED, now_ns);
}

static void begin(struct crew *crew, struct order *order, int64_t now_ns)
{
    struct mate *mate = &crew->mates[order->vehicle];
    struct crew_refusal refusal = {.code = CODE_DENIED};
    if (order->fate == FATE_EXPIRED) {
        refuse(crew, order, WORD_REJECTED, "expired", CODE_DENIED, now_ns);
        return;
    }
    if (order->fate == FATE_REFUSE) {
        refuse(crew, order, WORD_REJECTED, "pre-arm check failed: compass not calibrated",
               CODE_TEMPORARILY_REJECTED, now_ns);
        return;
    }
    enum crew_act act = ACT_DONE;
    if (order->fate != FATE_IGNORE) {
        act = crew->config.act(crew->config.closure, order->vehicle, order->type,
                               doc_root(order->params), &refusal);
        if (act == ACT_REFUSED) {
            refuse(crew, order, WORD_REJECTED, refusal.error, refusal.code, now_ns);
            return;
        }
        order->acted++;
        crew->counts.acted++;
        if (crew->config.options->complete_ms < 0 && act != ACT_NOTED)
            leave_off(crew, mate, order, now_ns);
        if (act == ACT_BEGUN)
            mate->doing = order;
    }
    if (order->fate == FATE_WORDLESS)
        return;
    order->last = WORD_ACCEPTED;
    if (!order->disordered)
        crew_say(crew, order, WORD_ACCEPTED, false, now_ns);
    begun(crew, order, act, now_ns);
}

static void finish(struct crew *crew, struct order *order, int64_t now_ns)
{
    struct mate *mate = &crew->mates[order->vehicle];
    bool really = crew->config.options->complete_ms < 0 && order->fate == FATE_OBEY;
    if (order->last != WORD_ACCEPTED)
        return; /* it gave way */
    if (really && mate->doing == order &&
        !crew->config.done(crew->config.closure, order->vehicle)) {
        plan_order(crew, order, STEP_FINISH, WORD_NONE, now_ns + LOOK_AGAIN_NS);
        return;
    }
    if (mate->doing == order)
        mate->doing = NULL;
    if (order->fate == FATE_FAIL)
        refuse(crew, order, WORD_FAILED, "motor temperature too high", CODE_FAILED, now_ns);
    else
        settle(crew, order, WORD_COMPLETED, now_ns);
    if (order->disordered)
        crew_say(crew, order, WORD_ACCEPTED, true, now_ns);
}

static void restart(struct crew *crew, uint32_t vehicle, int64_t now_ns)
{
    struct mate *mate = &crew->mates[vehicle];
    mate->life++;
    mate->down = true;
    mate->doing = NULL;
    crew_plan(crew, (struct step){.at_ns = after_ms(now_ns, crew->config.options->restart_s * 1000),
                                  .vehicle = vehicle,
                                  .kind = STEP_BACK});
    for (struct order *order = mate->newest; order && crew->config.options->forget;
         order = order->older)
        order->known = false;
}

static void take(struct crew *crew, struct step step, int64_t now_ns)
{
    struct mate *mate = &crew->mates[step.vehicle];
    if (step.life != mate->life)
        return;
    if (step.kind == STEP_BACK) {
        mate->down = false;
        crew->config.restart(crew->config.closure, step.vehicle);
        return;
    }
    /* What a vehicle does goes on while nobody hears it; its words wait until it is back. */
    if (step.kind != STEP_RESTART && crew_is_offline(crew, step.vehicle, now_ns)) {
        step.at_ns = offline_end_ns(crew);
        if (step.at_ns != INT64_MAX)
            crew_plan(crew, step);
        return;
    }
    switch (step.kind) {
    case STEP_BEGIN:
        begin(crew, step.order, now_ns);
        break;
    case STEP_FINISH:
        finish(crew, step.order, now_ns);
        break;
    case STEP_SAY:
        crew_say(crew, step.order, step.word, step.repeated, now_ns);
        break;
    case STEP_RESTART:
        restart(crew, step.vehicle, now_ns);
        break;
    case STEP_BACK:
        break;
    }
}

void crew_tick(struct crew *crew, int64_t now_ns)
{
    while (crew->step_count > 0 && crew->steps[0].at_ns <= now_ns)
        take(crew, take_step(crew), now_ns);
}
