/* usage.h: real processes of known sizes, with and without cgroups. */
#include "tests/unit/cgroup_rig.h"

#include "worker/procfile.h"
#include "worker/proclist.h"
#include "worker/shares.h"
#include "worker/usage.h"

/* What a process of this program uses apart from what it is told to (more with a sanitizer). */
#define REST (24 * MI)

static struct usage *open_usage(const struct cgroups *groups) {
    struct usage_options options = {"", groups, getpid(), 16, 16 * MI};
    return usage_new(&options);
}

static const struct usage_reading *sample(struct usage *u, uint32_t slot) {
    usage_sample(u);
    const struct usage_reading *r = usage_of(u, slot);
    assert_non_null(r);
    return r;
}

static void expect_mib(uint64_t bytes, uint64_t mib) {
    if (bytes < mib * MI - MI || bytes > mib * MI + REST)
        fail_msg("%.1f MiB where %d were used", (double)bytes / (double)MI, (int)mib);
}

static void a_hog_and_its_peak(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct usage *u = open_usage(NULL);
    assert_null(usage_of(u, 3));
    struct task t = task_start(NULL, "hog", "96", NULL);
    usage_add(u, 3, t.pid, t.cookie);
    assert_int_equal(usage_of(u, 3)->source, USAGE_NONE);
    const struct usage_reading *r = sample(u, 3);
    assert_int_equal(r->source, USAGE_PROCESSES);
    assert_string_equal(usage_source_name(r->source), "processes");
    assert_int_equal(r->processes, 1);
    expect_mib(r->mem_bytes, 96);
    assert_int_equal(r->peak_bytes, r->mem_bytes);
    uint64_t peak = r->peak_bytes;
    task_end(&t);
    r = sample(u, 3);
    assert_int_equal(r->mem_bytes, 0);
    assert_int_equal(r->processes, 0);
    assert_int_equal(r->peak_bytes, peak);
    struct usage_reading last;
    assert_true(usage_remove(u, 3, &last));
    assert_int_equal(last.peak_bytes, peak);
    assert_false(usage_remove(u, 3, &last));
    assert_null(usage_of(u, 3));
    usage_free(u);
}

static void several_tries_are_told_apart(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct usage *u = open_usage(NULL);
    struct task a = task_start(NULL, "hog", "32", NULL), b = task_start(NULL, "hog", "64", NULL);
    usage_add(u, 0, a.pid, a.cookie);
    usage_add(u, 9, b.pid, b.cookie);
    usage_sample(u);
    expect_mib(usage_of(u, 0)->mem_bytes, 32);
    expect_mib(usage_of(u, 9)->mem_bytes, 64);
    assert_int_equal(usage_facts(u).processes, 2);
    usage_remove(u, 9, NULL);
    task_end(&b);
    b = task_start(NULL, "hog", "8", NULL); /* another try in the slot begins anew */
    usage_add(u, 9, b.pid, b.cookie);
    usage_sample(u);
    expect_mib(usage_of(u, 9)->peak_bytes, 8);
    task_end(&a);
    task_end(&b);
    usage_free(u);
}

/* Three processes, 64 MiB mapped shared and 64 MiB copied on write: 128 MiB in all. */
static void shared_memory_counts_once(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct usage *u = open_usage(NULL);
    struct task t = task_start(NULL, "share", "64", "3");
    usage_add(u, 1, t.pid, t.cookie);
    const struct usage_reading *r = sample(u, 1);
    assert_int_equal(r->processes, 3);
    assert_true(r->mem_bytes >= 370 * MI); /* until they were asked */
    assert_true(r->peak_bytes < 160 * MI); /* but not believed */
    rig_until((r = sample(u, 1))->mem_bytes < 300 * MI);
    expect_mib(r->mem_bytes, 128);
    expect_mib(r->peak_bytes, 128);
    uint32_t slot = 1;
    usage_sample_memory(u, &slot, 1);
    expect_mib(usage_of(u, 1)->mem_bytes, 128);
    task_end(&t);
    usage_free(u);
    rig_reap();
}

