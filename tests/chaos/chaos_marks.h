/*
 * chaos_marks.h - what the tasks of chaos.py tell outside Redis. Every start, every end, and that
 * it still lives (each 100 ms) a task writes as one line to the file CHAOS_MARKS, opened for
 * appending, so that the order of the lines is that of the events:
 *
 *     S|B|E|D NUMBER TASK_ID TRY WORKER PID MONOTONIC_US EXIT_CODE
 *
 * S start, B alive, E end (written just before it leaves), D alive: a process it left behind (each
 * 5 ms).
 */
#ifndef DISTCOMP_CHAOS_MARKS_H
#define DISTCOMP_CHAOS_MARKS_H

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

enum { BEAT_MS = 100, DAEMON_BEAT_MS = 5, DAEMON_MS = 20000 };

static int marks = -1;
static long number; /* the task's own, from the plan */

static inline const char *environment(const char *name) {
    const char *value = getenv(name);
    return value && *value ? value : "-";
}

static inline void mark(char what, int code) {
    struct timespec now;
    char line[512];
    clock_gettime(CLOCK_MONOTONIC, &now);
    int len = snprintf(line, sizeof line, "%c %ld %s %s %s %d %lld %d\n", what, number,
                       environment("DISTCOMP_TASK_ID"), environment("DISTCOMP_TRY"),
                       environment("DISTCOMP_WORKER"), (int)getpid(),
                       (long long)now.tv_sec * 1000000 + now.tv_nsec / 1000, code);
    if (len <= 0 || write(marks, line, (size_t)len) != len)
        _exit(120); /* a mark that is missing would be taken for a lost task */
}

/* False: nothing could be told. */
static inline bool marks_open(void) {
    const char *path = getenv("CHAOS_MARKS");
    if (marks < 0)
        marks = open(path ? path : "marks", O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    return marks >= 0;
}

static inline void pass(long ms, char what) {
    const long beat = what == 'D' ? DAEMON_BEAT_MS : BEAT_MS;
    for (long step; ms > 0; ms -= step) {
        step = ms < beat ? ms : beat;
        struct timespec wait = {step / 1000, step % 1000 * 1000000};
        nanosleep(&wait, NULL);
        if (ms > beat)
            mark(what, 0);
    }
}

/* The code of a task that ends well in about every second try. */
static inline int flaky_code(long try_number) {
    return (int)((unsigned long)(number + try_number) * 2654435761ul >> 13 & 1);
}

static inline void leave_children(void) {
    for (int i = 0; i < 2; i++)
        if (fork() == 0) {
            pass(DAEMON_MS, 'D');
            _exit(0);
        }
}

#endif
