#include "tools/yaml_json.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <yaml.h>

struct reader {
    const char *path;
    yaml_document_t *document;
    char *error;
};

static void refuse(struct reader *reader, yaml_mark_t at, const char *text)
{
    snprintf(reader->error, YAML_JSON_ERROR_BYTES, "%s:%zu:%zu: %s", reader->path, at.line + 1,
             at.column + 1, text);
}

/* ---- scalars ---- */

/* What YAML 1.1 takes for something else than the text that it is. */
static bool is_ambiguous(const char *text)
{
    static const char *const words[] = {"y",   "n",    "yes",   "no",  "on",
                                        "off", "true", "false", "null"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strcasecmp(text, words[i]) == 0)
            return true;
    /* Numbers, numbers of another base, times of day, dates. */
    return strchr("+-.0123456789", text[0]) && strpbrk(text, "0123456789") &&
           text[strspn(text, "+-.:_0123456789abcdefABCDEFxXoOtTzZ ")] == '\0';
}

static json_t *plain_value(struct reader *reader, const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    if (*text == '\0' || strcmp(text, "null") == 0)
        return json_null();
    if (strcmp(text, "true") == 0 || strcmp(text, "false") == 0)
        return json_boolean(*text == 't');
    json_t *number = json_loads(text, JSON_DECODE_ANY, NULL);
    if (json_is_number(number))
        return number;
    json_decref(number);
    if (!is_ambiguous(text))
        return json_string(text);
    refuse(reader, node->start_mark, "not every reader takes this for a text: quote it");
    return NULL;
}

static json_t *scalar_value(struct reader *reader, const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    if (node->data.scalar.length != strlen(text)) {
        refuse(reader, node->start_mark, "a NUL character");
        return NULL;
    }
    if (node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE)
        return plain_value(reader, node);
    return json_string(text);
}

/* ---- nodes ---- */

static json_t *value_of(struct reader *reader, int index, int depth);

static json_t *sequence_value(struct reader *reader, const yaml_node_t *node, int depth)
{
    json_t *array = json_array();
    const yaml_node_item_t *item = node->data.sequence.items.start;
    for (; array && item < node->data.sequence.items.top; item++) {
        json_t *value = value_of(reader, *item, depth + 1);
        if (!value || json_array_append_new(array, value) != 0) {
            json_decref(array);
            return NULL;
        }
    }
    return array;
}

static bool add_member(struct reader *reader, json_t *object, const yaml_node_pair_t *pair,
                       int depth)
{
    const yaml_node_t *key = yaml_document_get_node(reader->document, pair->key);
    if (key->type != YAML_SCALAR_NODE) {
        refuse(reader, key->start_mark, "a key that is no text");
        return false;
    }
    const char *name = (const char *)key->data.scalar.value;
    if (strcmp(name, "<<") == 0) {
        refuse(reader, key->start_mark, "merge keys are not understood everywhere");
        return false;
    }
    if (json_object_get(object, name)) {
        refuse(reader, key->start_mark, "this key stands here twice");
        return false;
    }
    json_t *value = value_of(reader, pair->value, depth + 1);
    return value && json_object_set_new(object, name, value) == 0;
}

static json_t *mapping_value(struct reader *reader, const yaml_node_t *node, int depth)
{
    json_t *object = json_object();
    const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
    for (; object && pair < node->data.mapping.pairs.top; pair++) {
        if (!add_member(reader, object, pair, depth)) {
            json_decref(object);
            return NULL;
        }
    }
    return object;
}

static bool tag_is_plain(const yaml_node_t *node)
{
    static const char *const plain[] = {
        [YAML_SCALAR_NODE] = YAML_DEFAULT_SCALAR_TAG,
        [YAML_SEQUENCE_NODE] = YAML_DEFAULT_SEQUENCE_TAG,
        [YAML_MAPPING_NODE] = YAML_DEFAULT_MAPPING_TAG,
    };
    return node->tag && strcmp((const char *)node->tag, plain[node->type]) == 0;
}

static json_t *value_of(struct reader *reader, int index, int depth)
{
    const yaml_node_t *node = yaml_document_get_node(reader->document, index);
    if (depth > YAML_JSON_DEPTH_MAX) /* also an anchor that holds itself */
        refuse(reader, node->start_mark, "nested too deeply");
    else if (node->type == YAML_NO_NODE || !tag_is_plain(node))
        refuse(reader, node->start_mark, "tags are not understood");
    else if (node->type == YAML_SCALAR_NODE)
        return scalar_value(reader, node);
    else if (node->type == YAML_SEQUENCE_NODE)
        return sequence_value(reader, node, depth);
    else
        return mapping_value(reader, node, depth);
    return NULL;
}

/* ---- files ---- */

static json_t *read_document(struct reader *reader, yaml_parser_t *parser)
{
    yaml_document_t document;
    json_t *value = NULL;
    if (!yaml_parser_load(parser, &document)) {
        refuse(reader, parser->problem_mark, parser->problem ? parser->problem : "no YAML");
        return NULL;
    }
    reader->document = &document;
    if (yaml_document_get_root_node(&document))
        value = value_of(reader, 1, 0); /* nodes are numbered from 1, the root first */
    else
        refuse(reader, document.start_mark, "there is nothing in it");
    yaml_document_delete(&document);
    return value;
}

json_t *yaml_json_load(const char *path, char error[YAML_JSON_ERROR_BYTES])
{
    struct reader reader = {.path = path, .error = error};
    yaml_parser_t parser;
    json_t *value = NULL;
    FILE *file = fopen(path, "rb");
    snprintf(error, YAML_JSON_ERROR_BYTES, "%s: out of memory", path);
    if (!file) {
        snprintf(error, YAML_JSON_ERROR_BYTES, "%s: %s", path, strerror(errno));
        return NULL;
    }
    if (yaml_parser_initialize(&parser)) {
        yaml_parser_set_input_file(&parser, file);
        value = read_document(&reader, &parser);
        yaml_parser_delete(&parser);
    }
    fclose(file);
    return value;
}
