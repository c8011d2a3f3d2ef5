#include "kernels/cuda/gpugemm.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- types -------------------------------------------------------------------------------------
 */

static const struct type {
    size_t bytes, c_bytes; /* of an element of A and B, of C */
    int code, c_code, compute;
    uint16_t (*narrow)(float number); /* NULL: as it is */
} types[] = {
    [GPUGEMM_F32] = {4, 4, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F, NULL},
    [GPUGEMM_TF32] = {4, 4, CUDA_R_32F, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, NULL},
    [GPUGEMM_F64] = {8, 8, CUDA_R_64F, CUDA_R_64F, CUBLAS_COMPUTE_64F, NULL},
    [GPUGEMM_F16] = {2, 4, CUDA_R_16F, CUDA_R_32F, CUBLAS_COMPUTE_32F, gpugemm_half},
    [GPUGEMM_BF16] = {2, 4, CUDA_R_16BF, CUDA_R_32F, CUBLAS_COMPUTE_32F, gpugemm_bfloat},
};

static uint32_t bits_of(float number) {
    uint32_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits;
}

uint16_t gpugemm_bfloat(float number) {
    uint32_t bits = bits_of(number);
    if ((bits & 0x7fffffffu) > 0x7f800000u) /* NaN stays one */
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* What is lost by `shift` bits is rounded to nearest, a tie to even. */
static uint32_t round_off(uint32_t bits, unsigned shift) {
    uint32_t half = 1u << (shift - 1), rest = bits & ((1u << shift) - 1), kept = bits >> shift;
    return kept + (rest > half || (rest == half && (kept & 1u)));
}

uint16_t gpugemm_half(float number) {
    uint32_t bits = bits_of(number), sign = bits >> 16 & 0x8000u, rest = bits & 0x7fffffffu;
    if (rest > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00u);
    if (rest >= 0x47800000u) /* 2^16 and more */
        return (uint16_t)(sign | 0x7c00u);
    if (rest >= 0x38800000u) /* 2^-14: a carry out of the fraction raises the exponent */
        return (uint16_t)(sign | round_off(rest - 0x38000000u, 13));
    if (rest < 0x33000000u) /* below 2^-25: nearer to 0 than to the smallest, 2^-24 */
        return (uint16_t)sign;
    unsigned shift = 126u - (rest >> 23); /* subnormal: in units of 2^-24 */
    return (uint16_t)(sign | round_off((rest & 0x7fffffu) | 0x800000u, shift));
}

static bool bytes_of(size_t rows, size_t cols, size_t size, uint64_t *bytes) {
    return !__builtin_mul_overflow((uint64_t)rows, (uint64_t)cols, bytes) &&
           !__builtin_mul_overflow(*bytes, (uint64_t)size, bytes);
}

struct sizes {
    uint64_t a, b, c, all;
};

static bool sizes_of(enum gpugemm_type type, size_t m, size_t n, size_t k, struct sizes *sizes) {
    return bytes_of(m, k, types[type].bytes, &sizes->a) &&
           bytes_of(k, n, types[type].bytes, &sizes->b) &&
           bytes_of(m, n, types[type].c_bytes, &sizes->c) &&
           !__builtin_add_overflow(sizes->a, sizes->b, &sizes->all) &&
           !__builtin_add_overflow(sizes->all, sizes->c, &sizes->all);
}

uint64_t gpugemm_card_bytes(enum gpugemm_type type, size_t m, size_t n, size_t k) {
    struct sizes sizes;
    return sizes_of(type, m, n, k, &sizes) ? sizes.all : UINT64_MAX;
}

/* --- the card and cuBLAS -----------------------------------------------------------------------
 */

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static bool blas_ok(struct gpugemm_state *state, int status, const char *what,
                    struct cuda_why *why) {
    const struct cudalib *lib = &state->dev.lib;
    if (status == CUBLAS_STATUS_SUCCESS)
        return true;
    if (!lib->cublasGetStatusString)
        return cuda_fail(why, "%s: cuBLAS status %d", what, status);
    return cuda_fail(why, "%s: %s", what, lib->cublasGetStatusString(status));
}

static bool ready(struct gpugemm_state *state, int ordinal, struct cuda_why *why) {
    struct cudalib *lib = &state->dev.lib;
    if (!cudadev_open(&state->dev, ordinal, why) || !cudalib_open(lib, CUDALIB_CUBLAS, why))
        return false;
    if (state->handle && state->generation == state->dev.generation)
        return true;
    state->handle = NULL; /* one of a context that is gone is gone with it */
    if (!blas_ok(state, lib->cublasCreate_v2(&state->handle), "cublasCreate", why)) {
        state->handle = NULL;
        return false;
    }
    state->generation = state->dev.generation;
    return blas_ok(state, lib->cublasGetVersion_v2(state->handle, &state->version),
                   "cublasGetVersion", why);
}

void gpugemm_close(struct gpugemm_state *state) {
    if (state->handle && !state->dev.lost && state->generation == state->dev.generation)
        state->dev.lib.cublasDestroy_v2(state->handle);
    state->handle = NULL;
    cudadev_close(&state->dev);
}

/* --- one product -------------------------------------------------------------------------------
 */

struct product {
    struct gpugemm_state *state;
    const struct gpugemm *request;
    struct sizes sizes;
    cu_ptr a, b, c;
    struct cudadev_clock clock;
    bool (*cancelled)(const void *arg);
    const void *arg;
    struct cuda_why *why;
};

enum { NARROW_AT_ONCE = 1 << 20 }; /* elements */

static bool narrow(struct product *p, cu_ptr to, const float *from, size_t count) {
    struct cudadev *dev = &p->state->dev;
    uint16_t (*convert)(float) = types[p->request->type].narrow;
    size_t most = count < NARROW_AT_ONCE ? count : NARROW_AT_ONCE;
    uint16_t *part = malloc(most * sizeof *part);
    bool ok = part != NULL;
    if (!ok)
        cuda_fail(p->why, "out of memory");
    for (size_t at = 0; ok && at < count; at += most) {
        size_t now = count - at < most ? count - at : most;
        for (size_t i = 0; i < now; i++)
            part[i] = convert(from[at + i]);
        ok = cudadev_ok(dev,
                        dev->lib.cuMemcpyHtoD_v2(to + at * sizeof *part, part, now * sizeof *part),
                        p->why, "copying to the card");
    }
    free(part);
    return ok;
}

static bool upload(struct product *p, cu_ptr to, const void *from, uint64_t bytes) {
    struct cudadev *dev = &p->state->dev;
    const struct type *type = &types[p->request->type];
    if (p->cancelled && p->cancelled(p->arg))
        return cuda_fail(p->why, "cancelled");
    if (type->narrow)
        return narrow(p, to, from, bytes / type->bytes);
    return cudadev_ok(dev, dev->lib.cuMemcpyHtoD_v2(to, from, bytes), p->why,
                      "copying to the card");
}

/* C^T = B^T A^T, each of them by columns what it is here by rows. */
static bool multiply(struct product *p, double *seconds) {
    const struct gpugemm *r = p->request;
    const struct type *type = &types[r->type];
    struct cudadev *dev = &p->state->dev;
    const double one_64 = 1, zero_64 = 0;
    const float one_32 = 1, zero_32 = 0;
    bool wide = type->compute == CUBLAS_COMPUTE_64F;
    const void *one = wide ? (const void *)&one_64 : &one_32;
    const void *zero = wide ? (const void *)&zero_64 : &zero_32;
    int m = (int)r->m, n = (int)r->n, k = (int)r->k;
    if (!cudadev_clock_start(dev, &p->clock, p->why))
        return false;
    int status = dev->lib.cublasGemmEx(
        p->state->handle, CUBLAS_OP_N, CUBLAS_OP_N, n, m, k, one, (const void *)(uintptr_t)p->b,
        type->code, n, (const void *)(uintptr_t)p->a, type->code, k, zero, (void *)(uintptr_t)p->c,
        type->c_code, n, type->compute, CUBLAS_GEMM_DEFAULT);
    return blas_ok(p->state, status, "cublasGemmEx", p->why) &&
           cudadev_clock_stop(dev, &p->clock, p->why) &&
           cudadev_clock_wait(dev, &p->clock, p->cancelled, p->arg, seconds, p->why);
}

static bool time_it(struct product *p, struct gpugemm_result *result) {
    const struct gpugemm *r = p->request;
    double seconds = 0, sum = 0;
    if (!multiply(p, &seconds)) /* cuBLAS chooses, and loads what it chose */
        return false;
    for (unsigned i = 0; i < r->repeat; i++) {
        if (p->cancelled && p->cancelled(p->arg))
            return cuda_fail(p->why, "cancelled");
        if (!multiply(p, &seconds))
            return false;
        sum += seconds;
        result->best_s = i && result->best_s < seconds ? result->best_s : seconds;
    }
    result->mean_s = sum / r->repeat;
    double flops = 2 * (double)r->m * (double)r->n * (double)r->k;
    result->gflops = result->best_s > 0 ? flops / result->best_s * 1e-9 : 0;
    return true;
}

static bool product(struct product *p, struct gpugemm_result *result) {
    struct cudadev *dev = &p->state->dev;
    if (!cudadev_has_room(dev, p->sizes.all, p->why) ||
        !cudadev_alloc(dev, p->sizes.a, &p->a, "A", p->why) ||
        !cudadev_alloc(dev, p->sizes.b, &p->b, "B", p->why) ||
        !cudadev_alloc(dev, p->sizes.c, &p->c, "C", p->why))
        return false;
    double start = now_s();
    /* NaN all over C: an element that is not written is seen. */
    if (!upload(p, p->a, p->request->a, p->sizes.a) ||
        !upload(p, p->b, p->request->b, p->sizes.b) ||
        !cudadev_ok(dev, dev->lib.cuMemsetD8_v2(p->c, 0xff, p->sizes.c), p->why, "cuMemsetD8"))
        return false;
    result->to_card_s = now_s() - start;
    if (!time_it(p, result))
        return false;
    start = now_s();
    if (!cudadev_ok(dev, dev->lib.cuMemcpyDtoH_v2(p->request->c, p->c, p->sizes.c), p->why,
                    "copying from the card"))
        return false;
    result->from_card_s = now_s() - start;
    return true;
}

bool gpugemm_on(struct gpugemm_state *state, int ordinal, const struct gpugemm *request,
                bool (*cancelled)(const void *arg), const void *arg, struct gpugemm_result *result,
                struct cuda_why *why) {
    struct product p = {
        .state = state, .request = request, .cancelled = cancelled, .arg = arg, .why = why};
    size_t most = INT_MAX;
    double start = now_s();
    *result = (struct gpugemm_result){0};
    if (!request->m || !request->n || !request->k || request->m > most || request->n > most ||
        request->k > most || !sizes_of(request->type, request->m, request->n, request->k, &p.sizes))
        return cuda_fail(why, "m=%zu n=%zu k=%zu: cuBLAS takes 1 to %d each", request->m,
                         request->n, request->k, INT_MAX);
    if (!ready(state, ordinal, why))
        return false;
    result->open_s = now_s() - start;
    bool ok = product(&p, result);
    cudadev_clock_free(&state->dev, &p.clock);
    cudadev_free(&state->dev, p.a, p.sizes.a);
    cudadev_free(&state->dev, p.b, p.sizes.b);
    cudadev_free(&state->dev, p.c, p.sizes.c);
    snprintf(result->card, sizeof result->card, "%s", state->dev.name);
    result->card_bytes = p.sizes.all;
    result->cublas = state->version;
    return ok;
}
