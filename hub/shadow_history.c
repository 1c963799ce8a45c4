#include "hub/shadow_history.h"

#include "hub/clock.h"
#include "hub/streams.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NEXT_MS = 250 };

static bool is_delete(const struct bus_msg *msg)
{
    const char *operation = bus_msg_header(msg, SHADOW_HEADER_KV);
    return operation && (strcmp(operation, "DEL") == 0 || strcmp(operation, "PURGE") == 0);
}

bool shadow_read_value(struct doc_parser *parser, const struct bus_msg *msg, bool *deleted,
                       struct doc_ref *value)
{
    struct doc_limits limits = {PART_MAX_BYTES, SHADOW_DEPTH};
    *deleted = is_delete(msg);
    enum doc_error error =
        doc_parse(parser, *deleted ? "{}" : msg->data, *deleted ? 2 : msg->size, limits, value);
    return error == DOC_OK && doc_is(*value, DOC_OBJECT);
}

const char *shadow_author(const struct bus_msg *msg, enum part_kind kind, bool named,
                          const char *vid)
{
    const char *actor = named ? bus_msg_header(msg, SHADOW_HEADER_ACTOR) : NULL;
    if (actor && strlen(actor) <= RECORD_ACTOR_MAX_BYTES)
        return actor;
    return kind == PART_REPORTED ? vid : "unknown";
}

/* False when there is no memory. */
static bool take(struct doc_parser *parser, const struct bus_msg *msg, enum part_kind kind,
                 const char *vid, struct shadow_revision *revision)
{
    const char *record = bus_msg_header(msg, SHADOW_HEADER_RECORD);
    struct doc_ref value;
    *revision = (struct shadow_revision){.revision = msg->stream_seq,
                                         .updated_ns = msg->received_ns,
                                         .fence = bus_msg_header(msg, SHADOW_HEADER_FENCE)};
    revision->has_record = record && record_id_parse(record, strlen(record), revision->record);
    snprintf(revision->actor, sizeof revision->actor, "%s",
             shadow_author(msg, kind, revision->has_record, vid));
    revision->good = shadow_read_value(parser, msg, &revision->deleted, &value);
    if (revision->good)
        revision->value = doc_without_nulls(value);
    return !revision->good || revision->value;
}

static enum bus_status read_all(struct bus_consumer *consumer, struct doc_parser *parser,
                                enum part_kind kind, const char *vid,
                                struct shadow_history *history)
{
    int64_t until_ms = clock_mono_ms() + SHADOW_HISTORY_MS;
    while (history->count < SHADOW_HISTORY_MAX) {
        struct bus_msg msg;
        if (bus_caught_up(consumer))
            return BUS_OK;
        enum bus_status status = bus_next(consumer, NEXT_MS, &msg);
        if ((status == BUS_TIMEOUT || status == BUS_DISCONNECTED) && clock_mono_ms() < until_ms)
            continue;
        if (status != BUS_OK)
            return status == BUS_TIMEOUT ? BUS_DISCONNECTED : status;
        bool last = msg.pending == 0;
        bool taken = take(parser, &msg, kind, vid, &history->revisions[history->count]);
        bus_msg_done(&msg);
        if (!taken)
            return BUS_ERROR;
        history->count++;
        if (last)
            return BUS_OK;
    }
    return BUS_OK;
}

enum bus_status shadow_history_read(const struct config *config, struct bus *bus, const char *vid,
                                    enum part_kind kind, struct shadow_history *history,
                                    struct bus_error *error)
{
    char subject[STREAMS_SUBJECT_BYTES];
    struct bus_consume what = {
        .stream = streams_name(TWIN_SHADOW), .filter = subject, .from = BUS_FROM_SEQ};
    struct bus_consumer *consumer = NULL;
    struct doc_parser *parser = doc_parser_new();
    enum bus_status status = BUS_ERROR;
    snprintf(error->text, sizeof error->text, "the key's history was not read");
    streams_shadow_subject(config->nats.shadow_key_style, config->env,
                           (struct slice){vid, strlen(vid)}, kind, subject);
    *history = (struct shadow_history){.revisions =
                                           calloc(SHADOW_HISTORY_MAX, sizeof *history->revisions)};
    if (parser && history->revisions)
        status = bus_consume(bus, &what, &consumer, NULL, error);
    if (status == BUS_OK)
        status = read_all(consumer, parser, kind, vid, history);
    if (status != BUS_OK)
        shadow_history_done(history);
    bus_consumer_close(consumer);
    doc_parser_free(parser);
    return status;
}

void shadow_history_done(struct shadow_history *history)
{
    for (size_t i = 0; i < history->count; i++)
        free(history->revisions[i].value);
    free(history->revisions);
    *history = (struct shadow_history){0};
}

const struct shadow_revision *shadow_history_find(const struct shadow_history *history,
                                                  const uint8_t record[RECORD_ID_BYTES])
{
    for (size_t i = 0; i < history->count; i++) {
        const struct shadow_revision *revision = &history->revisions[i];
        if (revision->has_record && !revision->fence &&
            memcmp(revision->record, record, RECORD_ID_BYTES) == 0)
            return revision;
    }
    return NULL;
}
