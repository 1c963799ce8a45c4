/* `run` and `migrate`. */
#include "hub/cli.h"
#include "hub/hub.h"
#include "hub/log.h"
#include "hub/migrate.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

/* A descriptor that becomes, and stays, readable with SIGTERM or SIGINT; -1 with errno. Blocked
 * here, before any thread is there, they reach no other. */
static int open_stop_fd(void)
{
    sigset_t stop;
    sigemptyset(&stop);
    sigaddset(&stop, SIGTERM);
    sigaddset(&stop, SIGINT);
    if (sigprocmask(SIG_BLOCK, &stop, NULL) != 0)
        return -1;
    /* A peer that went away is an error of the write, not the end of the hub; and a terminal that
     * was closed is no wish to stop. */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    return signalfd(-1, &stop, SFD_CLOEXEC | SFD_NONBLOCK);
}

int cli_run(const struct cli_args *args)
{
    struct config config;
    struct buf errors = BUF_INIT;
    int exit_code = CLI_FAILED, stop_fd = -1;
    if (!cli_load(args, NULL, &config))
        return CLI_FAILED;
    log_setup((enum log_level)config.log.level, config.log.json);
    if (!config_check_files(&config, &errors)) {
        fputs(buf_cstr(&errors), stderr);
        goto out;
    }
    stop_fd = open_stop_fd();
    if (stop_fd < 0) {
        fprintf(stderr, "fleethub: cannot wait for signals: %s\n", strerror(errno));
        goto out;
    }
    struct hub_run_options options = {
        .config = &config, .migrate = args->migrate, .stop_fd = stop_fd};
    if (hub_run(&options) == 0)
        exit_code = CLI_OK;
out:
    if (stop_fd >= 0)
        close(stop_fd);
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
