/*
 * serve_rig.h - for tests of kernels/host/serve.h: a host in a child process with a kernel that is
 * linked in, and the supervisor's half of worker/hostwire.h.
 *
 *     struct rig rig;
 *     rig_up(&rig);
 *     assert_int_equal(try_one(&rig, "probe do=print arg=x"), 0);
 *     assert_string_equal(output(rig.out), "printed\na=1 b=x\n");
 *     rig_down(&rig);
 *
 * What the kernel probe does, with arg=TEXT and number=INTEGER:
 *
 *     env, setenv          prints the variable arg, or "-"; changes it and HOST_TEST_...
 *     pwd                  prints the directory it is in, and PWD
 *     burn, touch, fill    number milliseconds of CPU time; bytes of its own; bytes of scratch
 *     crash, exit, wait    by SIGSEGV; with number; until it is cancelled, then code number
 *     fail, refuse, code   says arg as the reason; just code number
 *     keep                 counts its tries in this process
 *     print, given, log    arg as a result; what the host has given it; arg to standard error
 */
#ifndef DISTCOMP_SERVE_RIG_H
#define DISTCOMP_SERVE_RIG_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "kernels/host/plugin.h"
#include "kernels/host/serve.h"
#include "kernels/kernel.h"
#include "worker/hostwire.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define DEADLINE_MS  60000

/* --- the kernel ------------------------------------------------------------------------------- */

enum { DO, ARG, NUMBER };
#define ORDERS                                                                                     \
    "env|setenv|pwd|burn|touch|fill|crash|exit|wait|fail|refuse|code|keep|print|given|log"
enum {
    ENV,
    SETENV,
    PWD,
    BURN,
    TOUCH,
    FILL,
    CRASH,
    EXIT,
    WAIT,
    FAIL,
    REFUSE,
    CODE,
    KEEP,
    PRINT,
    GIVEN,
    LOG
};

static const struct kernel_param params[] = {
    [DO] = {.name = "do", .type = KERNEL_CHOICE, .choices = ORDERS},
    [ARG] = {.name = "arg", .type = KERNEL_TEXT, .fallback = ""},
    [NUMBER] = {.name = "number", .type = KERNEL_INT, .fallback = "0"},
    {0}};

static void burn(int64_t ms) {
    struct timespec now;
    int64_t end_ms = 0;
    for (int64_t now_ms = 0; !end_ms || now_ms < end_ms;) {
        for (volatile int i = 0; i < 100000; i++)
            ; /* time of its own, not the system's */
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
        now_ms = now.tv_sec * 1000 + now.tv_nsec / 1000000;
        end_ms = end_ms ? end_ms : now_ms + ms;
    }
}

