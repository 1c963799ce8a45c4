/* Commands and deliveries as JSON: for the API, and for TWIN_COMMANDS and back. */
#include "hub/command.h"

#include <stdlib.h>
#include <string.h>

/* ---- for the API ---- */

static void add_member(struct buf *out, const char *name, const char *json)
{
    if (!json)
        return;
    buf_json_name(out, name);
    buf_adds(out, json);
}

static void add_text(struct buf *out, const char *name, const char *text)
{
    buf_json_name(out, name);
    buf_json_cstr(out, text);
}

static void add_time(struct buf *out, const char *name, int64_t timestamp_ns)
{
    buf_json_name(out, name);
    buf_json_timestamp(out, timestamp_ns);
}

static void add_int(struct buf *out, const char *name, int64_t value)
{
    buf_json_name(out, name);
    buf_json_int(out, value);
}

static void write_counts(struct buf *out, const struct command_counts *counts)
{
    buf_json_name(out, "counts");
    buf_addc(out, '{');
    for (int i = 0; i < DELIVERY_STATES; i++)
        add_int(out, delivery_state_name((enum delivery_state)i), counts->of[i]);
    buf_addc(out, '}');
}

static void write_rollout(struct buf *out, const struct command_rollout *rollout)
{
    if (rollout->batch == 0 && !rollout->aborts)
        return;
    buf_json_name(out, "rollout");
    buf_addc(out, '{');
    if (rollout->batch > 0) {
        add_int(out, "batch", rollout->batch);
        add_int(out, "interval_ms", rollout->interval_ms);
    }
    if (rollout->aborts) {
        buf_json_name(out, "abort_failed_pct");
        buf_addf(out, "%.17g", rollout->abort_failed_pct);
        add_int(out, "abort_min", rollout->abort_min);
    }
    buf_addc(out, '}');
}

static void write_verify(struct buf *out, const struct command_spec *spec)
{
    if (!spec->verify)
        return;
    buf_json_name(out, "verify");
    buf_addc(out, '{');
    add_text(out, "filter", spec->verify);
    add_int(out, "within_s", spec->verify_within_ns / NS_PER_S);
    buf_addc(out, '}');
}

static bool waits_for_acceptance(const struct command_spec *spec)
{
    return spec->goal == GOAL_ACCEPTED || spec->goal == GOAL_VERIFIED_ACCEPTED;
}

void command_write(struct buf *out, const struct command *command,
                   const struct command_counts *counts)
{
    const struct command_spec *spec = &command->spec;
    const struct command_counts *shown = counts ? counts : &command->counts;
    buf_addc(out, '{');
    add_text(out, "id", spec->id);
    add_text(out, "type", spec->type);
    add_member(out, "params", spec->params);
    add_text(out, "status", command_status(command->state));
    add_text(out, "issued_by", spec->actor);
    add_text(out, "reason", spec->reason);
    add_time(out, "created", spec->created_ns);
    add_time(out, "expires", spec->expires_ns);
    add_time(out, "ended", command->ended_ns);
    add_member(out, "target", spec->target);
    if (spec->retry_of)
        add_text(out, "retry_of", spec->retry_of);
    add_text(out, "wait", waits_for_acceptance(spec) ? "accepted" : "completed");
    add_int(out, "complete_within_s", spec->complete_within_ns / NS_PER_S);
    write_rollout(out, &spec->rollout);
    write_verify(out, spec);
    add_int(out, "total", command_counts_total(shown));
    write_counts(out, shown);
    buf_addc(out, '}');
}

void delivery_write(struct buf *out, const struct delivery *delivery)
{
    buf_addc(out, '{');
    add_text(out, "vid", delivery->vid);
    add_text(out, "state", delivery_state_name((enum delivery_state)delivery->state));
    add_text(out, "reason", delivery->reason);
    buf_json_name(out, "code");
    if (delivery->code == DELIVERY_NO_CODE)
        buf_adds(out, "null");
    else
        buf_json_int(out, delivery->code);
    buf_json_name(out, "cmd_id");
    buf_addf(out, "\"%s.", delivery->command->spec.id);
    struct buf vid = BUF_INIT;
    buf_json_cstr(&vid, delivery->vid); /* an unknown one may be any text */
    if (vid.size_bytes > 1)
        buf_add(out, vid.data + 1, vid.size_bytes - 1);
    out->failed = out->failed || vid.failed;
    buf_done(&vid);
    add_time(out, "sent", delivery->sent_ns);
    add_time(out, "updated", delivery->updated_ns);
    buf_addc(out, '}');
}

