/* See mlpfull.h. */
#include "kernels/kit/mlpfull.h"

#include <math.h>
#include <string.h>

#include "kernels/kit/simd.h"

#define ROWS 8 /* that go through the layers at a time: a number of all of them, then the next */
#define STEP 8 /* columns are padded to a multiple of this many, of the widest vectors */

#define PRAGMA(text) _Pragma(#text)
#define UNROLL(n)    PRAGMA(GCC unroll n)

/* All but the bias are multiples of STEP apart. */
struct mlpfull {
    struct mlp_shape shape;
    size_t inputs, units;           /* with the bias: 1 + inputs, 1 + hidden */
    size_t hidden_room, class_room; /* padded */
    double *w, *dw;                 /* inputs x hidden_room */
    double *v, *dv;                 /* units x class_room; v has STEP rows of zeros more */
    /* Of the rows under way, turned: ROWS numbers that belong together. */
    double *x; /* inputs x ROWS */
    double *a; /* hidden x ROWS: X W */
    double *z; /* units x ROWS */
    double *o; /* classes x ROWS: O, then Y, then R - Y */
    double *b; /* hidden x ROWS: (R - Y) V1t where X W >= 0 */
    double *d; /* R - Y, then b, not turned: ROWS x the larger of hidden_room and class_room */
};

bool mlpfull_narrow;

/* --- memory -------------------------------------------------------------------------------------
 */

static size_t padded(size_t numbers) {
    return (numbers + STEP - 1) / STEP * STEP;
}

/* Where the next part begins; with memory NULL only counted. */
static void *part(void *memory, size_t *at, size_t numbers) {
    void *begin = memory == NULL ? NULL : (char *)memory + *at;
    *at += padded(numbers) * sizeof(double);
    return begin;
}

static size_t lay_out(struct mlpfull *m, void *memory, struct mlp_shape shape) {
    *m = (struct mlpfull){.shape = shape,
                          .inputs = shape.inputs + 1,
                          .units = shape.hidden + 1,
                          .hidden_room = padded(shape.hidden),
                          .class_room = padded(shape.classes)};
    size_t at = 0, widest = m->hidden_room > m->class_room ? m->hidden_room : m->class_room;
    part(memory, &at, sizeof *m / sizeof(double) + 1);
    m->w = part(memory, &at, m->inputs * m->hidden_room);
    m->dw = part(memory, &at, m->inputs * m->hidden_room);
    m->v = part(memory, &at, (m->units + STEP) * m->class_room);
    m->dv = part(memory, &at, m->units * m->class_room);
    m->x = part(memory, &at, m->inputs * ROWS);
    m->a = part(memory, &at, m->hidden_room * ROWS);
    m->z = part(memory, &at, m->units * ROWS);
    m->o = part(memory, &at, m->class_room * ROWS);
    m->b = part(memory, &at, m->hidden_room * ROWS);
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

static void spread(double *to, const double *from, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * padded(columns), from + i * columns, columns * sizeof *from);
}

