/*
 * fake_host.h - for tests of the supervisor: a host (worker/hostwire.h) that does what the
 * parameters of its try say, made by running this test program again.
 *
 *     int main(int argc, char **argv) { fake_host(argc, argv); return cmocka_...; }
 *
 * Parameters are orders, one after the other; the try is done with code 0 after the last:
 *
 *     out TEXT, err TEXT   writes TEXT and a newline
 *     fill BYTES           writes so many to standard output
 *     env NAME             writes its value, or "-"
 *     pwd, args            writes its directory; its own arguments
 *     spin MS              uses so much CPU time
 *     answer CODE          is done with this code
 *     wait                 until a SIGTERM; "forever": whatever comes
 *     exit CODE, kill SIG  ends the process
 *     quit                 exits with code 33 as soon as it has answered
 *     nonsense, hangup     breaks the conversation, and goes on
 *     late                 does so when it has answered
 *     daemon FILE          leaves a process that has left its session, its pid in FILE
 *     after TEXT           writes TEXT as it exits at the end of file
 *     loud                 does not say that it was silent
 */
#ifndef DISTCOMP_FAKE_HOST_H
#define DISTCOMP_FAKE_HOST_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "worker/hostwire.h"

extern char **environ;

static volatile sig_atomic_t fake_terminated;
static int fake_fd;
static bool fake_late, fake_quit;
static char fake_message[HOST_MESSAGE_MAX], fake_after[256];

static void fake_on_term(int signal) {
    (void)signal;
    fake_terminated = 1;
}

static void fake_write(int fd, const char *text) {
    if (dprintf(fd, "%s\n", text) < 0)
        _exit(99);
}

static void fake_daemon(const char *file) {
    if (fork() != 0)
        return;
    setsid();
    signal(SIGTERM, SIG_DFL);
    if (fork() != 0)
        _exit(0);
    char fresh[512];
    snprintf(fresh, sizeof fresh, "%s.new", file);
    FILE *f = fopen(fresh, "w");
    if (!f || fprintf(f, "%d\n", (int)getpid()) < 0 || fclose(f) != 0 || rename(fresh, file) != 0)
        _exit(1);
    for (;;)
        pause();
}

static void fake_die(int number) {
    signal(number, SIG_DFL); /* a sanitizer would catch it */
    kill(getpid(), number);
}

static void fake_spin(long ms) {
    struct timespec t, from;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &from);
    do
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    while ((t.tv_sec - from.tv_sec) * 1000 + (t.tv_nsec - from.tv_nsec) / 1000000 < ms);
}

static void fake_fill(size_t bytes) {
    static char block[4096];
    memset(block, 'x', sizeof block);
    for (size_t n; bytes > 0; bytes -= n) {
        n = bytes < sizeof block ? bytes : sizeof block;
        if (write(1, block, n) != (ssize_t)n)
            _exit(99);
    }
}

static void fake_args(void) {
    char line[4096];
    FILE *f = fopen("/proc/self/cmdline", "r");
    size_t n = f ? fread(line, 1, sizeof line - 1, f) : 0;
    for (size_t i = 0; i + 1 < n; i++)
        line[i] = line[i] ? line[i] : ' ';
    line[n] = '\0';
    if (f)
        fclose(f);
    const char *rest = strchr(line, ' ');
    fake_write(1, rest ? rest + 1 : "-");
}

/* False: the try is done, with *code. */
static bool fake_obey(const char *order, char *value, struct host_done *done) {
    char cwd[4096];
    if (strcmp(order, "out") == 0)
        fake_write(1, value);
    else if (strcmp(order, "err") == 0)
        fake_write(2, value);
    else if (strcmp(order, "fill") == 0)
        fake_fill(strtoul(value, NULL, 10));
    else if (strcmp(order, "env") == 0)
        fake_write(1, getenv(value) ? getenv(value) : "-");
    else if (strcmp(order, "pwd") == 0)
        fake_write(1, getcwd(cwd, sizeof cwd) ? cwd : "-");
    else if (strcmp(order, "args") == 0)
        fake_args();
    else if (strcmp(order, "spin") == 0)
        fake_spin(strtol(value, NULL, 10));
    else if (strcmp(order, "daemon") == 0)
        fake_daemon(value);
    else if (strcmp(order, "after") == 0)
        snprintf(fake_after, sizeof fake_after, "%s", value);
    else if (strcmp(order, "loud") == 0)
        done->flags = 0;
    else if (strcmp(order, "exit") == 0)
        _exit((int)strtol(value, NULL, 10));
    else if (strcmp(order, "kill") == 0)
        fake_die((int)strtol(value, NULL, 10));
    else if (strcmp(order, "nonsense") == 0)
        fake_terminated = send(fake_fd, "what?", 5, MSG_NOSIGNAL) < 0;
    else if (strcmp(order, "quit") == 0)
        fake_quit = true;
    else if (strcmp(order, "late") == 0)
        fake_late = true;
    else if (strcmp(order, "hangup") == 0)
        close(fake_fd);
    else if (strcmp(order, "wait") == 0 || strcmp(order, "forever") == 0)
        while (!fake_terminated || order[0] == 'f')
            usleep(1000);
    else if (strcmp(order, "answer") == 0)
        done->code = (int)strtol(value, NULL, 10);
    else
        _exit(98);
    return strcmp(order, "answer") != 0;
}

