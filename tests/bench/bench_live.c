/*
 * Many clients of live queries, on one thread: what they are told, how late, and whether anything
 * was missing in the end. tests/bench/live.py starts it beside a hub.
 *
 *     bench_live PORT PATHS
 *
 * PATHS is a file with a request target on each line; a client for each. Commands come on standard
 * input, one a line, and each is answered by one line of JSON:
 *
 *     ready        waits until all clients have had `ready`
 *     begin        forgets what was measured so far
 *     report       what was measured since
 *     check FILE   lines `vid last_seen`: what a list says. How many clients hold something else
 *
 * The queries have to ask for fields=presence.last_seen: an event's age is what has passed since.
 */
#include "twin/buf.h"
#include "twin/timestamp.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    READ_BYTES = 64 * 1024,
    EVENTS_AT_ONCE = 512,
    OPENING_AT_ONCE = 100,
    WAIT_READY_S = 120,
    AGES_MAX = 2000000,
    VID_BYTES = 65,
    LINE_MAX_BYTES = 4096,
};

struct held {
    char vid[VID_BYTES];
    int64_t last_seen_ns;
};

struct client {
    int fd;
    bool head_over, ready, closed;
    enum { CHUNK_SIZE, CHUNK_DATA, CHUNK_END } state;
    size_t chunk_left;
    char size_text[16];
    size_t size_used;
    struct buf line;
    char event[16];
    struct held *held;
    size_t held_count, held_room;
    int64_t told_ns, gap_ns; /* the last event; the longest time between two */
    uint64_t updates;
};

static struct client *clients;
static size_t client_count, ready_count, closed_count;
static int epoll_fd;
static struct {
    uint64_t enter, update, leave, ready, reset, other, bytes;
    int64_t began_ns;
} counts;
static float *ages_ms;
static size_t age_count;

static int64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * NS_PER_S + now.tv_nsec;
}

