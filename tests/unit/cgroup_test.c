/* cgroup.h and cgroupfind.h on directories that look like hierarchies; cgroup_real_test.c has those
 * of this machine. */
#include "tests/unit/cgroup_rig.h"

#define MOUNTS_V2 "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"

/* --- where we are ---------------------------------------------------------------------------- */

static void expect_place(const struct cgroup_place *place, const char *path) {
    if (!path) {
        assert_string_equal(place->path, "");
        return;
    }
    assert_memory_equal(place->path, root, strlen(root));
    assert_string_equal(place->path + strlen(root), path);
}

static void find(struct cgroup_places *places, const char *mounts, const char *groups) {
    put("/proc/self/mountinfo", mounts);
    put("/proc/self/cgroup", groups);
    cgroup_find(root, places);
}

static void unified_hierarchy_is_found(void **state) {
    (void)state;
    struct cgroup_places p;
    put("/sys/fs/cgroup/a.slice/b:1/cgroup.procs", "");
    find(&p, MOUNTS_V2, "0::/a.slice/b:1\n");
    expect_place(&p.v2, "/sys/fs/cgroup/a.slice/b:1");
    expect_place(&p.memory, NULL);
    assert_true(cgroup_up(&p.v2));
    expect_place(&p.v2, "/sys/fs/cgroup/a.slice");
    assert_true(cgroup_up(&p.v2));
    expect_place(&p.v2, "/sys/fs/cgroup");
    assert_false(cgroup_up(&p.v2));
}

static void hybrid_hierarchies_are_found(void **state) {
    (void)state;
    struct cgroup_places p;
    put("/cg/memory/x/cgroup.procs", "");
    put("/cg/cpu,cpuacct/cgroup.procs", "");
    put("/cg/unified/u/cgroup.procs", "");
    find(&p,
         "31 23 0:28 / /cg rw - tmpfs tmpfs rw\n"
         "35 31 0:31 / /cg/cpuset rw - cgroup cgroup rw,cpuset\n"
         "32 31 0:29 / /cg/cpu,cpuacct rw shared:5 master:2 - cgroup cgroup rw,cpu,cpuacct\n"
         "36 31 0:32 / /cg/memory rw - cgroup cgroup rw,memory\n"
         "41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n",
         "4:memory:/x\n3:cpuset:/\n2:cpu,cpuacct:/\n1:name=systemd:/\n0::/u\n");
    expect_place(&p.memory, "/cg/memory/x");
    expect_place(&p.cpu, "/cg/cpu,cpuacct");
    expect_place(&p.v2, "/cg/unified/u");
}

static void nothing_mounted_nothing_found(void **state) {
    (void)state;
    struct cgroup_places p;
    put("/proc/self/cgroup", "0::/\n");
    cgroup_find(root, &p);
    expect_place(&p.v2, NULL);
    cgroup_find("/nowhere", &p);
    expect_place(&p.v2, NULL);
}

/* --- version 2 on directories that only look so ---------------------------------------------- */

static void put_process(int32_t pid, unsigned start) {
    char name[64], text[256];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    snprintf(text, sizeof text, "%d (x) S 1 %d %d 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 %u 0 0\n", pid,
             pid, pid, start);
    put(name, text);
}

/* A delegated group /g with these controllers to hand down; supervisor 10, started at 77. */
static struct cgroups *open_fake(const char *group, const char *controllers) {
    char name[256], text[64];
    put_process(10, 77);
    put("/proc/self/mountinfo", MOUNTS_V2);
    snprintf(text, sizeof text, "0::%s\n", group);
    put("/proc/self/cgroup", text);
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/cgroup.procs", group);
    put(name, "7\n10\n");
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/cgroup.controllers", group);
    put(name, controllers);
    snprintf(name, sizeof name, "/sys/fs/cgroup%s/cgroup.subtree_control", group);
    put(name, "");
    struct cgroup_options options = {root, "q:w 1", 10, 4};
    return cgroups_open(&options);
}

#define BASE "/sys/fs/cgroup/g/distcomp-q_w_1.10.77"

static void put_slot(const char *file, const char *text) {
    char name[256];
    snprintf(name, sizeof name, BASE "/slot-2/%s", file);
    put(name, text);
}

