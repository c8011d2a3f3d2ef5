/*
 * cover.h - whether rectangles cover a matrix, every element exactly once. Pure.
 */
#ifndef DISTCOMP_KIT_COVER_H
#define DISTCOMP_KIT_COVER_H

#include <stdbool.h>
#include <stddef.h>

struct cover_part {
    size_t row, col, rows, cols;
    size_t index; /* the caller's, for what is told */
};

enum cover_fault { COVER_EXACT, COVER_OUTSIDE, COVER_TWICE, COVER_MISSING };
struct cover_verdict {
    enum cover_fault fault;
    size_t row, col;      /* TWICE, MISSING: the first such element, row by row */
    size_t first, second; /* OUTSIDE: index in first; TWICE: of both */
};

/* Sorts the parts. Empty ones count for nothing, wherever they are within rows and cols. */
struct cover_verdict cover_check(struct cover_part *parts, size_t count, size_t rows, size_t cols);

#endif
