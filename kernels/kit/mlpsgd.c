/* See mlpsgd.h. */
#include "kernels/kit/mlpsgd.h"

#include <cblas.h>
#include <math.h>
#include <string.h>

#include "kernels/kit/simd.h"

#define ALIGN 64

struct mlpsgd {
    struct mlp_shape shape;
    size_t batch;
    float held; /* the velocity is so many times what its array says */
    float *x;   /* batch x (1 + inputs) */
    float *z;   /* batch x (1 + hidden) */
    float *o;   /* batch x classes: O, then Y, then R - Y */
    float *dz;  /* batch x hidden */
};

/* Where the next part begins, at counted in floats; with memory NULL only counted. */
static float *part(float *memory, size_t *at, size_t rows, size_t columns) {
    const size_t line = ALIGN / sizeof(float);
    float *begin = memory == NULL ? NULL : memory + *at;
    *at += (rows * columns + line - 1) / line * line;
    return begin;
}

static size_t lay_out(struct mlpsgd *m, float *memory, struct mlp_shape s, size_t batch) {
    size_t at = 0;
    *m = (struct mlpsgd){.shape = s, .batch = batch, .held = 1};
    part(memory, &at, 1, sizeof *m / sizeof(float) + 1);
    m->x = part(memory, &at, batch, s.inputs + 1);
    m->z = part(memory, &at, batch, s.hidden + 1);
    m->o = part(memory, &at, batch, s.classes);
    m->dz = part(memory, &at, batch, s.hidden);
    return at * sizeof(float);
}

/* Each part is below 2^49 floats. */
size_t mlpsgd_bytes(struct mlp_shape shape, size_t batch) {
    if (shape.inputs > MLP_SIZE_MAX || shape.hidden > MLP_SIZE_MAX ||
        shape.classes > DATASET_LABELS || batch > MLP_SIZE_MAX)
        return 0;
    struct mlpsgd m;
    return lay_out(&m, NULL, shape, batch);
}

struct mlpsgd *mlpsgd_new(void *memory, struct mlp_shape shape, size_t batch) {
    struct mlpsgd *m = memory;
    lay_out(m, memory, shape, batch);
    for (size_t r = 0; r < batch; r++)
        m->x[r * (shape.inputs + 1)] = m->z[r * (shape.hidden + 1)] = 1;
    return m;
}

/* C = alpha op(A) op(B) + beta C, all by rows; BLAS wants a leading dimension even of nothing. */
static void product(CBLAS_TRANSPOSE ta, CBLAS_TRANSPOSE tb, size_t m, size_t n, size_t k,
                    float alpha, const float *a, size_t lda, const float *b, size_t ldb, float beta,
                    float *c, size_t ldc) {
    if (m == 0 || n == 0)
        return;
    cblas_sgemm(CblasRowMajor, ta, tb, (blasint)m, (blasint)n, (blasint)k, alpha, a,
                (blasint)(lda > 0 ? lda : 1), b, (blasint)(ldb > 0 ? ldb : 1), beta, c,
                (blasint)ldc);
}

/* --- the rows -----------------------------------------------------------------------------------
 */

/* Simple loops, which the compiler makes vectors of (Makefile). */
SIMD_CLONES static void to_floats(float *restrict to, const uint8_t *restrict from, size_t count,
                                  float scale) {
    for (size_t i = 0; i < count; i++)
        to[i] = (float)from[i] * scale;
}

/* What is not above 0 becomes 0: of z, or (where it is another) of what stands beside it. */
SIMD_CLONES static void keep_positive(float *to, const float *z, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] = z[i] > 0 ? to[i] : 0;
}

static size_t row_of(const struct mlpsgd_rows *rows, size_t i) {
    return rows->order != NULL ? rows->order[rows->from + i] : rows->from + i;
}

/* Rows in random order come from all over memory: they are asked for before they are needed. */
#define AHEAD      4
#define CACHE_LINE 64

static void take_rows(struct mlpsgd *m, struct mlpsgd_rows rows) {
    size_t inputs = m->shape.inputs;
    for (size_t r = 0; r < rows.count; r++) {
        if (r + AHEAD < rows.count) {
            const uint8_t *next = dataset_row(rows.data, row_of(&rows, r + AHEAD));
            for (size_t i = 0; i < inputs; i += CACHE_LINE)
                __builtin_prefetch(next + i);
        }
        to_floats(m->x + r * (inputs + 1) + 1, dataset_row(rows.data, row_of(&rows, r)), inputs,
                  (float)rows.data->scale);
    }
}

