/*
 * bench_visible: from publishing at the leaf to seeing it in a GET, beside publish to subscribe on
 * the same path, while queries run.
 *
 *     bench_visible LEAF_URL REGION_URL HUB_PORT SECONDS QUERIES_PER_SECOND
 *
 * A vehicle of its own, whose position is a counter, is published in turn for the one and for the
 * other. Prints medians and 99th percentiles, one JSON object a line; tests/bench/visible.py makes
 * the fleet and starts it.
 */
#include <arpa/inet.h>
#include <nats/nats.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    SAMPLES_MAX = 100000,
    WAIT_MAX_MS = 30000,
    PAUSE_US = 20000, /* between two samples */
    LOOK_US = 200,    /* between two GETs */
    REPLY_BYTES = 4 << 20,
    MESSAGE_BYTES = 256,
};

static const char subject[] = "fleet.test.veh.PROBE.state.position";
static const char probe_path[] = "/v1/vehicles/PROBE/state/position";
static const char query_path[] =
    "/v1/vehicles?page_size=100&filter=state.battery.remaining%20%3C%200.9";

static void die(const char *why)
{
    fprintf(stderr, "bench_visible: %s\n", why);
    exit(1);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void pause_us(long us)
{
    nanosleep(&(struct timespec){us / 1000000, us % 1000000 * 1000}, NULL);
}

/* ---- one HTTP connection ---- */

struct client {
    int fd;
    char *reply; /* the whole of the last one, NUL-terminated */
};

static struct client client_open(int port)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct client client = {socket(AF_INET, SOCK_STREAM, 0), malloc(REPLY_BYTES)};
    if (client.fd < 0 || !client.reply ||
        connect(client.fd, (struct sockaddr *)&address, sizeof address) != 0)
        die("cannot connect to the hub");
    return client;
}

/* The body of a 200, NULL for any other answer. */
static const char *client_get(struct client *client, const char *path)
{
    char request[MESSAGE_BYTES];
    int size =
        snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n", path);
    if (write(client->fd, request, (size_t)size) != size)
        die("cannot ask the hub");
    size_t have = 0, whole = 0;
    char *body = NULL;
    while (!body || have < whole) {
        ssize_t more = read(client->fd, client->reply + have, REPLY_BYTES - 1 - have);
        if (more <= 0)
            die("the hub hung up");
        have += (size_t)more;
        client->reply[have] = '\0';
        if (!body && (body = strstr(client->reply, "\r\n\r\n"))) {
            const char *length = strcasestr(client->reply, "content-length:");
            if (!length)
                die("an answer without a length");
            body += 4;
            whole = (size_t)(body - client->reply) + strtoul(length + 15, NULL, 10);
        }
    }
    return strncmp(client->reply, "HTTP/1.1 200", 12) == 0 ? body : NULL;
}

static void client_close(struct client *client)
{
    close(client->fd);
    free(client->reply);
}

/* ---- queries meanwhile ---- */

struct queries {
    int port, per_second;
    _Atomic bool stop;
    uint64_t asked;
};

static void *ask_on(void *closure)
{
    struct queries *queries = closure;
    struct client client = client_open(queries->port);
    double next_ms = now_ms();
    while (!atomic_load(&queries->stop)) {
        if (!client_get(&client, query_path))
            die("a query was refused");
        queries->asked++;
        next_ms += 1e3 / queries->per_second;
        double rest_ms = next_ms - now_ms();
        if (rest_ms > 0)
            pause_us((long)(rest_ms * 1e3));
    }
    client_close(&client);
    return NULL;
}

/* ---- the probe ---- */

struct probe {
    natsConnection *leaf, *region;
    natsSubscription *heard;
    struct client client;
    unsigned count;
};

static natsConnection *connect_to(const char *url)
{
    natsOptions *options = NULL;
    natsConnection *nc = NULL;
    if (natsOptions_Create(&options) != NATS_OK || natsOptions_SetURL(options, url) != NATS_OK ||
        natsOptions_SetSendAsap(options, true) != NATS_OK ||
        natsConnection_Connect(&nc, options) != NATS_OK)
        die("cannot connect to NATS");
    natsOptions_Destroy(options);
    return nc;
}

static void publish(struct probe *probe)
{
    char text[MESSAGE_BYTES], stamp[32];
    time_t now = time(NULL);
    struct tm utc;
    unsigned count = ++probe->count;
    strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    int size = snprintf(text, sizeof text,
                        "{\"timestamp\":\"%s\",\"boot\":\"b1\",\"seq\":%u,\"data\":{\"lat\":%u}}",
                        stamp, count, count);
    if (natsConnection_Publish(probe->leaf, subject, text, size) != NATS_OK)
        die("cannot publish");
}

