/* A block of C = A B: rows of A times columns of B. */
#include "kernels/kit/matmul.h"

#include "kernels/kernel.h"
#include "kernels/kit/blas.h"
#include "kernels/kit/matrix.h"
#include "kernels/kit/store.h"

enum { P_A, P_B, P_C, P_ROWS, P_COLS, P_CHECK, P_ORDER };
static const struct kernel_param params[] = {
    {"a", KERNEL_INPUT, .help = "the left matrix, f32 or f64"},
    {"b", KERNEL_INPUT, .help = "the right one, of the same type"},
    {"c", KERNEL_OUTPUT, .help = "the block of the product"},
    {"rows", KERNEL_TEXT, .fallback = "",
     .help = "of A, FROM:TO from 0, TO not included; else all"},
    {"cols", KERNEL_TEXT, .fallback = "", .help = "of B, in the same way"},
    {"check", KERNEL_FLAG, .fallback = "yes", .help = "refuse NaN and infinity in A and B"},
    {"order", KERNEL_CHOICE, .fallback = "c", .choices = "c|fortran",
     .help = "of the block in memory"},
    {0}};

#define PIECE_FLOPS 1e11 /* a few seconds of a core: between them it looks whether it is to end */

struct block {
    struct kernel_array array[2];
    struct matrix a, b; /* the rows and the columns */
    size_t i0, j0;
    struct matmul_job job;
};

static bool cut(struct kernel_run *r, size_t index, const char *what, size_t count, size_t *from,
                size_t *to) {
    char why[200];
    if (matrix_range(kernel_text(r, index), count, from, to, why, sizeof why))
        return true;
    kernel_refuse(r, "%s: %s", what, why);
    return false;
}

/* From the arrays' shapes; their data may be NULL. */
static bool describe(struct kernel_run *r, struct block *block) {
    struct matrix whole[2];
    char why[200];
    for (size_t i = 0; i < 2; i++) {
        if (!matrix_view(&block->array[i], &whole[i], why, sizeof why)) {
            kernel_refuse(r, "%s %s", kernel_text(r, i), why);
            return false;
        }
    }
    const struct matrix *a = &whole[P_A], *b = &whole[P_B];
    if (a->single != b->single) {
        kernel_refuse(r, "a=%s is %s and b=%s is %s; both must be of one type", kernel_text(r, P_A),
                      a->single ? "f32" : "f64", kernel_text(r, P_B), b->single ? "f32" : "f64");
        return false;
    }
    if (a->cols != b->rows) {
        kernel_refuse(r, "a=%s has %zu columns and b=%s has %zu rows; they must be as many",
                      kernel_text(r, P_A), a->cols, kernel_text(r, P_B), b->rows);
        return false;
    }
    size_t i1, j1;
    if (!cut(r, P_ROWS, "rows", a->rows, &block->i0, &i1) ||
        !cut(r, P_COLS, "cols", b->cols, &block->j0, &j1))
        return false;
    block->a = matrix_block(a, block->i0, i1, 0, a->cols);
    block->b = matrix_block(b, 0, b->rows, block->j0, j1);
    block->job = (struct matmul_job){
        .a = {a->rows, a->cols, block->array[P_A].fortran, !matmul_is_file(kernel_text(r, P_A))},
        .b = {b->rows, b->cols, block->array[P_B].fortran, !matmul_is_file(kernel_text(r, P_B))},
        .rows = block->a.rows,
        .cols = block->b.cols,
        .single = a->single,
        .threads = kernel_threads(r)};
    return true;
}

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    struct block block;
    if (!kernel_stat(r, kernel_text(r, P_A), &block.array[P_A]) ||
        !kernel_stat(r, kernel_text(r, P_B), &block.array[P_B]) || !describe(r, &block))
        return false;
    matmul_panel(&block.job, kernel_memory(r), &e->memory_bytes);
    e->flops = 2.0 * (double)block.a.rows * (double)block.b.cols * (double)block.a.cols;
    return true;
}

/* Whether columns l0 to l1 - 1 of A and those rows of B are numbers. */
static bool check(struct kernel_run *r, const struct block *block, size_t l0, size_t l1) {
    struct matrix a = matrix_block(&block->a, 0, block->a.rows, l0, l1);
    struct matrix b = matrix_block(&block->b, l0, l1, 0, block->b.cols);
    size_t row, col;
    bool in_a = matrix_find_nonfinite(&a, kernel_threads(r), &row, &col);
    if (!in_a && !matrix_find_nonfinite(&b, kernel_threads(r), &row, &col))
        return true;
    double value = matrix_at(in_a ? &a : &b, row, col);
    row += in_a ? block->i0 : l0;
    col += in_a ? l0 : block->j0;
    kernel_refuse(r, "%s has %g in row %zu, column %zu; check=no multiplies all the same",
                  kernel_text(r, in_a ? P_A : P_B), value, row, col);
    return false;
}

