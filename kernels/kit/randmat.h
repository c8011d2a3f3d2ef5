/*
 * randmat.h - random matrices from a seed, and a check of their product that has no tolerance.
 *
 * The elements are fixed-point numbers in [-1, 1) with `bits` bits, few enough that every sum of k
 * products is exact in the arithmetic that is used: in units of 2^-2(bits-1) all are integers of at
 * most 2^p, which the accumulator holds (p is 51 for double, 24 for float). So the product is the
 * same on any machine, with any number of threads and in any order of summation, and is either
 * right or wrong.
 *
 * Freivalds' check in the integers modulo 2^64: with a random vector x of odd numbers, C x is
 * compared with A (B x), O(n^2) beside the product's O(n^3). A right product always passes. One
 * wrong element in a row is always found, since x is odd; several are missed with a probability of
 * at most 2^-10 (and 2^-60 unless all their errors are multiples of a high power of two).
 *   R. Freivalds, Probabilistic machines can use less running time, IFIP 1977.
 *
 * An element depends on the seed and its place only, so any thread or card can make any part.
 */
#ifndef DISTCOMP_KIT_RANDMAT_H
#define DISTCOMP_KIT_RANDMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* SplitMix64 (Steele, Lea and Flood, OOPSLA 2014) as a function of the place. */
static inline uint64_t randmat_mix(uint64_t z) {
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}
/* Of A, B, the vector x and the weights of the fingerprint. */
static inline uint64_t randmat_key(uint64_t seed, unsigned which) {
    return randmat_mix(seed * 8 + which);
}
static inline uint64_t randmat_hash(uint64_t key, uint64_t index) {
    return randmat_mix(key + (index + 1) * UINT64_C(0x9E3779B97F4A7C15));
}
/* An element in units; times 2^-(bits-1) it is the number. index: row * columns + column. */
static inline int64_t randmat_unit(uint64_t key, uint64_t index, unsigned bits) {
    return (int64_t)(randmat_hash(key, index) >> (64 - bits)) -
           (int64_t)(UINT64_C(1) << (bits - 1));
}
/* Of x and of the weights. */
static inline uint64_t randmat_odd(uint64_t key, uint64_t index) {
    return randmat_hash(key, index) | 1;
}

enum { RANDMAT_A, RANDMAT_B, RANDMAT_X, RANDMAT_WEIGHTS };

/* The arithmetic of a product: X(symbol, name, bits of A's and B's significand, bits that sums may
 * have). Tensor cores align what they add to the largest, and are given two bits of room. */
#define RANDMAT_TYPES(X)                                                                           \
    X(F32, "f32", 24, 24)                                                                          \
    X(TF32, "tf32", 11, 22)                                                                        \
    X(F64, "f64", 53, 51)                                                                          \
    X(F16, "f16", 11, 22)                                                                          \
    X(BF16, "bf16", 8, 22)
enum randmat_type {
#define X(symbol, name, significand, sum) RANDMAT_##symbol,
    RANDMAT_TYPES(X)
#undef X
        RANDMAT_TYPE_COUNT
};
const char *randmat_type_name(enum randmat_type type);

/* The bits that elements may have; 0: no exact product of this many (k) products a sum. */
unsigned randmat_bits(enum randmat_type type, size_t k);

/* A product in memory, all in C order, of float (single) or double. */
struct randmat {
    size_t m, n, k;
    uint64_t seed;
    unsigned bits;
    bool single;
    void *a, *b, *c; /* m x k, k x n, m x n; borrowed */
};
/* Elements first to first + count - 1 of A or B (`which`), as the numbers that they are. */
void randmat_values(const struct randmat *product, unsigned which, size_t first, size_t count,
                    double *values);
/* Fills A and B. */
void randmat_fill(const struct randmat *product, unsigned threads);

struct randmat_verdict {
    bool right;
    size_t row;           /* the first wrong one */
    uint64_t fingerprint; /* of C; the same wherever it was computed */
};
/* work: n + k numbers. */
struct randmat_verdict randmat_check(const struct randmat *product, unsigned threads,
                                     uint64_t *work);

#endif
