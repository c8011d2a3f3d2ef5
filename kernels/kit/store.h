/*
 * store.h - much into an output at a time.
 */
#ifndef DISTCOMP_KIT_STORE_H
#define DISTCOMP_KIT_STORE_H

#include <stdbool.h>
#include <stddef.h>

#include "kernels/kernel.h"

/* kernel_store in pieces, each of which is on its way to the disk when the next is copied. False:
 * kernel_fail was called. */
bool store_bytes(struct kernel_run *run, void *to, const void *from, size_t bytes);

#endif