/* The message published last, and whatever is still on its way before it. */
static void take_heard(struct probe *probe)
{
    char expected[32];
    snprintf(expected, sizeof expected, "{\"lat\":%u}", probe->count);
    for (bool found = false; !found;) {
        natsMsg *msg = NULL;
        if (natsSubscription_NextMsg(&msg, probe->heard, WAIT_MAX_MS) != NATS_OK)
            die("a message did not arrive");
        found = strstr(natsMsg_GetData(msg), expected) != NULL;
        natsMsg_Destroy(msg);
    }
}

static double until_heard_ms(struct probe *probe)
{
    double began_ms = now_ms();
    publish(probe);
    take_heard(probe);
    return now_ms() - began_ms;
}

static double until_visible_ms(struct probe *probe)
{
    char expected[32];
    double began_ms = now_ms();
    publish(probe);
    snprintf(expected, sizeof expected, "{\"lat\":%u}", probe->count);
    for (;;) {
        const char *body = client_get(&probe->client, probe_path);
        if (body && strcmp(body, expected) == 0)
            break;
        if (now_ms() - began_ms > WAIT_MAX_MS)
            die("a message did not become visible");
        pause_us(LOOK_US);
    }
    double took_ms = now_ms() - began_ms;
    take_heard(probe);
    return took_ms;
}

/* Until the leaf knows that somebody listens. */
static void await_interest(struct probe *probe)
{
    enum { LOOK_MS = 200, LOOKS_MAX = 50 };
    natsMsg *msg = NULL;
    for (int i = 0; i < LOOKS_MAX && !msg; i++) {
        publish(probe);
        natsSubscription_NextMsg(&msg, probe->heard, LOOK_MS);
    }
    if (!msg)
        die("nothing is heard at the region");
    natsMsg_Destroy(msg);
}

/* ---- telling ---- */

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double at_share(const double *sorted, size_t count, double share)
{
    size_t at = (size_t)((double)count * share);
    return sorted[at < count ? at : count - 1];
}

static void show(const char *name, double value, double limit)
{
    printf("{\"name\": \"visible.%s\", \"value\": %.3f, \"unit\": \"ms\", \"limit\": %.3f, "
           "\"ratio\": %.3f}\n",
           name, value, limit, value / limit);
}

int main(int argc, char **argv)
{
    static double visible[SAMPLES_MAX], heard[SAMPLES_MAX];
    if (argc != 6)
        die("usage: bench_visible LEAF_URL REGION_URL HUB_PORT SECONDS QUERIES_PER_SECOND");
    struct queries queries = {.port = atoi(argv[3]), .per_second = atoi(argv[5])};
    struct probe probe = {.leaf = connect_to(argv[1]), .region = connect_to(argv[2])};
    probe.client = client_open(queries.port);
    if (natsConnection_SubscribeSync(&probe.heard, probe.region, subject) != NATS_OK ||
        natsConnection_FlushTimeout(probe.region, WAIT_MAX_MS) != NATS_OK)
        die("cannot subscribe");
    await_interest(&probe);
    pthread_t asking;
    if (queries.per_second > 0 && pthread_create(&asking, NULL, ask_on, &queries) != 0)
        die("no thread");
    double until_ms = now_ms() + 1e3 * atof(argv[4]);
    size_t count = 0;
    for (; now_ms() < until_ms && count < SAMPLES_MAX; count++) {
        visible[count] = until_visible_ms(&probe);
        pause_us(PAUSE_US);
        heard[count] = until_heard_ms(&probe);
        pause_us(PAUSE_US);
    }
    atomic_store(&queries.stop, true);
    if (queries.per_second > 0)
        pthread_join(asking, NULL);
    if (count == 0)
        die("no samples");
    qsort(visible, count, sizeof *visible, by_value);
    qsort(heard, count, sizeof *heard, by_value);
    show("median", at_share(visible, count, 0.5), at_share(heard, count, 0.5));
    show("p99", at_share(visible, count, 0.99), at_share(heard, count, 0.99));
    show("p99_above", at_share(visible, count, 0.99) - at_share(heard, count, 0.99), 5);
    printf("{\"name\": \"visible.samples\", \"value\": %zu, \"unit\": \"samples\", \"queries\": "
           "%llu}\n",
           count, (unsigned long long)queries.asked);
    client_close(&probe.client);
    natsSubscription_Destroy(probe.heard);
    natsConnection_Destroy(probe.leaf);
    natsConnection_Destroy(probe.region);
    return 0;
}