/* It left the session and lost its parents before anybody looked. */
static void a_daemon_is_found_by_its_cookie(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct usage *u = open_usage(NULL);
    struct task t = task_start(NULL, "daemon", "48", NULL);
    struct task other = task_start(NULL, "hog", "1", NULL);
    usage_add(u, 0, other.pid, other.cookie);
    usage_add(u, 1, t.pid, t.cookie);
    const struct usage_reading *r = sample(u, 1);
    assert_int_equal(r->processes, 2);
    expect_mib(r->mem_bytes, 48);
    expect_mib(usage_of(u, 0)->mem_bytes, 1);
    task_end(&t); /* not the daemon: it has a session of its own */
    r = sample(u, 1);
    assert_int_equal(r->processes, 1);
    expect_mib(r->mem_bytes, 48);
    struct usage_facts facts = usage_facts(u);
    assert_int_equal(facts.unowned, 0);
    usage_remove(u, 1, NULL); /* the try is over, and it is nobody's */
    usage_sample(u);
    assert_int_equal(usage_facts(u).unowned, 1);
    task_end(&other);
    usage_free(u);
}

/* A process that was seen under its parents stays known without a cookie. */
static void an_orphan_stays_known(void **state) {
    (void)state;
    struct usage *u = open_usage(NULL);
    struct task t = task_start(NULL, "bomb", "1", NULL);
    usage_add(u, 1, t.pid, NULL);
    assert_int_equal(sample(u, 1)->processes, 2);
    kill(t.pid, SIGKILL);
    task_wait(&t);
    assert_int_equal(sample(u, 1)->processes, 1);
    usage_free(u);
}

static void page_cache_is_not_memory(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    char file[128];
    snprintf(file, sizeof file, "%s/big", root);
    struct usage *u = open_usage(NULL);
    struct task t = task_start(NULL, "cache", "128", file);
    usage_add(u, 0, t.pid, t.cookie);
    const struct usage_reading *r = sample(u, 0);
    expect_mib(r->mem_bytes, 1);
    task_end(&t);
    usage_free(u);
}

/* More than are read at once: new ones are, the others in turn. */
static void many_small_processes(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct usage *u = open_usage(NULL);
    struct task t = task_start(NULL, "bomb", "1200", NULL);
    usage_add(u, 0, t.pid, t.cookie);
    const struct usage_reading *r = sample(u, 0);
    assert_int_equal(r->processes, 1201);
    assert_true(r->mem_bytes > 0);
    assert_false(usage_facts(u).truncated);
    struct task hog = task_start(NULL, "hog", "32", NULL);
    usage_add(u, 1, hog.pid, hog.cookie);
    usage_sample(u);
    expect_mib(usage_of(u, 1)->mem_bytes, 32);
    assert_int_equal(usage_of(u, 0)->processes, 1201);
    assert_int_equal(usage_facts(u).processes, 1202);
    task_end(&hog);
    for (int i = 0; i < 3; i++) /* each has its turn */
        usage_sample(u);
    assert_int_equal(usage_of(u, 1)->mem_bytes, 0);
    assert_int_equal(usage_of(u, 1)->processes, 0);
    task_end(&t);
    rig_until((rig_reap(), sample(u, 0)->processes == 0));
    usage_free(u);
}

static void cpu_and_io_never_go_down(void **state) {
    (void)state;
    char file[128];
    snprintf(file, sizeof file, "%s/written", root);
    struct usage *u = open_usage(NULL);
    struct task spin = task_start(NULL, "spin", "100", NULL);
    struct task io = task_start(NULL, "cache", "8", file);
    usage_add(u, 0, spin.pid, spin.cookie);
    usage_add(u, 1, io.pid, io.cookie);
    usage_sample(u);
    assert_true(usage_of(u, 0)->cpu_us >= 90000);
    struct stat st;
    assert_int_equal(stat(file, &st), 0);
    uint64_t cpu = usage_of(u, 0)->cpu_us, written = usage_of(u, 1)->write_bytes;
    assert_true(written >= 8 * MI || written == 0); /* 0: a file system in memory */
    task_end(&spin);
    task_end(&io);
    usage_sample(u);
    assert_int_equal(usage_of(u, 0)->cpu_us, cpu);
    assert_int_equal(usage_of(u, 1)->write_bytes, written);
    usage_free(u);
}

