/* Going on from an id: what has changed since, of all that a client may have been told by another
 * hub. Whatever is not sure is told again. */
#include "hub/live_impl.h"

#include <stdlib.h>
#include <string.h>

/* ---- the beginning ---- */

bool live_resume_begin(struct live_client *client)
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

/* By the id's position, and by what the client was told beyond it. */
static enum position_order compare_with(const struct store *store, const struct live_id *id)
{
    static const struct position no_fork;
    enum position_order order = position_reached(store, &id->position);
    for (int i = 0; i < STREAM_LABELS && order == POSITION_REACHED; i++) {
        struct position have = store_position(store, (enum stream_label)i);
        order = position_compare(&id->told[i], &have, &no_fork);
    }
    return order;
}

/* Whether this hub is as far as the client's id; sets the reason of a reset where it will not be.
 */
bool live_resume_caught_up(struct live_turn *turn)
{
    struct live_client *client = turn->client;
    switch (compare_with(turn->live->options.store, client->resume)) {
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

/* ---- what has changed since ---- */

/* Silent vehicles are offline on every hub since the same time where both heard them last, and
 * those that were so before the other hub began to hear, since what is on record. */
static bool offline_sure(const struct live_turn *turn, const struct presence *presence)
{
    int64_t after_ns = turn->live->options.presence.offline_after_ns;
    const struct store_sweep *sweep = &turn->client->done->sweep;
    int64_t seen_ns = presence->last_seen_ns;
    if (sweep->swept_ns == TIMESTAMP_NONE)
        return false;
    if (seen_ns > sweep->hearing_ns)
        return sweep->swept_ns - seen_ns >= after_ns && presence->since_ns == seen_ns + after_ns;
    return sweep->swept_ns - sweep->hearing_ns >= after_ns &&
           presence->since_ns < sweep->hearing_ns;
}

/* Presence changes by time, on each hub at its own moment: what the client was shown by another hub
 * is known only where that had judged the silence whole, or where there is none. That two hubs may
 * not agree since when a vehicle is online, where one of them found it stale in between and the
 * other just did not, is passed over. */
static bool presence_sure(const struct live_turn *turn, const struct presence *presence)
{
    const struct presence_limits *limits = &turn->live->options.presence;
    switch (presence->status) {
    case PRESENCE_UNKNOWN:
        return true;
    case PRESENCE_ONLINE: /* unless it was silent for long enough to be told of */
        return turn->client->resume->aged_ns - presence->last_seen_ns < limits->stale_after_ns;
    case PRESENCE_OFFLINE:
        return offline_sure(turn, presence);
    default:
        return false;
    }
}

static bool changed_since(const struct live_turn *turn, uint32_t index, const struct twin *twin)
{
    for (size_t i = 0; position_stream(i) != STREAM_LABELS; i++)
        if (live_heard_since(turn->live->options.store, index, twin, position_stream(i),
                             &turn->seen))
            return true;
    return !presence_sure(turn, &twin->presence);
}

/* Whether the filter's outcome was the same whenever the client may have been told of it. */
static bool outcome_stood(struct live_turn *turn, const struct twin *twin, bool selected)
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

/* Whether the vehicle was there for the client's last hub. One that was retired once is not asked.
 */
static bool was_there(const struct live_turn *turn, const struct twin *twin)
{
    uint64_t state_seq = turn->seen.streams[STREAM_STATE].seq;
    uint64_t shadow_seq = turn->seen.streams[STREAM_SHADOW].seq;
    bool there = false;
    for (size_t i = 0; i < twin->state_count && !there; i++)
        there = twin->states[i]->stream_seq <= state_seq;
    for (int i = 0; i < PART_COUNT && !there; i++)
        there = twin->parts[i] && twin->parts[i]->revision <= shadow_seq;
    return there && twin->retired_ns == TIMESTAMP_NONE;
}

void live_resume_judge(struct live_turn *turn, uint32_t index)
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
        live_hold(turn, index);
    if (!changed_since(turn, index, twin) &&
        (!client->timed || outcome_stood(turn, twin, selected)))
        return;
    bool filter_touched =
        live_watch_touched(&client->filter_watch, store, index, twin, &turn->seen);
    if (selected &&
        (filter_touched || !was_there(turn, twin) || live_worth_telling(turn, index, twin)))
        live_send_twin(turn, LIVE_UPDATE, client->done, index, twin);
    else if (!selected && filter_touched)
        live_send_twin(turn, LIVE_LEAVE, client->done, index, twin);
}
