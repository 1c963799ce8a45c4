/*
 * hub: the service as a whole: it starts the lanes and the HTTP server, waits until it is told to
 * stop, and drains.
 */
#ifndef HUB_HUB_H
#define HUB_HUB_H

#include "hub/config.h"

#include <stdbool.h>

struct hub_run_options {
    struct config *config; /* one that may be reloaded */
    bool migrate;
    int stop_fd;    /* becomes readable when the hub should stop */
    int control_fd; /* a signalfd: SIGHUP reloads, SIGUSR2 drains; -1: neither */
    const struct config_request *request; /* what is read again then */
};

/* Returns when the hub has stopped: 0, or -1 where it could not start. */
int hub_run(const struct hub_run_options *options);

#endif