/* --- by cgroup ------------------------------------------------------------------------------- */

/* The group's list of members makes looking for them unnecessary. */
static void members_of_a_version_2_group(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(cgroups_abilities(groups)->v2, cgroups_abilities(groups)->why);
    struct usage *u = open_usage(groups);
    struct cgroup_entry entry;
    begin(groups, 2, 0, 0, &entry);
    struct task t = task_start(&entry, "daemon", "40", NULL);
    cgroup_confirm(groups, 2, t.pid);
    usage_add(u, 2, t.pid, NULL); /* no cookie: it is not needed */
    const struct usage_reading *r = sample(u, 2);
    assert_int_equal(r->source,
                     cgroups_abilities(groups)->v2_memory ? USAGE_CGROUP : USAGE_MEMBERS);
    expect_mib(r->mem_bytes, 40);
    assert_true(r->cpu_us > 0);
    usage_sample_memory(u, &(uint32_t){2}, 1);
    expect_mib(usage_of(u, 2)->mem_bytes, 40);
    cgroup_kill(groups, 2);
    task_wait(&t);
    uint64_t cpu_us = r->cpu_us;
    struct usage_reading last;
    assert_true(usage_remove(u, 2, &last)); /* the counters outlive the processes */
    assert_true(last.cpu_us >= cpu_us);
    expect_mib(last.peak_bytes, 40);
    rig_until((rig_reap(), cgroup_pids(groups, 2, NULL, 0) == 0));
    usage_free(u);
    cgroups_close(groups, true);
}

/* Shared pages are charged once, page cache is taken off, and the kernel saw the peak. */
static void a_memory_group_counts_exactly(void **state) {
    (void)state;
    SIZES_ARE_TRUE();
    struct cgroups *groups = open_groups();
    SKIP_UNLESS(cgroups_abilities(groups)->v1_memory || cgroups_abilities(groups)->v2_memory,
                cgroups_abilities(groups)->why);
    struct usage *u = open_usage(groups);
    struct cgroup_entry entry;
    begin(groups, 2, 512 * MI, 0, &entry);
    struct task t = task_start(&entry, "share", "32", "3");
    cgroup_confirm(groups, 2, t.pid);
    usage_add(u, 2, t.pid, t.cookie);
    const struct usage_reading *r = sample(u, 2);
    assert_int_equal(r->source, USAGE_CGROUP);
    expect_mib(r->mem_bytes, 64);
    task_end(&t);
    struct usage_reading last;
    usage_remove(u, 2, &last);
    expect_mib(last.peak_bytes, 64);
    rig_until((rig_reap(), cgroup_pids(groups, 2, NULL, 0) == 0));
    cgroup_end(groups, 2, false);

    begin(groups, 2, 512 * MI, 0, &entry); /* never sampled while it was large */
    t = task_start(&entry, "grow", "96", NULL);
    cgroup_confirm(groups, 2, t.pid);
    usage_add(u, 2, t.pid, t.cookie);
    struct cgroup_reading now;
    rig_until(cgroup_read(groups, 2, CGROUP_MEMORY, &now) && now.mem_bytes >= 96 * MI);
    task_end(&t);
    usage_remove(u, 2, &last);
    expect_mib(last.peak_bytes, 96);
    assert_true(last.mem_bytes < 48 * MI);
    usage_free(u);
    cgroups_close(groups, true);
}

/* --- odd files ------------------------------------------------------------------------------- */

