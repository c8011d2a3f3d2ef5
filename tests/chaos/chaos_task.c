/*
 * chaos_task: what chaos.py runs as tasks. Every start, every end, and that it still lives (each
 * 100 ms) it writes as one line to the file CHAOS_MARKS, opened for appending, so that the order of
 * the lines is that of the events:
 *
 *     S|B|E|D NUMBER TASK_ID TRY WORKER PID MONOTONIC_US EXIT_CODE
 *
 * S start, B alive, E end (written just before it leaves), D alive: a process it left behind (each
 * 5 ms).
 *
 *     chaos_task NUMBER ok|fail|flaky|again|hang|away|flood|tree MS
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { BEAT_MS = 100, DAEMON_BEAT_MS = 5, DAEMON_MS = 20000, FLOOD_BYTES = 1 << 20 };

static int marks = -1;
static const char *number;

static const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : "-";
}

static void mark(char what, int code) {
    struct timespec now;
    char line[512];
    clock_gettime(CLOCK_MONOTONIC, &now);
    int len = snprintf(line, sizeof line, "%c %s %s %s %s %d %lld %d\n", what, number,
                       environment("DISTCOMP_TASK_ID"), environment("DISTCOMP_TRY"),
                       environment("DISTCOMP_WORKER"), (int)getpid(),
                       (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000, code);
    if (len <= 0 || write(marks, line, (size_t)len) != len)
        _exit(120); /* a mark that is missing would be taken for a lost task */
}

static void pass(long ms, char what) {
    const long beat = what == 'D' ? DAEMON_BEAT_MS : BEAT_MS;
    for (long step; ms > 0; ms -= step) {
        step = ms < beat ? ms : beat;
        struct timespec wait = {step / 1000, step % 1000 * 1000000};
        nanosleep(&wait, NULL);
        if (ms > beat)
            mark(what, 0);
    }
}

/* A daemon in a session of its own, whose parent is gone. Returns once it lives. */
static void leave_daemon(void) {
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return;
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            mark('D', 0);
            if (write(ready[1], "", 1) == 1) {
                close(ready[0]);
                close(ready[1]);
            }
            pass(DAEMON_MS, 'D');
        }
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) < 0)
        return;
    close(ready[0]);
}

static void flood(void) {
    static char text[4096];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    for (int fd = 1; fd <= 2; fd++)
        for (size_t sent = 0; sent < FLOOD_BYTES; sent += sizeof text)
            if (write(fd, text, sizeof text) < 0)
                return;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    number = argv[1];
    const char *kind = argv[2], *path = getenv("CHAOS_MARKS");
    long ms = strtol(argv[3], NULL, 10), try = strtol(environment("DISTCOMP_TRY"), NULL, 10);
    int code = 0;
    marks = open(path ? path : "marks", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (marks < 0)
        return 120;
    mark('S', 0);
    if (strcmp(kind, "fail") == 0) {
        code = 1;
    } else if (strcmp(kind, "flaky") == 0) {
        code = (int)((unsigned long)(strtol(number, NULL, 10) + try) * 2654435761ul >> 13 & 1);
    } else if (strcmp(kind, "again") == 0) {
        code = try < 3 ? 75 : 0;
    } else if (strcmp(kind, "hang") == 0) {
        signal(SIGTERM, SIG_IGN);
        ms = 1 << 30;
    } else if (strcmp(kind, "away") == 0) {
        leave_daemon();
    } else if (strcmp(kind, "flood") == 0) {
        flood();
    } else if (strcmp(kind, "tree") == 0) {
        for (int i = 0; i < 2; i++)
            if (fork() == 0) {
                pass(DAEMON_MS, 'D');
                _exit(0);
            }
    }
    pass(ms, 'B');
    mark('E', code);
    return code;
}
