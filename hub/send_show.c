/* send: what a hub says of a command, and how it is shown. */
#include "hub/send.h"
#include "hub/term.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

enum { VID_COLUMN = 20, STATE_COLUMN = 10, REASON_MAX_BYTES = 120 };

/* A member that is a string, as text for a terminal; "" where there is none. */
static void text_member(struct doc_ref object, const char *name, char *out, size_t room)
{
    struct doc_ref value = doc_getz(object, name);
    size_t size = 0;
    const char *text = doc_is(value, DOC_STRING) ? doc_string(value, &size) : "";
    if (size >= room)
        for (size = room - 1; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80;)
            size--;
    for (size_t i = 0; i < size; i++)
        out[i] = iscntrl((unsigned char)text[i]) ? ' ' : text[i];
    out[size] = '\0';
}

static uint64_t count_member(struct doc_ref object, const char *name)
{
    int64_t count;
    return doc_int(doc_getz(object, name), &count) && count > 0 ? (uint64_t)count : 0;
}

bool send_status_read(struct doc_ref command, struct send_status *status)
{
    struct doc_ref counts = doc_getz(command, "counts");
    *status = (struct send_status){.total = count_member(command, "total")};
    text_member(command, "id", status->id, sizeof status->id);
    text_member(command, "status", status->status, sizeof status->status);
    for (int state = 0; state < DELIVERY_STATES; state++)
        status->of[state] = count_member(counts, delivery_state_name((enum delivery_state)state));
    status->succeeded = strcmp(status->status, "succeeded") == 0;
    status->ended = strcmp(status->status, "running") != 0 && strcmp(status->status, "paused") != 0;
    return *status->id && *status->status && doc_is(counts, DOC_OBJECT);
}

uint64_t send_pending(const struct send_status *status)
{
    if (status->ended)
        return 0;
    return status->of[DELIVERY_PENDING] + status->of[DELIVERY_SENT] + status->of[DELIVERY_ACCEPTED];
}

void send_write_counts(struct buf *out, const struct send_status *status)
{
    const char *comma = "";
    for (int state = 0; state < DELIVERY_STATES; state++) {
        if (status->of[state] == 0)
            continue;
        buf_addf(out, "%s%llu %s", comma, (unsigned long long)status->of[state],
                 delivery_state_name((enum delivery_state)state));
        comma = ", ";
    }
}

void send_write_bar(struct buf *out, const struct send_status *status, unsigned width)
{
    uint64_t done = status->total - send_pending(status);
    uint64_t filled = status->total ? done * width / status->total : 0;
    buf_addc(out, '[');
    for (unsigned i = 0; i < width; i++)
        buf_addc(out, i < filled ? '#' : '.');
    buf_addf(out, "] %llu/%llu ", (unsigned long long)done, (unsigned long long)status->total);
    send_write_counts(out, status);
    if (strcmp(status->status, "paused") == 0)
        buf_adds(out, " (paused)");
}

void send_write_vehicle(struct buf *out, struct doc_ref vehicle, bool coloured)
{
    char vid[65], state[16], reason[REASON_MAX_BYTES];
    int64_t code;
    text_member(vehicle, "vid", vid, sizeof vid);
    text_member(vehicle, "state", state, sizeof state);
    text_member(vehicle, "reason", reason, sizeof reason);
    enum term_colour colour = coloured ? term_colour_of(state, strlen(state)) : TERM_PLAIN;
    buf_addf(out, "%-*s ", VID_COLUMN, vid);
    term_begin(out, colour);
    buf_addf(out, "%-*s", STATE_COLUMN, state);
    term_end(out, colour);
    if (*reason)
        buf_addf(out, " %s", reason);
    if (doc_int(doc_getz(vehicle, "code"), &code))
        buf_addf(out, " (code %lld)", (long long)code);
    while (out->size_bytes > 0 && out->data[out->size_bytes - 1] == ' ')
        out->size_bytes--;
    buf_addc(out, '\n');
}

bool send_write_dry_run(struct buf *out, struct doc_ref answer)
{
    struct doc_ref vids = doc_getz(answer, "vids"), blocked = doc_getz(answer, "blocked");
    uint64_t total = count_member(answer, "total"), stopped = doc_members(blocked);
    buf_addf(out, "%llu vehicles, of which %llu blocked\n", (unsigned long long)total,
             (unsigned long long)stopped);
    for (struct doc_ref m = doc_first(vids); doc_exists(m); m = doc_next(vids, m)) {
        size_t size = 0;
        const char *vid = doc_is(m, DOC_STRING) ? doc_string(m, &size) : "";
        buf_adds(out, "  ");
        buf_add(out, vid, size);
        buf_addc(out, '\n');
    }
    if (total > doc_members(vids))
        buf_addf(out, "  … and %llu more\n", (unsigned long long)(total - doc_members(vids)));
    for (struct doc_ref m = doc_first(blocked); doc_exists(m); m = doc_next(blocked, m)) {
        char vid[65], reason[REASON_MAX_BYTES];
        text_member(m, "vid", vid, sizeof vid);
        text_member(m, "reason", reason, sizeof reason);
        buf_addf(out, "blocked: %-*s %s\n", VID_COLUMN, vid, reason);
    }
    return total > stopped;
}
