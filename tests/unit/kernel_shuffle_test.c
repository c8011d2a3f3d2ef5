/* The random numbers and orders of trainings: the same on every machine. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <math.h>

#include "kernels/kit/glibcrand.h"
#include "kernels/kit/shuffle.h"

/* The first after srand(1) and some later ones, as glibc gives them; srand(0) is srand(1). */
static void rand_is_glibcs(void **state) {
    (void)state;
    struct glibcrand ours, zero;
    static const int32_t first[] = {1804289383, 846930886, 1681692777, 1714636915, 1957747793};
    glibcrand_seed(&ours, 1);
    glibcrand_seed(&zero, 0);
    for (size_t i = 0; i < 5; i++) {
        assert_int_equal(glibcrand_next(&ours), first[i]);
        assert_int_equal(glibcrand_next(&zero), first[i]);
    }
#ifdef __GLIBC__
    static const uint32_t seeds[] = {0, 1, 2, 42, 2147483647u, 2147483648u, 4294967295u};
    for (size_t s = 0; s < sizeof seeds / sizeof *seeds; s++) {
        srand(seeds[s]);
        glibcrand_seed(&ours, seeds[s]);
        for (int i = 0; i < 500; i++)
            assert_int_equal(glibcrand_next(&ours), rand());
    }
#endif
}

static void an_order_has_each_row_once(void **state) {
    (void)state;
    uint32_t order[1000], again[1000];
    static const size_t counts[] = {0, 1, 2, 3, 1000};
    for (size_t c = 0; c < 5; c++) {
        unsigned char seen[1000] = {0};
        struct shuffle s = shuffle_seed(7, c);
        shuffle_order(&s, order, counts[c]);
        for (size_t i = 0; i < counts[c]; i++) {
            assert_true(order[i] < counts[c]);
            assert_int_equal(seen[order[i]]++, 0);
        }
    }
    struct shuffle same = shuffle_seed(7, 4), other = shuffle_seed(7, 5);
    shuffle_order(&same, again, 1000);
    assert_memory_equal(order, again, sizeof order);
    shuffle_order(&other, again, 1000);
    assert_memory_not_equal(order, again, sizeof order);
}

/* Each of six orders of three, about as often. */
static void orders_are_even(void **state) {
    (void)state;
    unsigned times[6] = {0};
    for (uint64_t i = 0; i < 6000; i++) {
        uint32_t o[3];
        struct shuffle s = shuffle_seed(3, i);
        shuffle_order(&s, o, 3);
        times[o[0] * 2 + (o[1] > o[2])]++;
    }
    for (int i = 0; i < 6; i++)
        assert_in_range(times[i], 850, 1150);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rand_is_glibcs),
        cmocka_unit_test(an_order_has_each_row_once),
        cmocka_unit_test(orders_are_even),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
