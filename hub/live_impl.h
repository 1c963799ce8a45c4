/*
 * live_impl: what live.c, the thread and its clients' turns, live_client.c, what one turn does, and
 * live_resume.c, how a client goes on from an id, share.
 */
#ifndef HUB_LIVE_IMPL_H
#define HUB_LIVE_IMPL_H

#include "hub/changes.h"
#include "hub/live.h"
#include "hub/live_groups.h"
#include "hub/live_set.h"
#include "hub/live_watch.h"

#include <pthread.h>
#include <stdatomic.h>

enum {
    TURN_JUDGED_MAX = 2048,  /* vehicles judged in one turn */
    TURN_LOOKED_MAX = 32768, /* vehicles looked at in one turn */
    CHECK_GONE_EVERY = 32,   /* vehicles between two looks whether the client has left */
};

/* A moment of the store: everything that `position` says has been put by `change`. Shared by the
 * clients that have come so far; counted by the lane's thread alone. */
struct live_mark {
    unsigned users;
    uint64_t change;
    struct fleet_position position;
    struct store_sweep sweep;
    char text[]; /* of the position */
};
void live_mark_unref(struct live_mark *mark);
static inline struct live_mark *live_mark_ref(struct live_mark *mark)
{
    mark->users++;
    return mark;
}

/* Where a client is. */
enum live_stage {
    STAGE_AWAIT,    /* this hub is behind the client's id */
    STAGE_BEGIN,    /* a snapshot, or what changed since the id, is to begin */
    STAGE_SNAPSHOT, /* the whole fleet by index */
    STAGE_RESUME,   /* the same, for what changed since the id */
    STAGE_FOLLOW,   /* ready; changes as they come */
    STAGE_SWEEP,    /* the same, where a turn did not suffice: by index */
    STAGE_JUDGE,    /* the whole fleet by index, judged anew because of the time, or of groups */
};

struct live_client {
    struct http_stream stream; /* first */
    struct live *live;
    _Atomic int users; /* the connection, the lane */
    _Atomic bool gone; /* the connection has let go: nothing of the request is there any more */

    pthread_mutex_t turn; /* held while the lane looks at what the request lent */
    pthread_mutex_t lock; /* of what follows */
    struct buf out;
    bool blocked; /* the lane waits for `out` to be taken */
    bool broken;  /* no memory: the connection is cut, so that nothing is missing in silence */

    /* under the lane's lock */
    struct live_client *next_called;
    bool called;
    bool left; /* it calls for the last time */

    /* the lane's */
    struct query query;
    struct fields *fields;
    struct live_watch filter_watch, fields_watch;
    uint8_t base_digest[LIVE_DIGEST_BYTES], digest[LIVE_DIGEST_BYTES]; /* without groups, with */
    bool timed;     /* the filter's outcome depends on time */
    bool regrouped; /* this judging is because of groups: until it has ended no id stands for it */
    int period_ms;
    struct live_set members;
    struct live_id *resume;              /* until it has resumed */
    struct position told[STREAM_LABELS]; /* how far it has been told things, see live_id */
    int64_t aged_ns;                     /* of its id, while it resumes */
    int64_t await_until_ms;
    const char *reset; /* the reason of a reset that is to be sent */

    enum live_stage stage;
    struct live_mark *done;   /* its position has been seen whole; NULL before */
    struct live_mark *target; /* the same, when this pass has ended */
    uint64_t cursor;          /* all changes up to this one have been seen */
    uint64_t pass_from;       /* the cursor at the beginning of this pass */
    uint32_t at, end;         /* of a pass by index */
    uint32_t hint;            /* for changes_after */
    size_t pass_seen;         /* vehicles judged in this pass because they changed */
    bool pass_sent;           /* an event, in this pass */
    struct live_set passed;   /* sent in this pass before it went on by index */
    int64_t judged_ns[2];     /* see live_id */
    uint32_t slot;
};

#define NO_GROUPS UINT64_MAX

/* What is looked at of every client again and again, side by side. */
struct live_slot {
    struct live_client *client;
    uint64_t cursor;
    int64_t next_ms;  /* no pass begins before */
    int64_t beat_ms;  /* the next heartbeat */
    int64_t judge_ms; /* the next judging because of the time; INT64_MAX: none */
    uint64_t groups;  /* their version that it was judged by; NO_GROUPS: it names none */
    bool busy;        /* in the middle of something: its turn comes at once */
    bool blocked;
};

struct live {
    struct live_options options;
    struct changes *changes;
    struct live_mark *mark; /* the newest */
    uint64_t groups;        /* their version */
    size_t grouped;         /* clients whose filters name some */
    struct live_slot *slots;
    size_t slot_count, slot_room;
    struct buf scratch;
    uint32_t *sent; /* vehicles sent in this turn, TURN_JUDGED_MAX of them */
    int wake_fd;
    pthread_t thread;
    bool running;
    _Atomic bool draining, stop;
    _Atomic size_t clients;

    pthread_mutex_t lock;
    struct live_client *called; /* new, gone, or with room again */
};

/* ---- one turn ---- */

/* What one turn carries along. */
struct live_turn {
    struct live *live;
    struct live_client *client;
    struct live_slot *slot;
    struct buf *out;
    size_t room;
    int64_t now_ms, now_ns;
    unsigned judged, looked;
    size_t sent;           /* in live->sent */
    struct live_seen seen; /* what the client has seen whole, for what is worth an update */
    bool failed;
};

void live_hold(struct live_turn *turn, uint32_t index);
/* An update that touches none of the fields says nothing. */
bool live_worth_telling(struct live_turn *turn, uint32_t index, const struct twin *twin);
void live_send_twin(struct live_turn *turn, enum live_label event, const struct live_mark *mark,
                    uint32_t index, const struct twin *twin);

/* Whether this hub is as far as the client's id; sets the reason of a reset where it will not be.
 */
bool live_resume_caught_up(struct live_turn *turn);
/* Until the client is ready again its ids are the one that it came with. False: no memory. */
bool live_resume_begin(struct live_client *client);
/* Tells of the vehicle where that may be news. */
void live_resume_judge(struct live_turn *turn, uint32_t index);

/* One turn: appends events to live->scratch, at most `room` bytes of them and one more event.
 * False: no memory, the client cannot go on. Inside store_enter, with client->turn held. */
bool live_client_turn(struct live_client *client, struct live_slot *slot, size_t room);
/* Releases what it holds but the mutexes. */
void live_client_done(struct live_client *client);

#endif
