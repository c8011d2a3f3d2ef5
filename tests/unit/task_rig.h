/*
 * task_rig.h - for tests that measure real processes: a task with a memory of a known size, made by
 * running this test program again (rig_main), in a session of its own, under us as its supervisor.
 *
 *     int main(int argc, char **argv) { rig_main(argc, argv); return cmocka_...; }
 *     struct task t = task_start(NULL, "hog", "64", NULL);  // returns when its memory is there
 *     task_end(&t);
 */
#ifndef DISTCOMP_TASK_RIG_H
#define DISTCOMP_TASK_RIG_H

#include "tests/unit/dir_rig.h"

#include <errno.h>
#include <linux/sched.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

#include "common/log.h"
#include "worker/cgroup.h"
#include "worker/proctree.h"

#define RIG_WAIT_MS 60000
#define MI          (UINT64_C(1) << 20)
#define NOBODY      (1 << 22) /* no process has this pid: Linux's largest is one less */

static char rig_self[PATH_MAX];

#define rig_until(condition)                                                                       \
    do {                                                                                           \
        int rig_left_ms = RIG_WAIT_MS;                                                             \
        while (!(condition)) {                                                                     \
            if ((rig_left_ms -= 5) < 0)                                                            \
                fail_msg("waited %d ms for: %s", RIG_WAIT_MS, #condition);                         \
            poll(NULL, 0, 5);                                                                      \
        }                                                                                          \
    } while (0)

/* First in a test of sizes. */
#ifdef __SANITIZE_THREAD__
#define SIZES_ARE_TRUE()                                                                           \
    do {                                                                                           \
        print_message("skipped: the thread sanitizer's own memory is several times the task's\n"); \
        skip();                                                                                    \
    } while (0)
#else
#define SIZES_ARE_TRUE() ((void)0)
#endif

/* --- in the task ----------------------------------------------------------------------------- */

static void rig_ready(void) {
    if (write(1, "ready\n", 6) != 6)
        _exit(3);
}

static void rig_pause(void) {
    for (;;)
        pause();
}

static char *rig_memory(size_t mib, int flags) {
    size_t len = mib << 20;
    char *p = mmap(NULL, len, PROT_READ | PROT_WRITE, flags | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        _exit(3);
    madvise(p, len, MADV_NOHUGEPAGE); /* sizes come out the same everywhere */
    for (size_t i = 0; i < len; i += 4096)
        p[i] = 1;
    return p;
}

static void rig_fork_all(size_t count, void (*child)(void *), void *arg) {
    int done[2];
    if (pipe(done) != 0)
        _exit(3);
    for (size_t i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0) {
            child(arg);
            if (write(done[1], "x", 1) != 1)
                _exit(3);
            rig_pause();
        }
        if (pid < 0)
            _exit(3);
    }
    for (size_t i = 0; i < count; i++) {
        char c;
        if (read(done[0], &c, 1) != 1)
            _exit(3);
    }
}

static void rig_nothing(void *arg) {
    (void)arg;
}

struct rig_sharing {
    const char *shared, *copied;
    size_t len;
};

static void rig_read_all(void *arg) {
    const struct rig_sharing *s = arg;
    volatile char sum = 0;
    for (size_t i = 0; i < s->len; i += 4096)
        sum = (char)(sum + s->shared[i] + s->copied[i]);
}

/* A process that left the session, whose parents are gone. */
static void rig_daemon(size_t mib) {
    int done[2];
    char c;
    if (pipe(done) != 0)
        _exit(3);
    pid_t pid = fork();
    if (pid == 0) {
        setsid();
        if (fork() == 0) {
            rig_memory(mib, MAP_PRIVATE);
            if (write(done[1], "x", 1) != 1)
                _exit(3);
            rig_pause();
        }
        _exit(0);
    }
    waitpid(pid, NULL, 0);
    if (read(done[0], &c, 1) != 1)
        _exit(3);
}

/* Writes a file and reads it: all of it is in the page cache then. */
static void rig_cache(const char *path, size_t mib) {
    static char block[1 << 20];
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    for (size_t i = 0; i < mib; i++)
        if (write(fd, block, sizeof block) != sizeof block)
            _exit(3);
    if (fsync(fd) != 0 || lseek(fd, 0, SEEK_SET) != 0)
        _exit(3);
    while (read(fd, block, sizeof block) > 0)
        ;
}

static void rig_spin(long ms) {
    struct timespec t;
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while (t.tv_sec * 1000 + t.tv_nsec / 1000000 < ms);
}

static size_t rig_number(const char *text) {
    return text ? strtoul(text, NULL, 10) : 0;
}

static void rig_main(int argc, char **argv) {
    if (!realpath(argv[0], rig_self)) /* before anybody changes directory */
        abort();
    if (argc < 2) {
        log_setup(-1, LOG_ERROR, LOG_PLAIN);
        prctl(PR_SET_CHILD_SUBREAPER, 1); /* as the supervisor is */
        return;
    }
    size_t n = rig_number(argv[2]);
    if (strcmp(argv[1], "hog") == 0) {
        rig_memory(n, MAP_PRIVATE);
    } else if (strcmp(argv[1], "share") == 0) { /* MIB of each kind, processes */
        struct rig_sharing s = {rig_memory(n, MAP_SHARED), rig_memory(n, MAP_PRIVATE), n << 20};
        rig_fork_all(rig_number(argv[3]) - 1, rig_read_all, &s);
    } else if (strcmp(argv[1], "daemon") == 0) {
        rig_daemon(n);
    } else if (strcmp(argv[1], "cache") == 0) {
        rig_cache(argv[3], n);
    } else if (strcmp(argv[1], "bomb") == 0) {
        rig_fork_all(n, rig_nothing, NULL);
    } else if (strcmp(argv[1], "spin") == 0) {
        rig_spin((long)n);
    } else if (strcmp(argv[1], "grow") == 0) { /* until somebody ends it */
        rig_ready();
        for (size_t i = 0; i < n; i++)
            rig_memory(1, MAP_PRIVATE);
    }
    rig_ready();
    rig_pause();
}

/* --- in the test ----------------------------------------------------------------------------- */

struct task {
    pid_t pid;
    int pipe;
    char cookie[64];
};

static int rig_cookies;

/* A child that is born into entry->dir, or writes itself into entry->procs. */
static pid_t rig_fork(const struct cgroup_entry *entry) {
    int dir = entry && entry->dir[0] ? open(entry->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    struct clone_args args = {.exit_signal = SIGCHLD, .cgroup = (unsigned)dir};
    args.flags = dir >= 0 ? CLONE_INTO_CGROUP : 0;
    pid_t pid = dir >= 0 ? (pid_t)syscall(SYS_clone3, &args, sizeof args) : fork();
    if (pid != 0 && dir >= 0)
        close(dir);
    for (int i = 0; pid == 0 && entry && i < CGROUP_ENTRIES; i++) {
        int fd = entry->procs[i][0] ? open(entry->procs[i], O_WRONLY | O_CLOEXEC) : -1;
        if (entry->procs[i][0] && (fd < 0 || write(fd, "0", 1) != 1))
            _exit(3);
    }
    return pid;
}

RIG_UNUSED static struct task task_start(const struct cgroup_entry *entry, const char *mode,
                                         const char *first, const char *second) {
    struct task t;
    int ends[2];
    char line[16] = "";
    snprintf(t.cookie, sizeof t.cookie, "DISTCOMP_COOKIE=%d-%d", getpid(), ++rig_cookies);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    t.pid = rig_fork(entry);
    assert_true(t.pid >= 0);
    if (t.pid == 0) {
        setsid();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        dup2(ends[1], 1);
        putenv(t.cookie);
        execl(rig_self, rig_self, mode, first, second, (char *)NULL);
        _exit(3);
    }
    close(ends[1]);
    t.pipe = ends[0];
    struct pollfd p = {.fd = t.pipe, .events = POLLIN};
    assert_int_equal(poll(&p, 1, RIG_WAIT_MS), 1);
    assert_int_equal(read(t.pipe, line, sizeof line - 1), 6);
    assert_string_equal(line, "ready\n");
    return t;
}

/* Returns the status of its main process, which then has none. */
RIG_UNUSED static int task_wait(struct task *t) {
    int status = 0;
    assert_int_equal(waitpid(t->pid, &status, 0), t->pid);
    close(t->pipe);
    t->pid = 0;
    return status;
}

RIG_UNUSED static int task_end(struct task *t) {
    assert_true(t->pid > 0);
    kill(-t->pid, SIGKILL);
    return task_wait(t);
}

/* Orphans that became ours. */
RIG_UNUSED static void rig_reap(void) {
    while (waitpid(-1, NULL, WNOHANG) > 0)
        ;
}

/* A directory to play a machine in. */
RIG_UNUSED static int up(void **state) {
    (void)state;
    return dir_make();
}

/* Ends every child that a test left, and what becomes ours as they die. */
static void rig_end_all(void) {
    const int32_t *pids;
    for (int count; (count = proctree_children(&pids)) > 0; rig_reap())
        for (int i = 0; i < count; i++)
            kill(pids[i], SIGKILL);
}

RIG_UNUSED static int down(void **state) {
    (void)state;
    rig_end_all();
    return dir_remove();
}

#endif
