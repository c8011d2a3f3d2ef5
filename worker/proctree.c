#include "worker/proctree.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "worker/procfile.h"
#include "worker/slog.h"

static struct proc_stat table[PROCTREE_MAX];
static size_t table_len;
static int32_t child_pids[PROCTREE_MAX];
static int children_fd = -1;
static bool children_tried;

/* Numbers in /proc/PID/stat, by proc(5)'s count. */
enum {
    FIELD_PPID = 4,
    FIELD_PGRP = 5,
    FIELD_SESSION = 6,
    FIELD_FLAGS = 9,
    FIELD_THREADS = 20,
    FIELD_START = 22,
    FIELD_ENV_START = 50,
    FIELD_ENV_END = 51,
    FIELDS
};
#define FLAG_KERNEL_THREAD 0x00200000u

/* Fields FIELD_PPID to `last`; they follow the name, which may itself hold spaces and brackets.
 * Returns the state, 0 for a text that is none. */
static char parse_fields(const char *text, int last, uint64_t field[FIELDS]) {
    const char *p = strrchr(text, ')');
    if (!p || p[1] != ' ' || p[2] == 0)
        return 0;
    char state = p[2];
    p += 3;
    for (int i = FIELD_PPID; i <= last; i++) {
        char *end;
        field[i] = strtoull(p, &end, 10); /* a negative one wraps, and is cast back */
        if (end == p)
            return 0;
        p = end;
    }
    return state;
}

static bool is_dead(char state, const uint64_t field[FIELDS]) {
    return state == 'X' || (state == 'Z' && field[FIELD_THREADS] <= 1);
}

static bool is_kernel(const uint64_t field[FIELDS]) {
    return field[FIELD_FLAGS] & FLAG_KERNEL_THREAD;
}

static bool parse_stat(const char *text, struct proc_stat *stat) {
    uint64_t field[FIELDS];
    char state = parse_fields(text, FIELD_START, field);
    if (!state)
        return false;
    stat->dead = is_dead(state, field);
    stat->stopped = state == 'T' || state == 't';
    stat->traced = state == 't';
    stat->kernel = is_kernel(field);
    stat->ppid = (int32_t)field[FIELD_PPID];
    stat->pgrp = (int32_t)field[FIELD_PGRP];
    stat->session = (int32_t)field[FIELD_SESSION];
    stat->start_ticks = field[FIELD_START];
    return true;
}

bool proctree_stat(int32_t pid, struct proc_stat *stat) {
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    if (procfile_read(AT_FDCWD, path, text, sizeof text) <= 0)
        return false;
    stat->pid = pid;
    return parse_stat(text, stat);
}

static int32_t parse_pid(const char *name) {
    int32_t pid = 0;
    for (; *name >= '0' && *name <= '9' && pid < 100000000; name++)
        pid = pid * 10 + (*name - '0');
    return *name ? 0 : pid;
}

size_t proctree_scan(const struct proc_stat **result) {
    /* opendir would allocate */
    static char entries[32768] __attribute__((aligned(16)));
    table_len = 0;
    *result = table;
    int fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        slog("cannot read /proc: %s", strerror(errno));
        return 0;
    }
    long n;
    while ((n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0) {
        for (long at = 0; at < n;) {
            const struct dirent64 *entry = (const void *)(entries + at);
            int32_t pid = parse_pid(entry->d_name);
            at += entry->d_reclen;
            if (pid > 0 && table_len < PROCTREE_MAX && proctree_stat(pid, &table[table_len]))
                table_len++;
        }
    }
    if (n < 0) {
        slog("cannot list /proc: %s", strerror(errno));
        table_len = 0;
    }
    close(fd);
    return table_len;
}

int proctree_index(int32_t pid) {
    size_t low = 0, high = table_len;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (table[middle].pid < pid)
            low = middle + 1;
        else
            high = middle;
    }
    return low < table_len && table[low].pid == pid ? (int)low : -1;
}

static int children_by_scan(void) {
    const struct proc_stat *all;
    size_t n = proctree_scan(&all);
    int count = 0;
    for (size_t i = 0; i < n; i++)
        if (all[i].ppid == getpid())
            child_pids[count++] = all[i].pid;
    return n ? count : -1;
}

int proctree_children(const int32_t **pids) {
    *pids = child_pids;
    if (!children_tried) {
        char path[64];
        snprintf(path, sizeof path, "/proc/%d/task/%d/children", getpid(), getpid());
        children_fd = open(path, O_RDONLY | O_CLOEXEC);
        children_tried = children_fd >= 0 || errno == ENOENT;
    }
    if (children_fd < 0)
        return children_by_scan(); /* a kernel without CONFIG_PROC_CHILDREN */
    char text[4097];
    int count = 0;
    int32_t pid = 0;
    off_t at = 0;
    ssize_t n;
    while ((n = pread(children_fd, text, sizeof text - 1, at)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
            } else if (pid && count < PROCTREE_MAX) {
                child_pids[count++] = pid;
                pid = 0;
            }
        }
        at += n;
        if (n < 3072)
            break; /* the kernel fills a page unless this is the end: saves the read of 0 bytes */
    }
    if (n < 0)
        return children_by_scan();
    return count;
}

