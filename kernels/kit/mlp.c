/* See mlp.h. */
#include "kernels/kit/mlp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "kernels/kit/glibcrand.h"
#include "kernels/kit/shuffle.h"
#include "kernels/kit/simd.h"

size_t mlp_length(enum mlp_kind kind, struct mlp_shape shape) {
    size_t weights = mlp_weights(shape);
    return MLP_HEAD + (kind == MLP_WEIGHTS    ? weights
                       : kind == MLP_MOMENTUM ? 2 * weights
                                              : weights + 2);
}

static double number(enum kernel_dtype dtype, const void *numbers, size_t i) {
    return dtype == KERNEL_F64 ? ((const double *)numbers)[i] : (double)((const float *)numbers)[i];
}

static void set_number(enum kernel_dtype dtype, void *numbers, size_t i, double value) {
    if (dtype == KERNEL_F64)
        ((double *)numbers)[i] = value;
    else
        ((float *)numbers)[i] = (float)value;
}

static double number_at(const struct kernel_array *array, size_t i) {
    return number(array->dtype, array->data, i);
}

static void *behind_head(const struct kernel_array *array) {
    size_t size = array->dtype == KERNEL_F64 ? sizeof(double) : sizeof(float);
    return (char *)array->data + MLP_HEAD * size;
}

static bool head_number(const struct kernel_array *array, size_t i, double least, double most,
                        size_t *number) {
    double value = number_at(array, i);
    if (!(value >= least && value <= most) || value != floor(value))
        return false;
    *number = (size_t)value;
    return true;
}

bool mlp_open(const struct kernel_array *array, struct mlp *out, char *error, size_t room) {
    if ((array->dtype != KERNEL_F64 && array->dtype != KERNEL_F32) || array->dims != 1 ||
        array->shape[0] < MLP_HEAD) {
        snprintf(error, room,
                 "not a network: expected one vector of f64 or f32 that begins with kind, inputs, "
                 "hidden, classes");
        return false;
    }
    struct mlp_shape shape;
    size_t kind;
    if (!head_number(array, 0, MLP_WEIGHTS, MLP_GRADIENT, &kind) ||
        !head_number(array, 1, 0, MLP_SIZE_MAX, &shape.inputs) ||
        !head_number(array, 2, 0, MLP_SIZE_MAX, &shape.hidden) ||
        !head_number(array, 3, 1, DATASET_LABELS, &shape.classes)) {
        snprintf(error, room, "not a network: it begins with %g %g %g %g", number_at(array, 0),
                 number_at(array, 1), number_at(array, 2), number_at(array, 3));
        return false;
    }
    size_t length = mlp_length((enum mlp_kind)kind, shape);
    if (array->shape[0] != length) {
        snprintf(error, room, "a network of %zu-%zu-%zu has %zu numbers, this file has %zu",
                 shape.inputs, shape.hidden, shape.classes, length, array->shape[0]);
        return false;
    }
    for (size_t i = MLP_HEAD; i < length; i++)
        if (!isfinite(number_at(array, i))) {
            snprintf(error, room, "number %zu is %g; a network's are finite", i,
                     number_at(array, i));
            return false;
        }
    *out = (struct mlp){.kind = (enum mlp_kind)kind, .dtype = array->dtype, .shape = shape};
    out->numbers = behind_head(array);
    return true;
}

void mlp_begin(struct kernel_array *array, enum mlp_kind kind, struct mlp_shape shape,
               struct mlp *out) {
    const size_t head[MLP_HEAD] = {kind, shape.inputs, shape.hidden, shape.classes};
    for (size_t i = 0; i < MLP_HEAD; i++)
        set_number(array->dtype, array->data, i, (double)head[i]);
    *out = (struct mlp){.kind = kind, .dtype = array->dtype, .shape = shape};
    out->numbers = behind_head(array);
}

bool mlp_same_shape(const struct mlp *a, const struct mlp *b) {
    return a->shape.inputs == b->shape.inputs && a->shape.hidden == b->shape.hidden &&
           a->shape.classes == b->shape.classes;
}

/* --- where training starts ----------------------------------------------------------------------
 */

void mlp_start_f64(double *numbers, struct mlp_shape shape, uint32_t seed) {
    struct glibcrand g;
    glibcrand_seed(&g, seed);
    size_t w = mlp_w_count(shape), all = mlp_weights(shape);
    for (size_t i = 0; i < all; i++) {
        double random = -0.01 + 0.02 * ((double)glibcrand_next(&g) / GLIBCRAND_MAX);
        numbers[i < all - w ? w + i : i - (all - w)] = random;
    }
}

