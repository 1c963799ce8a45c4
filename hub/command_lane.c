#include "hub/command_impl.h"

#include "hub/clock.h"
#include "hub/geofence.h"
#include "hub/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    STOP_FLUSH_MS = 1000,
    RECOVERY_WINDOW = 16384, /* recovery commands wait for no window, if it can be helped */
    ASK_WORKERS = 4,
    ASK_QUEUE = 256,
    WORKERS_STOP_MS = 2000,
    SERVED_MAX_BYTES = 1000 * 1000, /* below the broker's max_payload of 1 MiB */
};

bool lane_may_act(const struct command_lane *lane)
{
    return lane->stage == LANE_ACTIVE && clock_mono_ms() < atomic_load(&lane->lease_until_ms);
}

int64_t lane_now_ns(const struct command_lane *lane)
{
    return broker_clock_now(lane->options.clock, NULL);
}

int64_t command_created_now(struct command_lane *lane)
{
    int64_t now_ns = lane_now_ns(lane), last_ns = atomic_load(&lane->created_ns);
    do {
        if (now_ns <= last_ns)
            now_ns = last_ns + 1;
    } while (!atomic_compare_exchange_weak(&lane->created_ns, &last_ns, now_ns));
    return now_ns;
}

bool command_lane_reload(struct command_lane *lane, struct buf *why)
{
    struct geo_area *geofence = NULL;
    struct command_past_fence *past = malloc(sizeof *past);
    if (!past || !geofence_load(config_now(lane->options.config), &geofence, why)) {
        free(past);
        return false;
    }
    *past =
        (struct command_past_fence){atomic_exchange(&lane->geofence, geofence), lane->past_fences};
    lane->past_fences = past;
    return true;
}

bool command_lane_holds(struct command_lane *lane)
{
    pthread_mutex_lock(&lane->lock);
    bool holds = lane_may_act(lane);
    pthread_mutex_unlock(&lane->lock);
    return holds;
}

void command_lane_open(struct command_lane *lane, size_t *open, size_t *paused)
{
    *open = *paused = 0;
    pthread_mutex_lock(&lane->lock);
    if (lane_may_act(lane))
        *open = lane->open_count;
    for (size_t i = 0; i < *open; i++)
        *paused += lane->open[i]->state == COMMAND_STATE_PAUSED;
    pthread_mutex_unlock(&lane->lock);
}

/* ---- asking ---- */

static void no_holder(struct command_answer *answer)
{
    command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                           "No hub of this region runs the command lane right now; one takes over "
                           "within seconds. Try again.");
}

static void pass_on(struct command_lane *lane, const struct command_ask *ask,
                    struct command_answer *answer)
{
    char subject[STREAMS_SUBJECT_BYTES];
    struct buf text = BUF_INIT;
    struct bus_error error;
    char *reply = NULL;
    size_t size;
    if (!command_lease_holder(lane, subject)) {
        no_holder(answer);
        return;
    }
    command_ask_write(&text, ask);
    enum bus_status status =
        text.failed ? BUS_ERROR
                    : bus_request(lane->options.bus, subject, text.data, text.size_bytes,
                                  COMMAND_ASK_MS, &reply, &size, &error);
    buf_done(&text);
    if (status == BUS_OK && !command_answer_read(reply, size, answer))
        command_answer_problem(answer, PROBLEM_INTERNAL,
                               "The hub that runs the command lane gave an answer that this one "
                               "does not understand.");
    else if (status == BUS_FULL)
        command_answer_problem(answer, PROBLEM_BODY_TOO_LARGE,
                               "It is too large to be passed on to the hub that runs the command "
                               "lane.");
    else if (status == BUS_NOT_FOUND)
        no_holder(answer);
    else if (status != BUS_OK)
        command_answer_problem(answer, PROBLEM_UNAVAILABLE,
                               "The hub that runs the command lane does not answer. Whether it did "
                               "what was asked is not known.");
    free(reply);
}

