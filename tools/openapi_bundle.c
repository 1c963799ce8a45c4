/*
 * openapi-bundle OPENAPI.yaml OUT.json OUT.c
 *
 * Makes one self-contained JSON document of schema/openapi.yaml: each file that a `$ref` names,
 * schema/NAME.json, becomes components/schemas/NAME, and references are written anew. OUT.c holds
 * the same bytes for hub/api_openapi.c. A reference that leads nowhere ends it with status 1.
 */
#include "tools/yaml_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_MAX_BYTES = 64, PATH_MAX_BYTES = 4096, REF_MAX_BYTES = 512, BYTES_PER_LINE = 20 };
#define SCHEMAS "/components/schemas/"

struct bundle {
    char folder[PATH_MAX_BYTES]; /* of OPENAPI.yaml, with its slash */
    json_t *root;
    json_t *loaded; /* schemas by name; they join the document once all of it was walked */
    char error[YAML_JSON_ERROR_BYTES];
};

__attribute__((format(printf, 2, 3))) static bool fail(struct bundle *bundle, const char *format,
                                                       ...)
{
    va_list args;
    va_start(args, format);
    vsnprintf(bundle->error, sizeof bundle->error, format, args);
    va_end(args);
    return false;
}

static bool rewrite(struct bundle *bundle, json_t *value, const char *owner);

/* ---- schemas in files of their own ---- */

static bool load_schema(struct bundle *bundle, const char *name)
{
    char path[PATH_MAX_BYTES + NAME_MAX_BYTES];
    json_error_t error;
    int size = snprintf(path, sizeof path, "%s%s.json", bundle->folder, name);
    if (size < 0 || (size_t)size >= sizeof path)
        return fail(bundle, "%s%s.json: the name is too long", bundle->folder, name);
    json_t *schema = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    if (!schema)
        return fail(bundle, "%s:%d:%d: %s", path, error.line, error.column, error.text);
    /* They say how the file is read alone; within the document they would move its references. */
    json_object_del(schema, "$schema");
    json_object_del(schema, "$id");
    /* Known before what it refers to is loaded: that may be itself. */
    return json_object_set_new(bundle->loaded, name, schema) == 0 && rewrite(bundle, schema, name);
}

/* NAME of "NAME.json"; false where that is no name for a component. */
static bool take_name(const char *file, size_t size, char name[NAME_MAX_BYTES])
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyz0123456789-_.";
    const char suffix[] = ".json";
    size_t stem = size - (sizeof suffix - 1);
    if (size < sizeof suffix || stem >= NAME_MAX_BYTES || strspn(file, allowed) < size ||
        memcmp(file + stem, suffix, sizeof suffix - 1) != 0)
        return false;
    memcpy(name, file, stem);
    name[stem] = '\0';
    return true;
}

/* ---- references ---- */

/* The same reference from within the whole document. `owner` is the schema that it stands in, NULL
 * for the document itself. */
static bool rewrite_ref(struct bundle *bundle, json_t *object, const char *ref, const char *owner)
{
    char name[NAME_MAX_BYTES], target[REF_MAX_BYTES];
    const char *fragment = strchr(ref, '#');
    size_t file_bytes = fragment ? (size_t)(fragment - ref) : strlen(ref);
    if (file_bytes == 0 && !owner)
        return true;
    if (file_bytes == 0)
        snprintf(name, sizeof name, "%s", owner);
    else if (!take_name(ref, file_bytes, name))
        return fail(bundle, "\"%s\" is no reference to a schema NAME.json in the same folder", ref);
    else if (!json_object_get(bundle->loaded, name) && !load_schema(bundle, name))
        return false;
    int size =
        snprintf(target, sizeof target, "#" SCHEMAS "%s%s", name, fragment ? fragment + 1 : "");
    if (size < 0 || (size_t)size >= sizeof target)
        return fail(bundle, "\"%s\" is too long", ref);
    return json_object_set_new(object, "$ref", json_string(target)) == 0;
}

static bool rewrite(struct bundle *bundle, json_t *value, const char *owner)
{
    const char *name;
    json_t *member;
    size_t i;
    json_array_foreach(value, i, member) if (!rewrite(bundle, member, owner)) return false;
    const char *ref = json_string_value(json_object_get(value, "$ref"));
    if (ref && !rewrite_ref(bundle, value, ref, owner))
        return false;
    json_object_foreach(value, name, member) if (!rewrite(bundle, member, owner)) return false;
    return true;
}

