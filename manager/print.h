/*
 * print.h - answers for people (aligned tables, ages, colours) and for programs (JSON).
 *
 * JSON: a small answer is one object on one line, with arrays in it. A listing that may have
 * millions of entries is one object a line (JSON lines), so that it needs no memory here or there.
 */
#ifndef DISTCOMP_MANAGER_PRINT_H
#define DISTCOMP_MANAGER_PRINT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/buf.h"

/* Columns that these bytes take on a terminal: UTF-8, wide and combining characters known; a byte
 * that is not UTF-8 counts as one. Escape sequences are not. */
size_t print_width(const char *text, size_t len);
/*
 * Appends text that a stranger wrote so that it is safe on a terminal and stays on its line:
 * control characters become \t \n \r \xHH, bytes that are not UTF-8 \xHH. At most max_width
 * columns, 0 for any; what is cut ends with '…'.
 */
void print_safe(struct buf *out, const char *text, size_t len, size_t max_width);

/* Whether colours may go to this stream: a terminal, TERM is not dumb, NO_COLOR is empty or unset.
 */
bool print_colours(FILE *file);
/* Columns of the terminal, or 0 when the stream is none. */
size_t print_terminal_width(FILE *file);

/* "just now", "4.2s", "3m12s", "1d4h": the time from then to now, wall clocks of Redis; "-" if then
 * is 0. */
void print_age(struct buf *out, uint64_t now_ms, uint64_t then_ms);
/* 1234567 as "1,234,567", for people. */
void print_count(struct buf *out, uint64_t number);

/* --- tables ------------------------------------------------------------------------------------
 */

enum table_align { ALIGN_LEFT, ALIGN_RIGHT };
enum table_colour { COLOUR_NONE, COLOUR_GREEN, COLOUR_RED, COLOUR_YELLOW, COLOUR_DIM, COLOUR_BOLD };

struct table_column {
    const char *title; /* NULL in all columns: no head line */
    enum table_align align;
};

/*
 * Rows are held until there are TABLE_HELD of them, then printed; widths only grow. So a listing of
 * millions is printed as it comes, and a short one is aligned as a whole. On a terminal the last
 * column is cut at the right margin; elsewhere nothing is cut. Cells are made safe (print_safe).
 *
 *     struct table *table = table_new(stdout, columns, 3);
 *     table_cell(table, id, strlen(id));  table_cellf(table, "%d", n);  … three cells make a row
 *     table_free(table);                  prints what is held
 */
#define TABLE_HELD 500
struct table;
struct table *table_new(FILE *file, const struct table_column *columns, size_t count);
void table_cell(struct table *table, const char *text, size_t len);
void table_cells(struct table *table, const char *text); /* NUL-terminated */
void table_cellf(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void table_colour(struct table *table, enum table_colour colour); /* of the next cell */
uint64_t table_rows(const struct table *table);
void table_free(struct table *table);

/* --- JSON ----------------------------------------------------------------------------------------
 */

/* Prints the value on a line of its own and takes its reference. */
void print_json(FILE *file, json_t *value);
/*
 * A string of any bytes: those that are not UTF-8 become U+FFFD (taskOutput without --json gives
 * the exact bytes). A new reference.
 */
json_t *print_json_text(const char *text, size_t len);

#endif
