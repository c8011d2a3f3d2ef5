/* Hosts under a real supervisor (worker/host.h): tries one after the other in one process, and how
 * they end. */
#include "tests/unit/host_rig.h"

static void one_process_runs_many_tries(void **state) {
    (void)state;
    struct wire_exit first = run_key(0, 7, "answer 5");
    assert_true(WIFEXITED(first.status));
    assert_int_equal(WEXITSTATUS(first.status), 5);
    assert_int_equal(first.why, WIRE_WHY_NONE);
    assert_int_equal(first.flags, WIRE_EXIT_HOST_STAYS);
    assert_int_equal(first.maxrss_kib, 1234);
    assert_true(first.wall_us > 0 && first.end_wall_ms >= first.start_wall_ms);
    rig_ack(&r, 0, 0);
    for (int i = 0; i < 50; i++) {
        struct wire_exit e = run_key(0, 7, "spin 1");
        assert_int_equal(e.status, 0);
        assert_int_equal(e.pid, first.pid);
        assert_true(e.user_us + e.system_us >= 500);
        assert_true(e.user_us + e.system_us < 500000);
        rig_ack(&r, 0, 0);
    }
}

static void another_key_gets_another_process(void **state) {
    (void)state;
    struct wire_exit one = run_key(0, 1, "out one after late");
    rig_ack(&r, 0, 0);
    struct wire_exit two = run_key(0, 2, "out two");
    assert_int_not_equal(one.pid, two.pid);
    assert_string_equal(output(0, "out"), "two\n");
    rig_ack(&r, 0, 0);
    assert_int_equal(run_key(0, 2, "answer 0").pid, two.pid);
    rig_ack(&r, 0, 0);
    assert_int_equal(run_key(0, 1, "answer 0").pid, one.pid);
    rig_ack(&r, 0, 0);
}

/* With room for two, the one that was idle longest goes for a third. */
static void hosts_make_room(void **state) {
    (void)state;
    int32_t pids[3];
    for (uint32_t key = 1; key <= 3; key++) {
        rig_start(&r, &(struct rig_start){.slot = 0,
                                          .flags = WIRE_START_HOST,
                                          .host = {.key = key, .most = 2},
                                          .argv = {self, "serve", "out x after late"}});
        pids[key - 1] = rig_exit(&r, 0).pid;
        assert_string_equal(output(0, "out"), "x\n");
        rig_ack(&r, 0, 0);
    }
    rig_until(rig_is_gone(pids[0]));
    assert_false(rig_is_gone(pids[1]));
    assert_int_equal(run_key(0, 2, "answer 0").pid, pids[1]);
    rig_ack(&r, 0, 0);
    assert_int_equal(run_key(0, 3, "answer 0").pid, pids[2]);
    rig_ack(&r, 0, 0);
}

static void without_a_key_it_ends_with_its_try(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct wire_exit e = run_key(0, 0, "out x answer 3");
        assert_int_equal(e.status, 3 << 8);
        assert_int_equal(e.flags, 0);
        assert_true(rig_is_gone(e.pid));
        assert_string_equal(output(0, "out"), "x\n");
        rig_ack(&r, 0, 0);
    }
}

static void a_crash_costs_one_try(void **state) {
    (void)state;
    struct wire_exit one = run_key(0, 7, "spin 300");
    rig_ack(&r, 0, 0);
    struct wire_exit crash = run_key(0, 7, "kill 11");
    assert_int_equal(crash.pid, one.pid);
    assert_true(WIFSIGNALED(crash.status));
    assert_int_equal(WTERMSIG(crash.status), SIGSEGV);
    assert_int_equal(crash.why, WIRE_WHY_NONE);
    assert_int_equal(crash.flags, 0);
    assert_true(one.user_us + one.system_us >= 250000);
    assert_true(crash.user_us + crash.system_us < 200000); /* not those of the try before */
    rig_ack(&r, 0, 0);
    struct wire_exit next = run_key(0, 7, "answer 0");
    assert_int_not_equal(next.pid, one.pid);
    assert_int_equal(next.status, 0);
    rig_ack(&r, 0, 0);
}

static void exit_is_its_code(void **state) {
    (void)state;
    struct wire_exit e = run_key(0, 7, "out said exit 9");
    assert_true(WIFEXITED(e.status));
    assert_int_equal(WEXITSTATUS(e.status), 9);
    assert_int_equal(e.flags, 0);
    assert_string_equal(output(0, "out"), "said\n");
    rig_ack(&r, 0, 0);
}

