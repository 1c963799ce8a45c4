/*
 * doc_help: short ways from text to documents and back, for tests.
 *
 * `parse_text` borrows the parser's memory: valid until its next use. Everything else is freed by
 * whoever asked for it.
 */
#ifndef TESTS_UNIT_DOC_HELP_H
#define TESTS_UNIT_DOC_HELP_H

#include "twin/doc.h"

#include <stdlib.h>
#include <string.h>

static const struct doc_limits wide_limits = {.max_bytes = DOC_MAX_BYTES,
                                              .max_depth = DOC_MAX_DEPTH};

/* The bytes in a block of exactly their size, so that the sanitizer sees a byte read beyond. */
static inline enum doc_error parse_exact(struct doc_parser *parser, const char *text, size_t size,
                                         struct doc_limits limits, struct doc_ref *root)
{
    char *exact = malloc(size ? size : 1);
    if (!exact)
        return DOC_NO_MEMORY;
    exact[0] = '\0'; /* gcc wants the block to have held something, also for an empty text */
    memcpy(exact, text, size);
    enum doc_error error = doc_parse(parser, exact, size, limits, root);
    free(exact);
    return error;
}

/* A document of its own; NULL where the text is refused. */
static inline struct doc *doc_of_bytes(const char *text, size_t size)
{
    struct doc_parser *parser = doc_parser_new();
    struct doc_ref root;
    struct doc *doc = NULL;
    if (parser && parse_exact(parser, text, size, wide_limits, &root) == DOC_OK)
        doc = doc_copy(root);
    doc_parser_free(parser);
    return doc;
}

static inline struct doc *doc_of(const char *text)
{
    return doc_of_bytes(text, strlen(text));
}

/* The value as text, NUL-terminated; free(). */
static inline char *text_of_doc(struct doc_ref value, size_t *size)
{
    struct buf buf = BUF_INIT;
    doc_write(&buf, value);
    return buf_take(&buf, size);
}

#endif
