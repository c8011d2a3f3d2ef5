/* cgroup.h and cgdir.h on this machine's hierarchies, with real processes in them. What cannot be
 * made here is skipped, and says why. */
#include "tests/unit/cgroup_rig.h"

#include "worker/cgdir.h"
#include "worker/procfile.h"

/* Born in a version 2 group: known members, daemons too, and one write that ends them all. */
static void version_2_holds_and_ends_a_tree(void **state) {
    (void)state;
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(cgroups_abilities(groups)->v2, cgroups_abilities(groups)->why);
    struct cgroup_entry entry;
    begin(groups, 3, 0, 0, &entry);
    assert_true(entry.dir[0]);
    struct task t = task_start(&entry, "daemon", "8", NULL);
    cgroup_confirm(groups, 3, t.pid);
    assert_true(cgroup_parts(groups, 3) & CGROUP_MEMBERS);
    int32_t pids[16];
    assert_int_equal(cgroup_pids(groups, 3, pids, 16), 2);
    cgroup_kill(groups, 3);
    assert_int_equal(WTERMSIG(task_wait(&t)), SIGKILL);
    rig_until((rig_reap(), cgroup_pids(groups, 3, pids, 16) == 0));
    cgroup_end(groups, 3, false);

    /* One that was killed so kills what is born there later: it is made anew. */
    begin(groups, 3, 0, 0, &entry); /* the same group again: what it used before does not count */
    t = task_start(&entry, "spin", "60", NULL);
    cgroup_confirm(groups, 3, t.pid);
    struct cgroup_reading r;
    rig_until(cgroup_read(groups, 3, CGROUP_CPU, &r) == CGROUP_CPU && r.cpu_us >= 60000);
    task_end(&t);
    cgroup_end(groups, 3, false);
    begin(groups, 3, 0, 0, &entry);
    t = task_start(&entry, "hog", "1", NULL);
    cgroup_confirm(groups, 3, t.pid);
    assert_int_equal(cgroup_read(groups, 3, CGROUP_CPU, &r), CGROUP_CPU);
    assert_true(r.cpu_us > 0 && r.cpu_us < 60000);
    task_end(&t);
    cgroups_close(groups, true);
    assert_int_not_equal(access(entry.dir, F_OK), 0);
}

/* A new agent of the same supervisor finds groups and processes again. */
static void another_agent_takes_groups_over(void **state) {
    (void)state;
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(cgroups_abilities(groups)->v2, cgroups_abilities(groups)->why);
    struct cgroup_entry entry;
    begin(groups, 1, 0, 0, &entry);
    struct task t = task_start(&entry, "hog", "1", NULL);
    cgroup_confirm(groups, 1, t.pid);
    cgroups_close(groups, false);
    groups = open_groups();
    cgroup_adopt(groups, 1, t.pid);
    assert_true(cgroup_parts(groups, 1) & CGROUP_MEMBERS);
    assert_false(cgroup_parts(groups, 1) & CGROUP_CPU); /* since when, nobody knows */
    cgroup_kill(groups, 1);
    assert_int_equal(WTERMSIG(task_wait(&t)), SIGKILL);
    cgroups_close(groups, true);
}

/* The whole worker's groups, when its supervisor is dead. */
static void all_groups_are_ended(void **state) {
    (void)state;
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(cgroups_abilities(groups)->v2 || cgroups_abilities(groups)->v1_memory,
                cgroups_abilities(groups)->why);
    struct cgroup_entry entry;
    struct task t[2];
    for (uint32_t i = 0; i < 2; i++) {
        begin(groups, i, cgroups_abilities(groups)->v2 ? 0 : 512 * MI, 0, &entry);
        t[i] = task_start(&entry, "bomb", "5", NULL);
    }
    cgroups_kill(groups);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(WTERMSIG(task_wait(&t[i])), SIGKILL);
    rig_until((rig_reap(), cgroups_kill(groups)));
    cgroups_close(groups, true);
    assert_int_not_equal(access(entry.dir[0] ? entry.dir : entry.procs[0], F_OK), 0);
}

static bool counts_memory(const struct cgroups *groups) {
    return cgroups_abilities(groups)->v1_memory || cgroups_abilities(groups)->v2_memory;
}

