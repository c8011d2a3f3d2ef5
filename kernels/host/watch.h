/*
 * watch.h - signals, crashes and exits of a process that runs kernels.
 *
 * SIGTERM during a try asks the kernel to end (kernel_cancelled); between tries it ends the
 * process. A crash writes one line that names the kernel and the signal to standard error, and the
 * process dies of that signal. A kernel that calls exit(0) has not done its work: the code becomes
 * 1. SIGPIPE does nothing.
 */
#ifndef DISTCOMP_KERNEL_WATCH_H
#define DISTCOMP_KERNEL_WATCH_H

#include <stdbool.h>

/* Once. by_hand: SIGINT counts as SIGTERM does, and a second one kills. */
void watch_start(bool by_hand);

/* Whether this process was forked by a kernel: its try, and its outputs, are the host's. */
bool watch_is_child(void);

/* A try of this kernel begins; the name is borrowed until watch_try_ends. */
void watch_try_begins(const char *kernel);
void watch_try_ends(void);

/* The signal that asked for the end; 0: none. Any thread. */
int watch_cancelled(void);
/* The process may be ended at once from now on: it waits for work. Dies if it was asked to before.
 */
void watch_idle(bool now);
/* Dies of that signal. */
void watch_die(int number) __attribute__((noreturn));

#endif
