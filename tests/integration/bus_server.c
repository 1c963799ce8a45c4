#include "tests/integration/bus_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { READY_TRIES = 400, READY_STEP_MS = 25, START_TRIES = 5 };

static struct sockaddr_in loopback(int port)
{
    return (struct sockaddr_in){.sin_family = AF_INET,
                                .sin_port = htons((uint16_t)port),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
}

static int free_port(void)
{
    struct sockaddr_in address = loopback(0);
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

/* It greets whom it serves. */
static bool greets(int port)
{
    struct sockaddr_in address = loopback(port);
    char text[5] = "";
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool good = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
                recv(fd, text, 4, MSG_WAITALL) == 4 && strcmp(text, "INFO") == 0;
    if (fd >= 0)
        close(fd);
    return good;
}

static void write_config(const struct bus_server *server, const char *store_limit,
                         const char *config)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/server.conf", server->folder);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fprintf(file, "listen: 127.0.0.1:%d\njetstream { store_dir: \"%s/store\"", server->port,
            server->folder);
    if (store_limit)
        fprintf(file, ", max_file_store: %s", store_limit);
    fprintf(file, " }\n%s\n", config ? config : "");
    assert_int_equal(fclose(file), 0);
}

static void spawn(struct bus_server *server)
{
    char config[128];
    char log[128];
    snprintf(config, sizeof(config), "%s/server.conf", server->folder);
    snprintf(log, sizeof(log), "%s/server.log", server->folder);
    pid_t parent = getpid();
    server->pid = fork();
    assert_true(server->pid >= 0);
    if (server->pid > 0)
        return;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    execlp("nats-server", "nats-server", "-c", config, "-l", log, (char *)NULL);
    execl("/usr/sbin/nats-server", "nats-server", "-c", config, "-l", log, (char *)NULL);
    _exit(127);
}

static bool comes_up(struct bus_server *server)
{
    for (int i = 0; i < READY_TRIES; i++) {
        struct timespec step = {.tv_nsec = READY_STEP_MS * 1000000};
        if (waitpid(server->pid, NULL, WNOHANG) == server->pid) {
            server->pid = 0;
            return false;
        }
        if (greets(server->port))
            return true;
        nanosleep(&step, NULL);
    }
    return false;
}

void bus_server_again(struct bus_server *server, const char *store_limit, const char *config)
{
    write_config(server, store_limit, config);
    spawn(server);
    if (!comes_up(server))
        fail_msg("nats-server does not start, see %s/server.log", server->folder);
}

void bus_server_start(struct bus_server *server, const char *store_limit, const char *config)
{
    *server = (struct bus_server){.folder = "/tmp/fleethub-bus-XXXXXX"};
    assert_non_null(mkdtemp(server->folder));
    for (int i = 0; i < START_TRIES; i++) { /* somebody else may take the port before it does */
        server->port = free_port();
        snprintf(server->url, sizeof(server->url), "nats://127.0.0.1:%d", server->port);
        write_config(server, store_limit, config);
        spawn(server);
        if (comes_up(server))
            return;
        bus_server_kill(server);
    }
    fail_msg("nats-server does not start, see %s/server.log", server->folder);
}

static void end(struct bus_server *server, int with)
{
    if (server->pid <= 0)
        return;
    kill(server->pid, with);
    waitpid(server->pid, NULL, 0);
    server->pid = 0;
}

void bus_server_kill(struct bus_server *server)
{
    end(server, SIGKILL);
}

void bus_server_stop(struct bus_server *server)
{
    end(server, SIGTERM);
}

static void run_in(const char *folder, const char *a, const char *b, const char *c, const char *d)
{
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        if (chdir(folder) == 0)
            execlp(a, a, b, c, d, (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
}

void bus_server_keep(const struct bus_server *server)
{
    assert_int_equal(server->pid, 0);
    run_in(server->folder, "cp", "-a", "store", "kept");
}

void bus_server_bring_back(const struct bus_server *server)
{
    assert_int_equal(server->pid, 0);
    run_in(server->folder, "rm", "-rf", "--", "store");
    run_in(server->folder, "cp", "-a", "kept", "store");
}

int bus_server_log_count(const struct bus_server *server, const char *text)
{
    char path[128];
    char line[1024];
    int count = 0;
    snprintf(path, sizeof(path), "%s/server.log", server->folder);
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file))
        count += strstr(line, text) != NULL;
    fclose(file);
    return count;
}

void bus_server_done(struct bus_server *server)
{
    if (!server->folder[0])
        return;
    bus_server_kill(server);
    run_in("/tmp", "rm", "-rf", "--", server->folder);
    server->folder[0] = '\0';
}
