#include "hub/bus_api.h"
#include "hub/bus_impl.h"

#include <stdio.h>
#include <string.h>

#define HEADER_MSG_ID "Nats-Msg-Id"
#define HEADER_EXPECTED_LAST "Nats-Expected-Last-Subject-Sequence"

/* A line break in a header's value would begin another header. */
static natsStatus set_header(natsMsg *msg, const char *name, const char *value)
{
    for (const char *at = value; *at; at++)
        if ((unsigned char)*at < 0x20 || *at == 0x7f)
            return NATS_INVALID_ARG;
    return natsMsgHeader_Set(msg, name, value);
}

enum bus_status bus_store_msg(const struct bus_store *what, const char *reply, natsMsg **out,
                              struct bus_error *error)
{
    natsMsg *msg = NULL;
    natsStatus status = what->size <= INT32_MAX
                            ? natsMsg_Create(&msg, what->subject, reply,
                                             what->data ? what->data : "", (int)what->size)
                            : NATS_INVALID_ARG;
    if (status == NATS_OK && what->msg_id)
        status = set_header(msg, HEADER_MSG_ID, what->msg_id);
    if (status == NATS_OK && what->expected_last_of_subject != BUS_ANY_SEQ) {
        /* by hand: the options of js_Publish take an expected 0 for none at all */
        char text[24];
        snprintf(text, sizeof(text), "%llu", (unsigned long long)what->expected_last_of_subject);
        status = set_header(msg, HEADER_EXPECTED_LAST, text);
    }
    for (size_t i = 0; i < BUS_HEADERS_MAX && what->headers[i].name && status == NATS_OK; i++)
        status = set_header(msg, what->headers[i].name, what->headers[i].value);
    if (status != NATS_OK) {
        bus_error_set(error, "%s: %s", what->subject, natsStatus_GetText(status));
        natsMsg_Destroy(msg);
        return BUS_ERROR;
    }
    *out = msg;
    return BUS_OK;
}

enum bus_status bus_store_answer(natsMsg *answer, uint64_t *seq, struct bus_error *error)
{
    json_t *root = NULL;
    enum bus_status status = bus_api_answer(natsMsg_GetData(answer),
                                            (size_t)natsMsg_GetDataLength(answer), &root, error);
    if (status != BUS_OK)
        return status;
    json_int_t stored = json_integer_value(json_object_get(root, "seq"));
    json_decref(root);
    if (stored <= 0) {
        bus_error_set(error, "the answer to a publish has no sequence");
        return BUS_ERROR;
    }
    if (seq)
        *seq = (uint64_t)stored;
    return BUS_OK;
}

enum bus_status bus_store(struct bus *bus, const struct bus_store *what, int timeout_ms,
                          uint64_t *seq, struct bus_error *error)
{
    natsMsg *msg = NULL;
    natsMsg *answer = NULL;
    natsConnection *nc = bus_link_up(bus);
    if (!nc) {
        bus_error_set(error, "not connected");
        return BUS_DISCONNECTED;
    }
    enum bus_status status = bus_store_msg(what, NULL, &msg, error);
    if (status != BUS_OK)
        return status;
    natsStatus sent = natsConnection_RequestMsg(&answer, nc, msg, timeout_ms);
    if (sent == NATS_OK) {
        status = bus_store_answer(answer, seq, error);
    } else {
        status = bus_status_of(sent);
        if (status == BUS_TIMEOUT)
            status = BUS_DISCONNECTED; /* whether it was stored is not known */
        bus_error_set(error, "%s: %s", what->subject, natsStatus_GetText(sent));
    }
    natsMsg_Destroy(answer);
    natsMsg_Destroy(msg);
    return status;
}
