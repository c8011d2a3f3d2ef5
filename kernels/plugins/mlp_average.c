/* Several networks that were trained apart, or several gradients, into one. */
#include "kernels/kernel.h"

#include <string.h>

#include "kernels/kit/mlprun.h"

enum { P_START, P_TRAINED, P_GRADIENTS, P_RATE, P_MOMENTUM, P_MEAN, P_SEED, P_OUT };
static const struct kernel_param params[] = {
    {"start", KERNEL_INPUT, .fallback = "", .help = "the network that they were made from"},
    {"trained", KERNEL_INPUTS, .fallback = "",
     .help = "networks: out is start and the mean of (trained - start), or without one their mean"},
    {"gradients", KERNEL_INPUTS, .fallback = "", .help = "gradients: out is one step along them"},
    {"rate", KERNEL_REAL, .fallback = "", .min = 0, .max = 1e9, .help = "of that step"},
    {"momentum", KERNEL_REAL, .fallback = "0", .min = 0, .max = 1,
     .help = "of that step; out keeps the velocity"},
    {"mean", KERNEL_FLAG, .fallback = "yes",
     .help = "divide the gradients by their rows; else they are sums"},
    {"seed", KERNEL_INT, .fallback = "", .min = 0, .max = 4294967295.0,
     .help = "start is the random network that mlp_train makes of this"},
    {"out", KERNEL_OUTPUT, .help = "the network"},
    {0}};

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    struct kernel_array start;
    const char *name = kernel_given(r, P_START)     ? kernel_text(r, P_START)
                       : kernel_given(r, P_TRAINED) ? kernel_item(r, P_TRAINED, 0)
                                                    : NULL;
    if (name == NULL)
        return true; /* run() says why not */
    if (!kernel_stat(r, name, &start))
        return false;
    size_t files = kernel_count(r, P_TRAINED) + kernel_count(r, P_GRADIENTS) + 3;
    e->memory_bytes = files * kernel_elements(&start) * kernel_dtype_bytes(start.dtype);
    e->flops = (double)files * (double)kernel_elements(&start);
    return true;
}

static double number(const struct mlp *m, size_t i) {
    return m->dtype == KERNEL_F64 ? ((const double *)m->numbers)[i]
                                  : (double)((const float *)m->numbers)[i];
}

/* like: start, or one of those of which it is the mean. */
static int mean_of(struct kernel_run *r, const struct mlp *like) {
    struct mlp *trained, out;
    bool from_start = kernel_given(r, P_START) || kernel_given(r, P_SEED);
    int code = mlprun_models(r, P_TRAINED, like, like->kind, &trained);
    if (code == 0)
        code = mlprun_make(r, kernel_text(r, P_OUT), like->kind, like->dtype, like->shape, &out);
    if (code != 0)
        return code;
    mlp_mean(from_start ? like : NULL, trained, kernel_count(r, P_TRAINED), &out);
    kernel_result(r, "networks", "%zu", kernel_count(r, P_TRAINED));
    return 0;
}

static int step_along(struct kernel_run *r, const struct mlp *start) {
    size_t count = kernel_count(r, P_GRADIENTS), weights = mlp_weights(start->shape);
    double momentum = kernel_real(r, P_MOMENTUM), loss = 0, rows = 0;
    enum mlp_kind kind = momentum > 0 ? MLP_MOMENTUM : start->kind;
    struct mlp *gradients, out;
    if (!kernel_given(r, P_RATE))
        return kernel_refuse(r, "a step along gradients needs rate=");
    int code = mlprun_models(r, P_GRADIENTS, start, MLP_GRADIENT, &gradients);
    if (code == 0)
        code = mlprun_make(r, kernel_text(r, P_OUT), kind, start->dtype, start->shape, &out);
    if (code != 0)
        return code;
    mlp_step(start, gradients, count, kernel_real(r, P_RATE), momentum, kernel_flag(r, P_MEAN),
             &out);
    for (size_t i = 0; i < count; i++) {
        loss += number(&gradients[i], weights);
        rows += number(&gradients[i], weights + 1);
    }
    kernel_result(r, "gradients", "%zu", count);
    kernel_result(r, "rows", "%.0f", rows);
    kernel_result(r, "loss", "%.6g", rows > 0 ? loss / rows : 0);
    return 0;
}

/* The network of the first of `trained`: with seed= as mlp_train made it at random, else as it is.
 */
static int begin_like_trained(struct kernel_run *r, struct mlp *start) {
    int code = mlprun_model(r, kernel_item(r, P_TRAINED, 0), start);
    if (code != 0 || start->kind == MLP_GRADIENT || !kernel_given(r, P_SEED))
        return code;
    size_t bytes =
        (mlp_length(start->kind, start->shape) - MLP_HEAD) * kernel_dtype_bytes(start->dtype);
    start->numbers = kernel_scratch(r, bytes);
    if (start->numbers == NULL)
        return 1;
    memset(start->numbers, 0, bytes);
    if (start->dtype == KERNEL_F64)
        mlp_start_f64(start->numbers, start->shape, (uint32_t)kernel_int(r, P_SEED));
    else
        mlp_start_f32(start->numbers, start->shape, (uint64_t)kernel_int(r, P_SEED));
    return 0;
}

static int run(struct kernel_run *r) {
    bool trained = kernel_given(r, P_TRAINED), gradients = kernel_given(r, P_GRADIENTS);
    if (trained == gradients)
        return kernel_refuse(r, "expected either trained= or gradients=");
    if (gradients && !kernel_given(r, P_START))
        return kernel_refuse(r, "a step along gradients needs start=");
    if (gradients && kernel_given(r, P_SEED))
        return kernel_refuse(r, "seed= is for trained=");
    if (kernel_given(r, P_START) && kernel_given(r, P_SEED))
        return kernel_refuse(r, "expected either start= or seed=");
    struct mlp start = {0};
    int code = kernel_given(r, P_START) ? mlprun_model(r, kernel_text(r, P_START), &start)
                                        : begin_like_trained(r, &start);
    if (code != 0)
        return code;
    if (start.kind == MLP_GRADIENT)
        return kernel_refuse(r, "%s is a gradient, not a network",
                             kernel_given(r, P_START) ? kernel_text(r, P_START)
                                                      : kernel_item(r, P_TRAINED, 0));
    return trained ? mean_of(r, &start) : step_along(r, &start);
}

KERNEL_EXPORT(.name = "mlp_average",
              .summary = "several networks that were trained apart, or gradients, into one",
              .params = params, .estimate = estimate, .run = run)
