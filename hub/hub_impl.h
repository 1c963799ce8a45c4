/*
 * hub_impl: what hub.c (start and stop) and hub_control.c (signals, and the service manager) share.
 */
#ifndef HUB_HUB_IMPL_H
#define HUB_HUB_IMPL_H

#include "hub/app.h"
#include "hub/http.h"
#include "hub/hub.h"
#include "hub/last.h"
#include "hub/record_checkpoint.h"

#include <pthread.h>
#include <stdatomic.h>

struct hub {
    struct app app;
    bool migrate;
    struct bus *urgent_bus; /* for what must not queue behind telemetry and records */
    struct recorder *recorder;
    struct record_keeper *keeper;
    struct record_signers signers; /* of checkpoints of the record */
    struct last_found found;       /* in TWIN_LAST, at the start */
    struct presence_lane *presence;
    struct shadow_lane *shadow;
    struct shadow_settler *settler;
    struct checkpoint_lane *checkpoint;
    struct track_lane *track;
    struct position_gate *gate;
    struct access_http *access; /* in force while auth.mode is `tokens` */
    struct http *http;
    pthread_t starter;
    bool starter_running;
    pthread_t database;
    bool database_running;
    _Atomic bool stop;
    int failed_fd; /* written to when the hub cannot go on */
};

/* Of the configuration in force. */
struct http_settings hub_http_settings(const struct hub *hub);
/* Until the hub is to stop: true, or false where it cannot go on. Takes signals meanwhile. */
bool hub_wait(struct hub *hub, const struct hub_run_options *options);

#endif
