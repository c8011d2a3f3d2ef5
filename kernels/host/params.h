/*
 * params.h - the parameters of a try: words `key=value`, checked against the kernel's table.
 *
 * Pure: no files, no clock, no environment; independent of the locale. A table is checked and its
 * defaults are read once (params_init); a try then costs no allocation once the memory has grown.
 */
#ifndef DISTCOMP_KERNEL_PARAMS_H
#define DISTCOMP_KERNEL_PARAMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "kernels/kernel.h"

struct param_value {
    bool written; /* in this try's words */
    bool given;   /* so, or by default */
    union {
        int64_t integer;
        double real;
        bool flag;
        size_t choice;
    } of;
    const char *text;    /* as it was written; borrowed from the words or the table; never NULL */
    size_t first, count; /* INPUTS, OUTPUTS: which of the items */
};

struct params {
    const struct kernel_param *table; /* borrowed */
    size_t rows;
    struct param_value *values, *presets; /* one a row */
    struct buf lists;                     /* the items of lists, a NUL after each */
    size_t *items;                        /* where each begins in lists */
    size_t item_count, item_cap;
    size_t preset_items, preset_bytes; /* of the defaults: they come first */
};

/* A NULL table is an empty one. False: the table itself is wrong, appended to error; params_free in
 * any case. */
bool params_init(struct params *params, const struct kernel_param *table, struct buf *error);
void params_free(struct params *params);

/*
 * Reads the words of a try into values; they are borrowed. False: everything that is wrong was
 * appended to errors, a line without a newline each, joined by '\n'.
 */
bool params_read(struct params *params, char *const *words, size_t count, struct buf *errors);

const char *params_item(const struct params *params, size_t row, size_t which);

/* Appends what a value of that row has to look like: "an integer from 1 to 1000". */
void params_expected(const struct kernel_param *row, struct buf *out);
/* Appends "1 to 1000". False: it has no range. */
bool params_add_range(const struct kernel_param *row, struct buf *out);
/* The choices of a row, one after the other; NULL after the last. */
const char *params_choice(const struct kernel_param *row, size_t which, size_t *len);

#endif
