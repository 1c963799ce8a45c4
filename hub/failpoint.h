/*
 * failpoint: named places where the process ends at once, as by kill -9, when the environment says
 * so: `FLEETHUB_FAILPOINT=shadow_requested` or, for the third time that it is reached,
 * `FLEETHUB_FAILPOINT=shadow_requested:3`. With `freeze` behind the number
 * (`record_inserted:3:freeze`) it stands still there instead, as by kill -STOP, until it gets a
 * SIGCONT. For tests of what a crash leaves behind; without the variable a failpoint is one load of
 * a flag.
 *
 * Threads: failpoint_init before any other thread; failpoint_reached from any.
 */
#ifndef HUB_FAILPOINT_H
#define HUB_FAILPOINT_H

#include <stdbool.h>

#define FAILPOINT_TABLE(X)                                                                         \
    X(SHADOW_REQUESTED, "shadow_requested") /* the request is on record, nothing is written */     \
    X(SHADOW_WRITTEN, "shadow_written")     /* the value is in the bucket */                       \
    X(SHADOW_OUTCOME, "shadow_outcome")     /* the outcome is queued, the answer not sent */       \
    X(REGISTRY_WRITTEN, "registry_written") /* TWIN_LAST says so, the record does not */           \
    X(REGISTRY_HIDDEN, "registry_hidden") /* retired and on record, its keys still hold values */  \
    X(GROUP_WRITTEN, "group_written")     /* the group is in the bucket, not on record */          \
    X(RECORD_CLAIMED, "record_claimed")   /* the lease is taken, no position is read */            \
    X(RECORD_TAKEN, "record_taken")       /* a message is in the batch */                          \
    X(RECORD_GATHERED, "record_gathered") /* the batch is complete, no transaction is open */      \
    X(RECORD_BEGUN, "record_begun")       /* the fence is passed, its row is locked */             \
    X(RECORD_DIGESTED, "record_digested") /* the digests are in, the rows are not */               \
    X(RECORD_LOADING, "record_loading")   /* the COPY of the rows is under way */                  \
    X(RECORD_INSERTED, "record_inserted") /* the rows are in, the tree is as it was */             \
    X(RECORD_GROWN, "record_grown")       /* the tree has grown, the positions are as they were */ \
    X(RECORD_POSITIONED, "record_positioned")   /* all is in, but for the COMMIT */                \
    X(RECORD_COMMITTED, "record_committed")     /* committed, and nobody has been told */          \
    X(RECORD_PUBLISHING, "record_publishing")   /* before `archived` is published */               \
    X(RECORD_PUBLISHED, "record_published")     /* and after it */                                 \
    X(COMMAND_KEYED, "command_keyed")           /* the Idempotency-Key has its entry */            \
    X(COMMAND_FROZEN, "command_frozen")         /* the targets are in, the command is not */       \
    X(COMMAND_PERSISTED, "command_persisted")   /* it exists, nothing is sent */                   \
    X(COMMAND_SUPERSEDED, "command_superseded") /* what it takes over from has ended */            \
    X(COMMAND_PUBLISHING, "command_publishing") /* before a message goes to a vehicle */           \
    X(COMMAND_PUBLISHED, "command_published")   /* it is on its way, and not answered */           \
    X(COMMAND_REPEATED, "command_repeated")     /* the same, of a repetition */                    \
    X(COMMAND_ANSWERED, "command_answered")     /* the stream has it, nobody knows */              \
    X(COMMAND_SENT, "command_sent")             /* known as sent, not on record */                 \
    X(COMMAND_ACK_READ, "command_ack_read")     /* an acknowledgement has come, nobody knows */    \
    X(COMMAND_ACCEPTED, "command_accepted")     /* known as accepted, not on record */             \
    X(COMMAND_REPORTED, "command_reported")     /* the same of another report */                   \
    X(COMMAND_MATCHED, "command_matched")       /* the twin shows it, nobody knows */              \
    X(COMMAND_RECORDED, "command_recorded")     /* a change is queued for the record */            \
    X(COMMAND_ACTED, "command_acted")           /* what was asked is in the bucket, and no more */ \
    X(COMMAND_CHUNK_SAVED, "command_chunk_saved") /* deliveries are summed up, the rest is not */  \
    X(COMMAND_SAVED, "command_saved")             /* a summary on the way is in */                 \
    X(COMMAND_ENDING, "command_ending")           /* all has ended, the last summary is not in */  \
    X(COMMAND_ENDED, "command_ended")             /* it is in, nobody has been told */             \
    X(COMMAND_LEASED, "command_leased")           /* the lease is taken, nothing is read */        \
    X(COMMAND_LOADED, "command_loaded")           /* the bucket is read, TWIN_CMD is not */        \
    X(COMMAND_CAUGHT_UP, "command_caught_up")     /* all is read, nothing is sent */

enum failpoint {
#define X(id, name) FAILPOINT_##id,
    FAILPOINT_TABLE(X)
#undef X
        FAILPOINT_COUNT
};

/* Reads the environment. False for a name that is none, or a number that makes no sense. */
bool failpoint_init(void);
void failpoint_reached(enum failpoint point);

#endif
