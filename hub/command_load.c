/* Commands out of TWIN_COMMANDS. */
#include "hub/command_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ENTRY_DEPTH = COMMAND_SPEC_DEPTH,
    LOOKUPS_A_HOLD = 512, /* of the store's lock */
};

const char *command_key(char out[COMMAND_KEY_BYTES], const char *kind, const char *id, int chunk)
{
    int size = snprintf(out, COMMAND_KEY_BYTES, COMMAND_KEY_PREFIX "%s", kind);
    if (id)
        size += snprintf(out + size, COMMAND_KEY_BYTES - (size_t)size, ".%s", id);
    if (chunk >= 0)
        snprintf(out + size, COMMAND_KEY_BYTES - (size_t)size, ".%d", chunk);
    return out;
}

/* One entry, parsed; it borrows from the parser. */
static enum bus_status read_entry(struct command_lane *lane, struct doc_parser *parser,
                                  const char *kind, const char *id, int chunk,
                                  struct bus_stored *stored, struct doc_ref *root,
                                  struct bus_error *error)
{
    char key[COMMAND_KEY_BYTES];
    struct doc_limits limits = {DOC_MAX_BYTES, ENTRY_DEPTH};
    enum bus_status status = bus_get_last(lane->options.bus, streams_name(TWIN_COMMANDS),
                                          command_key(key, kind, id, chunk), stored, error);
    if (status != BUS_OK)
        return status;
    if (doc_parse(parser, stored->data, stored->size, limits, root) == DOC_OK)
        return BUS_OK;
    snprintf(error->text, sizeof error->text, "%s is no JSON of ours", key);
    bus_stored_done(stored);
    return BUS_ERROR;
}

/* Room for all names first: they are read in one piece of memory. */
static enum bus_status measure(struct command_lane *lane, struct doc_parser *parser,
                               const struct command *command, uint32_t total, size_t *vids_bytes,
                               struct bus_error *error)
{
    *vids_bytes = 0;
    for (uint32_t from = 0; from < total; from += COMMAND_CHUNK) {
        struct bus_stored stored;
        struct doc_ref root;
        enum bus_status status = read_entry(lane, parser, "targets", command->spec.id,
                                            (int)(from / COMMAND_CHUNK), &stored, &root, error);
        if (status != BUS_OK)
            return status;
        *vids_bytes += command_targets_bytes(root);
        bus_stored_done(&stored);
    }
    return BUS_OK;
}

static enum bus_status read_chunk(struct command_lane *lane, struct doc_parser *parser,
                                  struct command *command, uint32_t from, bool states,
                                  size_t *vids_used, struct bus_error *error)
{
    struct bus_stored stored;
    struct doc_ref root;
    int chunk = (int)(from / COMMAND_CHUNK);
    enum bus_status status =
        read_entry(lane, parser, "targets", command->spec.id, chunk, &stored, &root, error);
    if (status != BUS_OK)
        return status;
    bool good = command_targets_read(root, command, from, vids_used);
    bus_stored_done(&stored);
    if (good && states) {
        status = read_entry(lane, parser, "states", command->spec.id, chunk, &stored, &root, error);
        if (status == BUS_NOT_FOUND)
            return BUS_OK; /* nothing has been summed up yet */
        if (status != BUS_OK)
            return status;
        good = command_states_read(root, command, from);
        bus_stored_done(&stored);
    }
    if (!good)
        snprintf(error->text, sizeof error->text, "the entries of %s are no good",
                 command->spec.id);
    return good ? BUS_OK : BUS_ERROR;
}

/* Where the vehicles are in this hub's store. */
void command_find_vehicles(struct command_lane *lane, struct command *command)
{
    struct store *store = lane->options.store;
    for (uint32_t i = 0; i < command->spec.total;) {
        store_lock(store);
        for (uint32_t n = 0; n < LOOKUPS_A_HOLD && i < command->spec.total; n++, i++) {
            struct delivery *delivery = &command->deliveries[i];
            const struct vehicle *vehicle =
                store_lookup(store, delivery->vid, strlen(delivery->vid));
            delivery->vehicle = vehicle ? vehicle->index : DELIVERY_NO_VEHICLE;
        }
        store_unlock(store);
    }
}

