/* Trains a network on some rows. */
#include "kernels/kernel.h"

#include <math.h>
#include <string.h>

#include "kernels/kit/blas.h"
#include "kernels/kit/mlpfull.h"
#include "kernels/kit/mlprun.h"
#include "kernels/kit/mlpsgd.h"
#include "kernels/kit/shuffle.h"

enum {
    P_DATA,
    P_LABELS,
    P_METHOD,
    P_WEIGHTS,
    P_OUT,
    P_EPOCHS,
    P_RATE,
    P_SEED,
    P_HIDDEN,
    P_CLASSES,
    P_STOP,
    P_BATCH,
    P_MOMENTUM,
    P_EPOCH,
    P_SLICE,
    P_SLICES
};
enum { FULL, SGD };
static const struct kernel_param params[] = {
    {"data", KERNEL_INPUT, .help = "rows with labels: letters, or idx images"},
    {"labels", KERNEL_INPUT, .fallback = "", .help = "the labels of idx images"},
    {"method", KERNEL_CHOICE, .fallback = "full", .choices = "full|sgd",
     .help = "full: float64, all rows at once, gradients summed; sgd: float32, small batches"},
    {"weights", KERNEL_INPUTS, .fallback = "",
     .help = "where to start: a network, or the mean of several; else at random"},
    {"out", KERNEL_OUTPUT, .help = "the trained network"},
    {"epochs", KERNEL_INT, .fallback = "1", .min = 0, .max = 1e9,
     .help = "times over the rows; 0 writes what it starts from"},
    {"rate", KERNEL_REAL, .fallback = "0.0001", .min = 0, .max = 1e9, .help = "learning rate"},
    {"seed", KERNEL_INT, .fallback = "0", .min = 0, .max = 4294967295.0,
     .help = "of random weights and orders"},
    {"hidden", KERNEL_INT, .fallback = "", .min = 0, .max = MLP_SIZE_MAX, .unit = "units",
     .help = "of a new network"},
    {"classes", KERNEL_INT, .fallback = "", .min = 1, .max = DATASET_LABELS,
     .help = "of a new network; else as many as the labels need"},
    {"stop", KERNEL_REAL, .fallback = "", .min = 0, .max = 1e300,
     .help = "full: stop when an epoch changes the summed loss by at most this"},
    {"batch", KERNEL_INT, .fallback = "", .min = 1, .max = 1e6, .unit = "rows",
     .help = "sgd: of a step, 128 if not given"},
    {"momentum", KERNEL_REAL, .fallback = "", .min = 0, .max = 1, .help = "sgd: 0 if not given"},
    {"epoch", KERNEL_INT, .fallback = "", .min = 0, .max = 1e9,
     .help = "sgd: the number of its first epoch, which gives the order of the rows"},
    {"slice", KERNEL_INT, .fallback = "", .min = 0, .max = 1e9,
     .help = "sgd: which slice of that order it takes, from 0"},
    {"slices", KERNEL_INT, .fallback = "", .min = 1, .max = 1e9, .help = "sgd: of how many"},
    {0}};

#define BATCH 128
#define LOOK  16 /* batches between two looks at whether it is to end */

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    struct kernel_array weights;
    e->memory_bytes = dataset_file_bytes(kernel_text(r, P_DATA));
    if (kernel_given(r, P_WEIGHTS)) {
        if (!kernel_stat(r, kernel_item(r, P_WEIGHTS, 0), &weights))
            return false;
        e->memory_bytes += (4 + kernel_count(r, P_WEIGHTS)) * kernel_elements(&weights) *
                           kernel_dtype_bytes(weights.dtype);
    }
    if (kernel_choice(r, P_METHOD) == SGD)
        e->memory_bytes += blas_memory_bytes(kernel_threads(r));
    return true;
}

/* --- what it starts from ------------------------------------------------------------------------
 */

static int check_method(struct kernel_run *r) {
    bool full = kernel_choice(r, P_METHOD) == FULL;
    static const size_t of_sgd[] = {P_BATCH, P_MOMENTUM, P_EPOCH, P_SLICE, P_SLICES};
    for (size_t i = 0; i < sizeof of_sgd / sizeof *of_sgd; i++)
        if (full && kernel_given(r, of_sgd[i]))
            return kernel_refuse(r, "%s= is for method=sgd", params[of_sgd[i]].name);
    if (!full && kernel_given(r, P_STOP))
        return kernel_refuse(r, "stop= is for method=full");
    int64_t slices = mlprun_int(r, P_SLICES, 1);
    if (mlprun_int(r, P_SLICE, 0) >= slices)
        return kernel_refuse(r, "slice=%lld of slices=%lld; the first is 0",
                             (long long)kernel_int(r, P_SLICE), (long long)slices);
    return 0;
}

