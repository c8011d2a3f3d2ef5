#include "kernels/kit/matrix.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/kit/parallel.h"

bool matrix_view(const struct kernel_array *array, struct matrix *matrix, char *why, size_t room) {
    if (array->dtype != KERNEL_F32 && array->dtype != KERNEL_F64) {
        snprintf(why, room, "has integers; a matrix to multiply must be f32 or f64");
        return false;
    }
    if (array->dims != 2) {
        snprintf(why, room, "has %u dimension%s; a matrix has 2%s", array->dims,
                 array->dims == 1 ? "" : "s",
                 array->dims == 1 ? " (a vector: reshape(-1, 1) or reshape(1, -1))" : "");
        return false;
    }
    size_t rows = array->shape[0], cols = array->shape[1];
    if (rows > MATRIX_MOST || cols > MATRIX_MOST) {
        snprintf(why, room, "has %zu rows and %zu columns; BLAS counts to %zu", rows, cols,
                 MATRIX_MOST);
        return false;
    }
    *matrix = (struct matrix){.single = array->dtype == KERNEL_F32,
                              .rows = rows,
                              .cols = cols,
                              .row_step = array->fortran ? 1 : cols,
                              .col_step = array->fortran ? rows : 1,
                              .data = array->data};
    return true;
}

static size_t element_bytes(const struct matrix *matrix) {
    return matrix->single ? sizeof(float) : sizeof(double);
}

static void *element(const struct matrix *matrix, size_t row, size_t col) {
    if (!matrix->data)
        return NULL;
    return (char *)matrix->data +
           (row * matrix->row_step + col * matrix->col_step) * element_bytes(matrix);
}

struct matrix matrix_block(const struct matrix *matrix, size_t i0, size_t i1, size_t j0,
                           size_t j1) {
    struct matrix block = *matrix;
    block.rows = i1 - i0;
    block.cols = j1 - j0;
    if (block.rows && block.cols)
        block.data = element(matrix, i0, j0);
    return block;
}

size_t matrix_span(const struct matrix *matrix) {
    if (!matrix->rows || !matrix->cols)
        return 0;
    return ((matrix->rows - 1) * matrix->row_step + (matrix->cols - 1) * matrix->col_step + 1) *
           element_bytes(matrix);
}

double matrix_at(const struct matrix *matrix, size_t row, size_t col) {
    const void *at = element(matrix, row, col);
    return matrix->single ? (double)*(const float *)at : *(const double *)at;
}

/* --- copying ------------------------------------------------------------------------------- */

void matrix_copy(const struct matrix *to, const struct matrix *from) {
    bool rows_run = to->col_step == 1;
    size_t lines = rows_run ? to->rows : to->cols, len = rows_run ? to->cols : to->rows;
    size_t from_line = rows_run ? from->row_step : from->col_step;
    size_t step = rows_run ? from->col_step : from->row_step;
    size_t to_line = rows_run ? to->row_step : to->col_step;
    for (size_t line = 0; line < lines; line++) {
        if (to->single) {
            float *at = (float *)to->data + line * to_line;
            const float *source = (const float *)from->data + line * from_line;
            if (step == 1)
                memcpy(at, source, len * sizeof *at);
            for (size_t i = 0; step != 1 && i < len; i++)
                at[i] = source[i * step];
        } else {
            double *at = (double *)to->data + line * to_line;
            const double *source = (const double *)from->data + line * from_line;
            if (step == 1)
                memcpy(at, source, len * sizeof *at);
            for (size_t i = 0; step != 1 && i < len; i++)
                at[i] = source[i * step];
        }
    }
}

/* --- what is no number ---------------------------------------------------------------------- */

/*
 * An exponent of ones, plus one, runs over into the sign's place. Pieces of a constant length, so
 * that the compiler makes vectors of them.
 */
#define PIECE 512

