/* launch.h: from a task's record to the frame that the supervisor gets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <limits.h>

#include "worker/hostwire.h"
#include "worker/launch.h"
#include "worker/wireio.h"

#define SCRIPT "/state/out/5.sh"

static struct config config;
static struct task task;
static struct run run;
static struct launch launch;
static struct launch_extra extra;
static struct buf error = BUF_INIT;
static const char *strings[2048]; /* of the frame: argv, fallback, env */
static const char **fallback, **env;
static struct wire_start_view view;

static const char *const thread_variables[] = {"OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS",
                                               "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
                                               "VECLIB_MAXIMUM_THREADS"};

static int up(void **state) {
    (void)state;
    for (size_t i = 0; i < 5; i++)
        unsetenv(thread_variables[i]);
    config_defaults(&config);
    free(config.name);
    config.name = xstrdup("w1");
    task = (struct task){.type = TASK_SHELL, .mcpu = 1000};
    memset(&run, 0, sizeof run);
    extra = (struct launch_extra){.wire_version = WIRE_VERSION};
    launch_read_environment();
    run.record = (struct buf)BUF_INIT;
    snprintf(run.id, sizeof run.id, "0123456789abcd");
    snprintf(run.nonce, sizeof run.nonce, "00112233445566778899");
    run.try_number = 3;
    run.slot = 5;
    return 0;
}

static int down(void **state) {
    (void)state;
    config_free(&config);
    launch_free(&launch);
    buf_free(&run.record);
    buf_free(&error);
    return 0;
}

static void option(enum task_option_tag tag, const char *value) {
    task.options[task.option_count++] = (struct task_option){tag, value, strlen(value)};
}

static bool make_bytes(const char *params, size_t len) {
    task.params = params;
    task.params_len = len;
    buf_clear(&run.record);
    task_record(&task, TASK_IN_PROGRESS, 1, &run.record);
    launch_free(&launch);
    buf_clear(&error);
    return launch_make(&launch, &run, &config, &extra, SCRIPT, &error);
}

/* Makes a frame and takes it apart as the supervisor does. */
static void make(const char *params) {
    if (!make_bytes(params, strlen(params)))
        fail_msg("%s", error.data);
    static struct buf frame = BUF_INIT;
    buf_clear(&frame);
    buf_add(&frame, &launch.head, sizeof launch.head);
    buf_add(&frame, launch.tail.data, launch.tail.len);
    assert_true(wire_parse_start((const uint8_t *)frame.data, frame.len, &view));
    const char *at = view.strings;
    uint32_t count = view.head.argc + view.head.fallback_argc + view.head.envc;
    assert_true(count < 2048);
    for (uint32_t i = 0; i < count; i++, at += strlen(at) + 1)
        strings[i] = at;
    strings[count] = NULL;
    fallback = strings + view.head.argc;
    env = fallback + view.head.fallback_argc;
    assert_int_equal(launch.script.len, 0);
}

static void expect_words(const char **words, uint32_t count, const char *expected) {
    struct buf text = BUF_INIT;
    for (uint32_t i = 0; i < count; i++)
        buf_addf(&text, "%s<%s>", i ? " " : "", words[i]);
    assert_string_equal(text.data, expected);
    buf_free(&text);
}

/* The value of a variable; fails when it is there twice. NULL: it is not there. */
static const char *variable(const char *name) {
    const char *value = NULL;
    size_t len = strlen(name);
    for (uint32_t i = 0; i < view.head.envc; i++)
        if (strncmp(env[i], name, len) == 0 && env[i][len] == '=') {
            assert_null(value);
            value = env[i] + len + 1;
        }
    return value;
}

static void plain_commands_run_directly(void **state) {
    (void)state;
    make(" gzip  -9 /a/b.txt");
    assert_int_equal(view.head.flags, WIRE_START_DIRECT);
    assert_int_equal(view.head.slot, 5);
    expect_words(strings, view.head.argc, "<gzip> <-9> </a/b.txt>");
    /* What a shell would say and exit with, should it not be there. */
    expect_words(fallback, view.head.fallback_argc, "</bin/sh> <-c> < gzip  -9 /a/b.txt>");
}