static void fail(const char *what)
{
    fprintf(stderr, "bench_live: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* ---- events ---- */

static struct held *find_held(struct client *client, const char *vid, bool make)
{
    for (size_t i = 0; i < client->held_count; i++)
        if (strcmp(client->held[i].vid, vid) == 0)
            return &client->held[i];
    if (!make)
        return NULL;
    if (client->held_count == client->held_room) {
        client->held_room = client->held_room ? client->held_room * 2 : 4;
        client->held = realloc(client->held, client->held_room * sizeof *client->held);
        if (!client->held)
            fail("memory");
    }
    struct held *held = &client->held[client->held_count++];
    snprintf(held->vid, sizeof held->vid, "%s", vid);
    return held;
}

/* The text of a string member; false where there is none. */
static bool member(const char *data, const char *name, char *out, size_t room)
{
    const char *at = strstr(data, name);
    if (!at)
        return false;
    at += strlen(name);
    size_t size = strcspn(at, "\"");
    if (size >= room)
        return false;
    memcpy(out, at, size);
    out[size] = '\0';
    return true;
}

static void take_twin(struct client *client, const char *data, int64_t at_ns, bool update)
{
    char vid[VID_BYTES], seen[TIMESTAMP_TEXT_BYTES];
    int64_t seen_ns;
    if (!member(data, "\"vid\":\"", vid, sizeof vid) ||
        !member(data, "\"last_seen\":\"", seen, sizeof seen) ||
        !timestamp_parse(seen, strlen(seen), &seen_ns)) {
        counts.other++;
        return;
    }
    find_held(client, vid, true)->last_seen_ns = seen_ns;
    if (!update)
        return;
    client->updates++;
    if (age_count < AGES_MAX)
        ages_ms[age_count++] = (float)(at_ns - seen_ns) / 1e6f;
    if (client->told_ns > counts.began_ns && at_ns - client->told_ns > client->gap_ns)
        client->gap_ns = at_ns - client->told_ns;
    client->told_ns = at_ns;
}

static void take_data(struct client *client, const char *data, int64_t at_ns)
{
    char vid[VID_BYTES];
    if (strcmp(client->event, "enter") == 0) {
        counts.enter++;
        take_twin(client, data, at_ns, false);
    } else if (strcmp(client->event, "update") == 0) {
        counts.update++;
        take_twin(client, data, at_ns, true);
    } else if (strcmp(client->event, "leave") == 0) {
        counts.leave++;
        struct held *held =
            member(data, "\"vid\":\"", vid, sizeof vid) ? find_held(client, vid, false) : NULL;
        if (held)
            *held = client->held[--client->held_count];
    } else if (strcmp(client->event, "ready") == 0) {
        counts.ready++;
        ready_count += !client->ready;
        client->ready = true;
    } else {
        counts.reset += strcmp(client->event, "reset") == 0;
        counts.other += strcmp(client->event, "reset") != 0;
    }
}

static void take_line(struct client *client, int64_t at_ns)
{
    const char *line = buf_cstr(&client->line);
    if (strncmp(line, "event: ", 7) == 0)
        snprintf(client->event, sizeof client->event, "%s", line + 7);
    else if (strncmp(line, "data: ", 6) == 0)
        take_data(client, line + 6, at_ns);
    buf_reset(&client->line);
    if (client->line.capacity_bytes > LINE_MAX_BYTES || client_count > 5000)
        buf_done(&client->line); /* ten thousand clients hold ten thousand of them */
}

static void take_text(struct client *client, const char *at, size_t size, int64_t at_ns)
{
    while (size > 0) {
        const char *end = memchr(at, '\n', size);
        size_t part = end ? (size_t)(end - at) : size;
        buf_add(&client->line, at, part);
        if (!end)
            return;
        take_line(client, at_ns);
        at += part + 1;
        size -= part + 1;
    }
}

/* ---- chunks ---- */

static void take_bytes(struct client *client, const char *at, size_t size, int64_t at_ns)
{
    while (size > 0) {
        if (client->state == CHUNK_DATA) {
            size_t part = size < client->chunk_left ? size : client->chunk_left;
            take_text(client, at, part, at_ns);
            at += part;
            size -= part;
            client->chunk_left -= part;
            if (client->chunk_left == 0)
                client->state = CHUNK_END;
            continue;
        }
        char c = *at++;
        size--;
        if (client->state == CHUNK_END) {
            if (c == '\n')
                client->state = CHUNK_SIZE;
        } else if (c == '\n') {
            client->size_text[client->size_used] = '\0';
            client->size_used = 0;
            client->chunk_left = strtoul(client->size_text, NULL, 16);
            client->state = client->chunk_left ? CHUNK_DATA : CHUNK_END;
        } else if (c != '\r' && client->size_used < sizeof client->size_text - 1) {
            client->size_text[client->size_used++] = c;
        }
    }
}

/* The head is read line by line, too. */
static size_t take_head(struct client *client, const char *at, size_t size)
{
    size_t used = 0;
    while (used < size && !client->head_over) {
        char c = at[used++];
        if (c == '\r')
            continue;
        if (c != '\n') {
            buf_addc(&client->line, c);
            continue;
        }
        const char *line = buf_cstr(&client->line);
        if (strncmp(line, "HTTP/", 5) == 0 && !strstr(line, " 200 ")) {
            fprintf(stderr, "bench_live: refused: %s\n", line);
            exit(1);
        }
        client->head_over = client->line.size_bytes == 0;
        buf_reset(&client->line);
    }
    return used;
}

static void read_client(struct client *client)
{
    static char bytes[READ_BYTES];
    ssize_t size = recv(client->fd, bytes, sizeof bytes, 0);
    if (size < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (size <= 0) {
        closed_count++;
        client->closed = true;
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, client->fd, NULL);
        return;
    }
    counts.bytes += (uint64_t)size;
    size_t head = client->head_over ? 0 : take_head(client, bytes, (size_t)size);
    take_bytes(client, bytes + head, (size_t)size - head, now_ns());
}

static void open_client(struct client *client, uint16_t port, const char *target)
{
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = client};
    char request[8192];
    inet_pton(AF_INET, "127.0.0.1", &to.sin_addr);
    client->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (client->fd < 0 || connect(client->fd, (struct sockaddr *)&to, sizeof to) != 0)
        fail("connect");
    int size =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", target);
    if (size >= (int)sizeof request || send(client->fd, request, (size_t)size, 0) != size)
        fail("send");
    fcntl(client->fd, F_SETFL, O_NONBLOCK);
    if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, client->fd, &event) != 0)
        fail("epoll");
}

/* ---- the loop and its commands ---- */

static void take_events(int timeout_ms)
{
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = epoll_wait(epoll_fd, events, EVENTS_AT_ONCE, timeout_ms);
    for (int i = 0; i < count; i++)
        if (events[i].data.ptr)
            read_client(events[i].data.ptr);
}

