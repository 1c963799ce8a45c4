/* The whole configuration, three times from one table: what is in force, an example, the schema. */
#include "hub/config_key.h"

#include <string.h>

enum { INDENT = 2, YAML_WIDTH = 92 };

static void indent(struct buf *out, size_t depth)
{
    for (size_t i = 0; i < depth * INDENT; i++)
        buf_addc(out, ' ');
}

/* Bytes that two names share, up to and with their last common dot. */
static size_t common_prefix(const char *a, const char *b)
{
    size_t common = 0;
    for (size_t i = 0; a[i] && a[i] == b[i]; i++)
        if (a[i] == '.')
            common = i + 1;
    return common;
}

/* Headings of the groups that begin between `before` and the key; how deep the key stands. */
static size_t open_groups(const char *before, const struct config_key *key, bool spaced,
                          struct buf *out)
{
    size_t common = common_prefix(before, key->name), depth = 0;
    for (size_t i = 0; i < common; i++)
        depth += key->name[i] == '.';
    const char *part = key->name + common;
    for (const char *dot; (dot = strchr(part, '.')) != NULL; part = dot + 1) {
        if (spaced || depth == 0)
            buf_addc(out, '\n');
        indent(out, depth++);
        buf_add(out, part, (size_t)(dot - part));
        buf_adds(out, ":\n");
    }
    return depth;
}

static const char *leaf_of(const struct config_key *key)
{
    const char *dot = strrchr(key->name, '.');
    return dot ? dot + 1 : key->name;
}

/* ---- what is in force ---- */

static void show_jwts(const struct config *config, size_t depth, struct buf *out)
{
    for (size_t i = 0; i < config->auth.jwt_count; i++) {
        const struct config_jwt *jwt = &config->auth.jwt[i];
        const char *algorithm = config_jwt_algorithms;
        for (int position = (int)jwt->algorithm; position > 0; position--)
            algorithm += strcspn(algorithm, "|") + 1;
        buf_addc(out, '\n');
        indent(out, depth + 1);
        buf_adds(out, "- {issuer: ");
        buf_json_cstr(out, jwt->issuer);
        buf_adds(out, ", audience: ");
        buf_json_cstr(out, jwt->audience);
        buf_addf(out, ", algorithm: %.*s, key_file: ", (int)strcspn(algorithm, "|"), algorithm);
        buf_json_cstr(out, jwt->key_file);
        buf_addc(out, '}');
    }
}

static void show_origin(const struct config *config, const struct config_key *key, struct buf *out)
{
    buf_adds(out, "  # ");
    if (config_origin(config, key)->source == SOURCE_DEFAULT)
        buf_adds(out, "default");
    else
        config_write_origin(config, key, out);
}

void config_show(const struct config *config, bool origins, struct buf *out)
{
    const char *before = "";
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        size_t depth = open_groups(before, key, false, out);
        struct buf value = BUF_INIT;
        bool set = config_value_write(config, key, &value);
        bool issuers = key->type == CONFIG_JWT && config->auth.jwt_count > 0;
        before = key->name;
        indent(out, depth);
        if (issuers)
            buf_addf(out, "%s:", leaf_of(key));
        else if (set)
            buf_addf(out, "%s: %s", leaf_of(key), buf_cstr(&value));
        else
            buf_addf(out, "# %s: not set", leaf_of(key));
        if (origins && (set || issuers))
            show_origin(config, key, out);
        if (issuers)
            show_jwts(config, depth, out);
        buf_addc(out, '\n');
        out->failed |= value.failed;
        buf_done(&value);
    }
}

/* ---- the example ---- */

/* Words of a comment, in lines that begin with `# `. */
static void write_comment(struct buf *out, size_t depth, const char *text)
{
    size_t column = YAML_WIDTH;
    bool first = true;
    while (*text) {
        size_t word = strcspn(text, " ");
        if (column + 1 + word > YAML_WIDTH) {
            buf_adds(out, first ? "" : "\n");
            indent(out, depth);
            buf_addc(out, '#');
            column = depth * INDENT + 1;
            first = false;
        }
        buf_addc(out, ' ');
        buf_add(out, text, word);
        column += 1 + word;
        text += word;
        text += strspn(text, " ");
    }
    buf_addc(out, '\n');
}

