/* What the mlp_ kernels are made of, against plain loops in float64. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "kernels/kit/dataset.h"
#include "kernels/kit/glibcrand.h"
#include "kernels/kit/mlp.h"
#include "kernels/kit/mlpfull.h"
#include "kernels/kit/mlpsgd.h"
#include "kernels/kit/shuffle.h"

static struct shuffle random_numbers = {.state = 20261121};
static size_t draw(size_t below) {
    return (size_t)(shuffle_next(&random_numbers) % below);
}

static void *aligned(size_t bytes) {
    void *memory = aligned_alloc(64, (bytes + 63) / 64 * 64);
    assert_non_null(memory);
    return memory;
}

/* --- networks in files --------------------------------------------------------------------------
 */

static const struct mlp_shape small = {3, 2, 4};

static struct kernel_array model(enum mlp_kind kind, enum kernel_dtype dtype, struct mlp *m) {
    struct kernel_array array = {.dtype = dtype, .dims = 1, .shape = {mlp_length(kind, small)}};
    array.data = calloc(array.shape[0], sizeof(double));
    mlp_begin(&array, kind, small, m);
    return array;
}

static void a_network_is_read_back(void **state) {
    (void)state;
    static const enum kernel_dtype dtypes[] = {KERNEL_F64, KERNEL_F32};
    for (int kind = MLP_WEIGHTS; kind <= MLP_GRADIENT; kind++)
        for (int d = 0; d < 2; d++) {
            struct mlp made, read;
            char error[200] = "";
            struct kernel_array array = model((enum mlp_kind)kind, dtypes[d], &made);
            if (!mlp_open(&array, &read, error, sizeof error))
                fail_msg("%s", error);
            assert_int_equal(read.kind, kind);
            assert_true(mlp_same_shape(&made, &read) && read.numbers == made.numbers);
            free(array.data);
        }
}

static void what_is_no_network_is_refused(void **state) {
    (void)state;
    struct mlp m;
    char error[200];
    struct kernel_array array = model(MLP_WEIGHTS, KERNEL_F64, &m);
    double *all = array.data;
    size_t length = array.shape[0];
    static const double heads[][4] = {{0, 3, 2, 4},   {4, 3, 2, 4},         {1, 3.5, 2, 4},
                                      {1, -3, 2, 4},  {1, 3, 1e9, 4},       {1, 3, 2, 257},
                                      {1, NAN, 2, 4}, {1, 3, 2, -INFINITY}, {1, 3, 2, 0}};
    for (size_t i = 0; i < sizeof heads / sizeof *heads; i++) {
        memcpy(all, heads[i], sizeof heads[i]);
        assert_false(mlp_open(&array, &m, error, sizeof error));
        assert_non_null(strstr(error, "not a network"));
    }
    mlp_begin(&array, MLP_WEIGHTS, small, &m);
    all[2] = 3;
    assert_false(mlp_open(&array, &m, error, sizeof error));
    assert_non_null(strstr(error, "a network of 3-3-4 has"));
    all[2] = 2;
    for (size_t i = MLP_HEAD; i < length; i++) {
        static const double bad[] = {NAN, INFINITY, -INFINITY};
        all[i] = bad[i % 3];
        assert_false(mlp_open(&array, &m, error, sizeof error));
        assert_non_null(strstr(error, "a network's are finite"));
        all[i] = 0;
    }
    array.dims = 2;
    assert_false(mlp_open(&array, &m, error, sizeof error));
    array.dims = 1;
    array.dtype = KERNEL_I64;
    assert_false(mlp_open(&array, &m, error, sizeof error));
    free(all);
}

/* The letters' first weights: the numbers that the C library itself gives, V before W. */
static void the_start_of_letters(void **state) {
    (void)state;
    double numbers[20];
    struct glibcrand g;
    glibcrand_seed(&g, 0);
    mlp_start_f64(numbers, small, 0);
    for (size_t i = 0; i < 12; i++)
        assert_true(numbers[8 + i] == -0.01 + 0.02 * ((double)glibcrand_next(&g) / GLIBCRAND_MAX));
    for (size_t i = 0; i < 8; i++)
        assert_true(numbers[i] == -0.01 + 0.02 * ((double)glibcrand_next(&g) / GLIBCRAND_MAX));
}

