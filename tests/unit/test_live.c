/*
 * live: clients of two hubs that are fed with the same streams, each at its own pace. Whatever the
 * order in which things happen, and whenever a client goes over to the other hub, what it has been
 * told ends as what that hub holds. No sockets and no servers: events are taken where the HTTP
 * server would take them.
 */
#include "hub/live.h"

#include "hub/clock.h"
#include "hub/registry.h"
#include "tests/unit/random.h"
#include "tests/unit/twin_help.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum {
    VEHICLES = 40,
    MESSAGES = 3000, /* of each stream */
    CLIENTS = 10,
    STEPS = 20000,
    LEVEL_EVERY = 200,
    STREAMS = 4,
    STALE_MS = 150,
    OFFLINE_MS = 400,
    SETTLE_MS = 10000,
    EVENT_MAX_BYTES = 8192,
};

static const enum stream_label streams[STREAMS] = {STREAM_STATE, STREAM_EVENTS, STREAM_SHADOW,
                                                   STREAM_LAST};
static const char *const filters[] = {
    "",
    "state.mode.mode = \"AUTO\"",
    "state.mode.mode = \"AUTO\" AND state.battery.remaining < 50",
    "presence.status = \"online\"",
    "NOT presence.status = \"offline\"",
    "meta.site = \"oslo\" OR vid = \"V-1*\"",
    "vid = \"V-2*\"",
    "state.battery:*",
};
enum { FILTERS = sizeof filters / sizeof *filters };
static const char *const fields_texts[] = {NULL, NULL, "state.mode", "meta,state.battery",
                                           "presence.status"};
enum { FIELDS = sizeof fields_texts / sizeof *fields_texts };

struct message {
    uint32_t vehicle;
    int kind; /* which state, or what of a registration */
    int value;
    int64_t received_ns;
};

struct hub {
    struct store *store;
    struct broker_clock clock;
    struct live *live;
    size_t applied[STREAMS];
};

struct held {
    bool has;
    char data[EVENT_MAX_BYTES];
};

struct client {
    struct hub *hub;
    struct http_stream *stream;
    const char *filter, *fields;
    int number; /* of the query */
    struct held held[VEHICLES];
    char id[LIVE_ID_MAX_BYTES];
    int readies, resets;
    bool resumed; /* since it was opened first: events may come that make no sense */
    char wrong[256];
};

_Static_assert(LIVE_ID_MAX_BYTES >= 601, "an id has room");

static struct message messages[STREAMS][MESSAGES];
static struct hub hubs[2];
static struct random chance;

/* ---- the streams ---- */

static void make_messages(void)
{
    int64_t now_ns = T0;
    for (size_t i = 0; i < MESSAGES; i++)
        for (int s = 0; s < STREAMS; s++) {
            now_ns += 10000;
            messages[s][i] = (struct message){
                .vehicle = random_below(&chance, VEHICLES),
                .kind = (int)random_below(&chance, 2),
                .value = (int)random_below(&chance, 100),
                .received_ns = now_ns,
            };
        }
}

static const char *vid_of(uint32_t n, char vid[16])
{
    snprintf(vid, 16, "V-%u", n);
    return vid;
}

static struct twin *with_state(struct twin *old, const struct message *message, uint64_t seq,
                               const void **replaced)
{
    static const char *const modes[] = {"AUTO", "RTL", "LAND"};
    char data[64];
    const struct state *displaced;
    if (message->kind)
        snprintf(data, sizeof data, "{\"mode\":\"%s\"}", modes[message->value % 3]);
    else
        snprintf(data, sizeof data, "{\"remaining\":%d}", message->value);
    struct state *state =
        state_of(message->kind ? "mode" : "battery",
                 version_of(NULL, SEQ_NONE, message->received_ns), message->received_ns, data);
    state->stream_seq = seq;
    struct twin *twin = twin_with_state(old, state, &displaced);
    *replaced = displaced;
    return twin;
}

