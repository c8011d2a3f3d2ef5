/* confine.h: what a START confines a try to, by a real supervisor. What this machine cannot do is
 * skipped, and says why. */
#include "tests/unit/supervisor_rig.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/un.h>

#include "worker/cgroup.h"
#include "worker/cgroupfind.h"
#include "worker/wireio.h"

static struct rig_start confined(uint32_t slot, const char *line) {
    return (struct rig_start){
        .slot = slot, .flags = WIRE_START_CONFINED, .argv = {"/bin/sh", "-c", line}};
}

/* Runs it; its output, when it has ended well. */
static const char *output_of(const struct rig_start *s) {
    rig_start(&r, s);
    struct wire_exit e = rig_exit(&r, s->slot);
    if (e.spawn_errno || e.status)
        fail_msg("%s, %s: %d; %s", wire_step_text(e.spawn_errno ? e.status : 0),
                 strerror(e.spawn_errno), e.status, rig_output(&r, s->slot, "err", NULL));
    return rig_output(&r, s->slot, "out", NULL);
}

static void expect_failure(const struct rig_start *s, int error, enum wire_step step) {
    rig_start(&r, s);
    struct wire_exit e = rig_exit(&r, s->slot);
    assert_int_equal(e.spawn_errno, error);
    assert_int_equal(e.status, step);
    rig_ack(&r, s->slot, 0);
}

/* --- CPUs, memory, the kernel's choice ------------------------------------------------------- */

#define ALLOWED "sed -n 's/^Cpus_allowed_list:[^0-9]*//p' /proc/self/status"

static void cpus_of_the_task_alone(void **state) {
    (void)state;
    NOT_UNDER_VALGRIND();
    struct cpus own, one = {{0}};
    struct buf text = BUF_INIT;
    assert_true(cpus_of_process(&own));
    uint32_t last = 0;
    for (uint32_t cpu = cpus_next(&own, 0); cpu < CPUS_MAX; cpu = cpus_next(&own, cpu + 1))
        last = cpu;
    cpus_add(&one, last);
    struct rig_start s = confined(0, ALLOWED);
    s.cpus = &one;
    buf_addf(&text, "%u\n", last);
    assert_string_equal(output_of(&s), text.data);
    buf_clear(&text);
    cpus_print(&own, &text);
    buf_addc(&text, '\n');
    s = confined(1, ALLOWED); /* the supervisor still has all of its own */
    assert_string_equal(output_of(&s), text.data);
    struct cpus none = {{0}};
    cpus_add(&none, CPUS_MAX - 1);
    s = confined(2, "true");
    s.cpus = &none;
    expect_failure(&s, EINVAL, WIRE_STEP_CPUS);
    buf_free(&text);
}

static void data_limit_of_the_task_alone(void **state) {
    (void)state;
    NOT_UNDER_VALGRIND();
    struct rlimit own;
    char text[32];
    assert_int_equal(getrlimit(RLIMIT_DATA, &own), 0);
    struct rig_start s = confined(0, "ulimit -d");
    s.confine.data_bytes = 64 << 20;
    assert_string_equal(output_of(&s), "65536\n");
    snprintf(text, sizeof text, "%llu\n", (unsigned long long)own.rlim_cur / 1024);
    s = confined(1, "ulimit -d");
    assert_string_equal(output_of(&s), own.rlim_cur == RLIM_INFINITY ? "unlimited\n" : text);
    s = confined(2, "exec dd if=/dev/zero of=/dev/null count=1 bs=200M");
    s.confine.data_bytes = 64 << 20;
    rig_start(&r, &s);
    assert_int_equal(WEXITSTATUS(rig_exit(&r, 2).status), 1);
    assert_non_null(strstr(rig_output(&r, 2, "err", NULL), "memory"));
}

static void at_most_a_gibibyte(void) {
    struct rlimit limit = {1 << 29, 1 << 30};
    if (setrlimit(RLIMIT_DATA, &limit) != 0)
        _exit(99);
}

static void the_supervisors_own_limit_is_not_raised(void **state) {
    (void)state;
    NOT_UNDER_VALGRIND();
    rig_make_dir(&r);
    r.before = at_most_a_gibibyte;
    rig_supervise(&r, NULL);
    rig_attach(&r);
    struct rig_start s = confined(0, "ulimit -d; ulimit -Hd");
    s.confine.data_bytes = UINT64_C(1) << 50;
    assert_string_equal(output_of(&s), "524288\n1048576\n");
    rig_down(&r);
}

