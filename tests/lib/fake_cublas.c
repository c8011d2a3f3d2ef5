/*
 * A libcublas.so.13 for the card of fake_cuda.c: multiplies in this machine's memory, by columns as
 * cuBLAS does. Calls are lines in the file that FAKE_CUDA_LOG names; FAKE_CUBLAS "SYMBOL STATUS"
 * lets that function fail.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cudalib.h"

#define EXPORT __attribute__((visibility("default")))

#define DECLARE_DRIVER(result, symbol, arguments)
#define DECLARE_NVRTC(result, symbol, arguments)
#define DECLARE_CUBLAS(result, symbol, arguments)  EXPORT result symbol arguments;
#define X(part, symbol, needed, result, arguments) DECLARE_##part(result, symbol, arguments)
CUDALIB_SYMBOLS(X)
#undef X

struct cublas_opaque {
    int open;
};
static struct cublas_opaque only;

static void write_log(const char *line) {
    const char *path = getenv("FAKE_CUDA_LOG");
    FILE *file = path ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    fprintf(file, "%s\n", line);
    fclose(file);
}

static int failing(const char *symbol) {
    const char *told = getenv("FAKE_CUBLAS");
    write_log(symbol);
    size_t len = strlen(symbol);
    return told && strncmp(told, symbol, len) == 0 && told[len] == ' ' ? atoi(told + len) : 0;
}

int cublasCreate_v2(cublas_handle *handle) {
    int status = failing("cublasCreate_v2");
    Dl_info info; /* under which name it was found */
    if (dladdr(&only, &info))
        write_log(info.dli_fname);
    *handle = status ? NULL : &only;
    return status;
}

int cublasDestroy_v2(cublas_handle handle) {
    (void)handle;
    return failing("cublasDestroy_v2");
}

int cublasGetVersion_v2(cublas_handle handle, int *version) {
    (void)handle;
    *version = 130000;
    return failing("cublasGetVersion_v2");
}

const char *cublasGetStatusString(int status) {
    return status == 13 ? "CUBLAS_STATUS_EXECUTION_FAILED" : "CUBLAS_STATUS_OTHER";
}

static double element(const void *data, int type, size_t at) {
    uint16_t half;
    float number;
    uint32_t bits;
    switch (type) {
    case CUDA_R_64F:
        return ((const double *)data)[at];
    case CUDA_R_32F:
        return (double)((const float *)data)[at];
    case CUDA_R_16F:
        half = ((const uint16_t *)data)[at];
        return (half & 0x8000 ? -1 : 1) *
               (half & 0x7c00 ? ldexp(0x400 | (half & 0x3ff), (half >> 10 & 0x1f) - 25)
                              : ldexp(half & 0x3ff, -24));
    default:
        bits = (uint32_t)((const uint16_t *)data)[at] << 16;
        memcpy(&number, &bits, sizeof number);
        return (double)number;
    }
}

/* What is between two numbers of a narrow type is cut off. */
static void store(void *data, int type, size_t at, double number) {
    int exponent;
    float narrow = (float)number;
    uint32_t bits;
    uint16_t half = 0;
    memcpy(&bits, &narrow, sizeof bits);
    double fraction = frexp(fabs(number), &exponent); /* 0.5 to 1 */
    if (fraction > 0 && exponent > -14)
        half = (uint16_t)((exponent + 14) << 10 | ((int)(fraction * 2048) & 0x3ff));
    if (type == CUDA_R_64F)
        ((double *)data)[at] = number;
    else if (type == CUDA_R_32F)
        ((float *)data)[at] = narrow;
    else
        ((uint16_t *)data)[at] =
            (uint16_t)(type == CUDA_R_16BF ? bits >> 16 : half | (bits >> 16 & 0x8000));
}

int cublasGemmEx(cublas_handle handle, int op_a, int op_b, int m, int n, int k, const void *alpha,
                 const void *a, int type_a, int lda, const void *b, int type_b, int ldb,
                 const void *beta, void *c, int type_c, int ldc, int compute, int algorithm) {
    int status = failing("cublasGemmEx");
    bool wide = compute == CUBLAS_COMPUTE_64F;
    double one = wide ? *(const double *)alpha : (double)*(const float *)alpha;
    double zero = wide ? *(const double *)beta : (double)*(const float *)beta;
    bool known = (type_a == CUDA_R_64F) == wide && type_a == type_b &&
                 (type_c == type_a || (!wide && type_c == CUDA_R_32F));
    if (status)
        return status;
    if (handle != &only || op_a || op_b || one < 1 || one > 1 || zero < 0 || zero > 0 || !known ||
        lda < m || ldb < k || ldc < m || algorithm != CUBLAS_GEMM_DEFAULT)
        return 7;
    for (int j = 0; j < n; j++)
        for (int i = 0; i < m; i++) {
            double sum = 0;
            for (int l = 0; l < k; l++)
                sum += element(a, type_a, (size_t)l * (size_t)lda + (size_t)i) *
                       element(b, type_b, (size_t)j * (size_t)ldb + (size_t)l);
            size_t at = (size_t)j * (size_t)ldc + (size_t)i;
            store(c, type_c, at, sum);
        }
    return CUBLAS_STATUS_SUCCESS;
}
