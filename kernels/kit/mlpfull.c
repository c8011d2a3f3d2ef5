/* See mlpfull.h. */
#include "kernels/kit/mlpfull.h"

#include <math.h>
#include <string.h>

#include "kernels/kit/simd.h"

typedef double vec __attribute__((vector_size(32)));
typedef int64_t ivec __attribute__((vector_size(32)));
#define LANES 4
#define ROWS  8 /* that go through the layers at a time */

#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n)    PRAGMA(GCC unroll n)

struct mlpfull {
    struct mlp_shape shape;
    size_t inputs, units, outputs; /* with the bias: 1 + inputs, 1 + hidden; classes */
    size_t hidden_vecs, class_vecs;
    vec *w, *dw; /* inputs x hidden_vecs */
    vec *v, *dv; /* units x class_vecs */
    vec *vt;     /* classes x hidden_vecs: V without its bias, turned */
    /* Of the rows under way; x and z are not turned into vectors, their numbers go to all lanes. */
    double *x; /* ROWS x inputs */
    double *z; /* ROWS x units */
    vec *a;    /* ROWS x hidden_vecs: X W, later the gradient at the hidden layer */
    vec *o;    /* ROWS x class_vecs: O, then Y, then R - Y */
};

/* --- memory -------------------------------------------------------------------------------------
 */

static size_t vecs_for(size_t numbers) {
    return (numbers + LANES - 1) / LANES;
}

/* Where the next part begins; with memory NULL only counted. */
static void *part(void *memory, size_t *at, size_t vecs) {
    void *begin = memory == NULL ? NULL : (char *)memory + *at;
    *at += vecs * sizeof(vec);
    return begin;
}

static size_t lay_out(struct mlpfull *m, void *memory, struct mlp_shape shape) {
    *m = (struct mlpfull){.shape = shape,
                          .inputs = shape.inputs + 1,
                          .units = shape.hidden + 1,
                          .outputs = shape.classes,
                          .hidden_vecs = vecs_for(shape.hidden),
                          .class_vecs = vecs_for(shape.classes)};
    size_t at = 0;
    part(memory, &at, vecs_for(sizeof *m));
    m->w = part(memory, &at, m->inputs * m->hidden_vecs);
    m->dw = part(memory, &at, m->inputs * m->hidden_vecs);
    m->v = part(memory, &at, m->units * m->class_vecs);
    m->dv = part(memory, &at, m->units * m->class_vecs);
    m->vt = part(memory, &at, m->outputs * m->hidden_vecs);
    m->x = part(memory, &at, vecs_for(ROWS * m->inputs));
    m->z = part(memory, &at, vecs_for(ROWS * m->units));
    m->a = part(memory, &at, ROWS * m->hidden_vecs);
    m->o = part(memory, &at, ROWS * m->class_vecs);
    return at;
}

size_t mlpfull_bytes(struct mlp_shape shape) {
    if (shape.inputs > MLP_SIZE_MAX || shape.hidden > MLP_SIZE_MAX ||
        shape.classes > DATASET_LABELS)
        return 0;
    struct mlpfull m;
    return lay_out(&m, NULL, shape);
}

struct mlpfull *mlpfull_new(void *memory, struct mlp_shape shape) {
    memset(memory, 0, mlpfull_bytes(shape));
    struct mlpfull *m = memory;
    lay_out(m, memory, shape);
    return m;
}

/* --- weights in and out -------------------------------------------------------------------------
 */

static void spread(vec *to, const double *from, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * vecs_for(columns), from + i * columns, columns * sizeof *from);
}

static void gather(double *to, const vec *from, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * columns, from + i * vecs_for(columns), columns * sizeof *to);
}

static void turn(struct mlpfull *m) {
    double *to = (double *)m->vt;
    const double *from = (const double *)m->v;
    for (size_t j = 0; j < m->shape.hidden; j++)
        for (size_t c = 0; c < m->outputs; c++)
            to[c * m->hidden_vecs * LANES + j] = from[(j + 1) * m->class_vecs * LANES + c];
}

void mlpfull_set(struct mlpfull *m, const double *numbers) {
    spread(m->w, numbers, m->inputs, m->shape.hidden);
    spread(m->v, numbers + mlp_w_count(m->shape), m->units, m->outputs);
    turn(m);
}

void mlpfull_get(const struct mlpfull *m, double *numbers) {
    gather(numbers, m->w, m->inputs, m->shape.hidden);
    gather(numbers + mlp_w_count(m->shape), m->v, m->units, m->outputs);
}