static void describe(struct buf *out, const struct config_key *key)
{
    buf_adds(out, key->help);
    if (key->type == CONFIG_CHOICE) {
        buf_addf(out, " One of: %s.", key->choices);
    } else if (key->max > 0) {
        buf_adds(out, " Range: ");
        config_number_write(key->type, key->min, out);
        buf_adds(out, " to ");
        config_number_write(key->type, key->max, out);
        buf_adds(out, ".");
    }
    if (key->required)
        buf_adds(out, " Required.");
    if (key->variable)
        buf_addf(out, " Environment: %s.", key->variable);
}

void config_example(struct buf *out)
{
    const char *before = "";
    write_comment(out, 0,
                  "Configuration of fleethub. Flags (--nats.url=...) win over the environment, and "
                  "the environment over this file. Four keys have no default: env, region, "
                  "nats.url, postgres.dsn. What is not commented out is the default. Ages and "
                  "durations are seconds, or such as 90d, 1h, 5min; sizes are bytes, or such as "
                  "256MB, where 1 KB is 1024 bytes. Files are relative to the working directory.");
    for (size_t i = 0; i < config_key_count; i++) {
        const struct config_key *key = &config_keys[i];
        struct buf text = BUF_INIT;
        size_t depth = open_groups(before, key, true, out);
        if (common_prefix(before, key->name) == strlen(key->name) - strlen(leaf_of(key)))
            buf_addc(out, '\n');
        before = key->name;
        describe(&text, key);
        write_comment(out, depth, buf_cstr(&text));
        indent(out, depth);
        bool list = config_storage(key) == STORED_LIST;
        buf_addf(out, "%s%s: %s\n", key->fallback ? "" : "# ", leaf_of(key),
                 list            ? "[]"
                 : key->fallback ? key->fallback
                                 : key->example);
        out->failed |= text.failed;
        buf_done(&text);
    }
}

/* ---- the schema ---- */

static void schema_member(struct buf *out, size_t depth, const char *name, const char *raw)
{
    buf_adds(out, ",\n");
    indent(out, depth);
    buf_addf(out, "\"%s\": %s", name, raw);
}

static void schema_range(struct buf *out, size_t depth, const struct config_key *key)
{
    struct buf number = BUF_INIT;
    const char *names[] = {"minimum", "maximum"};
    const double bounds[] = {key->min, key->max};
    for (size_t i = 0; i < 2; i++) {
        buf_reset(&number);
        config_number_write(CONFIG_REAL, bounds[i], &number);
        schema_member(out, depth, names[i], buf_cstr(&number));
    }
    out->failed |= number.failed;
    buf_done(&number);
}

static void schema_choices(struct buf *out, size_t depth, const char *choices)
{
    schema_member(out, depth, "enum", "[");
    for (const char *choice = choices;; choice++) {
        size_t size = strcspn(choice, "|");
        buf_json_string(out, choice, size);
        choice += size;
        if (*choice == '\0')
            break;
        buf_adds(out, ", ");
    }
    buf_addc(out, ']');
}

static void schema_issuer(struct buf *out, size_t depth)
{
    buf_adds(out, ",\n");
    indent(out, depth);
    buf_adds(out, "\"items\": {\n");
    indent(out, depth + 1);
    buf_adds(out, "\"type\": \"object\"");
    schema_member(out, depth + 1, "additionalProperties", "false");
    schema_member(out, depth + 1, "required",
                  "[\"issuer\", \"audience\", \"algorithm\", \"key_file\"]");
    schema_member(out, depth + 1, "properties", "{\n");
    indent(out, depth + 2);
    buf_adds(out, "\"issuer\": {\"type\": \"string\"},\n");
    indent(out, depth + 2);
    buf_adds(out, "\"audience\": {\"type\": \"string\"},\n");
    indent(out, depth + 2);
    buf_adds(out, "\"key_file\": {\"type\": \"string\"},\n");
    indent(out, depth + 2);
    buf_adds(out, "\"algorithm\": {\n");
    indent(out, depth + 3);
    buf_adds(out, "\"type\": \"string\"");
    schema_choices(out, depth + 3, config_jwt_algorithms);
    buf_addc(out, '\n');
    indent(out, depth + 2);
    buf_adds(out, "}\n");
    indent(out, depth + 1);
    buf_adds(out, "}\n");
    indent(out, depth);
    buf_addc(out, '}');
}

