/*
 * filter_help: twins out of short texts, for tests of paths, filters and orders. Also for the fuzz
 * target, and so without cmocka.
 *
 *     {"vid": "A", "status": "online", "seen": 5, "since": 60, "delta_since": 30,
 *      "state": {"position": {…}}, "received": {"position": 3},
 *      "desired": {…}, "reported": {…}, "config": {…}, "meta": {…}}
 *
 * All members are optional; times are seconds before HELP_NOW_NS, those that are not given are
 * none; a state that `received` does not name was received just now. Revisions are 7, or more
 * where `revision` says so.
 */
#ifndef TESTS_UNIT_FILTER_HELP_H
#define TESTS_UNIT_FILTER_HELP_H

#include "tests/unit/doc_help.h"
#include "twin/filter.h"
#include "twin/record_view.h"

/* 2026-01-15T10:30:00Z */
#define HELP_NOW_NS (INT64_C(1768473000) * NS_PER_S)

static inline int64_t help_time(struct doc_ref seconds_ago)
{
    if (!doc_is_number(seconds_ago))
        return TIMESTAMP_NONE;
    return HELP_NOW_NS - (int64_t)(doc_number(seconds_ago) * 1e9);
}

static inline void help_free(struct twin *twin)
{
    if (!twin)
        return;
    for (size_t i = 0; i < twin->state_count; i++)
        free((struct state *)twin->states[i]);
    for (size_t i = 0; i < PART_COUNT; i++)
        free((struct part *)twin->parts[i]);
    free((struct doc *)twin->delta);
    free((char *)twin->vid);
    free(twin);
}

static inline struct twin *help_states(struct twin *twin, struct doc_ref root)
{
    struct doc_ref states = doc_getz(root, "state"), received = doc_getz(root, "received");
    for (struct doc_ref m = doc_first(states); doc_exists(m); m = doc_next(states, m)) {
        struct slice type;
        const struct state *replaced;
        type.at = doc_name(m, &type.size);
        int64_t received_ns = help_time(doc_get(received, type.at, type.size));
        if (received_ns == TIMESTAMP_NONE)
            received_ns = HELP_NOW_NS;
        struct version version = {.boot = {"b7", 2}, .seq = 1, .timestamp_ns = received_ns};
        struct twin *fresh =
            twin_with_state(twin, state_new(type, &version, received_ns, 1, m), &replaced);
        free(twin);
        twin = fresh;
    }
    return twin;
}

static inline enum presence_status help_status(struct doc_ref name)
{
    for (int status = 0; status < PRESENCE_COUNT; status++) {
        const char *known = presence_name((enum presence_status)status);
        size_t size;
        const char *text = doc_is(name, DOC_STRING) ? doc_string(name, &size) : NULL;
        if (text && size == strlen(known) && memcmp(text, known, size) == 0)
            return (enum presence_status)status;
    }
    return PRESENCE_UNKNOWN;
}

static inline struct twin *help_twin_of(const char *text, size_t size)
{
    const struct doc *replaced;
    struct doc *doc = doc_of_bytes(text, size);
    struct doc_ref root = doc_root(doc);
    if (!doc)
        return NULL;
    size_t vid_size = 0;
    const char *vid = "";
    if (doc_is(doc_getz(root, "vid"), DOC_STRING))
        vid = doc_string(doc_getz(root, "vid"), &vid_size);
    char *own_vid = calloc(1, vid_size + 1);
    memcpy(own_vid, vid, vid_size);
    struct twin *twin = help_states(twin_new(own_vid), root);
    twin->presence.status = help_status(doc_getz(root, "status"));
    twin->presence.last_seen_ns = help_time(doc_getz(root, "seen"));
    twin->presence.since_ns = help_time(doc_getz(root, "since"));
    int64_t revision = 7;
    doc_int(doc_getz(root, "revision"), &revision);
    for (int i = 0; i < PART_COUNT; i++) {
        struct doc_ref part = doc_getz(root, part_name((enum part_kind)i));
        if (doc_exists(part))
            twin->parts[i] = part_new((uint64_t)revision, HELP_NOW_NS, "ops", part);
    }
    twin_refresh_delta(twin, help_time(doc_getz(root, "delta_since")), &replaced);
    free(doc);
    return twin;
}

static inline struct twin *help_twin(const char *text)
{
    return help_twin_of(text, strlen(text));
}

/* Two groups: the vehicles whose ids end in an odd digit, and none. */
static inline bool help_group_exists(void *closure, const char *name)
{
    (void)closure;
    return strcmp(name, "odd") == 0 || strcmp(name, "none") == 0;
}

static inline bool help_group_holds(void *closure, const char *name,
                                    const struct subject_of_query *subject, int64_t now_ns)
{
    (void)closure;
    (void)now_ns;
    size_t size = subject->twin ? strlen(subject->twin->vid) : 0;
    return strcmp(name, "odd") == 0 && size > 0 && (subject->twin->vid[size - 1] & 1);
}

static const struct filter_groups help_groups = {NULL, help_group_exists, help_group_holds, NULL};

#endif
