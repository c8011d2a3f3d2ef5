/* Tries under a real supervisor: how they end, with all their processes; what they see; their
 * output. */
#include "tests/unit/supervisor_rig.h"

#include <time.h>

#include "worker/proctree.h"

static void exit_status_and_usage(void **state) {
    (void)state;
    rig_sh(&r, 3, "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done; exit 42");
    struct wire_exit e = rig_exit(&r, 3);
    assert_true(WIFEXITED(e.status));
    assert_int_equal(WEXITSTATUS(e.status), 42);
    assert_int_equal(e.spawn_errno, 0);
    assert_int_equal(e.why, WIRE_WHY_NONE);
    assert_int_equal(e.pid, r.start[3].pid);
    assert_true(e.user_us > 1000 && e.maxrss_kib > 100);
    assert_true(e.wall_us >= e.user_us / 2);
    assert_true(e.start_wall_ms > 1500000000000u && e.end_wall_ms >= e.start_wall_ms);
    rig_ack(&r, 3, 0);
}

static void killed_by_signal(void **state) {
    (void)state;
    rig_sh(&r, 0, "kill -SEGV $$");
    struct wire_exit e = rig_exit(&r, 0);
    assert_true(WIFSIGNALED(e.status));
    assert_int_equal(WTERMSIG(e.status), SIGSEGV);
}

static void timeout_term_is_honoured(void **state) {
    (void)state;
    rig_start(&r, &(struct rig_start){
                      .slot = 0,
                      .timeout_ms = 300,
                      .grace_ms = 20000,
                      .argv = {"/bin/sh", "-c", "trap 'echo bye; exit 5' TERM; sleep 100 & wait"}});
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.why, WIRE_WHY_TIMEOUT);
    assert_int_equal(WEXITSTATUS(e.status), 5);
    assert_string_equal(rig_output(&r, 0, "out", NULL), "bye\n");
    assert_true(e.wall_us >= 300000 && e.wall_us < 10000000);
}

static void timeout_term_is_ignored(void **state) {
    (void)state;
    rig_start(&r, &(struct rig_start){
                      .slot = 0,
                      .timeout_ms = 200,
                      .grace_ms = 200,
                      .argv = {"/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.1; done"}});
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.why, WIRE_WHY_TIMEOUT);
    assert_true(WIFSIGNALED(e.status) && WTERMSIG(e.status) == SIGKILL);
}

static void kill_ends_a_stopped_task(void **state) {
    (void)state;
    rig_sh(&r, 0, "trap 'exit 7' TERM; kill -STOP $$; exit 8");
    int32_t pid = rig_started(&r, 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    rig_until(strstr(rig_file(path, NULL), ") T "));
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 20000);
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.why, WIRE_WHY_CANCEL);
    assert_int_equal(WEXITSTATUS(e.status), 7);
}

/* Starts a task that writes the pid of a process it leaves behind to FILE, and returns that pid. */
static int32_t leave_behind(uint32_t slot, uint32_t flags, const char *line) {
    rig_start(&r, &(struct rig_start){
                      .slot = slot, .flags = flags, .cwd = r.dir, .argv = {"/bin/sh", "-c", line}});
    return rig_pid_in(&r, "pid");
}

#define DAEMON "(setsid sh -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 300' &) ; "
#define READY  "while [ ! -f pid ]; do sleep 0.01; done; "

static void leftover_in_session_is_ended(void **state) {
    (void)state;
    int32_t pid = leave_behind(0, 0, "sleep 300 & echo $! >pid.new; mv pid.new pid; exit 4");
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(WEXITSTATUS(e.status), 4);
    assert_int_equal(e.why, WIRE_WHY_NONE);
    assert_int_equal(e.leftovers, 1);
    assert_true(rig_is_gone(pid));
}

static void leftover_daemon_is_ended(void **state) {
    (void)state;
    int32_t pid = leave_behind(0, 0, DAEMON READY "exit 0");
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.leftovers, 1);
    assert_true(rig_is_gone(pid));
}

static void kill_ends_daemons(void **state) {
    (void)state;
    int32_t pid = leave_behind(0, 0, DAEMON "sleep 300");
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 5000);
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.why, WIRE_WHY_CANCEL);
    assert_int_equal(WTERMSIG(e.status), SIGTERM);
    assert_true(rig_is_gone(pid));
}

static void kill_ends_a_session_without_environment(void **state) {
    (void)state;
    /* Nothing but its parent says whose it is, and the parent dies first. */
    int32_t pid = leave_behind(0, 0,
                               "env -i setsid sh -c 'trap \"\" TERM; echo $$ >pid.new; mv pid.new "
                               "pid; sleep 300; sleep 300' & wait");
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 300);
    rig_exit(&r, 0);
    assert_true(rig_is_gone(pid));
}