/* ---- reading helpers ---- */

static bool read_text(struct doc_ref root, const char *name, bool optional, char **out)
{
    struct doc_ref member = doc_getz(root, name);
    size_t size;
    if (!doc_is(member, DOC_STRING))
        return optional;
    const char *text = doc_string(member, &size);
    *out = malloc(size + 1);
    if (!*out)
        return false;
    memcpy(*out, text, size);
    (*out)[size] = '\0';
    return true;
}

static bool read_json(struct doc_ref root, const char *name, char **out)
{
    struct doc_ref member = doc_getz(root, name);
    struct buf text = BUF_INIT;
    if (!doc_exists(member))
        return true;
    doc_write(&text, member);
    *out = buf_take(&text, NULL);
    return *out != NULL;
}

static int64_t read_int(struct doc_ref root, const char *name, int64_t otherwise)
{
    int64_t value;
    return doc_int(doc_getz(root, name), &value) ? value : otherwise;
}

/* TIMESTAMP_NONE is written as null. */
static void add_ns(struct buf *out, int64_t timestamp_ns)
{
    if (timestamp_ns == TIMESTAMP_NONE)
        buf_adds(out, "null");
    else
        buf_json_int(out, timestamp_ns);
}

/* ---- what was asked for ---- */

void command_spec_write(struct buf *out, const struct command_spec *spec)
{
    buf_addc(out, '{');
    add_text(out, "id", spec->id);
    add_text(out, "type", spec->type);
    add_member(out, "params", spec->params);
    add_text(out, "actor", spec->actor);
    add_text(out, "request_id", spec->request_id);
    add_text(out, "reason", spec->reason);
    add_member(out, "target", spec->target);
    add_text(out, "retry_of", spec->retry_of);
    buf_json_name(out, "recovery");
    buf_adds(out, spec->recovery ? "true" : "false");
    add_int(out, "created_ns", spec->created_ns);
    add_int(out, "expires_ns", spec->expires_ns);
    add_int(out, "complete_within_ns", spec->complete_within_ns);
    add_int(out, "goal", spec->goal);
    add_text(out, "verify_filter", spec->verify);
    add_int(out, "verify_within_ns", spec->verify_within_ns);
    write_rollout(out, &spec->rollout);
    add_int(out, "total", spec->total);
    buf_addc(out, '}');
}

static void read_rollout(struct doc_ref root, struct command_rollout *rollout)
{
    struct doc_ref pct = doc_getz(root, "abort_failed_pct");
    *rollout = (struct command_rollout){
        .batch = (uint32_t)read_int(root, "batch", 0),
        .interval_ms = read_int(root, "interval_ms", 0),
        .aborts = doc_exists(pct) && doc_is_number(pct),
        .abort_min = (uint32_t)read_int(root, "abort_min", 0),
    };
    if (rollout->aborts)
        rollout->abort_failed_pct = doc_number(pct);
}

bool command_spec_read(struct doc_ref root, struct command_spec *spec)
{
    struct doc_ref id = doc_getz(root, "id");
    size_t size;
    *spec = (struct command_spec){.total = 0};
    const char *text = doc_is(id, DOC_STRING) ? doc_string(id, &size) : NULL;
    if (!text || size != RECORD_ID_TEXT_BYTES - 1)
        return false;
    memcpy(spec->id, text, size);
    spec->id[size] = '\0';
    spec->recovery = doc_is(doc_getz(root, "recovery"), DOC_TRUE);
    spec->created_ns = read_int(root, "created_ns", 0);
    spec->expires_ns = read_int(root, "expires_ns", 0);
    spec->complete_within_ns = read_int(root, "complete_within_ns", 0);
    spec->verify_within_ns = read_int(root, "verify_within_ns", 0);
    read_rollout(doc_getz(root, "rollout"), &spec->rollout);
    int64_t goal = read_int(root, "goal", -1), total = read_int(root, "total", -1);
    if (read_text(root, "type", false, &spec->type) && read_json(root, "params", &spec->params) &&
        spec->params && read_text(root, "actor", false, &spec->actor) &&
        read_text(root, "request_id", true, &spec->request_id) &&
        read_text(root, "reason", true, &spec->reason) &&
        read_json(root, "target", &spec->target) &&
        read_text(root, "retry_of", true, &spec->retry_of) &&
        read_text(root, "verify_filter", true, &spec->verify) && goal >= 0 &&
        goal < DELIVERY_GOALS && total >= 0 && total <= COMMAND_TARGETS_MAX) {
        spec->goal = (enum delivery_goal)goal;
        spec->total = (uint32_t)total;
        return true;
    }
    command_spec_done(spec);
    return false;
}

