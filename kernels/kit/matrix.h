/*
 * matrix.h - a matrix as a view of an array: C or Fortran order, or a block of either, without a
 * copy. Numbers are float or double.
 */
#ifndef DISTCOMP_KIT_MATRIX_H
#define DISTCOMP_KIT_MATRIX_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "kernels/kernel.h"

struct matrix {
    bool single; /* float, else double */
    size_t rows, cols;
    size_t row_step, col_step; /* from an element to the next below, to the right; in elements */
    void *data;                /* borrowed */
};

/* Rows or columns, and elements of a line, that BLAS can count. */
#define MATRIX_MOST ((size_t)INT_MAX)

/*
 * What a matrix must be: f32 or f64, two dimensions, not beyond MATRIX_MOST. False with a phrase
 * that completes "NAME ..." in why (room bytes). data may be NULL (kernel_stat).
 */
bool matrix_view(const struct kernel_array *array, struct matrix *matrix, char *why, size_t room);
/* Rows i0 to i1 - 1, columns j0 to j1 - 1. */
struct matrix matrix_block(const struct matrix *matrix, size_t i0, size_t i1, size_t j0, size_t j1);
/* The first NaN or infinity, by the order in memory. */
bool matrix_find_nonfinite(const struct matrix *matrix, unsigned threads, size_t *row, size_t *col);
/* Copies elements; same type and shape, any order. */
void matrix_copy(const struct matrix *to, const struct matrix *from);
/* The bytes from its first to behind its last element; 0 when it has none. */
size_t matrix_span(const struct matrix *matrix);

double matrix_at(const struct matrix *matrix, size_t row, size_t col);

/*
 * "I0:I1" of 0 to count, as in Python: I0: from, :I1 to, : or "" all. False when it is none or
 * outside, with a phrase that completes "rows ..." in why.
 */
bool matrix_range(const char *text, size_t count, size_t *begin, size_t *end, char *why,
                  size_t room);

#endif
