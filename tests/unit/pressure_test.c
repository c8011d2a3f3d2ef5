/* pressure.h and oomkill.h: the kernel's notifications and its kills, real where this machine lets
 * us make a memory cgroup of version 1. */
#include "tests/unit/task_rig.h"

#include <poll.h>

#include "worker/cgdir.h"
#include "worker/oomkill.h"
#include "worker/pressure.h"
#include "worker/procfile.h"

/* --- notifications --------------------------------------------------------------------------- */

/* With the limits that are above us. */
static void open_all(struct pressure *p, const char *where, uint64_t trigger_bytes) {
    struct resource_meter *meter = resource_meter_open(where);
    struct resource_limit limits[PRESSURE_MAX];
    size_t count = 0;
    while (count < PRESSURE_MAX && resource_meter_limit(meter, count, &limits[count]))
        count++;
    pressure_open(p, where, limits, count, trigger_bytes);
    resource_meter_close(meter);
}

static void nothing_to_open(void **state) {
    (void)state;
    struct pressure p;
    open_all(&p, root, 10 * MI);
    assert_int_equal(p.count, 0);
    pressure_close(&p);
}

static size_t count_kind(const struct pressure *p, enum pressure_kind kind) {
    size_t count = 0;
    for (size_t i = 0; i < p->count; i++)
        count += p->sources[i].kind == kind;
    return count;
}

/* One watch on each group with a limit; a change of memory.events wakes, a removed group is told.
 */
static void version_2_events(void **state) {
    (void)state;
    put("/proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n");
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/cg/a/b/c/memory.max", "max\n");
    put("/cg/a/b/memory.max", "1073741824\n");
    put("/cg/a/b/memory.events", "oom 0\n");
    put("/cg/a/memory.max", "2147483648\n");
    put("/cg/a/memory.events", "oom 0\n");
    struct pressure p;
    open_all(&p, root, 10 * MI);
    assert_int_equal(p.count, 2);
    assert_int_equal(count_kind(&p, PRESSURE_EVENTS), 2);
    struct pollfd fd = {.fd = p.sources[0].fd, .events = p.sources[0].events};
    assert_int_equal(poll(&fd, 1, 0), 0);
    put("/cg/a/b/memory.events", "oom 1\n");
    assert_int_equal(poll(&fd, 1, RIG_WAIT_MS), 1);
    assert_true(pressure_drain(&p.sources[0]));
    assert_int_equal(poll(&fd, 1, 0), 0);
    char path[128];
    snprintf(path, sizeof path, "%s/cg/a/b/memory.events", root);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(poll(&fd, 1, RIG_WAIT_MS), 1);
    assert_false(pressure_drain(&p.sources[0]));
    assert_true(pressure_drain(&p.sources[1]));
    pressure_close(&p);
    assert_int_equal(p.count, 0);
}

/* Where the kernel has PSI, a trigger can be had, privileged or not. */
static void stall_trigger(void **state) {
    (void)state;
    int fd = open("/proc/pressure/memory", O_RDWR | O_CLOEXEC);
    if (fd < 0) {
        print_message("expected: no /proc/pressure/memory to write to: %s\n", strerror(errno));
        skip();
    }
    close(fd);
    struct pressure p;
    open_all(&p, "", 10 * MI);
    assert_true(count_kind(&p, PRESSURE_STALL) >= 1);
    assert_int_equal(p.sources[0].kind, PRESSURE_STALL);
    assert_int_equal(p.sources[0].events, POLLPRI);
    assert_true(pressure_drain(&p.sources[0]));
    pressure_close(&p);
}

/* A memory group of version 1 under our own, with a limit; false when it cannot be made. */
static bool limited_group(char path[CGROUP_PATH_MAX], const char *limit) {
    struct cgroup_places places;
    cgroup_find("", &places);
    if (!places.memory.path[0])
        return false;
    snprintf(path, CGROUP_PATH_MAX, "%.900s/distcomp-test-%d", places.memory.path, getpid());
    int fd = cgdir_open(path);
    bool ok = fd >= 0 && procfile_write(fd, "memory.limit_in_bytes", limit) == 0;
    procfile_write(fd, "memory.memsw.limit_in_bytes", limit);
    if (fd >= 0)
        close(fd);
    return ok;
}

static void enter(const char *path) {
    char file[CGROUP_PATH_MAX + 16];
    snprintf(file, sizeof file, "%s/cgroup.procs", path);
    if (procfile_write(AT_FDCWD, file, "0") != 0)
        _exit(4);
}

#define SKIP_UNLESS_GROUP(path, limit)                                                             \
    do {                                                                                           \
        if (!limited_group(path, limit)) {                                                         \
            print_message("expected: no memory cgroup of version 1 can be made here\n");           \
            skip();                                                                                \
        }                                                                                          \
    } while (0)

/* In a process of its own, under the limit: opens, grows over the threshold, and is told. */
static void in_limited_group(const char *path) {
    struct pressure p;
    enter(path);
    open_all(&p, "", 64 * MI);
    if (count_kind(&p, PRESSURE_USAGE) != 1 || count_kind(&p, PRESSURE_LEVEL) != 1)
        _exit(5);
    size_t i = 0;
    while (p.sources[i].kind != PRESSURE_USAGE)
        i++;
    struct pollfd fd = {.fd = p.sources[i].fd, .events = p.sources[i].events};
    if (poll(&fd, 1, 0) != 0)
        _exit(6);
    rig_memory(100, MAP_PRIVATE); /* of 128, so less than 64 are left */
    if (poll(&fd, 1, RIG_WAIT_MS) != 1 || !pressure_drain(&p.sources[i]))
        _exit(7);
    if (poll(&fd, 1, 0) != 0)
        _exit(8);
    pressure_close(&p);
    _exit(0);
}