static void oom_score_is_there_before_the_program(void **state) {
    (void)state;
    struct rig_start s = {
        .slot = 0, .oom_score_adj = 437, .argv = {"/bin/cat", "/proc/self/oom_score_adj"}};
    assert_string_equal(output_of(&s), "437\n");
}

/* --- cgroups --------------------------------------------------------------------------------- */

static void procs_get_a_0(void **state) {
    (void)state;
    NOT_UNDER_VALGRIND();
    char paths[2][200], missing[200];
    for (int i = 0; i < 2; i++) {
        snprintf(paths[i], sizeof paths[i], "%s/procs%d", r.dir, i);
        close(open(paths[i], O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
    }
    struct rig_start s = confined(0, "echo ran");
    s.procs[0] = paths[0];
    s.procs[1] = paths[1];
    assert_string_equal(output_of(&s), "ran\n");
    assert_string_equal(rig_file(paths[0], NULL), "0");
    assert_string_equal(rig_file(paths[1], NULL), "0");
    /* A limit was asked for that cannot be had: the program must not run. */
    snprintf(missing, sizeof missing, "%s/none", r.dir);
    s = confined(1, "echo ran");
    s.procs[0] = paths[0];
    s.procs[1] = missing;
    expect_failure(&s, ENOENT, WIRE_STEP_CGROUP);
    s.procs[1] = r.dir;
    expect_failure(&s, EISDIR, WIRE_STEP_CGROUP);
}

static void a_group_that_cannot_be_entered(void **state) {
    (void)state;
    NOT_UNDER_VALGRIND();
    char missing[200];
    snprintf(missing, sizeof missing, "%s/none", r.dir);
    struct rig_start s = confined(0, "echo ran");
    s.cgroup = missing;
    assert_string_equal(output_of(&s), "ran\n"); /* it was only to be measured there */
    s.slot = 1;
    s.cgroup = r.dir; /* no cgroup */
    assert_string_equal(output_of(&s), "ran\n");
    s.slot = 2;
    s.confine.flags = WIRE_CONFINE_STRICT;
    expect_failure(&s, ENOENT, WIRE_STEP_CGROUP);
    s.cgroup = missing;
    expect_failure(&s, ENOENT, WIRE_STEP_CGROUP);
}

/* A version 2 group below our own; skips where none can be made. */
static void make_v2(char path[CGROUP_PATH_MAX + 32]) {
    static struct cgroup_places places;
    cgroup_find("", &places);
    snprintf(path, CGROUP_PATH_MAX + 32, "%s/distcomp-test.%d", places.v2.path, getpid());
    if (!places.v2.path[0] || mkdir(path, 0755) != 0) {
        print_message("expected: no cgroup of version 2 can be made here\n");
        skip();
    }
}

static void expect_birth(const char *path) {
    struct rig_start s = confined(5, "cat /proc/self/cgroup; test $$ -ne 0");
    s.cgroup = path;
    s.confine.flags = WIRE_CONFINE_STRICT;
    assert_non_null(strstr(output_of(&s), strrchr(path, '/')));
    s = confined(6, "exit 3"); /* what the child shares with us has not suffered */
    s.cgroup = path;
    rig_start(&r, &s);
    assert_int_equal(WEXITSTATUS(rig_exit(&r, 6).status), 3);
    s = confined(7, "true");
    s.cgroup = path;
    s.argv[0] = "/no/such";
    expect_failure(&s, ENOENT, WIRE_STEP_EXECUTE);
    rig_until(rmdir(path) == 0);
}

static void born_in_a_version_2_group(void **state) {
    (void)state;
    NOT_UNDER_VALGRIND();
    char path[CGROUP_PATH_MAX + 32];
    make_v2(path);
    expect_birth(path);
}

/* As containers do that know clone3 not, or too well. */
static void forbid_clone3(void) {
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_clone3, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | ENOSYS),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {sizeof rules / sizeof *rules, rules};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(99);
}

static void moved_there_where_clone3_is_forbidden(void **state) {
    (void)state;
    NOT_UNDER_VALGRIND();
    char path[CGROUP_PATH_MAX + 32];
    make_v2(path);
    rig_make_dir(&r);
    r.before = forbid_clone3;
    rig_supervise(&r, NULL);
    rig_attach(&r);
    expect_birth(path);
    rig_down(&r);
}

/* --- limits of version 1, in earnest --------------------------------------------------------- */

static struct cgroups *open_v1(bool memory) {
    struct cgroup_options options = {"", "confine test", r.supervisor, 8};
    struct cgroups *groups = cgroups_open(&options);
    const struct cgroup_abilities *can = cgroups_abilities(groups);
    bool there = memory ? can->v1_memory || can->v2_memory : can->v1_cpu || can->v2_cpu;
    if (!there) {
        print_message("expected: %s\n", can->why);
        cgroups_close(groups, true);
        skip();
    }
    return groups;
}

static struct rig_start limited(struct cgroups *groups, struct cgroup_limits limits,
                                struct cgroup_entry *entry, const char *line) {
    struct buf error = BUF_INIT;
    struct rig_start s = confined(1, line);
    if (!cgroup_begin(groups, 1, &limits, entry, &error))
        fail_msg("%s", error.data);
    buf_free(&error);
    s.confine.flags = WIRE_CONFINE_STRICT;
    s.cgroup = entry->dir[0] ? entry->dir : NULL;
    for (size_t i = 0, n = 0; i < CGROUP_ENTRIES; i++)
        if (entry->procs[i][0])
            s.procs[n++] = entry->procs[i];
    return s;
}

static void memory_limit_ends_a_hog(void **state) {
    (void)state;
    struct cgroups *groups = open_v1(true);
    struct cgroup_entry entry;
    struct rig_start s = limited(groups, (struct cgroup_limits){.memory_bytes = 32 << 20}, &entry,
                                 "head -c 200000000 /dev/zero | tail -c 200000000 | wc -c");
    rig_start(&r, &s);
    cgroup_confirm(groups, 1, rig_started(&r, 1));
    rig_exit(&r, 1);
    assert_true(cgroup_oom_kills(groups, 1) > 0);
    assert_true(cgroup_limit_met(groups, 1));
    assert_true(strtol(rig_output(&r, 1, "out", NULL), NULL, 10) < 200000000);
    cgroup_end(groups, 1, false);
    cgroups_close(groups, true);
}

static void cpu_limit_throttles(void **state) {
    (void)state;
    struct cgroups *groups = open_v1(false);
    struct cgroup_entry entry;
    char line[2 * CGROUP_PATH_MAX];
    struct rig_start s = limited(groups, (struct cgroup_limits){.mcpu = 100}, &entry, line);
    const char *procs = s.procs[0] ? s.procs[0] : "";
    int dir_len = (int)(strlen(procs) - strlen("/cgroup.procs"));
    snprintf(line, sizeof line, "until grep -q 'nr_throttled [1-9]' '%.*s/cpu.stat'; do :; done",
             s.procs[0] ? dir_len : (int)strlen(entry.dir), s.procs[0] ? procs : entry.dir);
    assert_string_equal(output_of(&s), "");
    cgroup_end(groups, 1, false);
    cgroups_close(groups, true);
}

/* --- versions and malformed bytes ------------------------------------------------------------ */

static void an_older_agent_is_understood(void **state) {
    (void)state;
    static const uint32_t said[][2] = {{WIRE_VERSION_OLDEST, WIRE_VERSION_OLDEST},
                                       {WIRE_VERSION, WIRE_VERSION},
                                       {WIRE_VERSION_OLDEST - 1, WIRE_VERSION},
                                       {WIRE_VERSION + 1, WIRE_VERSION}};
    for (uint32_t i = 0; i < sizeof said / sizeof *said; i++) {
        r.version = said[i][0];
        rig_hello(&r);
        assert_int_equal(r.welcome.version, said[i][1]);
    }
    r.version = WIRE_VERSION_OLDEST;
    rig_hello(&r);
    struct rig_start s = {
        .slot = 0, .note = "n", .argv = {"/bin/echo", "old"}}; /* as it sends it */
    assert_string_equal(output_of(&s), "old\n");
}

/* To one that is refused: the oldest, which any peer that could be its agent understands. */
static void a_second_agent_is_told_the_oldest(void **state) {
    (void)state;
    char path[200];
    struct {
        struct wire_frame frame;
        struct wire_welcome welcome;
    } answer = {{0}, {0}};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    snprintf(path, sizeof path, "%s/supervisor.sock", r.dir);
    memcpy(address.sun_path, path, strlen(path) + 1);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(recv(fd, &answer, sizeof answer, MSG_WAITALL), sizeof answer);
    assert_int_equal(answer.welcome.version, WIRE_VERSION_OLDEST);
    assert_int_equal(answer.welcome.capacity, 0);
    assert_int_equal(answer.welcome.agent_pid, getpid());
    close(fd);
}

struct payload {
    struct wire_start head;
    struct wire_confine confine;
    uint64_t cpus[2];
    char cgroup[8], procs[16], note[4], cwd[4], strings[8];
};

static struct payload good_payload(void) {
    struct payload p = {
        .head = {.slot = 1,
                 .flags = WIRE_START_CONFINED,
                 .note_len = 4,
                 .cwd_len = 4,
                 .argc = 1,
                 .envc = 1,
                 .strings_len = 8},
        .confine = {.data_bytes = 5,
                    .flags = WIRE_CONFINE_STRICT,
                    .cpus_len = 16,
                    .cgroup_len = 8,
                    .procs_count = 2,
                    .procs_len = 16},
        .cpus = {1, 2},
    };
    memcpy(p.cgroup, "/groups", 8);
    memcpy(p.procs, "/first\0/second!", 16);
    memcpy(p.note, "note", 4);
    memcpy(p.cwd, "/cwd", 4);
    memcpy(p.strings, "prg\0A=b", 8);
    return p;
}

static bool parses(const struct payload *p, size_t len) {
    struct wire_start_view view;
    uint8_t *exact = malloc(len ? len : 1); /* the sanitizer sees what is read beyond */
    assert_non_null(exact);
    memcpy(exact, p, len);
    bool good = wire_parse_start(exact, len, &view);
    free(exact);
    return good;
}

static void every_length_is_checked(void **state) {
    (void)state;
    struct payload p = good_payload();
    struct wire_start_view view;
    assert_true(wire_parse_start((const uint8_t *)&p, sizeof p, &view));
    assert_string_equal(view.cgroup, "/groups");
    assert_string_equal(view.procs, "/first");
    assert_string_equal(view.procs + 7, "/second!");
    assert_memory_equal(view.cpus, p.cpus, 16);
    assert_memory_equal(view.note, "note/cwd", 8);
    assert_string_equal(view.strings, "prg");
    assert_int_equal(view.confine.data_bytes, 5);
    for (size_t len = 0; len < sizeof p; len++)
        assert_false(parses(&p, len));
    static const uint32_t odd[] = {0,   1,    7,    9,    15,         17,        24,
                                   520, 1041, 2081, 4096, UINT32_MAX, 1u << 31u, 0xffffff00u};
    const size_t fields[] = {
        offsetof(struct wire_confine, cpus_len), offsetof(struct wire_confine, cgroup_len),
        offsetof(struct wire_confine, procs_count), offsetof(struct wire_confine, procs_len)};
    for (size_t f = 0; f < sizeof fields / sizeof *fields; f++)
        for (size_t i = 0; i < sizeof odd / sizeof *odd; i++) {
            p = good_payload();
            memcpy((char *)&p.confine + fields[f], &odd[i], sizeof odd[i]);
            assert_false(parses(&p, sizeof p));
        }
    p = good_payload();
    p.confine.flags = 2;
    assert_false(parses(&p, sizeof p));
    const size_t spoiled[] = {offsetof(struct payload, cgroup),     /* no absolute name */
                              offsetof(struct payload, procs),      /* likewise */
                              offsetof(struct payload, procs) + 7,  /* the second */
                              offsetof(struct payload, cgroup) + 7, /* no end */
                              offsetof(struct payload, procs) + 6,  /* one name less */
                              offsetof(struct payload, procs) + 15};
    for (size_t i = 0; i < sizeof spoiled / sizeof *spoiled; i++) {
        p = good_payload();
        ((char *)&p)[spoiled[i]] = 'x';
        assert_false(parses(&p, sizeof p));
    }
}

static void every_step_has_words(void **state) {
    (void)state;
    for (int32_t step = 0; step < WIRE_STEP_COUNT; step++)
        assert_true(strlen(wire_step_text(step)) > 5);
    assert_string_equal(wire_step_text(-1), wire_step_text(WIRE_STEP_NONE));
    assert_string_equal(wire_step_text(WIRE_STEP_COUNT), wire_step_text(WIRE_STEP_NONE));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(cpus_of_the_task_alone),
        fresh(data_limit_of_the_task_alone),
        cmocka_unit_test(the_supervisors_own_limit_is_not_raised),
        fresh(oom_score_is_there_before_the_program),
        fresh(procs_get_a_0),
        fresh(a_group_that_cannot_be_entered),
        fresh(born_in_a_version_2_group),
        cmocka_unit_test(moved_there_where_clone3_is_forbidden),
        fresh(memory_limit_ends_a_hog),
        fresh(cpu_limit_throttles),
        fresh(an_older_agent_is_understood),
        fresh(a_second_agent_is_told_the_oldest),
        cmocka_unit_test(every_length_is_checked),
        cmocka_unit_test(every_step_has_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
