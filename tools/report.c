#include "tools/report.h"

#include "twin/timestamp.h"

#include <stdio.h>
#include <string.h>

/* What a simulated fleet sends: no commands. */
static const enum category SENT[] = {CATEGORY_STATE, CATEGORY_EVENT, CATEGORY_ACK};
enum { SENT_COUNT = sizeof SENT / sizeof *SENT };

int report_type(struct report *report, enum category category, const char *name)
{
    for (int i = 0; i < report->type_count; i++)
        if (report->types[i].category == category && strcmp(report->types[i].name, name) == 0)
            return i;
    if (report->type_count == REPORT_TYPES_MAX || strlen(name) > TYPE_MAX_BYTES)
        return REPORT_TYPE_NONE;
    struct report_type *type = &report->types[report->type_count];
    type->category = category;
    snprintf(type->name, sizeof type->name, "%s", name);
    return report->type_count++;
}

static uint64_t sum(const uint64_t counts[CATEGORY_COUNT])
{
    uint64_t total = 0;
    for (int i = 0; i < SENT_COUNT; i++)
        total += counts[SENT[i]];
    return total;
}

uint64_t report_sent(const struct report *report)
{
    return sum(report->sent);
}

static void put_count(struct buf *buf, const char *name, uint64_t count)
{
    buf_json_name(buf, name);
    buf_json_int(buf, (int64_t)count);
}

static void put_text(struct buf *buf, const char *name, const char *text)
{
    buf_json_name(buf, name);
    buf_json_cstr(buf, text);
}

static void open_object(struct buf *buf, const char *name)
{
    buf_json_name(buf, name);
    buf_addc(buf, '{');
}

static void close_object(struct buf *buf)
{
    buf_addc(buf, '}');
}

static void put_members(struct buf *buf, const uint64_t counts[CATEGORY_COUNT])
{
    put_count(buf, "total", sum(counts));
    for (int i = 0; i < SENT_COUNT; i++)
        put_count(buf, category_token(SENT[i]), counts[SENT[i]]);
}

static void put_counts(struct buf *buf, const char *name, const uint64_t counts[CATEGORY_COUNT])
{
    open_object(buf, name);
    put_members(buf, counts);
    close_object(buf);
}

static void put_sent(struct buf *buf, const struct report *report)
{
    open_object(buf, "sent");
    put_members(buf, report->sent);
    put_count(buf, "bytes", report->sent_bytes);
    put_count(buf, "state_dropped", report->state_dropped);
    open_object(buf, "types");
    for (int i = 0; i < report->type_count; i++) {
        char name[TYPE_MAX_BYTES + 16];
        if (report->types[i].sent == 0)
            continue;
        snprintf(name, sizeof name, "%s.%s", category_token(report->types[i].category),
                 report->types[i].name);
        put_count(buf, name, report->types[i].sent);
    }
    close_object(buf);
    close_object(buf);
}

static void put_streams(struct buf *buf, const char *name,
                        const uint64_t counts[GATEWAY_STREAM_COUNT], bool state)
{
    uint64_t total = 0;
    open_object(buf, name);
    for (int i = 0; i < GATEWAY_STREAM_COUNT; i++) {
        if (i == GATEWAY_STATE && !state)
            continue;
        put_count(buf, gateway_stream_name((enum gateway_stream)i), counts[i]);
        total += counts[i];
    }
    put_count(buf, "total", total);
    close_object(buf);
}

static void put_gateway(struct buf *buf, const struct report *report, const struct gateway *gateway)
{
    const struct gateway_counts *counts = gateway_counts(gateway);
    uint64_t retried = 0;

    open_object(buf, "gateway");
    buf_json_name(buf, "until_archived");
    buf_adds(buf, report->until_archived ? "true" : "false");
    put_streams(buf, "kept", counts->kept, true);
    put_streams(buf, "acknowledged", counts->acknowledged, true);
    put_streams(buf, "archived", counts->archived, false);
    put_count(buf, "not_acknowledged", gateway_unacknowledged(gateway));
    put_count(buf, "remaining", gateway_kept(gateway));
    put_count(buf, "publishes", counts->sends);
    put_count(buf, "refused", counts->refused);
    put_count(buf, "positions_heard", counts->positions);
    open_object(buf, "retried");
    for (int i = 0; i < GATEWAY_RETRY_COUNT; i++) {
        put_count(buf, gateway_retry_name((enum gateway_retry)i), counts->retried[i]);
        retried += counts->retried[i];
    }
    put_count(buf, "total", retried);
    close_object(buf);
    close_object(buf);
}