static int by_size(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double age_at(double share)
{
    return age_count ? (double)ages_ms[(size_t)(share * (double)(age_count - 1))] : 0;
}

static void report(void)
{
    uint64_t fewest = UINT64_MAX, most = 0;
    int64_t gap_ns = 0;
    double elapsed_s = (double)(now_ns() - counts.began_ns) / 1e9;
    qsort(ages_ms, age_count, sizeof *ages_ms, by_size);
    for (size_t i = 0; i < client_count; i++) {
        const struct client *client = &clients[i];
        fewest = client->updates < fewest ? client->updates : fewest;
        most = client->updates > most ? client->updates : most;
        gap_ns = client->gap_ns > gap_ns ? client->gap_ns : gap_ns;
    }
    printf(
        "{\"clients\": %zu, \"ready\": %zu, \"closed\": %zu, \"seconds\": %.3f, \"enter\": %llu, "
        "\"update\": %llu, \"leave\": %llu, \"reset\": %llu, \"other\": %llu, \"bytes\": %llu, "
        "\"fewest_updates\": %llu, \"most_updates\": %llu, \"longest_gap_ms\": %.1f, "
        "\"age_p50_ms\": %.2f, \"age_p99_ms\": %.2f, \"age_max_ms\": %.2f}\n",
        client_count, ready_count, closed_count, elapsed_s, (unsigned long long)counts.enter,
        (unsigned long long)counts.update, (unsigned long long)counts.leave,
        (unsigned long long)counts.reset, (unsigned long long)counts.other,
        (unsigned long long)counts.bytes, (unsigned long long)fewest, (unsigned long long)most,
        (double)gap_ns / 1e6, age_at(0.5), age_at(0.99), age_at(1));
}

static void begin(void)
{
    memset(&counts, 0, sizeof counts);
    counts.began_ns = now_ns();
    age_count = 0;
    for (size_t i = 0; i < client_count; i++) {
        clients[i].updates = 0;
        clients[i].gap_ns = 0;
    }
    printf("{\"ok\": true}\n");
}

/* How many of the vehicles that clients hold are not as the list says. */
static void check(const char *path)
{
    FILE *from = fopen(path, "r");
    struct client list = {.fd = -1};
    char line[256], vid[VID_BYTES], seen[TIMESTAMP_TEXT_BYTES + 8];
    size_t wrong = 0, right = 0;
    if (!from)
        fail(path);
    while (fgets(line, sizeof line, from))
        if (sscanf(line, "%64s %39s", vid, seen) == 2)
            timestamp_parse(seen, strlen(seen), &find_held(&list, vid, true)->last_seen_ns);
    fclose(from);
    for (size_t i = 0; i < client_count; i++)
        for (size_t j = 0; j < clients[i].held_count; j++) {
            const struct held *held = &clients[i].held[j];
            const struct held *listed = find_held(&list, held->vid, false);
            bool same = listed && listed->last_seen_ns == held->last_seen_ns;
            right += same;
            wrong += !same;
        }
    free(list.held);
    printf("{\"right\": %zu, \"wrong\": %zu}\n", right, wrong);
}

static void wait_ready(void)
{
    int64_t until_ns = now_ns() + WAIT_READY_S * NS_PER_S;
    while (ready_count < client_count && closed_count == 0 && now_ns() < until_ns)
        take_events(10);
    printf("{\"ready\": %zu}\n", ready_count);
}

static bool command(char *line)
{
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "ready") == 0)
        wait_ready();
    else if (strcmp(line, "begin") == 0)
        begin();
    else if (strcmp(line, "report") == 0)
        report();
    else if (strncmp(line, "check ", 6) == 0)
        check(line + 6);
    else
        return false;
    fflush(stdout);
    return true;
}

static void serve(void)
{
    char input[1024];
    size_t used = 0;
    for (;;) {
        take_events(5);
        ssize_t size = read(STDIN_FILENO, input + used, sizeof input - used - 1);
        if (size == 0)
            return;
        if (size < 0)
            continue; /* nothing was asked */
        used += (size_t)size;
        input[used] = '\0';
        if (strchr(input, '\n')) {
            if (!command(input))
                return;
            used = 0;
        }
    }
}

int main(int argc, char **argv)
{
    if (argc != 3) {
        fprintf(stderr, "usage: bench_live PORT PATHS\n");
        return 2;
    }
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    FILE *paths = fopen(argv[2], "r");
    char target[7168];
    size_t room = 0;
    epoll_fd = epoll_create1(0);
    ages_ms = malloc(AGES_MAX * sizeof *ages_ms);
    if (!paths || epoll_fd < 0 || !ages_ms)
        fail(argv[2]);
    for (int c; (c = fgetc(paths)) != EOF;)
        room += c == '\n';
    rewind(paths);
    clients = calloc(room ? room : 1, sizeof *clients);
    if (!clients)
        fail("memory");
    counts.began_ns = now_ns();
    while (client_count < room && fgets(target, sizeof target, paths)) {
        target[strcspn(target, "\n")] = '\0';
        open_client(&clients[client_count++], (uint16_t)atoi(argv[1]), target);
        if (client_count % OPENING_AT_ONCE == 0)
            take_events(0);
    }
    fclose(paths);
    fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
    serve();
    return 0;
}