static void others_go_through_the_shell(void **state) {
    (void)state;
    static const char *const lines[] = {"true; true", "echo $HOME", "a=1", "cd /", "'x'"};
    for (size_t i = 0; i < 5; i++) {
        char expected[64];
        make(lines[i]);
        snprintf(expected, sizeof expected, "</bin/sh> <-c> <%s>", lines[i]);
        assert_int_equal(view.head.flags, 0);
        assert_int_equal(view.head.fallback_argc, 0);
        expect_words(strings, view.head.argc, expected);
    }
    free(config.shell); /* another shell may know more builtins */
    config.shell = xstrdup("/bin/zsh");
    make("gzip a");
    assert_int_equal(view.head.flags, 0);
    expect_words(strings, view.head.argc, "</bin/zsh> <-c> <gzip a>");
}

static void many_words_go_through_the_shell(void **state) {
    (void)state;
    struct buf line = BUF_INIT;
    for (int i = 0; i < 300; i++)
        buf_adds(&line, "x ");
    make(line.data);
    assert_int_equal(view.head.argc, 3);
    assert_int_equal(view.head.flags, 0);
    buf_free(&line);
}

static void python_gets_its_words(void **state) {
    (void)state;
    task.type = TASK_PYTHON;
    free(config.python);
    config.python = xstrdup("python3.11");
    make("job.py --name 'two words' \"\" $x");
    assert_int_equal(view.head.flags, WIRE_START_DIRECT);
    expect_words(strings, view.head.argc, "<python3.11> <job.py> <--name> <two words> <> <$x>");
    expect_words(
        fallback, view.head.fallback_argc,
        "</bin/sh> <-c> <exec \"$0\" \"$@\"> <python3.11> <job.py> <--name> <two words> <> "
        "<$x>");
}

static struct kernels kernels = {(char *)(uintptr_t) "/bin/kernelHost", (char *)(uintptr_t) "/a:/b",
                                 (char *)(uintptr_t) "f,g"};

static void make_native(const char *params) {
    task.type = TASK_NATIVE;
    task.mcpu = 2500;
    extra.kernels = &kernels;
    extra.redis_url = "redis://:p%40ss@h:1/2";
    extra.host_most = 16;
    run.host_key = 4711;
    run.mem_bytes = 3 << 20;
    make(params);
}

static void native_tasks_go_to_a_host(void **state) {
    (void)state;
    config.object_max_bytes = 1000;
    config.object_ttl_ms = 90000;
    option(OPT_ENV, "DISTCOMP_REDIS=mine");
    option(OPT_ENV, "A=1");
    make_native("f a='b c'");
    assert_int_equal(view.head.flags, WIRE_START_HOST);
    assert_int_equal(view.host.key, 4711);
    assert_int_equal(view.host.most, 16);
    expect_words(strings, view.head.argc, "</bin/kernelHost> <serve> <f a='b c'>");
    assert_string_equal(variable("DISTCOMP_THREADS"), "2");
    assert_string_equal(variable("DISTCOMP_MEMORY"), "3145728");
    assert_string_equal(variable("DISTCOMP_KERNEL_DIR"), "/a:/b");
    assert_string_equal(variable("DISTCOMP_REDIS"), "redis://:p%40ss@h:1/2");
    assert_string_equal(variable("DISTCOMP_OBJECT_MAX"), "1000");
    assert_string_equal(variable("DISTCOMP_OBJECT_TTL"), "90");
    assert_string_equal(variable("CUDA_VISIBLE_DEVICES"), "");
    assert_string_equal(variable("DISTCOMP_TASK_ID"), run.id);
    assert_string_equal(variable("A"), "1");
    struct placement p = {.gpus = (char *)(uintptr_t) "GPU-a"};
    run.placement = &p;
    make_native("f");
    assert_string_equal(variable("CUDA_VISIBLE_DEVICES"), "GPU-a");
    run.placement = NULL;
    extra.redis_url = NULL;
    make("f");
    assert_string_equal(variable("DISTCOMP_REDIS"), "mine"); /* where the queue's is not known */
    task.type = TASK_SHELL;
    task.option_count = 0;
    make("echo");
    assert_null(variable("DISTCOMP_REDIS"));
    assert_null(variable("DISTCOMP_OBJECT_MAX"));
    assert_null(variable("CUDA_VISIBLE_DEVICES"));
}

