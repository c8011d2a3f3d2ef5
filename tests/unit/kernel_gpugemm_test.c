/* gpugemm.h on the fake card and the fake cuBLAS of tests/lib. */
#include "tests/unit/cuda_rig.h"

#include <math.h>

#include "kernels/cuda/gpugemm.h"

/* --- narrow numbers ----------------------------------------------------------------------------
 */

static float from_bits(uint32_t bits) {
    float number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

static float half_value(uint16_t half) {
    int exponent = half >> 10 & 31, fraction = half & 1023;
    double size = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return (float)(half & 0x8000 ? -size : size);
}

/* Every float16 is itself, and halfway between two neighbours goes to the even one. */
static void every_half(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 0x7c00; half++) {
        float here = half_value((uint16_t)half), next = half_value((uint16_t)(half + 1));
        assert_int_equal(gpugemm_half(here), half);
        assert_int_equal(gpugemm_half(-here), half | 0x8000);
        if (half == 0x7bff)
            continue;
        float middle = (here + next) / 2;
        assert_int_equal(gpugemm_half(middle), half + (half & 1));
        assert_int_equal(gpugemm_half(nextafterf(middle, 0)), half);
        assert_int_equal(gpugemm_half(nextafterf(middle, next)), half + 1);
    }
    assert_int_equal(gpugemm_half(65519.996f), 0x7bff);
    assert_int_equal(gpugemm_half(65520), 0x7c00);
    assert_int_equal(gpugemm_half(1e9f), 0x7c00);
    assert_int_equal(gpugemm_half(-INFINITY), 0xfc00);
    assert_int_equal(gpugemm_half(NAN) & 0x7fff, 0x7e00);
    assert_int_equal(gpugemm_half(1e-30f), 0);
}

static void every_bfloat(void **state) {
    (void)state;
    for (uint32_t high = 0; high < 0x7f80; high++) {
        assert_int_equal(gpugemm_bfloat(from_bits(high << 16)), high);
        assert_int_equal(gpugemm_bfloat(from_bits(high << 16 | 0x7fff)), high);
        assert_int_equal(gpugemm_bfloat(from_bits(high << 16 | 0x8000)), high + (high & 1));
        assert_int_equal(gpugemm_bfloat(from_bits(high << 16 | 0x8001 | 0x80000000u)),
                         (high + 1) | 0x8000);
    }
    assert_int_equal(gpugemm_bfloat(INFINITY), 0x7f80);
    assert_true((gpugemm_bfloat(from_bits(0x7f800001)) & 0x7fff) > 0x7f80);
}

/* --- products ----------------------------------------------------------------------------------
 */

static struct gpugemm_state card;

static int fresh(void **state) {
    card = (struct gpugemm_state){.version = 0};
    return rig_fresh(state);
}

#define product_test(function) cmocka_unit_test_setup(function, fresh)

/* Small integers: exact in every type. */
static void fill(void *to, bool wide, size_t count, unsigned seed) {
    for (size_t i = 0; i < count; i++) {
        seed = seed * 1103515245u + 12345u;
        int number = (int)(seed >> 16 & 15) - 8;
        if (wide)
            ((double *)to)[i] = number;
        else
            ((float *)to)[i] = (float)number;
    }
}

static double at(const void *data, bool wide, size_t i) {
    return wide ? ((const double *)data)[i] : (double)((const float *)data)[i];
}