/* The files that the kernel puts into a slot's group. */
static void put_slot_files(void) {
    put_slot("cgroup.procs", "");
    put_slot("cgroup.events", "populated 0\nfrozen 0\n");
    put_slot("memory.max", "");
    put_slot("memory.swap.max", "");
    put_slot("memory.oom.group", "");
    put_slot("memory.current", "1000\n");
    put_slot("memory.events", "low 0\nmax 3\noom 5\noom_kill 2\n");
    put_slot("memory.peak", "4096\n");
    put_slot("cpu.max", "");
    put_slot("cpu.stat", "usage_usec 1000\nuser_usec 900\n");
}

static struct cgroups *open_fake_slot(void) {
    struct cgroup_entry entry;
    put(BASE "/cgroup.subtree_control", "");
    struct cgroups *groups = open_fake("/g", "cpuset cpu memory pids\n");
    begin(groups, 2, 0, 0, &entry); /* makes the directory */
    put_slot_files();
    return groups;
}

static void version_2_limits_are_set_and_lifted(void **state) {
    (void)state;
    struct cgroups *groups = open_fake_slot();
    const struct cgroup_abilities *can = cgroups_abilities(groups);
    assert_true(can->v2 && can->v2_memory && can->v2_cpu && !can->v2_io && !can->v1_memory);
    assert_string_equal(can->why, "");
    expect_file("/sys/fs/cgroup/g/cgroup.subtree_control", "+cpu"); /* the last one written */
    struct cgroup_entry entry;
    begin(groups, 2, 64 * MI, 1500, &entry);
    assert_string_equal(entry.dir + strlen(root), BASE "/slot-2");
    assert_string_equal(entry.procs[0], "");
    expect_file(BASE "/slot-2/memory.max", "67108864");
    expect_file(BASE "/slot-2/memory.swap.max", "0");
    expect_file(BASE "/slot-2/memory.oom.group", "1");
    expect_file(BASE "/slot-2/cpu.max", "150000 100000");
    cgroup_end(groups, 2, false);
    begin(groups, 2, 0, 0, &entry); /* the next one has none */
    expect_file(BASE "/slot-2/memory.max", "max");
    expect_file(BASE "/slot-2/memory.swap.max", "max");
    expect_file(BASE "/slot-2/cpu.max", "max");
    expect_file(BASE "/slot-2/memory.oom.group", "0");
    put_slot("memory.max", "untouched");
    begin(groups, 2, 0, 0, &entry);
    expect_file(BASE "/slot-2/memory.max", "untouched");
    cgroups_close(groups, false);
}

static void version_2_counters_count_from_the_beginning(void **state) {
    (void)state;
    struct cgroups *groups = open_fake_slot();
    struct cgroup_entry entry;
    begin(groups, 2, 64 * MI, 0, &entry);
    put_process(20, 80);
    assert_int_equal(cgroup_parts(groups, 2), 0); /* nobody has seen it inside */
    cgroup_confirm(groups, 2, 20);
    assert_int_equal(cgroup_parts(groups, 2), 0); /* and it is not */
    put_slot("cgroup.procs", "20\n21\n");
    cgroup_confirm(groups, 2, 20);
    assert_int_equal(cgroup_parts(groups, 2),
                     CGROUP_MEMBERS | CGROUP_MEMORY | CGROUP_CPU | CGROUP_OOM);
    put_slot("memory.current", "50000000\n");
    put_slot("memory.stat", "anon 1\nactive_file 10000000\ninactive_file 5000000\n"
                            "slab_reclaimable 1000000\nshmem 4\n");
    put_slot("cpu.stat", "usage_usec 3500\n");
    struct cgroup_reading r;
    unsigned want = CGROUP_MEMORY | CGROUP_CPU | CGROUP_IO;
    assert_int_equal(cgroup_read(groups, 2, want, &r), CGROUP_MEMORY | CGROUP_CPU);
    assert_int_equal(r.mem_bytes, 34000000);
    assert_int_equal(r.cache_bytes, 16000000);
    assert_int_equal(r.cpu_us, 2500);
    int32_t pids[4];
    assert_int_equal(cgroup_pids(groups, 2, pids, 4), 2);
    assert_int_equal(pids[1], 21);
    uint64_t used;
    assert_false(cgroups_used(groups, &used));
    put(BASE "/memory.current", "9000\n");
    put(BASE "/memory.stat", "inactive_file 2000\n");
    assert_true(cgroups_used(groups, &used));
    assert_int_equal(used, 7000);
    cgroups_close(groups, false);
}

