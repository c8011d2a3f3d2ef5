/*
 * kernels.h - the kernels that this worker has: the files NAME.so in its kernel directories.
 * Nothing is opened; whether one is good shows when a task runs it.
 */
#ifndef DISTCOMP_KERNELS_H
#define DISTCOMP_KERNELS_H

#include <stdbool.h>

struct kernels {
    char *host;  /* path of kernelHost, beside redisWorker; "" when it is not there. Owned */
    char *dirs;  /* absolute, joined by ':', for the host. Owned */
    char *names; /* sorted, joined by ','; "" without a host. Owned */
};

/* dirs: the setting kernel_dir, "" for the usual places; program: the path of redisWorker. Fills an
 * empty struct, or one that was filled before. True when what tasks can ask for has changed. */
bool kernels_find(struct kernels *kernels, const char *dirs, const char *program);
void kernels_free(struct kernels *kernels);

#endif
