#include "twin/twin.h"

const char *presence_name(enum presence_status status)
{
    static const char *const names[PRESENCE_COUNT] = {
#define X(id, name) [PRESENCE_##id] = name,
        PRESENCE_TABLE(X)
#undef X
    };
    return names[status];
}

struct presence presence_heard(struct presence was, int64_t received_ns)
{
    /* Streams are read side by side, and again after a restart: what was received no later than
     * what is known already says nothing new, neither of the vehicle nor of its silence since. */
    if (was.last_seen_ns != TIMESTAMP_NONE && received_ns <= was.last_seen_ns)
        return was;
    was.last_seen_ns = received_ns;
    if (was.status != PRESENCE_ONLINE) {
        was.status = PRESENCE_ONLINE;
        was.since_ns = received_ns;
    }
    return was;
}

struct presence presence_aged(struct presence was, int64_t now_ns, int64_t hearing_since_ns,
                              const struct presence_limits *limits)
{
    if (hearing_since_ns == TIMESTAMP_NONE || was.last_seen_ns == TIMESTAMP_NONE)
        return was;
    int64_t from_ns = was.last_seen_ns > hearing_since_ns ? was.last_seen_ns : hearing_since_ns;
    int64_t silent_ns = now_ns - from_ns;
    if (silent_ns >= limits->offline_after_ns && was.status != PRESENCE_OFFLINE) {
        was.status = PRESENCE_OFFLINE;
        was.since_ns = from_ns + limits->offline_after_ns;
    } else if (silent_ns >= limits->stale_after_ns && was.status == PRESENCE_ONLINE) {
        was.status = PRESENCE_STALE;
        was.since_ns = from_ns + limits->stale_after_ns;
    }
    return was;
}