/* The limit holds, and its victim is known as such; the next try in the slot has none of it. */
static void a_memory_limit_is_met(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(counts_memory(groups), cgroups_abilities(groups)->why);
    struct cgroup_entry entry;
    begin(groups, 5, 64 * MI, 0, &entry);
    struct task t = task_start(&entry, "grow", "256", NULL);
    cgroup_confirm(groups, 5, t.pid);
    assert_int_equal(WTERMSIG(task_wait(&t)), SIGKILL);
    assert_int_equal(cgroup_oom_kills(groups, 5), 1);
    assert_true(cgroup_limit_met(groups, 5));
    uint64_t peak = cgroup_peak(groups, 5);
    assert_true(peak > 60 * MI && peak <= 64 * MI);
    cgroup_end(groups, 5, false);

    begin(groups, 5, 512 * MI, 0, &entry);
    t = task_start(&entry, "hog", "100", NULL);
    cgroup_confirm(groups, 5, t.pid);
    assert_int_equal(cgroup_oom_kills(groups, 5), 0);
    assert_false(cgroup_limit_met(groups, 5));
    struct cgroup_reading r;
    assert_int_equal(cgroup_read(groups, 5, CGROUP_MEMORY, &r), CGROUP_MEMORY);
    assert_true(r.mem_bytes >= 100 * MI && r.mem_bytes < 200 * MI);
    task_end(&t);
    cgroups_close(groups, true);
}

/* Page cache is charged to the task that read the file, but it is not its memory; and it does not
 * disturb the next one. */
static void page_cache_is_not_memory(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(counts_memory(groups), cgroups_abilities(groups)->why);
    char file[128];
    snprintf(file, sizeof file, "%s/big", root);
    struct cgroup_entry entry;
    begin(groups, 0, 512 * MI, 0, &entry);
    struct task t = task_start(&entry, "cache", "128", file);
    cgroup_confirm(groups, 0, t.pid);
    struct cgroup_reading r;
    assert_int_equal(cgroup_read(groups, 0, CGROUP_MEMORY, &r), CGROUP_MEMORY);
    if (r.cache_bytes < 100 * MI) {
        print_message("expected: files of %s are not in the page cache (tmpfs?)\n", root);
        task_end(&t);
        cgroups_close(groups, true);
        skip();
    }
    assert_true(r.mem_bytes < 40 * MI);
    task_end(&t);
    cgroup_end(groups, 0, false);

    begin(groups, 0, 96 * MI, 0, &entry); /* less than the page cache that is charged to it */
    t = task_start(&entry, "hog", "32", NULL);
    cgroup_confirm(groups, 0, t.pid);
    assert_int_equal(cgroup_read(groups, 0, CGROUP_MEMORY, &r), CGROUP_MEMORY);
    assert_true(r.mem_bytes >= 32 * MI && r.mem_bytes < 80 * MI);
    task_end(&t);
    cgroups_close(groups, true);
}

static void a_cpu_limit_is_set(void **state) {
    (void)state;
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(cgroups_abilities(groups)->v1_cpu, "no cpu hierarchy of version 1 to write to");
    struct cgroup_entry entry;
    begin(groups, 2, 0, 250, &entry);
    char path[CGROUP_PATH_MAX + 64], *slash;
    snprintf(path, sizeof path, "%s", entry.procs[0]);
    slash = strrchr(path, '/');
    snprintf(slash, 64, "/cpu.cfs_quota_us");
    uint64_t quota;
    assert_true(procfile_number(AT_FDCWD, path, &quota));
    assert_int_equal(quota, 25000);
    struct task t = task_start(&entry, "hog", "1", NULL);
    cgroup_confirm(groups, 2, t.pid);
    task_end(&t);
    cgroups_close(groups, true);
}

/* Where cgroup.kill is missing, processes that fork while they are killed do not get away. */
static void version_1_ends_a_tree(void **state) {
    (void)state;
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(cgroups_abilities(groups)->v1_memory, "no memory hierarchy of version 1");
    struct cgroup_entry entry;
    begin(groups, 4, 512 * MI, 0, &entry);
    *strrchr(entry.procs[0], '/') = '\0';
    int fd = open(entry.procs[0], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *strchr(entry.procs[0], '\0') = '/';
    struct task t = task_start(&entry, "bomb", "40", NULL);
    assert_true(cgdir_populated(fd, CGDIR_V1));
    cgdir_kill(fd, CGDIR_V1);
    assert_int_equal(WTERMSIG(task_wait(&t)), SIGKILL);
    rig_until((rig_reap(), cgdir_kill(fd, CGDIR_V1)));
    close(fd);
    cgroups_close(groups, true);
}

int main(int argc, char **argv) {
    rig_main(argc, argv);
    const struct CMUnitTest tests[] = {
        fresh(version_2_holds_and_ends_a_tree),
        fresh(another_agent_takes_groups_over),
        fresh(all_groups_are_ended),
        fresh(a_memory_limit_is_met),
        fresh(page_cache_is_not_memory),
        fresh(a_cpu_limit_is_set),
        fresh(version_1_ends_a_tree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
