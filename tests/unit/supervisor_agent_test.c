/*
 * The supervisor and its agents: killed, restarted, refused, attached; malformed frames; the lease;
 * and what is ended after the supervisor itself was killed.
 *
 * With --agent MODE this program is an agent that the supervisor under test starts.
 */
#include "tests/unit/agent_rig.h"

#include <sys/un.h>

#include "worker/aftermath.h"
#include "worker/proctree.h"
#include "worker/wireio.h"

/* ---- This program as an agent. ---- */

static int agent_main(const char *what) {
    if (strcmp(what, "crash") == 0)
        return 3;
    rig_hello(&r);
    if (strcmp(what, "refused") == 0) {
        rig_bye(&r, WIRE_BYE_REFUSED, 42);
        return 42;
    }
    if (strcmp(what, "stop") == 0) {
        rig_sh(&r, 0, "sleep 300");
        append("task", "%d\n", rig_started(&r, 0));
        rig_bye(&r, WIRE_BYE_STOP, 0);
        return 0;
    }
    if (!r.listed[0]) { /* mode "take": the first agent starts a task, the later ones take it over
                         */
        rig_start(&r,
                  &(struct rig_start){
                      .slot = 0,
                      .note = "my memory",
                      .cwd = r.dir,
                      .argv = {"/bin/sh", "-c", "while [ ! -f go ]; do sleep 0.02; done; exit 6"}});
        append("task", "%d\n", rig_started(&r, 0));
    } else {
        append("taken", "%d %d %s\n", r.task[0].started.pid, r.task[0].running, r.note[0]);
    }
    struct wire_exit e = rig_exit(&r, 0);
    append("exit", "%d %d\n", e.pid, WEXITSTATUS(e.status));
    rig_ack(&r, 0, 0);
    rig_bye(&r, WIRE_BYE_STOP, 0);
    return 0;
}

static int lines_in(const char *name) {
    int lines = 0;
    for (const char *p = in_dir(name); (p = strchr(p, '\n')); p++)
        lines++;
    return lines;
}

/* ---- Agents that the supervisor starts. ---- */

static void killed_agent_is_replaced(void **state) {
    (void)state;
    with_agent("take");
    int32_t task = rig_pid_in(&r, "task"), agent = rig_pid_in(&r, "agents");
    kill(agent, SIGKILL);
    rig_until(lines_in("taken") == 1);
    char expected[64];
    snprintf(expected, sizeof expected, "%d 1 my memory\n", task);
    assert_string_equal(in_dir("taken"), expected);
    assert_false(rig_is_gone(task));
    append("go", "\n");
    assert_int_equal(rig_wait_supervisor(&r), 0);
    snprintf(expected, sizeof expected, "%d 6\n", task);
    assert_string_equal(in_dir("exit"), expected);
    assert_int_equal(lines_in("agents"), 2);
    rig_remove(&r);
}

static void crashing_agent_is_restarted_with_back_off(void **state) {
    (void)state;
    with_agent("crash");
    int64_t begin_us = ustime_mono();
    rig_until(lines_in("agents") == 4);
    /* 100 + 200 + 400 ms lie between the first and the fourth */
    assert_true(ustime_mono() - begin_us > 500000);
    kill(r.supervisor, SIGTERM);
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_remove(&r);
}

static void refused_agent_gives_the_exit_code(void **state) {
    (void)state;
    with_agent("refused");
    assert_int_equal(rig_wait_supervisor(&r), 42);
    rig_remove(&r);
}

static void bye_stop_ends_the_tasks(void **state) {
    (void)state;
    with_agent("stop");
    assert_int_equal(rig_wait_supervisor(&r), 0);
    assert_true(rig_is_gone(rig_pid_in(&r, "task")));
    rig_remove(&r);
}

/* ---- Agents that attach. ---- */

