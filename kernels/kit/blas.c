#include "kernels/kit/blas.h"

#include <cblas.h>
#include <limits.h>
#include <string.h>

unsigned blas_threads(unsigned threads) {
    int wanted = threads < 1 ? 1 : threads > INT_MAX ? INT_MAX : (int)threads;
    if (openblas_get_num_threads() != wanted)
        openblas_set_num_threads(wanted);
    int got = openblas_get_num_threads();
    return got < 1 ? 1 : (unsigned)got;
}

/* --- multiplying ---------------------------------------------------------------------------- */

/* How BLAS is told of a matrix when its answer is in row-major order, or (flip) in column-major. */
static CBLAS_TRANSPOSE transpose_of(const struct matrix *matrix, bool by_columns) {
    bool rows_run = matrix->col_step == 1;
    return rows_run != by_columns ? CblasNoTrans : CblasTrans;
}

/* Elements from a line to the next. With one line, or none in a line, any legal number will do. */
static blasint line_step(const struct matrix *matrix) {
    bool rows_run = matrix->col_step == 1;
    size_t step = rows_run ? matrix->row_step : matrix->col_step;
    size_t len = rows_run ? matrix->cols : matrix->rows;
    return (blasint)(step > len ? step : len ? len : 1);
}

static void set_zero(const struct matrix *matrix) {
    bool rows_run = matrix->col_step == 1;
    size_t lines = rows_run ? matrix->rows : matrix->cols;
    size_t len = rows_run ? matrix->cols : matrix->rows;
    size_t step = rows_run ? matrix->row_step : matrix->col_step;
    size_t size = matrix->single ? sizeof(float) : sizeof(double);
    for (size_t i = 0; i < lines; i++)
        memset((char *)matrix->data + i * step * size, 0, len * size);
}

void blas_multiply(const struct matrix *a, const struct matrix *b, bool add,
                   const struct matrix *c) {
    if (!c->rows || !c->cols)
        return;
    if (!a->cols) {
        if (!add)
            set_zero(c);
        return;
    }
    bool by_columns = c->col_step != 1;
    CBLAS_ORDER order = by_columns ? CblasColMajor : CblasRowMajor;
    CBLAS_TRANSPOSE ta = transpose_of(a, by_columns), tb = transpose_of(b, by_columns);
    blasint m = (blasint)c->rows, n = (blasint)c->cols, k = (blasint)a->cols;
    if (c->single)
        cblas_sgemm(order, ta, tb, m, n, k, 1, a->data, line_step(a), b->data, line_step(b),
                    add ? 1 : 0, c->data, line_step(c));
    else
        cblas_dgemm(order, ta, tb, m, n, k, 1, a->data, line_step(a), b->data, line_step(b),
                    add ? 1 : 0, c->data, line_step(c));
}