static void the_start_in_float32(void **state) {
    (void)state;
    struct mlp_shape shape = {50, 40, 10};
    size_t count = mlp_weights(shape);
    float *a = aligned(count * 4), *b = aligned(count * 4);
    mlp_start_f32(a, shape, 5);
    mlp_start_f32(b, shape, 5);
    assert_memory_equal(a, b, count * 4);
    mlp_start_f32(b, shape, 6);
    assert_memory_not_equal(a, b, count * 4);
    double reach = sqrt(6.0 / 50), highest = 0;
    for (size_t i = 0; i < 51 * 40; i++) {
        assert_true(i >= 40 || fabsf(a[i]) <= 0);
        highest = fabs((double)a[i]) > highest ? fabs((double)a[i]) : highest;
    }
    assert_true(highest <= reach && highest > 0.98 * reach);
    free(a);
    free(b);
}

/* The mean of changes, to a rounding, and the same bits in any order. */
static void the_mean_hangs_on_no_order(void **state) {
    (void)state;
    enum { FILES_COUNT = 11 };
    static const enum kernel_dtype dtypes[] = {KERNEL_F64, KERNEL_F32};
    for (int d = 0; d < 2; d++) {
        struct mlp start, from[FILES_COUNT], turned[FILES_COUNT], out, again;
        struct kernel_array arrays[FILES_COUNT + 3];
        size_t count = mlp_weights(small), size = d == 0 ? 8 : 4;
        arrays[0] = model(MLP_WEIGHTS, dtypes[d], &start);
        arrays[1] = model(MLP_WEIGHTS, dtypes[d], &out);
        arrays[2] = model(MLP_WEIGHTS, dtypes[d], &again);
        for (size_t f = 0; f <= FILES_COUNT; f++) {
            struct mlp *m = f == FILES_COUNT ? &start : &from[f];
            if (f < FILES_COUNT)
                arrays[3 + f] = model(MLP_WEIGHTS, dtypes[d], m);
            for (size_t i = 0; i < count; i++) {
                double value = (shuffle_unit(&random_numbers) - 0.5) * pow(10, (double)draw(6));
                if (d == 0)
                    ((double *)m->numbers)[i] = value;
                else
                    ((float *)m->numbers)[i] = (float)value;
            }
        }
        mlp_mean(&start, from, FILES_COUNT, &out);
        for (size_t i = 0; i < count; i++) {
            long double sum = 0;
            for (size_t f = 0; f < FILES_COUNT; f++)
                sum += d == 0 ? (long double)((double *)from[f].numbers)[i]
                              : (long double)((float *)from[f].numbers)[i];
            double mean = (double)(sum / FILES_COUNT);
            double got = d == 0 ? ((double *)out.numbers)[i] : (double)((float *)out.numbers)[i];
            assert_true(fabs(got - mean) <= (d == 0 ? 1e-9 : 1e-1));
        }
        for (int turn = 0; turn < 20; turn++) {
            memcpy(turned, from, sizeof from);
            for (size_t f = FILES_COUNT - 1; f > 0; f--) {
                size_t other = draw(f + 1);
                struct mlp swap = turned[f];
                turned[f] = turned[other];
                turned[other] = swap;
            }
            mlp_mean(&start, turned, FILES_COUNT, &again);
            assert_memory_equal(out.numbers, again.numbers, count * size);
        }
        for (size_t i = 0; i < FILES_COUNT + 3; i++)
            free(arrays[i].data);
    }
}

