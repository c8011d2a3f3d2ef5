/* What gemm, matmul and assemble are made of, against naive loops in float64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/kit/blas.h"
#include "kernels/kit/cover.h"
#include "kernels/kit/matmul.h"
#include "kernels/kit/matrix.h"
#include "kernels/kit/pages.h"
#include "kernels/kit/parallel.h"
#include "kernels/kit/randmat.h"

static uint64_t seed = 20261121;
static uint64_t draw(uint64_t below) {
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (seed >> 33) % below;
}

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

/* --- random matrices and their check --------------------------------------------------------- */

static struct randmat product_make(size_t m, size_t n, size_t k, bool single) {
    size_t size = single ? sizeof(float) : sizeof(double);
    struct randmat p = {.m = m, .n = n, .k = k, .seed = draw(1000), .single = single};
    p.bits = randmat_bits(single ? RANDMAT_F32 : RANDMAT_F64, k);
    p.a = malloc(m * k * size + 1);
    p.b = malloc(k * n * size + 1);
    p.c = malloc(m * n * size + 1);
    return p;
}

static void product_multiply(struct randmat *p) {
    struct matrix a = {p->single, p->m, p->k, p->k, 1, p->a};
    struct matrix b = {p->single, p->k, p->n, p->n, 1, p->b};
    struct matrix c = {p->single, p->m, p->n, p->n, 1, p->c};
    blas_multiply(&a, &b, false, &c);
}

static void product_free(struct randmat *p) {
    free(p->a);
    free(p->b);
    free(p->c);
}

static struct randmat_verdict product_check(const struct randmat *p, unsigned threads) {
    uint64_t *work = malloc((p->n + p->k) * sizeof *work + 1);
    struct randmat_verdict verdict = randmat_check(p, threads, work);
    free(work);
    return verdict;
}

static void filling_depends_on_the_seed_alone(void **state) {
    (void)state;
    struct randmat one = product_make(130, 270, 190, false), more = one, other = one;
    size_t a_bytes = 130 * 190 * sizeof(double), b_bytes = 190 * 270 * sizeof(double);
    more.a = malloc(a_bytes);
    more.b = malloc(b_bytes);
    other.a = malloc(a_bytes);
    other.b = malloc(b_bytes);
    other.seed++;
    randmat_fill(&one, 1);
    randmat_fill(&more, 5);
    randmat_fill(&other, 1);
    assert_memory_equal(one.a, more.a, a_bytes);
    assert_memory_equal(one.b, more.b, b_bytes);
    assert_memory_not_equal(one.a, other.a, a_bytes);
    assert_memory_not_equal(one.a, one.b, a_bytes);
    double values[100], sum = 0, squares = 0;
    randmat_values(&one, RANDMAT_B, 77, 100, values);
    assert_memory_equal(values, (double *)one.b + 77, sizeof values);
    size_t count = a_bytes / sizeof(double);
    for (size_t i = 0; i < count; i++) {
        double value = ((double *)one.a)[i];
        assert_true(value >= -1 && value < 1);
        sum += value;
        squares += value * value;
    }
    assert_true(fabs(sum / (double)count) < 0.02); /* uniform: 0 and 1/3 */
    assert_true(fabs(squares / (double)count - 1 / 3.0) < 0.02);
    product_free(&one);
    free(more.a);
    free(more.b);
    free(other.a);
    free(other.b);
}

/* Whatever the type, the largest sum is an integer that it holds. */
static void sums_are_exact(void **state) {
    (void)state;
    static const unsigned sums[RANDMAT_TYPE_COUNT] = {24, 22, 51, 22, 22};
    static const unsigned significands[RANDMAT_TYPE_COUNT] = {24, 11, 53, 11, 8};
    for (unsigned type = 0; type < RANDMAT_TYPE_COUNT; type++)
        for (unsigned log = 0; log < 26; log++) {
            size_t k = ((size_t)1 << log) + (log > 1 ? 1 : 0);
            unsigned bits = randmat_bits((enum randmat_type)type, k);
            if (!bits)
                continue;
            assert_true((double)k * ldexp(1, 2 * (int)bits - 2) <= ldexp(1, (int)sums[type]));
            assert_true(bits <= significands[type]);
        }
    assert_int_equal(randmat_bits(RANDMAT_F64, 4096), 20);
    assert_int_equal(randmat_bits(RANDMAT_F32, 4096), 7);
    assert_int_equal(randmat_bits(RANDMAT_BF16, 16384), 5);
    assert_int_equal(randmat_bits(RANDMAT_F32, (1 << 24) + 1), 0);
}

