#include "twin/twin.h"

#include <stdlib.h>
#include <string.h>

/* 2020-01-01T00:00:00Z: no vehicle of ours flew before; an earlier clock is not set. */
static const int64_t earliest_believed_ns = INT64_C(1577836800) * NS_PER_S;

enum { HEADER_ALIGN = 16 };

struct slice state_type(const struct state *state)
{
    return (struct slice){state->text, state->type_len};
}

struct slice state_boot(const struct state *state)
{
    if (!state->has_boot)
        return (struct slice){NULL, 0};
    return (struct slice){state->text + state->type_len, state->boot_len};
}

struct state *state_new(struct slice type, const struct version *version, int64_t received_ns,
                        uint64_t stream_seq, struct doc_ref data)
{
    size_t header = sizeof(struct state) + type.size + version->boot.size;
    header = (header + HEADER_ALIGN - 1) / HEADER_ALIGN * HEADER_ALIGN;
    struct doc *doc;
    struct state *state = doc_copy_behind(data, header, &doc);
    if (!state)
        return NULL;
    *state = (struct state){
        .timestamp_ns = version->timestamp_ns,
        .received_ns = received_ns,
        .seq = version->seq,
        .stream_seq = stream_seq,
        .data = doc,
        .boot_len = (uint32_t)version->boot.size,
        .type_len = (uint16_t)type.size,
        .has_boot = version->boot.at != NULL,
    };
    memcpy(state->text, type.at, type.size);
    if (version->boot.size)
        memcpy(state->text + type.size, version->boot.at, version->boot.size);
    return state;
}

static bool slices_equal(struct slice a, struct slice b)
{
    if (!a.at || !b.at)
        return a.at == b.at;
    return a.size == b.size && memcmp(a.at, b.at, a.size) == 0;
}

enum outcome version_judge(const struct state *have, const struct version *fresh)
{
    if (!have)
        return OUTCOME_NEWER;
    struct slice boot = state_boot(have);
    bool both_seq = have->seq != SEQ_NONE && fresh->seq != SEQ_NONE;
    bool same_boot = slices_equal(boot, fresh->boot);

    if (same_boot && have->seq == fresh->seq && have->timestamp_ns == fresh->timestamp_ns)
        return OUTCOME_SAME;
    if (same_boot && boot.at && both_seq)
        return fresh->seq > have->seq ? OUTCOME_NEWER : OUTCOME_NOT_NEWER;
    if (fresh->timestamp_ns != have->timestamp_ns)
        return fresh->timestamp_ns > have->timestamp_ns ? OUTCOME_NEWER : OUTCOME_NOT_NEWER;
    return both_seq && fresh->seq > have->seq ? OUTCOME_NEWER : OUTCOME_NOT_NEWER;
}

int64_t clock_believed(int64_t timestamp_ns, int64_t received_ns, int64_t max_skew_ns, bool *skewed)
{
    /* Unsigned, because the distance of two instants may need all 64 bits. */
    bool ahead = timestamp_ns > received_ns &&
                 (uint64_t)timestamp_ns - (uint64_t)received_ns > (uint64_t)max_skew_ns;
    *skewed = timestamp_ns < earliest_believed_ns || ahead;
    return *skewed ? received_ns : timestamp_ns;
}