static void a_step_along_gradients(void **state) {
    (void)state;
    struct mlp start, gradients[2], out;
    struct kernel_array arrays[] = {
        model(MLP_MOMENTUM, KERNEL_F64, &start), model(MLP_GRADIENT, KERNEL_F64, &gradients[0]),
        model(MLP_GRADIENT, KERNEL_F64, &gradients[1]), model(MLP_MOMENTUM, KERNEL_F64, &out)};
    size_t count = mlp_weights(small);
    double *weights = start.numbers, *g0 = gradients[0].numbers, *g1 = gradients[1].numbers;
    for (size_t i = 0; i < count; i++) {
        weights[i] = (double)i;
        weights[count + i] = 10;
        g0[i] = 1;
        g1[i] = 5;
    }
    g0[count + 1] = 3;
    g1[count + 1] = 1;
    const double *got = out.numbers;
    mlp_step(&start, gradients, 2, 0.5, 0.1, true, &out); /* 0.1 x 10 + 0.5 x 6 / 4 */
    for (size_t i = 0; i < count; i++)
        assert_true(fabs(got[i] - ((double)i + 1.75)) < 1e-12 &&
                    fabs(got[count + i] - 1.75) < 1e-12);
    mlp_step(&start, gradients, 2, 0.5, 0, false, &out);
    for (size_t i = 0; i < count; i++)
        assert_true(fabs(got[i] - ((double)i + 3)) < 1e-12);
    g0[count + 1] = g1[count + 1] = 0; /* of no rows */
    mlp_step(&start, gradients, 2, 0.5, 0.1, true, &out);
    assert_memory_equal(out.numbers, start.numbers, 2 * count * sizeof(double));
    for (size_t i = 0; i < 4; i++)
        free(arrays[i].data);
}

/* --- the arithmetic -----------------------------------------------------------------------------
 */

struct plain {
    struct mlp_shape shape;
    double *gradient, *y;
    double loss;
};

static struct dataset random_data(size_t rows, struct mlp_shape shape, unsigned most) {
    uint8_t *bytes = malloc(rows * (shape.inputs + 1) + 1);
    for (size_t r = 0; r < rows; r++) {
        uint8_t *row = bytes + r * (shape.inputs + 1);
        for (size_t i = 0; i < shape.inputs; i++)
            row[i] = (uint8_t)draw(most + 1);
        row[shape.inputs] = (uint8_t)draw(shape.classes);
    }
    return (struct dataset){.rows = rows,
                            .columns = shape.inputs,
                            .values = bytes,
                            .labels = bytes + shape.inputs,
                            .stride = shape.inputs + 1,
                            .label_stride = shape.inputs + 1,
                            .scale = most > 15 ? 1.0 / 255 : 1,
                            .memory = {bytes}};
}

/* One row through the formulas; adds to gradient and loss. full: with the 1e-6 of the letters. */
static void plain_row(struct plain *p, const double *w, const struct dataset *d, size_t row,
                      bool full) {
    size_t h = p->shape.hidden, k = p->shape.classes, n = p->shape.inputs;
    const double *v = w + (n + 1) * h;
    double *dv = p->gradient + (n + 1) * h, *y = p->y + row * k;
    double a[64], z[65] = {1}, o[64], loss_of[64];
    for (size_t j = 0; j < h; j++) {
        a[j] = w[j];
        for (size_t i = 0; i < n; i++)
            a[j] += dataset_row(d, row)[i] * d->scale * w[(i + 1) * h + j];
        z[j + 1] = a[j] > 0 ? a[j] : 0;
    }
    for (size_t c = 0; c < k; c++) {
        o[c] = 0;
        for (size_t j = 0; j <= h; j++)
            o[c] += z[j] * v[j * k + c];
    }
    unsigned label = dataset_label(d, row);
    for (size_t c = 0; c < k; c++) {
        double sum = 0;
        for (size_t other = 0; other < k; other++)
            sum += exp(o[other] - o[c]);
        y[c] = 1 / (sum + (full ? 1e-6 : 0));
        loss_of[c] = (c == label) - y[c];
    }
    p->loss -= log(y[label] + (full ? 1e-6 : 0));
    for (size_t j = 0; j <= h; j++)
        for (size_t c = 0; c < k; c++)
            dv[j * k + c] += z[j] * loss_of[c];
    for (size_t j = 0; j < h; j++) {
        double back = 0;
        for (size_t c = 0; c < k; c++)
            back += loss_of[c] * v[(j + 1) * k + c];
        if (full ? a[j] < 0 : a[j] <= 0)
            continue;
        p->gradient[j] += back;
        for (size_t i = 0; i < n; i++)
            p->gradient[(i + 1) * h + j] += dataset_row(d, row)[i] * d->scale * back;
    }
}

static struct plain plain_gradient(struct mlp_shape shape, const double *w, const struct dataset *d,
                                   bool full) {
    struct plain p = {.shape = shape,
                      .gradient = calloc(mlp_weights(shape), sizeof(double)),
                      .y = calloc(d->rows * shape.classes + 1, sizeof(double))};
    for (size_t row = 0; row < d->rows; row++)
        plain_row(&p, w, d, row, full);
    return p;
}

