/*
 * mlp.h - a network of one hidden layer, as the mlp_ kernels keep it in a .npy file.
 *
 *     values, 1 -> hidden, ReLU -> hidden, 1 -> classes, softmax
 *
 * A file is one vector of f64 or f32. Its first MLP_HEAD numbers say what the rest is:
 *
 *     kind inputs hidden classes     W     V
 *
 * W has inputs + 1 rows of hidden numbers, V has hidden + 1 rows of classes numbers, both row by
 * row; the first row of each is the bias.
 *
 *     MLP_WEIGHTS    W V
 *     MLP_MOMENTUM   W V, then as many numbers again: the velocity of each
 *     MLP_GRADIENT   W V: sums over rows of what makes the loss smaller; then summed loss, rows
 *
 * Pure. Errors are false, with a text in error (room bytes).
 */
#ifndef DISTCOMP_KIT_MLP_H
#define DISTCOMP_KIT_MLP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernel.h"
#include "kernels/kit/dataset.h"

#define MLP_HEAD      4
#define MLP_FILES_MAX 1024     /* that are averaged at a time */
#define MLP_SIZE_MAX  16777216 /* inputs, hidden, classes: what f32 counts exactly */

enum mlp_kind { MLP_WEIGHTS = 1, MLP_MOMENTUM, MLP_GRADIENT };

struct mlp_shape {
    size_t inputs, hidden, classes;
};

struct mlp {
    enum mlp_kind kind;
    enum kernel_dtype dtype; /* KERNEL_F64 or KERNEL_F32 */
    struct mlp_shape shape;
    void *numbers; /* behind the head, borrowed */
};

static inline size_t mlp_w_count(struct mlp_shape s) {
    return (s.inputs + 1) * s.hidden;
}
static inline size_t mlp_v_count(struct mlp_shape s) {
    return (s.hidden + 1) * s.classes;
}
/* W and V together: less than 2^50. */
static inline size_t mlp_weights(struct mlp_shape s) {
    return mlp_w_count(s) + mlp_v_count(s);
}
/* All numbers of a file of this kind, the head included. */
size_t mlp_length(enum mlp_kind kind, struct mlp_shape shape);

/* Understands an array that was read, or refuses it: what is no network, or not finite. */
bool mlp_open(const struct kernel_array *array, struct mlp *out, char *error, size_t room);
/* Writes the head into an array of mlp_length() numbers, and points out to the rest. */
void mlp_begin(struct kernel_array *array, enum mlp_kind kind, struct mlp_shape shape,
               struct mlp *out);
bool mlp_same_shape(const struct mlp *a, const struct mlp *b);

/* f64: the letters' start: glibc's rand() after srand(seed), scaled to -0.01 ... 0.01; V row by
 * row, then W. */
void mlp_start_f64(double *numbers, struct mlp_shape shape, uint32_t seed);
/* f32: even between -a and a, a = sqrt(6 / inputs) for W and sqrt(6 / hidden) for V; a bias is 0.
 */
void mlp_start_f32(float *numbers, struct mlp_shape shape, uint64_t seed);

/*
 * start + the mean of (each of `from` - start), number by number, from MLP_HEAD on; with NULL the
 * mean of `from`. out may be start; it may have more numbers, which stay. Each sum is made in the
 * order of its terms' values, so that the order of `from` changes no bit. count is 1 to
 * MLP_FILES_MAX.
 */
void mlp_mean(const struct mlp *start, const struct mlp *from, size_t count, struct mlp *out);
/*
 * A step along gradients: velocity = momentum velocity + rate g, weights += velocity, with g the
 * gradients' sum, divided by their rows when `mean`. out is the start's kind, or MLP_MOMENTUM, and
 * has its own memory. The same remark about order. Nothing moves when there were no rows.
 */
void mlp_step(const struct mlp *start, const struct mlp *gradients, size_t count, double rate,
              double momentum, bool mean, struct mlp *out);

#endif