void mlpfull_get_gradient(const struct mlpfull *m, double *numbers) {
    gather(numbers, m->dw, m->inputs, m->shape.hidden);
    gather(numbers + mlp_w_count(m->shape), m->dv, m->units, m->outputs);
}

void mlpfull_move(struct mlpfull *m, double rate) {
    for (size_t i = 0; i < m->inputs * m->hidden_vecs; i++)
        m->w[i] += rate * m->dw[i];
    for (size_t i = 0; i < m->units * m->class_vecs; i++)
        m->v[i] += rate * m->dv[i];
    turn(m);
}

/* --- the arithmetic -----------------------------------------------------------------------------
 */

/* out = A B for ROWS rows of A (k numbers, lda apart) and k rows of `vecs` vectors. */
SIMD_INLINE void multiply(const double *a, size_t lda, const vec *b, size_t k, size_t vecs,
                          vec *out) {
    for (size_t c = 0; c < vecs; c++) {
        vec sum[ROWS] = {0};
        for (size_t i = 0; i < k; i++) {
            vec weights = b[i * vecs + c];
            UNROLL(8)
            for (size_t r = 0; r < ROWS; r++)
                sum[r] += a[r * lda + i] * weights;
        }
        UNROLL(8)
        for (size_t r = 0; r < ROWS; r++)
            out[r * vecs + c] = sum[r];
    }
}

/* G += At D for the same rows, in their order. */
SIMD_INLINE void outer(const double *a, size_t lda, const vec *d, size_t k, size_t vecs, vec *g) {
    for (size_t c = 0; c < vecs; c++) {
        vec rows[ROWS];
        UNROLL(8)
        for (size_t r = 0; r < ROWS; r++)
            rows[r] = d[r * vecs + c];
        for (size_t i = 0; i < k; i++) {
            vec sum = g[i * vecs + c];
            UNROLL(8)
            for (size_t r = 0; r < ROWS; r++)
                sum += a[r * lda + i] * rows[r];
            g[i * vecs + c] = sum;
        }
    }
}

/*
 * x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 q(r), by Taylor up to r^13; then n is
 * added to the exponent. 1 + r keeps its rest, so that only the last sum rounds by much.
 */
SIMD_INLINE void exp_vec(vec *x) {
    const double to_int = 0x1.8p52; /* adding it rounds, and leaves n in the low bits */
    vec least = (vec){0} - 708;
    ivec below = *x < least; /* what is no number stays none */
    vec in = (vec)(((ivec)least & below) | ((ivec)*x & ~below));
    vec shifted = in * 0x1.71547652b82fep0 + to_int;
    vec n = shifted - to_int;
    vec r = in - n * 0x1.62e42fefa38p-1; /* ln 2 in 42 bits, so that n times it is exact */
    vec rest = n * 0x1.ef35793c7673p-45;
    vec whole = r - rest;
    rest = (r - whole) - rest;
    r = whole;
    vec r2 = r * r;
    vec q = r * (1.0 / 6227020800) + 1.0 / 479001600;
    q = q * r + 1.0 / 39916800;
    q = q * r + 1.0 / 3628800;
    q = q * r + 1.0 / 362880;
    q = q * r + 1.0 / 40320;
    q = q * r + 1.0 / 5040;
    q = q * r + 1.0 / 720;
    q = q * r + 1.0 / 120;
    q = q * r + 1.0 / 24;
    q = q * r + 1.0 / 6;
    q = q * r + 0.5;
    vec high = 1 + r;
    vec low = (1 - high) + r;
    vec value = high + (low + (rest + r2 * q));
    ivec exponent = (ivec)shifted << 52;
    *x = (vec)((ivec)value + exponent);
}

void mlpfull_exp(double x[4]) {
    vec v;
    memcpy(&v, x, sizeof v);
    exp_vec(&v);
    memcpy(x, &v, sizeof v);
}

/* One row of O becomes Y. With the highest o taken off, exp cannot overflow. */
SIMD_INLINE void softmax(double *o, size_t count, size_t vecs) {
    double highest = o[0], sum = 0;
    for (size_t c = 1; c < count; c++)
        highest = o[c] > highest ? o[c] : highest;
    vec *all = (vec *)o;
    for (size_t i = 0; i < vecs; i++) {
        all[i] -= highest;
        exp_vec(&all[i]);
    }
    for (size_t c = 0; c < count; c++)
        sum += o[c];
    for (size_t i = 0; i < vecs; i++)
        all[i] = all[i] / (sum + 1e-6 * all[i]);
    for (size_t c = count; c < vecs * LANES; c++)
        o[c] = 0;
}