static void start_layer(float *layer, size_t inputs, size_t outputs, struct shuffle *s) {
    memset(layer, 0, outputs * sizeof *layer);
    double reach = sqrt(6.0 / (double)inputs);
    for (size_t i = outputs; i < (inputs + 1) * outputs; i++)
        layer[i] = (float)(reach * (2 * shuffle_unit(s) - 1));
}

void mlp_start_f32(float *numbers, struct mlp_shape shape, uint64_t seed) {
    struct shuffle s = shuffle_seed(seed, 0);
    start_layer(numbers, shape.inputs, shape.hidden, &s);
    start_layer(numbers + mlp_w_count(shape), shape.hidden, shape.classes, &s);
}

/* --- several into one ---------------------------------------------------------------------------
 */

#define BLOCK 8 /* numbers that are averaged at a time */
#define LANES 4
typedef double vec __attribute__((vector_size(8 * LANES)));
typedef int64_t ivec __attribute__((vector_size(8 * LANES)));

static void load(const struct mlp *m, size_t from, size_t count, double *to) {
    const float *single = m->numbers;
    const double *twice = m->numbers;
    for (size_t i = 0; i < count; i++)
        to[i] = m->dtype == KERNEL_F64 ? twice[from + i] : (double)single[from + i];
}

/* Terms of each column are in order but for the last: puts it where it belongs. Without branches,
 * since which way they go is random. */
SIMD_CLONES static void insert_term(double terms[][BLOCK], size_t last) {
    for (size_t at = last; at > 0; at--)
        for (size_t i = 0; i < BLOCK; i += LANES) {
            vec *low = (vec *)&terms[at - 1][i], *high = (vec *)&terms[at][i], a = *low, b = *high;
            ivec greater = a > b;
            *low = (vec)(((ivec)b & greater) | ((ivec)a & ~greater));
            *high = (vec)(((ivec)a & greater) | ((ivec)b & ~greater));
        }
}

/* The sums over files of numbers `from` ... less origin. Each is made of its terms in the order of
 * their values, so that it does not hang on the order of the files. */
static void sum_block(const struct mlp *files, size_t file_count, size_t from, size_t count,
                      const double *origin, double *sum) {
    double terms[MLP_FILES_MAX][BLOCK] __attribute__((aligned(sizeof(vec)))), one[BLOCK];
    for (size_t f = 0; f < file_count; f++) {
        load(&files[f], from, count, one);
        for (size_t i = 0; i < count; i++)
            terms[f][i] = one[i] - origin[i];
        for (size_t i = count; i < BLOCK; i++)
            terms[f][i] = 0;
        if (file_count > 2) /* a + b is b + a */
            insert_term(terms, f);
    }
    for (size_t i = 0; i < count; i++)
        sum[i] = 0;
    for (size_t f = 0; f < file_count; f++)
        for (size_t i = 0; i < count; i++)
            sum[i] += terms[f][i];
}

static size_t block_at(size_t from, size_t all) {
    return all - from < BLOCK ? all - from : BLOCK;
}

void mlp_mean(const struct mlp *start, const struct mlp *from, size_t count, struct mlp *out) {
    size_t numbers = mlp_length(from->kind, from->shape) - MLP_HEAD;
    for (size_t at = 0; at < numbers; at += BLOCK) {
        double origin[BLOCK] = {0}, sum[BLOCK];
        size_t some = block_at(at, numbers);
        if (start != NULL)
            load(start, at, some, origin);
        sum_block(from, count, at, some, origin, sum);
        for (size_t i = 0; i < some; i++)
            set_number(out->dtype, out->numbers, at + i, origin[i] + sum[i] / (double)count);
    }
}

void mlp_step(const struct mlp *start, const struct mlp *gradients, size_t count, double rate,
              double momentum, bool mean, struct mlp *out) {
    static const double zero[BLOCK];
    size_t weights = mlp_weights(start->shape);
    double rows, sum[BLOCK];
    sum_block(gradients, count, weights + 1, 1, zero, &rows);
    double scale = mean ? rate / rows : rate;
    bool moves = rows > 0;
    for (size_t i = 0; i < weights; i++) {
        double weight = number(start->dtype, start->numbers, i);
        double velocity =
            start->kind == MLP_MOMENTUM ? number(start->dtype, start->numbers, weights + i) : 0;
        if (i % BLOCK == 0)
            sum_block(gradients, count, i, block_at(i, weights), zero, sum);
        if (moves) {
            velocity = momentum * velocity + scale * sum[i % BLOCK];
            weight += velocity;
        }
        set_number(out->dtype, out->numbers, i, weight);
        if (out->kind == MLP_MOMENTUM)
            set_number(out->dtype, out->numbers, weights + i, velocity);
    }
}
