/* The configuration's file: YAML, with the line and column of whatever is wrong in it. The one file
 * that includes yaml.h. */
#include "hub/config_key.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

enum { YAML_NAME_MAX_BYTES = 256 }; /* of a dotted name that someone wrote */

struct reader {
    struct config_loading *loading;
    yaml_document_t *document;
    /* NULL while reading the file; else the key whose origin says where the text is from. */
    const struct config_key *outside;
};

static unsigned line_of(const yaml_node_t *node)
{
    return (unsigned)node->start_mark.line + 1;
}

static unsigned column_of(const yaml_node_t *node)
{
    return (unsigned)node->start_mark.column + 1;
}

/* An error at a node: its place in the file, or the variable or flag that it is from. */
__attribute__((format(printf, 3, 4))) static void
node_error(struct reader *reader, const yaml_node_t *node, const char *format, ...)
{
    char text[2 * CONFIG_WHY_BYTES];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    if (reader->outside)
        config_error(reader->loading, reader->outside, "%s", text);
    else
        config_error_at(reader->loading, line_of(node), column_of(node), "%s", text);
}

static yaml_node_t *node_at(struct reader *reader, int index)
{
    return yaml_document_get_node(reader->document, index);
}

static const char *kind_of(const yaml_node_t *node)
{
    return node->type == YAML_MAPPING_NODE    ? "a mapping"
           : node->type == YAML_SEQUENCE_NODE ? "a list"
                                              : "text";
}

/* A scalar's text; NULL where the node is none, or holds a NUL. */
static const char *text_of(const yaml_node_t *node)
{
    if (node->type != YAML_SCALAR_NODE ||
        memchr(node->data.scalar.value, '\0', node->data.scalar.length))
        return NULL;
    return (const char *)node->data.scalar.value;
}

/* Nothing behind the colon, `~` or `null`: the key is not set. */
static bool is_null(const yaml_node_t *node)
{
    const char *text = text_of(node);
    return text && node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (*text == '\0' || strcmp(text, "~") == 0 || strcmp(text, "null") == 0 ||
            strcmp(text, "Null") == 0 || strcmp(text, "NULL") == 0);
}

/* ---- values ---- */

static void read_list(struct reader *reader, const struct config_key *key, const yaml_node_t *node)
{
    struct config *config = reader->loading->config;
    config_list_clear(config, key);
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        const yaml_node_t *element = node_at(reader, *item);
        const char *text = text_of(element);
        char why[CONFIG_WHY_BYTES] = "expects text in its list";
        if (text && config_list_add(config, key, text, why))
            continue;
        config_origin(config, key)->bad = true;
        node_error(reader, element, "%s: %s", key->name, why);
        if (config_list_full(config, key) || reader->loading->error_count >= CONFIG_MAX_ERRORS)
            return;
    }
}

/* Where a member of an issuer goes; NULL for an unknown name. */
static char **jwt_member(struct config_jwt *jwt, const char *name)
{
    return strcmp(name, "issuer") == 0     ? &jwt->issuer
           : strcmp(name, "audience") == 0 ? &jwt->audience
           : strcmp(name, "key_file") == 0 ? &jwt->key_file
                                           : NULL;
}

/* One member of one issuer; false after an error. */
static bool read_jwt_member(struct reader *reader, const struct config_key *key,
                            const yaml_node_pair_t *pair, struct config_jwt *jwt,
                            bool *has_algorithm)
{
    const yaml_node_t *name_node = node_at(reader, pair->key);
    const yaml_node_t *value_node = node_at(reader, pair->value);
    const char *name = text_of(name_node), *text = text_of(value_node);
    char **member = name ? jwt_member(jwt, name) : NULL;
    bool algorithm = name && strcmp(name, "algorithm") == 0;
    char why[CONFIG_WHY_BYTES] = "expects text";
    if (!member && !algorithm) {
        node_error(reader, name_node,
                   "unknown key `%.64s` in %s: an issuer has issuer, audience, algorithm, key_file",
                   name ? name : kind_of(name_node), key->name);
        return false;
    }
    if (member ? *member != NULL : *has_algorithm) {
        node_error(reader, name_node, "%s: `%s` stands twice in one issuer", key->name, name);
        return false;
    }
    if (!text || !config_check_text(text, why)) {
        node_error(reader, value_node, "%s: %s %s", key->name, name, why);
        return false;
    }
    if (algorithm) {
        int position = config_choice(config_jwt_algorithms, text);
        if (position < 0)
            node_error(reader, value_node, "%s: algorithm `%.64s` is not one of %s", key->name,
                       text, config_jwt_algorithms);
        else
            jwt->algorithm = (enum jwt_algorithm)position;
        *has_algorithm = position >= 0;
        return *has_algorithm;
    }
    *member = strdup(text);
    if (!*member)
        node_error(reader, value_node, "%s: no memory", key->name);
    return *member != NULL;
}