/* The next step of a JSON pointer (RFC 6901), "~1" and "~0" decoded. */
static void take_step(const char **pointer, char step[REF_MAX_BYTES])
{
    char *out = step;
    const char *at = *pointer + 1;
    for (; *at && *at != '/'; at++) {
        bool escaped = at[0] == '~' && (at[1] == '0' || at[1] == '1');
        *out++ = escaped ? (at[1] == '1' ? '/' : '~') : *at;
        at += escaped;
    }
    *out = '\0';
    *pointer = at;
}

static json_t *resolve(json_t *root, const char *pointer)
{
    char step[REF_MAX_BYTES];
    json_t *at = root;
    while (at && *pointer == '/') {
        take_step(&pointer, step);
        at = json_is_array(at) ? json_array_get(at, strtoul(step, NULL, 10))
                               : json_object_get(at, step);
    }
    return *pointer ? NULL : at;
}

static bool check_refs(struct bundle *bundle, json_t *value)
{
    const char *name, *ref = json_string_value(json_object_get(value, "$ref"));
    json_t *member;
    size_t i;
    if (ref && (strlen(ref) >= REF_MAX_BYTES || !resolve(bundle->root, ref + 1)))
        return fail(bundle, "\"%s\" leads nowhere", ref);
    json_array_foreach(value, i, member) if (!check_refs(bundle, member)) return false;
    json_object_foreach(value, name, member) if (!check_refs(bundle, member)) return false;
    return true;
}

/* ---- the whole ---- */

static bool join(struct bundle *bundle)
{
    json_t *schemas = json_object_get(json_object_get(bundle->root, "components"), "schemas");
    const char *name;
    json_t *schema;
    if (!json_is_object(schemas))
        return fail(bundle, "there is no object components/schemas");
    json_object_foreach(
        schemas, name,
        schema) if (json_object_get(bundle->loaded,
                                    name)) return fail(bundle,
                                                       "%s is a schema of the document and a file",
                                                       name);
    return json_object_update(schemas, bundle->loaded) == 0 || fail(bundle, "out of memory");
}

static bool read_all(struct bundle *bundle, const char *path)
{
    const char *slash = strrchr(path, '/');
    size_t folder_bytes = slash ? (size_t)(slash - path) + 1 : 0;
    if (folder_bytes >= sizeof bundle->folder)
        return fail(bundle, "%s: too long a path", path);
    memcpy(bundle->folder, path, folder_bytes);
    bundle->root = yaml_json_load(path, bundle->error);
    if (!bundle->root)
        return false;
    bundle->loaded = json_object();
    if (!bundle->loaded || !rewrite(bundle, bundle->root, NULL))
        return false;
    return join(bundle) && check_refs(bundle, bundle->root);
}

static bool finish(struct bundle *bundle, FILE *file, const char *path)
{
    bool good = file && ferror(file) == 0;
    if (file)
        good = fclose(file) == 0 && good;
    return good || fail(bundle, "%s: %s", path, strerror(errno));
}

static bool write_json(struct bundle *bundle, const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    if (file)
        fputs(text, file);
    return finish(bundle, file, path);
}

static bool write_source(struct bundle *bundle, const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    size_t size = strlen(text);
    if (!file)
        return finish(bundle, file, path);
    fputs("/* Generated from schema/ by openapi-bundle. */\n#include \"hub/api_openapi.h\"\n\n"
          "const char openapi_json[] = {",
          file);
    for (size_t i = 0; i < size; i++)
        fprintf(file, "%s0x%02x,", i % BYTES_PER_LINE ? "" : "\n", (unsigned char)text[i]);
    fprintf(file, "\n0};\nconst size_t openapi_json_bytes = %zu;\n", size);
    return finish(bundle, file, path);
}

int main(int argc, char **argv)
{
    struct bundle bundle = {0};
    char *text = NULL;
    bool good = false;
    if (argc != 4) {
        fputs("usage: openapi-bundle OPENAPI.yaml OUT.json OUT.c\n", stderr);
        return 2;
    }
    if (!read_all(&bundle, argv[1]))
        goto out;
    /* Fifteen digits: what a decimal fraction was written as. ASCII: what a char holds everywhere.
     */
    text = json_dumps(bundle.root, JSON_COMPACT | JSON_ENSURE_ASCII | JSON_REAL_PRECISION(15));
    good = text ? write_json(&bundle, argv[2], text) && write_source(&bundle, argv[3], text)
                : fail(&bundle, "out of memory");
out:
    if (!good)
        fprintf(stderr, "openapi-bundle: %s\n", bundle.error);
    free(text);
    json_decref(bundle.loaded);
    json_decref(bundle.root);
    return good ? 0 : 1;
}