static void check(enum gpugemm_type type, size_t m, size_t n, size_t k) {
    bool wide = type == GPUGEMM_F64;
    size_t size = wide ? sizeof(double) : sizeof(float);
    void *a = malloc(m * k * size), *b = malloc(k * n * size), *c = calloc(m * n, size);
    struct gpugemm request = {
        .type = type, .m = m, .n = n, .k = k, .a = a, .b = b, .c = c, .repeat = 3};
    struct gpugemm_result result;
    struct cuda_why why = {""};
    fill(a, wide, m * k, 1);
    fill(b, wide, k * n, 2);
    if (!gpugemm_on(&card, 0, &request, rig_never, NULL, &result, &why))
        fail_msg("%s", why.text);
    for (size_t i = 0; i < m; i++)
        for (size_t j = 0; j < n; j++) {
            double sum = 0;
            for (size_t l = 0; l < k; l++)
                sum += at(a, wide, i * k + l) * at(b, wide, l * n + j);
            if (sum != at(c, wide, i * n + j)) /* NOLINT: exact */
                fail_msg("type %d: C[%zu,%zu]", (int)type, i, j);
        }
    assert_int_equal(result.card_bytes, gpugemm_card_bytes(type, m, n, k));
    assert_int_equal(result.cublas, 130000);
    assert_string_equal(result.card, "Fake Card 0");
    assert_true(result.best_s > 0.0019 && result.mean_s > 0.0019 && result.mean_s < 0.0021);
    double flops = 2.0 * (double)m * (double)n * (double)k;
    assert_true(fabs(result.gflops - flops / result.best_s * 1e-9) <= 1e-9 * result.gflops);
    assert_int_equal(rig_used(), 0);
    assert_int_equal(rig_left(), 0);
    free(a);
    free(b);
    free(c);
}

static void every_type_and_shape(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1}, {1, 17, 5}, {17, 1, 5}, {5, 17, 1}, {31, 23, 40}};
    for (int type = GPUGEMM_F32; type <= GPUGEMM_BF16; type++)
        for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
            check((enum gpugemm_type)type, shapes[i][0], shapes[i][1], shapes[i][2]);
    assert_int_equal(rig_calls("cublasCreate_v2"), 1); /* warm */
    assert_int_equal(rig_calls("cuDevicePrimaryCtxRetain"), 1);
    assert_int_equal(rig_calls("cublasGemmEx"), 5 * 5 * 4);
    gpugemm_close(&card);
    assert_int_equal(rig_calls("cublasDestroy_v2"), 1);
    assert_int_equal(rig_calls("cuDevicePrimaryCtxRelease_v2"), 1);
}

/* More than is converted at a time. */
static void long_rows_of_halves(void **state) {
    (void)state;
    check(GPUGEMM_F16, 1, 1, (1 << 20) + 3);
    check(GPUGEMM_BF16, 1, 1, (1 << 21));
    gpugemm_close(&card);
}

static float a4[16], b4[16], c4[16];
static struct gpugemm four = {
    .type = GPUGEMM_F32, .m = 4, .n = 4, .k = 4, .a = a4, .b = b4, .c = c4, .repeat = 2};

static void every_call_may_fail(void **state) {
    static const struct {
        const char *cuda, *cublas, *says;
    } cases[] = {{"", "cublasCreate_v2 1", "cublasCreate: CUBLAS_STATUS_OTHER"},
                 {"", "cublasGetVersion_v2 7", "cublasGetVersion"},
                 {"", "cublasGemmEx 13", "cublasGemmEx: CUBLAS_STATUS_EXECUTION_FAILED"},
                 {"fail cuMemAlloc_v2 2 1", NULL, "card memory for A: CUDA_ERROR_OUT_OF_MEMORY"},
                 {"fail cuMemAlloc_v2 2 3", NULL, "card memory for C"},
                 {"fail cuMemcpyHtoD_v2 1 2", NULL, "copying to the card"},
                 {"fail cuMemcpyDtoH_v2 1 1", NULL, "copying from the card"},
                 {"fail cuMemsetD8_v2 1 1", NULL, "cuMemsetD8"},
                 {"fail cuEventCreate 1 2", NULL, "cuEventCreate"},
                 {"fail cuDevicePrimaryCtxRetain 2 1", NULL, "cuDevicePrimaryCtxRetain"},
                 {"memory 100\n", NULL, "MiB of card memory are needed"},
                 {"cards 0\n", NULL, "CUDA_ERROR_NO_DEVICE"}};
    struct gpugemm_result result;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct cuda_why why = {""};
        fresh(state);
        rig_tell(cases[i].cuda);
        if (cases[i].cublas)
            setenv("FAKE_CUBLAS", cases[i].cublas, 1);
        if (gpugemm_on(&card, 0, &four, rig_never, NULL, &result, &why))
            fail_msg("%s: it went well", cases[i].says);
        assert_says(why, cases[i].says);
        assert_int_equal(rig_used(), 0);
        assert_int_equal(rig_left(), 0);
        unsetenv("FAKE_CUBLAS");
        rig_tell("");
        if (!gpugemm_on(&card, 0, &four, rig_never, NULL, &result, &why))
            fail_msg("%s: and then: %s", cases[i].says, why.text);
        gpugemm_close(&card);
    }
}

