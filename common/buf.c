#include "common/buf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char buf_empty[] = "";

static void out_of_memory(size_t size) __attribute__((noreturn));

static void out_of_memory(size_t size) {
    fprintf(stderr, "distcomp: out of memory (%zu bytes asked for)\n", size);
    abort();
}

void *xmalloc(size_t size) {
    void *p = malloc(size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *xcalloc(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size ? size : 1);
    if (!p)
        out_of_memory(size);
    return p;
}

void *xrealloc(void *p, size_t size) {
    void *q = realloc(p, size ? size : 1);
    if (!q)
        out_of_memory(size);
    return q;
}

char *xstrndup(const char *s, size_t len) {
    char *copy = xmalloc(len + 1);
    memcpy(copy, s, len);
    copy[len] = '\0';
    return copy;
}

char *xstrdup(const char *s) {
    return xstrndup(s, strlen(s));
}

void buf_free(struct buf *b) {
    if (b->cap)
        free(b->data);
    *b = (struct buf)BUF_INIT;
}

void buf_clear(struct buf *b) {
    b->len = 0;
    if (b->cap)
        b->data[0] = '\0';
}

void buf_reserve(struct buf *b, size_t extra) {
    size_t need;
    if (__builtin_add_overflow(b->len, extra, &need) || need > SIZE_MAX / 2 - 1)
        out_of_memory(SIZE_MAX);
    if (need + 1 <= b->cap)
        return;
    size_t cap = b->cap < 64 ? 64 : b->cap + b->cap / 2;
    if (cap < need + 1)
        cap = need + 1;
    b->data = xrealloc(b->cap ? b->data : NULL, cap);
    b->cap = cap;
    b->data[b->len] = '\0';
}

void buf_add(struct buf *b, const void *bytes, size_t len) {
    if (!len)
        return;
    buf_reserve(b, len);
    memcpy(b->data + b->len, bytes, len);
    b->len += len;
    b->data[b->len] = '\0';
}

void buf_adds(struct buf *b, const char *s) {
    buf_add(b, s, strlen(s));
}

void buf_addc(struct buf *b, char c) {
    buf_add(b, &c, 1);
}

void buf_addvf(struct buf *b, const char *fmt, va_list args) {
    va_list again;
    va_copy(again, args);
    size_t room = b->cap > b->len ? b->cap - b->len : 0;
    int len = vsnprintf(room ? b->data + b->len : NULL, room, fmt, args);
    if (len < 0) { /* only a broken format or an over-long field: a bug of ours */
        fprintf(stderr, "distcomp: cannot format \"%s\"\n", fmt);
        abort();
    }
    if ((size_t)len >= room) {
        buf_reserve(b, (size_t)len);
        vsnprintf(b->data + b->len, (size_t)len + 1, fmt, again);
    }
    va_end(again);
    b->len += (size_t)len;
}

void buf_addf(struct buf *b, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    buf_addvf(b, fmt, args);
    va_end(args);
}

void buf_add_be(struct buf *b, uint64_t value, size_t size) {
    unsigned char bytes[8];
    for (size_t i = size; i-- > 0; value >>= 8)
        bytes[i] = (unsigned char)(value & 0xff);
    buf_add(b, bytes, size);
}

char *buf_detach(struct buf *b) {
    char *data = b->cap ? b->data : xstrdup("");
    *b = (struct buf)BUF_INIT;
    return data;
}

struct cursor cursor_make(const void *bytes, size_t len) {
    const unsigned char *at = bytes ? bytes : (const void *)buf_empty;
    return (struct cursor){at, at + len, 0};
}

size_t cursor_left(const struct cursor *c) {
    return (size_t)(c->end - c->at);
}

const char *cursor_bytes(struct cursor *c, size_t len) {
    if (c->failed || len > cursor_left(c)) {
        c->failed = 1;
        return NULL;
    }
    const char *bytes = (const char *)c->at;
    c->at += len;
    return bytes;
}

uint64_t cursor_be(struct cursor *c, size_t size) {
    const char *bytes = cursor_bytes(c, size);
    uint64_t value = 0;
    for (size_t i = 0; bytes && i < size; i++)
        value = value << 8 | (unsigned char)bytes[i];
    return value;
}
