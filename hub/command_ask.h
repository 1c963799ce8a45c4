/*
 * command_ask: what can be asked about group commands, and the answer, in a form that can be passed
 * on to another hub. Who asks, and what he may see, is part of it.
 *
 * Ownership: an ask borrows all its texts; an answer owns its body (command_answer_done).
 * Threads: plain values, one thread at a time.
 */
#ifndef HUB_COMMAND_ASK_H
#define HUB_COMMAND_ASK_H

#include "hub/http.h"
#include "twin/doc.h"
#include "twin/geo.h"
#include "twin/viewer.h"

#define COMMAND_VERB_TABLE(X)                                                                      \
    X(CREATE, "create")                                                                            \
    X(LIST, "list")                                                                                \
    X(GET, "get")                                                                                  \
    X(VEHICLES, "vehicles")                                                                        \
    X(CANCEL, "cancel")                                                                            \
    X(PAUSE, "pause")                                                                              \
    X(RESUME, "resume")                                                                            \
    X(RETRY, "retry")                                                                              \
    X(WATCH, "watch") /* events of /{id}/stream, from `since` on */

enum command_verb {
#define X(id, name) VERB_##id,
    COMMAND_VERB_TABLE(X)
#undef X
        COMMAND_VERBS
};

struct command_ask {
    enum command_verb verb;
    const char *id; /* NULL where there is none */
    const char *page_token, *status, *type, *state;
    size_t page_size;
    uint64_t since;
    const char *key; /* Idempotency-Key; NULL: none */
    const char *principal, *request_id;
    const struct viewer *viewer;
    const char *body;
    size_t body_bytes;
};

enum { COMMAND_DETAIL_BYTES = 512 };

struct command_answer {
    int status;
    int problem; /* enum problem, -1: none */
    char detail[COMMAND_DETAIL_BYTES];
    bool has_text_error; /* then `detail` is the parameter's name */
    struct text_error text_error;
    char location[96]; /* "" for none */
    struct buf next;   /* page token; empty for none */
    uint64_t change;   /* of a watch: to ask from next time */
    bool ended;        /* of a watch: nothing follows */
    struct buf body;
};
void command_answer_init(struct command_answer *answer);
void command_answer_done(struct command_answer *answer);
void command_answer_problem(struct command_answer *answer, enum problem problem, const char *format,
                            ...) __attribute__((format(printf, 3, 4)));
void command_answer_text(struct command_answer *answer, enum problem problem, const char *parameter,
                         const struct text_error *error);

/* ---- on their way to another hub ---- */

void command_ask_write(struct buf *out, const struct command_ask *ask);
/* What was read, with its viewer; it borrows from `text`. NULL for what is none, or no memory. */
struct command_asked {
    struct command_ask ask;
    struct doc_parser *parser;
    struct viewer viewer;
    char *texts; /* all texts, NUL-terminated */
    void *lists; /* of the viewer's patterns */
};
struct command_asked *command_ask_read(const char *text, size_t size);
void command_asked_free(struct command_asked *asked);

void command_answer_write(struct buf *out, const struct command_answer *answer);
bool command_answer_read(const char *text, size_t size, struct command_answer *answer);

#endif