/* ---- frozen targets ---- */

static uint32_t chunk_end(const struct command *command, uint32_t from)
{
    uint32_t left = command->spec.total - from;
    return from + (left < COMMAND_CHUNK ? left : COMMAND_CHUNK);
}

void command_targets_write(struct buf *out, const struct command *command, uint32_t from)
{
    uint32_t end = chunk_end(command, from);
    buf_adds(out, "{\"vids\":[");
    for (uint32_t i = from; i < end; i++) {
        if (i > from)
            buf_addc(out, ',');
        buf_json_cstr(out, command->deliveries[i].vid);
    }
    buf_adds(out, "],\"blocked\":{");
    bool first = true;
    for (uint32_t i = from; i < end; i++) {
        const struct delivery *delivery = &command->deliveries[i];
        if (delivery->state != DELIVERY_BLOCKED)
            continue;
        buf_addf(out, "%s\"%u\":", first ? "" : ",", i - from);
        buf_json_cstr(out, delivery->reason);
        first = false;
    }
    buf_adds(out, "}}");
}

size_t command_targets_bytes(struct doc_ref root)
{
    struct doc_ref vids = doc_getz(root, "vids");
    size_t bytes = 0, size;
    for (struct doc_ref vid = doc_first(vids); doc_exists(vid); vid = doc_next(vids, vid)) {
        if (doc_is(vid, DOC_STRING))
            doc_string(vid, &size);
        else
            size = 0;
        bytes += size + 1;
    }
    return bytes;
}

static bool read_blocked(struct doc_ref blocked, struct command *command, uint32_t from)
{
    for (struct doc_ref m = doc_first(blocked); doc_exists(m); m = doc_next(blocked, m)) {
        size_t size, length;
        char digits[12];
        const char *name = doc_name(m, &size);
        if (size >= sizeof digits || !doc_is(m, DOC_STRING))
            return false;
        memcpy(digits, name, size);
        digits[size] = '\0';
        unsigned long i = strtoul(digits, NULL, 10);
        if (i >= COMMAND_CHUNK || from + i >= command->spec.total)
            return false;
        const char *reason = doc_string(m, &length);
        struct delivery *delivery = &command->deliveries[from + i];
        if (delivery->state == DELIVERY_BLOCKED)
            continue;
        delivery->state = DELIVERY_BLOCKED;
        delivery->entered |= 1u << DELIVERY_BLOCKED;
        delivery->updated_ns = command->spec.created_ns;
        delivery->reason = delivery_reason(reason, length);
        command->counts.of[DELIVERY_PENDING]--;
        command->counts.of[DELIVERY_BLOCKED]++;
    }
    return true;
}

bool command_targets_read(struct doc_ref root, struct command *command, uint32_t from,
                          size_t *vids_used)
{
    struct doc_ref vids = doc_getz(root, "vids");
    uint32_t i = from, end = chunk_end(command, from);
    for (struct doc_ref m = doc_first(vids); doc_exists(m); m = doc_next(vids, m)) {
        size_t size;
        if (i >= end || !doc_is(m, DOC_STRING))
            return false;
        const char *vid = doc_string(m, &size);
        command_set_vid(command, i++, vid, size, vids_used);
    }
    return i == end && read_blocked(doc_getz(root, "blocked"), command, from);
}

/* ---- the summary ---- */

void command_status_write(struct buf *out, const struct command *command)
{
    buf_addc(out, '{');
    add_text(out, "state", command_state_name(command->state));
    write_counts(out, &command->counts);
    buf_json_name(out, "ended_ns");
    add_ns(out, command->ended_ns);
    add_int(out, "released", command->released);
    buf_json_name(out, "turns");
    buf_addc(out, '[');
    for (uint32_t i = 0; i < command->turn_count; i++) {
        const struct command_turn *turn = &command->turns[i];
        buf_adds(out, i > 0 ? ",{" : "{");
        add_text(out, "from", command_state_name(turn->from));
        add_text(out, "to", command_state_name(turn->to));
        add_int(out, "at_ns", turn->at_ns);
        add_text(out, "actor", turn->actor);
        add_text(out, "request_id", turn->request_id);
        buf_addc(out, '}');
    }
    buf_adds(out, "]}");
}