static void right_products_pass(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},    {1, 90, 33},   {90, 1, 33},    {33, 90, 1},
                                       {64, 64, 64}, {100, 70, 31}, {129, 257, 300}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned single = 0; single < 2; single++) {
            struct randmat p = product_make(shapes[i][0], shapes[i][1], shapes[i][2], single);
            randmat_fill(&p, 2);
            uint64_t fingerprints[3];
            for (unsigned threads = 1; threads <= 3; threads++) {
                blas_threads(threads);
                product_multiply(&p);
                struct randmat_verdict verdict = product_check(&p, threads);
                assert_true(verdict.right);
                fingerprints[threads - 1] = verdict.fingerprint;
            }
            assert_true(fingerprints[0] == fingerprints[1] && fingerprints[1] == fingerprints[2]);
            /* The exact sums, by a loop in float64. */
            double size = p.single ? 4 : 8, wanted = 0;
            for (size_t l = 0; l < p.k; l++)
                wanted += p.single ? (double)((float *)p.a)[l] * (double)((float *)p.b)[l * p.n]
                                   : ((double *)p.a)[l] * ((double *)p.b)[l * p.n];
            assert_true((size == 4 ? (double)*(float *)p.c : *(double *)p.c) == wanted);
            product_free(&p);
        }
    blas_threads(1);
}

/* Any change of one element, as small as it can be, in any row and column. */
static void one_wrong_element_is_found(void **state) {
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct randmat p = product_make(1 + draw(60), 1 + draw(60), 1 + draw(60), i & 1);
        randmat_fill(&p, 1);
        product_multiply(&p);
        size_t row = draw(p.m), col = draw(p.n), at = row * p.n + col;
        double old = p.single ? (double)((float *)p.c)[at] : ((double *)p.c)[at], wrong = old;
        switch (draw(6)) {
        case 0: /* the next number */
            wrong = p.single ? (double)nextafterf((float)old, 1e9f) : nextafter(old, 1e9);
            break;
        case 1: /* the least that another product could be */
            wrong = old + ldexp(1, -2 * ((int)p.bits - 1));
            break;
        case 2:
            wrong = (double)NAN;
            break;
        case 3:
            wrong = (double)INFINITY;
            break;
        case 4:
            wrong = -old + (old == 0);
            break;
        default:
            wrong = 1e30;
        }
        if (p.single)
            ((float *)p.c)[at] = (float)wrong;
        else
            ((double *)p.c)[at] = wrong;
        struct randmat_verdict verdict = product_check(&p, 1 + i % 3);
        if (verdict.right || verdict.row != row)
            fail_msg("%zux%zux%zu: C[%zu, %zu] is %g and not %g: right %d, row %zu", p.m, p.n, p.k,
                     row, col, wrong, old, verdict.right, verdict.row);
        product_free(&p);
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

/* KiB of the mapping at that address that this process has. */
static long resident_kib(const void *data) {
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[512], head[64];
    long kib = -1;
    bool in = false;
    assert_non_null(maps);
    snprintf(head, sizeof head, "%lx-", (unsigned long)(uintptr_t)data);
    while (kib < 0 && fgets(line, sizeof line, maps)) {
        in = in || strncmp(line, head, strlen(head)) == 0;
        if (in)
            sscanf(line, "Rss: %ld", &kib);
    }
    fclose(maps);
    return kib;
}

static void pages_go_where_it_is_safe(void **state) {
    (void)state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE), bytes = 16 * page;
    char *own = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char *shared = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    assert_true(own != MAP_FAILED && shared != MAP_FAILED);
    memset(own, 7, bytes);
    memset(shared, 7, bytes);
    assert_false(pages_are_shared(own) || pages_are_shared(NULL));
    assert_true(pages_are_shared(shared + 5));
    pages_drop(own, bytes);
    pages_drop(shared + 1, bytes - 1);
    for (size_t i = 0; i < bytes; i++)
        assert_true(own[i] == 7 && shared[i] == 7);
    munmap(own, bytes);
    munmap(shared, bytes);
    char path[] = "/tmp/kernel_linalg_test.XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && unlink(path) == 0 && ftruncate(fd, (off_t)bytes) == 0);
    char *file = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    memset(file, 9, bytes);
    assert_int_equal(resident_kib(file), bytes / 1024);
    pages_drop(file + 1, bytes - 1);
    assert_int_equal(resident_kib(file), page / 1024);
    for (size_t i = 0; i < bytes; i++)
        assert_int_equal(file[i], 9);
    munmap(file, bytes);
    close(fd);
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
        cmocka_unit_test(filling_depends_on_the_seed_alone),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(right_products_pass),
        cmocka_unit_test(one_wrong_element_is_found),
        cmocka_unit_test(panels),
        cmocka_unit_test(covers),
        cmocka_unit_test(pages_go_where_it_is_safe),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