static const struct {
    struct mlp_shape shape;
    size_t rows;
} sizes[] = {{{16, 20, 26}, 100}, {{1, 1, 1}, 1},  {{1, 1, 2}, 9},    {{5, 1, 3}, 17},
             {{1, 13, 2}, 8},     {{3, 4, 1}, 7},  {{16, 24, 26}, 0}, {{7, 33, 17}, 64},
             {{0, 3, 2}, 5},      {{4, 0, 3}, 10}, {{40, 8, 64}, 31}};
#define SIZES (sizeof sizes / sizeof *sizes)

static double *random_weights(struct mlp_shape shape, double reach) {
    double *w = aligned(mlp_weights(shape) * sizeof *w);
    for (size_t i = 0; i < mlp_weights(shape); i++)
        w[i] = reach * (2 * shuffle_unit(&random_numbers) - 1);
    return w;
}

static void close_to(const double *got, const double *want, size_t count, double part) {
    double most = 1e-300;
    for (size_t i = 0; i < count; i++)
        most = fabs(want[i]) > most ? fabs(want[i]) : most;
    for (size_t i = 0; i < count; i++)
        if (!(fabs(got[i] - want[i]) <= part * (most + 1e-9)))
            fail_msg("number %zu: %.17g, expected %.17g", i, got[i], want[i]);
}

/* The same tests once more with the vectors of a CPU that has no wider ones. */
static int narrow(void **state) {
    (void)state;
    mlpfull_narrow = true;
    return 0;
}

static int wide(void **state) {
    (void)state;
    mlpfull_narrow = false;
    return 0;
}