static void kill_ends_a_fork_bomb(void **state) {
    (void)state;
    /* A comet: each process starts the next and leaves, faster than /proc can be read. */
    rig_sh(&r, 0, "f() { (f) & }; trap '' TERM; f; sleep 300");
    rig_started(&r, 0);
    poll(NULL, 0, 300); /* let it spread: no condition to wait for */
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 100);
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.why, WIRE_WHY_CANCEL);
    const struct proc_stat *table;
    size_t count = proctree_scan(&table);
    for (size_t i = 0; i < count; i++)
        assert_true(table[i].session != e.pid || table[i].dead);
}

static void others_are_left_alone(void **state) {
    (void)state;
    rig_sh(&r, 1, "sleep 300");
    int32_t other = rig_started(&r, 1);
    int32_t pid = leave_behind(0, 0, DAEMON "sleep 300");
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 0);
    rig_exit(&r, 0);
    assert_true(rig_is_gone(pid));
    assert_false(rig_is_gone(other));
}

static void leftovers_are_waited_for(void **state) {
    (void)state;
    rig_start(&r,
              &(struct rig_start){.slot = 0,
                                  .flags = WIRE_START_WAIT_LEFTOVER,
                                  .argv = {"/bin/sh", "-c", "(sleep 0.5; echo late) & exit 3"}});
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(WEXITSTATUS(e.status), 3);
    assert_true(e.wall_us >= 500000);
    assert_string_equal(rig_output(&r, 0, "out", NULL), "late\n");
    /* and their timeout counts */
    rig_ack(&r, 0, 0);
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_WAIT_LEFTOVER,
                                      .timeout_ms = 400,
                                      .grace_ms = 100,
                                      .argv = {"/bin/sh", "-c", "sleep 300 & exit 0"}});
    assert_int_equal(rig_exit(&r, 0).why, WIRE_WHY_TIMEOUT);
}

static void environment_and_directory(void **state) {
    (void)state;
    char expected[512];
    rig_start(&r, &(struct rig_start){
                      .slot = 0,
                      .cwd = r.dir,
                      .env = {"A=b c", "HOME=/nowhere"},
                      .argv = {"/bin/sh", "-c",
                               "echo \"$A|$HOME|$PWD|$(/bin/pwd)|$DISTCOMP_STATE_DIR\"; "
                               "ls /proc/self/fd | wc -l; cat; ps -o sid= -p $$ | tr -d ' '; "
                               "grep SigBlk /proc/self/status; grep SigIgn /proc/self/status"}});
    int32_t pid = rig_started(&r, 0);
    rig_exit(&r, 0);
    /* ls has its three and the directory it reads. Signals 32 and 33 are the C library's own:
     * whoever started us by posix_spawn (make does) may have left them ignored. */
    snprintf(expected, sizeof expected,
             "b c|/nowhere|%s|%s|%s\n4\n%d\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000000000\n",
             r.dir, r.dir, r.dir, pid);
    assert_string_equal(rig_output(&r, 0, "out", NULL), expected);
}

static void output_and_reuse(void **state) {
    (void)state;
    rig_sh(&r, 0, "printf 'a\\0b'; echo err >&2");
    struct wire_exit e = rig_exit(&r, 0);
    size_t len;
    assert_int_equal(e.out_bytes, 3);
    assert_int_equal(e.err_bytes, 4);
    assert_memory_equal(rig_output(&r, 0, "out", &len), "a\0b", 3);
    rig_ack(&r, 0, 0);
    rig_sh(&r, 0, "echo second");
    e = rig_exit(&r, 0);
    assert_int_equal(e.err_bytes, 0);
    assert_string_equal(rig_output(&r, 0, "out", NULL), "second\n");
    /* the agent takes the file away */
    char from[256], to[256];
    snprintf(from, sizeof from, "%s/out/0.out", r.dir);
    snprintf(to, sizeof to, "%s/taken", r.dir);
    assert_int_equal(rename(from, to), 0);
    rig_ack(&r, 0, WIRE_ACK_OUT_TAKEN);
    rig_sh(&r, 0, "echo third");
    rig_exit(&r, 0);
    assert_string_equal(rig_output(&r, 0, "out", NULL), "third\n");
    assert_string_equal(rig_file(to, NULL), "second\n");
}

/* capture.h says so: `>/dev/stderr` opens the file itself and cuts it off; `>>` and `>&2` do not.
 */
static void reopened_standard_error(void **state) {
    (void)state;
    rig_sh(&r, 0, "echo one >&2; echo two >>/dev/stderr; echo three >&2");
    rig_exit(&r, 0);
    assert_string_equal(rig_output(&r, 0, "err", NULL), "one\ntwo\nthree\n");
    rig_sh(&r, 1, "echo one >&2; echo two >/dev/stderr; echo three >&2");
    rig_exit(&r, 1);
    assert_string_equal(rig_output(&r, 1, "err", NULL), "two\nthree\n");
}

