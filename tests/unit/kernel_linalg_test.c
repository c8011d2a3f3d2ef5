/* What gemm, matmul and assemble are made of, against naive loops in float64 (gemm's random
 * matrices: kernel_randmat_test.c). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "kernels/kit/blas.h"
#include "kernels/kit/cover.h"
#include "kernels/kit/matmul.h"
#include "kernels/kit/matrix.h"
#include "kernels/kit/pages.h"
#include "kernels/kit/parallel.h"
#include "tests/unit/draw.h"

/* --- parallel ------------------------------------------------------------------------------- */

struct marks {
    unsigned char seen[1000];
    unsigned char parts[PARALLEL_MAX];
};

static void mark(void *arg, unsigned part, size_t begin, size_t end) {
    struct marks *marks = arg;
    assert_true(begin < end);
    marks->parts[part]++;
    for (size_t i = begin; i < end; i++)
        marks->seen[i]++;
}

static void each_index_once(void **state) {
    (void)state;
    static const unsigned threads[] = {0, 1, 2, 3, 7, 2000};
    static const size_t counts[] = {0, 1, 2, 5, 64, 999, 1000}, leasts[] = {0, 1, 10, 5000};
    for (size_t t = 0; t < 6; t++)
        for (size_t c = 0; c < 7; c++)
            for (size_t l = 0; l < 4; l++) {
                struct marks marks = {{0}, {0}};
                unsigned parts = parallel_for(threads[t], counts[c], leasts[l], mark, &marks);
                for (size_t i = 0; i < 1000; i++)
                    assert_int_equal(marks.seen[i], i < counts[c]);
                for (size_t i = 0; i < PARALLEL_MAX; i++)
                    assert_int_equal(marks.parts[i], i < parts);
                assert_true(parts <= (threads[t] ? threads[t] : 1) && parts <= counts[c]);
                assert_true(leasts[l] != 5000 || parts <= 1);
            }
}

/* --- matrices ------------------------------------------------------------------------------- */

/* An array with numbers, and the same ones by place. */
struct grid {
    struct kernel_array array;
    struct matrix view;
    double *values; /* row by row */
};

static struct grid grid_make(size_t rows, size_t cols, bool single, bool fortran) {
    struct grid grid = {.array = {.dtype = single ? KERNEL_F32 : KERNEL_F64,
                                  .dims = 2,
                                  .shape = {rows, cols},
                                  .fortran = fortran}};
    char why[200];
    grid.array.data = malloc(rows * cols * sizeof(double) + 1);
    grid.values = malloc(rows * cols * sizeof(double) + 1);
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < cols; j++) {
            double value = (double)(float)((double)draw(2000001) / 1e6 - 1);
            size_t at = fortran ? j * rows + i : i * cols + j;
            grid.values[i * cols + j] = value;
            if (single)
                ((float *)grid.array.data)[at] = (float)value;
            else
                ((double *)grid.array.data)[at] = value;
        }
    assert_true(matrix_view(&grid.array, &grid.view, why, sizeof why));
    return grid;
}

static void grid_free(struct grid *grid) {
    free(grid->array.data);
    free(grid->values);
}

static double naive(const struct grid *a, const struct grid *b, size_t i, size_t j, double *size) {
    double sum = 0;
    *size = 0;
    for (size_t l = 0; l < a->view.cols; l++) {
        double term = a->values[i * a->view.cols + l] * b->values[l * b->view.cols + j];
        sum += term;
        *size += fabs(term);
    }
    return sum;
}

