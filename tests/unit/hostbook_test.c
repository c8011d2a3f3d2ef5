/* hostbook.h, hostkey.h: what the agent knows of hosts, and which tasks can share one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/hostbook.h"
#include "worker/hostkey.h"

static const mono_ms_t never = {0};

static void stay(struct hostbook *book, int32_t pid, uint64_t cpu_us, int64_t now, int64_t left) {
    struct usage_base use = {cpu_us, 10, 100};
    hostbook_stayed(book, pid, &use, (mono_ms_t){now}, (mono_ms_t){left});
}

static void use_adds_up(void **state) {
    (void)state;
    struct hostbook book = HOSTBOOK_INIT;
    assert_null(hostbook_started(&book, 5));
    stay(&book, 5, 1000, 1, 0);
    const struct usage_base *used = hostbook_started(&book, 5);
    assert_int_equal(used->cpu_us, 1000);
    stay(&book, 5, 500, 2, 0);
    used = hostbook_used(&book, 5);
    assert_int_equal(used->cpu_us, 1500);
    assert_int_equal(used->read_bytes, 20);
    assert_int_equal(used->write_bytes, 200);
    hostbook_gone(&book, 5);
    assert_null(hostbook_used(&book, 5));
    hostbook_gone(&book, 5);
    hostbook_free(&book);
}

static void idle_ones_are_counted(void **state) {
    (void)state;
    struct hostbook book = HOSTBOOK_INIT;
    int32_t pids[4] = {0};
    for (int32_t pid = 1; pid <= 40; pid++)
        stay(&book, pid, 1, pid, 0);
    assert_int_equal(hostbook_idle(&book, never, pids, 4), 40);
    assert_int_equal(pids[3], 4);
    assert_int_equal(hostbook_idle(&book, (mono_ms_t){31}, pids, 4), 10); /* 31 to 40 */
    hostbook_started(&book, 40);
    assert_int_equal(hostbook_idle(&book, never, NULL, 0), 39);
    /* A new one sweeps out those that have left; a busy one stays, however long it takes. */
    stay(&book, 50, 1, 1000, 500);
    assert_int_equal(hostbook_idle(&book, never, NULL, 0), 1);
    assert_non_null(hostbook_used(&book, 40));
    hostbook_forget_idle(&book);
    assert_int_equal(hostbook_idle(&book, never, NULL, 0), 0);
    assert_non_null(hostbook_used(&book, 40));
    assert_null(hostbook_used(&book, 50));
    hostbook_free(&book);
}

static struct task with_env(const char *first, const char *second) {
    struct task task = {.type = TASK_NATIVE};
    const char *const values[] = {first, second};
    for (size_t i = 0; i < 2; i++)
        if (values[i])
            task.options[task.option_count++] =
                (struct task_option){OPT_ENV, values[i], strlen(values[i])};
    return task;
}

static void keys(void **state) {
    (void)state;
    struct task none = with_env(NULL, NULL), a = with_env("A=1", NULL), b = with_env("A=2", NULL);
    struct task ab = with_env("A=1", "B=2"), ba = with_env("B=2", "A=1");
    uint64_t plain = hostkey(hostkey_environment(&none), NULL);
    assert_true(plain != 0);
    assert_true(hostkey(hostkey_environment(&a), NULL) != plain);
    assert_true(hostkey_environment(&a) != hostkey_environment(&b));
    assert_true(hostkey_environment(&a) != hostkey_environment(&ab));
    assert_true(hostkey_environment(&ab) == hostkey_environment(&ba));

    struct placement p = {.gpus = NULL};
    assert_true(hostkey(0, &p) == plain);
    p.gpus = (char *)(uintptr_t) "GPU-a";
    uint64_t card = hostkey(0, &p);
    assert_true(card != plain);
    p.gpus = (char *)(uintptr_t) "GPU-b";
    assert_true(hostkey(0, &p) != card);
    p.gpus = NULL;
    cpus_add(&p.cpus, 3);
    assert_true(hostkey(0, &p) == plain); /* it is not pinned to them */
    p.pinned = true;
    assert_true(hostkey(0, &p) != plain);
    p.hard = true;
    assert_true(hostkey(0, &p) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(use_adds_up),
        cmocka_unit_test(idle_ones_are_counted),
        cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
