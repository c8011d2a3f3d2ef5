/* How many rows a network gets wrong. */
#include "kernels/kernel.h"

#include <math.h>

#include "kernels/kit/blas.h"
#include "kernels/kit/mlprun.h"

enum { P_DATA, P_LABELS, P_WEIGHTS };
static const struct kernel_param params[] = {
    {"data", KERNEL_INPUT, .help = "rows with labels: letters, or idx images"},
    {"labels", KERNEL_INPUT, .fallback = "", .help = "the labels of idx images"},
    {"weights", KERNEL_INPUT, .help = "the network"},
    {0}};

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    struct kernel_array weights;
    if (!kernel_stat(r, kernel_text(r, P_WEIGHTS), &weights))
        return false;
    size_t numbers = kernel_elements(&weights);
    e->memory_bytes = dataset_file_bytes(kernel_text(r, P_DATA)) +
                      2 * numbers * kernel_dtype_bytes(weights.dtype);
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
    code = mlprun_data(r, name, mlprun_name(r, P_LABELS), 0, &data);
    if (code != 0)
        return code;
    if (data->rows == 0)
        return kernel_refuse(r, "%s has no rows, so there is no error to tell", name);
    code = mlprun_fits(r, name, weights.shape, data);
    if (code != 0)
        return code;
    blas_threads(kernel_threads(r));
    struct mlprun_forward *work = mlprun_forward_new(r, &weights);
    if (work == NULL)
        return 1;
    size_t wrong = 0, classes = weights.shape.classes;
    double loss = 0;
    for (size_t from = 0; from < data->rows; from += MLPRUN_ROWS) {
        size_t count = data->rows - from < MLPRUN_ROWS ? data->rows - from : MLPRUN_ROWS;
        const double *y = mlprun_forward(work, data, from, count);
        for (size_t i = 0; i < count; i++, y += classes) {
            unsigned label = dataset_label(data, from + i);
            wrong += mlprun_best(y, classes) != label;
            loss -= log(y[label] + 1e-6);
        }
        if (kernel_cancelled(r))
            return kernel_fail(r, "stopped at row %zu of %zu", from, data->rows);
        kernel_progress(r, (double)(from + count) / (double)data->rows);
    }
    kernel_result(r, "error", "%.6g", (double)wrong / (double)data->rows);
    kernel_result(r, "wrong", "%zu", wrong);
    kernel_result(r, "rows", "%zu", data->rows);
    kernel_result(r, "loss", "%.6g", loss / (double)data->rows);
    return 0;
}

KERNEL_EXPORT(.name = "mlp_validate", .summary = "how many rows a network gets wrong",
              .params = params, .estimate = estimate, .run = run)
