/*
 * nvrtcdir.h - compiled programs in a directory, a file each: named by a hash of the key, checked
 * against the whole key and a sum when read, and put there by rename, so that a reader never sees
 * half a file. Many processes may share a directory. The machine's own byte order: a file of
 * another machine's counts for nothing.
 */
#ifndef DISTCOMP_KERNEL_NVRTCDIR_H
#define DISTCOMP_KERNEL_NVRTCDIR_H

#include "kernels/cuda/nvrtc.h"

/* Fills image, lowered and parameters of a program whose key is set. False: it has none, and
 * nothing was changed. */
bool nvrtcdir_read(const char *dir, struct nvrtc_program *program);
/* False: errno says why. */
bool nvrtcdir_write(const char *dir, const struct nvrtc_program *program);

#endif