static void put_message(struct hub *hub, int stream, const struct message *message, uint64_t seq)
{
    char vid[16], data[64];
    const void *replaced = NULL;
    vid_of(message->vehicle, vid);
    /* Few entries of TWIN_LAST change a registration; the others make no vehicle. */
    bool says_nothing = streams[stream] == STREAM_LAST && message->value >= 9;
    if (says_nothing)
        return;
    struct vehicle *vehicle = store_vehicle(hub->store, vid, strlen(vid));
    struct twin *old = store_current(vehicle), *twin = NULL;
    if (streams[stream] == STREAM_LAST) {
        struct registry_entry entry = {.vid = slice_of(vehicle->vid),
                                       .change = message->value < 6 ? REGISTRY_RETIRED
                                                                    : REGISTRY_REGISTERED,
                                       .seq = seq,
                                       .received_ns = message->received_ns,
                                       .registered_ns = TIMESTAMP_NONE,
                                       .retired_ns = TIMESTAMP_NONE};
        assert_true(registry_apply(hub->store, vehicle, &entry, true));
        return;
    }
    if (twin_buries(old, message->received_ns))
        return;
    if (streams[stream] == STREAM_STATE) {
        twin = with_state(old, message, seq, &replaced);
    } else {
        twin = twin_copy(old);
    }
    if (streams[stream] == STREAM_SHADOW) {
        snprintf(data, sizeof data, "{\"site\":\"%s\"}", message->kind ? "oslo" : "bergen");
        struct part *part = part_of(seq, data);
        part->updated_ns = message->received_ns;
        replaced = twin->parts[PART_META];
        twin->parts[PART_META] = part;
    } else {
        twin->presence = presence_heard(old->presence, message->received_ns);
        twin->hidden = false;
    }
    store_hear(vehicle, streams[stream], seq);
    store_put(hub->store, vehicle, twin);
    store_retire(hub->store, replaced);
}

/* The next message of a stream; false where there is none. */
static bool apply(struct hub *hub, int stream)
{
    size_t at = hub->applied[stream];
    if (at == MESSAGES)
        return false;
    const struct message *message = &messages[stream][at];
    store_lock(hub->store);
    put_message(hub, stream, message, at + 1);
    store_advance(hub->store, streams[stream],
                  (struct position){T0 + stream * NS_PER_MS, at + 1, message->received_ns});
    store_unlock(hub->store);
    hub->applied[stream] = at + 1;
    return true;
}

static const struct presence_limits limits = {STALE_MS * NS_PER_MS, OFFLINE_MS *NS_PER_MS};

/* Time passes, for each hub at its own moment. */
static void sweep(struct hub *hub)
{
    int64_t now_ns = broker_clock_now(&hub->clock, NULL);
    store_lock(hub->store);
    for (uint32_t i = 0; i < store_count(hub->store); i++) {
        struct vehicle *vehicle = store_vehicle_at(hub->store, i);
        struct presence was = store_current(vehicle)->presence;
        struct presence now = presence_aged(was, now_ns, T0, &limits);
        if (now.status == was.status)
            continue;
        struct twin *twin = twin_copy(store_current(vehicle));
        twin->presence = now;
        store_put(hub->store, vehicle, twin);
    }
    store_unlock(hub->store);
    store_set_sweep(hub->store, (struct store_sweep){T0, now_ns});
}

/* ---- clients ---- */

static void take_event(struct client *client, const char *name, const char *id, const char *data)
{
    unsigned n = VEHICLES;
    sscanf(data, "{\"vid\":\"V-%u\"", &n);
    struct held *held = n < VEHICLES ? &client->held[n] : NULL;
    snprintf(client->id, sizeof client->id, "%s", id);
    bool enters = strcmp(name, "enter") == 0, leaves = strcmp(name, "leave") == 0;
    if (strcmp(name, "ready") == 0) {
        client->readies++;
    } else if (strcmp(name, "reset") == 0) {
        client->resets++;
        for (int i = 0; i < VEHICLES; i++)
            client->held[i].has = false;
    } else if (!held || (!client->resumed && held->has == enters)) {
        snprintf(client->wrong, sizeof client->wrong, "%.20s %.200s", name, data);
    } else {
        held->has = !leaves;
        snprintf(held->data, sizeof held->data, "%s", data);
    }
}

