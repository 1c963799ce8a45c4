#include "tests/integration/pg_server.h"

#include "hub/clock.h"
#include "hub/pg.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <netinet/in.h>
#include <pwd.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { READY_WAIT_MS = 30000, END_WAIT_MS = 20000, STEP_MS = 20, PATH_BYTES = 256 };

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* initdb and postgres refuse to run as root: then they run as the user that the package made. */
static void owner(uid_t *uid, gid_t *gid)
{
    *uid = getuid();
    *gid = getgid();
    if (*uid != 0)
        return;
    const struct passwd *postgres = getpwnam("postgres");
    assert_non_null(postgres);
    *uid = postgres->pw_uid;
    *gid = postgres->pw_gid;
}

/* Debian keeps them out of PATH, one folder for each version. */
static void program_path(const char *name, char path[PATH_BYTES])
{
    static const char base[] = "/usr/lib/postgresql";
    const char *bin = getenv("FLEETHUB_PG_BIN");
    int newest = 0;
    DIR *folder = bin ? NULL : opendir(base);
    const struct dirent *entry;
    while (folder && (entry = readdir(folder)) != NULL) {
        if (atoi(entry->d_name) > newest)
            newest = atoi(entry->d_name);
    }
    if (folder)
        closedir(folder);
    if (bin)
        snprintf(path, PATH_BYTES, "%s/%s", bin, name);
    else if (newest > 0)
        snprintf(path, PATH_BYTES, "%s/%d/bin/%s", base, newest, name);
    else
        snprintf(path, PATH_BYTES, "%s", name);
}

static pid_t spawn(const struct pg_server *server, const char *const argv[])
{
    char log[PATH_BYTES];
    uid_t uid;
    gid_t gid;
    owner(&uid, &gid);
    snprintf(log, sizeof log, "%s/log", server->folder);
    pid_t parent = getpid(), pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    if (out >= 0) {
        dup2(out, STDOUT_FILENO);
        dup2(out, STDERR_FILENO);
    }
    if (uid != getuid() && (setgroups(0, NULL) || setgid(gid) || setuid(uid)))
        _exit(126);
    prctl(PR_SET_PDEATHSIG, SIGQUIT); /* after setuid, which clears it */
    if (getppid() != parent)
        _exit(126);
    execvp(argv[0], (char *const *)(uintptr_t)argv);
    _exit(127);
}

static void run(const struct pg_server *server, const char *const argv[])
{
    int status = -1;
    pid_t pid = spawn(server, argv);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    if (status != 0)
        fail_msg("%s failed, see %s/log", argv[0], server->folder);
}

struct pg *pg_server_connect(const struct pg_server *server)
{
    struct pg_options options = {
        .dsn = server->dsn, .name = "test", .connect_timeout_ms = 2000, .call_timeout_ms = 20000};
    struct pg_error error;
    struct pg *pg = NULL;
    return pg_open(&options, &pg, &error) == PG_OK ? pg : NULL;
}

void pg_server_again(struct pg_server *server)
{
    char program[PATH_BYTES], port[8], data[PATH_BYTES];
    snprintf(port, sizeof port, "%d", server->port);
    snprintf(data, sizeof data, "%s/data", server->folder);
    program_path("postgres", program);
    const char *const argv[] = {program,
                                "-D",
                                data,
                                "-p",
                                port,
                                "-c",
                                "listen_addresses=127.0.0.1",
                                "-c",
                                "unix_socket_directories=",
                                "-c",
                                "fsync=off",
                                "-c",
                                "shared_buffers=64MB",
                                NULL};
    server->pid = spawn(server, argv);
    int64_t until_ms = clock_mono_ms() + READY_WAIT_MS;
    struct pg *pg;
    while (!(pg = pg_server_connect(server))) {
        if (clock_mono_ms() > until_ms)
            fail_msg("PostgreSQL does not start, see %s/log", server->folder);
        clock_pause_ms(STEP_MS);
    }
    pg_close(pg);
}

void pg_server_start(struct pg_server *server)
{
    char program[PATH_BYTES], data[PATH_BYTES];
    uid_t uid;
    gid_t gid;
    *server = (struct pg_server){.folder = "/tmp/fleethub-pg-XXXXXX", .port = free_port()};
    assert_non_null(mkdtemp(server->folder));
    owner(&uid, &gid);
    assert_int_equal(chown(server->folder, uid, gid), 0);
    snprintf(server->dsn, sizeof server->dsn,
             "host=127.0.0.1 port=%d user=postgres dbname=postgres", server->port);
    snprintf(data, sizeof data, "%s/data", server->folder);
    program_path("initdb", program);
    const char *const argv[] = {program,     "-D",    data, "-U",   "postgres",
                                "-A",        "trust", "-E", "UTF8", "--locale=C.UTF-8",
                                "--no-sync", NULL};
    run(server, argv);
    pg_server_again(server);
}

void pg_server_stop(struct pg_server *server, int with)
{
    int status;
    pid_t ended = 0;
    if (server->pid <= 0)
        return;
    kill(server->pid, with);
    int64_t until_ms = clock_mono_ms() + END_WAIT_MS;
    while ((ended = waitpid(server->pid, &status, WNOHANG)) == 0 && clock_mono_ms() < until_ms)
        clock_pause_ms(STEP_MS);
    if (ended == 0) { /* stopped, or it does not listen */
        kill(server->pid, SIGKILL);
        waitpid(server->pid, &status, 0);
    }
    server->pid = 0;
}

void pg_server_done(struct pg_server *server)
{
    if (!server->folder[0])
        return;
    pg_server_stop(server, SIGQUIT);
    const char *const argv[] = {"rm", "-rf", "--", server->folder, NULL};
    int status;
    pid_t pid = fork(); /* as root, who may remove it from /tmp */
    assert_true(pid >= 0);
    if (pid == 0) {
        execvp(argv[0], (char *const *)(uintptr_t)argv);
        _exit(127);
    }
    waitpid(pid, &status, 0);
    server->folder[0] = '\0';
}

/* ---- asking ---- */

static struct pg_result *ask(struct pg *pg, const char *sql)
{
    struct pg_statement statement = {.sql = sql};
    struct pg_error error;
    struct pg_result *rows = NULL;
    if (pg_run(pg, &statement, NULL, &rows, &error) != PG_OK)
        fail_msg("%s: %s", sql, error.text);
    return rows;
}

int64_t pg_server_int(struct pg *pg, const char *sql)
{
    struct pg_result *rows = ask(pg, sql);
    int64_t value = pg_rows(rows) > 0 ? pg_get_int(rows, 0, 0) : 0;
    pg_result_free(rows);
    return value;
}

void pg_server_text(struct pg *pg, const char *sql, char *text, size_t text_bytes)
{
    struct pg_result *rows = ask(pg, sql);
    const char *value = pg_rows(rows) > 0 ? pg_get_bytes(rows, 0, 0, NULL) : "";
    snprintf(text, text_bytes, "%s", value);
    pg_result_free(rows);
}

void pg_server_script(struct pg *pg, const char *sql)
{
    struct pg_error error;
    if (pg_script(pg, sql, &error) != PG_OK)
        fail_msg("%s: %s", sql, error.text);
}