/* More than a message holds goes by a file; an environment cannot. */
static void long_native_tasks(void **state) {
    (void)state;
    struct buf params = BUF_INIT, value = BUF_INIT;
    buf_adds(&params, "f text=");
    while (params.len < TASK_PARAMS_MAX)
        buf_addc(&params, 'x');
    task.type = TASK_NATIVE;
    extra.kernels = &kernels;
    assert_true(make_bytes(params.data, params.len));
    assert_int_equal(launch.script.len, params.len);
    assert_memory_equal(launch.script.data, params.data, params.len);
    assert_non_null(memmem(launch.tail.data, launch.tail.len, "\0@" SCRIPT, sizeof "\0@" SCRIPT));
    assert_true(make_bytes(params.data, HOST_MESSAGE_MAX / 2));
    assert_int_equal(launch.script.len, 0);
    buf_adds(&value, "A=");
    while (value.len < HOST_MESSAGE_MAX)
        buf_addc(&value, 'y');
    option(OPT_ENV, value.data);
    assert_false(make_bytes("f", 1));
    assert_non_null(strstr(error.data, "at most 131072 can be"));
    buf_free(&value);
    buf_free(&params);
}

static void what_cannot_be_started_is_said(void **state) {
    (void)state;
    task.type = TASK_PYTHON;
    assert_false(make_bytes("job.py 'no end", 14));
    assert_true(error.len > 0);
    task.type = TASK_NATIVE;
    assert_false(make_bytes("f", 1));
    assert_string_equal(error.data, "native tasks need the program kernelHost beside redisWorker");
    extra.wire_version = WIRE_VERSION_HOST - 1;
    assert_false(make_bytes("f", 1));
    assert_non_null(strstr(error.data, "native tasks need a supervisor that is newer"));
    task.type = TASK_SHELL;
    buf_clear(&run.record);
    buf_clear(&error);
    launch_free(&launch);
    assert_false(launch_make(&launch, &run, &config, &extra, SCRIPT, &error));
    assert_non_null(strstr(error.data, "record"));
}

static void what_the_task_is_told(void **state) {
    (void)state;
    option(OPT_ENV, "A=1");
    option(OPT_ENV, "EMPTY=");
    option(OPT_REPEAT, "17");
    make("true");
    assert_string_equal(variable("DISTCOMP_TASK_ID"), "0123456789abcd");
    assert_string_equal(variable("DISTCOMP_TRY"), "3");
    assert_string_equal(variable("DISTCOMP_WORKER"), "w1");
    assert_string_equal(variable("DISTCOMP_QUEUE"), "default");
    assert_string_equal(variable("DISTCOMP_COOKIE"), "0123456789abcd.00112233445566778899");
    assert_string_equal(variable("DISTCOMP_REPEAT"), "17");
    assert_string_equal(variable("A"), "1");
    assert_string_equal(variable("EMPTY"), "");
    task.option_count = 0;
    make("true");
    assert_null(variable("DISTCOMP_REPEAT"));
}

/* By which the supervisor finds daemons: a task must not change it, in no program's eyes. */
static void identity_is_not_the_tasks_to_set(void **state) {
    (void)state;
    option(OPT_ENV, "DISTCOMP_COOKIE=other");
    option(OPT_ENV, "DISTCOMP_TASK_ID=other");
    option(OPT_ENV, "DISTCOMP_REDIS=unix:///r");
    make("true");
    assert_string_equal(variable("DISTCOMP_COOKIE"), "0123456789abcd.00112233445566778899");
    assert_string_equal(variable("DISTCOMP_TASK_ID"), "0123456789abcd");
    assert_string_equal(variable("DISTCOMP_REDIS"), "unix:///r");
}

static void thread_counts_follow_the_cores(void **state) {
    (void)state;
    static const struct {
        uint32_t mcpu;
        const char *count;
    } rows[] = {{0, "1"}, {500, "1"}, {1999, "1"}, {2000, "2"}, {3500, "3"}, {128000, "128"}};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        task.mcpu = rows[i].mcpu;
        make("true");
        for (size_t v = 0; v < 5; v++)
            assert_string_equal(variable(thread_variables[v]), rows[i].count);
    }
}

static void thread_counts_of_pinned_tasks(void **state) {
    (void)state;
    struct placement placement = {.pin = PLACEMENT_CORE, .pinned = true};
    cpus_add_range(&placement.cpus, 0, 5);
    run.placement = &placement;
    task.mcpu = 3000;
    make("true");
    assert_string_equal(variable("OMP_NUM_THREADS"), "6"); /* three cores of two threads */
    placement.pin = PLACEMENT_NUMA;                        /* which others use, too */
    make("true");
    assert_string_equal(variable("OMP_NUM_THREADS"), "3");
    placement.pinned = false;
    make("true");
    assert_string_equal(variable("OMP_NUM_THREADS"), "3");
    run.placement = NULL;
}