static void version_2_kills_and_peaks_count_from_the_beginning(void **state) {
    (void)state;
    struct cgroups *groups = open_fake_slot();
    struct cgroup_entry entry;
    begin(groups, 2, 64 * MI, 0, &entry);
    put_process(20, 80);
    put_slot("cgroup.procs", "20\n");
    cgroup_confirm(groups, 2, 20);
    assert_int_equal(cgroup_peak(groups, 2), 0); /* an earlier try's */
    put_slot("memory.peak", "60000000\n");
    assert_int_equal(cgroup_peak(groups, 2), 60000000);
    assert_int_equal(cgroup_oom_kills(groups, 2), 0);
    assert_false(cgroup_limit_met(groups, 2));
    put_slot("memory.events", "low 0\nmax 9\noom 6\noom_kill 3\n");
    assert_int_equal(cgroup_oom_kills(groups, 2), 1);
    assert_true(cgroup_limit_met(groups, 2));
    cgroup_end(groups, 2, false);
    assert_int_equal(cgroup_parts(groups, 2), 0);
    assert_int_equal(cgroup_oom_kills(groups, 2), 0);
    cgroups_close(groups, false);
}

static void a_limit_that_cannot_be_set_is_refused(void **state) {
    (void)state;
    struct cgroups *groups = open_fake("/g", "");
    assert_true(cgroups_abilities(groups)->v2);
    assert_false(cgroups_abilities(groups)->v2_memory);
    struct cgroup_entry entry;
    struct buf error = BUF_INIT;
    assert_false(cgroup_begin(groups, 1, &(struct cgroup_limits){64 * MI, 0}, &entry, &error));
    assert_non_null(strstr(error.data, "no memory controller"));
    buf_clear(&error);
    assert_false(cgroup_begin(groups, 1, &(struct cgroup_limits){0, 500}, &entry, &error));
    assert_non_null(strstr(error.data, "CPU"));
    buf_clear(&error);
    assert_true(cgroup_begin(groups, 1, &(struct cgroup_limits){0}, &entry, &error));
    assert_int_equal(error.len, 0);
    buf_free(&error);
    cgroups_close(groups, false);
}

static void below_a_leaf_the_group_above_is_used(void **state) {
    (void)state;
    put("/sys/fs/cgroup/g/cgroup.procs", "");
    put("/sys/fs/cgroup/g/cgroup.controllers", "memory\n");
    put("/sys/fs/cgroup/g/cgroup.subtree_control", "memory\n");
    put(BASE "/cgroup.subtree_control", "memory\n");
    struct cgroups *groups = open_fake("/g/worker", "");
    assert_true(cgroups_abilities(groups)->v2_memory);
    struct cgroup_entry entry;
    struct buf error = BUF_INIT;
    assert_true(cgroup_begin(groups, 0, &(struct cgroup_limits){0}, &entry, &error));
    assert_string_equal(entry.dir + strlen(root), BASE "/slot-0");
    buf_free(&error);
    cgroups_close(groups, false);
}

static void systemd_has_to_delegate(void **state) {
    (void)state;
    put("/run/systemd/system/x", "");
    struct cgroups *groups = open_fake("/g", "memory\n");
    const struct cgroup_abilities *can = cgroups_abilities(groups);
    assert_false(can->v2 || can->v2_memory || can->v1_memory || can->v1_cpu);
    assert_non_null(strstr(can->why, "Delegate=yes"));
    struct cgroup_entry entry;
    struct buf error = BUF_INIT;
    assert_true(cgroup_begin(groups, 0, &(struct cgroup_limits){0}, &entry, &error));
    assert_string_equal(entry.dir, "");
    cgroup_confirm(groups, 0, 10);
    assert_int_equal(cgroup_parts(groups, 0), 0);
    assert_false(cgroup_kill(groups, 0));
    assert_true(cgroups_kill(groups));
    buf_free(&error);
    cgroups_close(groups, true);
}

static bool there(const char *name) {
    char path[CGROUP_PATH_MAX];
    snprintf(path, sizeof path, "%s%s", root, name);
    return access(path, F_OK) == 0;
}