static bool read_state(struct doc_ref root, const char *name, enum command_state *state)
{
    struct doc_ref member = doc_getz(root, name);
    size_t size;
    const char *text = doc_is(member, DOC_STRING) ? doc_string(member, &size) : NULL;
    return text && command_state_parse(text, size, state);
}

static bool read_turns(struct doc_ref rows, struct command *command)
{
    enum command_state state = command->state;
    bool good = true;
    for (struct doc_ref row = doc_first(rows); doc_exists(row) && good; row = doc_next(rows, row)) {
        char *actor = NULL, *request_id = NULL;
        enum command_state to;
        good = read_state(row, "from", &command->state) && read_state(row, "to", &to) &&
               read_text(row, "actor", true, &actor) &&
               read_text(row, "request_id", true, &request_id) &&
               command_turn_add(command, to, read_int(row, "at_ns", 0), actor, request_id);
        free(actor);
        free(request_id);
    }
    command->state = state;
    return good;
}

bool command_status_read(struct doc_ref root, struct command *command)
{
    struct doc_ref counts = doc_getz(root, "counts");
    if (!read_state(root, "state", &command->state))
        return false;
    for (int i = 0; i < DELIVERY_STATES; i++)
        command->counts.of[i] =
            (uint32_t)read_int(counts, delivery_state_name((enum delivery_state)i), 0);
    command->ended_ns = read_int(root, "ended_ns", TIMESTAMP_NONE);
    command->released = (uint32_t)read_int(root, "released", 0);
    return read_turns(doc_getz(root, "turns"), command);
}

/* [state, states entered, those on record, sent, updated, deadline, repetition, code, reason] */
void command_states_write(struct buf *out, const struct command *command, uint32_t from)
{
    uint32_t end = chunk_end(command, from);
    buf_adds(out, "{\"states\":[");
    for (uint32_t i = from; i < end; i++) {
        const struct delivery *delivery = &command->deliveries[i];
        buf_addf(out, "%s[%u,%u,%u,", i > from ? "," : "", delivery->state, delivery->entered,
                 delivery->recorded);
        add_ns(out, delivery->sent_ns);
        buf_addc(out, ',');
        add_ns(out, delivery->updated_ns);
        buf_addc(out, ',');
        add_ns(out, delivery->deadline_ns);
        buf_addf(out, ",%u,", delivery->repetition);
        if (delivery->code == DELIVERY_NO_CODE)
            buf_adds(out, "null,");
        else
            buf_addf(out, "%lld,", (long long)delivery->code);
        buf_json_cstr(out, delivery->reason);
        buf_addc(out, ']');
    }
    buf_adds(out, "]}");
}

enum { STATE_FIELDS = 9 };

static int64_t time_of(struct doc_ref field)
{
    int64_t timestamp_ns;
    return doc_int(field, &timestamp_ns) ? timestamp_ns : TIMESTAMP_NONE;
}

static bool read_delivery(struct doc_ref row, struct delivery *delivery)
{
    struct doc_ref field[STATE_FIELDS];
    size_t count = 0, size;
    for (struct doc_ref m = doc_first(row); doc_exists(m) && count < STATE_FIELDS;
         m = doc_next(row, m))
        field[count++] = m;
    int64_t state, entered, recorded, repetition;
    if (count < STATE_FIELDS || !doc_int(field[0], &state) || !doc_int(field[1], &entered) ||
        !doc_int(field[2], &recorded) || !doc_int(field[6], &repetition) || state < 0 ||
        state >= DELIVERY_STATES)
        return false;
    delivery->state = (uint8_t)state;
    delivery->entered = (uint16_t)entered;
    delivery->recorded = (uint16_t)recorded;
    delivery->sent_ns = time_of(field[3]);
    delivery->updated_ns = time_of(field[4]);
    delivery->deadline_ns = time_of(field[5]);
    delivery->repetition = (uint32_t)repetition;
    if (!doc_int(field[7], &delivery->code))
        delivery->code = DELIVERY_NO_CODE;
    free(delivery->reason);
    delivery->reason = NULL;
    if (doc_is(field[8], DOC_STRING)) {
        const char *text = doc_string(field[8], &size);
        delivery->reason = delivery_reason(text, size);
    }
    return true;
}

bool command_states_read(struct doc_ref root, struct command *command, uint32_t from)
{
    struct doc_ref rows = doc_getz(root, "states");
    uint32_t i = from, end = chunk_end(command, from);
    for (struct doc_ref row = doc_first(rows); doc_exists(row); row = doc_next(rows, row))
        if (i >= end || !read_delivery(row, &command->deliveries[i++]))
            return false;
    return i == end;
}