static bool read_jwt(struct reader *reader, const struct config_key *key, const yaml_node_t *node)
{
    struct config_jwt jwt = {0};
    bool has_algorithm = false, good = true;
    char why[CONFIG_WHY_BYTES];
    if (node->type != YAML_MAPPING_NODE) {
        node_error(reader, node, "%s: an issuer is a mapping, found %s", key->name, kind_of(node));
        return false;
    }
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         good && pair < node->data.mapping.pairs.top; pair++)
        good = read_jwt_member(reader, key, pair, &jwt, &has_algorithm);
    const char *missing = !jwt.issuer      ? "issuer"
                          : !jwt.audience  ? "audience"
                          : !has_algorithm ? "algorithm"
                          : !jwt.key_file  ? "key_file"
                                           : NULL;
    if (good && missing) {
        node_error(reader, node, "%s: an issuer without `%s`", key->name, missing);
        good = false;
    }
    if (good && !config_jwt_add(reader->loading->config, &jwt, why)) {
        node_error(reader, node, "%s: %s", key->name, why);
        good = false;
    }
    if (!good)
        config_jwt_done(&jwt);
    return good;
}

static void read_jwts(struct reader *reader, const struct config_key *key, const yaml_node_t *node)
{
    config_list_clear(reader->loading->config, key);
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         item < node->data.sequence.items.top; item++) {
        if (read_jwt(reader, key, node_at(reader, *item)))
            continue;
        config_origin(reader->loading->config, key)->bad = true;
        if (reader->loading->error_count >= CONFIG_MAX_ERRORS)
            return;
    }
}

static void read_value(struct reader *reader, const struct config_key *key, const yaml_node_t *node)
{
    struct config *config = reader->loading->config;
    enum config_storage storage = config_storage(key);
    bool list = storage == STORED_LIST || storage == STORED_JWT;
    const char *text = text_of(node);
    char why[CONFIG_WHY_BYTES];
    if (list && node->type == YAML_SEQUENCE_NODE) {
        if (storage == STORED_JWT)
            read_jwts(reader, key, node);
        else
            read_list(reader, key, node);
        return;
    }
    if (list)
        snprintf(why, sizeof why, "expects a list, found %s", kind_of(node));
    else if (!text)
        snprintf(why, sizeof why, "expects one %s, found %s", config_type_word(key),
                 node->type == YAML_SCALAR_NODE ? "a NUL byte" : kind_of(node));
    else if ((key->type == CONFIG_INTEGER || key->type == CONFIG_REAL) &&
             node->data.scalar.style != YAML_PLAIN_SCALAR_STYLE)
        snprintf(why, sizeof why, "expects one %s, found quoted text", config_type_word(key));
    else if (config_value_set(config, key, text, why))
        return;
    config_origin(config, key)->bad = true;
    node_error(reader, node, "%s: %s", key->name, why);
}

/* ---- mappings ---- */

/* Defaults of a group are placed where it begins, so that what they lack is told there. */
static void place_group(struct reader *reader, const char *prefix, const yaml_node_t *node)
{
    size_t size = strlen(prefix);
    for (size_t i = 0; i < config_key_count; i++) {
        struct config_origin *origin = config_origin(reader->loading->config, &config_keys[i]);
        if (strncmp(config_keys[i].name, prefix, size) != 0 || origin->source != SOURCE_DEFAULT)
            continue;
        origin->line = line_of(node);
        origin->column = column_of(node);
    }
}

static void unknown_key(struct reader *reader, const yaml_node_t *node, const char *name)
{
    char suggestion[CONFIG_NAME_MAX_BYTES];
    const char *meant = config_suggest(name, strlen(name), suggestion);
    node_error(reader, node, "unknown key `%.128s`%s%s%s", name, meant ? ", did you mean `" : "",
               meant ? meant : "", meant ? "`?" : "");
}

static bool stands_before(struct reader *reader, const yaml_node_t *mapping,
                          const yaml_node_pair_t *pair)
{
    const char *name = text_of(node_at(reader, pair->key));
    for (yaml_node_pair_t *other = mapping->data.mapping.pairs.start; other < pair; other++) {
        const char *other_name = text_of(node_at(reader, other->key));
        if (other_name && strcmp(name, other_name) == 0)
            return true;
    }
    return false;
}

static void read_mapping(struct reader *reader, const char *prefix, const yaml_node_t *mapping);

