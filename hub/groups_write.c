/* Writing one group by compare-and-set (hub/groups.h). */
#include "hub/groups_impl.h"

#include "hub/clock.h"
#include "hub/failpoint.h"
#include "hub/if_match.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <string.h>

enum {
    STORE_MS = 2000,
    RETRY_MS = 50,
    STEP_MS = 1,
    SHOW_MS = 5000,
    TRIES_MAX = 32,
};

/* What one attempt finds and does. */
struct attempt {
    struct groups *groups;
    const struct groups_change *change;
    char subject[STREAMS_SUBJECT_BYTES], id[RECORD_ID_TEXT_BYTES];
    uint64_t base_seq;
    bool existed;
    bool unknown; /* an attempt's answer did not come */
};

static bool shown(struct groups *groups, uint64_t seq)
{
    for (int ms = 0; store_position(groups->store, STREAM_ACCESS).seq < seq; ms += STEP_MS) {
        if (ms >= SHOW_MS)
            return false;
        clock_pause_ms(STEP_MS);
    }
    return true;
}

/* The key's last sequence; *ours where the message there is the one whose answer was lost. */
static enum bus_status find_base(struct attempt *attempt, bool *ours, struct bus_error *error)
{
    struct bus_stored stored = {0};
    char id[RECORD_ID_TEXT_BYTES];
    enum bus_status status = bus_get_last(attempt->groups->bus, streams_name(TWIN_ACCESS),
                                          attempt->subject, &stored, error);
    attempt->base_seq = stored.seq;
    *ours = attempt->unknown && status == BUS_OK &&
            bus_stored_header(&stored, "Nats-Msg-Id", id, sizeof id) &&
            strcmp(id, attempt->id) == 0;
    bus_stored_done(&stored);
    if (status == BUS_NOT_FOUND)
        status = BUS_OK;
    if (status == BUS_OK && !shown(attempt->groups, attempt->base_seq)) {
        snprintf(error->text, sizeof error->text, "this hub has not seen the group's last change");
        status = BUS_DISCONNECTED;
    }
    return status;
}

static size_t count_of(struct groups *groups)
{
    return atomic_load(&groups->set)->count;
}

/* A list that one sees in part would lose the rest, or hand vehicles that one may not command to
 * who may. */
static bool sees_all_of(const struct viewer *viewer, const struct group *group)
{
    for (size_t i = 0; group && i < group->vid_count; i++)
        if (!viewer_sees_vehicle(viewer, group->vids[i]))
            return false;
    return true;
}

/* GROUPS_WRITTEN: it is to be written. */
static enum groups_status judge(struct attempt *attempt)
{
    const struct groups_change *change = attempt->change;
    struct groups *groups = attempt->groups;
    enum groups_status status = GROUPS_WRITTEN;
    size_t place = groups_enter(groups);
    const struct group *was = groups_find(groups, change->name);
    char etag[32];
    snprintf(etag, sizeof etag, "\"%llu\"", (unsigned long long)(was ? was->revision : 0));
    bool star = !was && change->if_match && strchr(change->if_match, '*');
    attempt->existed = was != NULL;
    if (!was && !change->group)
        status = GROUPS_UNKNOWN;
    else if (!sees_all_of(change->viewer, was) || !sees_all_of(change->viewer, change->group))
        status = GROUPS_HIDDEN;
    else if (star || !if_match_allows(change->if_match, etag))
        status = GROUPS_PRECONDITION;
    else if (was && change->group && strcmp(was->definition, change->group->definition) == 0)
        status = GROUPS_UNCHANGED;
    else if (!was && count_of(groups) >= GROUPS_MAX)
        status = GROUPS_TOO_MANY;
    else if (change->group && groups_cyclic(atomic_load(&groups->set), change->group))
        status = GROUPS_CYCLE;
    groups_leave(groups, place);
    return status;
}

static enum bus_status put(struct attempt *attempt, uint64_t *seq, struct bus_error *error)
{
    const struct groups_change *change = attempt->change;
    const char *text = change->group ? change->group->definition : "";
    struct bus_store what = {.subject = attempt->subject,
                             .data = text,
                             .size = strlen(text),
                             .msg_id = attempt->id,
                             .expected_last_of_subject = attempt->base_seq,
                             .headers = {{GROUP_HEADER_ACTOR, change->actor},
                                         {GROUP_HEADER_REQUEST, change->request_id},
                                         {GROUP_HEADER_REMOTE, change->remote}}};
    if (!change->group)
        what.headers[3] = (struct bus_header){"KV-Operation", "DEL"};
    return bus_store(attempt->groups->bus, &what, STORE_MS, seq, error);
}

static enum groups_status finish(struct attempt *attempt, uint64_t seq, struct bus_error *error)
{
    failpoint_reached(FAILPOINT_GROUP_WRITTEN);
    if (!shown(attempt->groups, seq)) {
        snprintf(error->text, sizeof error->text, "it is written, and not shown here yet");
        return GROUPS_UNAVAILABLE;
    }
    return attempt->existed ? GROUPS_WRITTEN : GROUPS_CREATED;
}

enum groups_status groups_write(struct groups *groups, const struct groups_change *change,
                                struct bus_error *error)
{
    int64_t until_ms = clock_mono_ms() + GROUPS_WRITE_MS;
    struct attempt attempt = {.groups = groups, .change = change};
    uint8_t random[RECORD_ID_BYTES];
    enum bus_status status = BUS_CONFLICT;
    if (RAND_bytes(random, sizeof random) != 1) {
        snprintf(error->text, sizeof error->text, "no random numbers");
        return GROUPS_FAILED;
    }
    record_id_format(random, attempt.id);
    group_subject(change->name, attempt.subject);
    for (int tries = 0; tries < TRIES_MAX && clock_mono_ms() < until_ms; tries++) {
        uint64_t seq;
        bool ours;
        if (find_base(&attempt, &ours, error) != BUS_OK)
            return GROUPS_UNAVAILABLE;
        if (ours)
            return finish(&attempt, attempt.base_seq, error);
        enum groups_status judged = judge(&attempt);
        if (judged != GROUPS_WRITTEN)
            return judged;
        status = put(&attempt, &seq, error);
        if (status == BUS_OK)
            return finish(&attempt, seq, error);
        if (status == BUS_FULL || status == BUS_ERROR)
            return GROUPS_FAILED;
        if (status != BUS_CONFLICT) {
            attempt.unknown = true;
            clock_pause_ms(RETRY_MS);
        }
    }
    snprintf(error->text, sizeof error->text, "%s",
             status == BUS_CONFLICT ? "others write the same group all the time"
                                    : "NATS did not say whether it was written");
    return status == BUS_CONFLICT ? GROUPS_BUSY : GROUPS_UNAVAILABLE;
}