static void bye_keep_and_attach(void **state) {
    (void)state;
    rig_up(&r, NULL);
    uint64_t incarnation = r.welcome.incarnation;
    rig_start(&r,
              &(struct rig_start){.slot = 7, .note = "seven", .argv = {"/bin/sh", "-c", "exit 7"}});
    rig_sh(&r, 8, "sleep 300");
    int32_t eight = rig_started(&r, 8);
    rig_exit(&r, 7);
    rig_bye(&r, WIRE_BYE_KEEP, 0);
    rig_attach(&r);
    assert_true(r.welcome.incarnation == incarnation && r.welcome.used == 2);
    assert_true(r.listed[7] && !r.task[7].running && strcmp(r.note[7], "seven") == 0);
    assert_true(r.listed[8] && r.task[8].running && r.task[8].started.pid == eight);
    assert_int_equal(WEXITSTATUS(rig_exit(&r, 7).status), 7); /* told again */
    rig_ack(&r, 7, 0);
    rig_down(&r);
    assert_true(rig_is_gone(eight));
}

static void bye_keep_with_nothing_leaves(void **state) {
    (void)state;
    rig_up(&r, NULL);
    rig_bye(&r, WIRE_BYE_KEEP, 0);
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_remove(&r);
}

static void second_agent_and_second_supervisor_are_refused(void **state) {
    (void)state;
    char error[512] = "", pid[32];
    rig_up(&r, NULL);
    assert_int_equal(statedir_attach(r.dir, error, sizeof error), STATEDIR_HELD);
    snprintf(pid, sizeof pid, "supervisor pid %d", r.supervisor);
    assert_non_null(strstr(error, pid));
    snprintf(pid, sizeof pid, "agent pid %d", getpid());
    assert_non_null(strstr(error, pid));
    pid_t second = fork();
    if (second == 0)
        _exit(supervisor_run(&(struct supervisor_options){.state_dir = r.dir, .capacity = 1}));
    int status;
    assert_int_equal(waitpid(second, &status, 0), second);
    assert_int_equal(WEXITSTATUS(status), SUPERVISOR_HELD);
    struct statedir sd;
    assert_int_equal(statedir_open(&sd, r.dir, error, sizeof error), STATEDIR_HELD);
    snprintf(pid, sizeof pid, "pid %d)", r.supervisor);
    assert_non_null(strstr(error, pid));
    rig_down(&r);
    assert_int_equal(statedir_attach(r.dir, error, sizeof error), STATEDIR_NONE);
}

static void previous_incarnation_is_told(void **state) {
    (void)state;
    rig_up(&r, NULL);
    uint64_t first = r.welcome.incarnation;
    assert_true(first != 0 && r.welcome.previous == 0);
    rig_bye(&r, WIRE_BYE_STOP, 0);
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_supervise(&r, NULL);
    rig_attach(&r);
    assert_true(r.welcome.previous == first && r.welcome.incarnation != first);
    rig_down(&r);
}

/* ---- What the supervisor does not believe. ---- */

static void malformed(const void *bytes, size_t len) {
    rig_send_raw(&r, bytes, len);
    while (rig_frame(&r)) /* until it hangs up */
        ;
    close(r.fd);
    rig_attach(&r);
    assert_true(r.listed[5] && r.task[5].running); /* the task does not notice */
}

