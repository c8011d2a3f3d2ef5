/* See mlpfull.h. */
#include "kernels/kit/mlpfull.h"

#include <math.h>
#include <string.h>

#include "kernels/kit/simd.h"

typedef double vec __attribute__((vector_size(32)));
typedef int64_t ivec __attribute__((vector_size(32)));
#define LANES 4
#define ROWS  8 /* that go through the layers at a time, a row in a lane */
#define PAIR  2 /* vectors that they fill */

#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n)    PRAGMA(GCC unroll n)

struct mlpfull {
    struct mlp_shape shape;
    size_t inputs, units; /* with the bias: 1 + inputs, 1 + hidden */
    size_t hidden_vecs, class_vecs;
    vec *w, *dw; /* inputs x hidden_vecs */
    vec *v, *dv; /* units x class_vecs; v has LANES rows of zeros more */
    /* Of the rows under way, turned: a number of all of them, then the next. */
    vec *x; /* inputs x PAIR */
    vec *a; /* hidden x PAIR: X W */
    vec *z; /* units x PAIR */
    vec *o; /* classes x PAIR: O, then Y, then R - Y */
    vec *b; /* hidden x PAIR: (R - Y) V1t where X W >= 0 */
    vec *d; /* R - Y, then b, not turned: ROWS x the larger of hidden_vecs and class_vecs */
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
                          .hidden_vecs = vecs_for(shape.hidden),
                          .class_vecs = vecs_for(shape.classes)};
    size_t at = 0, widest = m->hidden_vecs > m->class_vecs ? m->hidden_vecs : m->class_vecs;
    part(memory, &at, vecs_for(sizeof *m));
    m->w = part(memory, &at, m->inputs * m->hidden_vecs);
    m->dw = part(memory, &at, m->inputs * m->hidden_vecs);
    m->v = part(memory, &at, (m->units + LANES) * m->class_vecs);
    m->dv = part(memory, &at, m->units * m->class_vecs);
    m->x = part(memory, &at, m->inputs * PAIR);
    m->a = part(memory, &at, m->hidden_vecs * LANES * PAIR);
    m->z = part(memory, &at, m->units * PAIR);
    m->o = part(memory, &at, m->class_vecs * LANES * PAIR);
    m->b = part(memory, &at, m->hidden_vecs * LANES * PAIR);
    m->d = part(memory, &at, ROWS * widest);
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

void mlpfull_set(struct mlpfull *m, const double *numbers) {
    spread(m->w, numbers, m->inputs, m->shape.hidden);
    spread(m->v, numbers + mlp_w_count(m->shape), m->units, m->shape.classes);
}

void mlpfull_get(const struct mlpfull *m, double *numbers) {
    gather(numbers, m->w, m->inputs, m->shape.hidden);
    gather(numbers + mlp_w_count(m->shape), m->v, m->units, m->shape.classes);
}

void mlpfull_get_gradient(const struct mlpfull *m, double *numbers) {
    gather(numbers, m->dw, m->inputs, m->shape.hidden);
    gather(numbers + mlp_w_count(m->shape), m->dv, m->units, m->shape.classes);
}

void mlpfull_move(struct mlpfull *m, double rate) {
    for (size_t i = 0; i < m->inputs * m->hidden_vecs; i++)
        m->w[i] += rate * m->dw[i];
    for (size_t i = 0; i < m->units * m->class_vecs; i++)
        m->v[i] += rate * m->dv[i];
}

/* --- the arithmetic -----------------------------------------------------------------------------
 */