static void softmax(float *o, size_t count) {
    float highest = o[0], sum = 0;
    for (size_t c = 1; c < count; c++)
        highest = o[c] > highest ? o[c] : highest;
    for (size_t c = 0; c < count; c++)
        sum += o[c] = expf(o[c] - highest);
    for (size_t c = 0; c < count; c++)
        o[c] /= sum;
}

const float *mlpsgd_forward(struct mlpsgd *m, struct mlpsgd_rows rows, const float *numbers) {
    struct mlp_shape s = m->shape;
    size_t ldx = s.inputs + 1, ldz = s.hidden + 1;
    take_rows(m, rows);
    product(CblasNoTrans, CblasNoTrans, rows.count, s.hidden, ldx, 1, m->x, ldx, numbers, s.hidden,
            0, m->z + 1, ldz);
    for (size_t r = 0; r < rows.count; r++)
        keep_positive(m->z + r * ldz + 1, m->z + r * ldz + 1, s.hidden);
    product(CblasNoTrans, CblasNoTrans, rows.count, s.classes, ldz, 1, m->z, ldz,
            numbers + mlp_w_count(s), s.classes, 0, m->o, s.classes);
    for (size_t r = 0; r < rows.count; r++)
        softmax(m->o + r * s.classes, s.classes);
    return m->o;
}

/* Y becomes R - Y; returns the loss. */
static double differences(struct mlpsgd *m, struct mlpsgd_rows rows) {
    double loss = 0;
    for (size_t r = 0; r < rows.count; r++) {
        float *d = m->o + r * m->shape.classes;
        float *right = d + dataset_label(rows.data, row_of(&rows, r));
        loss -= log(*right < 1e-30F ? 1e-30 : (double)*right);
        for (size_t c = 0; c < m->shape.classes; c++)
            d[c] = -d[c];
        *right += 1;
    }
    return loss;
}

/* to = scale x gradient + keep x to, for the rows that went forward last. */
static double backward(struct mlpsgd *m, struct mlpsgd_rows rows, const float *numbers, float scale,
                       float keep, float *to) {
    struct mlp_shape s = m->shape;
    size_t ldx = s.inputs + 1, ldz = s.hidden + 1;
    double loss = differences(m, rows);
    product(CblasTrans, CblasNoTrans, ldz, s.classes, rows.count, scale, m->z, ldz, m->o, s.classes,
            keep, to + mlp_w_count(s), s.classes);
    product(CblasNoTrans, CblasTrans, rows.count, s.hidden, s.classes, 1, m->o, s.classes,
            numbers + mlp_w_count(s) + s.classes, s.classes, 0, m->dz, s.hidden);
    for (size_t r = 0; r < rows.count; r++)
        keep_positive(m->dz + r * s.hidden, m->z + r * ldz + 1, s.hidden);
    product(CblasTrans, CblasNoTrans, ldx, s.hidden, rows.count, scale, m->x, ldx, m->dz, s.hidden,
            keep, to, s.hidden);
    return loss;
}

double mlpsgd_gradient(struct mlpsgd *m, struct mlpsgd_rows rows, const float *numbers,
                       float *gradient) {
    mlpsgd_forward(m, rows, numbers);
    return backward(m, rows, numbers, 1, 1, gradient);
}

#define HELD_LEAST 0x1p-12F

void mlpsgd_settle(struct mlpsgd *m, float *velocity) {
    if (m->held != 1)
        cblas_sscal((blasint)mlp_weights(m->shape), m->held, velocity, 1);
    m->held = 1;
}

/*
 * Momentum would be a pass over the whole velocity before each product is added to it. The array
 * has the velocity / held instead: momentum makes `held` smaller, and nothing else.
 */
double mlpsgd_step(struct mlpsgd *m, struct mlpsgd_rows rows, double rate, double momentum,
                   float *numbers, float *velocity) {
    float keep = (float)momentum;
    if (m->held * keep < HELD_LEAST)
        mlpsgd_settle(m, velocity);
    if (keep >= HELD_LEAST) {
        m->held *= keep;
        keep = 1;
    }
    mlpsgd_forward(m, rows, numbers);
    float scale = (float)(rate / (double)rows.count) / m->held;
    double loss = backward(m, rows, numbers, scale, keep, velocity);
    cblas_saxpy((blasint)mlp_weights(m->shape), m->held, velocity, 1, numbers, 1);
    return loss;
}
