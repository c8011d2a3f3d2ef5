#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "manager/print.h"

struct cell {
    size_t at, len; /* within text, made safe */
    size_t width;
    enum table_colour colour;
};

struct table {
    FILE *file;
    const struct table_column *columns;
    size_t column_count;
    size_t *widths;
    struct cell *cells; /* of the rows held, TABLE_HELD rows of them */
    size_t cell_count;
    struct buf text;
    enum table_colour colour; /* of the next cell */
    bool colours, headed;
    size_t margin; /* columns of the terminal, 0: none */
    uint64_t rows;
};

struct table *table_new(FILE *file, const struct table_column *columns, size_t count) {
    struct table *table = xcalloc(1, sizeof *table);
    table->file = file;
    table->columns = columns;
    table->column_count = count;
    table->widths = xcalloc(count, sizeof *table->widths);
    table->cells = xcalloc(count * TABLE_HELD, sizeof *table->cells);
    table->text = (struct buf)BUF_INIT;
    table->colours = print_colours(file);
    table->margin = print_terminal_width(file);
    for (size_t i = 0; i < count; i++)
        if (columns[i].title)
            table->widths[i] = print_width(columns[i].title, strlen(columns[i].title));
    return table;
}

static void put_blanks(FILE *file, size_t count) {
    for (size_t i = 0; i < count; i++)
        fputc(' ', file);
}

static const char *const colour_codes[] = {
    [COLOUR_NONE] = "",           [COLOUR_GREEN] = "\033[32m", [COLOUR_RED] = "\033[31m",
    [COLOUR_YELLOW] = "\033[33m", [COLOUR_DIM] = "\033[2m",    [COLOUR_BOLD] = "\033[1m",
};

static void put_cell(struct table *table, size_t column, const char *text, size_t len, size_t width,
                     enum table_colour colour) {
    bool last = column + 1 == table->column_count;
    size_t blanks = table->widths[column] > width ? table->widths[column] - width : 0;
    bool right = table->columns[column].align == ALIGN_RIGHT;
    if (right)
        put_blanks(table->file, blanks);
    bool coloured = table->colours && colour != COLOUR_NONE;
    if (coloured)
        fputs(colour_codes[colour], table->file);
    fwrite(text, 1, len, table->file);
    if (coloured)
        fputs("\033[0m", table->file);
    if (!right && !last)
        put_blanks(table->file, blanks);
    fputs(last ? "\n" : "  ", table->file);
}

/* Columns left for the last cell of a line on a terminal, at least a few; 0 when there is no limit.
 */
static size_t room_for_last(const struct table *table) {
    size_t used = 0;
    for (size_t i = 0; i + 1 < table->column_count; i++)
        used += table->widths[i] + 2;
    if (!table->margin)
        return 0;
    return table->margin > used + 8 ? table->margin - used : 8;
}

static void print_last(struct table *table, const struct cell *cell, const char *text) {
    size_t room = room_for_last(table);
    if (!room || cell->width <= room ||
        table->columns[table->column_count - 1].align == ALIGN_RIGHT) {
        put_cell(table, table->column_count - 1, text, cell->len, cell->width, cell->colour);
        return;
    }
    struct buf cut = BUF_INIT;
    print_safe(&cut, text, cell->len, room);
    put_cell(table, table->column_count - 1, cut.data, cut.len, room, cell->colour);
    buf_free(&cut);
}

static void print_head(struct table *table) {
    if (table->headed || !table->columns[0].title)
        return;
    table->headed = true;
    for (size_t i = 0; i < table->column_count; i++) {
        const char *title = table->columns[i].title;
        put_cell(table, i, title, strlen(title), print_width(title, strlen(title)), COLOUR_DIM);
    }
}

static void print_held(struct table *table) {
    for (size_t i = 0; i < table->cell_count; i++) {
        const struct cell *cell = &table->cells[i];
        size_t *width = &table->widths[i % table->column_count];
        if (cell->width > *width && (i + 1) % table->column_count)
            *width = cell->width;
    }
    /* The last column's width matters only when it is aligned to the right. */
    size_t last = table->column_count - 1;
    for (size_t i = last; i < table->cell_count; i += table->column_count)
        if (table->columns[last].align == ALIGN_RIGHT &&
            table->cells[i].width > table->widths[last])
            table->widths[last] = table->cells[i].width;
    if (table->cell_count)
        print_head(table);
    for (size_t i = 0; i < table->cell_count; i++) {
        const struct cell *cell = &table->cells[i];
        const char *text = table->text.data + cell->at;
        if (i % table->column_count == last)
            print_last(table, cell, text);
        else
            put_cell(table, i % table->column_count, text, cell->len, cell->width, cell->colour);
    }
    table->cell_count = 0;
    buf_clear(&table->text);
}

void table_cell(struct table *table, const char *text, size_t len) {
    struct cell *cell = &table->cells[table->cell_count++];
    cell->at = table->text.len;
    print_safe(&table->text, text, len, 0);
    cell->len = table->text.len - cell->at;
    cell->width = print_width(table->text.data + cell->at, cell->len);
    cell->colour = table->colour;
    table->colour = COLOUR_NONE;
    if (table->cell_count % table->column_count == 0)
        table->rows++;
    if (table->cell_count == table->column_count * TABLE_HELD)
        print_held(table);
}

void table_cells(struct table *table, const char *text) {
    table_cell(table, text, strlen(text));
}

void table_cellf(struct table *table, const char *fmt, ...) {
    struct buf text = BUF_INIT;
    va_list args;
    va_start(args, fmt);
    buf_addvf(&text, fmt, args);
    va_end(args);
    table_cell(table, text.data, text.len);
    buf_free(&text);
}

void table_colour(struct table *table, enum table_colour colour) {
    table->colour = colour;
}

uint64_t table_rows(const struct table *table) {
    return table->rows;
}

void table_free(struct table *table) {
    if (!table)
        return;
    print_held(table);
    buf_free(&table->text);
    free(table->cells);
    free(table->widths);
    free(table);
}
