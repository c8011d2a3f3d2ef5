/*
 * mlprun.h - what the mlp_ kernels have in common: their inputs and outputs. It calls kernel_*
 * functions. Where one returns an int it is 0, or the code that run() is to return: kernel_fail
 * or kernel_refuse has been called.
 */
#ifndef DISTCOMP_KIT_MLPRUN_H
#define DISTCOMP_KIT_MLPRUN_H

#include "kernels/kernel.h"
#include "kernels/kit/dataset.h"
#include "kernels/kit/mlp.h"

/*
 * The rows of `data`: letters, or idx with its labels in the file `labels` (NULL: there is none).
 * columns: what letters without a label would have; 0: they have labels. Lives until the next call
 * of the same plug-in. An unpacked file is kept by the host for its next task, as long as it has
 * not changed on the disk.
 */
int mlprun_data(struct kernel_run *run, const char *data, const char *labels, size_t columns,
                const struct dataset **out);

/* A vector of this kind of file, all of it checked: weights, with velocity or without, or a
 * gradient. */
int mlprun_model(struct kernel_run *run, const char *name, struct mlp *out);
/* The same, where only a network will do. */
int mlprun_network(struct kernel_run *run, const char *name, struct mlp *out);
/* Those of an INPUTS parameter, each of start's shape and type, and of that kind; *out is scratch
 * memory. */
int mlprun_models(struct kernel_run *run, size_t index, const struct mlp *start, enum mlp_kind kind,
                  struct mlp **out);
/* Whether these weights go with these rows: columns, and labels where there are any. */
int mlprun_fits(struct kernel_run *run, const char *name, struct mlp_shape shape,
                const struct dataset *data);
/* A new file; the numbers behind the head are 0. */
int mlprun_make(struct kernel_run *run, const char *name, enum mlp_kind kind,
                enum kernel_dtype dtype, struct mlp_shape shape, struct mlp *out);

/* y of the rows from ... from + count - 1 by weights of either type, in y (f64, count x classes);
 * `work` comes from mlprun_forward_new (NULL: kernel_fail was called). */
struct mlprun_forward;
struct mlprun_forward *mlprun_forward_new(struct kernel_run *run, const struct mlp *weights);
#define MLPRUN_ROWS 512 /* the most of a call */
const double *mlprun_forward(struct mlprun_forward *work, const struct dataset *data, size_t from,
                             size_t count);
/* The first of the highest. */
unsigned mlprun_best(const double *y, size_t classes);

/* The value of an INT parameter, or what stands for it when it is not given. */
int64_t mlprun_int(const struct kernel_run *run, size_t index, int64_t otherwise);
/* The text of a parameter that may be absent: NULL then. */
const char *mlprun_name(const struct kernel_run *run, size_t index);

#endif
