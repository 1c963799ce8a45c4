#include "hub/streams.h"

#include "hub/metrics.h"

#include "hub/log.h"
#include "twin/timestamp.h"

#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define SHADOW_PREFIX "$KV.TWIN_SHADOW."
#define LAST_PREFIX "$KV.TWIN_LAST."
#define MARK "mark"

/* Vehicles choose their ids themselves and may collide with each other's: the server's smallest
 * window. The archive removes duplicates. */
#define VEHICLE_DUPLICATE_NS (100 * NS_PER_MS)
#define COMMAND_DUPLICATE_NS (5 * 60 * NS_PER_S)
#define SERVER_DUPLICATE_NS (2 * 60 * NS_PER_S) /* where none is asked for */

enum {
    /* beside the value: expectation, message id, who wrote it */
    SHADOW_HEADER_BYTES = 1024,
    STREAM_MIN_BYTES = 1 << 20, /* less than this is no stream to work with */
};

#define LIMIT(key) offsetof(struct config, nats.limits.key)
#define NO_LIMIT ((size_t)0) /* `env` stands at 0: no limit can */

struct row {
    const char *subject; /* {env} and {region} are filled in */
    enum bus_discard discard;
    bool kv;
    int64_t history; /* KV */
    int32_t max_msg_bytes;
    int64_t duplicate_ns; /* 0: the server's */
    size_t age_s, bytes;  /* where struct config holds them */
};

static const struct row table[TWIN_STREAMS] = {
    [TWIN_STATE] = {.subject = "fleet.{env}.veh.*.state.>",
                    .discard = BUS_DISCARD_OLD,
                    .duplicate_ns = VEHICLE_DUPLICATE_NS,
                    .age_s = LIMIT(state_age_s),
                    .bytes = LIMIT(state_bytes)},
    [TWIN_EVENTS] = {.subject = "fleet.{env}.veh.*.evt.>",
                     .discard = BUS_DISCARD_NEW,
                     .duplicate_ns = VEHICLE_DUPLICATE_NS,
                     .age_s = LIMIT(events_age_s),
                     .bytes = LIMIT(events_bytes)},
    [TWIN_CMD] = {.subject = "fleet.{env}.veh.*.cmd.>",
                  .discard = BUS_DISCARD_NEW,
                  .duplicate_ns = COMMAND_DUPLICATE_NS,
                  .age_s = LIMIT(cmd_age_s)},
    [TWIN_ACK] = {.subject = "fleet.{env}.veh.*.cmdack.>",
                  .discard = BUS_DISCARD_NEW,
                  .duplicate_ns = VEHICLE_DUPLICATE_NS,
                  .age_s = LIMIT(ack_age_s),
                  .bytes = LIMIT(ack_bytes)},
    [TWIN_RECORD] = {.subject = "fleet.{env}.hub.{region}.record.>",
                     .discard = BUS_DISCARD_NEW,
                     .age_s = LIMIT(record_age_s),
                     .bytes = LIMIT(record_bytes)},
    [TWIN_CHECKPOINTS] = {.subject = "fleet.{env}.hub.{region}.checkpoint",
                          .discard = BUS_DISCARD_NEW},
    [TWIN_SHADOW] = {.subject = SHADOW_PREFIX ">",
                     .discard = BUS_DISCARD_NEW,
                     .kv = true,
                     .history = 5,
                     .max_msg_bytes = PART_MAX_BYTES + SHADOW_HEADER_BYTES},
    [TWIN_LAST] = {.subject = LAST_PREFIX ">",
                   .discard = BUS_DISCARD_NEW,
                   .kv = true,
                   .history = 1},
    [TWIN_COMMANDS] = {.subject = "$KV.TWIN_COMMANDS.>",
                       .discard = BUS_DISCARD_NEW,
                       .kv = true,
                       .history = 1,
                       .age_s = LIMIT(commands_age_s)},
    [TWIN_ACCESS] = {.subject = "$KV.TWIN_ACCESS.>",
                     .discard = BUS_DISCARD_NEW,
                     .kv = true,
                     .history = 5},
};

static const char *const names[TWIN_STREAMS] = {
#define X(id, name) [TWIN_##id] = name,
    TWIN_STREAM_TABLE(X)
#undef X
};

/* ---- names and subjects ---- */

const char *streams_name(enum twin_stream stream)
{
    return names[stream];
}