static void take_text(struct client *client, char *text)
{
    char *next;
    for (char *at = text; *at; at = next) {
        char name[16], id[601], *data = strstr(at, "\ndata: ");
        next = strstr(at, "\n\n");
        assert_non_null(next);
        *next = '\0';
        next += 2;
        if (at[0] == ':')
            continue;
        assert_non_null(data);
        assert_int_equal(sscanf(at, "event: %15s\nid: %600s", name, id), 2);
        take_event(client, name, id, data + 7);
    }
}

/* What the server would have sent by now. True where there was something. */
static bool take(struct client *client)
{
    struct buf out = BUF_INIT;
    enum http_more more = client->stream->next(client->stream, &out);
    assert_true(more == HTTP_MORE || more == HTTP_WAIT);
    bool some = out.size_bytes > 0;
    if (some) {
        char *text = buf_take(&out, NULL);
        take_text(client, text);
        free(text);
    }
    buf_done(&out);
    return some;
}

static void open_client(struct client *client, struct hub *hub)
{
    struct query query;
    struct query_options options = {.viewer = &viewer_all, .region = "r", .filter = client->filter};
    struct live_request request = {.query = &query, .resumes = client->id[0] != '\0'};
    struct text_error error;
    assert_int_equal(query_init(&query, &options, &error), QUERY_OK);
    if (client->fields)
        request.fields = fields_compile(client->fields, strlen(client->fields), &error);
    request.id_good = request.resumes && live_id_read(client->id, &request.id);
    assert_int_equal(request.id_good, request.resumes);
    request.digest[0] = (uint8_t)client->number;
    client->resumed = client->resumed || request.resumes;
    client->hub = hub;
    enum live_status status = LIVE_FULL; /* until the lane has noticed who left */
    for (int ms = 0; status == LIVE_FULL && ms < SETTLE_MS; ms++) {
        status = live_open(hub->live, &request, &client->stream);
        if (status == LIVE_FULL)
            clock_pause_ms(1);
    }
    assert_int_equal(status, LIVE_OK);
}

static void close_client(struct client *client)
{
    client->stream->free(client->stream);
    client->stream = NULL;
}

/* ---- what a client should hold ---- */

static void write_expected(const struct client *client, const struct twin *twin, struct buf *out)
{
    struct twin_view view = {&viewer_all, "r", false};
    struct text_error error;
    if (!client->fields) {
        twin_write(out, twin, &view);
        return;
    }
    struct fields *fields = fields_compile(client->fields, strlen(client->fields), &error);
    fields_write(out, fields, twin, &view);
    fields_free(fields);
}

/* Since when a vehicle is online, two hubs of which one alone found it stale do not agree. */
static char *without_since(const char *twin)
{
    char *text = strdup(twin), *since = strstr(text, "\"since\":\"");
    assert_non_null(text);
    if (since && strstr(text, "\"status\":\"online\"")) {
        char *end = strchr(since, '}');
        memmove(since, end, strlen(end) + 1);
    }
    return text;
}

static bool same_twin(const char *a, const char *b)
{
    char *one = without_since(a), *other = without_since(b);
    bool same = strcmp(one, other) == 0;
    free(one);
    free(other);
    return same;
}