static void gather(double *to, const double *from, size_t rows, size_t columns) {
    for (size_t i = 0; i < rows; i++)
        memcpy(to + i * columns, from + i * padded(columns), columns * sizeof *to);
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

SIMD_CLONES static void add_times(double *to, double rate, const double *from, size_t count) {
    for (size_t i = 0; i < count; i++)
        to[i] += rate * from[i];
}

void mlpfull_move(struct mlpfull *m, double rate) {
    add_times(m->w, rate, m->dw, m->inputs * m->hidden_room);
    add_times(m->v, rate, m->dv, m->units * m->class_room);
}

/* --- the arithmetic -----------------------------------------------------------------------------
 */

/* Fills x with `count` rows of data and, up to ROWS, with zeros. */
SIMD_INLINE void take_rows(struct mlpfull *m, const struct dataset *data, size_t from,
                           size_t count) {
    for (size_t r = 0; r < ROWS; r++) {
        double *x = m->x + r;
        const uint8_t *values = r < count ? dataset_row(data, from + r) : NULL;
        x[0] = 1;
        for (size_t i = 1; i < m->inputs; i++)
            x[i * ROWS] = values != NULL ? values[i - 1] * data->scale : 0;
    }
}

/* Y becomes R - Y, and 0 in rows that are none; returns the rows' loss. */
SIMD_INLINE double differences(struct mlpfull *m, const struct dataset *data, size_t from,
                               size_t count) {
    double loss = 0, *d = m->o;
    for (size_t i = 0; i < m->shape.classes * ROWS; i++)
        d[i] = -d[i];
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

typedef double square_row __attribute__((vector_size(32)));

/* Turns 4 x 4 numbers; `from` are ROWS apart, `to` are `room`. */
SIMD_INLINE void turn_square(const double *from, double *to, size_t room) {
    square_row p = *(const square_row *)from, q = *(const square_row *)(from + ROWS);
    square_row r = *(const square_row *)(from + 2 * ROWS);
    square_row s = *(const square_row *)(from + 3 * ROWS);
    square_row low_pq = __builtin_shufflevector(p, q, 0, 4, 2, 6);
    square_row high_pq = __builtin_shufflevector(p, q, 1, 5, 3, 7);
    square_row low_rs = __builtin_shufflevector(r, s, 0, 4, 2, 6);
    square_row high_rs = __builtin_shufflevector(r, s, 1, 5, 3, 7);
    *(square_row *)to = __builtin_shufflevector(low_pq, low_rs, 0, 1, 4, 5);
    *(square_row *)(to + room) = __builtin_shufflevector(high_pq, high_rs, 0, 1, 4, 5);
    *(square_row *)(to + 2 * room) = __builtin_shufflevector(low_pq, low_rs, 2, 3, 6, 7);
    *(square_row *)(to + 3 * room) = __builtin_shufflevector(high_pq, high_rs, 2, 3, 6, 7);
}

/* Rows of ROWS become rows of columns, `room` apart. */
SIMD_INLINE void turn_back(const double *turned, size_t columns, size_t room, double *rows) {
    for (size_t c = 0; c < padded(columns); c += 4)
        for (size_t half = 0; half < ROWS; half += 4)
            turn_square(turned + c * ROWS + half, rows + half * room + c, room);
}

#define LANES     4
#define PER(name) name##_narrow
#define CPU       SIMD_CLONES
#include "kernels/kit/mlpfull_lanes.h"

#ifdef SIMD_WIDE
#define LANES     8
#define PER(name) name##_wide
#define CPU       SIMD_WIDE
#include "kernels/kit/mlpfull_lanes.h"
#define CHOOSE(name) (!mlpfull_narrow && SIMD_IS_WIDE ? name##_wide : name##_narrow)
#else
#define CHOOSE(name) name##_narrow
#endif

double mlpfull_gradient(struct mlpfull *m, const struct dataset *data) {
    memset(m->dw, 0, m->inputs * m->hidden_room * sizeof(double));
    memset(m->dv, 0, m->units * m->class_room * sizeof(double));
    return CHOOSE(gradient)(m, data);
}

void mlpfull_forward(struct mlpfull *m, const struct dataset *data, size_t from, size_t count,
                     double *y) {
    size_t classes = m->shape.classes;
    for (size_t done = 0; done < count; done += ROWS) {
        size_t rows = count - done < ROWS ? count - done : ROWS;
        CHOOSE(outputs)(m, data, from + done, rows);
        for (size_t r = 0; r < rows; r++)
            for (size_t c = 0; c < classes; c++)
                y[(done + r) * classes + c] = m->o[c * ROWS + r];
    }
}

void mlpfull_exp(double x[4]) {
    vec_narrow v;
    memcpy(&v, x, sizeof v);
    exp_narrow(&v);
    memcpy(x, &v, sizeof v);
}
