/* The gradient of some rows at given weights. */
#include "kernels/kernel.h"

#include "kernels/kit/blas.h"
#include "kernels/kit/mlpfull.h"
#include "kernels/kit/mlprun.h"
#include "kernels/kit/mlpsgd.h"

enum { P_DATA, P_LABELS, P_WEIGHTS, P_FROM, P_TO, P_OUT };
static const struct kernel_param params[] = {
    {"data", KERNEL_INPUT, .help = "rows with labels: letters, or idx images"},
    {"labels", KERNEL_INPUT, .fallback = "", .help = "the labels of idx images"},
    {"weights", KERNEL_INPUT, .help = "the network"},
    {"from", KERNEL_INT, .fallback = "0", .min = 0, .max = 1e15, .help = "the first row"},
    {"to", KERNEL_INT, .fallback = "", .min = 0, .max = 1e15,
     .help = "the row behind the last; else all"},
    {"out", KERNEL_OUTPUT, .help = "the rows' summed gradient, loss and number"},
    {0}};

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    struct kernel_array weights;
    if (!kernel_stat(r, kernel_text(r, P_WEIGHTS), &weights))
        return false;
    e->memory_bytes = dataset_file_bytes(kernel_text(r, P_DATA)) +
                      4 * kernel_elements(&weights) * kernel_dtype_bytes(weights.dtype);
    if (weights.dtype == KERNEL_F32)
        e->memory_bytes += blas_memory_bytes(kernel_threads(r));
    return true;
}

static int by_full(struct kernel_run *r, const struct mlp *weights, const struct dataset *rows,
                   struct mlp *out) {
    void *memory = kernel_scratch(r, mlpfull_bytes(weights->shape));
    if (memory == NULL)
        return 1;
    struct mlpfull *m = mlpfull_new(memory, weights->shape);
    double *numbers = out->numbers;
    mlpfull_set(m, weights->numbers);
    numbers[mlp_weights(weights->shape)] = mlpfull_gradient(m, rows);
    mlpfull_get_gradient(m, numbers);
    return 0;
}

static int by_batches(struct kernel_run *r, const struct mlp *weights, const struct dataset *rows,
                      struct mlp *out) {
    void *memory = kernel_scratch(r, mlpsgd_bytes(weights->shape, MLPRUN_ROWS));
    if (memory == NULL)
        return 1;
    blas_threads(kernel_threads(r));
    struct mlpsgd *m = mlpsgd_new(memory, weights->shape, MLPRUN_ROWS);
    float *numbers = out->numbers;
    double loss = 0;
    for (size_t from = 0; from < rows->rows; from += MLPRUN_ROWS) {
        size_t count = rows->rows - from < MLPRUN_ROWS ? rows->rows - from : MLPRUN_ROWS;
        struct mlpsgd_rows some = {.data = rows, .from = from, .count = count};
        loss += mlpsgd_gradient(m, some, weights->numbers, numbers);
        if (kernel_cancelled(r))
            return kernel_fail(r, "stopped at row %zu of %zu", from, rows->rows);
        kernel_progress(r, (double)(from + count) / (double)rows->rows);
    }
    numbers[mlp_weights(weights->shape)] = (float)loss;
    return 0;
}

/* Rows from ... to - 1 of all. */
static int cut(struct kernel_run *r, const struct dataset *all, struct dataset *rows) {
    size_t from = (size_t)kernel_int(r, P_FROM);
    size_t to = (size_t)mlprun_int(r, P_TO, (int64_t)all->rows);
    if (from > to || to > all->rows)
        return kernel_refuse(r, "rows %zu to %zu of %s, which has %zu", from, to,
                             kernel_text(r, P_DATA), all->rows);
    *rows = *all;
    rows->rows = to - from;
    if (rows->rows > 0) {
        rows->values = dataset_row(all, from);
        rows->labels = all->labels + from * all->label_stride;
    }
    return 0;
}

static int run(struct kernel_run *r) {
    const char *name = kernel_text(r, P_DATA);
    struct mlp weights = {0}, out = {0};
    struct dataset rows = {0};
    const struct dataset *all = NULL;
    int code = mlprun_network(r, kernel_text(r, P_WEIGHTS), &weights);
    if (code == 0)
        code = mlprun_data(r, name, mlprun_name(r, P_LABELS), 0, &all);
    if (code == 0)
        code = mlprun_fits(r, name, weights.shape, all);
    if (code == 0)
        code = cut(r, all, &rows);
    if (code == 0)
        code =
            mlprun_make(r, kernel_text(r, P_OUT), MLP_GRADIENT, weights.dtype, weights.shape, &out);
    if (code != 0)
        return code;
    size_t count = mlp_weights(weights.shape);
    double loss;
    if (weights.dtype == KERNEL_F64) {
        code = by_full(r, &weights, &rows, &out);
        loss = ((double *)out.numbers)[count];
        ((double *)out.numbers)[count + 1] = (double)rows.rows;
    } else {
        code = by_batches(r, &weights, &rows, &out);
        loss = (double)((float *)out.numbers)[count];
        ((float *)out.numbers)[count + 1] = (float)rows.rows;
    }
    if (code == 0) {
        kernel_result(r, "rows", "%zu", rows.rows);
        kernel_result(r, "loss", "%.6g", rows.rows > 0 ? loss / (double)rows.rows : 0);
    }
    return code;
}

KERNEL_EXPORT(.name = "mlp_gradient", .summary = "the gradient of some rows at given weights",
              .params = params, .estimate = estimate, .run = run)