/* The answer and the end may be seen in any order, or the end alone in time for the next try. */
static void one_that_dies_after_its_answer_has_answered(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        struct wire_exit e = run_key(0, 7, "quit answer 6");
        assert_int_equal(e.status, 6 << 8);
        rig_ack(&r, 0, 0);
        rig_until(rig_is_gone(e.pid)); /* or the next would be sent to it */
    }
    /* With key 0 the process' end is awaited: the status is the answer's all the same. */
    assert_int_equal(run_key(0, 0, "quit answer 6").status, 6 << 8);
    rig_ack(&r, 0, 0);
}

static void nonsense_is_a_crash(void **state) {
    (void)state;
    struct wire_exit e = run_key(0, 7, "err mine nonsense forever");
    assert_true(WIFSIGNALED(e.status));
    assert_int_equal(WTERMSIG(e.status), SIGKILL);
    assert_int_equal(e.why, WIRE_WHY_NONE);
    assert_non_null(strstr(output(0, "err"), "mine\ndistcomp: the kernel's process"));
    rig_ack(&r, 0, 0);
    e = run_key(0, 7, "hangup forever");
    assert_int_equal(WTERMSIG(e.status), SIGKILL);
    rig_ack(&r, 0, 0);
    assert_int_equal(run_key(0, 7, "answer 0").status, 0);
    rig_ack(&r, 0, 0);
}

static void nonsense_of_an_idle_host_ends_it(void **state) {
    (void)state;
    struct wire_exit e = run_key(0, 7, "late answer 4");
    assert_int_equal(e.status, 4 << 8);
    rig_ack(&r, 0, 0);
    rig_until(rig_is_gone(e.pid));
    assert_int_equal(run_key(0, 7, "answer 0").status, 0);
    rig_ack(&r, 0, 0);
}

static void cancel_is_answered(void **state) {
    (void)state;
    run_key(0, 7, "answer 0"); /* a new one might get the signal before it expects any */
    rig_ack(&r, 0, 0);
    start(0, "wait answer 7");
    int32_t pid = rig_started(&r, 0);
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 20000);
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.pid, pid);
    assert_int_equal(e.why, WIRE_WHY_CANCEL);
    assert_int_equal(e.status, 7 << 8);
    assert_int_equal(e.flags, 0);
    assert_true(rig_is_gone(pid));
    rig_ack(&r, 0, 0);
}

static void cancel_is_ignored(void **state) {
    (void)state;
    run_key(0, 7, "answer 0");
    rig_ack(&r, 0, 0);
    start(0, "forever");
    int32_t pid = rig_started(&r, 0);
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 100);
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.why, WIRE_WHY_CANCEL);
    assert_int_equal(WTERMSIG(e.status), SIGKILL);
    assert_true(rig_is_gone(pid));
    rig_ack(&r, 0, 0);
}

static void timeout_ends_it(void **state) {
    (void)state;
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = 7},
                                      .timeout_ms = 200,
                                      .grace_ms = 100,
                                      .argv = {self, "serve", "forever"}});
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.why, WIRE_WHY_TIMEOUT);
    assert_int_equal(WTERMSIG(e.status), SIGKILL);
    rig_ack(&r, 0, 0);
}

/* A try in a warm host has no timeout left over from the one before. */
static void a_timeout_is_its_trys(void **state) {
    (void)state;
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = 7},
                                      .timeout_ms = 1000,
                                      .argv = {self, "serve", "answer 0"}});
    int32_t pid = rig_exit(&r, 0).pid;
    rig_ack(&r, 0, 0);
    struct wire_exit e = run_key(0, 7, "spin 1500");
    assert_int_equal(e.pid, pid);
    assert_int_equal(e.why, WIRE_WHY_NONE);
    assert_int_equal(e.status, 0);
    rig_ack(&r, 0, 0);
}

static void a_kill_after_the_answer_does_nothing(void **state) {
    (void)state;
    struct wire_exit e = run_key(0, 7, "answer 0");
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 0);
    rig_ack(&r, 0, 0);
    assert_int_equal(expect(0, "out on", "on\n", ""), e.pid);
}

/* Kills of tries that are just answering: each ends once, one way or the other, and its slot goes
 * on. */
