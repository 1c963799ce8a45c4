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

/* A member's text; at NULL where it is no string, empty, too long or holds what does not belong
 * into a line. */
static struct slice text_of(struct doc_ref object, const char *name, size_t bytes_max)
{
    struct doc_ref value = doc_getz(object, name);
    struct slice text = {NULL, 0};
    if (doc_is(value, DOC_STRING))
        text.at = doc_string(value, &text.size);
    bool plain = text.size > 0 && text.size <= bytes_max;
    for (size_t i = 0; plain && i < text.size; i++)
        plain = (unsigned char)text.at[i] >= 0x20 && text.at[i] != 0x7f;
    return plain ? text : (struct slice){NULL, 0};
}

static bool read_created(struct access_entry *entry, struct doc_ref value)
{
    struct doc_ref created = doc_getz(value, "created");
    size_t size = 0;
    const char *text = doc_is(created, DOC_STRING) ? doc_string(created, &size) : "";
    return timestamp_parse(text, size, &entry->created_ns);
}

/* A copy; true also where there is nothing to copy. */
static bool keep(struct slice text, char **kept)
{
    *kept = text.at ? strndup(text.at, text.size) : NULL;
    return *kept || !text.at;
}

struct access_entry *access_entry_read(enum access_kind kind, const char *id, struct doc_ref value,
                                       char error[256])
{
    bool grant = kind == ACCESS_GRANT;
    struct access_entry *entry = calloc(1, sizeof *entry);
    snprintf(error, 256, RIGHTS_NO_MEMORY);
    if (!entry)
        return NULL;
    if (strlen(id) >= ACCESS_ID_BYTES || !doc_is(value, DOC_OBJECT)) {
        snprintf(error, 256, "it is no JSON object");
        goto fail;
    }
    entry->kind = kind;
    strcpy(entry->id, id);
    if (!rights_read(value, &entry->rights, error))
        goto fail;
    struct slice name = text_of(value, grant ? "subject" : "name",
                                grant ? ACCESS_SUBJECT_MAX_BYTES : ACCESS_NAME_MAX_BYTES);
    struct slice created_by = text_of(value, "created_by", ACCESS_SUBJECT_MAX_BYTES);
    if (!name.at)
        snprintf(error, 256, "`%s` is missing, too long or not plain text",
                 grant ? "subject" : "name");
    else if (!grant && entry->rights.role == ROLE_NONE)
        snprintf(error, 256, "`role` must be %s", role_names);
    else if (!grant && !read_hash(doc_getz(value, "secret_sha256"), entry->secret_hash))
        snprintf(error, 256, "`secret_sha256` must be 64 hexadecimal digits");
    else if (!created_by.at || !read_created(entry, value))
        snprintf(error, 256, "`created` or `created_by` is missing");
    else if (keep(name, &entry->name) && keep(created_by, &entry->created_by) &&
             keep(text_of(value, "reason", ACCESS_REASON_MAX_BYTES), &entry->reason))
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
