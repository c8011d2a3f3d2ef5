#include "kernels/data/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/units.h"

bool outfile_always_named;

#define PARTS_MAX 4u /* hidden names that are tried */

static bool failed(struct buf *error, const char *what) {
    buf_addf(error, "%s: %s", what, strerror(errno));
    return false;
}

/* --- inputs -------------------------------------------------------------------------------------
 */

static int open_input(const char *path, struct stat *status, struct buf *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0) {
        failed(error, "cannot be read");
        return -1;
    }
    if (fstat(fd, status) != 0)
        failed(error, "cannot be read");
    else if (S_ISDIR(status->st_mode))
        buf_adds(error, "is a directory; a file is expected");
    else
        return fd;
    close(fd);
    return -1;
}

/* Until the end, or intake->most. */
static bool read_all(int fd, struct intake *intake, struct buf *error) {
    char piece[1 << 16];
    if (!intake_start(intake, UINT64_MAX, error))
        return false;
    while (!intake_full(intake)) {
        ssize_t got = read(fd, piece, sizeof piece);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return failed(error, "cannot be read");
        if (got == 0)
            return true;
        if (!intake_add(intake, piece, (size_t)got, error))
            return false;
    }
    return true;
}

bool infile_map(const char *path, struct region *region, struct buf *error) {
    struct stat status;
    *region = (struct region)REGION_NONE;
    int fd = open_input(path, &status, error);
    if (fd < 0)
        return false;
    bool ok;
    if (S_ISREG(status.st_mode) && status.st_size > 0) { /* a file of /proc says 0 and has more */
        ok = region_map_input(region, fd, (size_t)status.st_size, error);
    } else {
        struct intake intake = {REGION_NONE, SIZE_MAX};
        ok = read_all(fd, &intake, error);
        *region = intake.region;
        if (ok)
            region_seal(region);
        else
            region_free(region);
    }
    close(fd);
    return ok;
}

bool infile_prefix(const char *path, size_t most, struct buf *bytes, uint64_t *size,
                   struct buf *error) {
    struct stat status;
    struct intake intake = {REGION_NONE, most};
    int fd = open_input(path, &status, error);
    if (fd < 0)
        return false;
    bool ok = S_ISREG(status.st_mode);
    if (!ok) /* reading would take away what the kernel is to read */
        buf_adds(error, "is no file: its shape cannot be known before it is read");
    *size = (uint64_t)status.st_size;
    ok = ok && read_all(fd, &intake, error);
    if (ok)
        buf_add(bytes, intake.region.bytes, intake.region.len);
    region_free(&intake.region);
    close(fd);
    return ok;
}

/* --- outputs: making one -----------------------------------------------------------------------
 */

/* A hidden name fits into NAME_MAX whatever the name. */
static char *part_name(const struct outfile *out, unsigned number) {
    struct buf name = BUF_INIT;
    buf_addf(&name, ".%.*s.part-%u", NAME_MAX - 16, out->base, number);
    return buf_detach(&name);
}

static bool is_linked(int fd) {
    struct stat status;
    return fstat(fd, &status) == 0 && status.st_nlink > 0;
}