static void malformed_frames_drop_the_connection(void **state) {
    (void)state;
    rig_up(&r, NULL);
    rig_sh(&r, 5, "sleep 300");
    rig_started(&r, 5);
    struct wire_frame huge = {WIRE_START, WIRE_FRAME_MAX + 1}, unknown = {99, 0};
    malformed(&huge, sizeof huge);
    malformed(&unknown, sizeof unknown);
    struct {
        struct wire_frame frame;
        struct wire_ack ack;
    } acks[] = {{{WIRE_ACK, 8}, {5, 0}},
                {{WIRE_ACK, 8}, {RIG_SLOTS, 0}},
                {{WIRE_ACK, 8}, {9, 0}},
                {{WIRE_ACK, 7}, {9, 0}}};
    for (size_t i = 0; i < sizeof acks / sizeof *acks; i++)
        malformed(&acks[i], sizeof acks[i]);
    struct {
        struct wire_frame frame;
        struct wire_kill kill;
    } kills[] = {{{WIRE_KILL, 12}, {RIG_SLOTS, 1, 0}}, {{WIRE_KILL, 12}, {5, 77, 0}}};
    for (size_t i = 0; i < sizeof kills / sizeof *kills; i++)
        malformed(&kills[i], sizeof kills[i]);
    struct {
        struct wire_frame frame;
        struct wire_start start;
        char strings[8];
    } starts[] = {
        {{WIRE_START, 56}, {.slot = 1, .argc = 2, .strings_len = 8}, "abcdefg"}, /* one string */
        {{WIRE_START, 56},
         {.slot = 1, .argc = 1, .strings_len = 9},
         "abcdefg"}, /* longer than the frame */
        {{WIRE_START, 56}, {.slot = 1, .argc = 0, .strings_len = 8}, "abcdefg"}, /* no program */
        {{WIRE_START, 56}, {.slot = 5, .argc = 1, .strings_len = 8}, "abcdefg"}, /* in use */
        {{WIRE_START, 56}, {.slot = 512, .argc = 1, .strings_len = 8}, "abcdefg"},
        {{WIRE_START, 56}, {.slot = 1, .flags = 64, .argc = 1, .strings_len = 8}, "abcdefg"},
        {{WIRE_START, 56},
         {.slot = 1, .argc = UINT32_MAX, .fallback_argc = 2, .strings_len = 8},
         ""},
        {{WIRE_START, 56}, {.slot = 1, .note_len = UINT32_MAX, .argc = 1, .strings_len = 9}, ""},
    };
    for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
        malformed(&starts[i], sizeof starts[i]);
    rig_down(&r);
}

static void order_before_hello_is_refused(void **state) {
    (void)state;
    char error[512];
    rig_up(&r, NULL);
    rig_sh(&r, 5, "sleep 300");
    rig_started(&r, 5);
    rig_bye(&r, WIRE_BYE_KEEP, 0);
    rig_until((r.fd = statedir_attach(r.dir, error, sizeof error)) >= 0);
    rig_kill(&r, 5, WIRE_WHY_CANCEL, 0);
    assert_int_equal(rig_frame(&r), 0);
    close(r.fd);
    rig_attach(&r);
    assert_true(r.task[5].running);
    rig_down(&r);
}

/* ---- The lease. ---- */

static void orphans_are_stopped_before_the_lease_ends(void **state) {
    (void)state;
    rig_up(&r, NULL);
    rig_sh(&r, 0, "trap '' TERM; while :; do sleep 0.05; done");
    int32_t pid = rig_started(&r, 0);
    rig_lease(&r, 2000);
    int64_t begin_us = ustime_mono();
    rig_bye(&r, WIRE_BYE_KEEP, 0);
    rig_until(rig_is_gone(pid));
    int64_t took_us = ustime_mono() - begin_us;
    assert_true(took_us > 1300000 &&
                took_us < 2000000); /* a quarter before; SIGKILL half of it later */
    rig_attach(&r);
    assert_int_equal(rig_exit(&r, 0).why, WIRE_WHY_ORPHAN);
    rig_down(&r);
}

static void orphans_are_kept_on_request(void **state) {
    (void)state;
    rig_up(&r, &(struct supervisor_options){.orphan_policy = SUPERVISOR_ORPHANS_KEEP});
    rig_sh(&r, 0, "sleep 0.6; exit 3");
    rig_lease(&r, 200);
    rig_bye(&r, WIRE_BYE_KEEP, 0);
    poll(NULL, 0, 400); /* past the lease */
    rig_attach(&r);
    assert_int_equal(WEXITSTATUS(rig_exit(&r, 0).status), 3);
    rig_down(&r);
}

static void sigterm_without_agent_ends_everything(void **state) {
    (void)state;
    rig_up(&r, NULL);
    rig_sh(&r, 0, "sleep 300");
    int32_t pid = rig_started(&r, 0);
    rig_bye(&r, WIRE_BYE_KEEP, 0);
    kill(r.supervisor, SIGTERM);
    assert_int_equal(rig_wait_supervisor(&r), 0);
    assert_true(rig_is_gone(pid));
    rig_remove(&r);
}

/* ---- After the supervisor's death. ---- */

