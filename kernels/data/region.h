/*
 * region.h - memory that inputs and outputs lie in: a file that is mapped, or pages of its own.
 * Functions that can fail return false with the system's reason as a phrase in error.
 */
#ifndef DISTCOMP_KERNEL_REGION_H
#define DISTCOMP_KERNEL_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

struct region {
    char *bytes; /* the content; within the mapping; NULL: there is none */
    size_t len;
    void *base; /* the mapping */
    size_t mapped;
    bool in_file; /* its content is a file's: what is written, others see */
};
#define REGION_NONE                                                                                \
    { NULL, 0, NULL, 0, false }

/* The first len bytes of a file, to be read, followed by a NUL. len may be 0. The descriptor may be
 * closed. When somebody shortens the file later, what lies behind its end is SIGBUS. */
bool region_map_input(struct region *region, int fd, size_t len, struct buf *error);
/* The first len bytes of a file that has them, to be written. len > 0. */
bool region_map_output(struct region *region, int fd, size_t len, struct buf *error);

/* len bytes, zeroed, followed by a NUL. */
bool region_make(struct region *region, size_t len, struct buf *error);
/* Makes room for more bytes behind those of region->len, which stay; the bytes may move. The new
 * ones are zero, and so is one more. Only for a region of region_make or REGION_NONE. */
bool region_reserve(struct region *region, size_t extra, struct buf *error);
/* From now on the region may only be read. */
void region_seal(struct region *region);

/* Bytes within the region that will not be needed soon: those of a file stop to count as this
 * process's memory, whole pages of them. Other memory stays as it is. */
void region_release(const struct region *region, const void *bytes, size_t len);

void region_free(struct region *region);

/*
 * What arrives piece by piece from a pipe, Redis or a server, and may start anew.
 */
struct intake {
    struct region region;
    size_t most; /* of the bytes are wanted; SIZE_MAX: all */
};
/* All that came is forgotten; `bytes` are expected, UINT64_MAX: not known. */
bool intake_start(struct intake *intake, uint64_t bytes, struct buf *error);
/* Bytes beyond `most` are dropped. */
bool intake_add(struct intake *intake, const void *bytes, size_t len, struct buf *error);
bool intake_full(const struct intake *intake); /* it has all that is wanted of it */

#endif