/* Fills x with `count` rows of data and, up to ROWS, with zeros. */
SIMD_INLINE void take_rows(struct mlpfull *m, const struct dataset *data, size_t from,
                           size_t count) {
    for (size_t r = 0; r < ROWS; r++) {
        double *x = m->x + r * m->inputs;
        x[0] = 1;
        if (r >= count) {
            memset(x + 1, 0, (m->inputs - 1) * sizeof *x);
            continue;
        }
        const uint8_t *values = dataset_row(data, from + r);
        for (size_t i = 1; i < m->inputs; i++)
            x[i] = values[i - 1] * data->scale;
    }
}

/* X to Y, for the rows that x has. */
SIMD_INLINE void forward(struct mlpfull *m) {
    multiply(m->x, m->inputs, m->w, m->inputs, m->hidden_vecs, m->a);
    for (size_t r = 0; r < ROWS; r++) {
        const double *a = (const double *)(m->a + r * m->hidden_vecs);
        double *z = m->z + r * m->units;
        z[0] = 1;
        for (size_t j = 0; j < m->shape.hidden; j++)
            z[j + 1] = a[j] >= 0 ? a[j] : 0;
    }
    multiply(m->z, m->units, m->v, m->units, m->class_vecs, m->o);
    for (size_t r = 0; r < ROWS; r++)
        softmax((double *)(m->o + r * m->class_vecs), m->outputs, m->class_vecs);
}

/* Y becomes R - Y, and 0 in rows that are none; returns the rows' loss. */
SIMD_INLINE double differences(struct mlpfull *m, const struct dataset *data, size_t from,
                               size_t count) {
    double loss = 0;
    for (size_t r = 0; r < ROWS; r++) {
        vec *d = m->o + r * m->class_vecs;
        for (size_t i = 0; i < m->class_vecs; i++)
            d[i] = r < count ? -d[i] : (vec){0};
        if (r >= count)
            continue;
        double *right = (double *)d + dataset_label(data, from + r);
        loss -= log(1e-6 - *right);
        *right += 1;
    }
    return loss;
}

/* What the differences mean for X W: (R - Y) V1t, where X W >= 0. */
SIMD_INLINE void hidden_differences(struct mlpfull *m) {
    for (size_t c = 0; c < m->hidden_vecs; c++) {
        vec sum[ROWS] = {0};
        for (size_t i = 0; i < m->outputs; i++) {
            vec weights = m->vt[i * m->hidden_vecs + c];
            UNROLL(8)
            for (size_t r = 0; r < ROWS; r++)
                sum[r] += ((const double *)(m->o + r * m->class_vecs))[i] * weights;
        }
        UNROLL(8)
        for (size_t r = 0; r < ROWS; r++) {
            vec *a = &m->a[r * m->hidden_vecs + c];
            *a = (vec)((ivec)sum[r] & (*a >= 0));
        }
    }
}

SIMD_CLONES double mlpfull_gradient(struct mlpfull *m, const struct dataset *data) {
    memset(m->dw, 0, m->inputs * m->hidden_vecs * sizeof(vec));
    memset(m->dv, 0, m->units * m->class_vecs * sizeof(vec));
    double loss = 0;
    for (size_t from = 0; from < data->rows; from += ROWS) {
        size_t count = data->rows - from < ROWS ? data->rows - from : ROWS;
        take_rows(m, data, from, count);
        forward(m);
        loss += differences(m, data, from, count);
        outer(m->z, m->units, m->o, m->units, m->class_vecs, m->dv);
        hidden_differences(m);
        outer(m->x, m->inputs, m->a, m->inputs, m->hidden_vecs, m->dw);
    }
    return loss;
}

SIMD_CLONES void mlpfull_forward(struct mlpfull *m, const struct dataset *data, size_t from,
                                 size_t count, double *y) {
    for (size_t done = 0; done < count; done += ROWS) {
        size_t rows = count - done < ROWS ? count - done : ROWS;
        take_rows(m, data, from + done, rows);
        forward(m);
        for (size_t r = 0; r < rows; r++)
            memcpy(y + (done + r) * m->outputs, m->o + r * m->class_vecs, m->outputs * sizeof *y);
    }
}
