/* C = A B of random matrices: how fast a machine multiplies, and whether it does it right. */
#include <time.h>

#include "kernels/cuda/gpugemm.h"
#include "kernels/kernel.h"
#include "kernels/kit/blas.h"
#include "kernels/kit/matrix.h"
#include "kernels/kit/pages.h"
#include "kernels/kit/randmat.h"

enum { P_N, P_M, P_K, P_SEED, P_DTYPE, P_VERIFY, P_DEVICE, P_REPEAT };
static const struct kernel_param params[] = {
    {"n", KERNEL_INT, .min = 1, .max = MATRIX_MOST, .unit = "columns", .help = "of B and C"},
    {"m", KERNEL_INT, .fallback = "", .min = 1, .max = MATRIX_MOST, .unit = "rows",
     .help = "of A and C; else n"},
    {"k", KERNEL_INT, .fallback = "", .min = 1, .max = MATRIX_MOST,
     .help = "columns of A and rows of B; else n"},
    {"seed", KERNEL_INT, .fallback = "1", .min = 0, .max = 9007199254740992.0,
     .help = "of the random numbers"},
    {"dtype", KERNEL_CHOICE, .fallback = "f64", .choices = "f32|tf32|f64|f16|bf16",
     .help = "tf32, f16, bf16 on a card only"},
    {"verify", KERNEL_FLAG, .fallback = "yes", .help = "check the product"},
    {"device", KERNEL_CHOICE, .fallback = "auto", .choices = "auto|cpu|gpu",
     .help = "auto: a card if the task has one"},
    {"repeat", KERNEL_INT, .fallback = "1", .min = 1, .max = 1000000,
     .help = "multiplications; the fastest counts"},
    {0}};
enum { DEVICE_AUTO, DEVICE_CPU, DEVICE_GPU };

struct product {
    enum randmat_type type; /* in the order of the choices */
    bool verify, gpu;
    struct randmat numbers;
    size_t a_bytes, b_bytes, c_bytes, work_bytes;
};

static bool bytes_of(size_t rows, size_t cols, size_t size, size_t *bytes) {
    return !__builtin_mul_overflow(rows, cols, bytes) &&
           !__builtin_mul_overflow(*bytes, size, bytes) && *bytes < PTRDIFF_MAX / 4;
}

static bool describe(struct kernel_run *r, struct product *p) {
    size_t n = (size_t)kernel_int(r, P_N);
    size_t m = kernel_given(r, P_M) ? (size_t)kernel_int(r, P_M) : n;
    size_t k = kernel_given(r, P_K) ? (size_t)kernel_int(r, P_K) : n;
    p->type = (enum randmat_type)kernel_choice(r, P_DTYPE);
    p->verify = kernel_flag(r, P_VERIFY);
    p->numbers = (struct randmat){.m = m, .n = n, .k = k, .seed = (uint64_t)kernel_int(r, P_SEED)};
    p->numbers.single = p->type != RANDMAT_F64;
    p->numbers.bits = randmat_bits(p->type, k);
    const char *type = randmat_type_name(p->type);
    size_t size = p->type == RANDMAT_F64 ? sizeof(double) : sizeof(float);
    size_t device = kernel_choice(r, P_DEVICE);
    p->gpu = device != DEVICE_CPU && kernel_device(r) >= 0;
    if (!p->numbers.bits) {
        kernel_refuse(r, "k=%zu is too long for %s: its sums would not be exact", k, type);
        return false;
    }
    if (!bytes_of(m, k, size, &p->a_bytes) || !bytes_of(k, n, size, &p->b_bytes) ||
        !bytes_of(m, n, size, &p->c_bytes)) {
        kernel_refuse(r, "m=%zu n=%zu k=%zu: more bytes than can be counted", m, n, k);
        return false;
    }
    p->work_bytes = (n + k) * sizeof(uint64_t);
    if (device == DEVICE_GPU && !p->gpu) {
        kernel_refuse(r, "device=gpu, but the task was given no card; gpu=1 asks for one");
        return false;
    }
    if (!p->gpu && p->type != RANDMAT_F32 && p->type != RANDMAT_F64) {
        kernel_refuse(r, "dtype=%s is for a card, and the task %s", type,
                      device == DEVICE_CPU ? "is to use device=cpu" : "was given none (gpu=1)");
        return false;
    }
    return true;
}

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    struct product p;
    if (!describe(r, &p))
        return false;
    e->gpu = p.gpu;
    e->flops = 2.0 * (double)p.numbers.m * (double)p.numbers.n * (double)p.numbers.k;
    e->memory_bytes = (UINT64_C(16) << 20) + blas_memory_bytes(kernel_threads(r)) + p.a_bytes +
                      p.b_bytes + p.c_bytes + p.work_bytes;
    return true;
}

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* A, B and C, and the check's vectors. NULL without a check, or when kernel_fail was called. */
static bool make_room(struct kernel_run *r, struct product *p, uint64_t **work) {
    struct randmat *numbers = &p->numbers;
    unsigned threads = kernel_threads(r);
    if (!(numbers->a = kernel_scratch(r, p->a_bytes)) ||
        !(numbers->b = kernel_scratch(r, p->b_bytes)) ||
        !(numbers->c = kernel_scratch(r, p->c_bytes)))
        return false;
    *work = p->verify ? kernel_scratch(r, p->work_bytes) : NULL;
    if (p->verify && !*work)
        return false;
    pages_ready(numbers->a, p->a_bytes, threads);
    pages_ready(numbers->b, p->b_bytes, threads);
    pages_ready(numbers->c, p->c_bytes, threads);
    return true;
}

