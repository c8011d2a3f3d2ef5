#include "worker/capture.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/slog.h"
#include "worker/slot.h"
#include "worker/ustime.h"

static_assert(SLOT_MAX <= WIRE_FILES_HOST,
              "files of slots and hosts are told apart by their number");

#define PAGE           4096u
#define LOOK_US        (250 * US_PER_MS)
#define LOOK_FAST_US   (25 * US_PER_MS)
#define YOUNG_US       (200 * US_PER_MS) /* younger tries are not looked at */
#define CAPTURE_FILES  (WIRE_FILES_HOST + SLOT_MAX)
#define KEEP_FOR_REUSE 65536u /* a larger file gives its blocks back at ACK */

static int out_dir = -1;
static uint64_t max_bytes;
static int64_t next_look_us = INT64_MAX;
/* What the last try left in the file; lives through FREE, unlike struct slot. */
static uint64_t left_bytes[CAPTURE_FILES][2];
/* The file that the last process has open is not the one of that name any more. */
static bool replaced[CAPTURE_FILES][2];

enum { OPEN_FLAGS = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW };

static bool is_ours(const char *name) {
    name += name[0] == 'h';
    size_t digits = strspn(name, "0123456789");
    return digits > 0 && digits <= 4 &&
           (strcmp(name + digits, ".out") == 0 || strcmp(name + digits, ".err") == 0);
}

void capture_init(int dir_fd, uint64_t output_max) {
    static char entries[32768] __attribute__((aligned(16)));
    out_dir = dir_fd;
    max_bytes = output_max < 2 * PAGE ? 2 * PAGE : output_max;
    long n;
    while ((n = syscall(SYS_getdents64, dir_fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < n;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            at += entry->d_reclen;
            if (is_ours(entry->d_name))
                unlinkat(dir_fd, entry->d_name, 0);
        }
    }
}

int capture_dir(void) {
    return out_dir;
}

void capture_name(uint32_t files, int stream, char name[CAPTURE_NAME_MAX]) {
    bool host = files >= WIRE_FILES_HOST;
    snprintf(name, CAPTURE_NAME_MAX, "%s%u.%s", host ? "h" : "",
             host ? files - WIRE_FILES_HOST : files, stream ? "err" : "out");
}

int capture_open_flags(uint32_t files, int stream) {
    return left_bytes[files][stream] ? O_TRUNC : 0;
}

void capture_started(uint32_t files) {
    left_bytes[files][0] = left_bytes[files][1] = 0;
    replaced[files][0] = replaced[files][1] = false;
    if (next_look_us == INT64_MAX)
        next_look_us = ustime_mono() + LOOK_US;
}

static void remove_file(uint32_t files, int stream) {
    char name[CAPTURE_NAME_MAX];
    capture_name(files, stream, name);
    if (unlinkat(out_dir, name, 0) == 0 || errno == ENOENT) {
        left_bytes[files][stream] = 0;
        replaced[files][stream] = true;
    }
}

void capture_acknowledged(uint32_t slot, uint32_t flags) {
    const uint32_t taken[2] = {WIRE_ACK_OUT_TAKEN, WIRE_ACK_ERR_TAKEN};
    uint32_t files = slot_table[slot].files;
    for (int stream = 0; stream < 2; stream++) {
        if (flags & taken[stream]) {
            left_bytes[files][stream] = 0; /* the next open makes a new one */
            replaced[files][stream] = true;
        } else if (left_bytes[files][stream] > KEEP_FOR_REUSE || slot_table[slot].replace_files) {
            remove_file(files, stream);
        }
    }
}

void capture_renew(uint32_t files) {
    for (int stream = 0; stream < 2; stream++)
        remove_file(files, stream);
}

int capture_open(uint32_t files, int stream) {
    char name[CAPTURE_NAME_MAX];
    capture_name(files, stream, name);
    return openat(out_dir, name, OPEN_FLAGS | capture_open_flags(files, stream), 0600);
}

bool capture_reuse(uint32_t files) {
    for (int stream = 0; stream < 2; stream++) {
        char name[CAPTURE_NAME_MAX];
        if (replaced[files][stream])
            return false;
        if (!left_bytes[files][stream])
            continue;
        capture_name(files, stream, name);
        int fd = openat(out_dir, name, O_WRONLY | O_TRUNC | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
            return false;
        close(fd);
    }
    return true;
}

void capture_remark(uint32_t files, const char *line) {
    int fd = capture_open(files, 1);
    if (fd < 0)
        return;
    ssize_t written = write(fd, line, strlen(line)); /* a full disk: so be it */
    (void)written;
    close(fd);
}

static void drop(const char *name, uint64_t from, uint64_t len) {
    int fd = openat(out_dir, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd < 0)
        return; /* the task removed it */
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)from, (off_t)len) != 0 &&
        (errno == EOPNOTSUPP || errno == ENOSYS) && ftruncate(fd, (off_t)from) != 0)
        slog("cannot cut %s: %s", name, strerror(errno));
    close(fd);
}

/* Returns true when the stream grows fast enough to be looked at again soon. */
static bool bound_stream(uint32_t slot, int stream) {
    struct slot *s = &slot_table[slot];
    char name[CAPTURE_NAME_MAX];
    struct stat st;
    capture_name(s->files, stream, name);
    if (fstatat(out_dir, name, &st, AT_SYMLINK_NOFOLLOW) != 0 || !S_ISREG(st.st_mode))
        return false;
    uint64_t size = (uint64_t)st.st_size, last = s->last_size[stream];
    s->last_size[stream] = size;
    uint64_t half = max_bytes / 2 / PAGE * PAGE;
    if (size < s->punched[stream])
        s->punched[stream] = 0; /* somebody truncated it */
    if (size > max_bytes) {
        uint64_t from = s->punched[stream] > half ? s->punched[stream] : half;
        uint64_t to = (size - half) / PAGE * PAGE;
        if (to > from) {
            drop(name, from, to - from);
            s->punched[stream] = to;
        }
    }
    return size > last && size - last > max_bytes / 8;
}

void capture_sizes(uint32_t slot, uint64_t *out_bytes, uint64_t *err_bytes) {
    uint32_t files = slot_table[slot].files;
    for (int stream = 0; stream < 2; stream++) {
        char name[CAPTURE_NAME_MAX];
        struct stat st;
        capture_name(files, stream, name);
        bool there = fstatat(out_dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
        uint64_t size = there ? (uint64_t)st.st_size : 0;
        replaced[files][stream] = !there;
        *(stream ? err_bytes : out_bytes) = size;
        left_bytes[files][stream] = size;
        if (size > max_bytes)
            bound_stream(slot, stream);
    }
}

int64_t capture_deadline(void) {
    return next_look_us;
}

void capture_timer(int64_t now_us) {
    if (now_us < next_look_us)
        return;
    bool fast = false;
    for (uint32_t i = 0; i < slot_high; i++) {
        if (slot_table[i].state != SLOT_RUNNING || now_us - slot_table[i].start_us < YOUNG_US)
            continue;
        fast |= bound_stream(i, 0);
        fast |= bound_stream(i, 1);
    }
    next_look_us = slot_running == 0 ? INT64_MAX : now_us + (fast ? LOOK_FAST_US : LOOK_US);
}