/* Looks for prefix at the start of one of the NUL-terminated strings of buffer. */
static const char *find_entry(const char *buffer, size_t len, bool at_start, const char *prefix) {
    size_t plen = strlen(prefix);
    for (size_t i = 0; i + plen <= len;) {
        if (at_start && memcmp(buffer + i, prefix, plen) == 0)
            return buffer + i;
        const char *nul = memchr(buffer + i, 0, len - i);
        if (!nul)
            return NULL;
        i = (size_t)(nul - buffer) + 1;
        at_start = true;
    }
    return NULL;
}

/* Is the environment of which `bytes` could be read all there is? execve takes the old memory away
 * some time before the new one has an environment (env_end is 0 until then); under load, or with a
 * program that comes from a slow disk, that takes a while. */
static enum proctree_environ none_or_unknown(int32_t pid, size_t bytes) {
    char path[48], text[1024];
    uint64_t field[FIELDS];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    errno = 0;
    if (procfile_read(AT_FDCWD, path, text, sizeof text) <= 0)
        return errno == ENOENT || errno == ESRCH ? PROCTREE_ENVIRON_NONE : PROCTREE_ENVIRON_UNKNOWN;
    char state = parse_fields(text, FIELD_ENV_END, field);
    if (!state)
        return PROCTREE_ENVIRON_UNKNOWN;
    if (is_dead(state, field) || is_kernel(field))
        return PROCTREE_ENVIRON_NONE;
    bool whole = field[FIELD_ENV_END] && field[FIELD_ENV_END] - field[FIELD_ENV_START] == bytes;
    return whole ? PROCTREE_ENVIRON_NONE : PROCTREE_ENVIRON_UNKNOWN;
}

enum proctree_environ proctree_environ(int32_t pid, const char *prefix, char *entry, size_t size) {
    static char buffer[65536];
    char path[48];
    snprintf(path, sizeof path, "/proc/%d/environ", pid);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) /* ESRCH: gone, or without memory just now */
        return errno == EACCES || errno == EPERM ? PROCTREE_ENVIRON_NONE : none_or_unknown(pid, 0);
    size_t len = 0, bytes = 0;
    bool at_start = true;
    enum proctree_environ result = PROCTREE_ENVIRON_NONE;
    for (;;) {
        ssize_t n = read(fd, buffer + len, sizeof buffer - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            result = PROCTREE_ENVIRON_UNKNOWN;
        size_t total = len + (n > 0 ? (size_t)n : 0);
        bytes += total - len;
        const char *hit = find_entry(buffer, total, at_start, prefix);
        const char *end = hit ? memchr(hit, 0, total - (size_t)(hit - buffer)) : NULL;
        if (end) {
            result = PROCTREE_ENVIRON_TOO_LONG;
            if ((size_t)(end - hit) < size) {
                memcpy(entry, hit, (size_t)(end - hit) + 1);
                result = PROCTREE_ENVIRON_FOUND;
            }
        }
        if (end || n <= 0)
            break;
        /* Keep what may be the beginning of the string that is looked for: the last, unfinished
         * one. */
        const char *nul = memrchr(buffer, 0, total);
        size_t keep_from = nul ? (size_t)(nul - buffer) + 1 : 0;
        if (nul)
            at_start = true;
        len = total - keep_from;
        memmove(buffer, buffer + keep_from, len);
        if (len == sizeof buffer) { /* one string larger than the buffer: none of ours is */
            len = 0;
            at_start = false;
        }
    }
    close(fd);
    return result == PROCTREE_ENVIRON_NONE ? none_or_unknown(pid, bytes) : result;
}

int proctree_signal(const struct proc_stat *stat, int signal) {
    int fd = (int)syscall(SYS_pidfd_open, stat->pid, 0);
    if (fd < 0 && errno == ESRCH)
        return ESRCH;
    struct proc_stat now;
    int error = 0;
    if (!proctree_stat(stat->pid, &now) || now.start_ticks != stat->start_ticks) {
        error = ESRCH;
    } else {
        if (signal == SIGKILL && now.pgrp > 1 && now.pgrp != getpgrp() && now.session > 1 &&
            now.session != getsid(0))
            kill(-now.pgrp, SIGKILL);
        long rc = fd >= 0 ? syscall(SYS_pidfd_send_signal, fd, signal, NULL, 0)
                          : kill(stat->pid, signal); /* a kernel before 5.3 */
        error = rc < 0 ? errno : 0;
    }
    if (fd >= 0)
        close(fd);
    return error;
}
