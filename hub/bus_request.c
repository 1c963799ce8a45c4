/* Request and reply between hubs, on subjects that no stream takes. */
#include "hub/bus_impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    POLL_MS = 100, /* between two looks whether the service is to end */
    DOWN_STEP_MS = 20,
};

enum bus_status bus_request(struct bus *bus, const char *subject, const void *data, size_t size,
                            int timeout_ms, char **reply, size_t *reply_bytes,
                            struct bus_error *error)
{
    natsMsg *answer = NULL;
    natsConnection *nc = bus_link_up(bus);
    if (!nc || size > INT32_MAX) {
        bus_error_set(error, nc ? "the request is too large" : "not connected");
        return nc ? BUS_FULL : BUS_DISCONNECTED;
    }
    natsStatus status =
        natsConnection_Request(&answer, nc, subject, data, (int)size, (int64_t)timeout_ms);
    if (status != NATS_OK) {
        bus_error_set(error, "%s: %s", subject, natsStatus_GetText(status));
        return status == NATS_NO_RESPONDERS ? BUS_NOT_FOUND
               : status == NATS_MAX_PAYLOAD ? BUS_FULL
                                            : bus_status_of(status);
    }
    size_t length = (size_t)natsMsg_GetDataLength(answer);
    char *copy = malloc(length + 1);
    if (copy) {
        memcpy(copy, natsMsg_GetData(answer), length);
        copy[length] = '\0';
        *reply = copy;
        *reply_bytes = length;
    } else {
        bus_error_set(error, "out of memory");
    }
    natsMsg_Destroy(answer);
    return copy ? BUS_OK : BUS_ERROR;
}

/* ---- the other side ---- */

struct bus_service {
    struct bus *bus;
    char *subject;
    bus_served_fn *served;
    void *closure;
    _Atomic bool stop;
    pthread_t thread;

    /* the thread's alone */
    natsConnection *nc;
    natsSubscription *sub;
    bool busy;
};

static void subscribe(struct bus_service *service, natsConnection *up)
{
    natsSubscription *sub = NULL, *old = service->sub;
    natsConnection *old_nc = service->nc;
    if (natsConnection_SubscribeSync(&sub, up, service->subject) != NATS_OK)
        return;
    service->nc = up;
    service->sub = sub;
    service->busy = false;
    bus_bury(service->bus, old_nc, old);
}

static void *service_main(void *closure)
{
    struct bus_service *service = closure;
    while (!atomic_load(&service->stop)) {
        natsMsg *msg = NULL;
        natsConnection *up = bus_link_up(service->bus);
        if (up && up != service->nc)
            subscribe(service, up);
        natsStatus status = service->sub ? bus_poll(service->sub, &service->busy, POLL_MS, &msg)
                                         : NATS_NOT_YET_CONNECTED;
        if (status == NATS_OK && natsMsg_GetReply(msg))
            service->served(service->closure, natsMsg_GetReply(msg), natsMsg_GetData(msg),
                            (size_t)natsMsg_GetDataLength(msg));
        else if (status != NATS_OK && status != NATS_TIMEOUT)
            bus_sleep_ms(DOWN_STEP_MS);
        natsMsg_Destroy(msg);
    }
    bus_bury(service->bus, service->nc, service->sub);
    return NULL;
}

struct bus_service *bus_service_open(struct bus *bus, const char *subject, bus_served_fn *served,
                                     void *closure)
{
    struct bus_service *service = calloc(1, sizeof *service);
    if (!service)
        return NULL;
    service->bus = bus;
    service->served = served;
    service->closure = closure;
    service->subject = strdup(subject);
    if (!service->subject || pthread_create(&service->thread, NULL, service_main, service) != 0) {
        free(service->subject);
        free(service);
        return NULL;
    }
    return service;
}

void bus_service_close(struct bus_service *service)
{
    if (!service)
        return;
    atomic_store(&service->stop, true);
    pthread_join(service->thread, NULL);
    free(service->subject);
    free(service);
}
