/*
 * proctree.h - looking at processes through /proc, without heap.
 *
 * Every answer is of the moment it was read: whoever sends a signal uses proctree_signal, which
 * holds the process by a pidfd and checks its start time, so that a recycled pid is never hit.
 */
#ifndef DISTCOMP_PROCTREE_H
#define DISTCOMP_PROCTREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PROCTREE_MAX                                                                               \
    65536 /* processes looked at; what is beyond is found when the others have gone */

struct proc_stat {
    int32_t pid, ppid, pgrp, session;
    uint64_t start_ticks; /* since boot; with the pid it names a process for ever */
    bool dead;    /* waits to be reaped, if that. Not: a first thread that ended before others,
                     whose process looks like a zombie but lives */
    bool stopped; /* by a signal or a debugger */
    bool traced;  /* a debugger has stopped it */
    bool kernel;  /* a thread of the kernel */
};

/* False when there is no such process. */
bool proctree_stat(int32_t pid, struct proc_stat *stat);

/*
 * Reads all of /proc. Returns the number of processes, 0 when it could not; *table (ours, valid
 * until the next call) is sorted by pid. proctree_index finds a pid in it, -1 when it is not there.
 */
size_t proctree_scan(const struct proc_stat **result);
int proctree_index(int32_t pid);

/*
 * The direct children of this process, dead ones that were not waited for included. Complete,
 * because only this process can take one off the kernel's list and new ones are put at its end. The
 * file is opened once: not for use on both sides of a fork. -1: they could not be read.
 */
int proctree_children(const int32_t **pids);

enum proctree_environ {
    PROCTREE_ENVIRON_NONE, /* no such string, or not ours to read */
    PROCTREE_ENVIRON_FOUND,
    PROCTREE_ENVIRON_TOO_LONG, /* for size: not copied */
    PROCTREE_ENVIRON_UNKNOWN   /* cannot be told now: the process is executing a program whose
                                  environment is not there yet, or reading failed; look again */
};

/* Copies the environment string that begins with prefix ("NAME=") to entry. */
enum proctree_environ proctree_environ(int32_t pid, const char *prefix, char *entry, size_t size);

/*
 * Sends a signal to the process that `stat` describes. With SIGKILL also to its whole process
 * group, in one step that fork cannot outrun, if that group is of another session than ours.
 * Returns 0, or the errno: ESRCH when it is gone or is somebody else by now.
 */
int proctree_signal(const struct proc_stat *stat, int signal);

#endif