static void *map(size_t bytes, int protection) {
    void *memory = mmap(NULL, bytes, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED ? NULL : memory;
}

static int touch(struct kernel_run *r, size_t bytes) {
    char *memory = map(bytes, PROT_READ | PROT_WRITE);
    if (!memory)
        return kernel_fail(r, "no memory");
    memset(memory, 1, bytes);
    munmap(memory, bytes);
    return 0;
}

static int fill(struct kernel_run *r, size_t bytes) {
    char *memory = kernel_scratch(r, bytes), *second = kernel_scratch(r, 100);
    if (!memory || !second)
        return 1;
    memset(memory, 1, bytes);
    memset(second, 1, 100);
    kernel_result(r, "aligned", "%d", ((uintptr_t)memory | (uintptr_t)second) % 64 == 0);
    return 0;
}

static void close_kept(void *kept) {
    dprintf(STDERR_FILENO, "closed at %d\n", *(int *)kept);
    free(kept);
}

static int keep(struct kernel_run *r) {
    void **kept = kernel_keep(r, "count", close_kept);
    if (!*kept)
        *kept = calloc(1, sizeof(int));
    kernel_result(r, "count", "%d", ++*(int *)*kept);
    return 0;
}

static int wait_for_cancel(struct kernel_run *r, int code) {
    fputs("waits\n", stderr);
    while (!kernel_cancelled(r))
        poll(NULL, 0, 1);
    return code;
}

static int given(struct kernel_run *r) {
    kernel_result(r, "threads", "%u", kernel_threads(r));
    kernel_result(r, "memory", "%llu", (unsigned long long)kernel_memory(r));
    kernel_result(r, "device", "%d", kernel_device(r));
    kernel_result(r, "task", "%s", kernel_task_id(r));
    kernel_result(r, "try", "%u", kernel_try(r));
    return 0;
}

static int crash(void) {
    volatile char *memory = map(4096, PROT_NONE);
    *memory = 1;
    return 0;
}

static int run(struct kernel_run *r) {
    const char *arg = kernel_text(r, ARG);
    int64_t number = kernel_int(r, NUMBER);
    char *dir = NULL;
    switch (kernel_choice(r, DO)) {
    case ENV:
        return printf("%s\n", getenv(arg) ? getenv(arg) : "-") < 0;
    case SETENV:
        return setenv(arg, "changed", 1) || unsetenv("HOST_TEST_BASE") ||
               setenv("HOST_TEST_NEW", "1", 1);
    case PWD:
        dir = getcwd(NULL, 0);
        printf("%s %s\n", dir ? dir : "-", getenv("PWD") ? getenv("PWD") : "-");
        free(dir);
        return 0;
    case BURN:
        burn(number);
        return 0;
    case TOUCH:
        return touch(r, (size_t)number);
    case FILL:
        return fill(r, (size_t)number);
    case CRASH:
        return crash();
    case EXIT:
        exit((int)number);
    case WAIT:
        return wait_for_cancel(r, (int)number);
    case FAIL:
        kernel_result(r, "never", "seen");
        return kernel_fail(r, "no luck with %s", arg);
    case REFUSE:
        return kernel_refuse(r, "%s does not fit", arg);
    case CODE:
        return (int)number;
    case KEEP:
        return keep(r);
    case PRINT:
        printf("printed\n");
        kernel_result(r, "a", "%d", 1);
        kernel_result(r, "b", "%s", arg);
        return 0;
    case GIVEN:
        return given(r);
    case LOG:
        kernel_progress(r, 0.5); /* not before 5 s */
        kernel_log(r, "note: %s", arg);
        return 0;
    default:
        return 99;
    }
}

static bool estimate(struct kernel_run *r, struct kernel_estimate *e) {
    e->memory_bytes = (uint64_t)kernel_int(r, NUMBER);
    return kernel_choice(r, DO) != FAIL || kernel_refuse(r, "estimate says no") == 0;
}

static const struct kernel probe = {.abi = KERNEL_ABI,
                                    .name = "probe",
                                    .summary = "does what it is told",
                                    .params = params,
                                    .estimate = estimate,
                                    .run = run};

/* --- the supervisor's half -------------------------------------------------------------------- */

struct rig {
    pid_t pid;
    int fd, out, err; /* out, err: the host's output files, also ours */
};

static int output_file(void) {
    int fd = memfd_create("output", MFD_CLOEXEC);
    assert_true(fd >= 0 && fcntl(fd, F_SETFL, O_APPEND) == 0);
    return fd;
}

static void rig_up(struct rig *rig) {
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    rig->out = output_file();
    rig->err = output_file();
    fflush(NULL); /* or the child would write it again */
    rig->pid = fork();
    assert_true(rig->pid >= 0);
    if (rig->pid == 0) {
        struct buf error = BUF_INIT;
        dup2(rig->out, STDOUT_FILENO);
        dup2(rig->err, STDERR_FILENO);
        close(pair[0]);
        setenv("HOST_TEST_BASE", "base", 1);
        exit(plugin_link(&probe, &error) ? serve_run(pair[1]) : 98);
    }
    close(pair[1]);
    rig->fd = pair[0];
}

/* A message: cwd may be NULL; env is a list that NULL ends, or NULL. */
static size_t make_request(char *message, const char *cwd, const char *text,
                           const char *const *env) {
    struct host_request head = {.version = HOST_VERSION, .argc = 3};
    const char *words[] = {"kernelHost", "serve", text};
    char *at = message + sizeof head;
    if (cwd)
        at = stpcpy(at, cwd) + 1;
    head.cwd_len = cwd ? (uint32_t)strlen(cwd) : 0;
    for (size_t i = 0; i < COUNT(words); i++)
        at = stpcpy(at, words[i]) + 1;
    for (; env && env[head.envc]; head.envc++)
        at = stpcpy(at, env[head.envc]) + 1;
    memcpy(message, &head, sizeof head);
    return (size_t)(at - message);
}

static void give(struct rig *rig, const char *cwd, const char *text, const char *const *env) {
    static char message[HOST_MESSAGE_MAX];
    size_t len = make_request(message, cwd, text, env);
    assert_int_equal(send(rig->fd, message, len, MSG_NOSIGNAL), len);
}

/* False: end of file. */
static bool hear(struct rig *rig, struct host_done *done) {
    struct pollfd poll_fd = {.fd = rig->fd, .events = POLLIN};
    if (poll(&poll_fd, 1, DEADLINE_MS) != 1)
        fail_msg("the host says nothing");
    ssize_t len = recv(rig->fd, done, sizeof *done, 0);
    if (len <= 0)
        return false;
    assert_int_equal(len, sizeof *done);
    assert_int_equal(done->version, HOST_VERSION);
    return true;
}

/* A try that ends by an answer. */
static struct host_done try_full(struct rig *rig, const char *cwd, const char *text,
                                 const char *const *env) {
    struct host_done done;
    give(rig, cwd, text, env);
    if (!hear(rig, &done))
        fail_msg("the host ended in: %s", text);
    return done;
}

/* Whether an answer says that nothing was written is as the files say. */
static int try_one(struct rig *rig, const char *text) {
    struct host_done done = try_full(rig, NULL, text, NULL);
    struct stat out, err;
    assert_true(fstat(rig->out, &out) == 0 && fstat(rig->err, &err) == 0);
    assert_int_equal(done.flags, out.st_size || err.st_size ? 0 : HOST_SILENT);
    return done.code;
}

/* What is in an output file; empties it. */
static const char *output(int fd) {
    static char text[8192];
    ssize_t len = pread(fd, text, sizeof text - 1, 0);
    assert_true(len >= 0);
    text[len] = '\0';
    assert_int_equal(ftruncate(fd, 0), 0);
    return text;
}

static int rig_wait(struct rig *rig) {
    int status;
    assert_int_equal(waitpid(rig->pid, &status, 0), rig->pid);
    close(rig->fd);
    return status;
}

/* End of file: it leaves. */
static void rig_down(struct rig *rig) {
    shutdown(rig->fd, SHUT_WR);
    assert_int_equal(rig_wait(rig), 0);
    close(rig->out);
    close(rig->err);
}

/* Waits until the host's standard error has this text, and empties it. */
static void await_error(struct rig *rig, const char *text) {
    char seen[256];
    for (int ms = 0; ms < DEADLINE_MS; ms += 5) {
        ssize_t len = pread(rig->err, seen, sizeof seen - 1, 0);
        seen[len > 0 ? len : 0] = '\0';
        if (strstr(seen, text)) {
            assert_int_equal(ftruncate(rig->err, 0), 0);
            return;
        }
        poll(NULL, 0, 5);
    }
    fail_msg("no \"%s\"", text);
}

#endif