static void cards_are_named_and_cannot_be_set(void **state) {
    (void)state;
    char gpus[] = "GPU-a,GPU-b";
    struct placement placement = {.gpus = NULL};
    option(OPT_ENV, "CUDA_VISIBLE_DEVICES=7");
    make("true");
    assert_string_equal(variable("CUDA_VISIBLE_DEVICES"), "7"); /* it has none: its own affair */
    run.placement = &placement;
    make("true");
    assert_string_equal(variable("CUDA_VISIBLE_DEVICES"), "7");
    placement.gpus = gpus;
    make("true");
    assert_string_equal(variable("CUDA_VISIBLE_DEVICES"), "GPU-a,GPU-b");
    run.placement = NULL;
}

static void what_confines_it(void **state) {
    (void)state;
    struct placement placement = {.pinned = true};
    static struct cgroup_entry entry;
    make("true");
    assert_false(view.head.flags & WIRE_START_CONFINED); /* nothing does */
    extra.entry = &entry;                                /* of a worker that may make no cgroups */
    extra.oom_score_adj = 77;
    make("true");
    assert_false(view.head.flags & WIRE_START_CONFINED);
    assert_int_equal(view.head.oom_score_adj, 77);
    snprintf(entry.dir, sizeof entry.dir, "/v2/slot-5");
    make("true");
    assert_int_equal(view.head.flags & WIRE_START_CONFINED, WIRE_START_CONFINED);
    assert_string_equal(view.cgroup, "/v2/slot-5");
    assert_int_equal(view.confine.flags, 0); /* it is only measured there */
    assert_int_equal(view.confine.procs_count, 0);
    snprintf(entry.procs[1], sizeof entry.procs[1], "/v1/cpu/cgroup.procs");
    placement.hard = true;
    cpus_add(&placement.cpus, 3);
    cpus_add(&placement.cpus, 64);
    run.placement = &placement;
    extra.data_bytes = 12345678;
    make("true");
    assert_int_equal(view.confine.flags, WIRE_CONFINE_STRICT);
    assert_int_equal(view.confine.data_bytes, 12345678);
    assert_int_equal(view.confine.cpus_len, 16);
    assert_memory_equal(view.cpus, &placement.cpus, 16);
    assert_int_equal(view.confine.procs_count, 1);
    assert_string_equal(view.procs, "/v1/cpu/cgroup.procs");
    assert_string_equal(strings[2], "true");
    entry.dir[0] = '\0';
    make("true");
    assert_null(view.cgroup);
    assert_string_equal(view.procs, "/v1/cpu/cgroup.procs");
    run.placement = NULL;
}

/* An upgrade restarts the agent alone: the supervisor is of the version before. */
static void an_older_supervisor(void **state) {
    (void)state;
    static struct cgroup_entry entry = {.dir = "/v2/slot-5"};
    extra = (struct launch_extra){.entry = &entry, .oom_score_adj = 7, .wire_version = 2};
    assert_false(launch_confines(2));
    make("uname -s");
    assert_int_equal(view.head.flags, WIRE_START_DIRECT); /* it would drop us for any other flag */
    assert_int_equal(view.head.oom_score_adj, 7);
    struct placement pinned = {.pinned = true}, hard = {.hard = true}, gpu = {.gpu = {250, 0}};
    struct placement *cannot[] = {&pinned, &hard};
    for (size_t i = 0; i < 2; i++) {
        run.placement = cannot[i];
        assert_false(make_bytes("true", 4));
        assert_non_null(strstr(error.data, "restart the worker"));
    }
    run.placement = &gpu;
    make("true");
    run.placement = NULL;
}

static void thread_counts_of_others_are_kept(void **state) {
    (void)state;
    setenv("OMP_NUM_THREADS", "5", 1);
    launch_read_environment();
    option(OPT_ENV, "MKL_NUM_THREADS=7");
    option(OPT_ENV, "MKL_NUM=8");
    make("true");
    assert_null(variable("OMP_NUM_THREADS")); /* the worker's own comes through */
    assert_string_equal(variable("MKL_NUM_THREADS"), "7");
    assert_string_equal(variable("OPENBLAS_NUM_THREADS"), "1");
    unsetenv("OMP_NUM_THREADS");
}

