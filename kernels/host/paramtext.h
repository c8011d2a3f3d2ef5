/*
 * paramtext.h - what people read about a kernel, made from its table: the usage line, the help, the
 * row of a list, and the same as JSON. Pure.
 */
#ifndef DISTCOMP_KERNEL_PARAMTEXT_H
#define DISTCOMP_KERNEL_PARAMTEXT_H

#include <jansson.h>

#include "common/buf.h"
#include "kernels/kernel.h"

/* "NAME n=INTEGER [dtype=f32|f64]", without a newline. */
void paramtext_usage(const struct kernel *kernel, struct buf *out);
/* All of it, several lines. */
void paramtext_help(const struct kernel *kernel, const char *path, struct buf *out);
/* {"name", "summary", "path", "params": [...]}; the caller's. */
json_t *paramtext_json(const struct kernel *kernel, const char *path);

#endif
