#include "kernels/kit/randmat.h"

#include <math.h>
#include <string.h>

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

/*
 * Loops of a constant length over numbers that lie one after the other, without a branch: the
 * compiler makes vectors of them, and a copy for CPUs with wide ones.
 */
#define PIECE  128
#define SHARED static inline __attribute__((always_inline))
#if defined __x86_64__ && defined __GNUC__
#define WIDE     __attribute__((target("avx512f,avx512dq,avx512vl,prefer-vector-width=512")))
#define HAS_WIDE (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
#else
#define WIDE
#define HAS_WIDE (__builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
#endif

#define UNITS_MOST 0x1p51
#define SHIFT      0x1.8p52 /* a number of units plus this has them in its lowest bits */

SHARED uint64_t bits_of(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

/* As an integer. Sets a bit of *wrong when it is none, or larger than any sum can be. */
SHARED uint64_t to_units(double number, uint64_t *wrong) {
    double shifted = number + SHIFT;
    *wrong |= fabs(number) <= UNITS_MOST ? 0 : 1; /* NaN too */
    *wrong |= shifted - SHIFT == number ? 0 : 1;
    return bits_of(shifted) - bits_of(SHIFT);
}

SHARED uint64_t dot_any(const void *line, bool single, size_t len, double scale,
                        const uint64_t *vector, uint64_t *wrong) {
    uint64_t sum = 0, bad = 0;
    const float *floats = line;
    const double *doubles = line;
    size_t at = 0;
    for (; at + PIECE <= len; at += PIECE)
        for (size_t i = 0; i < PIECE; i++) {
            double number = single ? (double)floats[at + i] : doubles[at + i];
            sum += to_units(number * scale, &bad) * vector[at + i];
        }
    for (; at < len; at++) {
        double number = single ? (double)floats[at] : doubles[at];
        sum += to_units(number * scale, &bad) * vector[at];
    }
    *wrong |= bad;
    return sum;
}

typedef uint64_t dot_fn(const void *line, size_t len, double scale, const uint64_t *vector,
                        uint64_t *wrong);
static uint64_t dot32(const void *line, size_t len, double scale, const uint64_t *vector,
                      uint64_t *wrong) {
    return dot_any(line, true, len, scale, vector, wrong);
}
static uint64_t dot64(const void *line, size_t len, double scale, const uint64_t *vector,
                      uint64_t *wrong) {
    return dot_any(line, false, len, scale, vector, wrong);
}
WIDE static uint64_t dot32_wide(const void *line, size_t len, double scale, const uint64_t *vector,
                                uint64_t *wrong) {
    return dot_any(line, true, len, scale, vector, wrong);
}
WIDE static uint64_t dot64_wide(const void *line, size_t len, double scale, const uint64_t *vector,
                                uint64_t *wrong) {
    return dot_any(line, false, len, scale, vector, wrong);
}

static dot_fn *choose_dot(bool single) {
    if (HAS_WIDE)
        return single ? dot32_wide : dot64_wide;
    return single ? dot32 : dot64;
}

struct checking {
    const struct randmat *product;
    uint64_t *x, *y;
    uint64_t weights;
    dot_fn *dot;
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
        uint64_t wrong = 0;
        checking->y[l] =
            checking->dot(line_of(p->b, p->single, l, p->n), p->n, scale, checking->x, &wrong);
    }
}

static void check_rows(void *arg, unsigned part, size_t begin, size_t end) {
    struct checking *checking = arg;
    const struct randmat *p = checking->product;
    double scale = ldexp(1, (int)p->bits - 1);
    size_t first = SIZE_MAX;
    uint64_t fingerprint = 0;
    for (size_t i = begin; i < end; i++) {
        uint64_t wrong = 0;
        uint64_t z =
            checking->dot(line_of(p->a, p->single, i, p->k), p->k, scale, checking->y, &wrong);
        uint64_t w = checking->dot(line_of(p->c, p->single, i, p->n), p->n, scale * scale,
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
                                .weights = randmat_key(p->seed, RANDMAT_WEIGHTS),
                                .dot = choose_dot(p->single)};
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
