/*
 * What cuBLAS gives alone, for tests/bench/gpu: the fastest of REPEAT products of N x N matrices,
 * the same numbers as the kernel gemm's, without a host, a task or a check.
 *
 *     cublas_alone                          says which card there is
 *     cublas_alone TYPE N REPEAT [narrow]   f32, tf32, f64, f16, bf16; narrow: C of f16 or bf16 too
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cudadev.h"
#include "kernels/cuda/gpugemm.h"
#include "kernels/kit/randmat.h"

static const struct type {
    const char *name;
    enum randmat_type numbers;
    int code, compute;
    size_t bytes;
    uint16_t (*narrow)(float number);
} types[] = {{"f32", RANDMAT_F32, CUDA_R_32F, CUBLAS_COMPUTE_32F, 4, NULL},
             {"tf32", RANDMAT_TF32, CUDA_R_32F, CUBLAS_COMPUTE_32F_FAST_TF32, 4, NULL},
             {"f64", RANDMAT_F64, CUDA_R_64F, CUBLAS_COMPUTE_64F, 8, NULL},
             {"f16", RANDMAT_F16, CUDA_R_16F, CUBLAS_COMPUTE_32F, 2, gpugemm_half},
             {"bf16", RANDMAT_BF16, CUDA_R_16BF, CUBLAS_COMPUTE_32F, 2, gpugemm_bfloat}};

static struct cudadev dev;
static struct cuda_why why;

static void must(bool ok) {
    if (ok)
        return;
    fprintf(stderr, "%s\n", why.text);
    exit(1);
}

static void must_blas(int status) {
    must(status == CUBLAS_STATUS_SUCCESS || cuda_fail(&why, "cuBLAS status %d", status));
}

static void *room(size_t bytes) {
    void *memory = malloc(bytes);
    must(memory || cuda_fail(&why, "out of memory: %zu bytes", bytes));
    return memory;
}

/* A or B on the card, in its type. */
static cu_ptr upload(const struct type *type, void *numbers, size_t count, const char *name) {
    cu_ptr card;
    if (type->narrow) { /* in place: the narrow ones end before the wide ones that are read next */
        const float *from = numbers;
        for (size_t i = 0; i < count; i++) {
            uint16_t number = type->narrow(from[i]);
            memcpy((char *)numbers + i * sizeof number, &number, sizeof number);
        }
    }
    must(cudadev_alloc(&dev, count * type->bytes, &card, name, &why) &&
         cudadev_ok(&dev, dev.lib.cuMemcpyHtoD_v2(card, numbers, count * type->bytes), &why, name));
    return card;
}

static double multiply(cublas_handle handle, const struct type *type, int n, int c_code, cu_ptr a,
                       cu_ptr b, cu_ptr c) {
    static struct cudadev_clock clock;
    const double one_64 = 1, zero_64 = 0;
    const float one_32 = 1, zero_32 = 0;
    bool wide = type->compute == CUBLAS_COMPUTE_64F;
    double seconds = 0;
    must(cudadev_clock_start(&dev, &clock, &why));
    must_blas(dev.lib.cublasGemmEx(
        handle, CUBLAS_OP_N, CUBLAS_OP_N, n, n, n, wide ? (const void *)&one_64 : &one_32,
        (const void *)(uintptr_t)b, type->code, n, (const void *)(uintptr_t)a, type->code, n,
        wide ? (const void *)&zero_64 : &zero_32, (void *)(uintptr_t)c, c_code, n, type->compute,
        CUBLAS_GEMM_DEFAULT));
    must(cudadev_clock_stop(&dev, &clock, &why) &&
         cudadev_clock_wait(&dev, &clock, NULL, NULL, &seconds, &why));
    return seconds;
}

static void measure(const struct type *type, size_t n, int repeat, bool narrow_c) {
    cublas_handle handle = NULL;
    int version = 0;
    cu_ptr c;
    size_t host_bytes = type->bytes == 8 ? sizeof(double) : sizeof(float);
    struct randmat numbers = {.m = n, .n = n, .k = n, .seed = 1, .single = type->bytes != 8};
    numbers.bits = randmat_bits(type->numbers, n);
    numbers.a = room(n * n * host_bytes);
    numbers.b = room(n * n * host_bytes);
    randmat_fill(&numbers, 8);
    must(cudalib_open(&dev.lib, CUDALIB_CUBLAS, &why));
    must_blas(dev.lib.cublasCreate_v2(&handle));
    must_blas(dev.lib.cublasGetVersion_v2(handle, &version));
    cu_ptr a = upload(type, numbers.a, n * n, "A"), b = upload(type, numbers.b, n * n, "B");
    must(cudadev_alloc(&dev, n * n * host_bytes, &c, "C", &why));
    int c_code = narrow_c || type->bytes == 8 ? type->code : CUDA_R_32F;
    multiply(handle, type, (int)n, c_code, a, b, c); /* cuBLAS chooses */
    double best = 0;
    for (int i = 0; i < repeat; i++) {
        double seconds = multiply(handle, type, (int)n, c_code, a, b, c);
        best = i && best < seconds ? best : seconds;
    }
    printf("seconds=%.9f gflops=%.1f cublas=%d\n", best,
           2e-9 * (double)n * (double)n * (double)n / best, version);
}

int main(int argc, char **argv) {
    if (argc != 1 && argc != 4 && !(argc == 5 && strcmp(argv[4], "narrow") == 0)) {
        fprintf(stderr, "usage: cublas_alone [TYPE N REPEAT [narrow]]\n");
        return 2;
    }
    must(cudadev_open(&dev, 0, &why));
    if (argc == 1) {
        must(cudalib_open(&dev.lib, CUDALIB_CUBLAS, &why) &&
             cudalib_open(&dev.lib, CUDALIB_NVRTC, &why));
        printf("%s, driver for CUDA %d.%d\n", dev.name, dev.lib.driver_version / 1000,
               dev.lib.driver_version / 10 % 100);
        return 0;
    }
    size_t n = strtoul(argv[2], NULL, 10);
    int repeat = atoi(argv[3]);
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        if (strcmp(types[i].name, argv[1]) == 0 && n > 0 && n <= 65536 && repeat > 0) {
            measure(&types[i], n, repeat, argc == 5);
            return 0;
        }
    fprintf(stderr, "cublas_alone: no such type, or N or REPEAT is wrong\n");
    return 2;
}
