/*
 * Processes that a try leaves behind when nothing tells, at that moment, whose they are.
 *
 * With --hidden or --leaderless DIR this program is such a process.
 */
#include "tests/unit/supervisor_rig.h"

#include <pthread.h>
#include <sys/mman.h>

#include "worker/proctree.h"

/* ---- This program as a leftover. ---- */

static pid_t first_parent;

/* Without heap: an allocator may want to look at what is hidden. */
static void tell_pid(void) {
    char text[16];
    int len = snprintf(text, sizeof text, "%d\n", getpid());
    int fd = open("pid.new", O_WRONLY | O_CREAT | O_TRUNC, 0600);
    if (fd < 0 || write(fd, text, (size_t)len) != len || rename("pid.new", "pid") != 0)
        _exit(9);
    close(fd);
}

extern char **environ;

/* /proc/PID/environ is empty, as it is in the middle of an execve, until some time after the parent
 * has died. The main thread, which waits, has the stack where the environment is. */
static void *hide(void *unused) {
    (void)unused;
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)environ[0], end = begin;
    for (char **e = environ; *e; e++)
        end = (uintptr_t)*e + strlen(*e) + 1;
    void *from = (void *)(begin & ~(page - 1));
    size_t len = ((end + page - 1) & ~(page - 1)) - (uintptr_t)from;
    if (mprotect(from, len, PROT_NONE) != 0)
        _exit(9);
    tell_pid();
    while (getppid() == first_parent)
        poll(NULL, 0, 1);
    poll(NULL, 0, 100); /* so long the supervisor looks, and finds nothing */
    mprotect(from, len, PROT_READ | PROT_WRITE);
    pause(); /* until a signal ends us */
    return NULL;
}

static void *stay(void *unused) {
    (void)unused;
    tell_pid();
    pause(); /* until a signal ends us */
    return NULL;
}

static int leftover_main(const char *what) {
    pthread_t thread;
    bool hidden = strcmp(what, "--hidden") == 0;
    first_parent = getppid();
    if (hidden)
        setsid();
    if (pthread_create(&thread, NULL, hidden ? hide : stay, NULL) != 0)
        return 9;
    if (!hidden)
        pthread_exit(NULL); /* the process looks like a zombie, and lives */
    pthread_join(thread, NULL);
    return 9;
}

static int32_t leave_behind(uint32_t slot, const char *what, const char *then) {
    char line[1024];
    snprintf(line, sizeof line, "'%s' %s & while [ ! -f pid ]; do sleep 0.01; done; %s", self, what,
             then);
    rig_start(&r, &(struct rig_start){.slot = slot, .cwd = r.dir, .argv = {"/bin/sh", "-c", line}});
    return rig_pid_in(&r, "pid");
}

/* ---- Tests. ---- */

/* What CI found: `setsid sleep 1000 & exit` was reported ended while sleep lived. */
static void environment_that_is_not_there_yet(void **state) {
    (void)state;
    int32_t pid = leave_behind(0, "--hidden", "exit 4");
    struct wire_exit e = rig_exit(&r, 0);
    assert_true(rig_is_gone(pid));
    assert_int_equal(WEXITSTATUS(e.status), 4);
    assert_int_equal(e.leftovers, 1);
    rig_ack(&r, 0, 0);
}

/* The same in a great number, with the real moment inside execve. */
static void no_survivors(void **state) {
    (void)state;
    enum { ROUNDS = 20, EACH = 16 };
    static int32_t pids[EACH];
    for (int round = 0; round < ROUNDS; round++) {
        for (uint32_t i = 0; i < EACH; i++) {
            char line[64];
            snprintf(line, sizeof line, "setsid sleep 1000 & echo $! >%u", i);
            rig_start(
                &r, &(struct rig_start){.slot = i, .cwd = r.dir, .argv = {"/bin/sh", "-c", line}});
        }
        for (uint32_t i = 0; i < EACH; i++) {
            char name[16];
            rig_exit(&r, i);
            snprintf(name, sizeof name, "%u", i);
            pids[i] = rig_pid_in(&r, name);
            assert_true(rig_is_gone(pids[i]));
            rig_ack(&r, i, 0);
        }
    }
}

