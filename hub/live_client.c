/* One client's turn: which vehicles it is told of, and with what ids. hub/live.h says what holds.
 */
#include "hub/live_impl.h"

#include "hub/clock.h"

#include <stdlib.h>
#include <string.h>

enum { AWAIT_MS = 10 }; /* between two looks whether this hub has caught up */

static void move_mark(struct live_mark **to, struct live_mark **from)
{
    live_mark_unref(*to);
    *to = *from;
    *from = NULL;
}

void live_client_done(struct live_client *client)
{
    live_mark_unref(client->done);
    live_mark_unref(client->target);
    query_done(&client->query);
    fields_free(client->fields);
    live_watch_done(&client->filter_watch);
    live_watch_done(&client->fields_watch);
    live_set_done(&client->members);
    live_set_done(&client->passed);
    free(client->resume);
    buf_done(&client->out);
}

static bool is_over(struct live_turn *turn)
{
    return turn->out->size_bytes >= turn->room || turn->judged >= TURN_JUDGED_MAX ||
           turn->looked >= TURN_LOOKED_MAX || turn->failed || turn->out->failed ||
           (turn->judged % CHECK_GONE_EVERY == 0 && atomic_load(&turn->client->gone));
}

/* ---- events ---- */

/* Whether a client with the id of an event sent now would have to begin anew. */
static bool is_unfinished(const struct live_client *client)
{
    if (client->stage == STAGE_RESUME) /* what was judged at a third time is in no id */
        return client->timed && client->resume->judged_ns[0] != client->resume->judged_ns[1];
    return client->regrouped || client->stage == STAGE_BEGIN || client->stage == STAGE_SNAPSHOT;
}

static void write_id(struct live_turn *turn, const struct live_mark *mark)
{
    const struct live_client *client = turn->client;
    struct live_id id = {
        .sweep = mark->sweep,
        .unfinished = is_unfinished(client),
        .timed = client->timed,
        .judged_ns = {client->judged_ns[0], client->judged_ns[1]},
    };
    memcpy(id.digest, client->digest, sizeof id.digest);
    memcpy(id.told, client->told, sizeof id.told);
    id.position = mark->position;
    id.aged_ns = broker_clock_latest(turn->live->options.clock);
    if (client->aged_ns > id.aged_ns)
        id.aged_ns = client->aged_ns;
    buf_adds(turn->out, "\nid: ");
    live_id_write(turn->out, mark->text, &id);
}

static void begin_event(struct live_turn *turn, enum live_label event, const struct live_mark *mark)
{
    static const char *const names[LIVE_LABELS] = {"enter", "update", "leave", "ready", "reset"};
    buf_adds(turn->out, "event: ");
    buf_adds(turn->out, names[event]);
    write_id(turn, mark);
    buf_adds(turn->out, "\ndata: ");
    metrics_inc(METRIC_LIVE_EVENTS, event);
}

static void end_event(struct live_turn *turn)
{
    buf_adds(turn->out, "\n\n");
}

/* The event tells of all that the vehicle was heard of by now, which its position may not say. */
static void note_told(struct live_turn *turn, uint32_t index)
{
    const struct store *store = turn->live->options.store;
    for (size_t i = 0; position_stream(i) != STREAM_LABELS; i++) {
        enum stream_label stream = position_stream(i);
        struct position *told = &turn->client->told[stream];
        uint64_t heard = store_heard(store, index, stream);
        int64_t epoch_ns = heard ? store_position(store, stream).epoch_ns : 0;
        bool same = told->epoch_ns / NS_PER_MS == epoch_ns / NS_PER_MS;
        if (heard && (heard > told->seq || !same))
            *told = (struct position){.epoch_ns = epoch_ns, .seq = heard};
    }
}

void live_send_twin(struct live_turn *turn, enum live_label event, const struct live_mark *mark,
                    uint32_t index, const struct twin *twin)
{
    const struct live_client *client = turn->client;
    note_told(turn, index);
    struct twin_view view = {client->query.viewer, turn->live->options.region, false};
    begin_event(turn, event, mark);
    if (event == LIVE_LEAVE) {
        buf_adds(turn->out, "{\"vid\":");
        buf_json_cstr(turn->out, twin->vid);
        buf_addc(turn->out, '}');
    } else if (client->fields) {
        fields_write(turn->out, client->fields, twin, &view);
    } else {
        twin_write(turn->out, twin, &view);
    }
    end_event(turn);
    turn->client->pass_sent = true;
}

static void send_ready(struct live_turn *turn)
{
    begin_event(turn, LIVE_READY, turn->client->done);
    buf_adds(turn->out, "{}");
    end_event(turn);
}

static void send_reset(struct live_turn *turn, const char *reason)
{
    begin_event(turn, LIVE_RESET, turn->client->target);
    buf_adds(turn->out, "{\"reason\":");
    buf_json_cstr(turn->out, reason);
    buf_addc(turn->out, '}');
    end_event(turn);
}

/* ---- one vehicle ---- */

