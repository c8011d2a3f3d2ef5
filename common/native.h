/*
 * native.h - what distcomp itself reads of a native task's parameters: `KERNEL key=value ...`,
 * words as a shell splits them. All else is the kernel's business (docs/kernels.md). Pure.
 */
#ifndef DISTCOMP_NATIVE_H
#define DISTCOMP_NATIVE_H

#include <stdbool.h>
#include <stddef.h>

#define NATIVE_NAME_MAX 32 /* bytes of a kernel's name */

/* Letters, digits, '_' and '-', a letter first. */
bool native_name_valid(const char *name, size_t len);
/* The first word of params: a part of it, as it stands there; whether it is a valid name. */
bool native_name(const char *params, size_t len, const char **name, size_t *name_len);

enum native_device {
    NATIVE_DEVICE_OPEN, /* no `device=`, or another value: nothing is asked for */
    NATIVE_DEVICE_GPU,
    NATIVE_DEVICE_AUTO /* a card when one is free, else cores */
};
enum native_device native_device(const char *params, size_t len);

#endif