/* Removes a hidden file that nobody holds any more. */
static void remove_stale(const struct outfile *out, const char *name) {
    int fd = openat(out->dir, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return;
    /* Who removes one has its lock: a linked one still has this name. */
    if (flock(fd, LOCK_EX | LOCK_NB) == 0 && is_linked(fd))
        unlinkat(out->dir, name, 0);
    close(fd);
}

static void remove_stale_parts(const struct outfile *out) {
    for (unsigned i = 1; i <= PARTS_MAX; i++) {
        char *name = part_name(out, i);
        remove_stale(out, name);
        free(name);
    }
}

/* Creates out->part and locks it. Somebody may take it for a stale one before it is locked. */
static bool open_named(struct outfile *out, struct buf *error) {
    errno = EEXIST;
    for (unsigned i = 1; i <= PARTS_MAX && errno == EEXIST; i++) {
        char *name = part_name(out, i);
        out->fd = openat(out->dir, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (out->fd >= 0) {
            flock(out->fd, LOCK_EX | LOCK_NB); /* where there are no locks, nothing is stale */
            if (is_linked(out->fd)) {
                out->part = name;
                return true;
            }
            close(out->fd);
            out->fd = -1;
            errno = EEXIST;
        }
        free(name);
    }
    return failed(error, "cannot be written");
}

/* False: not here, and out->fd is -1. */
static bool open_unnamed(struct outfile *out) {
    if (outfile_always_named || access("/proc/self/fd", X_OK) != 0)
        return false;
    out->fd = openat(out->dir, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0666);
    if (out->fd < 0)
        return false;
    flock(out->fd, LOCK_EX | LOCK_NB);
    return true;
}

/* What is at path already must be a file; a link is followed. */
static bool check_place(const char *path, char **real, struct buf *error) {
    struct stat status;
    if (lstat(path, &status) == 0 && S_ISLNK(status.st_mode))
        *real = realpath(path, NULL); /* NULL: it leads nowhere, and is replaced */
    if (stat(path, &status) != 0 || S_ISREG(status.st_mode))
        return true;
    buf_addf(error, "cannot be written: %s is there, and no file",
             S_ISDIR(status.st_mode) ? "a directory" : "something");
    return false;
}

static bool open_dir(struct outfile *out, const char *path, struct buf *error) {
    const char *slash = strrchr(path, '/');
    struct stat status;
    out->base = xstrdup(slash ? slash + 1 : path);
    if (!*out->base) {
        buf_adds(error, "cannot be written: it names no file");
        return false;
    }
    char *dir = slash ? xstrndup(path, (size_t)(slash - path) + 1) : xstrdup(".");
    out->dir = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(dir);
    if (out->dir < 0 || fstat(out->dir, &status) != 0)
        return failed(error, "cannot be written: its directory");
    out->dir_dev = status.st_dev;
    out->dir_ino = status.st_ino;
    return true;
}

bool outfile_open(struct outfile *out, const char *path, struct buf *error) {
    char *real = NULL;
    *out = (struct outfile)OUTFILE_NONE;
    bool ok = check_place(path, &real, error) && open_dir(out, real ? real : path, error);
    free(real);
    if (ok) {
        remove_stale_parts(out);
        ok = open_unnamed(out) || open_named(out, error);
    }
    if (!ok)
        outfile_free(out);
    return ok;
}

bool outfile_same(const struct outfile *a, const struct outfile *b) {
    return a->dir_dev == b->dir_dev && a->dir_ino == b->dir_ino && strcmp(a->base, b->base) == 0;
}

/* --- outputs: filling it -----------------------------------------------------------------------
 */

/* errno after writing or allocating, in words. */
static bool no_room(const struct outfile *out, uint64_t bytes, struct buf *error) {
    int reason = errno;
    struct statvfs space;
    if (reason == ENOSPC || reason == EDQUOT) {
        buf_addf(error, "cannot be written: %s: ", strerror(reason));
        units_add_bytes(error, bytes);
        buf_adds(error, " are needed");
        if (reason == ENOSPC && fstatvfs(out->fd, &space) == 0) {
            buf_adds(error, ", ");
            units_add_bytes(error, (uint64_t)space.f_bavail * space.f_frsize);
            buf_adds(error, " are free");
        }
        return false;
    }
    return failed(error, "cannot be written");
}

/* What can be known before anything is taken. Writing beyond RLIMIT_FSIZE would be SIGXFSZ. */
static bool check_room(const struct outfile *out, uint64_t bytes, struct buf *error) {
    struct rlimit limit;
    struct statvfs space;
    if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur != RLIM_INFINITY &&
        bytes > limit.rlim_cur) {
        buf_adds(error, "cannot be written: ");
        units_add_bytes(error, bytes);
        buf_adds(error, " are more than the limit of file sizes, ");
        units_add_bytes(error, limit.rlim_cur);
        return false;
    }
    if (fstatvfs(out->fd, &space) == 0 && space.f_blocks > 0 && space.f_frsize > 0 &&
        bytes / space.f_frsize > space.f_bavail) {
        errno = ENOSPC;
        return no_room(out, bytes, error);
    }
    return true;
}

bool outfile_reserve(struct outfile *out, size_t bytes, struct buf *error) {
    if (bytes > PTRDIFF_MAX) {
        errno = EFBIG;
        return no_room(out, bytes, error);
    }
    if (!check_room(out, bytes, error))
        return false;
    /* Blocks that are not there yet when the mapping is written to could turn out to be too many.
     */
    do
        errno = posix_fallocate(out->fd, 0, (off_t)bytes);
    while (errno == EINTR);
    return errno == 0 || no_room(out, bytes, error);
}

bool outfile_map(struct outfile *out, size_t bytes, struct buf *error) {
    return outfile_reserve(out, bytes, error) &&
           region_map_output(&out->map, out->fd, bytes, error);
}

/* A write gets pages of its own size from the system's cache where it can. Large ones are what a
 * virtual machine's host has taken back and must give again (free page reporting): there writes of
 * some MiB always took 0.5 s for 128 MiB, those of 16 KiB 0.09 where others had just given up
 * their pages, and as long where not. */
#define WRITE_MOST ((size_t)16 << 10)

/* False: errno; *len is what is left. */
static bool put(const struct outfile *out, const char *bytes, size_t *len, off_t at) {
    while (*len > 0) {
        size_t most = WRITE_MOST - (size_t)at % WRITE_MOST; /* whole pages but for the first */
        ssize_t count = pwrite(out->fd, bytes, *len < most ? *len : most, at);
        if (count < 0 && errno == EINTR)
            continue;
        if (count < 0)
            return false;
        bytes += count;
        at += count;
        *len -= (size_t)count;
    }
    return true;
}

bool outfile_write(struct outfile *out, const void *bytes, size_t len, struct buf *error) {
    size_t left = len;
    return check_room(out, len, error) && (put(out, bytes, &left, 0) || no_room(out, len, error));
}

bool outfile_put(struct outfile *out, size_t at, const void *from, size_t len, struct buf *error) {
    size_t left = len;
    if (put(out, from, &left, (off_t)at))
        return true;
    if (errno != EFAULT || !out->map.bytes)
        return no_room(out, len, error);
    /* An input that somebody shortened: it ends as it does elsewhere (SIGBUS). */
    memcpy(out->map.bytes + at + (len - left), (const char *)from + (len - left), left);
    return true;
}

bool outfile_is_memory(const struct outfile *out) {
    struct statfs system;
    return fstatfs(out->fd, &system) == 0 &&
           (system.f_type == TMPFS_MAGIC || system.f_type == RAMFS_MAGIC);
}

/* --- outputs: its name -------------------------------------------------------------------------
 */

/* Gives the unnamed file a name in its directory, which must not be taken. */
static bool give_name(const struct outfile *out, const char *name) {
    char self[32];
    snprintf(self, sizeof self, "/proc/self/fd/%d", out->fd);
    return linkat(AT_FDCWD, self, out->dir, name, AT_SYMLINK_FOLLOW) == 0;
}

static bool give_hidden_name(struct outfile *out) {
    errno = EEXIST;
    for (unsigned i = 1; i <= PARTS_MAX && errno == EEXIST; i++) {
        char *name = part_name(out, i);
        if (give_name(out, name)) {
            out->part = name;
            return true;
        }
        free(name);
    }
    return false;
}

void outfile_flush(const struct outfile *out) {
    sync_file_range(out->fd, 0, 0, SYNC_FILE_RANGE_WRITE); /* a hint */
}

void outfile_release(const struct outfile *out, const void *bytes, size_t len) {
    off_t from = (const char *)bytes - out->map.bytes;
    region_release(&out->map, bytes, len); /* first: what the page tables know to be written */
    sync_file_range(out->fd, from, (off_t)len, SYNC_FILE_RANGE_WRITE); /* a hint */
}

bool outfile_store(struct outfile *out, struct buf *error) {
    struct stat status;
    /* A name whose content the disk never got would be a file full of zeros after a power cut. */
    while (fdatasync(out->fd) != 0)
        if (errno != EINTR)
            return no_room(out, fstat(out->fd, &status) == 0 ? (uint64_t)status.st_size : 0, error);
    if (!out->part && fstatat(out->dir, out->base, &status, AT_SYMLINK_NOFOLLOW) == 0 &&
        !give_hidden_name(out))
        return failed(error, "cannot be written");
    return true;
}

bool outfile_publish(struct outfile *out, struct buf *error) {
    if (!out->part) {
        if (give_name(out, out->base))
            return true;
        if (errno != EEXIST || !give_hidden_name(out))
            return failed(error, "cannot get its name");
    }
    if (renameat(out->dir, out->part, out->dir, out->base) != 0)
        return failed(error, "cannot get its name");
    free(out->part);
    out->part = NULL;
    return true;
}

void outfile_free(struct outfile *out) {
    if (out->part)
        unlinkat(out->dir, out->part, 0);
    region_free(&out->map);
    if (out->fd >= 0)
        close(out->fd);
    if (out->dir >= 0)
        close(out->dir);
    free(out->base);
    free(out->part);
    *out = (struct outfile)OUTFILE_NONE;
}