/* out = A B, turned: k numbers of each row of A, k rows of B. */
SIMD_INLINE void multiply(const vec *a, const vec *b, size_t k, size_t vecs, vec *out) {
    for (size_t c = 0; c < vecs; c++) {
        vec sum[LANES][PAIR];
        UNROLL(4)
        for (size_t l = 0; l < LANES; l++)
            sum[l][0] = sum[l][1] = (vec){0};
        for (size_t i = 0; i < k; i++) {
            const double *weights = (const double *)&b[i * vecs + c];
            vec first = a[i * PAIR], second = a[i * PAIR + 1];
            UNROLL(4)
            for (size_t l = 0; l < LANES; l++) {
                sum[l][0] += first * weights[l];
                sum[l][1] += second * weights[l];
            }
        }
        UNROLL(4)
        for (size_t l = 0; l < LANES; l++) {
            out[(c * LANES + l) * PAIR] = sum[l][0];
            out[(c * LANES + l) * PAIR + 1] = sum[l][1];
        }
    }
}

/* out = A Bt, turned: k numbers of each row of A, `vecs` x LANES rows of B. */
SIMD_INLINE void multiply_back(const vec *a, const vec *b, size_t ldb, size_t k, size_t vecs,
                               vec *out) {
    for (size_t j = 0; j < vecs; j++) {
        const double *weights = (const double *)(b + j * LANES * ldb);
        vec sum[LANES][PAIR];
        UNROLL(4)
        for (size_t l = 0; l < LANES; l++)
            sum[l][0] = sum[l][1] = (vec){0};
        for (size_t i = 0; i < k; i++) {
            vec first = a[i * PAIR], second = a[i * PAIR + 1];
            UNROLL(4)
            for (size_t l = 0; l < LANES; l++) {
                sum[l][0] += first * weights[l * ldb * LANES + i];
                sum[l][1] += second * weights[l * ldb * LANES + i];
            }
        }
        UNROLL(4)
        for (size_t l = 0; l < LANES; l++) {
            out[(j * LANES + l) * PAIR] = sum[l][0];
            out[(j * LANES + l) * PAIR + 1] = sum[l][1];
        }
    }
}

/* G += At D, row after row; A is turned, D is not. */
SIMD_INLINE void outer(const vec *a, const vec *d, size_t k, size_t vecs, vec *g) {
    for (size_t c = 0; c < vecs; c++) {
        vec rows[ROWS];
        UNROLL(8)
        for (size_t r = 0; r < ROWS; r++)
            rows[r] = d[r * vecs + c];
        for (size_t i = 0; i < k; i++) {
            const double *numbers = (const double *)(a + i * PAIR);
            vec sum = g[i * vecs + c];
            UNROLL(8)
            for (size_t r = 0; r < ROWS; r++)
                sum += numbers[r] * rows[r];
            g[i * vecs + c] = sum;
        }
    }
}

/* Turns LANES x LANES numbers; `from` are PAIR vectors apart, `to` are `step`. */
SIMD_INLINE void turn_square(const vec *from, vec *to, size_t step) {
    vec p = from[0], q = from[PAIR], r = from[2 * PAIR], s = from[3 * PAIR];
    vec low_pq = __builtin_shufflevector(p, q, 0, 4, 2, 6);
    vec high_pq = __builtin_shufflevector(p, q, 1, 5, 3, 7);
    vec low_rs = __builtin_shufflevector(r, s, 0, 4, 2, 6);
    vec high_rs = __builtin_shufflevector(r, s, 1, 5, 3, 7);
    to[0] = __builtin_shufflevector(low_pq, low_rs, 0, 1, 4, 5);
    to[step] = __builtin_shufflevector(high_pq, high_rs, 0, 1, 4, 5);
    to[2 * step] = __builtin_shufflevector(low_pq, low_rs, 2, 3, 6, 7);
    to[3 * step] = __builtin_shufflevector(high_pq, high_rs, 2, 3, 6, 7);
}