/* What the hub should have counted, by reason and stream. */
static void put_hostile(struct buf *buf, const struct report *report)
{
    uint64_t all[CATEGORY_COUNT] = {0}, by_refusal[REFUSAL_COUNT][CATEGORY_COUNT] = {{0}};
    const char *names[REFUSAL_COUNT] = {NULL};

    open_object(buf, "hostile");
    open_object(buf, "by_kind");
    for (int kind = 0; kind < HOSTILE_COUNT; kind++) {
        enum refusal refusal = hostile_refusal((enum hostile)kind);
        names[refusal] = hostile_expectation((enum hostile)kind);
        for (int c = 0; c < CATEGORY_COUNT; c++) {
            all[c] += report->hostile[kind][c];
            by_refusal[refusal][c] += report->hostile[kind][c];
        }
        if (sum(report->hostile[kind]) == 0)
            continue;
        open_object(buf, hostile_name((enum hostile)kind));
        put_text(buf, "expected", names[refusal]);
        put_members(buf, report->hostile[kind]);
        close_object(buf);
    }
    close_object(buf);
    open_object(buf, "by_expectation");
    for (int i = 0; i < REFUSAL_COUNT; i++)
        if (names[i] && sum(by_refusal[i]) > 0)
            put_counts(buf, names[i], by_refusal[i]);
    close_object(buf);
    put_members(buf, all);
    close_object(buf);
}

static void put_faults(struct buf *buf, const struct report *report)
{
    open_object(buf, "faults");
    put_counts(buf, "duplicates", report->duplicates);
    put_counts(buf, "late", report->late);
    put_counts(buf, "shuffled", report->shuffled);
    open_object(buf, "wrong_clock");
    for (int i = 0; i < CLOCK_FAULT_COUNT; i++)
        put_counts(buf, clock_fault_name((enum clock_fault)i), report->wrong_clock[i]);
    close_object(buf);
    put_hostile(buf, report);
    close_object(buf);
}

static void put_shadow(struct buf *buf, const struct shadow_counts *shadow)
{
    open_object(buf, "shadow");
    put_count(buf, "reported_writes", shadow->reported_writes);
    put_count(buf, "reported_acknowledged", shadow->reported_acknowledged);
    put_count(buf, "desired_seen", shadow->desired_seen);
    put_count(buf, "desired_followed", shadow->desired_followed);
    put_count(buf, "desired_ignored", shadow->desired_ignored);
    close_object(buf);
}

static void put_crew(struct buf *buf, const struct crew_counts *crew)
{
    open_object(buf, "commands");
    put_count(buf, "heard", crew->heard);
    put_count(buf, "heard_again", crew->repeated);
    put_count(buf, "unheard", crew->unheard);
    put_count(buf, "strange", crew->strange);
    put_count(buf, "acted", crew->acted);
    put_count(buf, "acks", crew->said);
    close_object(buf);
}

void report_write(struct buf *buf, const struct report *report, const struct gateway *gateway,
                  const struct shadow_counts *shadow, const struct crew_counts *crew,
                  unsigned reconnects)
{
    double publishing_s =
        (double)(report->published_mono_ns - report->started_mono_ns) / (double)NS_PER_S;
    double total_s = (double)(report->ended_mono_ns - report->started_mono_ns) / (double)NS_PER_S;

    buf_addc(buf, '{');
    put_text(buf, "command", report->command);
    put_text(buf, "env", report->env);
    put_count(buf, "seed", report->seed);
    put_count(buf, "vehicles", report->vehicles);
    put_count(buf, "passes", report->passes);
    put_text(buf, "ended_by", report->ended_by);
    buf_json_name(buf, "started");
    buf_json_timestamp(buf, report->started_real_ns);
    buf_json_name(buf, "duration_s");
    buf_addf(buf, "%.3f", publishing_s);
    buf_json_name(buf, "total_s");
    buf_addf(buf, "%.3f", total_s);
    buf_json_name(buf, "rate_per_s");
    buf_addf(buf, "%.0f", publishing_s > 0 ? (double)report_sent(report) / publishing_s : 0);
    put_count(buf, "reconnects", reconnects);
    put_sent(buf, report);
    put_gateway(buf, report, gateway);
    put_faults(buf, report);
    if (shadow)
        put_shadow(buf, shadow);
    if (crew)
        put_crew(buf, crew);
    buf_addc(buf, '}');
}