void command_lane_ask(struct command_lane *lane, const struct command_ask *ask,
                      struct command_answer *answer)
{
    if (command_lane_holds(lane))
        command_answer_here(lane, ask, answer);
    else
        pass_on(lane, ask, answer);
}

/* ---- being asked by other hubs ---- */

struct served {
    struct worker_job job;
    struct command_lane *lane;
    size_t size;
    char *reply; /* behind the text */
    char text[];
};

static void answer_served(struct served *served, bool run)
{
    struct command_lane *lane = served->lane;
    struct command_answer answer;
    struct buf text = BUF_INIT;
    struct command_asked *asked = run ? command_ask_read(served->text, served->size) : NULL;
    command_answer_init(&answer);
    if (!asked || !command_lane_holds(lane))
        no_holder(&answer);
    else
        command_answer_here(lane, &asked->ask, &answer);
    command_answer_write(&text, &answer);
    if (text.size_bytes > SERVED_MAX_BYTES) {
        buf_reset(&text);
        buf_reset(&answer.body);
        command_answer_problem(&answer, PROBLEM_UNAVAILABLE,
                               "The answer is too large to be passed on between hubs: ask for less "
                               "at once, or ask the hub that runs the command lane.");
        command_answer_write(&text, &answer);
    }
    if (!text.failed)
        bus_publish(lane->options.bus, served->reply, text.data, text.size_bytes);
    buf_done(&text);
    command_answer_done(&answer);
    command_asked_free(asked);
    free(served);
}

static void run_served(struct worker_job *job)
{
    answer_served((struct served *)job, true);
}

static void drop_served(struct worker_job *job)
{
    answer_served((struct served *)job, false);
}

/* On the service's thread. */
static void serve(void *closure, const char *reply, const char *data, size_t size)
{
    struct command_lane *lane = closure;
    size_t reply_bytes = strlen(reply) + 1;
    struct served *served = malloc(sizeof *served + size + 1 + reply_bytes);
    if (!served)
        return;
    *served = (struct served){
        .job = {.run = run_served, .drop = drop_served}, .lane = lane, .size = size};
    memcpy(served->text, data, size);
    served->text[size] = '\0';
    served->reply = served->text + size + 1;
    memcpy(served->reply, reply, reply_bytes);
    if (!workers_submit(lane->workers, &served->job))
        answer_served(served, false);
}

/* ---- starting and stopping ---- */

static bool make_id(struct command_lane *lane)
{
    const struct config *config = lane->options.config;
    if (!command_id_make(clock_wall_ns(), lane->hub_id))
        return false;
    snprintf(lane->subject, sizeof lane->subject, "fleet.%s.hub.%s.commands.%s", config->env,
             config->region, lane->hub_id);
    return true;
}

static bool init(struct command_lane *lane)
{
    pthread_condattr_t monotonic;
    struct buf why = BUF_INIT;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_mutex_init(&lane->lock, NULL);
    pthread_mutex_init(&lane->key_lock, NULL);
    pthread_mutex_init(&lane->holder_lock, NULL);
    pthread_cond_init(&lane->work, &monotonic);
    pthread_cond_init(&lane->chore, &monotonic);
    pthread_condattr_destroy(&monotonic);
    lane->lease_seen_ms = clock_mono_ms();
    metrics_set(METRIC_COMMAND_LANE, 0, 0);
    /* Larger than any other hub's so far: who watches a command is told all of it anew. */
    lane->change = (uint64_t)clock_wall_ns();
    lane->cmd_feed = (struct command_feed){.lane = lane, .stream = TWIN_CMD};
    lane->ack_feed = (struct command_feed){.lane = lane, .stream = TWIN_ACK};
    struct geo_area *geofence = NULL;
    if (!geofence_load(config_now(lane->options.config), &geofence, &why)) {
        log_error("command.no_geofence", "detail", buf_cstr(&why));
        buf_done(&why);
        return false;
    }
    buf_done(&why);
    atomic_store(&lane->geofence, geofence);
    struct bus *bus = lane->options.bus;
    lane->rate = command_rate_new();
    lane->parser = doc_parser_new();
    lane->cmd_feed.parser = doc_parser_new();
    lane->ack_feed.parser = doc_parser_new();
    lane->routine = bus_outbox_new(bus, COMMAND_WINDOW, command_send_answered, lane);
    lane->recovery =
        bus_outbox_new(lane->options.urgent_bus, RECOVERY_WINDOW, command_send_answered, lane);
    lane->workers = workers_new(ASK_WORKERS, ASK_QUEUE);
    return lane->rate && lane->parser && lane->cmd_feed.parser && lane->ack_feed.parser &&
           lane->routine && lane->recovery && lane->workers && make_id(lane);
}