static int32_t orphan_a_daemon(void) {
    rig_up(&r, NULL);
    rig_start(
        &r,
        &(struct rig_start){
            .slot = 0,
            .cwd = r.dir,
            .argv = {
                "/bin/sh", "-c",
                "(setsid sh -c 'echo $$ >pid.new; mv pid.new pid; exec sleep 300' &); sleep 300"}});
    int32_t pid = rig_pid_in(&r, "pid");
    assert_int_equal(aftermath_end(r.dir), 0); /* not while the supervisor lives */
    assert_false(rig_is_gone(pid));
    kill(r.supervisor, SIGKILL);
    assert_int_equal(rig_wait_supervisor(&r), 128 + SIGKILL);
    close(r.fd);
    assert_false(rig_is_gone(pid)); /* or else this tests nothing */
    return pid;
}

static void aftermath_ends_what_is_left(void **state) {
    (void)state;
    int32_t pid = orphan_a_daemon();
    assert_true(aftermath_end(r.dir) >= 1);
    assert_true(rig_is_gone(pid));
    rig_remove(&r);
}

static void next_supervisor_ends_what_is_left(void **state) {
    (void)state;
    int32_t pid = orphan_a_daemon();
    rig_supervise(&r, NULL);
    rig_attach(&r);
    assert_true(rig_is_gone(pid));
    rig_down(&r);
}

/* ---- The state directory. ---- */

static void state_dir_is_checked(void **state) {
    (void)state;
    struct statedir sd;
    char error[512], path[300];
    rig_make_dir(&r);
    snprintf(path, sizeof path, "%s/%080d", r.dir, 1);
    assert_int_equal(statedir_open(&sd, path, error, sizeof error), STATEDIR_ERROR);
    assert_non_null(strstr(error, "shorter than 108"));
    snprintf(path, sizeof path, "%s/a/b", r.dir);
    assert_int_equal(statedir_open(&sd, path, error, sizeof error), STATEDIR_OK);
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0700);
    statedir_close(&sd);
    if (geteuid() == 0) { /* only root can make a directory that is not its own */
        assert_int_equal(chown(path, 12345, 12345), 0);
        assert_int_equal(statedir_open(&sd, path, error, sizeof error), STATEDIR_ERROR);
        assert_non_null(strstr(error, "belongs to user 12345"));
    }
    rig_remove(&r);
}

static void idle_memory_is_small(void **state) {
    (void)state;
    rig_up(&r, &(struct supervisor_options){.capacity = 4096});
    rig_sh(&r, 0, "exit 0");
    rig_exit(&r, 0);
    rig_ack(&r, 0, 0);
    /* a frame of 300 kB, whose pages go back */
    static char big[120000];
    memset(big, 'x', sizeof big - 1);
    rig_start(&r, &(struct rig_start){.slot = 0, .argv = {"/bin/true", big, big}});
    rig_exit(&r, 0);
    rig_ack(&r, 0, 0);
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/status", r.supervisor);
    const char *anonymous = strstr(rig_file(path, NULL), "RssAnon:");
    assert_non_null(anonymous);
#ifndef __SANITIZE_ADDRESS__
    if (!getenv("WRAP")) /* valgrind */
        assert_true(strtol(anonymous + 8, NULL, 10) < 1500);
#endif
    rig_down(&r);
}

int main(int argc, char **argv) {
    if (is_agent(argc, argv))
        return agent_main(argv[2]);
    find_self();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_agent_is_replaced),
        cmocka_unit_test(crashing_agent_is_restarted_with_back_off),
        cmocka_unit_test(refused_agent_gives_the_exit_code),
        cmocka_unit_test(bye_stop_ends_the_tasks),
        cmocka_unit_test(bye_keep_and_attach),
        cmocka_unit_test(bye_keep_with_nothing_leaves),
        cmocka_unit_test(second_agent_and_second_supervisor_are_refused),
        cmocka_unit_test(previous_incarnation_is_told),
        cmocka_unit_test(malformed_frames_drop_the_connection),
        cmocka_unit_test(order_before_hello_is_refused),
        cmocka_unit_test(orphans_are_stopped_before_the_lease_ends),
        cmocka_unit_test(orphans_are_kept_on_request),
        cmocka_unit_test(sigterm_without_agent_ends_everything),
        cmocka_unit_test(aftermath_ends_what_is_left),
        cmocka_unit_test(next_supervisor_ends_what_is_left),
        cmocka_unit_test(state_dir_is_checked),
        cmocka_unit_test(idle_memory_is_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