/* The output, with the weights of the inputs in it, or random ones. */
static int begin_old(struct kernel_run *r, enum kernel_dtype dtype, bool velocity,
                     struct mlp *out) {
    const char *name = kernel_item(r, P_WEIGHTS, 0);
    size_t count = kernel_count(r, P_WEIGHTS);
    struct mlp start, *all;
    int code = mlprun_network(r, name, &start);
    if (code == 0)
        code = mlprun_models(r, P_WEIGHTS, &start, start.kind, &all);
    if (code != 0)
        return code;
    if (start.dtype != dtype)
        return kernel_refuse(r, "%s is %s; method=%s trains %s", name,
                             kernel_dtype_name(start.dtype), dtype == KERNEL_F64 ? "full" : "sgd",
                             kernel_dtype_name(dtype));
    if (kernel_given(r, P_HIDDEN) && (size_t)kernel_int(r, P_HIDDEN) != start.shape.hidden)
        return kernel_refuse(r, "%s has %zu hidden units, and hidden=%lld", name,
                             start.shape.hidden, (long long)kernel_int(r, P_HIDDEN));
    if (dtype == KERNEL_F64 && start.kind == MLP_MOMENTUM)
        return kernel_refuse(r, "%s has a velocity; method=full has none", name);
    enum mlp_kind kind = velocity ? MLP_MOMENTUM : start.kind;
    code = mlprun_make(r, kernel_text(r, P_OUT), kind, dtype, start.shape, out);
    if (code != 0)
        return code;
    size_t numbers = mlp_length(start.kind, start.shape) - MLP_HEAD;
    if (count > 1)
        mlp_mean(NULL, all, count, out);
    else
        memcpy(out->numbers, start.numbers, numbers * kernel_dtype_bytes(dtype));
    return 0;
}

static int begin_new(struct kernel_run *r, enum kernel_dtype dtype, bool velocity,
                     const struct dataset *data, struct mlp *out) {
    if (!kernel_given(r, P_HIDDEN))
        return kernel_refuse(r, "a new network needs hidden=; or give weights=");
    if (data->rows == 0)
        return kernel_refuse(r, "%s has no rows, which would tell the size of a new network",
                             kernel_text(r, P_DATA));
    struct mlp_shape shape = {
        .inputs = data->columns,
        .hidden = (size_t)kernel_int(r, P_HIDDEN),
        .classes = (size_t)mlprun_int(r, P_CLASSES, dataset_highest_label(data) + 1)};
    enum mlp_kind kind = velocity ? MLP_MOMENTUM : MLP_WEIGHTS;
    int code = mlprun_make(r, kernel_text(r, P_OUT), kind, dtype, shape, out);
    if (code != 0)
        return code;
    if (dtype == KERNEL_F64)
        mlp_start_f64(out->numbers, shape, (uint32_t)kernel_int(r, P_SEED));
    else
        mlp_start_f32(out->numbers, shape, (uint64_t)kernel_int(r, P_SEED));
    return 0;
}

/* --- the two methods ----------------------------------------------------------------------------
 */

static int diverged(struct kernel_run *r, long long epoch) {
    return kernel_refuse(r, "the loss is not finite any more after epoch %lld; rate=%g is too high",
                         epoch, kernel_real(r, P_RATE));
}

static bool all_finite(const struct mlp *net) {
    for (size_t i = 0; i < mlp_weights(net->shape); i++)
        if (net->dtype == KERNEL_F64 ? !isfinite(((const double *)net->numbers)[i])
                                     : !isfinite(((const float *)net->numbers)[i]))
            return false;
    return true;
}

static int train_full(struct kernel_run *r, const struct dataset *data, struct mlp *net) {
    void *memory = kernel_scratch(r, mlpfull_bytes(net->shape));
    if (memory == NULL)
        return 1;
    struct mlpfull *m = mlpfull_new(memory, net->shape);
    mlpfull_set(m, net->numbers);
    double stop = kernel_given(r, P_STOP) ? kernel_real(r, P_STOP) : -1;
    double loss = mlpfull_gradient(m, data);
    long long epochs = kernel_int(r, P_EPOCHS), epoch = 0;
    for (bool moves = true; moves && epoch < epochs; epoch++) {
        mlpfull_move(m, kernel_real(r, P_RATE));
        double before = loss;
        loss = mlpfull_gradient(m, data);
        if (!isfinite(loss))
            return diverged(r, epoch + 1);
        moves = !(fabs(before - loss) <= stop);
        if (kernel_cancelled(r))
            return kernel_fail(r, "stopped after epoch %lld", epoch + 1);
        kernel_progress(r, (double)(epoch + 1) / (double)epochs);
    }
    mlpfull_get(m, net->numbers);
    if (!all_finite(net))
        return diverged(r, epoch);
    kernel_result(r, "epochs", "%lld", epoch);
    kernel_result(r, "rows", "%zu", data->rows);
    kernel_result(r, "loss", "%.6f", loss);
    return 0;
}

