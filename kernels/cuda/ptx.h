/*
 * ptx.h - what the parameters of a kernel are, read from its PTX (NVIDIA's "PTX ISA", 5.2 state
 * spaces and 11.1 kernel directives): the driver takes as many as the kernel has and asks nobody,
 * so that a launch with too few reads beyond the list. Pure.
 */
#ifndef DISTCOMP_KERNEL_PTX_H
#define DISTCOMP_KERNEL_PTX_H

#include <stdbool.h>
#include <stddef.h>

enum ptx_kind {
    PTX_INTEGER, /* or a pointer, which is a u64 */
    PTX_FLOAT,   /* f32, f64 */
    PTX_BYTES    /* a struct, __half, ... */
};
struct ptx_param {
    enum ptx_kind kind;
    size_t bytes;
};
#define PTX_PARAMS_MAX 64

/* The parameters of an entry, by its name in the PTX (the lowered one). False: there is none of
 * this name, or it has more, or the text is not understood. */
bool ptx_params(const char *ptx, const char *entry, struct ptx_param *params, size_t *count);

/* "u64", "f32", "12 bytes". */
void ptx_param_text(const struct ptx_param *param, char *text, size_t size);

#endif