const char *streams_subject(enum twin_stream stream, const char *env, const char *region,
                            char out[STREAMS_SUBJECT_BYTES])
{
    size_t size = 0;
    for (const char *at = table[stream].subject; *at;) {
        const char *piece = at;
        size_t length = 1;
        if (strncmp(at, "{env}", 5) == 0) {
            piece = env;
            length = strlen(env);
            at += 5;
        } else if (strncmp(at, "{region}", 8) == 0) {
            piece = region;
            length = strlen(region);
            at += 8;
        } else {
            at++;
        }
        if (length >= STREAMS_SUBJECT_BYTES - size)
            break; /* no valid token is so long */
        memcpy(out + size, piece, length);
        size += length;
    }
    out[size] = '\0';
    return out;
}

static int64_t limit_of(const struct config *config, size_t offset)
{
    int64_t value = 0;
    if (offset != NO_LIMIT)
        memcpy(&value, (const char *)config + offset, sizeof(value));
    return value > 0 ? value : 0;
}

void streams_spec(enum twin_stream stream, const struct config *config,
                  struct bus_stream_spec *spec, char subject[STREAMS_SUBJECT_BYTES])
{
    const struct row *row = &table[stream];
    *spec = (struct bus_stream_spec){
        .name = names[stream],
        .subject = streams_subject(stream, config->env, config->region, subject),
        .discard = row->discard,
        .max_bytes = limit_of(config, row->bytes),
        .max_age_ns = limit_of(config, row->age_s) * NS_PER_S,
        .duplicate_ns = row->duplicate_ns,
        .max_per_subject = row->history,
        .max_msg_bytes = row->max_msg_bytes,
        .replicas = config->nats.replicas,
        .kv = row->kv,
    };
    /* the server refuses a window longer than the age */
    int64_t window_ns = spec->duplicate_ns ? spec->duplicate_ns : SERVER_DUPLICATE_NS;
    if (spec->max_age_ns > 0 && window_ns > spec->max_age_ns)
        spec->duplicate_ns = spec->max_age_ns;
}

/* ---- checking ---- */

static bool expect(struct buf *report, enum twin_stream stream, const char *field, bool same,
                   const char *is, const char *must)
{
    if (!same)
        buf_addf(report, "%s%s: %s is %s and must be %s", report->size_bytes ? "\n" : "",
                 names[stream], field, is, must);
    return same;
}

void streams_measure(struct bus *bus)
{
    static const struct {
        enum twin_stream stream;
        enum stream_label label;
    } measured[] = {{TWIN_STATE, STREAM_STATE},   {TWIN_EVENTS, STREAM_EVENTS},
                    {TWIN_ACK, STREAM_ACK},       {TWIN_RECORD, STREAM_RECORD},
                    {TWIN_SHADOW, STREAM_SHADOW}, {TWIN_ACCESS, STREAM_ACCESS},
                    {TWIN_LAST, STREAM_LAST}};
    struct bus_stream_info info;
    struct bus_error error;
    for (size_t i = 0; i < sizeof measured / sizeof *measured; i++) {
        if (bus_stream_info(bus, streams_name(measured[i].stream), &info, &error) != BUS_OK)
            return; /* what was measured last stands */
        metrics_set(METRIC_STREAM_BYTES, measured[i].label, (double)info.bytes);
        metrics_set(METRIC_STREAM_LAST_SEQ, measured[i].label, (double)info.last_seq);
        if (info.max_bytes > 0)
            metrics_set(METRIC_STREAM_BYTES_MAX, measured[i].label, (double)info.max_bytes);
    }
}

bool streams_check(enum twin_stream stream, const struct config *config,
                   const struct bus_stream_info *info, struct buf *report)
{
    char must[STREAMS_SUBJECT_BYTES];
    char is[STREAMS_SUBJECT_BYTES + 64];
    const struct row *row = &table[stream];
    bool discard_new = row->discard == BUS_DISCARD_NEW;
    streams_subject(stream, config->env, config->region, must);
    if (info->subject_count > 1)
        snprintf(is, sizeof(is), "%s and %d more", info->subject, info->subject_count - 1);
    else
        snprintf(is, sizeof(is), "%s", info->subject_count ? info->subject : "none");
    bool good = expect(report, stream, "subjects",
                       info->subject_count == 1 && strcmp(info->subject, must) == 0, is, must);
    /* without a history of its own per subject it is no bucket: keys would never be replaced */
    good &= expect(report, stream, "kind", !row->kv || info->max_per_subject > 0, "a stream",
                   "a KV bucket (max_msgs_per_subject)");
    good &= expect(report, stream, "retention", info->limits_retention, "interest or workqueue",
                   "limits");
    good &= expect(report, stream, "discard", info->discard_new == discard_new,
                   info->discard_new ? "new" : "old", discard_new ? "new" : "old");
    good &= expect(report, stream, "storage", info->file_storage, "memory", "file");
    good &= expect(report, stream, "allow_rollup_hdrs", !info->rollup_allowed, "true", "false");
    return good;
}

