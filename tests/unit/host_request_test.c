/* What goes to a host with a try and comes back: directory, environment, output files; and what
 * agents are told (worker/host.h, wire.h). */
#include "tests/unit/host_rig.h"

#include "worker/proctree.h"

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
    NOT_UNDER_VALGRIND();
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

int main(int argc, char **argv) {
    fake_host(argc, argv);
    find_self();
    const struct CMUnitTest tests[] = {
        fresh(output_is_that_of_its_try),
        fresh(output_that_was_moved_is_left_alone),
        fresh(large_output_is_whole_and_goes),
        fresh(output_that_was_removed_comes_back),
        fresh(directory_and_environment_are_the_trys),
        fresh(results_on_their_way_keep_no_silent_host),
        fresh(an_ordinary_try_takes_its_slot),
        fresh(the_agent_is_told_where_output_is),
        fresh(what_is_too_long_is_a_failed_start),
        fresh(a_program_that_is_not_there),
        fresh(an_older_agent_is_understood),
        fresh(a_new_agent_finds_what_runs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