/* It holds nobody up: nothing can be found out by waiting. */
static void environment_that_was_cleared_decides(void **state) {
    (void)state;
    rig_start(&r, &(struct rig_start){
                      .slot = 0,
                      .cwd = r.dir,
                      .argv = {"/bin/sh", "-c",
                               "(setsid env -i /bin/sh -c 'echo $$ >pid.new; mv pid.new pid; exec "
                               "sleep 1000' &); while [ ! -f pid ]; do sleep 0.01; done"}});
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.leftovers, 0);
    int32_t pid = rig_pid_in(&r, "pid");
    assert_false(rig_is_gone(pid));
    rig_bye(&r, WIRE_BYE_STOP, 0); /* the worker stops: so does this */
    assert_int_equal(rig_wait_supervisor(&r), 0);
    rig_until(rig_is_gone(pid));
    rig_remove(&r);
}

/* Its first thread has ended, so /proc shows a zombie without environment. */
static void process_whose_first_thread_has_ended(void **state) {
    (void)state;
    int32_t pid = leave_behind(0, "--leaderless", "exit 0");
    rig_exit(&r, 0);
    assert_int_equal(kill(pid, 0), -1); /* rig_is_gone would not tell the difference */
    rig_ack(&r, 0, 0);
}

static void task_whose_first_thread_has_ended(void **state) {
    (void)state;
    rig_start(&r, &(struct rig_start){.slot = 0, .cwd = r.dir, .argv = {self, "--leaderless"}});
    int32_t pid = rig_pid_in(&r, "pid");
    rig_kill(&r, 0, WIRE_WHY_CANCEL, 20000);
    struct wire_exit e = rig_exit(&r, 0);
    assert_int_equal(e.pid, pid);
    assert_int_equal(WTERMSIG(e.status), SIGTERM);
    rig_ack(&r, 0, 0);
}

static void environ_says_what_it_knows(void **state) {
    (void)state;
    char entry[64];
    assert_int_equal(setenv("STRAY_TEST", "here", 1), 0);
    pid_t pid = fork();
    if (pid == 0) {
        execl("/bin/sleep", "sleep", "1000", NULL);
        _exit(9);
    }
    enum proctree_environ found;
    rig_until((found = proctree_environ(pid, "STRAY_TEST=", entry, sizeof entry)) !=
              PROCTREE_ENVIRON_UNKNOWN);
    rig_until(proctree_environ(pid, "STRAY_TEST=", entry, sizeof entry) ==
              PROCTREE_ENVIRON_FOUND); /* fork's child has ours as it was at our start */
    assert_string_equal(entry, "STRAY_TEST=here");
    assert_int_equal(proctree_environ(pid, "STRAY_TEST=", entry, 4), PROCTREE_ENVIRON_TOO_LONG);
    assert_int_equal(proctree_environ(pid, "NOT_THERE=", entry, sizeof entry),
                     PROCTREE_ENVIRON_NONE);
    kill(pid, SIGKILL);
    siginfo_t info;
    assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
    struct proc_stat stat;
    assert_true(proctree_stat(pid, &stat) && stat.dead);
    assert_int_equal(proctree_environ(pid, "STRAY_TEST=", entry, sizeof entry),
                     PROCTREE_ENVIRON_NONE);
    waitpid(pid, NULL, 0);
    assert_int_equal(proctree_environ(pid, "STRAY_TEST=", entry, sizeof entry),
                     PROCTREE_ENVIRON_NONE);
}

int main(int argc, char **argv) {
    if (argc == 2 && strncmp(argv[1], "--", 2) == 0)
        return leftover_main(argv[1]);
    find_self();
    const struct CMUnitTest tests[] = {
        fresh(environment_that_is_not_there_yet),
        fresh(no_survivors),
        cmocka_unit_test_setup(environment_that_was_cleared_decides, up),
        fresh(process_whose_first_thread_has_ended),
        fresh(task_whose_first_thread_has_ended),
        cmocka_unit_test(environ_says_what_it_knows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