#define NARROW(test)                                                                               \
    { #test "_narrow", test, narrow, wide, NULL }

static void full_gradients(void **state) {
    (void)state;
    for (size_t s = 0; s < SIZES; s++) {
        struct mlp_shape shape = sizes[s].shape;
        struct dataset d = random_data(sizes[s].rows, shape, 15);
        double *w = random_weights(shape, 0.3);
        struct plain plain = plain_gradient(shape, w, &d, true);
        size_t count = mlp_weights(shape);
        void *memory = aligned(mlpfull_bytes(shape));
        struct mlpfull *m = mlpfull_new(memory, shape);
        double *got = aligned(count * sizeof *got);
        mlpfull_set(m, w);
        mlpfull_get(m, got);
        assert_memory_equal(got, w, count * sizeof *got);
        double loss = mlpfull_gradient(m, &d);
        assert_true(fabs(loss - plain.loss) <= 1e-12 * (1 + fabs(plain.loss)));
        mlpfull_get_gradient(m, got);
        close_to(got, plain.gradient, count, 1e-12);
        mlpfull_move(m, 0.01);
        mlpfull_get(m, got);
        for (size_t i = 0; i < count; i++)
            plain.gradient[i] = w[i] + 0.01 * plain.gradient[i];
        close_to(got, plain.gradient, count, 1e-12);
        mlpfull_set(m, w);
        double *y = calloc(d.rows * shape.classes + 1, sizeof *y);
        for (size_t from = 0; from < d.rows;
             from += 5) /* pieces that are no multiple of the block */
            mlpfull_forward(m, &d, from, d.rows - from < 5 ? d.rows - from : 5,
                            y + from * shape.classes);
        close_to(y, plain.y, d.rows * shape.classes, 1e-12);
        free(y);
        free(got);
        free(memory);
        free(plain.gradient);
        free(plain.y);
        free(w);
        dataset_free(&d);
    }
}

/* Weights that push o to the ends of what exp can do: no NaN, and the loss of the formulas. */
static void full_does_not_overflow(void **state) {
    (void)state;
    struct mlp_shape shape = {4, 3, 5};
    struct dataset d = random_data(40, shape, 15);
    double *w = random_weights(shape, 100);
    struct plain plain = plain_gradient(shape, w, &d, true);
    void *memory = aligned(mlpfull_bytes(shape));
    struct mlpfull *m = mlpfull_new(memory, shape);
    mlpfull_set(m, w);
    double loss = mlpfull_gradient(m, &d);
    assert_true(isfinite(loss) && fabs(loss - plain.loss) <= 1e-9 * plain.loss);
    free(memory);
    free(plain.gradient);
    free(plain.y);
    free(w);
    dataset_free(&d);
}

/* Twenty epochs of a small training give these bits, whatever compiled them and wherever they run.
 */
static void full_has_the_same_bits_everywhere(void **state) {
    (void)state;
    struct mlp_shape shape = {6, 9, 5};
    struct shuffle before = random_numbers;
    random_numbers.state = 11;
    struct dataset d = random_data(203, shape, 15);
    random_numbers = before;
    size_t count = mlp_weights(shape);
    double *w = aligned(count * sizeof *w);
    mlp_start_f64(w, shape, 0);
    void *memory = aligned(mlpfull_bytes(shape));
    struct mlpfull *m = mlpfull_new(memory, shape);
    mlpfull_set(m, w);
    for (int epoch = 0; epoch < 20; epoch++) {
        mlpfull_gradient(m, &d);
        mlpfull_move(m, 0.001);
    }
    mlpfull_get(m, w);
    uint64_t digest = 0;
    for (size_t i = 0; i < count; i++) {
        uint64_t bits;
        memcpy(&bits, &w[i], sizeof bits);
        digest = digest * UINT64_C(1099511628211) + bits;
    }
    if (digest != UINT64_C(0xd28d58e5545256a6))
        fail_msg("%016llx", (unsigned long long)digest);
    free(memory);
    free(w);
    dataset_free(&d);
}

static void exp_is_exp(void **state) {
    (void)state;
    for (int i = 0; i < 100000; i++) {
        double x[4], y[4];
        for (int k = 0; k < 4; k++)
            x[k] = y[k] = -shuffle_unit(&random_numbers) * (k == 0 ? 700 : k == 1 ? 20 : 0.7);
        mlpfull_exp(y);
        for (int k = 0; k < 4; k++) {
            double want = exp(x[k]);
            assert_true(fabs(y[k] - want) <= 1.5 * (nextafter(want, 2) - want));
        }
    }
    double ends[4] = {0, -708, -1e300, -INFINITY};
    mlpfull_exp(ends);
    assert_true(ends[0] == 1 && ends[1] > 0 && ends[1] < 1e-300);
    assert_true(ends[2] == ends[1] && ends[3] == ends[1]);
}

static void sgd_gradients(void **state) {
    (void)state;
    for (size_t s = 0; s < SIZES; s++) {
        struct mlp_shape shape = sizes[s].shape;
        size_t count = mlp_weights(shape), rows = sizes[s].rows;
        struct dataset d = random_data(rows, shape, 255);
        double *w = random_weights(shape, 0.3), *got = aligned((count + 1) * sizeof *got);
        struct plain plain = plain_gradient(shape, w, &d, false);
        float *w32 = aligned(count * 4), *g32 = aligned(count * 4);
        for (size_t i = 0; i < count; i++) {
            w32[i] = (float)w[i];
            g32[i] = 0;
        }
        void *memory = aligned(mlpsgd_bytes(shape, 16));
        struct mlpsgd *m = mlpsgd_new(memory, shape, 16);
        double loss = 0;
        for (size_t from = 0; from < rows; from += 16)
            loss += mlpsgd_gradient(
                m, (struct mlpsgd_rows){&d, NULL, from, rows - from < 16 ? rows - from : 16}, w32,
                g32);
        for (size_t i = 0; i < count; i++)
            got[i] = (double)g32[i];
        close_to(got, plain.gradient, count, 1e-5);
        assert_true(fabs(loss - plain.loss) <= 1e-5 * (1 + plain.loss));
        free(memory);
        free(w32);
        free(g32);
        free(got);
        free(plain.gradient);
        free(plain.y);
        free(w);
        dataset_free(&d);
    }
}

/* Steps of 30 and 20 rows in an order of their own. */
static void compare_steps(double momentum, size_t steps) {
    struct mlp_shape shape = {9, 7, 4};
    size_t count = mlp_weights(shape);
    struct dataset d = random_data(50, shape, 255);
    double *w = random_weights(shape, 0.5), *velocity = calloc(count, sizeof *velocity);
    float *w32 = aligned(count * 4), *v32 = aligned(count * 4);
    for (size_t i = 0; i < count; i++) {
        w32[i] = (float)w[i];
        v32[i] = 0;
    }
    uint32_t order[50];
    struct shuffle s = shuffle_seed(1, 2);
    shuffle_order(&s, order, 50);
    void *memory = aligned(mlpsgd_bytes(shape, 30));
    struct mlpsgd *m = mlpsgd_new(memory, shape, 30);
    for (size_t step = 0; step < steps; step++) {
        size_t from = step % 2 * 30;
        size_t rows = 50 - from < 30 ? 50 - from : 30;
        struct plain p = {.shape = shape, .gradient = calloc(count, 8), .y = calloc(50 * 4, 8)};
        for (size_t i = 0; i < rows; i++)
            plain_row(&p, w, &d, order[from + i], false);
        for (size_t i = 0; i < count; i++) {
            velocity[i] = momentum * velocity[i] + 0.1 / (double)rows * p.gradient[i];
            w[i] += velocity[i];
        }
        mlpsgd_step(m, (struct mlpsgd_rows){&d, order, from, rows}, 0.1, momentum, w32, v32);
        if (step % 3 == 0 || step + 1 == steps)
            mlpsgd_settle(m, v32);
        free(p.gradient);
        free(p.y);
    }
    for (size_t i = 0; i < count; i++)
        assert_true(fabs((double)w32[i] - w[i]) < 1e-5 &&
                    fabs((double)v32[i] - velocity[i]) < 1e-5);
    free(memory);
    free(w);
    free(velocity);
    free(w32);
    free(v32);
    dataset_free(&d);
}

static void sgd_steps(void **state) {
    (void)state;
    compare_steps(0, 3);
    compare_steps(1e-4, 3);
    compare_steps(0.9, 2);
    compare_steps(0.5, 6);
}

/* So many that the factor would leave the numbers of a float. */
static void sgd_many_steps(void **state) {
    (void)state;
    struct mlp_shape shape = {3, 2, 2};
    struct dataset d = random_data(4, shape, 255);
    float *w32 = aligned(mlp_weights(shape) * 4), *v32 = aligned(mlp_weights(shape) * 4);
    double *w = random_weights(shape, 0.5);
    for (size_t i = 0; i < mlp_weights(shape); i++) {
        w32[i] = (float)w[i];
        v32[i] = 1;
    }
    void *memory = aligned(mlpsgd_bytes(shape, 4));
    struct mlpsgd *m = mlpsgd_new(memory, shape, 4);
    for (int step = 0; step < 5000; step++)
        mlpsgd_step(m, (struct mlpsgd_rows){.data = &d, .count = 4}, 0, 0.25, w32, v32);
    mlpsgd_settle(m, v32);
    /* Without a gradient: 1 was added, times 0.25 + 0.25^2 + ... = 1/3. */
    for (size_t i = 0; i < mlp_weights(shape); i++)
        assert_true(fabs((double)w32[i] - w[i] - 1.0 / 3) < 1e-5 && fabsf(v32[i]) < 1e-30F);
    free(memory);
    free(w);
    free(w32);
    free(v32);
    dataset_free(&d);
}

static void sizes_are_counted(void **state) {
    (void)state;
    struct mlp_shape most = {MLP_SIZE_MAX, MLP_SIZE_MAX, DATASET_LABELS};
    assert_true(mlpfull_bytes(most) > mlp_weights(most) * sizeof(double));
    assert_true(mlpsgd_bytes(most, 1) > 0);
    most.inputs++;
    assert_int_equal(mlpfull_bytes(most), 0);
    assert_int_equal(mlpsgd_bytes(most, 1), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_network_is_read_back),
        cmocka_unit_test(what_is_no_network_is_refused),
        cmocka_unit_test(the_start_of_letters),
        cmocka_unit_test(the_start_in_float32),
        cmocka_unit_test(the_mean_hangs_on_no_order),
        cmocka_unit_test(a_step_along_gradients),
        cmocka_unit_test(full_gradients),
        NARROW(full_gradients),
        cmocka_unit_test(full_does_not_overflow),
        NARROW(full_does_not_overflow),
        cmocka_unit_test(full_has_the_same_bits_everywhere),
        NARROW(full_has_the_same_bits_everywhere),
        cmocka_unit_test(exp_is_exp),
        cmocka_unit_test(sgd_gradients),
        cmocka_unit_test(sgd_steps),
        cmocka_unit_test(sgd_many_steps),
        cmocka_unit_test(sizes_are_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