static void kills_race_with_answers(void **state) {
    (void)state;
    unsigned whys[2] = {0, 0};
    for (int i = 0; i < 200; i++) {
        r.corked = i % 2;
        start(0, i % 3 ? "answer 4" : "spin 1 answer 4");
        rig_kill(&r, 0, WIRE_WHY_CANCEL, i % 4 ? 5000 : 0);
        r.corked = false;
        rig_flush(&r);
        struct wire_exit e = rig_exit(&r, 0);
        assert_true(e.why == WIRE_WHY_CANCEL || e.why == WIRE_WHY_NONE);
        if (e.why == WIRE_WHY_NONE)
            assert_int_equal(e.status, 4 << 8);
        else
            assert_int_equal(e.flags, 0);
        whys[e.why == WIRE_WHY_CANCEL]++;
        rig_ack(&r, 0, 0);
    }
    assert_true(whys[1] > 0);
    assert_int_equal(run_key(0, 7, "answer 0").status, 0);
    rig_ack(&r, 0, 0);
}

static void what_it_leaves_behind_is_ended(void **state) {
    (void)state;
    run_key(0, 7, "answer 0");
    rig_ack(&r, 0, 0);
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = 7},
                                      .cwd = r.dir,
                                      .argv = {self, "serve", "daemon pid wait"}});
    int32_t pid = rig_pid_in(&r, "pid");
    assert_false(rig_is_gone(pid));
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 20000);
    struct wire_exit e = rig_exit(&r, 0);
    assert_true(rig_is_gone(pid));
    assert_true(rig_is_gone(e.pid));
    rig_ack(&r, 0, 0);
    char path[256];
    snprintf(path, sizeof path, "%s/pid", r.dir);
    unlink(path);
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = 7},
                                      .cwd = r.dir,
                                      .argv = {self, "serve", "daemon pid spin 300 answer 6"}});
    pid = rig_pid_in(&r, "pid");
    e = rig_exit(&r, 0);
    assert_int_equal(e.status, 6 << 8);
    assert_int_equal(e.leftovers, 1);
    assert_int_equal(e.flags, 0);
    assert_true(rig_is_gone(pid));
    rig_ack(&r, 0, 0);
    assert_int_equal(run_key(0, 7, "answer 0").status, 0);
    rig_ack(&r, 0, 0);
}

static void a_host_that_died_idle_is_replaced(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++) {
        struct wire_exit e = run_key(0, 7, "answer 0");
        assert_int_equal(e.status, 0);
        assert_int_equal(kill(e.pid, SIGKILL), 0);
        if (i % 2)
            rig_until(rig_is_gone(e.pid));
        rig_ack(&r, 0, 0);
        struct wire_exit next = run_key(0, 7, "answer 0");
        /* It may have died as the request was sent; never is it lost, or done by the dead. */
        assert_true(next.pid != e.pid || WIFSIGNALED(next.status));
        assert_true(next.pid == e.pid || next.status == 0);
        if (i % 2)
            assert_int_not_equal(next.pid, e.pid);
        rig_ack(&r, 0, 0);
    }
}

static void dismissed_hosts_go(void **state) {
    (void)state;
    for (uint32_t kill = 0; kill < 2; kill++) {
        int32_t pids[4], busy;
        for (uint32_t i = 0; i < 4; i++)
            pids[i] = run_key(i, 7 + i, "answer 0").pid;
        for (uint32_t i = 0; i < 4; i++)
            rig_ack(&r, i, 0);
        start_key(4, 99, "wait answer 0");
        busy = rig_started(&r, 4);
        struct wire_dismiss dismiss = {kill, 0};
        rig_send(&r, WIRE_DISMISS, &dismiss, sizeof dismiss);
        for (uint32_t i = 0; i < 4; i++)
            rig_until(rig_is_gone(pids[i]));
        assert_false(rig_is_gone(busy));
        rig_kill(&r, 4, WIRE_WHY_CANCEL, 20000);
        rig_exit(&r, 4);
        rig_ack(&r, 4, 0);
    }
}

/* One that does not leave at the end of file is killed; its slot is used meanwhile. */
static void one_that_does_not_leave_is_killed(void **state) {
    (void)state;
    int32_t pid = run_key(0, 7, "answer 0").pid;
    rig_ack(&r, 0, 0);
    assert_int_equal(kill(pid, SIGSTOP), 0);
    struct wire_exit e = run_key(0, 8, "answer 0");
    assert_int_not_equal(e.pid, pid);
    rig_until(rig_is_gone(pid));
    rig_ack(&r, 0, 0);
}

