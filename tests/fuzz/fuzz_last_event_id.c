/* Last-Event-ID of a live query: a position, a dot and bytes in base64url. The input is the bytes,
 * so that what lies behind the encoding is reached; as text of any kind fuzz_position has it. An id
 * is refused, or says the same when it is written and read again, and nothing that a hub could not
 * have come to know. */
#include "hub/cursor.h"
#include "hub/live_id.h"

#include <stdlib.h>
#include <string.h>

#define REQUIRE(condition)                                                                         \
    do {                                                                                           \
        if (!(condition))                                                                          \
            abort();                                                                               \
    } while (0)

enum { INPUT_MAX_BYTES = 2 * LIVE_ID_MAX_BYTES };

/* Some streams were read, others not yet. */
static void write_position(char token[POSITION_TOKEN_BYTES], struct fleet_position *position)
{
    memset(position, 0, sizeof *position);
    for (int i = 0; i < STREAM_LABELS; i += 2)
        position->streams[i] =
            (struct position){.epoch_ns = (1 + i) * NS_PER_S, .seq = 1000u + (unsigned)i};
    position_write(position, token);
    REQUIRE(position_read(token, position));
}

static void check(const struct live_id *id, const struct fleet_position *position)
{
    char token[POSITION_TOKEN_BYTES];
    struct live_id again;
    struct buf out = BUF_INIT;
    for (int i = 0; i < STREAM_LABELS; i++)
        REQUIRE(id->position.streams[i].seq == position->streams[i].seq);
    REQUIRE(id->aged_ns >= 0 && id->judged_ns[0] >= 0 && id->judged_ns[1] >= 0);
    REQUIRE(id->sweep.swept_ns == TIMESTAMP_NONE || id->sweep.swept_ns >= 0);
    position_write(&id->position, token);
    live_id_write(&out, token, id);
    REQUIRE(!out.failed && out.size_bytes < LIVE_ID_MAX_BYTES);
    REQUIRE(live_id_read(buf_cstr(&out), &again));
    REQUIRE(memcmp(again.digest, id->digest, sizeof again.digest) == 0);
    REQUIRE(again.unfinished == id->unfinished && again.timed == id->timed);
    for (int i = 0; i < STREAM_LABELS; i++)
        REQUIRE(again.told[i].seq == 0 || again.told[i].seq == id->told[i].seq);
    buf_done(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char token[POSITION_TOKEN_BYTES];
    struct fleet_position position;
    struct live_id id;
    struct buf text = BUF_INIT;
    if (size > INPUT_MAX_BYTES)
        return 0;
    write_position(token, &position);
    buf_adds(&text, token);
    buf_addc(&text, '.');
    cursor_base64url(&text, data, size);
    if (live_id_read(buf_cstr(&text), &id))
        check(&id, &position);
    buf_done(&text);
    return 0;
}
