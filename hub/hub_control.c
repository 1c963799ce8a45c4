/* What comes in from outside while the hub runs: signals, and the service manager's watchdog. */
#include "hub/access.h"
#include "hub/command_lane.h"
#include "hub/hub_impl.h"
#include "hub/live.h"
#include "hub/log.h"
#include "hub/notify.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* Each line of a report is one of the log. */
static void log_lines(enum log_level level, const char *event, const struct buf *report)
{
    const char *text = buf_cstr((struct buf *)(uintptr_t)report);
    for (char line[512]; *text; text += strspn(text, "\n")) {
        size_t size = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)size, text);
        log_write(level, event, "detail", line, (char *)0);
        text += size;
    }
}

static void reload(struct hub *hub, const struct hub_run_options *options)
{
    struct buf report = BUF_INIT;
    char error[512] = "";
    if (config_reload(options->config, options->request, &report) != 0) {
        log_error("hub.not_reloaded", "detail", "the configuration in force stays");
        log_lines(LOG_ERROR, "hub.not_reloaded", &report);
        buf_done(&report);
        return;
    }
    const struct config *now = config_now(options->config);
    struct http_settings settings = hub_http_settings(hub);
    log_setup((enum log_level)now->log.level, now->log.json);
    if (!access_reload(hub->app.access, error))
        log_error("hub.not_reloaded", "key", "auth.jwt", "detail", error);
    struct command_lane *commands = atomic_load(&hub->app.commands);
    struct buf why = BUF_INIT;
    if (commands && !command_lane_reload(commands, &why))
        log_error("hub.not_reloaded", "key", "commands.policy.geofence", "detail", buf_cstr(&why));
    buf_done(&why);
    http_set(hub->http, &settings);
    log_lines(LOG_INFO, "hub.reloaded", &report);
    log_info("hub.reloaded");
    buf_done(&report);
}

/* Clients are sent elsewhere, so that the stop that follows is noticed by nobody. */
static void drain(struct hub *hub)
{
    log_info("hub.draining");
    notify_say("STATUS=clients are sent elsewhere");
    atomic_store(&hub->app.draining, true);
    live_drain(hub->app.live);
    http_leave(hub->http);
}

static void take_signals(struct hub *hub, const struct hub_run_options *options)
{
    struct signalfd_siginfo signal;
    while (read(options->control_fd, &signal, sizeof signal) == sizeof signal) {
        if (signal.ssi_signo == SIGHUP)
            reload(hub, options);
        else if (signal.ssi_signo == SIGUSR2)
            drain(hub);
    }
}

bool hub_wait(struct hub *hub, const struct hub_run_options *options)
{
    int watchdog_ms = notify_watchdog_ms();
    struct pollfd wait[] = {{.fd = options->stop_fd, .events = POLLIN},
                            {.fd = hub->failed_fd, .events = POLLIN},
                            {.fd = options->control_fd, .events = POLLIN}};
    while (!wait[0].revents && !wait[1].revents) {
        notify_say("WATCHDOG=1");
        if (poll(wait, 3, watchdog_ms > 0 ? watchdog_ms : -1) < 0)
            continue; /* interrupted by a signal that means nothing here */
        if (wait[2].revents)
            take_signals(hub, options);
    }
    notify_say("STOPPING=1\nSTATUS=draining");
    return !wait[1].revents;
}
