/* metrics: the table, and the lists that labels' values come from. */
#include "hub/build_info.h"
#include "hub/http.h"
#include "hub/metrics_impl.h"
#include "hub/record.h"
#include "twin/command_life.h"
#include "twin/envelope.h"
#include "twin/twin.h"

#define PREFIX "fleethub_"

const struct metric_kind metrics_kinds[METRIC_COUNT] = {
#define X(id, name, type, label_a, label_b, help)                                                  \
    {PREFIX name, help, type, LABEL_##label_a, LABEL_##label_b},
    METRIC_TABLE(X)
#undef X
};

static const char *const label_names[] = {
#define X(id, name) name,
    LABEL_TABLE(X)
#undef X
};

const char *metrics_label_name(enum label label)
{
    return label_names[label];
}

/* ---- lists of label values ---- */

static const char *const stream_names[STREAM_LABELS] = {"TWIN_STATE",  "TWIN_EVENTS", "TWIN_ACK",
                                                        "TWIN_RECORD", "TWIN_SHADOW", "TWIN_ACCESS",
                                                        "TWIN_LAST"};
static const char *const outcome_names[OUTCOME_LABELS] = {"applied", "stale", "duplicate",
                                                          "rejected"};
static const char *const result_names[RESULT_LABELS] = {"ok", "failed"};
static const char *const peer_names[PEER_LABELS] = {"nats", "postgres"};
static const char *const denied_names[DENIED_LABELS] = {"unauthenticated", "forbidden"};
static const char *const live_names[LIVE_LABELS] = {"enter", "update", "leave", "ready", "reset"};

static const char *const command_names[COMMAND_LABELS] = {"routine", "recovery"};
static const char *const running_names[RUNNING_LABELS] = {"running", "paused"};
static const char *const queue_names[QUEUE_LABELS] = {"recorder", "http_record", "http_scan",
                                                      "http_nats"};
static const char *const ack_names[ACK_LABELS] = {"applied", "ignored", "unknown_status",
                                                  "for_nobody"};

/* Indexed by enum refusal; REFUSAL_NONE is no reason and is not written. */
static const char *const reason_names[REFUSAL_COUNT] = {NULL,
#define X(id, name) name,
                                                        REFUSAL_TABLE(X)
#undef X
};

static const int status_codes[] = {
#define X(code) code,
    STATUS_TABLE(X)
#undef X
};
static const char *const status_names[] = {
#define X(code) #code,
    STATUS_TABLE(X)
#undef X
        "other",
};

_Static_assert(sizeof status_names / sizeof status_names[0] == METRICS_STATUS_LABELS,
               "each status has a name, and the last is for all others");

static const struct http_route *known_routes;
static size_t known_route_count;

const size_t metrics_label_room[LABELS] = {
    [LABEL_NONE] = 1,
    [LABEL_STREAM] = STREAM_LABELS,
    [LABEL_OUTCOME] = OUTCOME_LABELS,
    [LABEL_RESULT] = RESULT_LABELS,
    [LABEL_REASON] = REFUSAL_COUNT,
    [LABEL_PRESENCE] = PRESENCE_COUNT,
    [LABEL_KIND] = RECORD_KIND_COUNT,
    [LABEL_PEER] = PEER_LABELS,
    [LABEL_DENIED] = DENIED_LABELS,
    [LABEL_LIVE] = LIVE_LABELS,
    [LABEL_LANE] = COMMAND_LABELS,
    [LABEL_STATUS_OF] = COMMAND_STATES - COMMAND_STATE_SUCCEEDED,
    [LABEL_DELIVERY] = DELIVERY_STATES,
    [LABEL_REPORT] = ACK_LABELS,
    [LABEL_QUEUE] = QUEUE_LABELS,
    [LABEL_RUNNING] = RUNNING_LABELS,
    [LABEL_ROUTE] = METRICS_MAX_ROUTES + 1, /* the last: no route */
    [LABEL_STATUS] = METRICS_STATUS_LABELS,
};
#define FITS(list) ((int)(list) <= (int)METRICS_CELLS)
_Static_assert(FITS(RECORD_KIND_COUNT) && FITS(REFUSAL_COUNT) && FITS(PRESENCE_COUNT) &&
                   FITS(DELIVERY_STATES) && FITS(COMMAND_STATES) &&
                   FITS(STREAM_LABELS * OUTCOME_LABELS),
               "a list of labels outgrew its cells");

size_t metrics_label_count(enum label label)
{
    return label == LABEL_ROUTE ? known_route_count + 1 : metrics_label_room[label];
}

const char *metrics_label_value(enum label label, size_t index)
{
    switch (label) {
    case LABEL_NONE:
        return "";
    case LABEL_STREAM:
        return stream_names[index];
    case LABEL_OUTCOME:
        return outcome_names[index];
    case LABEL_RESULT:
        return result_names[index];
    case LABEL_REASON:
        return reason_names[index];
    case LABEL_PRESENCE:
        return presence_name((enum presence_status)index);
    case LABEL_KIND:
        return record_kind_name((enum record_kind)index);
    case LABEL_PEER:
        return peer_names[index];
    case LABEL_DENIED:
        return denied_names[index];
    case LABEL_LIVE:
        return live_names[index];
    case LABEL_LANE:
        return command_names[index];
    case LABEL_STATUS_OF:
        return command_state_name((enum command_state)(COMMAND_STATE_SUCCEEDED + index));
    case LABEL_DELIVERY:
        return delivery_state_name((enum delivery_state)index);
    case LABEL_REPORT:
        return ack_names[index];
    case LABEL_QUEUE:
        return queue_names[index];
    case LABEL_RUNNING:
        return running_names[index];
    case LABEL_ROUTE:
        return index < known_route_count ? known_routes[index].pattern : "unmatched";
    case LABEL_STATUS:
        return status_names[index];
    case LABELS:
        break;
    }
    return NULL;
}

void metrics_routes(const struct http_route *routes, size_t count)
{
    known_routes = routes;
    known_route_count = count < METRICS_MAX_ROUTES ? count : METRICS_MAX_ROUTES;
}

const struct http_route *metrics_route(size_t index)
{
    return index < known_route_count ? &known_routes[index] : NULL;
}

size_t metrics_status(int status)
{
    for (size_t i = 0; i < METRICS_STATUS_LABELS - 1; i++)
        if (status_codes[i] == status)
            return i;
    return METRICS_STATUS_LABELS - 1;
}

/* ---- build_info ---- */

static struct {
    const char *name, *value;
} build_labels[METRICS_MAX_BUILD_LABELS] = {{"version", FLEETHUB_VERSION}};
static size_t build_label_count = 1;

void metrics_build_label(const char *name, const char *value)
{
    if (build_label_count == METRICS_MAX_BUILD_LABELS)
        return;
    build_labels[build_label_count].name = name;
    build_labels[build_label_count++].value = value;
}

void metrics_build_labels(void (*put)(void *closure, const char *name, const char *value),
                          void *closure)
{
    for (size_t i = 0; i < build_label_count; i++)
        put(closure, build_labels[i].name, build_labels[i].value);
}