static void schema_default(struct buf *out, size_t depth, const struct config_key *key)
{
    double number;
    if (!key->fallback)
        return;
    buf_adds(out, ",\n");
    indent(out, depth);
    buf_adds(out, "\"default\": ");
    if (config_storage(key) == STORED_LIST)
        buf_adds(out, "[]");
    else if (key->max > 0 && config_number_read(CONFIG_REAL, key->fallback, &number))
        buf_adds(out, key->fallback);
    else
        buf_json_cstr(out, key->fallback);
}

static void schema_leaf(struct buf *out, size_t depth, const struct config_key *key)
{
    static const char *const shapes[CONFIG_TYPE_COUNT] = {
        [CONFIG_INTEGER] = "\"integer\"",
        [CONFIG_REAL] = "\"number\"",
        [CONFIG_AGE] = "[\"integer\", \"string\"]",
        [CONFIG_DURATION] = "[\"number\", \"string\"]",
        [CONFIG_SIZE] = "[\"integer\", \"string\"]",
        [CONFIG_ORIGINS] = "\"array\"",
        [CONFIG_TYPES] = "\"array\"",
        [CONFIG_JWT] = "\"array\"",
    };
    static const char *const patterns[CONFIG_TYPE_COUNT] = {
        [CONFIG_TOKEN] = "\"^[A-Za-z0-9_-]{1,64}$\"",
        [CONFIG_AGE] = "\"^[0-9.]+ ?(ms|s|m|min|h|d)?$\"",
        [CONFIG_DURATION] = "\"^[0-9.]+ ?(ms|s|m|min|h|d)?$\"",
        [CONFIG_SIZE] = "\"^[0-9.]+ ?(([KMGTkmgt][Ii]?)?[Bb])?$\"",
    };
    indent(out, depth);
    buf_adds(out, "\"description\": ");
    buf_json_cstr(out, key->help);
    schema_member(out, depth, "type", shapes[key->type] ? shapes[key->type] : "\"string\"");
    if (patterns[key->type])
        schema_member(out, depth, "pattern", patterns[key->type]);
    if (key->max > 0)
        schema_range(out, depth, key);
    if (key->choices)
        schema_choices(out, depth, key->choices);
    if (config_storage(key) == STORED_LIST)
        schema_member(out, depth, "items", "{\"type\": \"string\"}");
    if (key->type == CONFIG_JWT)
        schema_issuer(out, depth);
    schema_default(out, depth, key);
    buf_addc(out, '\n');
}

/* The keys from `first` on whose names begin with the same `prefix` bytes; returns the next one. */
static size_t schema_object(struct buf *out, size_t depth, size_t first, size_t prefix)
{
    const char *group = config_keys[first].name;
    size_t i = first;
    indent(out, depth);
    /* A group whose keys are all commented out is a name with nothing behind it. */
    buf_adds(out, prefix ? "\"type\": [\"object\", \"null\"]" : "\"type\": \"object\"");
    schema_member(out, depth, "additionalProperties", "false");
    schema_member(out, depth, "properties", "{");
    while (i < config_key_count && strncmp(config_keys[i].name, group, prefix) == 0) {
        const char *part = config_keys[i].name + prefix;
        size_t size = strcspn(part, ".");
        buf_adds(out, i == first ? "\n" : ",\n");
        indent(out, depth + 1);
        buf_json_string(out, part, size);
        buf_adds(out, ": {\n");
        if (part[size] == '.')
            i = schema_object(out, depth + 2, i, prefix + size + 1);
        else
            schema_leaf(out, depth + 2, &config_keys[i++]);
        indent(out, depth + 1);
        buf_addc(out, '}');
    }
    buf_addc(out, '\n');
    indent(out, depth);
    buf_adds(out, "}\n");
    return i;
}

void config_schema(struct buf *out)
{
    buf_adds(out, "{\n  \"$schema\": \"https://json-schema.org/draft/2020-12/schema\",\n"
                  "  \"title\": \"Configuration file of fleethub\",\n"
                  "  \"description\": \"Made from the table of keys by `fleethub config schema`. "
                  "The required keys may come from the environment instead.\",\n");
    schema_object(out, 1, 0, 0);
    buf_adds(out, "}\n");
}