/* "" where the client holds what its hub does; else the first vehicle that differs. */
static const char *difference(const struct client *client)
{
    static char text[3 * EVENT_MAX_BYTES];
    struct query query;
    struct query_options options = {.viewer = &viewer_all, .region = "r", .filter = client->filter};
    struct text_error error;
    text[0] = '\0';
    assert_int_equal(query_init(&query, &options, &error), QUERY_OK);
    size_t place = store_enter(client->hub->store);
    for (uint32_t n = 0; n < VEHICLES && !text[0]; n++) {
        char vid[16];
        const struct twin *twin = store_find(client->hub->store, vid_of(n, vid));
        bool wanted = twin && query_selects(&query, twin);
        struct buf out = BUF_INIT;
        if (wanted)
            write_expected(client, twin, &out);
        const struct held *held = &client->held[n];
        if (wanted != held->has || (wanted && !same_twin(held->data, buf_cstr(&out))))
            snprintf(text, sizeof text, "%s, filter %s, fields %s: has %s, wanted %s", vid,
                     client->filter, client->fields ? client->fields : "all",
                     held->has ? held->data : "nothing", wanted ? buf_cstr(&out) : "nothing");
        buf_done(&out);
    }
    store_leave(client->hub->store, place);
    query_done(&query);
    return text;
}

static void settle(struct client *client)
{
    int64_t until_ms = clock_mono_ms() + SETTLE_MS;
    const char *differs = difference(client);
    while (*differs && clock_mono_ms() < until_ms) {
        if (!take(client))
            clock_pause_ms(2);
        differs = difference(client);
    }
    if (*differs)
        fail_msg("%s", differs);
    if (client->wrong[0])
        fail_msg("an event that makes no sense: %s", client->wrong);
}

/* ---- tests ---- */

static int make(void **state)
{
    (void)state;
    chance = random_seeded("live");
    make_messages();
    for (int i = 0; i < 2; i++) {
        hubs[i] = (struct hub){.store = store_new()};
        broker_clock_init(&hubs[i].clock, hubs[i].store);
        struct live_options options = {.store = hubs[i].store,
                                       .clock = &hubs[i].clock,
                                       .region = "r",
                                       .presence = limits,
                                       .clients_max = CLIENTS + 1};
        hubs[i].live = live_new(&options);
        if (!hubs[i].live)
            return -1;
    }
    return 0;
}

static int destroy(void **state)
{
    (void)state;
    for (int i = 0; i < 2; i++) {
        live_drain(hubs[i].live);
        live_free(hubs[i].live);
        broker_clock_done(&hubs[i].clock);
        store_free(hubs[i].store);
    }
    return 0;
}

static struct hub *any_hub(void)
{
    return &hubs[random_below(&chance, 2)];
}

static void one_step(struct client *clients)
{
    struct client *client = &clients[random_below(&chance, CLIENTS)];
    unsigned what = random_below(&chance, 1000);
    if (what < 600) {
        apply(any_hub(), (int)random_below(&chance, STREAMS));
    } else if (what < 980) {
        take(client);
    } else if (what < 990) {
        sweep(any_hub());
    } else {
        close_client(client);
        open_client(client, any_hub());
    }
}

static void apply_all(void)
{
    for (int i = 0; i < 2; i++)
        for (int s = 0; s < STREAMS; s++)
            while (apply(&hubs[i], s))
                ;
}

/* Both hubs stand at the same place, and nothing happens until every client holds what they do.
 * What went wrong shows now; later changes of the same vehicles would hide it. */
static void level(struct client *clients)
{
    for (int s = 0; s < STREAMS; s++)
        for (int i = 0; i < 2; i++)
            while (hubs[i].applied[s] < hubs[1 - i].applied[s])
                apply(&hubs[i], s);
    for (int i = 0; i < 2; i++) /* one may have judged a silence that the other has not yet */
        sweep(&hubs[i]);
    for (int i = 0; i < CLIENTS; i++)
        settle(&clients[i]);
}

/* Both hubs agree that everybody is silent. */
static void fall_silent(void)
{
    int64_t until_ms = clock_mono_ms() + OFFLINE_MS + 100;
    while (clock_mono_ms() < until_ms)
        clock_pause_ms(10);
    for (int i = 0; i < 2; i++)
        sweep(&hubs[i]);
}

