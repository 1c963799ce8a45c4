#include "hub/command.h"
#include "twin/hash.h"

#include <openssl/rand.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ID_TIME_DIGITS = 16, /* of nanoseconds: ids are in the order of their time */
    HASH_LOAD = 2,       /* places in the hash for each delivery */
    LAST_TURNS = 2,      /* of cancelling or aborting it, and of its end */
};

void command_spec_done(struct command_spec *spec)
{
    free(spec->type);
    free(spec->params);
    free(spec->actor);
    free(spec->request_id);
    free(spec->reason);
    free(spec->target);
    free(spec->retry_of);
    free(spec->verify);
    *spec = (struct command_spec){.total = 0};
}

struct command *command_new(void)
{
    struct command *command = calloc(1, sizeof *command);
    if (command)
        command->ended_ns = TIMESTAMP_NONE;
    return command;
}

bool command_fill(struct command *command, uint32_t total, size_t vids_bytes)
{
    struct delivery *deliveries = calloc(total > 0 ? total : 1, sizeof *deliveries);
    char *vids = malloc(vids_bytes > 0 ? vids_bytes : 1);
    if (!deliveries || !vids) {
        free(deliveries);
        free(vids);
        return false;
    }
    for (uint32_t i = 0; i < total; i++)
        deliveries[i] = (struct delivery){.command = command,
                                          .vehicle = DELIVERY_NO_VEHICLE,
                                          .code = DELIVERY_NO_CODE,
                                          .entered = 1u << DELIVERY_PENDING,
                                          .recorded = 1u << DELIVERY_PENDING,
                                          .sent_ns = TIMESTAMP_NONE,
                                          .updated_ns = TIMESTAMP_NONE,
                                          .deadline_ns = TIMESTAMP_NONE};
    command->deliveries = deliveries;
    command->vids = vids;
    command->spec.total = total;
    command->counts = (struct command_counts){.of = {[DELIVERY_PENDING] = total}};
    return true;
}

bool command_turn_add(struct command *command, enum command_state to, int64_t at_ns,
                      const char *actor, const char *request_id)
{
    struct command_turn *turns;
    if (command->turn_count >= COMMAND_TURNS_MAX ||
        !(turns = realloc(command->turns, (command->turn_count + 1) * sizeof *turns)))
        return false;
    command->turns = turns;
    turns[command->turn_count++] =
        (struct command_turn){.from = command->state,
                              .to = to,
                              .at_ns = at_ns,
                              .actor = actor ? strdup(actor) : NULL,
                              .request_id = request_id ? strdup(request_id) : NULL};
    return true;
}

bool command_may_turn(const struct command *command, enum command_event event)
{
    uint32_t turns = event == COMMAND_PAUSE    ? 2 + LAST_TURNS /* it is resumed, too */
                     : event == COMMAND_RESUME ? 1 + LAST_TURNS
                                               : 0;
    return command->turn_count + turns <= COMMAND_TURNS_MAX;
}

void command_drop_deliveries(struct command *command)
{
    for (uint32_t i = 0; command->deliveries && i < command->spec.total; i++)
        free(command->deliveries[i].reason);
    free(command->deliveries);
    free(command->vids);
    free(command->by_vid);
    command->deliveries = NULL;
    command->vids = NULL;
    command->by_vid = NULL;
}

void command_free(struct command *command)
{
    if (!command)
        return;
    command_drop_deliveries(command);
    for (uint32_t i = 0; i < command->turn_count; i++) {
        free(command->turns[i].actor);
        free(command->turns[i].request_id);
    }
    free(command->turns);
    filter_free(command->verify);
    command_spec_done(&command->spec);
    free(command);
}

static char *copy_of(const char *text, bool *good)
{
    char *copy = text ? strdup(text) : NULL;
    *good = *good && (copy || !text);
    return copy;
}

static bool clone_spec(const struct command_spec *from, struct command_spec *to)
{
    bool good = true;
    *to = *from;
    to->type = copy_of(from->type, &good);
    to->params = copy_of(from->params, &good);
    to->actor = copy_of(from->actor, &good);
    to->request_id = copy_of(from->request_id, &good);
    to->reason = copy_of(from->reason, &good);
    to->target = copy_of(from->target, &good);
    to->retry_of = copy_of(from->retry_of, &good);
    to->verify = copy_of(from->verify, &good);
    return good;
}

