#include "kernels/kit/randmat.h"

#include <math.h>

#include "kernels/kit/parallel.h"

static const struct {
    const char *name;
    unsigned significand, sum;
} types[RANDMAT_TYPE_COUNT] = {
#define X(symbol, name, significand, sum) {name, significand, sum},
    RANDMAT_TYPES(X)
#undef X
};

const char *randmat_type_name(enum randmat_type type) {
    return types[type].name;
}

unsigned randmat_bits(enum randmat_type type, size_t k) {
    unsigned log = 0; /* k <= 2^log */
    while (log < 63 && (UINT64_C(1) << log) < k)
        log++;
    if (log > types[type].sum)
        return 0;
    unsigned bits = (types[type].sum - log) / 2 + 1;
    return bits < types[type].significand ? bits : types[type].significand;
}

/* --- filling -------------------------------------------------------------------------------- */

#define LEAST 32768 /* elements that are worth a thread */

struct filling {
    void *data;
    uint64_t key;
    unsigned bits;
    bool single;
};

static void fill(void *arg, unsigned part, size_t begin, size_t end) {
    (void)part;
    const struct filling *filling = arg;
    uint64_t key = filling->key;
    unsigned bits = filling->bits;
    if (filling->single) {
        float *data = filling->data, scale = ldexpf(1, 1 - (int)bits);
        for (size_t i = begin; i < end; i++)
            data[i] = (float)(int32_t)randmat_unit(key, i, bits) * scale;
    } else {
        double *data = filling->data, scale = ldexp(1, 1 - (int)bits);
        for (size_t i = begin; i < end; i++)
            data[i] = (double)randmat_unit(key, i, bits) * scale;
    }
}

void randmat_values(const struct randmat *p, unsigned which, size_t first, size_t count,
                    double *values) {
    uint64_t key = randmat_key(p->seed, which);
    double scale = ldexp(1, 1 - (int)p->bits);
    for (size_t i = 0; i < count; i++)
        values[i] = (double)randmat_unit(key, first + i, p->bits) * scale;
}

void randmat_fill(const struct randmat *p, unsigned threads) {
    struct filling a = {p->a, randmat_key(p->seed, RANDMAT_A), p->bits, p->single};
    struct filling b = {p->b, randmat_key(p->seed, RANDMAT_B), p->bits, p->single};
    parallel_for(threads, p->m * p->k, LEAST, fill, &a);
    parallel_for(threads, p->k * p->n, LEAST, fill, &b);
}

/* --- checking ------------------------------------------------------------------------------- */

/* Adds to *wrong when the number is no integer, or larger than any sum can be. */
static inline uint64_t to_units(double number, unsigned *wrong) {
    bool in_range = fabs(number) <= 0x1p53; /* not for NaN */
    number = in_range ? number : 0;
    int64_t unit = (int64_t)number;
    *wrong |= !in_range | ((double)unit != number);
    return (uint64_t)unit;
}

static uint64_t dot(const void *line, bool single, size_t len, double scale, const uint64_t *vector,
                    unsigned *wrong) {
    uint64_t sum = 0;
    const float *floats = line;
    const double *doubles = line;
    if (single)
        for (size_t i = 0; i < len; i++)
            sum += to_units((double)floats[i] * scale, wrong) * vector[i];
    else
        for (size_t i = 0; i < len; i++)
            sum += to_units(doubles[i] * scale, wrong) * vector[i];
    return sum;
}

struct checking {
    const struct randmat *product;
    uint64_t *x, *y;
    uint64_t weights;
    struct {
        size_t row; /* SIZE_MAX: none is wrong */
        uint64_t fingerprint;
    } part[PARALLEL_MAX];
};

static const void *line_of(const void *data, bool single, size_t line, size_t len) {
    return (const char *)data + line * len * (single ? sizeof(float) : sizeof(double));
}

static void make_x(void *arg, unsigned part, size_t begin, size_t end) {
    (void)part;
    struct checking *checking = arg;
    uint64_t key = randmat_key(checking->product->seed, RANDMAT_X);
    for (size_t j = begin; j < end; j++)
        checking->x[j] = randmat_odd(key, j);
}

/* An element of B that is none of ours makes a sum that will not fit. */
static void make_y(void *arg, unsigned part, size_t begin, size_t end) {
    (void)part;
    struct checking *checking = arg;
    const struct randmat *p = checking->product;
    double scale = ldexp(1, (int)p->bits - 1);
    for (size_t l = begin; l < end; l++) {
        unsigned wrong = 0;
        checking->y[l] =
            dot(line_of(p->b, p->single, l, p->n), p->single, p->n, scale, checking->x, &wrong);
    }
}

static void check_rows(void *arg, unsigned part, size_t begin, size_t end) {
    struct checking *checking = arg;
    const struct randmat *p = checking->product;
    double scale = ldexp(1, (int)p->bits - 1);
    size_t first = SIZE_MAX;
    uint64_t fingerprint = 0;
    for (size_t i = begin; i < end; i++) {
        unsigned wrong = 0;
        uint64_t z =
            dot(line_of(p->a, p->single, i, p->k), p->single, p->k, scale, checking->y, &wrong);
        uint64_t w = dot(line_of(p->c, p->single, i, p->n), p->single, p->n, scale * scale,
                         checking->x, &wrong);
        fingerprint += w * randmat_odd(checking->weights, i);
        if ((wrong || z != w) && first == SIZE_MAX)
            first = i;
    }
    checking->part[part].row = first;
    checking->part[part].fingerprint = fingerprint;
}

struct randmat_verdict randmat_check(const struct randmat *p, unsigned threads, uint64_t *work) {
    struct checking checking = {.product = p,
                                .x = work,
                                .y = work + p->n,
                                .weights = randmat_key(p->seed, RANDMAT_WEIGHTS)};
    parallel_for(threads, p->n, LEAST, make_x, &checking);
    parallel_for(threads, p->k, 1 + LEAST / (p->n + 1), make_y, &checking);
    unsigned parts =
        parallel_for(threads, p->m, 1 + LEAST / (p->n + p->k + 1), check_rows, &checking);
    struct randmat_verdict verdict = {.right = true};
    for (unsigned part = 0; part < parts; part++) {
        verdict.fingerprint += checking.part[part].fingerprint;
        if (verdict.right && checking.part[part].row != SIZE_MAX) {
            verdict.right = false;
            verdict.row = checking.part[part].row;
        }
    }
    return verdict;
}