/* Rows i0 to i1 of A times columns j0 to j1 of B, k in pieces. */
static void check_product(size_t m, size_t n, size_t k, unsigned orders, bool single) {
    struct grid a = grid_make(m, k, single, orders & 1), b = grid_make(k, n, single, orders & 2);
    size_t i0 = draw(m + 1), i1 = i0 + draw(m - i0 + 1), j0 = draw(n + 1),
           j1 = j0 + draw(n - j0 + 1), piece = 1 + draw(k + 2);
    if (orders & 8) {
        i0 = j0 = 0;
        i1 = m;
        j1 = n;
    }
    struct grid c = grid_make(i1 - i0, j1 - j0, single, orders & 4);
    struct matrix rows = matrix_block(&a.view, i0, i1, 0, k);
    struct matrix cols = matrix_block(&b.view, 0, k, j0, j1);
    for (size_t at = 0; at == 0 || at < k; at += piece) {
        size_t end = k - at < piece ? k : at + piece;
        struct matrix left = matrix_block(&rows, 0, rows.rows, at, end);
        struct matrix right = matrix_block(&cols, at, end, 0, cols.cols);
        blas_multiply(&left, &right, at > 0, &c.view);
    }
    double unit = single ? 0x1p-24 : 0x1p-53;
    for (size_t i = 0; i < c.view.rows; i++)
        for (size_t j = 0; j < c.view.cols; j++) {
            double size, wanted = naive(&a, &b, i0 + i, j0 + j, &size);
            double got = matrix_at(&c.view, i, j);
            if (!(fabs(got - wanted) <= 2 * (double)(k + 2) * unit * size))
                fail_msg("%zux%zux%zu orders %u: C[%zu, %zu] is %.17g, expected %.17g", m, n, k,
                         orders, i, j, got, wanted);
        }
    grid_free(&a);
    grid_free(&b);
    grid_free(&c);
}

static void products(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, 2, 3, 8, 31, 65};
    for (unsigned orders = 0; orders < 16; orders++)
        for (size_t i = 0; i < 40; i++) {
            blas_threads(1 + (unsigned)draw(3));
            check_product(sizes[draw(7)], sizes[draw(7)], sizes[draw(7)], orders, draw(2));
        }
    check_product(1, 300, 300, 8, false); /* 1 x n, n x 1, k = 1, and nothing at all */
    check_product(300, 1, 300, 8, true);
    check_product(300, 300, 1, 8, false);
    check_product(5, 7, 0, 8, false);
    blas_threads(1);
}

