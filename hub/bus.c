#include "hub/bus.h"

#include "hub/bus_impl.h"
#include "hub/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum {
    BURY_FLUSH_MS = 2000,
    CLOSED_CALLBACK_MS = 3000,
    BUSY_POLL_US = 1000,
};

/* ---- small things that all of bus uses ---- */

int64_t bus_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void bus_sleep_ms(int64_t ms)
{
    if (ms <= 0)
        return;
    struct timespec rest = {.tv_sec = ms / 1000, .tv_nsec = (ms % 1000) * 1000000};
    while (nanosleep(&rest, &rest) != 0 && errno == EINTR)
        ;
}

void bus_cond_init(pthread_cond_t *cond)
{
    pthread_condattr_t attr;
    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(cond, &attr);
    pthread_condattr_destroy(&attr);
}

void bus_cond_wait_until(pthread_cond_t *cond, pthread_mutex_t *mutex, int64_t until_ms)
{
    struct timespec until = {.tv_sec = until_ms / 1000, .tv_nsec = (until_ms % 1000) * 1000000};
    pthread_cond_timedwait(cond, mutex, &until);
}

void bus_error_set(struct bus_error *error, const char *format, ...)
{
    if (!error)
        return;
    va_list args;
    va_start(args, format);
    vsnprintf(error->text, sizeof(error->text), format, args);
    va_end(args);
}

enum bus_status bus_status_of(natsStatus status)
{
    switch ((int)status) {
    case NATS_OK:
        return BUS_OK;
    case NATS_TIMEOUT:
        return BUS_TIMEOUT;
    case NATS_CONNECTION_CLOSED:
    case NATS_NO_SERVER:
    case NATS_STALE_CONNECTION:
    case NATS_CONNECTION_DISCONNECTED:
    case NATS_NOT_YET_CONNECTED:
    case NATS_IO_ERROR:
    case NATS_NO_RESPONDERS:
    case NATS_INSUFFICIENT_BUFFER: /* the reconnect buffer, which is as good as none */
    case NATS_INVALID_SUBSCRIPTION:
        return BUS_DISCONNECTED;
    default:
        return BUS_ERROR;
    }
}

const char *bus_library_version(void)
{
    return nats_GetVersion();
}

natsStatus bus_poll(natsSubscription *sub, bool *busy, int64_t wait_ms, natsMsg **msg)
{
    natsStatus status = natsSubscription_NextMsg(msg, sub, 0);
    if (status == NATS_TIMEOUT && wait_ms > 0) {
        if (*busy) {
            struct timespec nap = {.tv_nsec = BUSY_POLL_US * 1000};
            nanosleep(&nap, NULL);
            status = natsSubscription_NextMsg(msg, sub, 0);
        } else {
            status = natsSubscription_NextMsg(msg, sub, wait_ms);
        }
    }
    *busy = status == NATS_OK;
    return status;
}

/* ---- state ---- */

natsConnection *bus_link_up(const struct bus *bus)
{
    natsConnection *nc = atomic_load(&bus->nc);
    return nc && natsConnection_Status(nc) == NATS_CONN_STATUS_CONNECTED ? nc : NULL;
}

bool bus_connected(const struct bus *bus)
{
    return bus_link_up(bus) != NULL;
}

uint64_t bus_connects(const struct bus *bus)
{
    return atomic_load(&bus->connects);
}

/* ---- burying and closing ---- */

/* A pong is read by the very thread that reads messages: when one asked for after unsubscribing
 * has come, that thread holds the subscription no more. Without one it waits for the close, which
 * joins the thread. */
void bus_bury(struct bus *bus, natsConnection *nc, natsSubscription *sub)
{
    if (!sub)
        return;
    natsSubscription_Unsubscribe(sub);
    pthread_mutex_lock(&bus->mutex);
    if (bus->grave_count == bus->grave_room) {
        size_t room = bus->grave_room ? bus->grave_room * 2 : 8;
        struct bus_grave *graves = realloc(bus->graves, room * sizeof(*graves));
        if (!graves) {
            pthread_mutex_unlock(&bus->mutex);
            return; /* without memory a leak is the smaller evil */
        }
        bus->graves = graves;
        bus->grave_room = room;
    }
    bus->graves[bus->grave_count++] = (struct bus_grave){nc, sub};
    pthread_mutex_unlock(&bus->mutex);

    if (natsConnection_Status(nc) != NATS_CONN_STATUS_CONNECTED ||
        natsConnection_FlushTimeout(nc, BURY_FLUSH_MS) != NATS_OK)
        return;
    /* Only this one: another thread may have buried its own after our pong was asked for. */
    pthread_mutex_lock(&bus->mutex);
    size_t kept = 0;
    for (size_t i = 0; i < bus->grave_count; i++)
        if (bus->graves[i].sub != sub)
            bus->graves[kept++] = bus->graves[i];
    bool ours = kept < bus->grave_count;
    bus->grave_count = kept;
    pthread_mutex_unlock(&bus->mutex);
    if (ours)
        natsSubscription_Destroy(sub);
}

static void links_close(struct bus *bus)
{
    for (struct bus_link *link = bus->links; link; link = link->next)
        natsConnection_Close(link->nc);
    int64_t until_ms = bus_now_ms() + CLOSED_CALLBACK_MS;
    pthread_mutex_lock(&bus->mutex);
    for (struct bus_link *link = bus->links; link; link = link->next)
        while (!link->closed && bus_now_ms() < until_ms)
            bus_cond_wait_until(&bus->changed, &bus->mutex, until_ms);
    pthread_mutex_unlock(&bus->mutex);
}

/* True when nats.c will call none of our callbacks any more. */
static bool links_closed(struct bus *bus)
{
    bool all = true;
    pthread_mutex_lock(&bus->mutex);
    for (struct bus_link *link = bus->links; link; link = link->next)
        all = all && link->closed;
    pthread_mutex_unlock(&bus->mutex);
    return all;
}

void bus_close(struct bus *bus, int timeout_ms)
{
    if (!bus)
        return;
    natsConnection *nc = bus_link_up(bus);
    if (nc && timeout_ms > 0)
        natsConnection_FlushTimeout(nc, timeout_ms);
    pthread_mutex_lock(&bus->mutex);
    bus->closing = true;
    pthread_cond_broadcast(&bus->changed);
    pthread_mutex_unlock(&bus->mutex);
    pthread_join(bus->dialer, NULL);
    links_close(bus);
    for (size_t i = 0; i < bus->grave_count; i++)
        natsSubscription_Destroy(bus->graves[i].sub);
    free(bus->graves);
    bus->graves = NULL;
    bus->grave_count = 0;
    natsOptions_Destroy(bus->line_options);
    natsOptions_Destroy(bus->options);
    if (!links_closed(bus)) {
        log_warn("bus.close_unconfirmed"); /* a callback may still come: its memory stays */
        return;
    }
    while (bus->links) {
        struct bus_link *link = bus->links;
        bus->links = link->next;
        natsConnection_Destroy(link->nc);
        free(link);
    }
    pthread_cond_destroy(&bus->changed);
    pthread_mutex_destroy(&bus->line_mutex);
    pthread_mutex_destroy(&bus->mutex);
    free(bus);
}

enum bus_status bus_publish(struct bus *bus, const char *subject, const void *data, size_t size)
{
    natsConnection *nc = bus_link_up(bus);
    if (!nc)
        return BUS_DISCONNECTED;
    if (size > INT32_MAX)
        return BUS_ERROR;
    return bus_status_of(natsConnection_Publish(nc, subject, data, (int)size));
}