/* The mount shows a group that we are not in. */
static void a_group_that_does_not_hold_us_is_not_used(void **state) {
    (void)state;
    struct cgroups *groups = open_fake("/g", "");
    cgroups_close(groups, true);
    put("/sys/fs/cgroup/g/cgroup.procs", "7\n");
    struct cgroup_options options = {root, "q:w 1", 10, 4};
    groups = cgroups_open(&options);
    assert_false(cgroups_abilities(groups)->v2);
    assert_non_null(strstr(cgroups_abilities(groups)->why, "our own group"));
    assert_false(there(BASE));
    cgroups_close(groups, false);
}

static void groups_of_dead_workers_go(void **state) {
    (void)state;
    static const char *const names[] = {
        "distcomp-q_w_1.10.76/slot-0/x", /* our supervisor's pid, earlier */
        "distcomp-q_w_1.9999.5/x",
        "distcomp-q_w_1.11.78/x",
        "distcomp-other.9999.5/x",
        "distcomp-q_w_1.9999.5.bak/x",
        "mine/x"};
    for (size_t i = 0; i < 6; i++) {
        char name[128], path[CGROUP_PATH_MAX];
        snprintf(name, sizeof name, "/sys/fs/cgroup/g/%s", names[i]);
        put(name, "");
        snprintf(path, sizeof path, "%s%s", root, name);
        unlink(path); /* a cgroup has no files that rmdir minds */
    }
    put_process(11, 78); /* another living worker of the same name */
    cgroups_close(open_fake("/g", ""), false);
    assert_false(there("/sys/fs/cgroup/g/distcomp-q_w_1.10.76"));
    assert_false(there("/sys/fs/cgroup/g/distcomp-q_w_1.9999.5"));
    assert_true(there("/sys/fs/cgroup/g/distcomp-q_w_1.11.78"));
    assert_true(there("/sys/fs/cgroup/g/distcomp-other.9999.5"));
    assert_true(there("/sys/fs/cgroup/g/distcomp-q_w_1.9999.5.bak"));
    assert_true(there("/sys/fs/cgroup/g/mine"));
    assert_true(there(BASE));
}

static void recorded_groups_are_ended_when_their_supervisor_is_dead(void **state) {
    (void)state;
    char file[128], text[512], path[CGROUP_PATH_MAX];
    snprintf(file, sizeof file, "%s/cgroups", root);
    struct cgroups *groups = open_fake("/g", "");
    assert_true(cgroups_record(groups, file));
    snprintf(text, sizeof text, "2 %s" BASE "\n", root);
    expect_file("/cgroups", text);
    assert_int_equal(cgroups_end_recorded(root, file), 0);
    assert_true(there(BASE)); /* it lives */
    put_process(10, 78);      /* that one is another */
    assert_int_equal(cgroups_end_recorded(root, file), 0);
    assert_false(there(BASE));
    assert_int_equal(cgroups_end_recorded(root, file), 0);

    put("/sys/fs/cgroup/important/x", "");
    snprintf(path, sizeof path, "%s/sys/fs/cgroup/important/x", root);
    unlink(path);
    snprintf(text, sizeof text, "2 %s/sys/fs/cgroup/important\n7 /distcomp-a.1.1\njunk\n2 /\n",
             root);
    put("/cgroups", text);
    assert_int_equal(cgroups_end_recorded(root, file), 0);
    assert_true(there("/sys/fs/cgroup/important"));
    assert_int_equal(cgroups_end_recorded(root, "/nowhere"), 0);
    cgroups_close(groups, false);
}

int main(int argc, char **argv) {
    rig_main(argc, argv);
    const struct CMUnitTest tests[] = {
        fresh(unified_hierarchy_is_found),
        fresh(hybrid_hierarchies_are_found),
        fresh(nothing_mounted_nothing_found),
        fresh(version_2_limits_are_set_and_lifted),
        fresh(version_2_counters_count_from_the_beginning),
        fresh(version_2_kills_and_peaks_count_from_the_beginning),
        fresh(a_limit_that_cannot_be_set_is_refused),
        fresh(below_a_leaf_the_group_above_is_used),
        fresh(systemd_has_to_delegate),
        fresh(a_group_that_does_not_hold_us_is_not_used),
        fresh(groups_of_dead_workers_go),
        fresh(recorded_groups_are_ended_when_their_supervisor_is_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
