/*
 * gpugemm.h - C = A B on a card, by cuBLAS: the GPU half of the kernel gemm.
 *
 *     device, cuBLAS handle (kept warm) -> A and B filled here, rounded to the type, copied
 *         -> one multiplication that is not timed, `repeat` that are (CUDA events)
 *         -> C copied back -> Freivalds' check in float64 on this machine's cores
 *
 * All matrices lie row by row; cuBLAS, which counts by columns, is asked for the transposed product.
 */
#ifndef DISTCOMP_KERNEL_GPUGEMM_H
#define DISTCOMP_KERNEL_GPUGEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/kernel.h"

/* Of A, B and C; sums are kept in float32, for f64 in float64. tf32: float32 whose products are
 * made by tensor cores from 10 bits of the fraction. */
enum gpugemm_type { GPUGEMM_F32, GPUGEMM_TF32, GPUGEMM_F64, GPUGEMM_F16, GPUGEMM_BF16 };

const char *gpugemm_type_name(enum gpugemm_type type); /* "f32" */
size_t gpugemm_type_bytes(enum gpugemm_type type);
/* Card memory that a product needs, without cuBLAS's own; UINT64_MAX when that overflows. */
uint64_t gpugemm_card_bytes(enum gpugemm_type type, size_t m, size_t n, size_t k);

struct gpugemm {
    enum gpugemm_type type;
    size_t m, n, k; /* A is m x k, B is k x n; 1 to 2^31 - 1 each */
    /*
     * Gives elements [first, first + count) of A (matrix 0) or B (matrix 1), counted row by row. The
     * same arguments must give the same values: the check asks again instead of keeping A and B. They
     * are then rounded to the type; magnitudes of at most 1 are expected (f16 ends at 65504).
     */
    void (*fill)(void *arg, unsigned matrix, size_t first, size_t count, double *values);
    void *arg;
    unsigned repeat; /* timed multiplications, at least 1 */
    bool verify;
    uint64_t check_seed; /* of the check's random signs */
};

struct gpugemm_result {
    double open_s;  /* until driver, context and cuBLAS were ready: about 0 when they were warm */
    double fill_s;  /* making A and B and copying them */
    double best_s;  /* the fastest timed multiplication */
    double mean_s;  /* of all timed ones */
    double gflops;  /* 2 m n k / best_s / 1e9 */
    double check_s; /* copying C back and checking it; 0 without verify */
    double error;   /* with verify: the largest error over what rounding may leave; above 1 is wrong */
    uint64_t card_bytes;
    char card[128]; /* its name */
    int cublas;     /* its version, 130000 for 13.0.0 */
};

/*
 * False: kernel_fail or kernel_refuse was called (no driver, no card, no cuBLAS, card memory, an
 * error of the card, cancelled, a wrong product), and result is not to be used.
 *
 * After an error that CUDA calls fatal for the process, and when it is cancelled while the card
 * works, this does not return: the process ends with code 1, after the line that says why, so that
 * the next task gets a new host and a new context (cudadev.h).
 */
bool gpugemm_run(struct kernel_run *run, const struct gpugemm *request,
                 struct gpugemm_result *result);

#endif