SIMD_INLINE void turn_back(const vec *turned, size_t vecs, vec *rows) {
    for (size_t c = 0; c < vecs; c++)
        for (size_t half = 0; half < PAIR; half++)
            turn_square(turned + c * LANES * PAIR + half, rows + half * LANES * vecs + c, vecs);
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

/* O becomes Y. With the highest o taken off, exp cannot overflow. */
SIMD_INLINE void softmax(vec *o, size_t classes) {
    for (size_t half = 0; half < PAIR; half++, o++) {
        vec highest = o[0], sum = {0};
        for (size_t c = 1; c < classes; c++) {
            ivec higher = o[c * PAIR] > highest;
            highest = (vec)(((ivec)o[c * PAIR] & higher) | ((ivec)highest & ~higher));
        }
        for (size_t c = 0; c < classes; c++) {
            o[c * PAIR] -= highest;
            exp_vec(&o[c * PAIR]);
            sum += o[c * PAIR];
        }
        for (size_t c = 0; c < classes; c++)
            o[c * PAIR] = o[c * PAIR] / (sum + 1e-6 * o[c * PAIR]);
    }
}

/* Fills x with `count` rows of data and, up to ROWS, with zeros. */
SIMD_INLINE void take_rows(struct mlpfull *m, const struct dataset *data, size_t from,
                           size_t count) {
    for (size_t r = 0; r < ROWS; r++) {
        double *x = (double *)m->x + r;
        const uint8_t *values = r < count ? dataset_row(data, from + r) : NULL;
        x[0] = 1;
        for (size_t i = 1; i < m->inputs; i++)
            x[i * ROWS] = values != NULL ? values[i - 1] * data->scale : 0;
    }
}

/* X to Y, for the rows that x has. */
SIMD_INLINE void forward(struct mlpfull *m) {
    multiply(m->x, m->w, m->inputs, m->hidden_vecs, m->a);
    m->z[0] = m->z[1] = (vec){0} + 1;
    for (size_t i = 0; i < m->shape.hidden * PAIR; i++)
        m->z[PAIR + i] = (vec)((ivec)m->a[i] & ~(m->a[i] < 0));
    multiply(m->z, m->v, m->units, m->class_vecs, m->o);
    softmax(m->o, m->shape.classes);
}

/* Y becomes R - Y, and 0 in rows that are none; returns the rows' loss. */
SIMD_INLINE double differences(struct mlpfull *m, const struct dataset *data, size_t from,
                               size_t count) {
    double loss = 0, *d = (double *)m->o;
    for (size_t i = 0; i < m->shape.classes * PAIR; i++)
        m->o[i] = -m->o[i];
    for (size_t r = 0; r < count; r++) {
        double *right = d + dataset_label(data, from + r) * ROWS + r;
        loss -= log(1e-6 - *right);
        *right += 1;
    }
    for (size_t r = count; r < ROWS; r++)
        for (size_t c = 0; c < m->shape.classes; c++)
            d[c * ROWS + r] = 0;
    return loss;
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
        turn_back(m->o, m->class_vecs, m->d);
        outer(m->z, m->d, m->units, m->class_vecs, m->dv);
        multiply_back(m->o, m->v + m->class_vecs, m->class_vecs, m->shape.classes, m->hidden_vecs,
                      m->b);
        for (size_t i = 0; i < m->hidden_vecs * LANES * PAIR; i++)
            m->b[i] = (vec)((ivec)m->b[i] & ~(m->a[i] < 0));
        turn_back(m->b, m->hidden_vecs, m->d);
        outer(m->x, m->d, m->inputs, m->hidden_vecs, m->dw);
    }
    return loss;
}

SIMD_CLONES void mlpfull_forward(struct mlpfull *m, const struct dataset *data, size_t from,
                                 size_t count, double *y) {
    size_t classes = m->shape.classes;
    for (size_t done = 0; done < count; done += ROWS) {
        size_t rows = count - done < ROWS ? count - done : ROWS;
        take_rows(m, data, from + done, rows);
        forward(m);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < classes; c++)
                y[(done + r) * classes + c] = ((const double *)m->o)[c * ROWS + r];
    }
}
