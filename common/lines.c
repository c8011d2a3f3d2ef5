#include "common/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define BLOCK_BYTES      262144u
#define DEFAULT_LINE_MAX 1048576u

static bool complain(struct buf *error, const char *doing) {
    buf_addf(error, "%s%s", doing, strerror(errno));
    return false;
}

static bool write_all(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        bytes += n;
        len -= (size_t)n;
    }
    return true;
}

static int open_spool(struct buf *error) {
    const char *dir = getenv("TMPDIR");
    struct buf path = BUF_INIT;
    buf_addf(&path, "%s/distcomp-spool-XXXXXX", dir && *dir ? dir : "/tmp");
    int fd = mkostemp(path.data, O_CLOEXEC);
    if (fd >= 0)
        unlink(path.data);
    else
        buf_addf(error, "cannot make a temporary file %s: %s (set TMPDIR)", path.data,
                 strerror(errno));
    buf_free(&path);
    return fd;
}

/* Replaces l->fd by a copy of all that can be read from it. */
static bool spool(struct lines *l, struct buf *error) {
    int copy = open_spool(error);
    if (copy < 0)
        return false;
    for (;;) {
        ssize_t n = read(l->fd, l->block, l->cap);
        if (n < 0 && errno == EINTR)
            continue;
        if (n == 0)
            break;
        if (n < 0 || !write_all(copy, l->block, (size_t)n)) {
            complain(error, n < 0 ? "" : "cannot write a temporary file (set TMPDIR): ");
            close(copy);
            return false;
        }
        l->size += (uint64_t)n;
    }
    close(l->fd);
    l->fd = copy;
    return true;
}

bool lines_open(struct lines *l, const char *path, struct buf *error) {
    *l = (struct lines){.line_max = DEFAULT_LINE_MAX};
    l->fd = strcmp(path, "-") == 0 ? fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3)
                                   : open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (l->fd < 0)
        return complain(error, "");
    l->cap = BLOCK_BYTES;
    l->block = xmalloc(l->cap);
    struct stat st;
    bool good = fstat(l->fd, &st) == 0 || complain(error, "");
    if (good && S_ISREG(st.st_mode)) {
        off_t base = lseek(l->fd, 0, SEEK_CUR); /* standard input may be half read */
        l->base = base > 0 ? (uint64_t)base : 0;
        l->size = (uint64_t)st.st_size > l->base ? (uint64_t)st.st_size - l->base : 0;
    } else if (good) {
        good = spool(l, error);
    }
    if (!good)
        lines_close(l);
    return good;
}

void lines_close(struct lines *l) {
    if (l->fd >= 0)
        close(l->fd);
    free(l->block);
    *l = (struct lines){.fd = -1};
}

void lines_rewind(struct lines *l) {
    l->offset = 0;
    l->at = l->len = 0;
    l->number = 0;
    l->at_end = false;
}

uint64_t lines_bytes(const struct lines *l) {
    return l->offset - (l->len - l->at);
}

/* Moves the unread bytes to the front and reads more behind them; false after a read error. */
static bool fill(struct lines *l) {
    memmove(l->block, l->block + l->at, l->len - l->at);
    l->len -= l->at;
    l->at = 0;
    if (l->len == l->cap) {
        l->cap *= 2;
        l->block = xrealloc(l->block, l->cap);
    }
    ssize_t n;
    do
        n = pread(l->fd, l->block + l->len, l->cap - l->len, (off_t)(l->base + l->offset));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return false;
    l->at_end = n == 0;
    l->len += (size_t)n;
    l->offset += (uint64_t)n;
    return true;
}

/* Drops the rest of a line that is too long. */
static enum lines_result skip(struct lines *l) {
    for (;;) {
        const char *newline = memchr(l->block + l->at, '\n', l->len - l->at);
        l->at = newline ? (size_t)(newline - l->block) + 1 : l->len;
        if (newline || l->at_end)
            return LINES_TOO_LONG;
        if (!fill(l))
            return LINES_FAILED;
    }
}

enum lines_result lines_next(struct lines *l, const char **line, size_t *len) {
    const char *newline;
    size_t searched = 0;
    while (!(newline = memchr(l->block + l->at + searched, '\n', l->len - l->at - searched))) {
        searched = l->len - l->at;
        if (l->at_end)
            break;
        if (searched > l->line_max + 1) {
            l->number++;
            return skip(l);
        }
        if (!fill(l))
            return LINES_FAILED;
    }
    if (!newline && l->at == l->len)
        return LINES_END;
    l->number++;
    *line = l->block + l->at;
    size_t all = newline ? (size_t)(newline - *line) : l->len - l->at;
    l->at += all + (newline ? 1 : 0);
    *len = all && (*line)[all - 1] == '\r' ? all - 1 : all;
    return *len > l->line_max ? LINES_TOO_LONG : LINES_LINE;
}
