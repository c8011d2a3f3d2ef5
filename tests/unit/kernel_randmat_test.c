/* kernels/kit/randmat.h: the random matrices of gemm, and the check of their product. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>
#include <math.h>

#include "kernels/kit/blas.h"
#include "kernels/kit/matrix.h"
#include "kernels/kit/randmat.h"
#include "tests/unit/draw.h"

static struct randmat product_make(size_t m, size_t n, size_t k, bool single) {
    size_t size = single ? sizeof(float) : sizeof(double);
    struct randmat p = {.m = m, .n = n, .k = k, .seed = draw(1000), .single = single};
    p.bits = randmat_bits(single ? RANDMAT_F32 : RANDMAT_F64, k);
    p.a = malloc(m * k * size + 1);
    p.b = malloc(k * n * size + 1);
    p.c = malloc(m * n * size + 1);
    return p;
}

static void product_multiply(struct randmat *p) {
    struct matrix a = {p->single, p->m, p->k, p->k, 1, p->a};
    struct matrix b = {p->single, p->k, p->n, p->n, 1, p->b};
    struct matrix c = {p->single, p->m, p->n, p->n, 1, p->c};
    blas_multiply(&a, &b, false, &c);
}

static void product_free(struct randmat *p) {
    free(p->a);
    free(p->b);
    free(p->c);
}

static struct randmat_verdict product_check(const struct randmat *p, unsigned threads) {
    uint64_t *work = malloc((p->n + p->k) * sizeof *work + 1);
    struct randmat_verdict verdict = randmat_check(p, threads, work);
    free(work);
    return verdict;
}

static void filling_depends_on_the_seed_alone(void **state) {
    (void)state;
    struct randmat one = product_make(130, 270, 190, false), more = one, other = one;
    size_t a_bytes = 130 * 190 * sizeof(double), b_bytes = 190 * 270 * sizeof(double);
    more.a = malloc(a_bytes);
    more.b = malloc(b_bytes);
    other.a = malloc(a_bytes);
    other.b = malloc(b_bytes);
    other.seed++;
    randmat_fill(&one, 1);
    randmat_fill(&more, 5);
    randmat_fill(&other, 1);
    assert_memory_equal(one.a, more.a, a_bytes);
    assert_memory_equal(one.b, more.b, b_bytes);
    assert_memory_not_equal(one.a, other.a, a_bytes);
    assert_memory_not_equal(one.a, one.b, a_bytes);
    double values[100], sum = 0, squares = 0;
    randmat_values(&one, RANDMAT_B, 77, 100, values);
    assert_memory_equal(values, (double *)one.b + 77, sizeof values);
    size_t count = a_bytes / sizeof(double);
    for (size_t i = 0; i < count; i++) {
        double value = ((double *)one.a)[i];
        assert_true(value >= -1 && value < 1);
        sum += value;
        squares += value * value;
    }
    assert_true(fabs(sum / (double)count) < 0.02); /* uniform: 0 and 1/3 */
    assert_true(fabs(squares / (double)count - 1 / 3.0) < 0.02);
    product_free(&one);
    free(more.a);
    free(more.b);
    free(other.a);
    free(other.b);
}

/* Whatever the type, the largest sum is an integer that it holds. */
static void sums_are_exact(void **state) {
    (void)state;
    static const unsigned sums[RANDMAT_TYPE_COUNT] = {24, 22, 51, 22, 22};
    static const unsigned significands[RANDMAT_TYPE_COUNT] = {24, 11, 53, 11, 8};
    for (unsigned type = 0; type < RANDMAT_TYPE_COUNT; type++)
        for (unsigned log = 0; log < 26; log++) {
            size_t k = ((size_t)1 << log) + (log > 1 ? 1 : 0);
            unsigned bits = randmat_bits((enum randmat_type)type, k);
            if (!bits)
                continue;
            assert_true((double)k * ldexp(1, 2 * (int)bits - 2) <= ldexp(1, (int)sums[type]));
            assert_true(bits <= significands[type]);
        }
    assert_int_equal(randmat_bits(RANDMAT_F64, 4096), 20);
    assert_int_equal(randmat_bits(RANDMAT_F32, 4096), 7);
    assert_int_equal(randmat_bits(RANDMAT_BF16, 16384), 5);
    assert_int_equal(randmat_bits(RANDMAT_F32, (1 << 24) + 1), 0);
}

static void right_products_pass(void **state) {
    (void)state;
    static const size_t shapes[][3] = {{1, 1, 1},    {1, 90, 33},   {90, 1, 33},    {33, 90, 1},
                                       {64, 64, 64}, {100, 70, 31}, {129, 257, 300}};
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++)
        for (unsigned single = 0; single < 2; single++) {
            struct randmat p = product_make(shapes[i][0], shapes[i][1], shapes[i][2], single);
            randmat_fill(&p, 2);
            uint64_t fingerprints[3];
            for (unsigned threads = 1; threads <= 3; threads++) {
                blas_threads(threads);
                product_multiply(&p);
                struct randmat_verdict verdict = product_check(&p, threads);
                assert_true(verdict.right);
                fingerprints[threads - 1] = verdict.fingerprint;
            }
            assert_true(fingerprints[0] == fingerprints[1] && fingerprints[1] == fingerprints[2]);
            /* The exact sums, by a loop in float64. */
            double size = p.single ? 4 : 8, wanted = 0;
            for (size_t l = 0; l < p.k; l++)
                wanted += p.single ? (double)((float *)p.a)[l] * (double)((float *)p.b)[l * p.n]
                                   : ((double *)p.a)[l] * ((double *)p.b)[l * p.n];
            assert_true((size == 4 ? (double)*(float *)p.c : *(double *)p.c) == wanted);
            product_free(&p);
        }
    blas_threads(1);
}

/* Any change of one element, as small as it can be, in any row and column. */
static void one_wrong_element_is_found(void **state) {
    (void)state;
    for (unsigned i = 0; i < 200; i++) {
        struct randmat p = product_make(1 + draw(60), 1 + draw(60), 1 + draw(60), i & 1);
        randmat_fill(&p, 1);
        product_multiply(&p);
        size_t row = draw(p.m), col = draw(p.n), at = row * p.n + col;
        double old = p.single ? (double)((float *)p.c)[at] : ((double *)p.c)[at], wrong = old;
        switch (draw(6)) {
        case 0: /* the next number */
            wrong = p.single ? (double)nextafterf((float)old, 1e9f) : nextafter(old, 1e9);
            break;
        case 1: /* the least that another product could be */
            wrong = old + ldexp(1, -2 * ((int)p.bits - 1));
            break;
        case 2:
            wrong = (double)NAN;
            break;
        case 3:
            wrong = (double)INFINITY;
            break;
        case 4:
            wrong = -old + (old == 0);
            break;
        default:
            wrong = 1e30;
        }
        if (p.single)
            ((float *)p.c)[at] = (float)wrong;
        else
            ((double *)p.c)[at] = wrong;
        struct randmat_verdict verdict = product_check(&p, 1 + i % 3);
        if (verdict.right || verdict.row != row)
            fail_msg("%zux%zux%zu: C[%zu, %zu] is %g and not %g: right %d, row %zu", p.m, p.n, p.k,
                     row, col, wrong, old, verdict.right, verdict.row);
        product_free(&p);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(filling_depends_on_the_seed_alone),
        cmocka_unit_test(sums_are_exact),
        cmocka_unit_test(right_products_pass),
        cmocka_unit_test(one_wrong_element_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
