/*
 * mlpsgd.h - training by small batches in float32, with momentum, on BLAS.
 *
 * y = softmax(o), loss = -sum over rows of log y_label. A batch moves
 *
 *     velocity = momentum velocity + rate mean(gradient), weights += velocity
 *
 * The bias is a column of ones before X and Z, so that the products make it; the product with Xt
 * makes the new velocity in place. The same machine, library and number of threads give the same
 * bits again.
 *
 * Pure but for BLAS's threads (blas.h). `data` has shape.inputs columns, and labels below
 * shape.classes; `order` lists rows, or is NULL: the rows from `from` on. numbers: W, V as in
 * mlp.h, and the same places for velocity and gradient.
 */
#ifndef DISTCOMP_KIT_MLPSGD_H
#define DISTCOMP_KIT_MLPSGD_H

#include "kernels/kit/dataset.h"
#include "kernels/kit/mlp.h"

struct mlpsgd;

/* Memory that mlpsgd_new needs for batches of at most so many rows; 64-byte aligned it must be. 0:
 * too large. */
size_t mlpsgd_bytes(struct mlp_shape shape, size_t batch);
/* Lives in memory; there is nothing to free. */
struct mlpsgd *mlpsgd_new(void *memory, struct mlp_shape shape, size_t batch);

struct mlpsgd_rows {
    const struct dataset *data;
    const uint32_t *order;
    size_t from, count; /* count: 1 to batch; places in order where there is one */
};

/* One step; returns the loss of those rows before it. The array of the velocity means nothing to
 * others until mlpsgd_settle. */
double mlpsgd_step(struct mlpsgd *m, struct mlpsgd_rows rows, double rate, double momentum,
                   float *numbers, float *velocity);
/* After the last step, or between two. */
void mlpsgd_settle(struct mlpsgd *m, float *velocity);
/* gradient += the rows' summed gradient (what makes the loss smaller); returns their loss. */
double mlpsgd_gradient(struct mlpsgd *m, struct mlpsgd_rows rows, const float *numbers,
                       float *gradient);
/* Their y: count x classes numbers, valid until the next call. */
const float *mlpsgd_forward(struct mlpsgd *m, struct mlpsgd_rows rows, const float *numbers);

#endif
