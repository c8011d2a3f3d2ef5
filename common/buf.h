/*
 * buf.h - a growable byte buffer, always NUL-terminated, and memory that cannot fail.
 *
 * Out of memory prints a message and aborts: see xalloc below. The supervisor uses none of this
 * after it has started (it allocates up front).
 *
 *     struct buf b = BUF_INIT;
 *     buf_addf(&b, "%d tasks", n);
 *     puts(b.data);
 *     buf_free(&b);
 *
 * b.data is never NULL: an empty buffer points to a shared "". Bytes may be NUL; len counts them.
 */
#ifndef DISTCOMP_BUF_H
#define DISTCOMP_BUF_H

#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

struct buf {
    char *data; /* owned by the buffer, valid until the next call that adds to it */
    size_t len;
    size_t cap; /* bytes allocated, 0 for the shared empty string */
};

extern char buf_empty[];
#define BUF_INIT                                                                                   \
    { buf_empty, 0, 0 }

void buf_free(struct buf *b);  /* b is usable again, empty */
void buf_clear(struct buf *b); /* len = 0, keeps the memory */
void buf_reserve(struct buf *b, size_t extra);
void buf_add(struct buf *b, const void *bytes, size_t len);
void buf_adds(struct buf *b, const char *s);
void buf_addc(struct buf *b, char c);
void buf_addf(struct buf *b, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void buf_addvf(struct buf *b, const char *fmt, va_list args) __attribute__((format(printf, 2, 0)));
/* Big-endian integers, as Redis' struct.pack('>...') writes them; size 1 to 8 bytes. */
void buf_add_be(struct buf *b, uint64_t value, size_t size);
char *buf_detach(struct buf *b); /* gives the memory (malloc) to the caller; b is empty again */

/*
 * Reading big-endian records: a cursor that remembers failure, so that a decoder checks once at its
 * end.
 */
struct cursor {
    const unsigned char *at, *end;
    int failed; /* 1 after the first read past the end; further reads give 0 */
};
struct cursor cursor_make(const void *bytes, size_t len);
uint64_t cursor_be(struct cursor *c, size_t size);
const char *cursor_bytes(struct cursor *c, size_t len); /* NULL when failed */
size_t cursor_left(const struct cursor *c);

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *p, size_t size);
char *xstrdup(const char *s);
char *xstrndup(const char *s, size_t len);

#endif
