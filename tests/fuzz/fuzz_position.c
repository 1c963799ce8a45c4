/* Fleet-Position and the ids of live queries: whatever a client sends is refused, or says the same
 * when it is written and read again. */
#include "hub/live_id.h"

#include <stdlib.h>
#include <string.h>

enum { INPUT_MAX_BYTES = 2 * LIVE_ID_MAX_BYTES };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

static void require_same_position(const struct fleet_position *a, const struct fleet_position *b)
{
    REQUIRE(a->broker_time_ns == b->broker_time_ns);
    for (int i = 0; i < STREAM_LABELS; i++) {
        REQUIRE(a->streams[i].epoch_ns == b->streams[i].epoch_ns);
        REQUIRE(a->streams[i].seq == b->streams[i].seq);
        REQUIRE(a->streams[i].received_ns == b->streams[i].received_ns);
    }
}

static struct live_id again(const struct live_id *id)
{
    char token[POSITION_TOKEN_BYTES];
    struct buf out = BUF_INIT;
    struct live_id read;
    position_write(&id->position, token);
    REQUIRE(token[0] != '\0');
    live_id_write(&out, token, id);
    REQUIRE(!out.failed && out.size_bytes < LIVE_ID_MAX_BYTES);
    REQUIRE(live_id_read(buf_cstr(&out), &read));
    buf_done(&out);
    return read;
}

static void check_id(const struct live_id *id)
{
    /* What was told counts where it is further than the position; more than that nobody writes. */
    struct live_id first = again(id), second = again(&first);
    require_same_position(&first.position, &id->position);
    for (int i = 0; i < STREAM_LABELS; i++) {
        REQUIRE(first.told[i].seq == 0 || first.told[i].seq == id->told[i].seq);
        REQUIRE(first.told[i].seq == second.told[i].seq);
        REQUIRE(first.told[i].epoch_ns == second.told[i].epoch_ns);
    }
    REQUIRE(first.sweep.hearing_ns == id->sweep.hearing_ns);
    REQUIRE(first.sweep.swept_ns == id->sweep.swept_ns);
    REQUIRE(first.aged_ns == id->aged_ns);
    REQUIRE(memcmp(first.digest, id->digest, sizeof first.digest) == 0);
    REQUIRE(first.unfinished == id->unfinished && first.timed == id->timed);
    for (int i = 0; i < 2; i++)
        REQUIRE(first.judged_ns[i] == id->judged_ns[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fleet_position position, read;
    struct live_id id;
    char token[POSITION_TOKEN_BYTES];
    if (size > INPUT_MAX_BYTES)
        return 0;
    char *text = malloc(size + 1);
    REQUIRE(text);
    memcpy(text, data, size);
    text[size] = '\0';
    if (position_read(text, &position)) {
        position_write(&position, token);
        REQUIRE(position_read(token, &read));
        require_same_position(&position, &read);
    }
    if (live_id_read(text, &id))
        check_id(&id);
    free(text);
    return 0;
}
