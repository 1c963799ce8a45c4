/* One token or grant: what is stored under its key, and what is shown of it (hub/access_set.h). */
#include "hub/access_set.h"

#include "twin/timestamp.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char hex_digits[] = "0123456789abcdef";

static bool read_hash(struct doc_ref value, uint8_t hash[RECORD_HASH_BYTES])
{
    size_t size = 0;
    const char *text = doc_is(value, DOC_STRING) ? doc_string(value, &size) : "";
    if (size != (size_t)2 * RECORD_HASH_BYTES)
        return false;
    for (size_t i = 0; i < size; i++) {
        const char *digit = text[i] ? strchr(hex_digits, text[i]) : NULL;
        if (!digit)
            return false;
        unsigned nibble = (unsigned)(digit - hex_digits);
        hash[i / 2] = (uint8_t)(i % 2 ? hash[i / 2] | nibble : nibble << 4);
    }
    return true;
}

/* A copy of a member's text; NULL where it is no string, empty, too long or holds what does not
 * belong into a line. */
static char *read_text(struct doc_ref object, const char *name, size_t bytes_max)
{
    struct doc_ref value = doc_getz(object, name);
    size_t size = 0;
    const char *text = doc_is(value, DOC_STRING) ? doc_string(value, &size) : NULL;
    if (!text || size == 0 || size > bytes_max)
        return NULL;
    for (size_t i = 0; i < size; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return NULL;
    return strndup(text, size);
}

static bool read_made(struct access_entry *entry, struct doc_ref value)
{
    struct doc_ref created = doc_getz(value, "created");
    size_t size = 0;
    const char *text = doc_is(created, DOC_STRING) ? doc_string(created, &size) : "";
    entry->created_by = read_text(value, "created_by", ACCESS_SUBJECT_MAX_BYTES);
    return entry->created_by && timestamp_parse(text, size, &entry->created_ns);
}

struct access_entry *access_entry_read(enum access_kind kind, const char *id, struct doc_ref value,
                                       char error[256])
{
    bool grant = kind == ACCESS_GRANT;
    struct access_entry *entry = calloc(1, sizeof *entry);
    error[0] = '\0';
    if (!entry || strlen(id) >= ACCESS_ID_BYTES || !doc_is(value, DOC_OBJECT)) {
        snprintf(error, 256, "it is no JSON object");
        goto fail;
    }
    entry->kind = kind;
    strcpy(entry->id, id);
    if (!rights_read(value, &entry->rights, error))
        goto fail;
    entry->name = read_text(value, grant ? "subject" : "name",
                            grant ? ACCESS_SUBJECT_MAX_BYTES : ACCESS_NAME_MAX_BYTES);
    if (!entry->name)
        snprintf(error, 256, "`%s` is missing, too long or not plain text",
                 grant ? "subject" : "name");
    else if (!grant && entry->rights.role == ROLE_NONE)
        snprintf(error, 256, "`role` must be %s", role_names);
    else if (!grant && !read_hash(doc_getz(value, "secret_sha256"), entry->secret_hash))
        snprintf(error, 256, "`secret_sha256` must be 64 hexadecimal digits");
    else if (!read_made(entry, value))
        snprintf(error, 256, "`created` or `created_by` is missing");
    if (error[0])
        goto fail;
    entry->reason = read_text(value, "reason", ACCESS_REASON_MAX_BYTES);
    return entry;
fail:
    access_entry_free(entry);
    return NULL;
}

void access_entry_free(struct access_entry *entry)
{
    if (!entry)
        return;
    rights_done(&entry->rights);
    free(entry->name);
    free(entry->reason);
    free(entry->created_by);
    free(entry);
}

/* All but the braces and what is stored or shown alone; begins without a comma. */
static void write_common(struct buf *out, const struct access_entry *entry)
{
    char created[TIMESTAMP_TEXT_BYTES];
    buf_adds(out, entry->kind == ACCESS_GRANT ? "\"subject\":" : "\"name\":");
    buf_json_cstr(out, entry->name);
    rights_write(out, &entry->rights);
    if (entry->reason) {
        buf_adds(out, ",\"reason\":");
        buf_json_cstr(out, entry->reason);
    }
    timestamp_format(entry->created_ns, created);
    buf_addf(out, ",\"created\":\"%s\",\"created_by\":", created);
    buf_json_cstr(out, entry->created_by);
}

void access_entry_write(struct buf *out, const struct access_entry *entry)
{
    buf_addc(out, '{');
    write_common(out, entry);
    if (entry->kind == ACCESS_TOKEN) {
        buf_adds(out, ",\"secret_sha256\":\"");
        for (size_t i = 0; i < RECORD_HASH_BYTES; i++) {
            buf_addc(out, hex_digits[entry->secret_hash[i] >> 4]);
            buf_addc(out, hex_digits[entry->secret_hash[i] & 15]);
        }
        buf_addc(out, '"');
    }
    buf_addc(out, '}');
}

void access_entry_show(struct buf *out, const struct access_entry *entry, const char *token)
{
    buf_addf(out, "{\"id\":\"%s\",", entry->id);
    if (token) {
        buf_adds(out, "\"token\":");
        buf_json_cstr(out, token);
        buf_addc(out, ',');
    }
    write_common(out, entry);
    buf_addc(out, '}');
}