/* ---- creating ---- */

struct plan {
    struct bus *bus;
    const struct config *config;
    struct buf *report;
    bool missing[TWIN_STREAMS], created[TWIN_STREAMS];
    double scale; /* of every size */
    int64_t wanted_bytes;
};

static enum bus_status failed(struct plan *plan, enum bus_status status, enum twin_stream stream,
                              const struct bus_error *error)
{
    buf_addf(plan->report, "%s%s: %s", plan->report->size_bytes ? "\n" : "", names[stream],
             error->text);
    return status;
}

static int64_t scaled(const struct plan *plan, int64_t bytes)
{
    return plan->scale < 1 ? (int64_t)((double)bytes * plan->scale) : bytes;
}

/* Looks at what is there; contradictions are BUS_CONFLICT, when all have been looked at. */
static enum bus_status look(struct plan *plan)
{
    bool good = true;
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++) {
        struct bus_stream_info info;
        struct bus_error error;
        enum bus_status status = bus_stream_info(plan->bus, names[s], &info, &error);
        plan->missing[s] = status == BUS_NOT_FOUND;
        if (status == BUS_OK)
            good &= streams_check(s, plan->config, &info, plan->report);
        else if (!plan->missing[s])
            return failed(plan, status, s, &error);
    }
    if (!good)
        return BUS_CONFLICT;
    if (plan->config->nats.streams != STREAMS_VERIFY)
        return BUS_OK;
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++) {
        if (!plan->missing[s])
            continue;
        good = false;
        buf_addf(plan->report, "%s%s: is missing, and nats.streams is verify",
                 plan->report->size_bytes ? "\n" : "", names[s]);
    }
    return good ? BUS_OK : BUS_NOT_FOUND;
}

/* Fits the sizes to what the account may still reserve, where it says so. */
static enum bus_status fit(struct plan *plan)
{
    struct bus_error error;
    int64_t left = 0;
    int replicas = plan->config->nats.replicas > 1 ? plan->config->nats.replicas : 1;
    plan->scale = 1;
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++)
        if (plan->missing[s])
            plan->wanted_bytes += limit_of(plan->config, table[s].bytes) * replicas;
    if (plan->wanted_bytes == 0)
        return BUS_OK;
    enum bus_status status = bus_storage_left(plan->bus, &left, &error);
    if (status != BUS_OK) {
        buf_addf(plan->report, "storage: %s", error.text);
        return status;
    }
    /* buckets and the unbounded streams want some of it too */
    if (left < plan->wanted_bytes)
        plan->scale = 0.9 * (double)left / (double)plan->wanted_bytes;
    return BUS_OK;
}

/* The server as a whole has not as much: everything by half, also what was just created, so that
 * the first streams do not take all of it. */
static enum bus_status halve(struct plan *plan)
{
    struct bus_error error;
    plan->scale /= 2;
    for (enum twin_stream s = 0; s < TWIN_STREAMS; s++) {
        int64_t bytes = limit_of(plan->config, table[s].bytes);
        if (!plan->created[s] || bytes == 0)
            continue;
        enum bus_status status =
            bus_stream_resize(plan->bus, names[s], scaled(plan, bytes), &error);
        if (status != BUS_OK)
            return failed(plan, status, s, &error);
    }
    return BUS_OK;
}