/* Columns of A at a time, so that it can be stopped. */
static size_t piece_of(const struct block *block, size_t panel) {
    double line = 2.0 * (double)block->a.rows * (double)block->b.cols;
    size_t piece = line * (double)panel <= PIECE_FLOPS ? panel : (size_t)(PIECE_FLOPS / line);
    return piece < 256 ? (panel < 256 ? panel : 256) : piece;
}

static int multiply(struct kernel_run *r, const struct block *block, const struct matrix *c,
                    size_t panel) {
    size_t k = block->a.cols, piece = piece_of(block, panel), given_back = 0;
    bool checked = panel < k && kernel_flag(r, P_CHECK);
    for (size_t at = 0; at < k; at += piece) {
        size_t end = k - at < piece ? k : at + piece;
        if (kernel_cancelled(r))
            return kernel_fail(r, "stopped at %zu of %zu columns of A", at, k);
        if (checked && !check(r, block, at, end))
            return 2;
        struct matrix a = matrix_block(&block->a, 0, block->a.rows, at, end);
        struct matrix b = matrix_block(&block->b, at, end, 0, block->b.cols);
        blas_multiply(&a, &b, at > 0, c);
        if (panel < k && end + piece - given_back > panel) {
            kernel_release(r, block->a.data, matrix_span(&block->a));
            kernel_release(r, block->b.data, matrix_span(&block->b));
            given_back = end;
        }
        kernel_progress(r, (double)end / (double)k);
    }
    return 0;
}

/*
 * Into c. The sums of a file on a disk are made in memory of their own and written when they are
 * done: its pages would cost more to fill one by one, and the system would write them to the disk
 * half done.
 */
static int multiply_into(struct kernel_run *r, const struct block *block, const struct matrix *c,
                         size_t panel) {
    if (!kernel_store_pays(r, c->data) || block->a.cols == 0)
        return multiply(r, block, c, panel);
    struct matrix sums = *c;
    sums.data = kernel_scratch(r, matrix_span(c));
    if (sums.data == NULL)
        return 1;
    int code = multiply(r, block, &sums, panel);
    if (code == 0 && !store_bytes(r, c->data, sums.data, matrix_span(c)))
        return 1;
    return code;
}

static int run(struct kernel_run *r) {
    struct block block;
    if (!kernel_read(r, kernel_text(r, P_A), &block.array[P_A]) ||
        !kernel_read(r, kernel_text(r, P_B), &block.array[P_B]))
        return 1;
    if (!describe(r, &block))
        return 2;
    uint64_t bytes;
    size_t k = block.a.cols, panel = matmul_panel(&block.job, kernel_memory(r), &bytes);
    if (!panel)
        return kernel_refuse(r,
                             "a block of %zux%zu needs %.0f MiB at least, and min_dram gives it "
                             "%.0f MiB; make the block smaller or min_dram larger",
                             block.a.rows, block.b.cols, (double)bytes / 0x1p20,
                             (double)kernel_memory(r) / 0x1p20);
    if (panel >= k && kernel_flag(r, P_CHECK) && !check(r, &block, 0, k))
        return 2;
    struct kernel_array out = {.dtype = block.array[P_A].dtype,
                               .dims = 2,
                               .shape = {block.a.rows, block.b.cols},
                               .fortran = kernel_choice(r, P_ORDER) == 1};
    struct matrix c;
    char why[200];
    if (!kernel_write(r, kernel_text(r, P_C), &out))
        return 1;
    if (!matrix_view(&out, &c, why, sizeof why))
        return kernel_refuse(r, "%s %s", kernel_text(r, P_C), why);
    unsigned threads = blas_threads(kernel_threads(r));
    int code = multiply_into(r, &block, &c, panel);
    if (code == 0) {
        kernel_result(r, "rows", "%zu", c.rows);
        kernel_result(r, "cols", "%zu", c.cols);
        kernel_result(r, "k", "%zu", k);
        kernel_result(r, "panel", "%zu", panel);
        kernel_result(r, "threads", "%u", threads);
    }
    return code;
}

KERNEL_EXPORT(.name = "matmul", .summary = "a block of C from rows of A and columns of B",
              .params = params, .estimate = estimate, .run = run)