static void clients_end_with_what_their_hub_holds(void **state)
{
    (void)state;
    struct client *clients = calloc(CLIENTS, sizeof *clients);
    for (int i = 0; i < CLIENTS; i++) {
        clients[i].filter = filters[i % FILTERS];
        clients[i].number = i;
        clients[i].fields = fields_texts[random_below(&chance, FIELDS)];
        open_client(&clients[i], any_hub());
    }
    for (int step = 1; step <= STEPS; step++) {
        one_step(clients);
        if (step % LEVEL_EVERY == 0)
            level(clients);
    }
    apply_all();
    level(clients);
    fall_silent();
    for (int i = 0; i < CLIENTS; i++)
        settle(&clients[i]);
    for (int round = 0; round < 2; round++) { /* and across once more, when nothing changes */
        for (int i = 0; i < CLIENTS; i++) {
            int readies = clients[i].readies;
            struct hub *other = clients[i].hub == &hubs[0] ? &hubs[1] : &hubs[0];
            close_client(&clients[i]);
            open_client(&clients[i], other);
            for (int ms = 0; clients[i].readies == readies && ms < SETTLE_MS; ms += 2)
                if (!take(&clients[i]))
                    clock_pause_ms(2);
            assert_int_equal(clients[i].readies, readies + 1);
            settle(&clients[i]);
        }
    }
    for (int i = 0; i < CLIENTS; i++)
        close_client(&clients[i]);
    free(clients);
}

static void more_clients_than_there_may_be_are_refused(void **state)
{
    (void)state;
    struct client clients[CLIENTS + 1] = {{.hub = NULL}};
    struct query query;
    struct query_options options = {.viewer = &viewer_all, .region = "r"};
    struct live_request request = {.query = &query};
    struct text_error error;
    struct http_stream *stream;
    for (int i = 0; i <= CLIENTS; i++) {
        clients[i].filter = "";
        open_client(&clients[i], &hubs[0]);
    }
    assert_int_equal(query_init(&query, &options, &error), QUERY_OK);
    assert_int_equal(live_open(hubs[0].live, &request, &stream), LIVE_FULL);
    close_client(&clients[3]);
    enum live_status status = LIVE_FULL;
    for (int ms = 0; status == LIVE_FULL && ms < SETTLE_MS; ms += 2) {
        status = live_open(hubs[0].live, &request, &stream);
        clock_pause_ms(2);
    }
    assert_int_equal(status, LIVE_OK); /* its place is free again */
    stream->free(stream);
    for (int i = 0; i <= CLIENTS; i++)
        if (i != 3)
            close_client(&clients[i]);
    live_drain(hubs[0].live);
    assert_int_equal(query_init(&query, &options, &error), QUERY_OK);
    assert_int_equal(live_open(hubs[0].live, &request, &stream), LIVE_STOPPING);
    query_done(&query);
}

static void streams_of_a_lane_that_is_drained_end(void **state)
{
    (void)state;
    struct client client = {.filter = ""};
    struct buf out = BUF_INIT;
    open_client(&client, &hubs[0]);
    for (int ms = 0; client.readies == 0 && ms < SETTLE_MS; ms += 2)
        if (!take(&client))
            clock_pause_ms(2);
    live_drain(hubs[0].live);
    assert_int_equal(client.stream->next(client.stream, &out), HTTP_END);
    assert_int_equal(out.size_bytes, 0);
    close_client(&client);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, make, destroy)
    const struct CMUnitTest tests[] = {
        TEST(clients_end_with_what_their_hub_holds),
        TEST(more_clients_than_there_may_be_are_refused),
        TEST(streams_of_a_lane_that_is_drained_end),
    };
    return cmocka_run_group_tests_name("live", tests, NULL, NULL);
}
