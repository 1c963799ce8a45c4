/* `run` and `migrate`. */
#include "hub/cli.h"
#include "hub/hub.h"
#include "hub/log.h"
#include "hub/migrate.h"

#include <errno.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

const struct cli_option cli_run_options[] = {
    {"migrate", NULL, "apply the database's migrations first"},
    {NULL, NULL, NULL},
};

/* A descriptor that becomes readable with one of two signals; -1 with errno. Blocked here, before
 * any thread is there, they reach no other. */
static int open_signals(int one, int other)
{
    sigset_t both;
    sigemptyset(&both);
    sigaddset(&both, one);
    sigaddset(&both, other);
    if (sigprocmask(SIG_BLOCK, &both, NULL) != 0)
        return -1;
    return signalfd(-1, &both, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* glibc gives each thread its own arena, and learns to cut buffers of megabytes from them too:
 * under mixed load small blocks that stay keep such holes from going back, and resident memory
 * grows on and on beside a live heap that does not. Few arenas, and large buffers by mmap, which go
 * back when they are freed. What the administrator has set counts instead. */
static void settle_allocator(void)
{
#ifdef __GLIBC__
    enum { ARENAS = 4, LARGE_BYTES = 128 * 1024 };
    if (!getenv("MALLOC_ARENA_MAX"))
        mallopt(M_ARENA_MAX, ARENAS);
    if (!getenv("MALLOC_MMAP_THRESHOLD_"))
        mallopt(M_MMAP_THRESHOLD, LARGE_BYTES);
    if (!getenv("MALLOC_TRIM_THRESHOLD_"))
        mallopt(M_TRIM_THRESHOLD, LARGE_BYTES);
#endif
}

int cli_run(const struct cli_args *args)
{
    struct config config;
    struct buf errors = BUF_INIT;
    int exit_code = CLI_FAILED, stop_fd = -1, control_fd = -1;
    struct config_request request = cli_request(args, NULL);
    if (!cli_load(args, NULL, &config))
        return CLI_FAILED;
    log_setup((enum log_level)config.log.level, config.log.json);
    if (!config_check_files(&config, &errors)) {
        fputs(buf_cstr(&errors), stderr);
        goto out;
    }
    settle_allocator();
    signal(SIGPIPE, SIG_IGN); /* a peer that went away is an error of the write */
    stop_fd = open_signals(SIGTERM, SIGINT);
    control_fd = stop_fd < 0 ? -1 : open_signals(SIGHUP, SIGUSR2);
    if (control_fd < 0 || !config_reloadable(&config)) {
        fprintf(stderr, "fleethub: cannot wait for signals: %s\n", strerror(errno));
        goto out;
    }
    struct hub_run_options options = {
        .config = &config,
        .migrate = cli_value(args, "migrate") != NULL,
        .stop_fd = stop_fd,
        .control_fd = control_fd,
        .request = &request,
    };
    if (hub_run(&options) == 0)
        exit_code = CLI_OK;
out:
    if (stop_fd >= 0)
        close(stop_fd);
    if (control_fd >= 0)
        close(control_fd);
    buf_done(&errors);
    config_done(&config);
    return exit_code;
}

int cli_migrate(const struct cli_args *args)
{
    struct config config;
    struct buf report = BUF_INIT;
    /* A job that only migrates needs no more than the database. */
    if (!cli_load(args, "postgres.", &config))
        return CLI_FAILED;
    log_setup((enum log_level)config.log.level, config.log.json);
    enum migrate_status status =
        migrate_run(config.postgres.admin_dsn, config.postgres.dsn, &report);
    int printed = CLI_OK;
    if (status == MIGRATE_OK)
        printed = cli_print(&report);
    else
        fputs(buf_cstr(&report), stderr);
    buf_done(&report);
    config_done(&config);
    return status == MIGRATE_OK ? printed : CLI_FAILED;
}
