#include "hub/position_gate.h"

#include "hub/clock.h"
#include "hub/metrics.h"
#include "hub/position.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { PACE_MS = 1 }; /* between two looks while somebody waits */

enum waiting { WAITING, REACHED, VOID, LATE, STOPPED };

struct ticket {
    struct fleet_position wanted;
    int wait_ms;
    int64_t until_ms;
    struct queue *queue;
    enum waiting outcome; /* the queue's until `over` is called */
    void (*over)(void *waiter);
    void *waiter;
    struct ticket *next;
};

struct queue {
    struct position_gate *gate;
    pthread_mutex_t lock;
    struct ticket *waiting;
    size_t count;
    bool stopped;
    int wake_fd; /* a ticket came, the twins came further, or it is to stop */
    pthread_t thread;
    bool running;
};

enum { QUEUE_TWINS, QUEUE_ARCHIVE, QUEUES };

struct position_gate {
    struct http_gate http;
    struct store *store;
    struct archive_reader *archive;
    struct queue queues[QUEUES];
};

/* ---- how far it is ---- */

/* The streams that are on record. */
static enum waiting compare_record(const struct fleet_position *wanted,
                                   const struct position on_record[STREAM_LABELS])
{
    static const enum stream_label streams[] = {STREAM_EVENTS, STREAM_ACK, STREAM_RECORD};
    static const struct position no_fork;
    enum waiting outcome = REACHED;
    for (size_t i = 0; i < sizeof streams / sizeof *streams; i++) {
        enum position_order order =
            position_compare(&wanted->streams[streams[i]], &on_record[streams[i]], &no_fork);
        if (order == POSITION_VOID)
            return VOID;
        if (order == POSITION_BEHIND)
            outcome = WAITING;
    }
    return outcome;
}

static enum waiting compare_twins(const struct store *store, const struct fleet_position *wanted)
{
    switch (position_reached(store, wanted)) {
    case POSITION_REACHED:
        return REACHED;
    case POSITION_VOID:
        return VOID;
    case POSITION_BEHIND:
        break;
    }
    return WAITING;
}

/* ---- the queues ---- */

static void wake(struct queue *queue)
{
    uint64_t one = 1;
    if (write(queue->wake_fd, &one, sizeof one) != sizeof one)
        abort(); /* an eventfd takes one */
}

/* Takes those whose wait is over out of the queue. `on_record` is NULL for the twins' queue. */
static struct ticket *take_over(struct queue *queue, const struct position *on_record)
{
    struct ticket *over = NULL;
    int64_t now_ms = clock_mono_ms();
    pthread_mutex_lock(&queue->lock);
    for (struct ticket **at = &queue->waiting; *at;) {
        struct ticket *ticket = *at;
        ticket->outcome = on_record ? compare_record(&ticket->wanted, on_record)
                                    : compare_twins(queue->gate->store, &ticket->wanted);
        if (ticket->outcome == WAITING && queue->stopped)
            ticket->outcome = STOPPED;
        if (ticket->outcome == WAITING && now_ms >= ticket->until_ms)
            ticket->outcome = LATE;
        if (ticket->outcome == WAITING) {
            at = &ticket->next;
            continue;
        }
        *at = ticket->next;
        queue->count--;
        ticket->next = over;
        over = ticket;
    }
    pthread_mutex_unlock(&queue->lock);
    return over;
}

static void look(struct queue *queue, const struct position *on_record)
{
    struct ticket *over = take_over(queue, on_record);
    while (over) {
        struct ticket *ticket = over;
        over = over->next; /* the ticket goes with its request */
        ticket->over(ticket->waiter);
    }
}

/* How long nothing can become due but by what wakes the queue: -1 while nobody waits. */
static int idle_ms(struct queue *queue, bool *stopped)
{
    int64_t due_ms = INT64_MAX, now_ms = clock_mono_ms();
    pthread_mutex_lock(&queue->lock);
    for (struct ticket *ticket = queue->waiting; ticket; ticket = ticket->next)
        if (ticket->until_ms < due_ms)
            due_ms = ticket->until_ms;
    *stopped = queue->stopped;
    pthread_mutex_unlock(&queue->lock);
    if (due_ms == INT64_MAX)
        return -1;
    return due_ms > now_ms ? (int)(due_ms - now_ms) : 0;
}