void live_hold(struct live_turn *turn, uint32_t index)
{
    turn->failed = turn->failed || !live_set_add(&turn->client->members, index);
}

static void let_go(struct live_turn *turn, uint32_t index)
{
    turn->failed = turn->failed || !live_set_remove(&turn->client->members, index);
}

/* An update that touches none of the fields says nothing. */
bool live_worth_telling(struct live_turn *turn, uint32_t index, const struct twin *twin)
{
    const struct live_client *client = turn->client;
    return !client->fields || live_watch_touched(&client->fields_watch, turn->live->options.store,
                                                 index, twin, &turn->seen);
}

/* Tells of the vehicle as it is now, where the client does not know. True where it was told. */
static bool judge(struct live_turn *turn, uint32_t index, bool changed,
                  const struct live_mark *mark)
{
    const struct live_client *client = turn->client;
    const struct twin *twin = store_at(turn->live->options.store, index);
    bool selected = query_selects(&client->query, twin);
    bool has = live_set_has(&client->members, index);
    turn->judged++;
    if (selected && !has) {
        live_hold(turn, index);
        live_send_twin(turn, LIVE_ENTER, mark, index, twin);
    } else if (selected && changed && live_worth_telling(turn, index, twin)) {
        live_send_twin(turn, LIVE_UPDATE, mark, index, twin);
    } else if (!selected && has) {
        let_go(turn, index);
        live_send_twin(turn, LIVE_LEAVE, mark, index, twin);
    } else {
        return false;
    }
    return true;
}

/* ---- passes ---- */

static void begin_pass(struct live_turn *turn, enum live_stage stage)
{
    struct live_client *client = turn->client;
    live_mark_unref(client->target);
    client->target = live_mark_ref(turn->live->mark);
    client->stage = stage;
    client->pass_from = client->cursor;
    client->pass_seen = 0;
    client->pass_sent = false;
    client->at = 0;
    client->end = store_count(turn->live->options.store);
}

/* Everything up to the target has been seen. `whole`: and judged at one time. */
static void end_pass(struct live_turn *turn, bool whole)
{
    struct live_client *client = turn->client;
    uint64_t puts = client->target->change - client->pass_from;
    if (client->pass_seen > 0 && puts > client->pass_seen)
        metrics_add(METRIC_LIVE_CONFLATED, 0, 0, puts - client->pass_seen);
    client->cursor = client->target->change;
    client->hint = CHANGES_END;
    live_set_done(&client->passed);
    if (whole) {
        client->judged_ns[0] = client->judged_ns[1];
        move_mark(&client->done, &client->target);
    } else {
        live_mark_unref(client->target);
        client->target = NULL;
    }
    client->stage = STAGE_FOLLOW;
    turn->slot->next_ms = turn->now_ms + (client->pass_sent ? client->period_ms : 0);
}

/* The changes since the cursor, in their order. What is left when the turn is over is done by
 * index: the order moves on meanwhile, and a vehicle that keeps changing would never be reached in
 * it. */
static void walk(struct live_turn *turn)
{
    struct live_client *client = turn->client;
    const struct changes *changes = turn->live->changes;
    begin_pass(turn, STAGE_FOLLOW);
    uint32_t at = changes_after(changes, client->cursor, client->hint);
    while (at != CHANGES_END && !is_over(turn)) {
        uint32_t next = changes_next(changes, at);
        bool last = next == CHANGES_END && !client->timed;
        if (judge(turn, at, true, last ? client->target : client->done))
            turn->live->sent[turn->sent++] = at;
        client->cursor = changes_of(changes, at);
        client->hint = at;
        client->pass_seen++;
        at = next;
    }
    if (at == CHANGES_END) {
        end_pass(turn, !client->timed);
        return;
    }
    for (size_t i = 0; i < turn->sent && !turn->failed; i++)
        turn->failed = !live_set_add(&client->passed, turn->live->sent[i]);
    client->stage = STAGE_SWEEP;
    metrics_inc(METRIC_LIVE_SCANS, 0);
}

/* A piece of a pass by index; true where it has come to its end. */
static bool by_index(struct live_turn *turn)
{
    struct live_client *client = turn->client;
    for (; client->at < client->end && !is_over(turn); client->at++) {
        uint32_t index = client->at;
        bool changed = changes_of(turn->live->changes, index) > client->cursor;
        turn->looked++;
        switch (client->stage) {
        case STAGE_SNAPSHOT:
            judge(turn, index, false, client->target);
            break;
        case STAGE_RESUME:
            live_resume_judge(turn, index);
            break;
        case STAGE_JUDGE:
            judge(turn, index, changed, client->done);
            client->pass_seen += changed;
            break;
        default: /* STAGE_SWEEP */
            if (!changed || live_set_has(&client->passed, index))
                break;
            judge(turn, index, true, client->done);
            client->pass_seen++;
        }
    }
    return client->at == client->end;
}