static bool on_cores(struct kernel_run *r, const struct product *p, double *seconds) {
    const struct randmat *n = &p->numbers;
    struct matrix a = {n->single, n->m, n->k, n->k, 1, n->a};
    struct matrix b = {n->single, n->k, n->n, n->n, 1, n->b};
    struct matrix c = {n->single, n->m, n->n, n->n, 1, n->c};
    unsigned threads = blas_threads(kernel_threads(r));
    for (int64_t i = 0; i < kernel_int(r, P_REPEAT); i++) {
        double begin = now_s();
        blas_multiply(&a, &b, false, &c);
        double took = now_s() - begin;
        *seconds = i && *seconds < took ? *seconds : took;
        if (kernel_cancelled(r)) {
            kernel_fail(r, "stopped");
            return false;
        }
    }
    kernel_result(r, "device", "cpu");
    kernel_result(r, "threads", "%u", threads);
    return true;
}

static bool on_card(struct kernel_run *r, const struct product *p, double *seconds) {
    static const enum gpugemm_type types[RANDMAT_TYPE_COUNT] = {[RANDMAT_F32] = GPUGEMM_F32,
                                                                [RANDMAT_TF32] = GPUGEMM_TF32,
                                                                [RANDMAT_F64] = GPUGEMM_F64,
                                                                [RANDMAT_F16] = GPUGEMM_F16,
                                                                [RANDMAT_BF16] = GPUGEMM_BF16};
    const struct randmat *n = &p->numbers;
    struct gpugemm request = {.type = types[p->type],
                              .m = n->m,
                              .n = n->n,
                              .k = n->k,
                              .a = n->a,
                              .b = n->b,
                              .c = n->c,
                              .repeat = (unsigned)kernel_int(r, P_REPEAT)};
    struct gpugemm_result result;
    if (!gpugemm_run(r, &request, &result))
        return false;
    *seconds = result.best_s;
    kernel_result(r, "device", "gpu");
    kernel_result(r, "open_s", "%.6f", result.open_s);
    kernel_result(r, "to_card_s", "%.6f", result.to_card_s);
    kernel_result(r, "from_card_s", "%.6f", result.from_card_s);
    return true;
}

static int check(struct kernel_run *r, const struct product *p, uint64_t *work) {
    double begin = now_s();
    struct randmat_verdict verdict = randmat_check(&p->numbers, kernel_threads(r), work);
    if (!verdict.right)
        return kernel_fail(r,
                           "the product is wrong, in row %zu first: this %s does not compute right",
                           verdict.row, p->gpu ? "card" : "machine");
    kernel_result(r, "check_s", "%.6f", now_s() - begin);
    kernel_result(r, "fingerprint", "%016llx", (unsigned long long)verdict.fingerprint);
    return 0;
}

static int run(struct kernel_run *r) {
    struct product p;
    uint64_t *work;
    double seconds = 0, begin = now_s();
    if (!describe(r, &p))
        return 2;
    if (!make_room(r, &p, &work))
        return 1;
    randmat_fill(&p.numbers, kernel_threads(r));
    double fill_s = now_s() - begin;
    if (!(p.gpu ? on_card(r, &p, &seconds) : on_cores(r, &p, &seconds)))
        return 1;
    const struct randmat *n = &p.numbers;
    double flops = 2.0 * (double)n->m * (double)n->n * (double)n->k;
    kernel_result(r, "seconds", "%.9f", seconds);
    kernel_result(r, "gflops", "%.1f", seconds > 0 ? flops / seconds * 1e-9 : 0);
    kernel_result(r, "fill_s", "%.6f", fill_s);
    kernel_result(r, "verified", "%s", p.verify ? "yes" : "no");
    return p.verify ? check(r, &p, work) : 0;
}

KERNEL_EXPORT(.name = "gemm", .summary = "C = A B of random matrices, checked; tells GFLOP/s",
              .params = params, .estimate = estimate, .run = run)
