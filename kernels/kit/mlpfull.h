/*
 * mlpfull.h - training over whole files in float64, with summed gradients (docs/training.md).
 *
 * y_i = 1 / (sum_j exp(o_j - o_i) + 1e-6), loss = -sum over rows of log(y_label + 1e-6). A gradient
 * is what makes the loss smaller: for V it is Zt (R - Y), for W it is Xt (((R - Y) V1t) where
 * X W >= 0).
 *
 * Every sum is made in the order of the plain loops (inputs, hidden units, classes, rows, each
 * from the first on), without fused multiply-add, and exp is its own. So the same bits come out of
 * every CPU, which is what exactness needs: after some hundred epochs a difference in the last bit
 * is one in the third digit. Eight rows go through the layers at a time, so that weights and
 * gradients are read once for eight.
 *
 * One thread. Pure. `data` has shape.inputs columns, and labels below shape.classes.
 */
#ifndef DISTCOMP_KIT_MLPFULL_H
#define DISTCOMP_KIT_MLPFULL_H

#include "kernels/kit/dataset.h"
#include "kernels/kit/mlp.h"

struct mlpfull;

/* Memory that mlpfull_new needs; 64-byte aligned it must be. 0: that shape is too large. */
size_t mlpfull_bytes(struct mlp_shape shape);
/* Lives in memory; there is nothing to free. */
struct mlpfull *mlpfull_new(void *memory, struct mlp_shape shape);

void mlpfull_set(struct mlpfull *m, const double *numbers);          /* W, V as in mlp.h */
void mlpfull_get(const struct mlpfull *m, double *numbers);          /* W, V */
void mlpfull_get_gradient(const struct mlpfull *m, double *numbers); /* the same places */

/* Makes the gradient of all rows, and returns their loss: both of the weights as they are. */
double mlpfull_gradient(struct mlpfull *m, const struct dataset *data);
/* weights += rate x the gradient made last. */
void mlpfull_move(struct mlpfull *m, double rate);
/* y of rows from ... from + count - 1: count x classes numbers. Leaves the gradient alone. */
void mlpfull_forward(struct mlpfull *m, const struct dataset *data, size_t from, size_t count,
                     double *y);

extern bool mlpfull_narrow; /* not the widest vectors; for the tests */
/* exp(x) of 4 numbers, -708 <= x <= 0 (what is below counts as -708), within 0.7 of the last
 * place. For the tests. */
void mlpfull_exp(double x[4]);

#endif
