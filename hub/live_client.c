/* One client's turn: which vehicles it is told of, and with what ids. hub/live.h says what holds.
 */
#include "hub/live_impl.h"

#include "hub/clock.h"

#include <stdlib.h>
#include <string.h>

enum { AWAIT_MS = 10 }; /* between two looks whether this hub has caught up */

/* What one turn carries along. */
struct turn {
    struct live *live;
    struct live_client *client;
    struct live_slot *slot;
    struct buf *out;
    size_t room;
    int64_t now_ms, now_ns;
    unsigned judged, looked;
    size_t sent;           /* in live->sent */
    struct live_seen seen; /* what the client has seen whole, for what is worth an update */
    bool failed;
};

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

static bool is_over(struct turn *turn)
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

static void write_id(struct turn *turn, const struct live_mark *mark)
{
    const struct live_client *client = turn->client;
    struct live_id id = {
        .sweep = mark->sweep,
        .unfinished = is_unfinished(client),
        .timed = client->timed,
        .judged_ns = {client->judged_ns[0], client->judged_ns[1]},
    };
    memcpy(id.digest, client->digest, sizeof id.digest);
    buf_adds(turn->out, "\nid: ");
    live_id_write(turn->out, mark->text, &id);
}

static void begin_event(struct turn *turn, enum live_label event, const struct live_mark *mark)
{
    static const char *const names[LIVE_LABELS] = {"enter", "update", "leave", "ready", "reset"};
    buf_adds(turn->out, "event: ");
    buf_adds(turn->out, names[event]);
    write_id(turn, mark);
    buf_adds(turn->out, "\ndata: ");
    metrics_inc(METRIC_LIVE_EVENTS, event);
}

static void end_event(struct turn *turn)
{
    buf_adds(turn->out, "\n\n");
}