static void many_at_a_time(void **state) {
    (void)state;
    for (uint32_t i = 0; i < 300; i++) {
        char line[64];
        snprintf(line, sizeof line, "sleep 1; exit %u", i % 100);
        rig_sh(&r, i, line);
    }
    for (uint32_t i = 0; i < 300; i++) {
        struct wire_exit e = rig_exit(&r, i);
        assert_int_equal(e.spawn_errno, 0);
        assert_int_equal(WEXITSTATUS(e.status), i % 100);
        rig_ack(&r, i, 0);
    }
    for (uint32_t i = 0; i < 300; i++)
        rig_sh(&r, i, "trap '' TERM; sleep 300 & wait; sleep 300");
    for (uint32_t i = 0; i < 300; i++)
        rig_started(&r, i);
    for (uint32_t i = 0; i < 300; i++)
        rig_kill(&r, i, WIRE_WHY_RETURN, 50);
    for (uint32_t i = 0; i < 300; i++)
        assert_int_equal(rig_exit(&r, i).why, WIRE_WHY_RETURN);
}

static void spawn_errors(void **state) {
    (void)state;
    if (getenv("UNDER_VALGRIND")) /* where a failed execve ends the child */
        skip();
    rig_start(&r, &(struct rig_start){.slot = 0, .cwd = "/no/such", .argv = {"/bin/true"}});
    assert_int_equal(rig_exit(&r, 0).spawn_errno, ENOENT);
    rig_start(&r, &(struct rig_start){.slot = 1, .argv = {"/no/such"}});
    assert_int_equal(rig_exit(&r, 1).spawn_errno, ENOENT);
    rig_start(&r, &(struct rig_start){.slot = 2, .cwd = "tmp", .argv = {"/bin/true"}});
    assert_int_equal(rig_exit(&r, 2).spawn_errno, EINVAL);
    rig_ack(&r, 0, 0);
    rig_sh(&r, 0, "exit 9");
    assert_int_equal(WEXITSTATUS(rig_exit(&r, 0).status), 9);
}

static void direct_and_fallback(void **state) {
    (void)state;
    rig_start(&r, &(struct rig_start){.slot = 0,
                                      .flags = WIRE_START_DIRECT,
                                      .argv = {"uname", "-s"},
                                      .fallback = {"/bin/sh", "-c", "echo shell"}});
    rig_exit(&r, 0);
    assert_string_equal(rig_output(&r, 0, "out", NULL), "Linux\n");
    rig_start(&r, &(struct rig_start){.slot = 1,
                                      .flags = WIRE_START_DIRECT,
                                      .argv = {"no-such-program"},
                                      .fallback = {"/bin/sh", "-c", "no-such-program"}});
    assert_int_equal(WEXITSTATUS(rig_exit(&r, 1).status), 127);
    assert_non_null(strstr(rig_output(&r, 1, "err", NULL), "not found"));
}

static void signals_are_told(void **state) {
    (void)state;
    const int signals[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
        kill(r.supervisor, signals[i]);
        while (rig_frame(&r) != WIRE_SIGNAL)
            ;
        assert_int_equal(r.last_signal, signals[i]);
    }
}

static uint64_t blocks_of(const char *name) {
    char path[256];
    struct stat st;
    snprintf(path, sizeof path, "%s/out/%s", r.dir, name);
    return stat(path, &st) == 0 ? (uint64_t)st.st_blocks * 512 : 0;
}

static void flood_stays_bounded(void **state) {
    (void)state;
    rig_down(&r);
    rig_up(&r, &(struct supervisor_options){.output_max = 1 << 20});
    rig_sh(&r, 0,
           "echo first; i=0; while [ $i -lt 40 ]; do head -c 1000000 /dev/zero; sleep 0.03; "
           "i=$((i+1)); done; echo last");
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.out_bytes, 40000000 + 6 + 5);
    assert_true(blocks_of("0.out") <= (1 << 20) + 65536);
    char path[256], text[8] = "";
    snprintf(path, sizeof path, "%s/out/0.out", r.dir);
    int fd = open(path, O_RDONLY);
    assert_int_equal(pread(fd, text, 6, 0), 6);
    assert_string_equal(text, "first\n");
    assert_int_equal(pread(fd, text, 5, 40000006), 5);
    assert_memory_equal(text, "last\n", 5);
    close(fd);
    /* the blocks go back at ACK */
    rig_ack(&r, 0, 0);
    rig_until(blocks_of("0.out") == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(exit_status_and_usage),
        fresh(killed_by_signal),
        fresh(timeout_term_is_honoured),
        fresh(timeout_term_is_ignored),
        fresh(kill_ends_a_stopped_task),
        fresh(leftover_in_session_is_ended),
        fresh(leftover_daemon_is_ended),
        fresh(kill_ends_daemons),
        fresh(kill_ends_a_session_without_environment),
        fresh(kill_ends_a_fork_bomb),
        fresh(others_are_left_alone),
        fresh(leftovers_are_waited_for),
        fresh(environment_and_directory),
        fresh(output_and_reuse),
        fresh(reopened_standard_error),
        fresh(many_at_a_time),
        fresh(spawn_errors),
        fresh(direct_and_fallback),
        fresh(signals_are_told),
        fresh(flood_stays_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