static void sleep_until_woken(struct queue *queue, int timeout_ms)
{
    struct pollfd wait = {.fd = queue->wake_fd, .events = POLLIN};
    uint64_t times;
    if (poll(&wait, 1, timeout_ms) == 1 && read(queue->wake_fd, &times, sizeof times) < 0)
        return; /* somebody else's, which there is nobody to be */
}

static void *watch_twins(void *closure)
{
    struct queue *queue = closure;
    bool stopped = false;
    while (!stopped) {
        int wait_ms = idle_ms(queue, &stopped);
        if (wait_ms >= 0) {
            /* Armed first, so that what comes between the look and the sleep rings. */
            store_bell_arm(queue->gate->store, BELL_POSITION);
            look(queue, NULL);
            wait_ms = idle_ms(queue, &stopped);
        }
        if (stopped)
            break;
        sleep_until_woken(queue, wait_ms);
        look(queue, NULL);
        if (idle_ms(queue, &stopped) >= 0 && !stopped)
            clock_pause_ms(PACE_MS);
    }
    look(queue, NULL);
    return NULL;
}

/* Where PostgreSQL does not answer nobody needs to wait: the route itself says so. */
static void look_at_record(struct queue *queue)
{
    struct position on_record[STREAM_LABELS];
    struct archive_error error;
    if (archive_positions(queue->gate->archive, on_record, &error) == ARCHIVE_OK) {
        look(queue, on_record);
        return;
    }
    pthread_mutex_lock(&queue->lock);
    struct ticket *over = queue->waiting;
    queue->waiting = NULL;
    queue->count = 0;
    pthread_mutex_unlock(&queue->lock);
    while (over) {
        struct ticket *ticket = over;
        over = over->next;
        ticket->outcome = REACHED;
        ticket->over(ticket->waiter);
    }
}

static void *watch_record(void *closure)
{
    struct queue *queue = closure;
    bool stopped = false;
    for (;;) {
        int wait_ms = idle_ms(queue, &stopped);
        if (stopped)
            break;
        if (wait_ms < 0) {
            sleep_until_woken(queue, -1);
            continue;
        }
        look_at_record(queue);
        if (idle_ms(queue, &stopped) >= 0 && !stopped)
            clock_pause_ms(GATE_ARCHIVE_MS);
    }
    static const struct position nothing[STREAM_LABELS];
    look(queue, nothing);
    return NULL;
}

/* ---- the server's hooks ---- */

static bool read_wait(const struct http_request *request, struct http_reply *reply, int *wait_ms)
{
    const char *text = http_query(request, "wait_ms");
    char *end;
    *wait_ms = GATE_WAIT_MS;
    if (!text)
        return true;
    size_t digits = strspn(text, "0123456789");
    if (digits == 0 || text[digits] != '\0') {
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "wait_ms is a number of milliseconds, at most %d.", GATE_WAIT_MAX_MS);
        return false;
    }
    long long ms = strtoll(text, &end, 10);
    *wait_ms = ms < GATE_WAIT_MAX_MS ? (int)ms : GATE_WAIT_MAX_MS;
    return true;
}

static enum http_gate_answer refuse(const struct http_request *request, struct http_reply *reply,
                                    enum waiting outcome, int waited_ms)
{
    switch (outcome) {
    case VOID:
        http_problem(request, reply, PROBLEM_OTHER_EPOCH,
                     "min_position is of another epoch: a stream was made anew since, or lost what "
                     "it speaks of. Begin again without it.");
        break;
    case STOPPED:
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "The hub is stopping.");
        break;
    default:
        http_problem(request, reply, PROBLEM_NOT_REACHED,
                     "min_position was not reached within %d ms.", waited_ms);
    }
    return GATE_REFUSED;
}

