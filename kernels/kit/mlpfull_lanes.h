/*
 * mlpfull_lanes.h - the arithmetic of mlpfull.c, for vectors of LANES numbers; included there once
 * for each kind of CPU. Before: LANES (4 or 8), PER(name) that makes a name this one's own, and
 * CPU, an attribute.
 *
 * All see the same memory, and make the same sums in the same order: a lane never meets another.
 */
#define vec  PER(vec)
#define ivec PER(ivec)
#define PAIR (ROWS / LANES) /* vectors that ROWS numbers fill */

typedef double vec __attribute__((vector_size(8 * LANES)));
typedef int64_t ivec __attribute__((vector_size(8 * LANES)));

/* How many vectors so many numbers fill. */
SIMD_INLINE size_t PER(fill)(size_t numbers) {
    return (numbers + LANES - 1) / LANES;
}

/* sum[l][p] += numbers[p] * weights[l * step]: a weight each for LANES sums of ROWS numbers. */
SIMD_INLINE void PER(add_product)(vec sum[LANES][PAIR], const vec *numbers, const double *weights,
                                  size_t step) {
    vec first = numbers[0], last = numbers[PAIR - 1];
    UNROLL(8)
    for (size_t l = 0; l < LANES; l++) {
        sum[l][0] += first * weights[l * step];
        if (PAIR > 1)
            sum[l][PAIR - 1] += last * weights[l * step];
    }
}

/*
 * out = A B, turned: k numbers of each row of A. The number of B in row i, column j is at
 * b[i * down + j * across].
 */
SIMD_INLINE void PER(multiply)(const double *a, const double *b, size_t down, size_t across,
                               size_t k, size_t columns, double *out) {
    const vec *numbers = (const vec *)a;
    for (size_t c = 0; c < columns; c += LANES) {
        vec sum[LANES][PAIR], *to = (vec *)(out + c * ROWS);
        UNROLL(8)
        for (size_t l = 0; l < LANES; l++) {
            sum[l][0] = (vec){0};
            sum[l][PAIR - 1] = (vec){0};
        }
        for (size_t i = 0; i < k; i++)
            PER(add_product)(sum, numbers + i * PAIR, b + i * down + c * across, across);
        UNROLL(8)
        for (size_t l = 0; l < LANES; l++) {
            to[l * PAIR] = sum[l][0];
            to[l * PAIR + PAIR - 1] = sum[l][PAIR - 1];
        }
    }
}

/* G += At D, row after row; A is turned, D is not. Rows of D and of G are `room` apart. */
SIMD_INLINE void PER(outer)(const double *a, const double *d, size_t k, size_t columns, size_t room,
                            double *g) {
    for (size_t c = 0; c < columns; c += LANES) {
        vec rows[ROWS];
        UNROLL(8)
        for (size_t r = 0; r < ROWS; r++)
            rows[r] = *(const vec *)(d + r * room + c);
        for (size_t i = 0; i < k; i++) {
            vec *to = (vec *)(g + i * room + c);
            vec sum = *to;
            UNROLL(8)
            for (size_t r = 0; r < ROWS; r++)
                sum += a[i * ROWS + r] * rows[r];
            *to = sum;
        }
    }
}

/*
 * x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) = 1 + r + r^2 q(r), by Taylor up to r^13; then n is
 * added to the exponent. 1 + r keeps its rest, so that only the last sum rounds by much.
 */
SIMD_INLINE void PER(exp)(vec *x) {
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

/* O becomes Y. With the highest o taken off, exp cannot overflow. */
SIMD_INLINE void PER(softmax)(double *outputs, size_t classes) {
    vec *o = (vec *)outputs;
    for (size_t half = 0; half < PAIR; half++, o++) {
        vec highest = o[0], sum = {0};
        for (size_t c = 1; c < classes; c++) {
            ivec higher = o[c * PAIR] > highest;
            highest = (vec)(((ivec)o[c * PAIR] & higher) | ((ivec)highest & ~higher));
        }
        for (size_t c = 0; c < classes; c++) {
            o[c * PAIR] -= highest;
            PER(exp)(&o[c * PAIR]);
            sum += o[c * PAIR];
        }
        for (size_t c = 0; c < classes; c++)
            o[c * PAIR] = o[c * PAIR] / (sum + 1e-6 * o[c * PAIR]);
    }
}

/* to = from, but 0 where `sign` is below 0. */
SIMD_INLINE void PER(keep)(const double *from, const double *sign, size_t count, double *to) {
    for (size_t i = 0; i < PER(fill)(count); i++)
        ((vec *)to)[i] = (vec)((ivec)((const vec *)from)[i] & ~(((const vec *)sign)[i] < 0));
}

/* X to Y, for the rows that x has. */
SIMD_INLINE void PER(forward)(struct mlpfull *m) {
    PER(multiply)(m->x, m->w, m->hidden_room, 1, m->inputs, m->shape.hidden, m->a);
    for (size_t r = 0; r < ROWS; r++)
        m->z[r] = 1;
    PER(keep)(m->a, m->a, m->shape.hidden * ROWS, m->z + ROWS);
    PER(multiply)(m->z, m->v, m->class_room, 1, m->units, m->shape.classes, m->o);
    PER(softmax)(m->o, m->shape.classes);
}

CPU static double PER(gradient)(struct mlpfull *m, const struct dataset *data) {
    double loss = 0;
    for (size_t from = 0; from < data->rows; from += ROWS) {
        size_t count = data->rows - from < ROWS ? data->rows - from : ROWS;
        take_rows(m, data, from, count);
        PER(forward)(m);
        loss += differences(m, data, from, count);
        turn_back(m->o, m->shape.classes, m->class_room, m->d);
        PER(outer)(m->z, m->d, m->units, m->shape.classes, m->class_room, m->dv);
        PER(multiply)
        (m->o, m->v + m->class_room, 1, m->class_room, m->shape.classes, m->shape.hidden, m->b);
        PER(keep)(m->b, m->a, m->shape.hidden * ROWS, m->b);
        turn_back(m->b, m->shape.hidden, m->hidden_room, m->d);
        PER(outer)(m->x, m->d, m->inputs, m->shape.hidden, m->hidden_room, m->dw);
    }
    return loss;
}

CPU static void PER(outputs)(struct mlpfull *m, const struct dataset *data, size_t from,
                             size_t count) {
    take_rows(m, data, from, count);
    PER(forward)(m);
}

#undef vec
#undef ivec
#undef PAIR
#undef PER
#undef LANES
#undef CPU