static bool clone_deliveries(const struct command *from, struct command *to)
{
    size_t bytes = 0, used = 0;
    bool good = true;
    for (uint32_t i = 0; i < from->spec.total; i++)
        bytes += strlen(from->deliveries[i].vid) + 1;
    if (!command_fill(to, from->spec.total, bytes))
        return false;
    for (uint32_t i = 0; i < from->spec.total; i++) {
        const struct delivery *was = &from->deliveries[i];
        struct delivery *is = &to->deliveries[i];
        command_set_vid(to, i, was->vid, strlen(was->vid), &used);
        const char *vid = is->vid;
        *is = *was;
        is->vid = vid;
        is->command = to;
        is->listed = false;
        is->next_of_vehicle = NULL;
        is->reason = copy_of(was->reason, &good);
    }
    return good;
}

struct command *command_clone(const struct command *command)
{
    struct command *copy = command_new();
    if (!copy)
        return NULL;
    bool good = clone_spec(&command->spec, &copy->spec) && clone_deliveries(command, copy);
    copy->state = command->state;
    copy->counts = command->counts;
    copy->ended_ns = command->ended_ns;
    copy->change = command->change;
    if (good)
        return copy;
    command_free(copy);
    return NULL;
}

/* ---- finding a vehicle in it ---- */

void command_set_vid(struct command *command, uint32_t i, const char *vid, size_t size,
                     size_t *used)
{
    char *at = command->vids + *used;
    memcpy(at, vid, size);
    at[size] = '\0';
    command->deliveries[i].vid = at;
    *used += size + 1;
}

bool command_index(struct command *command)
{
    uint32_t places = 16;
    while (places < command->spec.total * (uint64_t)HASH_LOAD)
        places *= 2;
    command->by_vid = calloc(places, sizeof *command->by_vid);
    if (!command->by_vid)
        return false;
    command->by_vid_mask = places - 1;
    for (uint32_t i = 0; i < command->spec.total; i++) {
        const char *vid = command->deliveries[i].vid;
        uint32_t at = (uint32_t)hash_of_text(vid) & command->by_vid_mask;
        while (command->by_vid[at])
            at = (at + 1) & command->by_vid_mask;
        command->by_vid[at] = i + 1;
    }
    return true;
}

struct delivery *command_find(const struct command *command, const char *vid, size_t size)
{
    if (!command->by_vid)
        return NULL;
    uint32_t at = (uint32_t)hash_of(vid, size) & command->by_vid_mask;
    for (; command->by_vid[at]; at = (at + 1) & command->by_vid_mask) {
        struct delivery *delivery = &command->deliveries[command->by_vid[at] - 1];
        if (strlen(delivery->vid) == size && memcmp(delivery->vid, vid, size) == 0)
            return delivery;
    }
    return NULL;
}

/* ---- ids ---- */

bool command_id_parse(const char *text, size_t size, struct slice *id, struct slice *vid,
                      uint32_t *repetition)
{
    const char *dot = memchr(text, '.', size), *end = text + size;
    uint64_t n = 0;
    if (!dot || dot == text)
        return false;
    const char *second = memchr(dot + 1, '.', (size_t)(end - dot - 1));
    const char *vid_end = second ? second : end;
    if (!vid_valid(dot + 1, (size_t)(vid_end - dot - 1)))
        return false;
    for (const char *at = second ? second + 1 : end; at < end; at++) {
        if (*at < '0' || *at > '9' || n > UINT32_MAX / 16)
            return false;
        n = n * 10 + (uint64_t)(*at - '0');
    }
    if (second && (second + 1 == end || n == 0))
        return false;
    *id = (struct slice){text, (size_t)(dot - text)};
    *vid = (struct slice){dot + 1, (size_t)(vid_end - dot - 1)};
    *repetition = (uint32_t)n;
    return true;
}

bool command_id_make(int64_t now_ns, char id[RECORD_ID_TEXT_BYTES])
{
    uint8_t random[RECORD_ID_BYTES];
    char digits[ID_TIME_DIGITS + 1];
    if (RAND_bytes(random, sizeof random) != 1)
        return false;
    record_id_format(random, id);
    snprintf(digits, sizeof digits, "%016llx", (unsigned long long)now_ns);
    memcpy(id, digits, ID_TIME_DIGITS);
    return true;
}

char *delivery_reason(const char *text, size_t size)
{
    if (size > COMMAND_REASON_MAX_BYTES) {
        size = COMMAND_REASON_MAX_BYTES;
        while (size > 0 && ((unsigned char)text[size] & 0xC0) == 0x80)
            size--; /* no character is cut through */
    }
    char *copy = size > 0 ? malloc(size + 1) : NULL;
    if (!copy)
        return NULL;
    for (size_t i = 0; i < size; i++)
        copy[i] = (unsigned char)text[i] < 0x20 || text[i] == 0x7f ? ' ' : text[i];
    copy[size] = '\0';
    return copy;
}
