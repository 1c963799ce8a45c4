/*
 * The least that giving a command to many vehicles can cost: publishes one to each to TWIN_CMD, all
 * at once, and waits until each has said that it accepts. The hub's own time is compared with it.
 *
 *     bench_commands URL ENV PREFIX COUNT ROUND
 *
 * The vehicles are PREFIX001 … as fleetsim names them. Prints the milliseconds it took.
 */
#include <nats/nats.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MAX_MS = 30000, SUBJECT_BYTES = 256, PAYLOAD_BYTES = 1024, DIGITS_MIN = 3 };

static _Atomic unsigned accepted;
static char round_id[64];

static void count(natsConnection *nc, natsSubscription *sub, natsMsg *msg, void *closure)
{
    (void)nc, (void)sub, (void)closure;
    if (strstr(natsMsg_GetData(msg), round_id) && strstr(natsMsg_GetData(msg), "\"accepted\""))
        atomic_fetch_add_explicit(&accepted, 1, memory_order_relaxed);
    natsMsg_Destroy(msg);
}

static double now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void time_text(time_t at, char text[32])
{
    struct tm parts;
    strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&at, &parts));
}

static natsStatus command(jsCtx *js, const char *env, const char *vid)
{
    char subject[SUBJECT_BYTES], payload[PAYLOAD_BYTES], id[128], now[32], later[32];
    natsMsg *msg = NULL;
    time_text(time(NULL), now);
    time_text(time(NULL) + 60, later);
    snprintf(id, sizeof id, "%s.%s", round_id, vid);
    snprintf(subject, sizeof subject, "fleet.%s.veh.%s.cmd.rtl", env, vid);
    snprintf(payload, sizeof payload,
             "{\"vid\":\"%s\",\"timestamp\":\"%s\",\"data\":{\"cmd_id\":\"%s\",\"type\":\"rtl\","
             "\"params\":{},\"issued_by\":\"local\",\"issued_at\":\"%s\",\"expires_at\":\"%s\"}}",
             vid, now, id, now, later);
    natsStatus status = natsMsg_Create(&msg, subject, NULL, payload, (int)strlen(payload));
    if (status == NATS_OK)
        status = natsMsgHeader_Add(msg, "Nats-Msg-Id", id);
    if (status == NATS_OK)
        status = js_PublishMsgAsync(js, &msg, NULL);
    natsMsg_Destroy(msg);
    return status;
}

int main(int argc, char **argv)
{
    natsConnection *nc = NULL;
    natsSubscription *sub = NULL;
    jsCtx *js = NULL;
    char subject[SUBJECT_BYTES], vid[64];
    unsigned total = argc == 6 ? (unsigned)atoi(argv[4]) : 0;
    int digits = snprintf(NULL, 0, "%u", total);
    if (total == 0 || natsConnection_ConnectTo(&nc, argv[1]) != NATS_OK ||
        natsConnection_JetStream(&js, nc, NULL) != NATS_OK) {
        fprintf(stderr, "usage: bench_commands URL ENV PREFIX COUNT ROUND\n");
        return 1;
    }
    snprintf(round_id, sizeof round_id, "bare-%s", argv[5]);
    snprintf(subject, sizeof subject, "fleet.%s.veh.*.cmdack.>", argv[2]);
    if (natsConnection_Subscribe(&sub, nc, subject, count, NULL) != NATS_OK ||
        natsConnection_Flush(nc) != NATS_OK)
        return 1;
    double began_ms = now_ms();
    for (unsigned i = 1; i <= total; i++) {
        snprintf(vid, sizeof vid, "%s%0*u", argv[3], digits > DIGITS_MIN ? digits : DIGITS_MIN, i);
        if (command(js, argv[2], vid) != NATS_OK)
            return 1;
    }
    while (atomic_load(&accepted) < total && now_ms() - began_ms < MAX_MS)
        nats_Sleep(1);
    printf("%u %.3f\n", atomic_load(&accepted), now_ms() - began_ms);
    js_PublishAsyncComplete(js, NULL);
    natsSubscription_Unsubscribe(sub);
    natsConnection_Flush(nc);
    natsSubscription_Destroy(sub);
    jsCtx_Destroy(js);
    natsConnection_Destroy(nc);
    nats_Close();
    return 0;
}
