#include "worker/cgdir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/buf.h"
#include "worker/cgroupfind.h"
#include "worker/procfile.h"

enum {
    STAT_SIZE = 16384,
    KILL_ROUNDS = 64,
    KILL_PIDS = 4096,
    PERIOD_US = 100000,
    QUOTA_MIN = 1000,
    PIDS_FIRST = 256
};

int cgdir_open(const char *path) {
    if (mkdir(path, 0755) != 0 && errno != EEXIST)
        return -1;
    return open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
}

size_t cgdir_pids(int fd, int32_t *pids, size_t max) {
    size_t count = 0;
    int file = openat(fd, "cgroup.procs", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return 0;
    char text[4096];
    int32_t pid = 0;
    for (ssize_t n; (n = read(file, text, sizeof text)) > 0;)
        for (ssize_t i = 0; i < n; i++) {
            if (text[i] >= '0' && text[i] <= '9') {
                pid = pid * 10 + (text[i] - '0');
                continue;
            }
            if (pid > 0 && count++ < max) /* 0: a process outside of our pid namespace */
                pids[count - 1] = pid;
            pid = 0;
        }
    close(file);
    return count;
}

bool cgdir_holds(int fd, int32_t pid) {
    int32_t first[PIDS_FIRST], *pids = first;
    size_t count = cgdir_pids(fd, first, PIDS_FIRST);
    if (count > PIDS_FIRST) {
        size_t max = count + count / 2;
        pids = xmalloc(max * sizeof *pids);
        count = cgdir_pids(fd, pids, max);
        count = count < max ? count : max;
    }
    bool found = false;
    for (size_t i = 0; i < count; i++)
        found |= pids[i] == pid;
    if (pids != first)
        free(pids);
    return found;
}

typedef bool visit_group(int fd, void *arg);

/* Calls for each group directly below. True when every call said so. */
static bool for_each_below(int fd, visit_group *visit, void *arg) {
    int again = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *dir = again >= 0 ? fdopendir(again) : NULL;
    if (!dir) {
        if (again >= 0)
            close(again);
        return true;
    }
    bool all = true;
    for (struct dirent *e; (e = readdir(dir));) {
        if (e->d_name[0] == '.' || (e->d_type != DT_DIR && e->d_type != DT_UNKNOWN))
            continue;
        int below = openat(fd, e->d_name, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (below < 0)
            continue;
        all = visit(below, arg) && all;
        close(below);
    }
    closedir(dir);
    return all;
}

static bool nobody_in(int fd, void *arg) {
    int32_t pid;
    return cgdir_pids(fd, &pid, 1) == 0 && for_each_below(fd, nobody_in, arg);
}

bool cgdir_populated(int fd, enum cgdir_version version) {
    char text[256];
    uint64_t populated;
    if (version == CGDIR_V2 && procfile_read(fd, "cgroup.events", text, sizeof text) > 0 &&
        procfile_field(text, "populated", &populated))
        return populated != 0;
    return !nobody_in(fd, NULL);
}

static int by_pid(const void *a, const void *b) {
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

/* One group's own processes. A child that is forked while we go through the list is in the next
 * round's. */
static bool kill_in_rounds(int fd, void *arg) {
    (void)arg;
    int32_t *pids = xmalloc(2 * KILL_PIDS * sizeof *pids), *before = pids + KILL_PIDS;
    size_t known = 0, count = 0;
    for (int round = 0; round < KILL_ROUNDS; round++) {
        count = cgdir_pids(fd, pids, KILL_PIDS);
        size_t some = count < KILL_PIDS ? count : KILL_PIDS, fresh = 0;
        for (size_t i = 0; i < some; i++) {
            fresh += !bsearch(&pids[i], before, known, sizeof *pids, by_pid);
            kill(pids[i], SIGKILL);
        }
        if (fresh == 0 && count == some)
            break;
        memcpy(before, pids, some * sizeof *pids);
        qsort(before, some, sizeof *before, by_pid);
        known = some;
    }
    free(pids);
    for_each_below(fd, kill_in_rounds, NULL);
    return count == 0;
}

bool cgdir_kill(int fd, enum cgdir_version version) {
    if (version != CGDIR_V2 || procfile_write(fd, "cgroup.kill", "1") != 0)
        kill_in_rounds(fd, NULL);
    return !cgdir_populated(fd, version);
}

bool cgdir_born_alive(int fd) {
    struct clone_args args = {
        .flags = CLONE_INTO_CGROUP, .exit_signal = SIGCHLD, .cgroup = (unsigned)fd};
    long pid = syscall(SYS_clone3, &args, sizeof args);
    if (pid == 0)
        _exit(0);
    int status;
    while (pid > 0 && waitpid((pid_t)pid, &status, 0) < 0)
        if (errno != EINTR)
            return false;
    return pid > 0 && WIFEXITED(status);
}

static bool remove_below(const char *path) {
    DIR *dir = opendir(path);
    if (!dir)
        return errno == ENOENT;
    for (struct dirent *e; (e = readdir(dir));) {
        char below[CGROUP_PATH_MAX];
        if (e->d_name[0] != '.' && e->d_type == DT_DIR &&
            snprintf(below, sizeof below, "%s/%s", path, e->d_name) < (int)sizeof below)
            remove_below(below);
    }
    closedir(dir);
    return rmdir(path) == 0 || errno == ENOENT;
}

bool cgdir_remove(const char *path, enum cgdir_version version) {
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT;
    cgdir_kill(fd, version);
    close(fd);
    return remove_below(path);
}

/* --- counters -------------------------------------------------------------------------------- */

bool cgdir_charged(int fd, enum cgdir_version version, uint64_t *bytes) {
    return procfile_number(fd, version == CGDIR_V2 ? "memory.current" : "memory.usage_in_bytes",
                           bytes);
}

bool cgdir_memory(int fd, enum cgdir_version version, struct cgdir_memory *memory) {
    char text[STAT_SIZE];
    bool v2 = version == CGDIR_V2;
    uint64_t active = 0, inactive = 0, slab = 0;
    *memory = (struct cgdir_memory){0};
    if (!cgdir_charged(fd, version, &memory->charged_bytes) ||
        procfile_read(fd, "memory.stat", text, sizeof text) <= 0)
        return false;
    procfile_field(text, v2 ? "active_file" : "total_active_file", &active);
    procfile_field(text, v2 ? "inactive_file" : "total_inactive_file", &inactive);
    if (v2)
        procfile_field(text, "slab_reclaimable", &slab);
    memory->cache_bytes = active + inactive + slab;
    if (memory->cache_bytes > memory->charged_bytes) /* read one after the other */
        memory->cache_bytes = memory->charged_bytes;
    return true;
}

bool cgdir_peak(int fd, enum cgdir_version version, uint64_t *bytes) {
    return procfile_number(fd, version == CGDIR_V2 ? "memory.peak" : "memory.max_usage_in_bytes",
                           bytes);
}

bool cgdir_peak_reset(int fd, enum cgdir_version version) {
    /* Since Linux 6.12 a write to memory.peak resets it too, but only for that descriptor. */
    return version == CGDIR_V1 && procfile_write(fd, "memory.max_usage_in_bytes", "0") == 0;
}

bool cgdir_oom_kills(int fd, enum cgdir_version version, uint64_t *count) {
    char text[1024];
    return procfile_read(fd, version == CGDIR_V2 ? "memory.events" : "memory.oom_control", text,
                         sizeof text) > 0 &&
           procfile_field(text, "oom_kill", count);
}

bool cgdir_limit_hits(int fd, uint64_t *count) {
    char text[1024];
    return procfile_read(fd, "memory.events", text, sizeof text) > 0 &&
           procfile_field(text, "oom", count);
}

bool cgdir_cpu(int fd, uint64_t *us) {
    char text[1024];
    return procfile_read(fd, "cpu.stat", text, sizeof text) > 0 &&
           procfile_field(text, "usage_usec", us);
}

bool cgdir_io(int fd, uint64_t *read_bytes, uint64_t *write_bytes) {
    char text[STAT_SIZE];
    *read_bytes = *write_bytes = 0;
    if (procfile_read(fd, "io.stat", text, sizeof text) < 0)
        return false;
    /* A line a device: "8:0 rbytes=1 wbytes=2 rios=3 ..." */
    for (const char *at = text; (at = strstr(at, " rbytes=")); at++)
        *read_bytes += strtoull(at + 8, NULL, 10);
    for (const char *at = text; (at = strstr(at, " wbytes=")); at++)
        *write_bytes += strtoull(at + 8, NULL, 10);
    return true;
}

/* --- limits ---------------------------------------------------------------------------------- */

static int limit_memory_v1(int fd, uint64_t bytes) {
    /* The one with swap may not be under the one without, so both are lifted first. */
    procfile_write(fd, "memory.memsw.limit_in_bytes", "-1");
    int error = procfile_write(fd, "memory.limit_in_bytes", "-1");
    if (error || bytes == 0)
        return error;
    char text[32];
    snprintf(text, sizeof text, "%" PRIu64, bytes);
    error = procfile_write(fd, "memory.limit_in_bytes", text);
    if (error)
        return error;
    error = procfile_write(fd, "memory.memsw.limit_in_bytes", text);
    return error == ENOENT ? 0 : error; /* a kernel that does not count swap */
}

int cgdir_limit_memory(int fd, enum cgdir_version version, uint64_t bytes) {
    if (version == CGDIR_V1)
        return limit_memory_v1(fd, bytes);
    char text[32] = "max";
    if (bytes)
        snprintf(text, sizeof text, "%" PRIu64, bytes);
    int error = procfile_write(fd, "memory.max", text);
    if (error)
        return error;
    error = procfile_write(fd, "memory.swap.max", bytes ? "0" : "max");
    if (error && error != ENOENT)
        return error;
    error = procfile_write(fd, "memory.oom.group", bytes ? "1" : "0");
    return error == ENOENT ? 0 : error; /* before Linux 4.19 */
}

int cgdir_limit_cpu(int fd, enum cgdir_version version, uint32_t mcpu) {
    char text[48];
    uint64_t quota = (uint64_t)mcpu * (PERIOD_US / 1000);
    if (quota && quota < QUOTA_MIN)
        quota = QUOTA_MIN;
    if (version == CGDIR_V2) {
        snprintf(text, sizeof text, "%" PRIu64 " %d", quota, PERIOD_US);
        return procfile_write(fd, "cpu.max", mcpu ? text : "max");
    }
    snprintf(text, sizeof text, "%" PRIu64, quota);
    return procfile_write(fd, "cpu.cfs_quota_us", mcpu ? text : "-1");
}
