#include "hub/table.h"

#include <string.h>

static bool continues(char byte)
{
    return ((unsigned char)byte & 0xc0) == 0x80;
}

void table_init(struct table *table, size_t columns)
{
    *table = (struct table){.columns = columns < TABLE_COLUMNS_MAX ? columns : TABLE_COLUMNS_MAX};
}

void table_done(struct table *table)
{
    buf_done(&table->cells);
}

static void add_cell(struct table *table, const char *text, size_t size, enum term_colour colour)
{
    size_t characters = 0, column = table->count % table->columns;
    if (size > TABLE_CELL_MAX_BYTES)
        for (size = TABLE_CELL_MAX_BYTES; size > 0 && continues(text[size]);)
            size--;
    buf_addc(&table->cells, (char)(table->coloured ? colour : TERM_PLAIN));
    for (size_t i = 0; i < size; i++) {
        size_t control = term_control_size(text + i, size - i);
        buf_addc(&table->cells, control ? ' ' : text[i]);
        characters += !continues(text[i]);
        i += control > 1;
    }
    buf_addc(&table->cells, '\0');
    table->count++;
    if (characters > table->widths[column])
        table->widths[column] = characters;
}

void table_cell(struct table *table, const char *text, size_t size)
{
    add_cell(table, text, size, TERM_PLAIN);
}

void table_title(struct table *table, const char *text)
{
    add_cell(table, text, strlen(text), TERM_BOLD);
}

void table_status(struct table *table, const char *text, size_t size)
{
    add_cell(table, text, size, term_colour_of(text, size));
}

static void add_value(struct table *table, struct doc_ref value, bool status)
{
    struct buf text = BUF_INIT;
    size_t size = 0;
    const char *at = "";
    if (doc_is(value, DOC_STRING)) {
        at = doc_string(value, &size);
    } else if (doc_exists(value) && !doc_is(value, DOC_NULL)) {
        doc_write(&text, value);
        at = buf_cstr(&text);
        size = strlen(at);
    }
    add_cell(table, at, size, status ? term_colour_of(at, size) : TERM_PLAIN);
    buf_done(&text);
}

void table_value(struct table *table, struct doc_ref value)
{
    add_value(table, value, false);
}

void table_status_value(struct table *table, struct doc_ref value)
{
    add_value(table, value, true);
}

void table_write(struct table *table, struct buf *out)
{
    const char *cell = buf_cstr(&table->cells);
    for (size_t i = 0; i < table->count && !table->cells.failed; i++) {
        enum term_colour colour = (enum term_colour) * cell++;
        size_t column = i % table->columns, size = strlen(cell), characters = 0;
        term_begin(out, colour);
        buf_add(out, cell, size);
        term_end(out, colour);
        for (size_t c = 0; c < size; c++)
            characters += !continues(cell[c]);
        if (column + 1 < table->columns) {
            for (; characters < table->widths[column] + 2; characters++)
                buf_addc(out, ' ');
        } else {
            while (out->size_bytes > 0 && out->data[out->size_bytes - 1] == ' ')
                out->size_bytes--;
            buf_addc(out, '\n');
        }
        cell += size + 1;
    }
    out->failed = out->failed || table->cells.failed;
    buf_reset(&table->cells);
    table->count = 0;
}
