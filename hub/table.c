#include "hub/table.h"

#include <ctype.h>
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

void table_cell(struct table *table, const char *text, size_t size)
{
    size_t characters = 0, column = table->count % table->columns;
    if (size > TABLE_CELL_MAX_BYTES)
        for (size = TABLE_CELL_MAX_BYTES; size > 0 && continues(text[size]);)
            size--;
    for (size_t i = 0; i < size; i++) {
        buf_addc(&table->cells, iscntrl((unsigned char)text[i]) ? ' ' : text[i]);
        characters += !continues(text[i]);
    }
    buf_addc(&table->cells, '\0');
    table->count++;
    if (characters > table->widths[column])
        table->widths[column] = characters;
}

void table_value(struct table *table, struct doc_ref value)
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
    table_cell(table, at, size);
    buf_done(&text);
}

void table_write(struct table *table, struct buf *out)
{
    const char *cell = buf_cstr(&table->cells);
    for (size_t i = 0; i < table->count && !table->cells.failed; i++) {
        size_t column = i % table->columns, size = strlen(cell), characters = 0;
        buf_add(out, cell, size);
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
