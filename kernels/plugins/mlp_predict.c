/* What a network makes of each row. */
#include "kernels/kernel.h"

#include <string.h>

#include "kernels/kit/blas.h"
#include "kernels/kit/mlprun.h"

enum { P_DATA, P_WEIGHTS, P_OUT, P_PROBABILITIES };
static const struct kernel_param params[] = {
    {"data", KERNEL_INPUT, .help = "rows: letters, with or without labels, or idx images"},
    {"weights", KERNEL_INPUT, .help = "the network"},
    {"out", KERNEL_OUTPUT, .help = "the class of each row, i32"},
    {"probabilities", KERNEL_OUTPUT, .fallback = "", .help = "of every class, rows x classes, f64"},
    {0}};

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    struct kernel_array weights;
    if (!kernel_stat(r, kernel_text(r, P_WEIGHTS), &weights))
        return false;
    /* A row of letters is two bytes a value and more; its answers are four, and eight a class. */
    uint64_t data = dataset_file_bytes(kernel_text(r, P_DATA));
    e->memory_bytes = data + data * (kernel_given(r, P_PROBABILITIES) ? 8 : 2) +
                      2 * kernel_elements(&weights) * kernel_dtype_bytes(weights.dtype);
    if (weights.dtype == KERNEL_F32)
        e->memory_bytes += blas_memory_bytes(kernel_threads(r));
    return true;
}

static int run(struct kernel_run *r) {
    const char *name = kernel_text(r, P_DATA);
    struct mlp weights;
    int code = mlprun_network(r, kernel_text(r, P_WEIGHTS), &weights);
    if (code != 0)
        return code;
    const struct dataset *data;
    code = mlprun_data(r, name, NULL, weights.shape.inputs, &data);
    if (code == 0)
        code = mlprun_fits(r, name, weights.shape, data);
    if (code != 0)
        return code;
    size_t classes = weights.shape.classes;
    struct kernel_array best = {.dtype = KERNEL_I32, .dims = 1, .shape = {data->rows}};
    struct kernel_array all = {.dtype = KERNEL_F64, .dims = 2, .shape = {data->rows, classes}};
    if (!kernel_write(r, kernel_text(r, P_OUT), &best) ||
        (kernel_given(r, P_PROBABILITIES) &&
         !kernel_write(r, kernel_text(r, P_PROBABILITIES), &all)))
        return 1;
    blas_threads(kernel_threads(r));
    struct mlprun_forward *work = mlprun_forward_new(r, &weights);
    if (work == NULL)
        return 1;
    for (size_t from = 0; from < data->rows; from += MLPRUN_ROWS) {
        size_t count = data->rows - from < MLPRUN_ROWS ? data->rows - from : MLPRUN_ROWS;
        const double *y = mlprun_forward(work, data, from, count);
        if (all.data != NULL)
            memcpy((double *)all.data + from * classes, y, count * classes * sizeof *y);
        for (size_t i = 0; i < count; i++)
            ((int32_t *)best.data)[from + i] = (int32_t)mlprun_best(y + i * classes, classes);
        if (kernel_cancelled(r))
            return kernel_fail(r, "stopped at row %zu of %zu", from, data->rows);
        kernel_progress(r, (double)(from + count) / (double)data->rows);
    }
    kernel_result(r, "rows", "%zu", data->rows);
    return 0;
}

KERNEL_EXPORT(.name = "mlp_predict", .summary = "what a network makes of each row",
              .params = params, .estimate = estimate, .run = run)