static void version_1_threshold_wakes(void **state) {
    (void)state;
    char path[CGROUP_PATH_MAX];
    SKIP_UNLESS_GROUP(path, "134217728");
    pid_t pid = fork();
    if (pid == 0)
        in_limited_group(path);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    rig_until(cgdir_remove(path, CGDIR_V1));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* --- the kernel's kills ---------------------------------------------------------------------- */

/* A worker in a limited group, and a task of it that has no group of its own: the count says so. */
static void in_killing_group(const char *path) {
    enter(path);
    struct oom_evidence e = {.at_start = oom_count(""), .was_short = true};
    pid_t pid = fork();
    if (pid == 0) {
        procfile_write(AT_FDCWD, "/proc/self/oom_score_adj", "1000");
        rig_memory(256, MAP_PRIVATE);
        _exit(0);
    }
    waitpid(pid, &e.status, 0);
    e.at_end = oom_count("");
    if (!WIFSIGNALED(e.status) || e.at_end.worker != e.at_start.worker + 1 ||
        e.at_end.machine < e.at_start.machine + 1)
        _exit(5);
    if (oom_judge(&e) != OOM_MACHINE)
        _exit(6);
    _exit(0);
}

static void a_real_kill_is_recognised(void **state) {
    (void)state;
    char path[CGROUP_PATH_MAX];
    SKIP_UNLESS_GROUP(path, "67108864");
    pid_t pid = fork();
    if (pid == 0)
        in_killing_group(path);
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    rig_until(cgdir_remove(path, CGDIR_V1));
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

#define EXITED(code) ((code) << 8)

static void verdicts(void **state) {
    (void)state;
    const struct oom_count before = {3, 5}, worker_rose = {4, 5}, machine_rose = {3, 6};
    const struct {
        const char *what;
        struct oom_evidence e;
        enum oom_verdict verdict;
    } rows[] = {
        {"killed in its own group",
         {.status = SIGKILL, .slot_kills = 1, .at_start = before, .at_end = before},
         OOM_MACHINE},
        {"at its limit",
         {.status = SIGKILL, .slot_kills = 1, .limit_met = true, .at_start = before},
         OOM_LIMIT},
        {"met its limit, killed by a user",
         {.status = SIGKILL, .limit_met = true, .at_start = before, .at_end = before},
         OOM_NO},
        {"a child was killed, the shell says 1",
         {.status = EXITED(1), .slot_kills = 1},
         OOM_MACHINE},
        {"a child was killed, all is well", {.status = EXITED(0), .slot_kills = 3}, OOM_NO},
        {"we ended it", {.status = SIGKILL, .slot_kills = 1, .ours = true}, OOM_NO},
        {"the worker's group counts one",
         {.status = SIGKILL, .at_start = before, .at_end = worker_rose, .was_short = true},
         OOM_MACHINE},
        {"the machine counts one",
         {.status = SIGKILL, .at_start = before, .at_end = machine_rose, .was_short = true},
         OOM_MACHINE},
        {"a shell's child",
         {.status = EXITED(137), .at_start = before, .at_end = machine_rose, .was_short = true},
         OOM_MACHINE},
        {"somewhere else: memory was not short here",
         {.status = SIGKILL, .at_start = before, .at_end = machine_rose},
         OOM_NO},
        {"short, but nobody was killed",
         {.status = SIGKILL, .at_start = before, .at_end = before, .was_short = true},
         OOM_NO},
        {"another signal",
         {.status = SIGSEGV, .at_start = before, .at_end = machine_rose, .was_short = true},
         OOM_NO},
        {"another code",
         {.status = EXITED(1), .at_start = before, .at_end = machine_rose, .was_short = true},
         OOM_NO},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (oom_judge(&rows[i].e) != rows[i].verdict)
            fail_msg("%s: %d", rows[i].what, (int)oom_judge(&rows[i].e));
}

static void counts_from_files(void **state) {
    (void)state;
    struct oom_count c = oom_count(root);
    assert_int_equal(c.worker, 0);
    assert_int_equal(c.machine, 0);
    put("/proc/vmstat", "nr_free_pages 1\noom_kill 7\nx 2\n");
    put("/proc/self/mountinfo", "30 23 0:26 / /cg rw - cgroup2 cgroup2 rw\n"
                                "36 31 0:32 / /m rw - cgroup cgroup rw,memory\n");
    put("/proc/self/cgroup", "4:memory:/x\n0::/a\n");
    put("/cg/a/memory.events", "oom 1\noom_kill 2\n");
    put("/m/x/memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
    c = oom_count(root);
    assert_int_equal(c.machine, 7);
    assert_int_equal(c.worker, 5);
}

int main(int argc, char **argv) {
    rig_main(argc, argv);
    const struct CMUnitTest tests[] = {
        fresh(nothing_to_open),           fresh(version_2_events), fresh(stall_trigger),
        fresh(version_1_threshold_wakes), fresh(verdicts),         fresh(a_real_kill_is_recognised),
        fresh(counts_from_files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
