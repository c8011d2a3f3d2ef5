/* Hosts under a real supervisor (worker/host.h): tries one after the other in one process, and how
 * they end. */
#include "tests/unit/fake_host.h"
#include "tests/unit/supervisor_rig.h"

#include "worker/proctree.h"

static void start_key(uint32_t slot, uint64_t key, const char *orders) {
    rig_start(&r, &(struct rig_start){.slot = slot,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = key},
                                      .argv = {self, "serve", orders}});
}

static void start(uint32_t slot, const char *orders) {
    start_key(slot, 7, orders);
}

static struct wire_exit run_key(uint32_t slot, uint64_t key, const char *orders) {
    start_key(slot, key, orders);
    return rig_exit(&r, slot);
}

static char *files_path(uint32_t slot, const char *stream) {
    static char path[256];
    uint32_t files = r.exit[slot].files;
    snprintf(path, sizeof path, "%s/out/%s%u.%s", r.dir, files >= WIRE_FILES_HOST ? "h" : "",
             files % WIRE_FILES_HOST, stream);
    return path;
}

/* Of a try that has ended. */
static const char *output(uint32_t slot, const char *stream) {
    return rig_file(files_path(slot, stream), NULL);
}

/* Runs a try, acknowledges it, and expects this of it. */
static int32_t expect(uint32_t slot, const char *orders, const char *out, const char *err) {
    struct wire_exit e = run_key(slot, 7, orders);
    assert_int_equal(e.spawn_errno, 0);
    assert_string_equal(output(slot, "out"), out);
    assert_int_equal(e.out_bytes, strlen(out));
    assert_string_equal(output(slot, "err"), err);
    assert_int_equal(e.err_bytes, strlen(err));
    rig_ack(&r, slot, 0);
    return e.pid;
}

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

static void output_is_that_of_its_try(void **state) {
    (void)state;
    int32_t pid = expect(0, "out one", "one\n", "");
    assert_int_equal(expect(0, "answer 0", "", ""), pid);
    assert_int_equal(expect(0, "err two out three", "three\n", "two\n"), pid);
    assert_int_equal(expect(0, "loud", "", ""), pid);
    assert_int_equal(expect(0, "out four", "four\n", ""), pid);
}

/* What the agent renamed away belongs to the result; the host goes on with a new file. */
static void output_that_was_moved_is_left_alone(void **state) {
    (void)state;
    char to[256];
    snprintf(to, sizeof to, "%s/moved", r.dir);
    struct wire_exit e = run_key(0, 7, "out one err other");
    assert_int_equal(rename(files_path(0, "out"), to), 0);
    rig_ack(&r, 0, WIRE_ACK_OUT_TAKEN);
    assert_int_equal(expect(0, "out two", "two\n", ""), e.pid);
    assert_int_equal(expect(0, "out three err four", "three\n", "four\n"), e.pid);
    assert_string_equal(rig_file(to, NULL), "one\n");
}

static void large_output_is_whole_and_goes(void **state) {
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct wire_exit e = run_key(0, 7, "fill 300000");
        size_t len;
        rig_file(files_path(0, "out"), &len);
        assert_int_equal(len, 300000);
        assert_int_equal(e.out_bytes, 300000);
        rig_ack(&r, 0, 0);
        assert_int_equal(expect(0, "out small", "small\n", ""), e.pid);
    }
}

/* Somebody removed the file while the host had it open. */
static void output_that_was_removed_comes_back(void **state) {
    (void)state;
    int32_t pid = expect(0, "out one", "one\n", "");
    assert_int_equal(unlink(files_path(0, "out")), 0);
    assert_int_equal(expect(0, "out two", "two\n", ""), pid);
}

static void directory_and_environment_are_the_trys(void **state) {
    (void)state;
    char home[4200], line[600];
    assert_non_null(getcwd(home, sizeof home - 2));
    strcat(home, "\n");
    int32_t pid = expect(0, "pwd", home, "");
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = 7},
                                      .cwd = r.dir,
                                      .env = {"ONCE=yes", "DISTCOMP_TRY=2"},
                                      .argv = {self, "serve", "pwd env ONCE env DISTCOMP_TRY"}});
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.pid, pid);
    char real[4096];
    assert_non_null(realpath(r.dir, real));
    snprintf(line, sizeof line, "%.500s\nyes\n2\n", real);
    assert_string_equal(output(0, "out"), line);
    rig_ack(&r, 0, 0);
    assert_int_equal(expect(0, "env ONCE", "-\n", ""), pid);
    assert_int_equal(expect(0, "pwd", home, ""), pid);
    /* The process itself was started with nothing of a try, and knows its supervisor. */
    assert_int_equal(expect(0, "args", "serve\n", ""), pid);
    char cookie[96], incarnation[64];
    snprintf(incarnation, sizeof incarnation, "DISTCOMP_COOKIE=%016llx.host.0.",
             (unsigned long long)r.welcome.incarnation);
    assert_int_equal(proctree_environ(pid, "DISTCOMP_COOKIE=", cookie, sizeof cookie),
                     PROCTREE_ENVIRON_FOUND);
    assert_memory_equal(cookie, incarnation, strlen(incarnation));
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