static void count_states(struct command *command)
{
    command->counts = (struct command_counts){.of = {0}};
    for (uint32_t i = 0; i < command->spec.total; i++)
        command->counts.of[command->deliveries[i].state]++;
}

bool command_compile_verify(struct command_lane *lane, struct command *command,
                            struct bus_error *error)
{
    struct text_error text_error;
    const char *text = command->spec.verify;
    if (!text || command->verify)
        return true;
    command->verify = filter_compile(PATH_OF_TWIN, text, strlen(text),
                                     groups_for_filters(lane->options.groups), &text_error);
    if (!command->verify) /* a group that it names is gone: it matches nothing any more */
        snprintf(error->text, sizeof error->text, "verify: %s", text_error.detail);
    return true;
}

enum bus_status command_load(struct command_lane *lane, struct command *command, bool states,
                             struct bus_error *error)
{
    struct doc_parser *parser = doc_parser_new();
    size_t vids_bytes, used = 0;
    uint32_t total = command->spec.total;
    enum bus_status status =
        parser ? measure(lane, parser, command, total, &vids_bytes, error) : BUS_ERROR;
    if (status == BUS_OK && !command_fill(command, total, vids_bytes))
        status = BUS_ERROR;
    for (uint32_t from = 0; status == BUS_OK && from < total; from += COMMAND_CHUNK)
        status = read_chunk(lane, parser, command, from, states, &used, error);
    if (status == BUS_OK &&
        !(command_index(command) && command_compile_verify(lane, command, error)))
        status = BUS_ERROR;
    if (status == BUS_OK) {
        command_find_vehicles(lane, command);
        count_states(command);
    } else if (command->deliveries) {
        command_drop_deliveries(command);
    }
    doc_parser_free(parser);
    return status;
}

static struct command *reload(struct command_lane *lane, const char *id, struct bus_error *error)
{
    struct doc_parser *parser = doc_parser_new();
    struct command *command = command_new();
    struct bus_stored stored;
    struct doc_ref root;
    enum bus_status status = BUS_ERROR;
    if (parser && command)
        status = read_entry(lane, parser, "spec", id, -1, &stored, &root, error);
    if (status == BUS_OK) {
        bool good = command_spec_read(root, &command->spec);
        bus_stored_done(&stored);
        status = good ? command_load(lane, command, true, error) : BUS_ERROR;
    }
    if (status == BUS_OK &&
        read_entry(lane, parser, "status", id, -1, &stored, &root, error) == BUS_OK) {
        command_status_read(root, command);
        bus_stored_done(&stored);
    }
    for (uint32_t i = 0; status == BUS_OK && i < command->spec.total; i++)
        command->deliveries[i].change = i + 1;
    doc_parser_free(parser);
    if (status == BUS_NOT_FOUND)
        error->text[0] = '\0';
    if (status == BUS_OK) {
        command->change = command->spec.total + 1u;
        return command;
    }
    command_free(command);
    return NULL;
}

/* What is no id of ours is not asked for: it would be part of a subject. */
static bool is_id(const char *text)
{
    uint8_t id[RECORD_ID_BYTES];
    return record_id_parse(text, strlen(text), id);
}

struct command *command_copy(struct command_lane *lane, const char *id, struct bus_error *error)
{
    struct command *copy = NULL;
    snprintf(error->text, sizeof error->text, "out of memory");
    pthread_mutex_lock(&lane->lock);
    const struct command *command = command_by_id(lane, id, strlen(id));
    bool here = command && command->deliveries;
    enum command_state state = command ? command->state : COMMAND_STATE_RUNNING;
    int64_t ended_ns = command ? command->ended_ns : TIMESTAMP_NONE;
    if (here)
        copy = command_clone(command);
    pthread_mutex_unlock(&lane->lock);
    if (here)
        return copy;
    error->text[0] = '\0';
    copy = is_id(id) ? reload(lane, id, error) : NULL;
    if (copy && command) { /* it knows more than its last summary */
        copy->state = state;
        copy->ended_ns = ended_ns;
    }
    return copy;
}