static void finish_by_index(struct live_turn *turn)
{
    struct live_client *client = turn->client;
    enum live_stage stage = client->stage;
    if (stage == STAGE_SNAPSHOT || stage == STAGE_RESUME) {
        end_pass(turn, true);
        client->aged_ns = 0;
        send_ready(turn);
        free(client->resume);
        client->resume = NULL;
    } else {
        end_pass(turn, stage == STAGE_JUDGE || !client->timed);
    }
    client->regrouped = false;
    if (stage != STAGE_SWEEP)
        turn->slot->judge_ms = client->timed ? turn->now_ms + LIVE_JUDGE_MS : INT64_MAX;
}

/* ---- the beginning ---- */

static void begin(struct live_turn *turn)
{
    struct live_client *client = turn->client;
    bool resumes = client->resume && !client->reset;
    client->stage = STAGE_BEGIN;
    begin_pass(turn, STAGE_BEGIN);
    if (client->reset)
        send_reset(turn, client->reset);
    client->reset = NULL;
    memset(client->told, 0, sizeof client->told);
    client->judged_ns[0] = client->judged_ns[1] = turn->now_ns;
    if (resumes) {
        /* Until it is ready again, its ids are the one that it came with. */
        client->judged_ns[0] = client->resume->judged_ns[0];
        client->aged_ns = client->resume->aged_ns;
        memcpy(client->told, client->resume->told, sizeof client->told);
        turn->failed = turn->failed || !live_resume_begin(client);
    }
    live_set_done(&client->members);
    client->cursor = client->target->change;
    client->pass_from = client->cursor;
    client->stage = resumes ? STAGE_RESUME : STAGE_SNAPSHOT;
    metrics_inc(METRIC_LIVE_SCANS, 0);
}

/* ---- a turn ---- */

/* The groups are others now: whoever is in them, and whether that depends on the time. */
static void regroup(struct live_turn *turn)
{
    struct live_client *client = turn->client;
    const struct filter *filter = client->query.filter;
    turn->slot->groups = turn->live->groups;
    client->timed = filter_depends_on_time(filter);
    client->regrouped = true;
    if (!live_groups_digest(turn->live->options.groups, filter, client->base_digest,
                            client->digest))
        turn->failed = true;
}

static void begin_judging(struct live_turn *turn)
{
    begin_pass(turn, STAGE_JUDGE);
    turn->client->judged_ns[1] = turn->now_ns;
    metrics_inc(METRIC_LIVE_SCANS, 0);
}

/* What there is to be seen whole, by the newest it has. */
static void look_back(struct live_turn *turn)
{
    if (turn->client->done)
        turn->seen = live_seen_of(turn->live->options.store, &turn->client->done->position);
}

/* Does the next thing; false where there is nothing to be done now. */
static bool step(struct live_turn *turn)
{
    struct live_client *client = turn->client;
    struct live_slot *slot = turn->slot;
    bool at_one_time = false;
    switch (client->stage) {
    case STAGE_AWAIT:
        if (live_resume_caught_up(turn)) {
            client->stage = STAGE_BEGIN;
            return true;
        }
        slot->judge_ms = turn->now_ms + AWAIT_MS;
        return false;
    case STAGE_BEGIN:
        begin(turn);
        look_back(turn);
        return true;
    case STAGE_FOLLOW:
        if (turn->now_ms < slot->next_ms)
            return false;
        if (slot->groups != NO_GROUPS && slot->groups != turn->live->groups)
            regroup(turn);
        if (client->regrouped || turn->now_ms >= slot->judge_ms) {
            begin_judging(turn);
            return true;
        }
        if (client->cursor >= turn->live->mark->change)
            return false;
        walk(turn);
        return client->stage != STAGE_FOLLOW;
    default:
        at_one_time = client->stage != STAGE_SWEEP;
        client->query.now_ns = at_one_time ? client->judged_ns[1] : turn->now_ns;
        bool ended = by_index(turn);
        client->query.now_ns = turn->now_ns;
        if (ended)
            finish_by_index(turn);
        return false;
    }
}

bool live_client_turn(struct live_client *client, struct live_slot *slot, size_t room)
{
    struct live *live = client->live;
    struct live_turn turn = {
        .live = live,
        .client = client,
        .slot = slot,
        .out = &live->scratch,
        .room = room,
        .now_ms = clock_mono_ms(),
        .now_ns = live_id_time(broker_clock_now(live->options.clock, NULL)),
    };
    if (turn.now_ms >= slot->beat_ms) {
        buf_adds(turn.out, ":\n\n");
        slot->beat_ms = turn.now_ms + LIVE_HEARTBEAT_MS;
    }
    client->query.now_ns = turn.now_ns;
    look_back(&turn);
    while (!is_over(&turn) && step(&turn))
        ;
    slot->cursor = client->cursor;
    slot->busy = client->stage != STAGE_FOLLOW && client->stage != STAGE_AWAIT;
    /* Whoever does not see everything is cut when a group becomes another one: he comes back, and
     * is judged by that. Nothing of this turn is told. */
    return !turn.failed && !turn.out->failed && groups_seal_holds(&client->query.seal);
}