/* Slots are held until Redis has the results; hosts only while there is something to read. */
static void results_on_their_way_keep_no_silent_host(void **state) {
    (void)state;
    struct wire_exit first = run_key(0, 7, "answer 0");
    for (uint32_t i = 1; i < 10; i++)
        assert_int_equal(run_key(i, 7, "answer 0").pid, first.pid);
    struct wire_exit loud = run_key(10, 7, "out loud");
    assert_int_equal(loud.pid, first.pid);
    struct wire_exit next = run_key(11, 7, "out next");
    assert_int_not_equal(next.pid, first.pid);
    assert_string_equal(output(10, "out"), "loud\n");
    assert_string_equal(output(11, "out"), "next\n");
    for (uint32_t i = 0; i < 11; i++)
        rig_ack(&r, i, 0);
    assert_int_equal(run_key(0, 7, "answer 0").pid, first.pid);
    rig_ack(&r, 0, 0);
    rig_ack(&r, 11, 0);
}

static void an_ordinary_try_takes_its_slot(void **state) {
    (void)state;
    struct wire_exit host = run_key(0, 7, "out before");
    rig_ack(&r, 0, 0);
    rig_sh(&r, 0, "echo shell");
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.status, 0);
    assert_int_equal(e.flags, 0);
    assert_int_equal(e.files, 0);
    assert_string_equal(output(0, "out"), "shell\n");
    rig_ack(&r, 0, 0);
    assert_int_equal(expect(0, "out again", "again\n", ""), host.pid);
}

static void the_agent_is_told_where_output_is(void **state) {
    (void)state;
    start(3, "out now wait");
    rig_started(&r, 3);
    rig_until(r.files[3] >= WIRE_FILES_HOST || !rig_frame(&r));
    r.exit[3].files = r.files[3];
    rig_until(strcmp(output(3, "out"), "now\n") == 0);
    rig_kill(&r, 3, WIRE_WHY_CANCEL, 20000);
    assert_int_equal(rig_exit(&r, 3).files, r.files[3]);
    rig_ack(&r, 3, 0);
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

static void what_is_too_long_is_a_failed_start(void **state) {
    (void)state;
    static char text[HOST_MESSAGE_MAX];
    memset(text, 'x', sizeof text - 1);
    struct wire_exit e = run_key(0, 7, text);
    assert_int_equal(e.spawn_errno, E2BIG);
    assert_int_equal(e.status, WIRE_STEP_ARGUMENTS);
    rig_ack(&r, 0, 0);
    /* As long as can be, to a new one and to a warm one. */
    memcpy(text, "answer 0 ", 9);
    text[sizeof text - 1024] = 0;
    int32_t pid = run_key(0, 7, text).pid;
    rig_ack(&r, 0, 0);
    struct wire_exit warm = run_key(0, 7, text);
    assert_int_equal(warm.pid, pid);
    assert_int_equal(warm.status, 0);
    rig_ack(&r, 0, 0);
}

static void a_program_that_is_not_there(void **state) {
    (void)state;
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_HOST,
                                      .host = {.key = 7},
                                      .argv = {"/nonexistent/kernelHost", "serve", "x"}});
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.spawn_errno, ENOENT);
    assert_int_equal(e.status, WIRE_STEP_EXECUTE);
    rig_ack(&r, 0, 0);
    assert_int_equal(run_key(0, 7, "answer 0").status, 0);
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

static void a_new_agent_finds_what_runs(void **state) {
    (void)state;
    int32_t idle = run_key(1, 8, "answer 0").pid;
    rig_ack(&r, 1, 0);
    run_key(2, 7, "answer 2"); /* not acknowledged */
    start(0, "wait answer 0");
    int32_t pid = rig_started(&r, 0);
    close(r.fd);
    rig_attach(&r);
    assert_true(r.listed[0] && r.task[0].running && r.task[0].started.pid == pid);
    assert_true(r.listed[2] && !r.task[2].running);
    assert_false(r.listed[1]);
    struct wire_exit e = rig_exit(&r, 2);
    assert_int_equal(e.status, 2 << 8);
    rig_ack(&r, 2, 0);
    assert_int_equal(run_key(1, 8, "answer 0").pid, idle);
    rig_ack(&r, 1, 0);
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 20000);
    rig_exit(&r, 0);
    rig_ack(&r, 0, 0);
}

/* An agent from before hosts gets the EXIT that it knows. */
static void an_older_agent_is_understood(void **state) {
    (void)state;
    run_key(0, 7, "answer 0");
    assert_int_equal(r.exit_bytes, sizeof(struct wire_exit));
    close(r.fd);
    r.version = WIRE_VERSION_HOST - 1;
    rig_attach(&r);
    assert_int_equal(r.welcome.version, WIRE_VERSION_HOST - 1);
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(r.exit_bytes, WIRE_EXIT_OLD_BYTES);
    assert_int_equal(e.status, 0);
    rig_ack(&r, 0, 0);
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
        fresh(output_is_that_of_its_try),
        fresh(output_that_was_moved_is_left_alone),
        fresh(large_output_is_whole_and_goes),
        fresh(output_that_was_removed_comes_back),
        fresh(directory_and_environment_are_the_trys),
        fresh(another_key_gets_another_process),
        fresh(hosts_make_room),
        fresh(results_on_their_way_keep_no_silent_host),
        fresh(an_ordinary_try_takes_its_slot),
        fresh(the_agent_is_told_where_output_is),
        fresh(without_a_key_it_ends_with_its_try),
        fresh(a_crash_costs_one_try),
        fresh(exit_is_its_code),
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
        fresh(what_is_too_long_is_a_failed_start),
        fresh(a_program_that_is_not_there),
        fresh(many_at_a_time),
        fresh(a_new_agent_finds_what_runs),
        fresh(an_older_agent_is_understood),
        cmocka_unit_test(idle_hosts_go_after_a_while),
        cmocka_unit_test(they_go_with_the_supervisor),
        cmocka_unit_test(what_they_left_is_found_by_the_next_supervisor),
        cmocka_unit_test(a_stop_ends_idle_ones),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
