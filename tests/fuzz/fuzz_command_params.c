/*
 * A command's type and parameters, as they come from outside: `TYPE\nPARAMS`. Whatever they are,
 * the answer is the same twice, a refusal is told in valid UTF-8, what passes can be written and
 * read back to the same verdict, and nothing that steers passes.
 */
#include "twin/command_params.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const extra[] = {"spray", "velocity.set", NULL};
static const struct doc_limits limits = {.max_bytes = 1 << 20, .max_depth = 64};

static void check_text(const char *text, size_t room)
{
    struct buf json = BUF_INIT;
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref root;
    if (!parser || !memchr(text, '\0', room))
        abort();
    buf_json_cstr(&json, text);
    if (doc_parse(parser, json.data, json.size_bytes, limits, &root) != DOC_OK)
        abort();
    doc_parser_free(parser);
    buf_done(&json);
}

static bool check(struct slice type, struct doc_ref params)
{
    struct text_error error = {.offset = 1};
    bool good = command_params_check(type, params, extra, &error);
    if (good) {
        if (error.offset != 1 || command_type_steers(type) || !command_type_is_well_formed(type))
            abort();
        return true;
    }
    if (!*error.detail || error.offset != 0)
        abort();
    check_text(error.detail, sizeof error.detail);
    check_text(error.hint, sizeof error.hint);
    return false;
}

static void check_again(struct slice type, struct doc_ref params, bool expected)
{
    struct buf text = BUF_INIT;
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref root;
    doc_write(&text, params);
    if (!parser || doc_parse(parser, buf_cstr(&text), text.size_bytes, limits, &root) != DOC_OK ||
        check(type, root) != expected)
        abort();
    doc_parser_free(parser);
    buf_done(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const char *text = (const char *)data;
    const char *end = size ? memchr(text, '\n', size) : NULL;
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref params;
    if (!parser)
        abort();
    if (end) {
        struct slice type = {text, (size_t)(end - text)};
        size_t left = size - type.size - 1;
        /* A type that came as a JSON string is valid UTF-8; other bytes are no type here either. */
        if (doc_parse(parser, end + 1, left, limits, &params) == DOC_OK)
            check_again(type, params, check(type, params));
    }
    doc_parser_free(parser);
    return 0;
}
