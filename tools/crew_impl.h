/*
 * crew_impl: what the files of the crew share. Internal to crew*.c.
 */
#ifndef TOOLS_CREW_IMPL_H
#define TOOLS_CREW_IMPL_H

#include "tools/crew.h"
#include "tools/rng.h"

#include "twin/timestamp.h"

enum { CREW_FIRST_ROOM = 64 };

/* One command as one vehicle knows it. */
struct order {
    struct order *older; /* of the same vehicle */
    uint32_t vehicle;
    enum crew_fate fate;
    bool known;      /* false: forgotten in a restart */
    bool disordered; /* accepted is said after the end */
    uint32_t heard, acted;
    uint32_t said[WORD_COUNT];
    enum crew_word last; /* the word that holds */
    struct crew_refusal refusal;
    char *type;
    struct doc *params; /* NULL: none */
    char cmd_id[];
};

struct mate {
    struct order *newest, *doing;
    struct rng rng;
    uint32_t life; /* counts restarts; steps of an earlier one are void */
    int64_t down_until_ns;
    bool goes_offline, down;
};

enum step_kind { STEP_BEGIN, STEP_FINISH, STEP_SAY, STEP_RESTART, STEP_BACK };

struct step {
    int64_t at_ns;
    uint64_t number; /* equal times go in order */
    struct order *order;
    uint32_t vehicle, life;
    enum step_kind kind;
    enum crew_word word; /* STEP_SAY */
    bool repeated;       /* … what was said before */
};

struct crew {
    struct crew_config config;
    struct mate *mates;
    struct order **orders; /* all, as they came */
    size_t order_count, order_room;
    struct step *steps; /* a heap, the least first */
    size_t step_count, step_room;
    uint64_t step_number;
    struct doc_parser *parser;
    struct crew_counts counts;
    struct buf text;
};

extern const char *const crew_words[WORD_COUNT];

/* Plans a step of the vehicle's present life. */
void crew_plan(struct crew *crew, struct step step);
/* Says a word of the order, or plans to say it again where there is no way now. `repeated`: not for
 * the first time. */
void crew_say(struct crew *crew, struct order *order, enum crew_word word, bool repeated,
              int64_t now_ns);

static inline int64_t after_ms(int64_t now_ns, double ms)
{
    return now_ns + (int64_t)(ms * (double)NS_PER_MS);
}

#endif
