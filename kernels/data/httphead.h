/*
 * httphead.h - what a download has to know of an answer's header, line by line as they come. Pure.
 */
#ifndef DISTCOMP_KERNEL_HTTPHEAD_H
#define DISTCOMP_KERNEL_HTTPHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define HTTPHEAD_TEXT                                                                              \
    256 /* bytes of a text that is kept, NUL included; longer ones are dropped                     \
         */
#define HTTPHEAD_UNKNOWN UINT64_MAX

struct httphead {
    unsigned status;               /* 0: none came */
    char reason[64];               /* "Not Found", printable; may be empty */
    uint64_t length;               /* Content-Length, or unknown */
    uint64_t range_from;           /* Content-Range, or unknown */
    uint64_t range_total;          /* the whole, or unknown */
    uint64_t retry_after_ms;       /* 0: not said, or as a date */
    char validator[HTTPHEAD_TEXT]; /* a strong ETag, else Last-Modified, else "": for If-Range */
};

void httphead_clear(struct httphead *head);
/* One line, with or without its CR LF. A status line begins a new answer: clears all before. */
void httphead_line(struct httphead *head, const char *line, size_t len);

#endif
