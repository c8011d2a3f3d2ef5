/* agent_memory.h: the pure parts of what feeds the decisions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/agent_memory.h"

/* The kernel adds a thousandth of all memory for each point: a newer try has at least as many as an
 * older one, the newest more than any other, and all more than programs that nobody has touched. */
static void the_kernel_takes_the_newest(void **state) {
    (void)state;
    assert_int_equal(memory_oom_rank(0, 1), 999);
    for (size_t running = 2; running <= 5000; running = running * 3 / 2 + 1) {
        int newer = memory_oom_rank(0, running);
        assert_int_equal(newer, 999);
        for (size_t younger = 1; younger < running; younger++) {
            int older = memory_oom_rank(younger, running);
            assert_true(older >= 500);
            assert_true(running > 500 && younger > 1 ? older <= newer : older < newer);
            newer = older;
        }
        assert_int_equal(newer, 500);
    }
    /* Few tries: far enough apart to outweigh what they use. */
    assert_int_equal(memory_oom_rank(1, 2), 500);
    assert_int_equal(memory_oom_rank(1, 3), 749);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_kernel_takes_the_newest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
