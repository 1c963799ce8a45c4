#include "hub/audit_note.h"

#include "hub/base64.h"
#include "twin/timestamp.h"

#include <stdio.h>
#include <string.h>

enum { SIZE_MAX_DIGITS = 18 };

#define DASH "\xe2\x80\x94 "
#define TIME "time "

void audit_origin(const char *env, const char *region, char origin[AUDIT_NAME_BYTES])
{
    snprintf(origin, AUDIT_NAME_BYTES, "fleethub/%s/%s", env, region);
}

void audit_note_write(struct buf *out, const char *origin, int64_t size,
                      const struct tree_hash *root, int64_t time_ns)
{
    char time[TIMESTAMP_TEXT_BYTES];
    buf_addf(out, "%s\n%lld\n", origin, (long long)size);
    base64_write(out, root->bytes, sizeof root->bytes);
    timestamp_format(time_ns, time);
    buf_addf(out, "\n" TIME "%s\n\n", time);
}

bool audit_note_sign(struct buf *out, const char *origin, const struct audit_signer *signer)
{
    uint8_t bytes[AUDIT_KEY_ID_BYTES + AUDIT_SIGNATURE_BYTES];
    const char *text = buf_cstr(out);
    const char *end = strstr(text, "\n\n");
    if (!end || !audit_sign(signer, text, (size_t)(end - text) + 1, bytes + AUDIT_KEY_ID_BYTES))
        return false;
    audit_key_id(origin, strlen(origin), audit_signer_public(signer), bytes);
    buf_addf(out, DASH "%s ", origin);
    base64_write(out, bytes, sizeof bytes);
    buf_addc(out, '\n');
    return !out->failed;
}

/* ---- reading ---- */

struct reading {
    const char *at, *end;
};

/* The next line without its line feed; false where none is left. */
static bool next_line(struct reading *reading, struct slice *line)
{
    const char *end = memchr(reading->at, '\n', (size_t)(reading->end - reading->at));
    if (!end)
        return false;
    *line = (struct slice){reading->at, (size_t)(end - reading->at)};
    reading->at = end + 1;
    return true;
}

static bool starts_with(struct slice line, const char *text)
{
    return line.size >= strlen(text) && memcmp(line.at, text, strlen(text)) == 0;
}

static bool read_size(struct slice line, int64_t *size)
{
    if (line.size == 0 || line.size > SIZE_MAX_DIGITS || (line.size > 1 && line.at[0] == '0'))
        return false;
    *size = 0;
    for (size_t i = 0; i < line.size; i++) {
        if (line.at[i] < '0' || line.at[i] > '9')
            return false;
        *size = *size * 10 + (line.at[i] - '0');
    }
    return *size <= TREE_SIZE_MAX;
}

/* A signature that is of our kind is kept; of any other only the form is looked at. */
static bool read_signature(struct slice line, struct audit_note *note)
{
    uint8_t bytes[AUDIT_KEY_ID_BYTES + AUDIT_SIGNATURE_BYTES];
    const char *name = line.at + strlen(DASH);
    size_t left = line.size - strlen(DASH);
    const char *blank = memchr(name, ' ', left);
    if (!blank || blank == name)
        return false;
    size_t name_size = (size_t)(blank - name);
    if (!base64_read(blank + 1, left - name_size - 1, bytes, sizeof bytes) ||
        note->signature_count == AUDIT_SIGNATURES_MAX)
        return true;
    struct audit_signature *signature = &note->signatures[note->signature_count++];
    signature->name = (struct slice){name, name_size};
    memcpy(signature->id, bytes, AUDIT_KEY_ID_BYTES);
    memcpy(signature->bytes, bytes + AUDIT_KEY_ID_BYTES, AUDIT_SIGNATURE_BYTES);
    return true;
}

static const char *read_text(struct reading *reading, struct audit_note *note)
{
    struct slice line;
    const char *start = reading->at;
    if (!next_line(reading, &note->origin) || note->origin.size == 0 ||
        note->origin.size >= AUDIT_NAME_BYTES)
        return "its first line is no origin";
    if (!next_line(reading, &line) || !read_size(line, &note->size))
        return "its second line is no number of records";
    if (!next_line(reading, &line) ||
        !base64_read(line.at, line.size, note->root.bytes, sizeof note->root.bytes))
        return "its third line is no hash in base64";
    for (;;) {
        const char *before = reading->at;
        if (!next_line(reading, &line))
            return "no empty line ends its text";
        if (line.size == 0) {
            note->signed_text = (struct slice){start, (size_t)(before - start)};
            return NULL;
        }
        if (starts_with(line, TIME) && note->time_ns == TIMESTAMP_NONE &&
            !timestamp_parse(line.at + strlen(TIME), line.size - strlen(TIME), &note->time_ns))
            return "its time is none";
    }
}

bool audit_note_parse(const char *text, size_t size, struct audit_note *note, size_t *used,
                      const char **reason)
{
    struct reading reading = {text, text + size};
    note->time_ns = TIMESTAMP_NONE;
    note->signature_count = 0;
    *reason = read_text(&reading, note);
    if (*reason)
        return false;
    struct slice line;
    for (;;) {
        struct reading ahead = reading;
        if (!next_line(&ahead, &line) || !starts_with(line, DASH))
            break;
        if (!read_signature(line, note)) {
            *reason = "a signature's line has no name";
            return false;
        }
        reading = ahead;
    }
    note->whole = (struct slice){text, (size_t)(reading.at - text)};
    while (reading.at < reading.end && (*reading.at == '\n' || *reading.at == '\r'))
        reading.at++;
    *used = (size_t)(reading.at - text);
    return true;
}

enum audit_trust audit_note_trust(const struct audit_note *note, const struct audit_keys *keys)
{
    bool signed_well = false;
    if (note->signature_count == 0)
        return AUDIT_UNSIGNED;
    for (int s = 0; s < note->signature_count; s++) {
        const struct audit_signature *signature = &note->signatures[s];
        for (int k = 0; k < keys->count; k++) {
            const struct audit_key *key = &keys->keys[k];
            uint8_t id[AUDIT_KEY_ID_BYTES];
            if (key->name[0] && (strlen(key->name) != signature->name.size ||
                                 memcmp(key->name, signature->name.at, signature->name.size) != 0))
                continue;
            audit_key_id(signature->name.at, signature->name.size, key->public, id);
            if (memcmp(id, signature->id, sizeof id) != 0)
                continue;
            if (!audit_verify_signature(key->public, note->signed_text.at, note->signed_text.size,
                                        signature->bytes))
                return AUDIT_FORGED;
            signed_well = true;
        }
    }
    return signed_well ? AUDIT_TRUSTED : AUDIT_OTHER_KEY;
}
