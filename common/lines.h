/*
 * lines.h - reads a file of lines in large blocks, without copying; twice if need be.
 *
 * Only taskfile.c and tests need it.
 */
#ifndef DISTCOMP_LINES_H
#define DISTCOMP_LINES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

enum lines_result { LINES_LINE, LINES_END, LINES_TOO_LONG, LINES_FAILED };

struct lines {
    int fd;
    uint64_t base, size; /* where the lines begin in the file, and how many bytes there were */
    uint64_t offset;     /* of the next block, from base */
    char *block;
    size_t cap, at, len; /* at: the next line within the block's len bytes */
    size_t line_max;     /* set after lines_open; the default is 1 MiB */
    uint64_t number;     /* of the line returned last, from 1 */
    bool at_end;         /* nothing is left behind the block */
};

/*
 * Opens a path or "-". What cannot be read twice is copied to an unlinked file in $TMPDIR. On
 * failure returns false and appends why to error.
 */
bool lines_open(struct lines *l, const char *path, struct buf *error);
void lines_close(struct lines *l);
void lines_rewind(struct lines *l);

/*
 * The next line without its LF or CRLF, within the block until the next call. TOO_LONG: a line of
 * more than line_max bytes was skipped. FAILED: errno says why.
 */
enum lines_result lines_next(struct lines *l, const char **line, size_t *len);
uint64_t lines_bytes(const struct lines *l); /* read so far */

#endif
