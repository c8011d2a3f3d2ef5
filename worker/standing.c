#include "worker/standing.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"

enum { TEXT_MAX = 64 };

static const char *const words[] = {"", "stop", "return"};

static void path_of(struct buf *path, const char *state_dir, const char *suffix) {
    buf_addf(path, "%s/leaving%s", state_dir, suffix);
}

/* Written aside and renamed: whoever is killed here leaves the old order or the new. */
bool standing_keep(const char *state_dir, const char *incarnation, enum standing order) {
    struct buf path = BUF_INIT, aside = BUF_INIT, text = BUF_INIT;
    path_of(&path, state_dir, "");
    path_of(&aside, state_dir, ".new");
    buf_addf(&text, "%s %s\n", incarnation, words[order]);
    int fd = open(aside.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    bool ok = fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len;
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (ok) {
        ok = rename(aside.data, path.data) == 0;
        error = errno;
    }
    buf_free(&path);
    buf_free(&aside);
    buf_free(&text);
    errno = error;
    return ok;
}

enum standing standing_read(const char *state_dir, const char *incarnation) {
    struct buf path = BUF_INIT;
    char text[TEXT_MAX] = "", expected[TEXT_MAX];
    path_of(&path, state_dir, "");
    int fd = open(path.data, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    buf_free(&path);
    if (fd < 0)
        return STANDING_NONE;
    ssize_t n = read(fd, text, sizeof text - 1);
    text[n > 0 ? n : 0] = '\0';
    close(fd);
    for (int order = STANDING_STOP; order <= STANDING_RETURN; order++) {
        snprintf(expected, sizeof expected, "%s %s\n", incarnation, words[order]);
        if (strcmp(text, expected) == 0)
            return (enum standing)order;
    }
    return STANDING_NONE;
}

void standing_drop(const char *state_dir) {
    struct buf path = BUF_INIT;
    path_of(&path, state_dir, "");
    unlink(path.data);
    buf_free(&path);
}