static void odd_stat_lines(void **state) {
    (void)state;
    struct process_stat s;
    put("/proc/7/stat", "7 (a) b) (c) R 3 7 6 0 -1 4194304 1 2 3 4 10 20 30 40 20 0 5 0 99 1 1\n");
    assert_true(procfile_stat(root, 7, &s));
    assert_int_equal(s.ppid, 3);
    assert_int_equal(s.session, 6);
    assert_int_equal(s.state, 'R');
    assert_int_equal(s.threads, 5);
    assert_int_equal(s.start_ticks, 99);
    assert_int_equal(s.cpu_ticks, 100);
    put("/proc/7/stat", "7 (a) R 3 7\n");
    assert_false(procfile_stat(root, 7, &s));
    put("/proc/7/stat", "");
    assert_false(procfile_stat(root, 7, &s));
    assert_false(procfile_stat(root, 8, &s));
}

static void fields_and_words(void **state) {
    (void)state;
    uint64_t v = 0;
    assert_true(procfile_field("anon 5\ninactive_anon 6\n", "inactive_anon", &v));
    assert_int_equal(v, 6);
    assert_true(procfile_field("Name:\tx\nRssShmem:\t   12 kB\n", "RssShmem", &v));
    assert_int_equal(v, 12);
    assert_false(procfile_field("oom_kill_disable 0\n", "oom_kill", &v));
    assert_false(procfile_field("oom_kill\n", "oom_kill", &v));
    assert_false(procfile_field("", "x", &v));
    assert_true(procfile_word("cpu,cpuacct", "cpuacct"));
    assert_false(procfile_word("cpuset memory", "cpu"));
    assert_true(procfile_word("cpuset memory\n", "memory"));
    put("/n", "max\n");
    put("/m", "-1\n");
    char path[96];
    snprintf(path, sizeof path, "%s/n", root);
    assert_true(procfile_number(AT_FDCWD, path, &v));
    assert_true(v == UINT64_MAX);
    snprintf(path, sizeof path, "%s/m", root);
    assert_false(procfile_number(AT_FDCWD, path, &v));
}

static void put_fake(int pid, int ppid, int session, unsigned start) {
    char name[64], text[256];
    snprintf(name, sizeof name, "/proc/%d/stat", pid);
    snprintf(text, sizeof text, "%d (x) S %d %d %d 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 %u 0 0\n", pid,
             ppid, session, session, start);
    put(name, text);
}

static int32_t owner_of(const struct proclist *list, int32_t pid) {
    for (size_t i = 0; i < list->count; i++)
        if (list->entries[i].pid == pid)
            return list->entries[i].slot;
    return -99;
}

/* A machine of directories: supervisor 50, tries 100 (slot 0) and 200 (slot 1, not there yet). */
static void put_machine(void) {
    put_fake(1, 0, 1, 1);
    put_fake(50, 1, 50, 5);
    put_fake(100, 50, 100, 9);
    put_fake(101, 100, 101, 10); /* left the session */
    put_fake(102, 101, 101, 10);
    put_fake(103, 999, 103, 10); /* its parent ended while we looked */
    put_fake(300, 50, 300, 11);  /* an orphan with a cookie */
    put_fake(301, 300, 301, 11);
    put_fake(302, 50, 302, 11); /* one without */
    put_fake(400, 1, 400, 12);  /* somebody else's */
    put_fake(401, 400, 400, 12);
    put_fake(2, 0, 0, 1); /* a kernel thread */
    char path[128];
    snprintf(path, sizeof path, "%s/proc/300/environ", root);
    FILE *f = fopen(path, "w");
    static const char strings[] = "A=1\0DISTCOMP_COOKIE=two\0B=2";
    fwrite(strings, 1, sizeof strings, f);
    fclose(f);
    put("/proc/302/environ", "");
}