static void read_pair(struct reader *reader, const char *prefix, const yaml_node_t *mapping,
                      const yaml_node_pair_t *pair)
{
    const yaml_node_t *name_node = node_at(reader, pair->key);
    const yaml_node_t *value = node_at(reader, pair->value);
    const char *part = text_of(name_node);
    char name[YAML_NAME_MAX_BYTES];
    int size = part ? snprintf(name, sizeof name, "%s%s", prefix, part) : -1;
    if (size < 0 || (size_t)size + 1 >= sizeof name) {
        node_error(reader, name_node, "a key must be a short text, found %s",
                   part ? "a long one" : kind_of(name_node));
        return;
    }
    /* A dot within one part is no way to say two. */
    const struct config_key *key = strchr(part, '.') ? NULL : config_key_find(name, strlen(name));
    bool group = !strchr(part, '.') && config_is_group(name, strlen(name));
    if (!key && !group) {
        unknown_key(reader, name_node, name);
        return;
    }
    if (stands_before(reader, mapping, pair)) {
        node_error(reader, name_node, "%s: stands here for the second time", name);
        return;
    }
    if (group) {
        place_group(reader, strcat(name, "."), name_node);
        if (value->type == YAML_MAPPING_NODE)
            read_mapping(reader, name, value);
        else if (!is_null(value))
            node_error(reader, value, "%.*s: expects a mapping, found %s", (int)strlen(name) - 1,
                       name, kind_of(value));
        return;
    }
    if (is_null(value))
        return;
    struct config_origin *origin = config_origin(reader->loading->config, key);
    *origin = (struct config_origin){
        .source = SOURCE_FILE, .line = line_of(value), .column = column_of(value)};
    read_value(reader, key, value);
}

/* Depth is bounded by the table: what is no group in it is not entered. */
static void read_mapping(struct reader *reader, const char *prefix, const yaml_node_t *mapping)
{
    for (yaml_node_pair_t *pair = mapping->data.mapping.pairs.start;
         pair < mapping->data.mapping.pairs.top && reader->loading->error_count < CONFIG_MAX_ERRORS;
         pair++)
        read_pair(reader, prefix, mapping, pair);
}

/* ---- documents ---- */

/* Where the parser gave up. It knows no line for bytes that are no text at all. */
static void parser_error(struct reader *reader, const yaml_parser_t *parser, const char *text,
                         size_t size)
{
    const char *problem = parser->problem ? parser->problem : "no memory";
    reader->loading->unread = !reader->outside;
    unsigned line = (unsigned)parser->problem_mark.line + 1;
    unsigned column = (unsigned)parser->problem_mark.column + 1;
    if (parser->error == YAML_READER_ERROR) {
        line = column = 1;
        for (size_t i = 0; i < parser->problem_offset && i < size; i++) {
            bool continuation = ((unsigned char)text[i] & 0xC0) == 0x80;
            column = text[i] == '\n' ? 1 : column + !continuation;
            line += text[i] == '\n';
        }
    }
    if (reader->outside)
        config_error(reader->loading, reader->outside, "%s: not YAML: %s", reader->outside->name,
                     problem);
    else if (parser->context)
        config_error_at(reader->loading, line, column, "not YAML: %s (%s)", problem,
                        parser->context);
    else
        config_error_at(reader->loading, line, column, "not YAML: %s", problem);
}

/* The one document of the text goes to `read`; none at all is fine. */
static void read_document(struct reader *reader, const char *text, size_t size,
                          void (*read)(struct reader *reader, const yaml_node_t *root))
{
    yaml_parser_t parser;
    yaml_document_t document, second;
    if (!yaml_parser_initialize(&parser)) {
        config_error_at(reader->loading, 1, 1, "no memory");
        reader->loading->unread = !reader->outside;
        return;
    }
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, size);
    if (!yaml_parser_load(&parser, &document)) {
        parser_error(reader, &parser, text, size);
        yaml_parser_delete(&parser);
        return;
    }
    reader->document = &document;
    const yaml_node_t *root = yaml_document_get_root_node(&document);
    if (root)
        read(reader, root);
    if (root && !yaml_parser_load(&parser, &second)) {
        parser_error(reader, &parser, text, size);
    } else if (root) {
        const yaml_node_t *extra = yaml_document_get_root_node(&second);
        if (extra)
            node_error(reader, extra, "a second document: the configuration is one");
        yaml_document_delete(&second);
    }
    yaml_document_delete(&document);
    yaml_parser_delete(&parser);
}

static void read_root(struct reader *reader, const yaml_node_t *root)
{
    if (root->type == YAML_MAPPING_NODE) {
        place_group(reader, "", root);
        read_mapping(reader, "", root);
    } else if (!is_null(root)) {
        node_error(reader, root, "expects a mapping of keys, found %s", kind_of(root));
    }
}

void config_yaml_read(struct config_loading *loading, const char *text, size_t size)
{
    static const char byte_order_mark[] = "\xEF\xBB\xBF";
    struct reader reader = {.loading = loading};
    if (size >= 3 && memcmp(text, byte_order_mark, 3) == 0) {
        text += 3;
        size -= 3;
    }
    read_document(&reader, text, size, read_root);
}

static void read_outside(struct reader *reader, const yaml_node_t *root)
{
    read_value(reader, reader->outside, root);
}

void config_yaml_list(struct config_loading *loading, const struct config_key *key,
                      const char *text)
{
    struct reader reader = {.loading = loading, .outside = key};
    read_document(&reader, text, strlen(text), read_outside);
}