static enum bus_status create(struct plan *plan, enum twin_stream s)
{
    struct bus_stream_spec spec;
    char subject[STREAMS_SUBJECT_BYTES];
    struct bus_error error;
    streams_spec(s, plan->config, &spec, subject);
    const int64_t wanted = spec.max_bytes;
    for (;;) {
        spec.max_bytes = scaled(plan, wanted);
        if (wanted > 0 && spec.max_bytes < STREAM_MIN_BYTES && spec.max_bytes < wanted) {
            snprintf(error.text, sizeof(error.text),
                     "%lld bytes are wanted and the server has not even %d to reserve",
                     (long long)wanted, STREAM_MIN_BYTES);
            return failed(plan, BUS_FULL, s, &error);
        }
        enum bus_status status = bus_stream_create(plan->bus, &spec, &error);
        if (status == BUS_OK) {
            plan->created[s] = true;
            log_info("streams.created", "stream", spec.name, "subject", subject, "max_bytes",
                     LOG_INT(spec.max_bytes));
            return BUS_OK;
        }
        if (status == BUS_CONFLICT) { /* another hub was first: is it as it must be? */
            struct bus_stream_info info;
            status = bus_stream_info(plan->bus, spec.name, &info, &error);
            if (status != BUS_OK)
                return failed(plan, status, s, &error);
            return streams_check(s, plan->config, &info, plan->report) ? BUS_OK : BUS_CONFLICT;
        }
        if (status != BUS_FULL)
            return failed(plan, status, s, &error);
        if (plan->scale < (double)STREAM_MIN_BYTES / (double)(plan->wanted_bytes + 1))
            return failed(plan, BUS_FULL, s, &error);
        status = halve(plan);
        if (status != BUS_OK)
            return status;
    }
}

enum bus_status streams_ensure(struct bus *bus, const struct config *config, struct buf *report)
{
    struct plan plan = {.bus = bus, .config = config, .report = report};
    enum bus_status status = look(&plan);
    if (status == BUS_OK)
        status = fit(&plan);
    for (enum twin_stream s = 0; s < TWIN_STREAMS && status == BUS_OK; s++)
        if (plan.missing[s])
            status = create(&plan, s);
    if (status == BUS_OK && plan.scale < 1)
        log_warn("streams.scaled_down", "wanted_bytes", LOG_INT(plan.wanted_bytes),
                 "reserved_bytes", LOG_INT(scaled(&plan, plan.wanted_bytes)));
    return status;
}

/* ---- keys ---- */

const char *streams_shadow_subject(enum key_style style, const char *env, struct slice vid,
                                   enum part_kind part, char out[STREAMS_SUBJECT_BYTES])
{
    const char c = style == KEY_DOTS ? '.' : '/';
    snprintf(out, STREAMS_SUBJECT_BYTES, SHADOW_PREFIX "fleet%c%s%cveh%c%.*s%c%s", c, env, c, c,
             (int)vid.size, vid.at, c, part_name(part));
    return out;
}

/* Takes `text` off the front. */
static bool skip(const char **at, const char *text)
{
    size_t size = strlen(text);
    if (strncmp(*at, text, size) != 0)
        return false;
    *at += size;
    return true;
}

bool streams_shadow_parse(enum key_style style, const char *env, const char *subject,
                          struct slice *vid, enum part_kind *part)
{
    const char separator[2] = {style == KEY_DOTS ? '.' : '/', '\0'};
    const char *at = subject;
    if (!skip(&at, SHADOW_PREFIX) || !skip(&at, "fleet") || !skip(&at, separator) ||
        !skip(&at, env) || !skip(&at, separator) || !skip(&at, "veh") || !skip(&at, separator))
        return false;
    const char *end = strchr(at, separator[0]);
    enum part_kind kind;
    if (!end || !vid_valid(at, (size_t)(end - at)) ||
        !part_of_name(end + 1, strlen(end + 1), &kind))
        return false;
    *vid = (struct slice){at, (size_t)(end - at)};
    *part = kind;
    return true;
}

static bool is_mark(const char *at, size_t size)
{
    return size == strlen(MARK) && memcmp(at, MARK, size) == 0;
}

const char *streams_last_subject(struct slice vid, char out[STREAMS_SUBJECT_BYTES])
{
    snprintf(out, STREAMS_SUBJECT_BYTES, LAST_PREFIX "%s%.*s", is_mark(vid.at, vid.size) ? "=" : "",
             (int)vid.size, vid.at);
    return out;
}

const char *streams_mark_subject(void)
{
    return LAST_PREFIX MARK;
}

bool streams_last_parse(const char *subject, struct slice *vid)
{
    const char *at = subject;
    if (!skip(&at, LAST_PREFIX))
        return false;
    bool escaped = skip(&at, "=");
    size_t size = strlen(at);
    if (!vid_valid(at, size) || is_mark(at, size) != escaped)
        return false;
    *vid = (struct slice){at, size};
    return true;
}
