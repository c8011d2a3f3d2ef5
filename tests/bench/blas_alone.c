/*
 * blas_alone N THREADS TYPE REPEAT: cblas_dgemm (f64) or cblas_sgemm (f32) of N x N matrices, and
 * nothing else; prints the seconds of the fastest of REPEAT calls, after one that is not counted.
 * All pages are there before, as they are for the kernel gemm.
 */
#include <cblas.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void *numbers(size_t count, int is_double) {
    size_t bytes = (count * (is_double ? sizeof(double) : sizeof(float)) + 63) / 64 * 64;
    void *data = aligned_alloc(64, bytes);
    uint64_t state = 1;
    if (!data)
        exit(1);
    for (size_t i = 0; i < count; i++) {
        state = state * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        double value = (double)(int64_t)state * 0x1p-63;
        if (is_double)
            ((double *)data)[i] = value;
        else
            ((float *)data)[i] = (float)value;
    }
    return data;
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fprintf(stderr, "usage: blas_alone N THREADS f32|f64 REPEAT\n");
        return 2;
    }
    int n = (int)strtol(argv[1], NULL, 10), threads = (int)strtol(argv[2], NULL, 10);
    int is_double = strcmp(argv[3], "f64") == 0;
    long repeat = strtol(argv[4], NULL, 10);
    size_t count = (size_t)n * (size_t)n;
    void *a = numbers(count, is_double), *b = numbers(count, is_double);
    void *c = numbers(count, is_double);
    double best = 0;
    openblas_set_num_threads(threads);
    for (long i = 0; i <= repeat; i++) {
        double begin = now_s();
        if (is_double)
            cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
        else
            cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1, a, n, b, n, 0, c, n);
        double took = now_s() - begin;
        if (i == 1 || (i > 1 && took < best))
            best = took;
    }
    printf("%.9f\n", best);
    free(a);
    free(b);
    free(c);
    return 0;
}