static void send_twin(struct turn *turn, enum live_label event, const struct live_mark *mark,
                      const struct twin *twin)
{
    const struct live_client *client = turn->client;
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

static void send_ready(struct turn *turn)
{
    begin_event(turn, LIVE_READY, turn->client->done);
    buf_adds(turn->out, "{}");
    end_event(turn);
}

static void send_reset(struct turn *turn, const char *reason)
{
    begin_event(turn, LIVE_RESET, turn->client->target);
    buf_adds(turn->out, "{\"reason\":");
    buf_json_cstr(turn->out, reason);
    buf_addc(turn->out, '}');
    end_event(turn);
}

/* ---- one vehicle ---- */

static void hold(struct turn *turn, uint32_t index)
{
    turn->failed = turn->failed || !live_set_add(&turn->client->members, index);
}

static void let_go(struct turn *turn, uint32_t index)
{
    turn->failed = turn->failed || !live_set_remove(&turn->client->members, index);
}

/* An update that touches none of the fields says nothing. */
static bool worth_telling(struct turn *turn, uint32_t index, const struct twin *twin)
{
    const struct live_client *client = turn->client;
    return !client->fields || live_watch_touched(&client->fields_watch, turn->live->options.store,
                                                 index, twin, &turn->seen);
}

/* Tells of the vehicle as it is now, where the client does not know. True where it was told. */
static bool judge(struct turn *turn, uint32_t index, bool changed, const struct live_mark *mark)
{
    const struct live_client *client = turn->client;
    const struct twin *twin = store_at(turn->live->options.store, index);
    bool selected = query_selects(&client->query, twin);
    bool has = live_set_has(&client->members, index);
    turn->judged++;
    if (selected && !has) {
        hold(turn, index);
        send_twin(turn, LIVE_ENTER, mark, twin);
    } else if (selected && changed && worth_telling(turn, index, twin)) {
        send_twin(turn, LIVE_UPDATE, mark, twin);
    } else if (!selected && has) {
        let_go(turn, index);
        send_twin(turn, LIVE_LEAVE, mark, twin);
    } else {
        return false;
    }
    return true;
}

/* ---- resuming: what has changed since the id ---- */

/* Presence changes by time, on each hub at its own moment: what the client was shown by another hub
 * is known only where that had judged the silence whole, or where there is none. */
static bool presence_sure(const struct turn *turn, const struct presence *presence)
{
    const struct presence_limits *limits = &turn->live->options.presence;
    const struct store_sweep *sweep = &turn->client->done->sweep;
    int64_t seen_ns = presence->last_seen_ns;
    switch (presence->status) {
    case PRESENCE_UNKNOWN:
        return true;
    case PRESENCE_ONLINE:
        return turn->now_ns - seen_ns < limits->stale_after_ns;
    case PRESENCE_OFFLINE:
        return sweep->swept_ns != TIMESTAMP_NONE &&
               sweep->swept_ns - (seen_ns > sweep->hearing_ns ? seen_ns : sweep->hearing_ns) >=
                   limits->offline_after_ns;
    default:
        return false;
    }
}

static bool changed_since(const struct turn *turn, uint32_t index, const struct twin *twin)
{
    for (size_t i = 0; position_stream(i) != STREAM_LABELS; i++)
        if (live_heard_since(turn->live->options.store, index, twin, position_stream(i),
                             &turn->seen))
            return true;
    return !presence_sure(turn, &twin->presence);
}

/* Whether the filter's outcome was the same whenever the client may have been told of it. */
static bool outcome_stood(struct turn *turn, const struct twin *twin, bool selected)
{
    struct query *query = &turn->client->query;
    int64_t now_ns = query->now_ns;
    bool stood = true;
    for (int i = 0; i < 2 && stood; i++) {
        query->now_ns = turn->client->resume->judged_ns[i];
        stood = query_selects(query, twin) == selected;
    }
    query->now_ns = now_ns;
    return stood;
}

static void judge_since(struct turn *turn, uint32_t index)
{
    struct live_client *client = turn->client;
    const struct store *store = turn->live->options.store;
    const struct twin *twin = store_at(store, index);
    turn->judged++;
    /* A vehicle that is hidden from the viewer is named in no event. */
    if (query_sight_of(client->query.sight, twin->vid, NULL) != SIGHT_SEEN)
        return;
    bool selected = query_selects(&client->query, twin);
    if (selected)
        hold(turn, index);
    if (!changed_since(turn, index, twin) &&
        (!client->timed || outcome_stood(turn, twin, selected)))
        return;
    bool filter_touched =
        live_watch_touched(&client->filter_watch, store, index, twin, &turn->seen);
    if (selected && (filter_touched || worth_telling(turn, index, twin)))
        send_twin(turn, LIVE_UPDATE, client->done, twin);
    else if (!selected && filter_touched)
        send_twin(turn, LIVE_LEAVE, client->done, twin);
}

/* ---- passes ---- */

static void begin_pass(struct turn *turn, enum live_stage stage)
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
static void end_pass(struct turn *turn, bool whole)
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
static void walk(struct turn *turn)
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
static bool by_index(struct turn *turn)
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
            judge_since(turn, index);
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

static void finish_by_index(struct turn *turn)
{
    struct live_client *client = turn->client;
    enum live_stage stage = client->stage;
    if (stage == STAGE_SNAPSHOT || stage == STAGE_RESUME) {
        end_pass(turn, true);
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

static bool take_resume_mark(struct live_client *client)
{
    char text[POSITION_TOKEN_BYTES];
    position_write(&client->resume->position, text);
    struct live_mark *mark = malloc(sizeof *mark + strlen(text) + 1);
    if (!mark)
        return false;
    *mark = (struct live_mark){
        .users = 1, .position = client->resume->position, .sweep = client->resume->sweep};
    strcpy(mark->text, text);
    live_mark_unref(client->done);
    client->done = mark;
    return true;
}

/* Whether this hub is as far as the client's id; sets the reason of a reset where it will not be.
 */
static bool has_caught_up(struct turn *turn)
{
    struct live_client *client = turn->client;
    switch (position_reached(turn->live->options.store, &client->resume->position)) {
    case POSITION_REACHED:
        return true;
    case POSITION_VOID:
        client->reset = "epoch";
        return true;
    case POSITION_BEHIND:
        break;
    }
    if (turn->now_ms < client->await_until_ms)
        return false;
    client->reset = "behind";
    return true;
}

static void begin(struct turn *turn)
{
    struct live_client *client = turn->client;
    bool resumes = client->resume && !client->reset;
    client->stage = STAGE_BEGIN;
    begin_pass(turn, STAGE_BEGIN);
    if (client->reset)
        send_reset(turn, client->reset);
    client->reset = NULL;
    client->judged_ns[0] = client->judged_ns[1] = turn->now_ns;
    if (resumes) {
        /* Until it is ready again, its ids are the one that it came with. */
        client->judged_ns[0] = client->resume->judged_ns[0];
        turn->failed = turn->failed || !take_resume_mark(client);
    }
    live_set_done(&client->members);
    client->cursor = client->target->change;
    client->pass_from = client->cursor;
    client->stage = resumes ? STAGE_RESUME : STAGE_SNAPSHOT;
    metrics_inc(METRIC_LIVE_SCANS, 0);
}

/* ---- a turn ---- */

/* The groups are others now: whoever is in them, and whether that depends on the time. */
static void regroup(struct turn *turn)
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

static void begin_judging(struct turn *turn)
{
    begin_pass(turn, STAGE_JUDGE);
    turn->client->judged_ns[1] = turn->now_ns;
    metrics_inc(METRIC_LIVE_SCANS, 0);
}

/* What there is to be seen whole, by the newest it has. */
static void look_back(struct turn *turn)
{
    if (turn->client->done)
        turn->seen = live_seen_of(turn->live->options.store, &turn->client->done->position);
}

/* Does the next thing; false where there is nothing to be done now. */
static bool step(struct turn *turn)
{
    struct live_client *client = turn->client;
    struct live_slot *slot = turn->slot;
    bool at_one_time = false;
    switch (client->stage) {
    case STAGE_AWAIT:
        if (has_caught_up(turn)) {
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
    struct turn turn = {
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
    return !turn.failed && !turn.out->failed;
}
