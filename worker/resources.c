#include "worker/resources.h"

#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 4096 };

/* Reads a small file whole; returns its length, 0 when it cannot be read. */
static size_t read_file(const char *path, char *text, size_t size) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    ssize_t n = read(fd, text, size - 1);
    close(fd);
    text[n > 0 ? n : 0] = '\0';
    return n > 0 ? (size_t)n : 0;
}

/* A file that holds one number; UINT64_MAX when there is none ("max", absent). */
static uint64_t read_number(const char *directory, const char *name) {
    char path[PATH_SIZE + 64], text[64];
    snprintf(path, sizeof path, "%s/%s", directory, name);
    if (!read_file(path, text, sizeof text) || text[0] < '0' || text[0] > '9')
        return UINT64_MAX;
    return strtoull(text, NULL, 10);
}

/* The number after a key in text of lines `key value`; `absent` when there is none. */
static uint64_t field(const char *text, const char *key, uint64_t absent) {
    size_t len = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) == 0)
            return strtoull(line + len, NULL, 10);
    }
    return absent;
}

/* Page cache that the kernel gives up before it kills: not "used" for our purposes. */
static uint64_t reclaimable(const char *directory, const char *key) {
    char path[PATH_SIZE + 64], text[8192];
    snprintf(path, sizeof path, "%s/memory.stat", directory);
    return read_file(path, text, sizeof text) ? field(text, key, 0) : 0;
}

/* Takes one memory cgroup's limit into account. */
static void apply_memory_limit(struct resources *r, const char *directory, bool v2) {
    uint64_t limit = read_number(directory, v2 ? "memory.max" : "memory.limit_in_bytes");
    if (limit >= r->mem_total_bytes && limit >= (UINT64_C(1) << 60))
        return;
    uint64_t used = read_number(directory, v2 ? "memory.current" : "memory.usage_in_bytes");
    uint64_t cache = reclaimable(directory, v2 ? "inactive_file " : "total_inactive_file ");
    used = used == UINT64_MAX ? 0 : used - (cache < used ? cache : used);
    uint64_t left = limit > used ? limit - used : 0;
    if (limit < r->mem_total_bytes)
        r->mem_total_bytes = limit;
    if (left < r->mem_available_bytes)
        r->mem_available_bytes = left;
}

static void apply_cpu_quota(struct resources *r, const char *directory, bool v2) {
    uint64_t quota = UINT64_MAX, period = 100000;
    if (v2) {
        char path[PATH_SIZE + 64], text[64];
        snprintf(path, sizeof path, "%s/cpu.max", directory);
        if (read_file(path, text, sizeof text) && text[0] != 'm') {
            char *end;
            quota = strtoull(text, &end, 10);
            period = strtoull(end, NULL, 10);
        }
    } else {
        quota = read_number(directory, "cpu.cfs_quota_us"); /* -1: none */
        period = read_number(directory, "cpu.cfs_period_us");
    }
    if (quota == UINT64_MAX || period == 0 || period == UINT64_MAX)
        return;
    uint64_t mcpu = quota * 1000 / period;
    if (mcpu < r->mcpu)
        r->mcpu = mcpu ? (uint32_t)mcpu : 1;
}

typedef void apply_limit(struct resources *r, const char *directory, bool v2);

/* Applies the limit of a cgroup and of all above it. */
static void walk_up(struct resources *r, const char *mount, const char *path, bool v2,
                    apply_limit *apply) {
    char directory[PATH_SIZE];
    snprintf(directory, sizeof directory, "%s%s", mount, path);
    size_t least = strlen(mount);
    for (;;) {
        apply(r, directory, v2);
        char *slash = strrchr(directory, '/');
        if (!slash || (size_t)(slash - directory) < least)
            return;
        *slash = '\0';
    }
}

static bool has_controller(const char *list, size_t len, const char *name) {
    size_t n = strlen(name);
    for (size_t i = 0; i + n <= len; i++)
        if (strncmp(list + i, name, n) == 0 && (i == 0 || list[i - 1] == ',') &&
            (i + n == len || list[i + n] == ','))
            return true;
    return false;
}

/* One line of /proc/self/cgroup: ID:CONTROLLERS:PATH. */
static void apply_line(struct resources *r, const char *root, char *line, bool memory_only) {
    char mount[PATH_SIZE];
    char *controllers = strchr(line, ':'),
         *path = controllers ? strchr(controllers + 1, ':') : NULL;
    if (!path)
        return;
    controllers++;
    size_t len = (size_t)(path - controllers);
    path++;
    if (len == 0) {
        static const char *const v2_mounts[] = {"/sys/fs/cgroup", "/sys/fs/cgroup/unified"};
        for (size_t i = 0; i < 2; i++) {
            snprintf(mount, sizeof mount, "%s%s", root, v2_mounts[i]);
            walk_up(r, mount, path, true, apply_memory_limit);
            if (!memory_only)
                walk_up(r, mount, path, true, apply_cpu_quota);
        }
    } else if (has_controller(controllers, len, "memory")) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/memory", root);
        walk_up(r, mount, path, false, apply_memory_limit);
    } else if (!memory_only && has_controller(controllers, len, "cpu")) {
        snprintf(mount, sizeof mount, "%s/sys/fs/cgroup/cpu", root);
        walk_up(r, mount, path, false, apply_cpu_quota);
    }
}

static void apply_cgroups(struct resources *r, const char *root, bool memory_only) {
    char path[PATH_SIZE], text[8192], *rest = text;
    snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
    if (!read_file(path, text, sizeof text))
        return;
    for (char *line; (line = strsep(&rest, "\n"));)
        apply_line(r, root, line, memory_only);
}

static void read_meminfo(struct resources *r, const char *root) {
    char path[PATH_SIZE], text[8192] = "";
    snprintf(path, sizeof path, "%s/proc/meminfo", root);
    read_file(path, text, sizeof text);
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t installed = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    r->mem_total_bytes = field(text, "MemTotal:", installed / 1024) * 1024;
    /* It may say 0, and means it. */
    r->mem_available_bytes = field(text, "MemAvailable:", r->mem_total_bytes / 1024) * 1024;
}

void resources_read(struct resources *r, const char *root) {
    read_meminfo(r, root);
    cpu_set_t set;
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    r->mcpu = online > 0 ? (uint32_t)online * 1000 : 1000;
    if (sched_getaffinity(0, sizeof set, &set) == 0)
        r->mcpu = (uint32_t)CPU_COUNT(&set) * 1000;
    apply_cgroups(r, root, false);
}

uint64_t resources_available(const char *root) {
    struct resources r = {0};
    read_meminfo(&r, root);
    apply_cgroups(&r, root, true);
    return r.mem_available_bytes;
}

void resources_boot_id(struct buf *out) {
    char text[64];
    size_t n = read_file("/proc/sys/kernel/random/boot_id", text, sizeof text);
    if (n)
        buf_add(out, text, strcspn(text, "\n"));
    else
        buf_adds(out, "unknown");
}
