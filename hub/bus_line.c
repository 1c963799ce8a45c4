#include "hub/bus_line.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum {
    FIRST_ROOM_BYTES = 128 * 1024,
    KEPT_ROOM_BYTES = 1 << 20,
    SEND_MAX_MS = 2000,
    SUBSCRIBED_MAX_MS = 2000,
    FRAME_BYTES = 1024, /* of what is sent */
    OUR_SID = 1,
};

struct bus_line {
    natsConnection *nc;
    int fd; /* nats.c's, which closes it; -1: none */
    const char *broken;
    bool ponged;
    /* received and not yet taken: from `at` up to `end` */
    char *room;
    size_t at, end, room_bytes;
};

/* ---- what nats.c asks of an event loop ---- */

static natsStatus on_attach(void **user, void *loop, natsConnection *nc, natsSock socket)
{
    struct bus_line *line = loop;
    (void)nc;
    *user = line;
    line->fd = (int)socket;
    return NATS_OK;
}

/* nats.c neither reads nor writes on this connection any more. */
static natsStatus on_event(void *user, bool add)
{
    (void)user, (void)add;
    return NATS_OK;
}

static natsStatus on_detach(void *user)
{
    (void)user;
    return NATS_OK;
}

/* Its own handler would print. */
static void on_error(natsConnection *nc, natsSubscription *sub, natsStatus status, void *closure)
{
    (void)nc, (void)sub, (void)status, (void)closure;
}

natsStatus bus_line_options(natsOptions *options)
{
    const natsStatus all[] = {
        natsOptions_SetAllowReconnect(options, false),
        natsOptions_SetPingInterval(options, 0), /* it would not see the answers */
        natsOptions_SetSendAsap(options, true),  /* there is nothing for a flusher's thread to do */
        natsOptions_SetErrorHandler(options, on_error, NULL),
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i] != NATS_OK)
            return all[i];
    return NATS_OK;
}

bool bus_line_possible(const struct bus *bus)
{
    return bus->line_options != NULL;
}

/* ---- the socket ---- */

static void break_line(struct bus_line *line, const char *why)
{
    if (!line->broken)
        line->broken = why;
}

static void send_all(struct bus_line *line, const char *text, size_t size)
{
    int64_t until_ms = 0;
    while (size > 0 && !line->broken) {
        ssize_t sent = send(line->fd, text, size, MSG_DONTWAIT | MSG_NOSIGNAL);
        if (sent > 0) {
            text += sent;
            size -= (size_t)sent;
            continue;
        }
        if (errno == EINTR)
            continue;
        int64_t now_ms = bus_now_ms();
        until_ms = until_ms ? until_ms : now_ms + SEND_MAX_MS;
        struct pollfd fd = {.fd = line->fd, .events = POLLOUT};
        if (errno != EAGAIN || now_ms >= until_ms || poll(&fd, 1, (int)(until_ms - now_ms)) < 0)
            break_line(line, "cannot send");
    }
}

static void send_text(struct bus_line *line, const char *text)
{
    send_all(line, text, strlen(text));
}

/* Makes room for `bytes` from line->at on; moves what is there to the front. */
static bool make_room(struct bus_line *line, size_t bytes)
{
    size_t have = line->end - line->at;
    if (line->at > 0)
        memmove(line->room, line->room + line->at, have);
    line->at = 0;
    line->end = have;
    if (bytes <= line->room_bytes)
        return true;
    char *room = realloc(line->room, bytes);
    if (!room)
        return false;
    line->room = room;
    line->room_bytes = bytes;
    return true;
}

/* What a very large message took. */
static void give_back(struct bus_line *line)
{
    char *room = realloc(line->room, FIRST_ROOM_BYTES);
    if (room) {
        line->room = room;
        line->room_bytes = FIRST_ROOM_BYTES;
    }
}

/* Reads what has come behind the beginning of a frame that has `bytes` at least, 0: who knows.
 * False where nothing has. */
static bool receive(struct bus_line *line, size_t bytes)
{
    if (line->at == line->end) {
        line->at = line->end = 0;
        if (line->room_bytes > KEPT_ROOM_BYTES)
            give_back(line);
    }
    if (line->at > 0 || bytes > line->room_bytes) {
        if (!make_room(line, bytes)) {
            break_line(line, "out of memory");
            return false;
        }
    }
    ssize_t size;
    do
        size = recv(line->fd, line->room + line->end, line->room_bytes - line->end, MSG_DONTWAIT);
    while (size < 0 && errno == EINTR);
    if (size > 0) {
        line->end += (size_t)size;
        return true;
    }
    if (size == 0)
        break_line(line, "the server closed the connection");
    else if (errno != EAGAIN)
        break_line(line, strerror(errno));
    return false;
}