static void a_new_context_has_a_new_handle(void **state) {
    (void)state;
    struct gpugemm_result result;
    struct cuda_why why = {""};
    assert_true(gpugemm_on(&card, 0, &four, rig_never, NULL, &result, &why));
    rig_tell("fail cuMemGetInfo_v2 709 1\n");
    assert_true(gpugemm_on(&card, 0, &four, rig_never, NULL, &result, &why));
    assert_int_equal(rig_calls("cuMemsetD8_v2 255 64"), 2); /* NaN all over C */
    assert_int_equal(rig_calls("cublasCreate_v2"), 2);
    assert_int_equal(rig_calls("cublasDestroy_v2"), 0); /* it went with its context */
    gpugemm_close(&card);
    assert_int_equal(rig_calls("cublasDestroy_v2"), 1);
}

static void cancelled(void **state) {
    (void)state;
    struct gpugemm_result result;
    struct cuda_why why = {""};
    int left = 0;
    assert_false(gpugemm_on(&card, 0, &four, rig_after, &left, &result, &why));
    assert_string_equal(why.text, "cancelled");
    assert_false(card.dev.lost);
    rig_tell("busy -1\n");
    left = 400;
    assert_false(gpugemm_on(&card, 0, &four, rig_after, &left, &result, &why));
    assert_string_equal(why.text, "cancelled while the card worked");
    assert_true(card.dev.lost);
    gpugemm_close(&card); /* touches nothing */
    assert_int_equal(rig_calls("cublasDestroy_v2"), 0);
}

static void sizes_that_cannot_be(void **state) {
    (void)state;
    struct gpugemm_result result;
    struct cuda_why why = {""};
    static const size_t wrong[][3] = {
        {0, 1, 1}, {1, 0, 1}, {1, 1, 0}, {(size_t)1 << 31, 1, 1}, {1, 1, SIZE_MAX}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct gpugemm request = {
            .m = wrong[i][0], .n = wrong[i][1], .k = wrong[i][2], .repeat = 1};
        assert_false(gpugemm_on(&card, 0, &request, rig_never, NULL, &result, &why));
        assert_says(why, "cuBLAS takes 1 to 2147483647 each");
    }
    assert_int_equal(gpugemm_card_bytes(GPUGEMM_F16, 3, 5, 7), 2 * (21 + 35) + 4 * 15);
    assert_int_equal(gpugemm_card_bytes(GPUGEMM_F64, 3, 5, 7), 8 * (21 + 35 + 15));
    assert_true(gpugemm_card_bytes(GPUGEMM_F64, SIZE_MAX / 2, 5, 7) == UINT64_MAX);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_half),
        cmocka_unit_test(every_bfloat),
        product_test(every_type_and_shape),
        product_test(long_rows_of_halves),
        product_test(every_call_may_fail),
        product_test(a_new_context_has_a_new_handle),
        product_test(cancelled),
        product_test(sizes_that_cannot_be),
    };
    return cmocka_run_group_tests(tests, rig_up, rig_down);
}