static bool piece_is_finite64(const uint64_t *bits) {
    uint64_t any = 0;
    for (size_t i = 0; i < PIECE; i++)
        any |= (bits[i] & UINT64_C(0x7fffffffffffffff)) + UINT64_C(0x0010000000000000);
    return any >> 63 == 0;
}

static bool piece_is_finite32(const uint32_t *bits) {
    uint32_t any = 0;
    for (size_t i = 0; i < PIECE; i++)
        any |= (bits[i] & UINT32_C(0x7fffffff)) + UINT32_C(0x00800000);
    return any >> 31 == 0;
}

static bool is_finite(const void *data, bool single, size_t i) {
    if (single) {
        float value = ((const float *)data)[i];
        return value - value == 0;
    }
    double value = ((const double *)data)[i];
    return value - value == 0;
}

/* The first one in a line of numbers, or len. */
static size_t find_in_line(const void *data, bool single, size_t len) {
    size_t at = 0, size = single ? sizeof(float) : sizeof(double);
    for (; at + PIECE <= len; at += PIECE) {
        const void *piece = (const char *)data + at * size;
        if (!(single ? piece_is_finite32(piece) : piece_is_finite64(piece)))
            break;
    }
    while (at < len && is_finite(data, single, at))
        at++;
    return at;
}

struct search {
    const struct matrix *matrix;
    size_t lines, len, step;
    size_t line[PARALLEL_MAX], at[PARALLEL_MAX]; /* by piece; line == lines: none */
};

static void search_lines(void *arg, unsigned part, size_t begin, size_t end) {
    struct search *search = arg;
    const struct matrix *matrix = search->matrix;
    search->line[part] = search->lines;
    for (size_t line = begin; line < end; line++) {
        const char *data = (const char *)matrix->data + line * search->step * element_bytes(matrix);
        size_t at = find_in_line(data, matrix->single, search->len);
        if (at < search->len) {
            search->line[part] = line;
            search->at[part] = at;
            return;
        }
    }
}

bool matrix_find_nonfinite(const struct matrix *matrix, unsigned threads, size_t *row,
                           size_t *col) {
    if (!matrix->rows || !matrix->cols)
        return false;
    bool rows_run = matrix->col_step == 1;
    struct search search = {.matrix = matrix,
                            .lines = rows_run ? matrix->rows : matrix->cols,
                            .len = rows_run ? matrix->cols : matrix->rows,
                            .step = rows_run ? matrix->row_step : matrix->col_step};
    unsigned parts =
        parallel_for(threads, search.lines, 1 + 65536 / search.len, search_lines, &search);
    for (unsigned part = 0; part < parts; part++) {
        if (search.line[part] == search.lines)
            continue;
        *row = rows_run ? search.line[part] : search.at[part];
        *col = rows_run ? search.at[part] : search.line[part];
        return true;
    }
    return false;
}

/* --- ranges --------------------------------------------------------------------------------- */

static bool read_place(const char **text, size_t *value) {
    if (**text < '0' || **text > '9')
        return false;
    char *end;
    unsigned long long number = strtoull(*text, &end, 10);
    *value = number > SIZE_MAX ? SIZE_MAX : (size_t)number;
    *text = end;
    return true;
}

bool matrix_range(const char *text, size_t count, size_t *begin, size_t *end, char *why,
                  size_t room) {
    const char *at = text;
    *begin = 0;
    *end = count;
    if (!*at)
        return true;
    read_place(&at, begin);
    bool colon = *at == ':';
    at += colon;
    if (colon)
        read_place(&at, end);
    if (!colon || *at) {
        snprintf(why, room,
                 "\"%.40s\", expected FROM:TO such as 0:%zu, counted from 0, TO not included", text,
                 count);
        return false;
    }
    if (*begin > *end || *end > count) {
        snprintf(why, room, "%zu:%zu, but there are %zu", *begin, *end, count);
        return false;
    }
    return true;
}
