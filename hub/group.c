/* One group: reading its definition (hub/groups.h). */
#include "hub/groups_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define GROUP_PREFIX "$KV.TWIN_ACCESS.group."

bool group_name_valid(const char *name)
{
    return token_valid(name, strlen(name));
}

const char *group_subject(const char *name, char out[STREAMS_SUBJECT_BYTES])
{
    snprintf(out, STREAMS_SUBJECT_BYTES, GROUP_PREFIX "%s", name);
    return out;
}

void group_free(struct group *group)
{
    if (!group)
        return;
    filter_free(group->filter);
    free(group->vids); /* one block with what they point to */
    free(group->definition);
    free(group->updated_by);
    free(group);
}

static bool refuse(struct text_error *error, const char *detail)
{
    *error = (struct text_error){.offset = 0};
    snprintf(error->detail, sizeof error->detail, "%s", detail);
    return false;
}

static int by_name(const void *a, const void *b)
{
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

static bool vids_valid(struct doc_ref vids, size_t *text_bytes)
{
    *text_bytes = 0;
    for (struct doc_ref m = doc_first(vids); doc_exists(m); m = doc_next(vids, m)) {
        size_t size = 0;
        const char *vid = doc_is(m, DOC_STRING) ? doc_string(m, &size) : NULL;
        if (!vid || !vid_valid(vid, size))
            return false;
        *text_bytes += size + 1;
    }
    return true;
}

static bool read_vids(struct group *group, struct doc_ref vids, struct text_error *error)
{
    size_t bytes, count = doc_members(vids), kept = 0;
    if (!vids_valid(vids, &bytes))
        return refuse(error, "vids must be vehicle ids: 1 to 64 of A-Z a-z 0-9 _ - each");
    group->vids = malloc(count * sizeof *group->vids + bytes + 1);
    if (!group->vids)
        return refuse(error, "out of memory");
    char *text = (char *)(group->vids + count);
    for (struct doc_ref m = doc_first(vids); doc_exists(m); m = doc_next(vids, m)) {
        size_t size;
        const char *vid = doc_string(m, &size);
        memcpy(text, vid, size);
        text[size] = '\0';
        group->vids[group->vid_count++] = text;
        text += size + 1;
    }
    qsort(group->vids, count, sizeof *group->vids, by_name);
    for (size_t i = 0; i < count; i++)
        if (i == 0 || strcmp(group->vids[i], group->vids[kept - 1]) != 0)
            group->vids[kept++] = group->vids[i];
    group->vid_count = kept;
    return true;
}

static bool read_filter(struct group *group, struct doc_ref filter,
                        const struct filter_groups *groups, struct text_error *error)
{
    size_t size;
    const char *text = doc_string(filter, &size);
    group->filter = filter_compile(PATH_OF_TWIN, text, size, groups, error);
    return group->filter != NULL;
}

/* Normalised: one text for one meaning, as far as vids go. */
static bool write_definition(struct group *group, struct doc_ref filter, struct text_error *error)
{
    struct buf out = BUF_INIT;
    if (group->filter) {
        buf_adds(&out, "{\"filter\":");
        doc_write(&out, filter);
    } else {
        buf_adds(&out, "{\"vids\":[");
        for (size_t i = 0; i < group->vid_count; i++) {
            buf_adds(&out, i > 0 ? ",\"" : "\"");
            buf_adds(&out, group->vids[i]);
            buf_addc(&out, '"');
        }
        buf_addc(&out, ']');
    }
    buf_addc(&out, '}');
    bool large = out.size_bytes > GROUP_MAX_BYTES;
    group->definition = large ? NULL : buf_take(&out, NULL);
    buf_done(&out);
    if (large)
        return refuse(error, "the group has too many members");
    return group->definition || refuse(error, "out of memory");
}

struct group *group_new(const char *name, struct doc_ref value, const struct filter_groups *groups,
                        struct text_error *error)
{
    struct doc_ref vids = doc_getz(value, "vids"), filter = doc_getz(value, "filter");
    struct group *group = calloc(1, sizeof *group);
    bool read = false;
    if (!group) {
        refuse(error, "out of memory");
        return NULL;
    }
    snprintf(group->name, sizeof group->name, "%s", name);
    if (doc_members(value) != 1 || (!doc_is(vids, DOC_ARRAY) && !doc_is(filter, DOC_STRING)))
        refuse(error, "a group is {\"vids\": […]} or {\"filter\": \"…\"}, and nothing beside");
    else if (doc_is(vids, DOC_ARRAY))
        read = read_vids(group, vids, error);
    else
        read = read_filter(group, filter, groups, error);
    if (read && write_definition(group, filter, error))
        return group;
    group_free(group);
    return NULL;
}