struct sgd {
    struct mlpsgd *m;
    float *numbers, *velocity;
    size_t batch;
    double rate, momentum;
};

/* One epoch's slice; returns its loss, or a number that is not finite when it was told to end. */
static double one_epoch(struct kernel_run *r, const struct sgd *sgd, struct mlpsgd_rows slice) {
    double loss = 0;
    size_t end = slice.from + slice.count;
    for (size_t n = 0; slice.from < end; slice.from += sgd->batch, n++) {
        slice.count = end - slice.from < sgd->batch ? end - slice.from : sgd->batch;
        loss += mlpsgd_step(sgd->m, slice, sgd->rate, sgd->momentum, sgd->numbers, sgd->velocity);
        if (n % LOOK == 0 && kernel_cancelled(r))
            return (double)NAN;
    }
    mlpsgd_settle(sgd->m, sgd->velocity);
    return loss;
}

static int make_sgd(struct kernel_run *r, struct mlp *net, struct sgd *sgd) {
    size_t weights = mlp_weights(net->shape);
    *sgd = (struct sgd){.numbers = net->numbers,
                        .batch = (size_t)mlprun_int(r, P_BATCH, BATCH),
                        .rate = kernel_real(r, P_RATE),
                        .momentum = kernel_given(r, P_MOMENTUM) ? kernel_real(r, P_MOMENTUM) : 0};
    size_t bytes = mlpsgd_bytes(net->shape, sgd->batch);
    if (bytes == 0)
        return kernel_refuse(r, "batch=%zu is too large", sgd->batch);
    void *memory = kernel_scratch(r, bytes);
    if (net->kind == MLP_MOMENTUM)
        sgd->velocity = sgd->numbers + weights;
    else if ((sgd->velocity = kernel_scratch(r, weights * sizeof(float))) != NULL)
        memset(sgd->velocity, 0, weights * sizeof(float));
    if (memory == NULL || sgd->velocity == NULL)
        return 1;
    sgd->m = mlpsgd_new(memory, net->shape, sgd->batch);
    blas_threads(kernel_threads(r));
    return 0;
}

static int train_sgd(struct kernel_run *r, const struct dataset *data, struct mlp *net) {
    struct sgd sgd;
    int code = make_sgd(r, net, &sgd);
    if (code != 0)
        return code;
    uint32_t *order = kernel_scratch(r, (data->rows + 1) * sizeof *order);
    if (order == NULL)
        return 1;
    size_t slices = (size_t)mlprun_int(r, P_SLICES, 1), slice = (size_t)mlprun_int(r, P_SLICE, 0);
    size_t from = data->rows * slice / slices, to = data->rows * (slice + 1) / slices;
    long long first = mlprun_int(r, P_EPOCH, 0), epochs = kernel_int(r, P_EPOCHS);
    double loss = 0;
    for (long long i = 0; i < epochs; i++) {
        struct shuffle s = shuffle_seed((uint64_t)kernel_int(r, P_SEED), (uint64_t)(first + i) + 1);
        shuffle_order(&s, order, data->rows);
        loss = one_epoch(r, &sgd, (struct mlpsgd_rows){data, order, from, to - from});
        if (kernel_cancelled(r))
            return kernel_fail(r, "stopped in epoch %lld", first + i);
        if (!isfinite(loss) || !all_finite(net))
            return diverged(r, first + i);
        kernel_progress(r, (double)(i + 1) / (double)epochs);
    }
    kernel_result(r, "epochs", "%lld", epochs);
    kernel_result(r, "rows", "%zu", to - from);
    kernel_result(r, "loss", "%.6g", to > from ? loss / (double)(to - from) : 0);
    return 0;
}

static int run(struct kernel_run *r) {
    bool full = kernel_choice(r, P_METHOD) == FULL;
    const char *name = kernel_text(r, P_DATA);
    const struct dataset *data = NULL;
    struct mlp net = {0};
    int code = check_method(r);
    if (code == 0)
        code = mlprun_data(r, name, mlprun_name(r, P_LABELS), 0, &data);
    if (code != 0)
        return code;
    enum kernel_dtype dtype = full ? KERNEL_F64 : KERNEL_F32;
    bool velocity = kernel_given(r, P_MOMENTUM) && kernel_real(r, P_MOMENTUM) > 0;
    code = kernel_given(r, P_WEIGHTS) ? begin_old(r, dtype, velocity, &net)
                                      : begin_new(r, dtype, velocity, data, &net);
    if (code == 0)
        code = mlprun_fits(r, name, net.shape, data);
    if (code != 0)
        return code;
    return full ? train_full(r, data, &net) : train_sgd(r, data, &net);
}

KERNEL_EXPORT(.name = "mlp_train", .summary = "trains a network of one hidden layer",
              .params = params, .estimate = estimate, .run = run)
