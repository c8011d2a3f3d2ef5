/*
 * try.h - one try of a kernel: from its words to its exit code.
 *
 *     words -> plug-in -> parameters -> estimate against the promised memory -> run()
 *           -> outputs become visible -> the line of results
 *
 * What it is told comes from the environment, which the worker sets for each try (README of the
 * variables: docs/kernels.md): DISTCOMP_THREADS, DISTCOMP_MEMORY, DISTCOMP_KERNEL_DIR,
 * DISTCOMP_REDIS, DISTCOMP_QUEUE, DISTCOMP_OBJECT_MAX, DISTCOMP_OBJECT_TTL, DISTCOMP_TASK_ID,
 * DISTCOMP_TRY, CUDA_VISIBLE_DEVICES. One try at a time, by one thread.
 */
#ifndef DISTCOMP_KERNEL_TRY_H
#define DISTCOMP_KERNEL_TRY_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"
#include "kernels/kernel.h"

enum try_code { TRY_DONE = 0, TRY_FAILED = 1, TRY_REFUSED = 2, TRY_CODE_MAX = 125 };

/* Without a worker: called before a try's first data function when a parameter names an object.
 * Sets DISTCOMP_REDIS, DISTCOMP_QUEUE, DISTCOMP_OBJECT_MAX and DISTCOMP_OBJECT_TTL. False: why. */
extern bool (*try_find_redis)(struct buf *error);

/* KERNEL key=value ... as words, and the same as one string that is split as a shell does. Whatever
 * is wrong has been written to standard error. Returns the exit code. */
int try_words(char *const *words, size_t count);
int try_text(const char *text, size_t len);

/* What it would need; code 0. 1 with a line on standard error: it does not say. */
int try_estimate(char *const *words, size_t count, struct kernel_estimate *estimate);

#endif
