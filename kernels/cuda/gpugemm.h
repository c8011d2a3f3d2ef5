/*
 * gpugemm.h - C = A B on a card, by cuBLAS: the GPU half of the kernel gemm.
 *
 *     device, cuBLAS handle (kept warm) -> A and B, rounded to the type, copied to the card
 *         -> one multiplication that is not timed, `repeat` that are (CUDA events)
 *         -> C copied back
 *
 * All matrices lie row by row; cuBLAS, which counts by columns, is asked for the transposed
 * product.
 */
#ifndef DISTCOMP_KERNEL_GPUGEMM_H
#define DISTCOMP_KERNEL_GPUGEMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/cuda/cudadev.h"
#include "kernels/kernel.h"

/* Of A and B. Sums and C are float32, for f64 float64. tf32: float32 whose products tensor cores
 * make from 10 bits of the fraction. */
enum gpugemm_type { GPUGEMM_F32, GPUGEMM_TF32, GPUGEMM_F64, GPUGEMM_F16, GPUGEMM_BF16 };

/* Card memory that a product needs beside cuBLAS's own; UINT64_MAX when that overflows. */
uint64_t gpugemm_card_bytes(enum gpugemm_type type, size_t m, size_t n, size_t k);

struct gpugemm {
    enum gpugemm_type type;
    size_t m, n, k; /* A is m x k, B is k x n; 1 to 2^31 - 1 each */
    /* float, with f64 double; what float16 or bfloat16 cannot hold is rounded to nearest even. */
    const void *a, *b;
    void *c;         /* m x n, of the same type; written */
    unsigned repeat; /* timed multiplications, at least 1 */
};

struct gpugemm_result {
    double open_s;    /* until driver, context and cuBLAS were ready: about 0 when they were warm */
    double to_card_s; /* copying A and B */
    double best_s;    /* the fastest timed multiplication */
    double mean_s;    /* of all timed ones */
    double from_card_s;
    double gflops; /* 2 m n k / best_s / 1e9 */
    uint64_t card_bytes;
    char card[128]; /* its name */
    int cublas;     /* its version: 130000 for 13.0.0 */
};

/*
 * False: kernel_fail or kernel_refuse was called (no driver, no card, no cuBLAS, card memory, an
 * error of the card, cancelled), and result is not to be used.
 *
 * After an error that CUDA calls fatal for the process this does not return: the process ends with
 * code 1, after the line that says why, so that the next task gets a new host and a new context
 * (cudadev.h).
 */
bool gpugemm_run(struct kernel_run *run, const struct gpugemm *request,
                 struct gpugemm_result *result);

/* The same without a host: for tests and measurements. */
struct gpugemm_state { /* zeroed: nothing is open */
    struct cudadev dev;
    cublas_handle handle;
    unsigned generation; /* of the context that the handle belongs to */
    int version;
};
bool gpugemm_on(struct gpugemm_state *state, int ordinal, const struct gpugemm *request,
                bool (*cancelled)(const void *arg), const void *arg, struct gpugemm_result *result,
                struct cuda_why *why);
void gpugemm_close(struct gpugemm_state *state);

/* IEEE binary16 and bfloat16, to nearest even. */
uint16_t gpugemm_half(float number);
uint16_t gpugemm_bfloat(float number);

#endif