static void directory_timeout_and_leftovers(void **state) {
    (void)state;
    config.timeout_ms = 9000;
    config.kill_grace_ms = 1234;
    make("true");
    assert_int_equal(view.head.cwd_len, 0);
    assert_int_equal(view.head.timeout_ms, 9000);
    assert_int_equal(view.head.grace_ms, 1234);
    option(OPT_TIMEOUT, "0"); /* a task may say: none */
    option(OPT_CWD, "/data/in");
    option(OPT_LEFTOVERS, "wait");
    make("true; true");
    assert_int_equal(view.head.timeout_ms, 0);
    assert_int_equal(view.head.cwd_len, 8);
    assert_memory_equal(view.cwd, "/data/in", 8);
    assert_int_equal(view.head.flags, WIRE_START_WAIT_LEFTOVER);
    task.option_count = 0;
    option(OPT_TIMEOUT, "30000");
    option(OPT_LEFTOVERS, "kill");
    make("true; true");
    assert_int_equal(view.head.timeout_ms, 30000);
    assert_int_equal(view.head.flags, 0);
}

static void note_is_the_runs(void **state) {
    (void)state;
    struct buf note = BUF_INIT;
    option(OPT_CWD, "/d");
    make("true");
    run_note(&run, &note);
    assert_int_equal(view.head.note_len, note.len);
    assert_memory_equal(view.note, note.data, note.len);
    buf_free(&note);
}

static void longest_argument_then_a_script(void **state) {
    (void)state;
    char *line = xmalloc(LAUNCH_ARGUMENT_MAX + 1);
    memset(line, 'x', LAUNCH_ARGUMENT_MAX);
    line[LAUNCH_ARGUMENT_MAX - 1] = '\0';
    make(line); /* with its NUL just what Linux takes */
    assert_int_equal(view.head.flags, WIRE_START_DIRECT);
    assert_int_equal(strlen(strings[0]), LAUNCH_ARGUMENT_MAX - 1);
    line[LAUNCH_ARGUMENT_MAX - 1] = 'x';
    assert_true(make_bytes(line, LAUNCH_ARGUMENT_MAX));
    assert_int_equal(launch.head.argc, 2);
    assert_int_equal(launch.head.flags, 0);
    assert_int_equal(launch.head.fallback_argc, 0);
    const char *words = launch.tail.data + launch.head.note_len;
    assert_string_equal(words, "/bin/sh");
    assert_string_equal(words + 8, SCRIPT);
    assert_int_equal(launch.script.len, LAUNCH_ARGUMENT_MAX + 1);
    assert_memory_equal(launch.script.data, line, LAUNCH_ARGUMENT_MAX);
    assert_int_equal(launch.script.data[LAUNCH_ARGUMENT_MAX], '\n');
    free(line);
}

/* The supervisor drops an agent that sends it such a frame, again and again. */
static void what_no_frame_takes_is_refused(void **state) {
    (void)state;
    char *path = xmalloc(PATH_MAX + 1);
    memset(path, '/', PATH_MAX);
    path[PATH_MAX] = '\0';
    option(OPT_CWD, path);
    assert_false(make_bytes("true", 4));
    assert_non_null(strstr(error.data, "4096"));
    path[PATH_MAX - 1] = '\0';
    task.option_count = 0;
    option(OPT_CWD, path);
    make("true");
    free(path);
    task.option_count = 0;
    size_t size = 1 << 20;
    char *value = xmalloc(size + 3);
    memset(value, 'v', size);
    memcpy(value, "A=", 2);
    value[size] = '\0';
    for (int i = 0; i < 5; i++)
        option(OPT_ENV, value);
    assert_false(make_bytes("true", 4));
    assert_non_null(strstr(error.data, "environment"));
    task.option_count = 3;
    make("true");
    free(value);
}

#define fresh(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(plain_commands_run_directly),
        fresh(others_go_through_the_shell),
        fresh(many_words_go_through_the_shell),
        fresh(python_gets_its_words),
        fresh(native_tasks_go_to_a_host),
        fresh(long_native_tasks),
        fresh(what_cannot_be_started_is_said),
        fresh(what_the_task_is_told),
        fresh(identity_is_not_the_tasks_to_set),
        fresh(thread_counts_follow_the_cores),
        fresh(thread_counts_of_others_are_kept),
        fresh(directory_timeout_and_leftovers),
        fresh(thread_counts_of_pinned_tasks),
        fresh(cards_are_named_and_cannot_be_set),
        fresh(what_confines_it),
        fresh(an_older_supervisor),
        fresh(note_is_the_runs),
        fresh(longest_argument_then_a_script),
        fresh(what_no_frame_takes_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