/* Before there is a ticket. The record's position is not known without waiting. */
static enum http_gate_answer judge_first(struct position_gate *gate,
                                         const struct http_request *request,
                                         struct http_reply *reply, unsigned flags, void **ticket)
{
    const char *text = http_query(request, "min_position");
    struct queue *queue = &gate->queues[flags & ROUTE_ARCHIVE ? QUEUE_ARCHIVE : QUEUE_TWINS];
    struct fleet_position wanted;
    int wait_ms;
    if (!read_wait(request, reply, &wait_ms))
        return GATE_REFUSED;
    if (!text)
        return GATE_GO;
    if (!position_read(text, &wanted)) {
        http_problem(request, reply, PROBLEM_BAD_PARAMETER,
                     "min_position is no position; it is the Fleet-Position of an earlier answer.");
        return GATE_REFUSED;
    }
    enum waiting outcome = flags & ROUTE_ARCHIVE ? WAITING : compare_twins(gate->store, &wanted);
    if (outcome == REACHED)
        return GATE_GO;
    if (outcome == VOID || (wait_ms == 0 && !(flags & ROUTE_ARCHIVE)))
        return refuse(request, reply, outcome, wait_ms);
    struct ticket *made = malloc(sizeof *made);
    if (!made) {
        http_problem(request, reply, PROBLEM_UNAVAILABLE, "There is no memory to wait with.");
        return GATE_REFUSED;
    }
    *made = (struct ticket){.wanted = wanted, .wait_ms = wait_ms, .queue = queue};
    *ticket = made;
    return GATE_WAIT;
}

static enum http_gate_answer judge(void *closure, const struct http_request *request,
                                   struct http_reply *reply, unsigned flags, void **ticket)
{
    if (request->query_count == 0)
        return GATE_GO;
    if (!*ticket)
        return judge_first(closure, request, reply, flags, ticket);
    const struct ticket *held = *ticket;
    if (held->outcome == REACHED)
        return GATE_GO;
    if (held->outcome == WAITING) { /* never taken into the queue */
        http_problem(request, reply, PROBLEM_UNAVAILABLE,
                     "Too many requests are waiting for a position; try again shortly.");
        return GATE_REFUSED;
    }
    return refuse(request, reply, held->outcome, held->wait_ms);
}

static void wait_for(void *closure, void *held, void (*over)(void *waiter), void *waiter)
{
    struct ticket *ticket = held;
    struct queue *queue = ticket->queue;
    (void)closure;
    ticket->over = over;
    ticket->waiter = waiter;
    ticket->until_ms = clock_mono_ms() + ticket->wait_ms;
    pthread_mutex_lock(&queue->lock);
    bool taken = !queue->stopped && queue->count < GATE_WAITING_MAX;
    if (queue->stopped)
        ticket->outcome = STOPPED;
    if (taken) {
        ticket->next = queue->waiting;
        queue->waiting = ticket;
        queue->count++;
    }
    pthread_mutex_unlock(&queue->lock);
    if (taken)
        wake(queue);
    else
        over(waiter);
}

/* ---- the gate ---- */

static bool queue_start(struct queue *queue, struct position_gate *gate, void *(*run)(void *))
{
    queue->gate = gate;
    queue->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    pthread_mutex_init(&queue->lock, NULL);
    if (queue->wake_fd < 0)
        return false;
    if (run == watch_twins)
        store_bell_set(gate->store, BELL_POSITION, queue->wake_fd);
    queue->running = pthread_create(&queue->thread, NULL, run, queue) == 0;
    return queue->running;
}

struct position_gate *position_gate_new(struct store *store, struct archive_reader *archive)
{
    struct position_gate *gate = calloc(1, sizeof *gate);
    if (!gate)
        return NULL;
    gate->http = (struct http_gate){"min_position wait_ms", gate, judge, wait_for, free};
    gate->store = store;
    gate->archive = archive;
    bool twins = queue_start(&gate->queues[QUEUE_TWINS], gate, watch_twins);
    bool record = queue_start(&gate->queues[QUEUE_ARCHIVE], gate, watch_record);
    if (twins && record)
        return gate;
    position_gate_free(gate);
    return NULL;
}

const struct http_gate *position_gate_http(struct position_gate *gate)
{
    return &gate->http;
}

void position_gate_stop(struct position_gate *gate)
{
    for (int i = 0; gate && i < QUEUES; i++) {
        struct queue *queue = &gate->queues[i];
        if (!queue->running)
            continue;
        pthread_mutex_lock(&queue->lock);
        queue->stopped = true;
        pthread_mutex_unlock(&queue->lock);
        wake(queue);
        pthread_join(queue->thread, NULL);
        queue->running = false;
    }
}

void position_gate_free(struct position_gate *gate)
{
    if (!gate)
        return;
    position_gate_stop(gate);
    for (int i = 0; i < QUEUES; i++) {
        if (gate->queues[i].wake_fd >= 0)
            close(gate->queues[i].wake_fd);
        pthread_mutex_destroy(&gate->queues[i].lock);
    }
    free(gate);
}
