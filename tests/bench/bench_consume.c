/*
 * Reads a stream from its first message to its end with an ordered consumer of nats.c that does
 * nothing: the limit that reading the same stream in earnest is compared with.
 *
 *     bench_consume URL STREAM SUBJECT
 *
 * Prints the messages and the seconds it took.
 */
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <time.h>

enum { MAX_MS = 120000, PENDING_MAX = 10000000 };

static _Atomic uint64_t counted;

static void count(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void)nc, (void)sub, (void)closure;
    atomic_fetch_add_explicit(&counted, 1, memory_order_relaxed);
    natsMsg_Destroy(msg);
}

static double now_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
    natsConnection *nc = NULL;
    natsSubscription *sub = NULL;
    jsCtx *js = NULL;
    jsStreamInfo *info = NULL;
    jsSubOptions options;
    jsErrCode code;
    natsOptions *connect = NULL;
    if (argc != 4 || natsOptions_Create(&connect) != NATS_OK ||
        natsOptions_SetURL(connect, argv[1]) != NATS_OK ||
        natsOptions_SetMaxPendingMsgs(connect, PENDING_MAX) != NATS_OK ||
        natsConnection_Connect(&nc, connect) != NATS_OK ||
        natsConnection_JetStream(&js, nc, NULL) != NATS_OK ||
        js_GetStreamInfo(&info, js, argv[2], NULL, &code) != NATS_OK) {
        fprintf(stderr, "usage: bench_consume URL STREAM SUBJECT (and the stream is there)\n");
        return 1;
    }
    jsSubOptions_Init(&options);
    options.Stream = argv[2];
    options.Ordered = true;
    uint64_t messages = info->State.Msgs;
    double began_s = now_s();
    if (js_Subscribe(&sub, js, argv[3], count, NULL, NULL, &options, &code) != NATS_OK)
        return 1;
    while (atomic_load(&counted) < messages && now_s() - began_s < MAX_MS / 1000)
        nats_Sleep(1);
    double took_s = now_s() - began_s;
    printf("%llu %.4f\n", (unsigned long long)atomic_load(&counted), took_s);
    natsSubscription_Unsubscribe(sub);
    natsSubscription_Destroy(sub);
    jsStreamInfo_Destroy(info);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    natsOptions_Destroy(connect);
    return atomic_load(&counted) < messages;
}