static bool start_feed(struct command_feed *feed)
{
    feed->running = pthread_create(&feed->thread, NULL, command_feed_run, feed) == 0;
    return feed->running;
}

static bool start_threads(struct command_lane *lane)
{
    lane->lane_running = pthread_create(&lane->lane_thread, NULL, command_send_run, lane) == 0;
    lane->keeper_running =
        pthread_create(&lane->keeper_thread, NULL, command_keeper_run, lane) == 0;
    lane->service = bus_service_open(lane->options.bus, lane->subject, serve, lane);
    bool good = lane->lane_running && lane->keeper_running && lane->service &&
                start_feed(&lane->cmd_feed) && start_feed(&lane->ack_feed);
    lane->lease_running =
        good && pthread_create(&lane->lease_thread, NULL, command_lease_run, lane) == 0;
    return lane->lease_running;
}

struct command_lane *command_lane_start(const struct command_lane_options *options)
{
    struct command_lane *lane = calloc(1, sizeof *lane);
    if (!lane)
        return NULL;
    lane->options = *options;
    if (init(lane) && start_threads(lane))
        return lane;
    command_lane_stop(lane);
    return NULL;
}

static void join(bool running, pthread_t thread)
{
    if (running)
        pthread_join(thread, NULL);
}

void command_lane_stop(struct command_lane *lane)
{
    if (!lane)
        return;
    bus_service_close(lane->service);
    while (lane->workers && !workers_stop(lane->workers, WORKERS_STOP_MS))
        ; /* what they wait for has its deadlines */
    workers_free(lane->workers);
    pthread_mutex_lock(&lane->lock);
    atomic_store(&lane->stop, true);
    pthread_cond_broadcast(&lane->work);
    pthread_cond_broadcast(&lane->chore);
    pthread_mutex_unlock(&lane->lock);
    join(lane->lane_running, lane->lane_thread);
    join(lane->keeper_running, lane->keeper_thread);
    join(lane->cmd_feed.running, lane->cmd_feed.thread);
    join(lane->ack_feed.running, lane->ack_feed.thread);
    join(lane->lease_running, lane->lease_thread);
    /* What is under way is answered before another hub takes over. */
    if (lane->recovery)
        bus_outbox_flush(lane->recovery, STOP_FLUSH_MS);
    if (lane->routine)
        bus_outbox_flush(lane->routine, STOP_FLUSH_MS);
    bus_outbox_free(lane->recovery);
    bus_outbox_free(lane->routine);
    if (lane->lease_running)
        command_lease_return(lane);
    bus_consumer_close(lane->specs);
    command_forget_all(lane);
    command_rate_free(lane->rate);
    geo_area_free(atomic_load(&lane->geofence));
    for (struct command_past_fence *past = lane->past_fences, *next; past; past = next) {
        next = past->next;
        geo_area_free(past->area);
        free(past);
    }
    doc_parser_free(lane->parser);
    doc_parser_free(lane->cmd_feed.parser);
    doc_parser_free(lane->ack_feed.parser);
    free(lane->open);
    free(lane->vehicles);
    pthread_cond_destroy(&lane->chore);
    pthread_cond_destroy(&lane->work);
    pthread_mutex_destroy(&lane->holder_lock);
    pthread_mutex_destroy(&lane->key_lock);
    pthread_mutex_destroy(&lane->lock);
    free(lane);
}