static void whose_a_process_is(void **state) {
    (void)state;
    put_machine();
    struct proc_owner owners[2] = {{100, 1, (char[]){"DISTCOMP_COOKIE=one"}},
                                   {200, 2, (char[]){"DISTCOMP_COOKIE=two"}}};
    struct proclist list = {.root = root, .supervisor_pid = 50};
    assert_true(proclist_look(&list, owners, 2));
    assert_int_equal(list.count, 12);
    for (int32_t pid = 100; pid <= 102; pid++)
        assert_int_equal(owner_of(&list, pid), 0);
    assert_int_equal(owner_of(&list, 103), OWNER_UNKNOWN);
    assert_int_equal(owner_of(&list, 300), 1);
    assert_int_equal(owner_of(&list, 301), 1);
    assert_int_equal(owner_of(&list, 302), OWNER_UNKNOWN);
    assert_int_equal(owner_of(&list, 400), OWNER_FOREIGN);
    assert_int_equal(owner_of(&list, 401), OWNER_FOREIGN);
    assert_int_equal(owner_of(&list, 2), OWNER_FOREIGN);
    assert_int_equal(list.unowned, 2);

    put_fake(101, 50, 101, 10);  /* its parent died: known from before */
    put_fake(103, 100, 103, 10); /* found in order now */
    put_fake(401, 200, 200, 13); /* the pid is another process's */
    put_fake(200, 50, 200, 13);
    char stat_path[128], path[128]; /* which in /proc has another inode */
    snprintf(stat_path, sizeof stat_path, "%s/proc/401", root);
    snprintf(path, sizeof path, "%s/proc/new401", root);
    assert_int_equal(rename(stat_path, path), 0);
    put_fake(401, 200, 200, 13);
    assert_true(proclist_look(&list, owners, 2));
    assert_int_equal(owner_of(&list, 101), 0);
    assert_int_equal(owner_of(&list, 103), 0);
    assert_int_equal(owner_of(&list, 401), 1);

    owners[0] = (struct proc_owner){500, 3, NULL}; /* its try has ended, another runs there */
    assert_true(proclist_look(&list, owners, 2));
    assert_int_equal(owner_of(&list, 102), OWNER_UNKNOWN);
    assert_int_equal(owner_of(&list, 300), 1);
    proclist_free(&list);
    struct proclist nowhere = {.root = "/nowhere", .supervisor_pid = 50};
    assert_false(proclist_look(&nowhere, owners, 2));
    proclist_free(&nowhere);
}

static void shares_of_what_cannot_be_asked(void **state) {
    (void)state;
    struct shares *s = shares_new("");
    struct shares_answer answer;
    assert_false(shares_answer(s, &answer));
    int32_t pids[2] = {getpid(), NOBODY};
    assert_true(shares_ask(s, 77, pids, 2));
    assert_true(shares_busy(s));
    rig_until(shares_answer(s, &answer));
    assert_false(shares_busy(s));
    assert_int_equal(answer.tag, 77);
    assert_true(answer.known); /* one that has ended has no share */
    assert_true(answer.bytes > 0);
    shares_free(s);
    put_fake(5, 1, 5, 5); /* lives, and does not tell */
    s = shares_new(root);
    pids[0] = 5;
    assert_true(shares_ask(s, 1, pids, 1));
    rig_until(shares_answer(s, &answer));
    assert_false(answer.known);
    assert_true(shares_ask(s, 2, pids, 1));
    shares_free(s); /* with a question open */
}

int main(int argc, char **argv) {
    rig_main(argc, argv);
    const struct CMUnitTest tests[] = {
        fresh(a_hog_and_its_peak),
        fresh(several_tries_are_told_apart),
        fresh(shared_memory_counts_once),
        fresh(a_daemon_is_found_by_its_cookie),
        fresh(an_orphan_stays_known),
        fresh(page_cache_is_not_memory),
        fresh(many_small_processes),
        fresh(cpu_and_io_never_go_down),
        fresh(members_of_a_version_2_group),
        fresh(a_memory_group_counts_exactly),
        fresh(odd_stat_lines),
        fresh(fields_and_words),
        fresh(whose_a_process_is),
        fresh(shares_of_what_cannot_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