static void what_is_no_matrix(void **state) {
    (void)state;
    static const struct {
        struct kernel_array array;
        const char *part;
    } rows[] = {
        {{.dtype = KERNEL_I32, .dims = 2, .shape = {2, 2}}, "integers"},
        {{.dtype = KERNEL_I64, .dims = 2, .shape = {2, 2}}, "integers"},
        {{.dtype = KERNEL_F64, .dims = 1, .shape = {2}}, "reshape(-1, 1)"},
        {{.dtype = KERNEL_F64, .dims = 0}, "0 dimensions"},
        {{.dtype = KERNEL_F32, .dims = 3, .shape = {2, 2, 2}}, "3 dimensions"},
        {{.dtype = KERNEL_F32, .dims = 2, .shape = {1, MATRIX_MOST + 1}}, "columns; BLAS"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct matrix matrix;
        char why[200] = "";
        assert_false(matrix_view(&rows[i].array, &matrix, why, sizeof why));
        assert_non_null(strstr(why, rows[i].part));
    }
}

static void copies(void **state) {
    (void)state;
    for (unsigned orders = 0; orders < 8; orders++)
        for (size_t i = 0; i < 20; i++) {
            size_t rows = draw(9), cols = draw(9), top = draw(4), left = draw(4);
            bool single = orders & 4;
            struct grid from = grid_make(rows, cols, single, orders & 1);
            struct grid to = grid_make(rows + 5, cols + 5, single, orders & 2);
            struct matrix place = matrix_block(&to.view, top, top + rows, left, left + cols);
            matrix_copy(&place, &from.view);
            for (size_t r = 0; r < rows + 5; r++)
                for (size_t c = 0; c < cols + 5; c++) {
                    bool in = r >= top && r < top + rows && c >= left && c < left + cols;
                    double wanted = in ? from.values[(r - top) * cols + c - left]
                                       : to.values[r * (cols + 5) + c];
                    assert_true(matrix_at(&to.view, r, c) == wanted);
                }
            grid_free(&from);
            grid_free(&to);
        }
}

static void set(struct matrix *matrix, size_t row, size_t col, double value) {
    size_t at = row * matrix->row_step + col * matrix->col_step;
    if (matrix->single)
        ((float *)matrix->data)[at] = (float)value;
    else
        ((double *)matrix->data)[at] = value;
}

static void not_finite(void **state) {
    (void)state;
    static const double bad[] = {(double)INFINITY, -(double)INFINITY, (double)NAN};
    for (unsigned kind = 0; kind < 4; kind++)
        for (size_t i = 0; i < 60; i++) {
            size_t rows = 1 + draw(200), cols = 1 + draw(1500), row = 0, col = 0;
            struct grid grid = grid_make(rows, cols, kind & 1, kind & 2);
            set(&grid.view, draw(rows), draw(cols), kind & 1 ? 3e38 : 1.7e308);
            assert_false(matrix_find_nonfinite(&grid.view, 3, &row, &col));
            size_t at_row = draw(rows), at_col = draw(cols);
            set(&grid.view, at_row, at_col, bad[draw(3)]);
            assert_true(matrix_find_nonfinite(&grid.view, 1 + (unsigned)draw(4), &row, &col));
            assert_int_equal(row, at_row);
            assert_int_equal(col, at_col);
            struct matrix above = matrix_block(&grid.view, 0, at_row, 0, cols);
            assert_false(matrix_find_nonfinite(&above, 2, &row, &col));
            grid_free(&grid);
        }
}

static void ranges(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t begin, end;
        const char *part; /* NULL: good */
    } rows[] = {
        {"", 0, 10, NULL},
        {":", 0, 10, NULL},
        {"3:", 3, 10, NULL},
        {":4", 0, 4, NULL},
        {"3:4", 3, 4, NULL},
        {"10:10", 10, 10, NULL},
        {"0:0", 0, 0, NULL},
        {"4:3", 0, 0, "4:3, but there are 10"},
        {"0:11", 0, 0, "0:11, but there are 10"},
        {"3", 0, 0, "expected FROM:TO"},
        {"-1:3", 0, 0, "expected FROM:TO"},
        {"1:2:3", 0, 0, "expected FROM:TO"},
        {"1:x", 0, 0, "expected FROM:TO"},
        {"99999999999999999999:", 0, 0, "but there are 10"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        size_t begin, end;
        char why[200] = "";
        bool good = matrix_range(rows[i].text, 10, &begin, &end, why, sizeof why);
        if (good != !rows[i].part || (good && (begin != rows[i].begin || end != rows[i].end)) ||
            (!good && !strstr(why, rows[i].part)))
            fail_msg("\"%s\": %d %zu:%zu %s", rows[i].text, good, begin, end, why);
    }
}

/* --- memory of a block ------------------------------------------------------------------------ */

static void panels(void **state) {
    (void)state;
    struct matmul_job job = {.a = {4096, 100000, false, false},
                             .b = {100000, 2048, true, false},
                             .rows = 1000,
                             .cols = 500,
                             .threads = 1};
    uint64_t bytes, all = matmul_bytes(&job, 100000), base = matmul_bytes(&job, 0);
    /* A's rows and B's columns are whole lines; C. */
    assert_int_equal(all - base, (1000 + 500) * 100000 * 8);
    assert_int_equal(base - blas_memory_bytes(1) - (16u << 20), 1000 * 500 * 8);
    assert_int_equal(matmul_panel(&job, 0, &bytes), 100000);
    assert_int_equal(matmul_panel(&job, all, &bytes), 100000);
    assert_int_equal(bytes, all);
    size_t panel = matmul_panel(&job, all - 1, &bytes);
    assert_true(panel > 64 && panel < 100000 && bytes < all);
    assert_true(matmul_bytes(&job, panel + 1) > all - 1);
    assert_int_equal(matmul_panel(&job, base, &bytes), 0);
    assert_int_equal(bytes, matmul_bytes(&job, 64));
    for (uint64_t limit = base; limit < all; limit += (all - base) / 97) {
        panel = matmul_panel(&job, limit, &bytes);
        assert_true(panel ? matmul_bytes(&job, panel) <= limit && panel >= 64 : bytes > limit);
    }
    job.a.whole = true; /* an object: all of it, whatever is used */
    assert_int_equal(matmul_bytes(&job, 64) - base, 4096ull * 100000 * 8 + 500 * (64 * 8 + 131072));
    assert_true(matmul_is_file("a.npy") && matmul_is_file("/x/redis:y") && matmul_is_file("redis"));
    assert_false(matmul_is_file("redis:a") || matmul_is_file("http://h/a") ||
                 matmul_is_file("HTTPS://h/a"));
}

/* --- covering -------------------------------------------------------------------------------- */

static enum cover_fault naive_cover(const struct cover_part *parts, size_t count, size_t rows,
                                    size_t cols, size_t *row, size_t *col) {
    for (size_t i = 0; i < count; i++)
        if (parts[i].row + parts[i].rows > rows || parts[i].col + parts[i].cols > cols)
            return COVER_OUTSIDE;
    for (*row = 0; *row < rows; ++*row)
        for (*col = 0; *col < cols; ++*col) {
            size_t covered = 0;
            for (size_t i = 0; i < count; i++)
                covered += *row >= parts[i].row && *row < parts[i].row + parts[i].rows &&
                           *col >= parts[i].col && *col < parts[i].col + parts[i].cols;
            if (covered != 1)
                return covered ? COVER_TWICE : COVER_MISSING;
        }
    return COVER_EXACT;
}

/* Cuts a rectangle at random. */
static size_t cut(struct cover_part *parts, size_t count, struct cover_part all, unsigned depth) {
    if (depth == 0 || draw(4) == 0) {
        all.index = count;
        parts[count] = all;
        return count + 1;
    }
    struct cover_part rest = all;
    if (draw(2)) {
        all.rows = draw(all.rows + 1);
        rest.row += all.rows;
        rest.rows -= all.rows;
    } else {
        all.cols = draw(all.cols + 1);
        rest.col += all.cols;
        rest.cols -= all.cols;
    }
    return cut(parts, cut(parts, count, all, depth - 1), rest, depth - 1);
}

static void covers(void **state) {
    (void)state;
    size_t seen[4] = {0};
    for (size_t i = 0; i < 20000; i++) {
        struct cover_part parts[128];
        size_t rows = draw(12), cols = draw(12), row = 0, col = 0;
        size_t count = cut(parts, 0, (struct cover_part){0, 0, rows, cols, 0}, 5);
        for (size_t j = count; j > 1; j--) { /* shuffled, and often with a fault */
            size_t other = draw(j);
            struct cover_part part = parts[j - 1];
            parts[j - 1] = parts[other];
            parts[other] = part;
        }
        struct cover_part *victim = &parts[draw(count)];
        switch (draw(7)) {
        case 0:
            *victim = parts[--count];
            break;
        case 1:
            victim->col += draw(3);
            break;
        case 2:
            victim->row += draw(3);
            break;
        case 3:
            victim->rows += draw(3);
            break;
        case 4:
            parts[count++] = *victim;
            break;
        default:
            break;
        }
        enum cover_fault wanted = naive_cover(parts, count, rows, cols, &row, &col);
        struct cover_verdict got = cover_check(parts, count, rows, cols);
        seen[wanted]++;
        if (got.fault != wanted || ((wanted == COVER_TWICE || wanted == COVER_MISSING) &&
                                    (got.row != row || got.col != col)))
            fail_msg("%zux%zu, %zu parts: %d at %zu,%zu, expected %d at %zu,%zu", rows, cols, count,
                     got.fault, got.row, got.col, wanted, row, col);
    }
    for (size_t i = 0; i < 4; i++)
        if (seen[i] < 500)
            fail_msg("only %zu of kind %zu", seen[i], i);
    struct cover_part far[] = {{SIZE_MAX, 0, 2, 1, 0}};
    assert_int_equal(cover_check(far, 1, 3, 1).fault, COVER_OUTSIDE);
}

/* --- pages ----------------------------------------------------------------------------------- */

static void pages_of_all_sizes(void **state) {
    (void)state;
    static const size_t sizes[] = {0, 1, (2u << 20) - 1, 2u << 20, 5u << 20};
    for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        char *memory = pages_new(sizes[i]);
        assert_non_null(memory);
        memset(memory, 1, sizes[i]);
        free(memory);
    }
    assert_null(pages_new(SIZE_MAX));
    char *large = malloc(5u << 20);
    memset(large, 1, 100);
    pages_ready(large, 5u << 20, 2); /* and one byte, and none */
    pages_ready(large, 1, 2);
    pages_ready(large, 0, 2);
    free(large);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_index_once),
        cmocka_unit_test(products),
        cmocka_unit_test(what_is_no_matrix),
        cmocka_unit_test(copies),
        cmocka_unit_test(not_finite),
        cmocka_unit_test(ranges),
        cmocka_unit_test(panels),
        cmocka_unit_test(covers),
        cmocka_unit_test(pages_of_all_sizes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
