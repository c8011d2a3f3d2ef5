/*
 * blas.h - multiplying by OpenBLAS, with a number of threads.
 */
#ifndef DISTCOMP_KIT_BLAS_H
#define DISTCOMP_KIT_BLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/kit/matrix.h"

/* So many threads for the calls that follow; cheap when nothing changes. Returns how many it will
 * use (the library was built for a highest number). */
unsigned blas_threads(unsigned threads);

/* Memory that a multiplication takes beside its matrices, at most: what each thread packs. */
static inline uint64_t blas_memory_bytes(unsigned threads) {
    return (uint64_t)(threads < 1 ? 1 : threads) << 24;
}

/* C = A B (add: C += A B), by BLAS. All of one type; the shapes fit; none is beyond MATRIX_MOST. */
void blas_multiply(const struct matrix *a, const struct matrix *b, bool add,
                   const struct matrix *c);

#endif