static void many_at_a_time(void **state) {
    (void)state;
    enum { HOSTS = 64, ROUNDS = 30, PIDS = 4096 };
    int32_t pids[PIDS];
    size_t count = 0;
    for (int round = 0; round < ROUNDS; round++) {
        r.corked = true;
        for (uint32_t i = 0; i < HOSTS; i++)
            start(i, "answer 0");
        r.corked = false;
        for (uint32_t i = 0; i < HOSTS; i++) {
            struct wire_exit e = rig_exit(&r, i);
            assert_int_equal(e.status, 0);
            size_t known = 0;
            while (known < count && pids[known] != e.pid)
                known++;
            if (known == count)
                pids[count++] = e.pid;
            rig_ack(&r, i, 0);
        }
    }
    assert_true(count <= HOSTS);
}

/* --- with supervisors of their own --- */

static void idle_hosts_go_after_a_while(void **state) {
    (void)state;
    struct supervisor_options options = {.host_idle_ms = 200};
    rig_up(&r, &options);
    int32_t pid = run_key(0, 7, "answer 0").pid;
    rig_ack(&r, 0, 0);
    rig_until(rig_is_gone(pid));
    assert_int_not_equal(run_key(0, 7, "answer 0").pid, pid);
    rig_ack(&r, 0, 0);
    rig_down(&r);
}

static void they_go_with_the_supervisor(void **state) {
    (void)state;
    rig_up(&r, NULL);
    int32_t idle = run_key(0, 7, "answer 0").pid;
    rig_ack(&r, 0, 0);
    start(1, "forever");
    int32_t busy = rig_started(&r, 1);
    kill(r.supervisor, SIGKILL);
    rig_wait_supervisor(&r);
    close(r.fd);
    rig_until(rig_is_gone(idle) && rig_is_gone(busy));
    rig_remove(&r);
}

/* What a host forked has only the host's own environment. */
static void what_they_left_is_found_by_the_next_supervisor(void **state) {
    (void)state;
    rig_up(&r, NULL);
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = 7},
                                      .cwd = r.dir,
                                      .argv = {self, "serve", "daemon pid forever"}});
    int32_t pid = rig_pid_in(&r, "pid");
    kill(r.supervisor, SIGKILL);
    rig_wait_supervisor(&r);
    close(r.fd);
    r.fd = -1;
    assert_false(rig_is_gone(pid));
    rig_supervise(&r, NULL);
    rig_attach(&r);
    assert_true(rig_is_gone(pid));
    rig_down(&r);
}

static void a_stop_ends_idle_ones(void **state) {
    (void)state;
    rig_up(&r, NULL);
    int32_t pid = run_key(0, 7, "answer 0").pid;
    rig_ack(&r, 0, 0);
    rig_down(&r);
    assert_true(rig_is_gone(pid));
}

int main(int argc, char **argv) {
    fake_host(argc, argv);
    find_self();
    const struct CMUnitTest tests[] = {
        fresh(one_process_runs_many_tries),
        fresh(another_key_gets_another_process),
        fresh(hosts_make_room),
        fresh(without_a_key_it_ends_with_its_try),
        fresh(a_crash_costs_one_try),
        fresh(exit_is_its_code),
        fresh(one_that_dies_after_its_answer_has_answered),
        fresh(nonsense_is_a_crash),
        fresh(nonsense_of_an_idle_host_ends_it),
        fresh(cancel_is_answered),
        fresh(cancel_is_ignored),
        fresh(timeout_ends_it),
        fresh(a_timeout_is_its_trys),
        fresh(a_kill_after_the_answer_does_nothing),
        fresh(kills_race_with_answers),
        fresh(what_it_leaves_behind_is_ended),
        fresh(a_host_that_died_idle_is_replaced),
        fresh(dismissed_hosts_go),
        fresh(one_that_does_not_leave_is_killed),
        fresh(many_at_a_time),
        cmocka_unit_test(idle_hosts_go_after_a_while),
        cmocka_unit_test(they_go_with_the_supervisor),
        cmocka_unit_test(what_they_left_is_found_by_the_next_supervisor),
        cmocka_unit_test(a_stop_ends_idle_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
