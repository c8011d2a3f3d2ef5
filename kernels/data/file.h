/*
 * file.h - inputs and outputs that are files.
 *
 * An output is written without a name (O_TMPFILE), or where the file system knows no such thing as
 * .NAME.part-1 beside its place, and gets its name when it is complete and on the disk:
 *
 *     outfile_open     the unnamed file
 *     outfile_map      its blocks are there: writing to the mapping cannot fail; or
 *     outfile_reserve  its blocks are there, for outfile_put
 *     outfile_store    the disk has it; where NAME is taken, .NAME.part-1 is a link to it
 *     outfile_publish  rename, or link where there was no NAME
 *
 * A process that dies before leaves nothing, but between store and publish, or without O_TMPFILE,
 * the .NAME.part-N. It is locked (flock) while its maker lives; the next outfile of that NAME
 * removes those that nobody holds.
 *
 * Errors are phrases that complete "NAME ...".
 */
#ifndef DISTCOMP_KERNEL_FILE_H
#define DISTCOMP_KERNEL_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/buf.h"
#include "kernels/data/region.h"

/* Maps a file; what is none (a pipe) is read to its end. */
bool infile_map(const char *path, struct region *region, struct buf *error);
/* Its first bytes, at most `most`, appended; *size is the file's, UINT64_MAX for what is none. */
bool infile_prefix(const char *path, size_t most, struct buf *bytes, uint64_t *size,
                   struct buf *error);

struct outfile {
    int dir, fd;       /* -1: not open */
    char *base;        /* its name in dir; owned */
    char *part;        /* the hidden name that it has there, or NULL; owned */
    struct region map; /* of outfile_map */
    dev_t dir_dev;     /* with base: which file it is, for outfile_same */
    ino_t dir_ino;
};
#define OUTFILE_NONE                                                                               \
    { .dir = -1, .fd = -1 }

/* path may be a link, which is followed; what is there must be a file. */
bool outfile_open(struct outfile *out, const char *path, struct buf *error);
bool outfile_same(const struct outfile *a, const struct outfile *b);
/* Makes it so long, zeroed. bytes > 0. Says so when the disk is too full. */
bool outfile_reserve(struct outfile *out, size_t bytes, struct buf *error);
/* The same, and maps it. */
bool outfile_map(struct outfile *out, size_t bytes, struct buf *error);
/* Bytes to a place `at` of what outfile_map or outfile_reserve made, all within it. Of a mapping no
 * page is touched. */
bool outfile_put(struct outfile *out, size_t at, const void *from, size_t len, struct buf *error);
/* Instead of those: its whole content, of any length. */
bool outfile_write(struct outfile *out, const void *bytes, size_t len, struct buf *error);
/* Whether its bytes are in memory anyway (tmpfs). */
bool outfile_is_memory(const struct outfile *out);
/* Starts to write what is in memory to the disk, without waiting. */
void outfile_flush(const struct outfile *out);
/* The same for some bytes of the mapping, which will not be needed soon. */
void outfile_release(const struct outfile *out, const void *bytes, size_t len);
bool outfile_store(struct outfile *out, struct buf *error);
bool outfile_publish(struct outfile *out, struct buf *error);
/* Also from OUTFILE_NONE; removes the hidden name. */
void outfile_free(struct outfile *out);

/* For tests: as on a file system without O_TMPFILE. */
extern bool outfile_always_named;

#endif