static void fake_run(char *orders, struct host_done *done) {
    char *save = NULL, *word;
    while ((word = strtok_r(save ? NULL : orders, " ", &save))) {
        static const char *const alone[] = {"pwd",    "args", "wait", "forever", "nonsense",
                                            "hangup", "loud", "late", "quit"};
        bool has_value = true;
        for (size_t i = 0; i < sizeof alone / sizeof *alone; i++)
            has_value = has_value && strcmp(word, alone[i]) != 0;
        char *value = has_value ? strtok_r(NULL, " ", &save) : NULL;
        if (!fake_obey(word, value, done))
            return;
    }
}

/* The variables of the last request go, those of this one come. */
static void fake_environment(char *strings, uint32_t count) {
    static char *names[64];
    static uint32_t name_count;
    for (uint32_t i = 0; i < name_count; i++) {
        unsetenv(names[i]);
        free(names[i]);
    }
    name_count = 0;
    for (uint32_t i = 0; i < count && i < 64; i++, strings += strlen(strings) + 1) {
        char *equals = strchr(strings, '=');
        names[name_count++] = strndup(strings, (size_t)(equals - strings));
        setenv(names[name_count - 1], equals + 1, 1);
    }
}

static void fake_new_files(struct msghdr *message) {
    struct cmsghdr *c = CMSG_FIRSTHDR(message);
    int files[2];
    if (!c || c->cmsg_type != SCM_RIGHTS || c->cmsg_len != CMSG_LEN(sizeof files))
        _exit(97);
    memcpy(files, CMSG_DATA(c), sizeof files);
    for (int i = 0; i < 2; i++) {
        dup2(files[i], i + 1);
        close(files[i]);
    }
}

static bool fake_empty(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && st.st_size == 0;
}

static uint64_t fake_us(struct timeval t) {
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

/* One try; false at the end of file. */
static bool fake_try(const char *home) {
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control;
    struct iovec part = {fake_message, sizeof fake_message};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control.bytes};
    struct host_request r;
    struct rusage before, after;
    ssize_t n;
    while ((n = recvmsg(fake_fd, &message, 0)) < 0)
        if (!fake_terminated)
            _exit(96);
    if (n == 0)
        return false;
    fake_terminated = 0;
    memcpy(&r, fake_message, sizeof r);
    char *at = fake_message + sizeof r;
    if (r.version != HOST_VERSION || message.msg_flags)
        _exit(100);
    if (chdir(r.cwd_len ? at : home) != 0)
        _exit(95);
    at += r.cwd_len ? r.cwd_len + 1 : 0;
    char *orders = at;
    for (uint32_t i = 0; i < r.argc; i++, at += strlen(at) + 1)
        orders = at;
    fake_environment(at, r.envc);
    if (r.flags & HOST_NEW_FILES)
        fake_new_files(&message);
    struct host_done done = {
        .version = HOST_VERSION, .number = r.number, .use.maxrss_kib = 1234, .flags = HOST_SILENT};
    getrusage(RUSAGE_SELF, &before);
    fake_run(orders, &done);
    getrusage(RUSAGE_SELF, &after);
    done.use.user_us = fake_us(after.ru_utime) - fake_us(before.ru_utime);
    done.use.system_us = fake_us(after.ru_stime) - fake_us(before.ru_stime);
    if (!fake_empty(1) || !fake_empty(2))
        done.flags = 0;
    send(fake_fd, &done, sizeof done, MSG_NOSIGNAL);
    if (fake_quit)
        _exit(33);
    if (fake_late)
        send(fake_fd, &done, sizeof done, MSG_NOSIGNAL);
    return true;
}

static void fake_host(int argc, char **argv) {
    static char home[4096];
    if (argc < 2 || strcmp(argv[1], "serve") != 0)
        return;
    struct sigaction action = {.sa_handler = fake_on_term};
    sigaction(SIGTERM, &action, NULL);
    const char *fd = getenv("DISTCOMP_HOST_FD");
    if (!fd || !getcwd(home, sizeof home))
        _exit(94);
    fake_fd = (int)strtol(fd, NULL, 10);
    while (fake_try(home))
        ;
    if (fake_after[0])
        fake_write(1, fake_after);
    _exit(0);
}

#endif