/* ---- frames ---- */

void bus_line_next(struct bus_line *line, struct wire_frame *frame)
{
    while (!line->broken) {
        wire_take(line->room + line->at, line->end - line->at, frame);
        if (frame->kind == WIRE_MORE) {
            if (!receive(line, frame->bytes) && !line->broken)
                return;
            continue;
        }
        line->at += frame->bytes;
        switch (frame->kind) {
        case WIRE_MSG:
            if (frame->sid == OUR_SID)
                return;
            break;
        case WIRE_PING:
            send_text(line, "PONG\r\n");
            break;
        case WIRE_PONG:
            line->ponged = true;
            break;
        case WIRE_ERR:
            return;
        case WIRE_BAD:
            break_line(line, "the server sent what is not its protocol");
            break;
        default:
            break;
        }
    }
    *frame = (struct wire_frame){.kind = WIRE_ERR, .text = line->broken};
}

void bus_line_wait(struct bus_line *line, int64_t wait_ms)
{
    struct pollfd fd = {.fd = line->fd, .events = POLLIN};
    if (wait_ms > 0 && !line->broken)
        poll(&fd, 1, (int)wait_ms);
}

bool bus_line_at_hand(struct bus_line *line)
{
    struct pollfd fd = {.fd = line->fd, .events = POLLIN};
    return line->end > line->at || poll(&fd, 1, 0) > 0;
}

void bus_line_answer(struct bus_line *line, const char *subject)
{
    char frame[FRAME_BYTES];
    int size = snprintf(frame, sizeof frame, "PUB %s 0\r\n\r\n", subject);
    if (size > 0 && (size_t)size < sizeof frame)
        send_all(line, frame, (size_t)size);
    else
        break_line(line, "a subject is too long");
}

/* ---- opening and closing ---- */

static natsStatus dial(struct bus *bus, struct bus_line *line)
{
    /* The options name the line, and the connection takes a copy of them: one line at a time. */
    pthread_mutex_lock(&bus->line_mutex);
    natsStatus status =
        natsOptions_SetEventLoop(bus->line_options, line, on_attach, on_event, on_event, on_detach);
    if (status == NATS_OK)
        status = natsConnection_Connect(&line->nc, bus->line_options);
    pthread_mutex_unlock(&bus->line_mutex);
    if (status == NATS_OK && line->fd < 0)
        status = NATS_ERR;
    return status;
}

/* The server answers a ping behind the subscription: then it knows of it. */
static bool subscribe(struct bus_line *line, const char *subject)
{
    char text[FRAME_BYTES];
    struct wire_frame frame;
    int64_t now_ms = bus_now_ms(), until_ms = now_ms + SUBSCRIBED_MAX_MS;
    int size = snprintf(text, sizeof text, "SUB %s %d\r\nPING\r\n", subject, OUR_SID);
    if (size < 0 || (size_t)size >= sizeof text)
        return false;
    send_all(line, text, (size_t)size);
    for (; !line->ponged && now_ms < until_ms; now_ms = bus_now_ms()) {
        bus_line_wait(line, until_ms - now_ms);
        bus_line_next(line, &frame);
        if (frame.kind == WIRE_ERR) {
            break_line(line, "the server refused it");
            return false;
        }
    }
    return line->ponged;
}

enum bus_status bus_line_open(struct bus *bus, const char *subject, struct bus_line **out,
                              struct bus_error *error)
{
    enum bus_status status = BUS_OK;
    struct bus_line *line = calloc(1, sizeof *line);
    char *room = malloc(FIRST_ROOM_BYTES);
    if (!line || !room) {
        free(line);
        free(room);
        bus_error_set(error, "out of memory");
        return BUS_ERROR;
    }
    line->fd = -1;
    line->room = room;
    line->room_bytes = FIRST_ROOM_BYTES;
    natsStatus dialled = dial(bus, line);
    if (dialled != NATS_OK) {
        bus_error_set(error, "%s", natsStatus_GetText(dialled));
        status = bus_status_of(dialled) == BUS_ERROR ? BUS_ERROR : BUS_DISCONNECTED;
    } else if (!subscribe(line, subject)) {
        bus_error_set(error, "%s", line->broken ? line->broken : "no answer to a subscription");
        status = BUS_DISCONNECTED;
    }
    if (status != BUS_OK)
        bus_line_close(line);
    else
        *out = line;
    return status;
}

void bus_line_close(struct bus_line *line)
{
    if (!line)
        return;
    natsConnection_Destroy(line->nc);
    free(line->room);
    free(line);
}
