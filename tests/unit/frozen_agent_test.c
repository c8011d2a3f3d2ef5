/*
 * Agents that are stopped, hang, or live on without Redis, under a real supervisor.
 *
 * With --agent MODE this program is an agent that the supervisor under test starts.
 */
#include "tests/unit/agent_rig.h"

#include "worker/proctree.h"

#define LEASE_MS      4000
#define LONG_LEASE_MS 12000 /* long enough to be sure of one that hangs before it is over */

/* ---- This program as an agent. ---- */

static void say_alive(void) {
    struct wire_alive alive = {0};
    rig_send(&r, WIRE_ALIVE, &alive, sizeof alive);
    append("alive", "\n");
}

static int first_agent(const char *what) {
    rig_sh(&r, 0, "sleep 300");
    int32_t task = rig_started(&r, 0);
    rig_lease(&r, strcmp(what, "hang-alone") == 0 ? LONG_LEASE_MS : LEASE_MS); /* never renewed */
    append("task", "%d\n", task);
    if (strcmp(what, "answer") == 0)
        for (uint32_t type; (type = rig_frame(&r)) != 0;)
            if (type == WIRE_PING)
                say_alive();
    if (strncmp(what, "freeze", 6) == 0)
        raise(SIGSTOP);
    pause(); /* hangs */
    return 9;
}

static int agent_main(const char *what) {
    if (*in_dir("task") && strstr(what, "-alone"))
        return 3; /* no agent comes up any more */
    rig_hello(&r);
    if (!r.listed[0])
        return first_agent(what);
    append("taken", "%d %d\n", r.task[0].started.pid, r.task[0].running);
    rig_bye(&r, WIRE_BYE_STOP, 0);
    return 0;
}

/* ---- Tests. ---- */

static void replaced_and_nothing_lost(const char *what) {
    with_agent(what);
    int32_t task = rig_pid_in(&r, "task"), agent = rig_pid_in(&r, "agents");
    rig_until(*in_dir("taken"));
    char expected[64];
    snprintf(expected, sizeof expected, "%d 1\n", task);
    assert_string_equal(in_dir("taken"), expected);
    assert_true(rig_is_gone(agent));
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_remove(&r);
}

static void stopped_agent_is_replaced(void **state) {
    (void)state;
    replaced_and_nothing_lost("freeze");
}

/* It is found out later, which a short lease does not wait for: with orphan_policy stop the tasks
 * are ended first, but only if it was known in time. */
static void hanging_agent_is_replaced(void **state) {
    (void)state;
    with_agent("hang");
    int32_t agent = rig_pid_in(&r, "agents");
    rig_until(*in_dir("taken"));
    assert_true(rig_is_gone(agent));
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_remove(&r);
}

static void tasks_end_before_the_lease(const char *what, int64_t lease_ms) {
    with_agent(what);
    int32_t task = rig_pid_in(&r, "task");
    int64_t begin_us = ustime_boot(); /* after the lease began */
    rig_until(rig_is_gone(task));
    assert_true(ustime_boot() - begin_us < lease_ms * US_PER_MS);
    kill(r.supervisor, SIGTERM);
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_remove(&r);
}

static void tasks_of_a_stopped_agent_end_when_no_other_comes(void **state) {
    (void)state;
    tasks_end_before_the_lease("freeze-alone", LEASE_MS);
}

static void tasks_of_a_hanging_agent_end_when_no_other_comes(void **state) {
    (void)state;
    tasks_end_before_the_lease("hang-alone", LONG_LEASE_MS);
}

/* Redis is away, for two leases; the agent is not. */
static void tasks_go_on_while_the_agent_answers(void **state) {
    (void)state;
    with_agent("answer");
    int32_t task = rig_pid_in(&r, "task"), agent = rig_pid_in(&r, "agents");
    int64_t begin_us = ustime_boot();
    rig_until(ustime_boot() - begin_us > 2 * (int64_t)LEASE_MS * US_PER_MS);
    assert_true(strlen(in_dir("alive")) >= 2);
    assert_false(rig_is_gone(task));
    assert_false(rig_is_gone(agent));
    kill(agent, SIGKILL); /* and the next one still finds them */
    rig_until(*in_dir("taken"));
    char expected[64];
    snprintf(expected, sizeof expected, "%d 1\n", task);
    assert_string_equal(in_dir("taken"), expected);
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_remove(&r);
}

/* Whoever stops a whole worker and lets it go on finds it as it was. */
static void supervisor_and_agent_stopped_together(void **state) {
    (void)state;
    with_agent("answer");
    int32_t task = rig_pid_in(&r, "task"), agent = rig_pid_in(&r, "agents");
    rig_until(*in_dir("alive")); /* it was asked, and will be again at any moment */
    kill(r.supervisor, SIGSTOP);
    kill(agent, SIGSTOP);
    poll(NULL, 0, LEASE_MS);
    size_t said = strlen(in_dir("alive"));
    kill(r.supervisor, SIGCONT);
    kill(agent, SIGCONT);
    rig_until(strlen(in_dir("alive")) > said + 1);
    assert_false(rig_is_gone(task));
    assert_false(rig_is_gone(agent));
    kill(agent, SIGKILL);
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_remove(&r);
}

/* An agent that attached is killed as well, and another may attach. */
static void stopped_agent_that_attached_is_killed(void **state) {
    (void)state;
    rig_up(&r, NULL);
    rig_bye(&r, WIRE_BYE_KEEP, 0); /* holds nothing: but then it would leave */
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_supervise(&r, NULL);
    pid_t agent = fork();
    assert_true(agent >= 0);
    if (agent == 0) {
        rig_attach(&r);
        rig_sh(&r, 0, "sleep 300");
        rig_started(&r, 0);
        rig_lease(&r, LEASE_MS);
        raise(SIGSTOP);
        _exit(9);
    }
    int status = 0;
    rig_until(waitpid(agent, &status, WNOHANG) == agent);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    rig_attach(&r);
    assert_true(r.listed[0] && r.task[0].running);
    rig_down(&r);
}

int main(int argc, char **argv) {
    if (is_agent(argc, argv))
        return agent_main(argv[2]);
    find_self();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stopped_agent_is_replaced),
        cmocka_unit_test(hanging_agent_is_replaced),
        cmocka_unit_test(tasks_of_a_stopped_agent_end_when_no_other_comes),
        cmocka_unit_test(tasks_of_a_hanging_agent_end_when_no_other_comes),
        cmocka_unit_test(tasks_go_on_while_the_agent_answers),
        cmocka_unit_test(supervisor_and_agent_stopped_together),
        cmocka_unit_test(stopped_agent_that_attached_is_killed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
