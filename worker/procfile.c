#include "worker/procfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PATH_SIZE = 512, SMALL = 4096 };
#define SHARED_MATTERS_BYTES (UINT64_C(8) << 20)

ssize_t procfile_read(int dir_fd, const char *name, char *text, size_t size) {
    size_t len = 0;
    text[0] = '\0';
    int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    ssize_t n = 0;
    while (len < size - 1) {
        n = read(fd, text + len, size - 1 - len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            break;
        len += (size_t)n;
    }
    close(fd);
    text[len] = '\0';
    return n < 0 && len == 0 ? -1 : (ssize_t)len;
}

int procfile_write(int dir_fd, const char *name, const char *text) {
    int fd = openat(dir_fd, name, O_WRONLY | O_TRUNC | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int error = write(fd, text, strlen(text)) < 0 ? errno : 0;
    close(fd);
    return error;
}

bool procfile_number(int dir_fd, const char *name, uint64_t *value) {
    char text[64];
    if (procfile_read(dir_fd, name, text, sizeof text) <= 0)
        return false;
    if (strncmp(text, "max", 3) == 0) {
        *value = UINT64_MAX;
        return true;
    }
    char *end;
    *value = strtoull(text, &end, 10);
    return end != text && text[0] != '-';
}

bool procfile_field(const char *text, const char *key, uint64_t *value) {
    size_t len = strlen(key);
    for (const char *line = text; line && *line; line = strchr(line, '\n')) {
        line += *line == '\n';
        if (strncmp(line, key, len) != 0 || !strchr(": \t", line[len]) || !line[len])
            continue;
        const char *at = line + len + (line[len] == ':');
        char *end;
        *value = strtoull(at, &end, 10);
        return end != at;
    }
    return false;
}

bool procfile_word(const char *list, const char *word) {
    size_t len = strlen(word);
    for (const char *at = list; *at;) {
        size_t n = strcspn(at, " ,\n");
        if (n == len && strncmp(at, word, len) == 0)
            return true;
        at += n + (at[n] != '\0');
    }
    return false;
}

bool procfile_stat(const char *root, int32_t pid, struct process_stat *stat) {
    char path[PATH_SIZE], text[SMALL];
    snprintf(path, sizeof path, "%s/proc/%d/stat", root, pid);
    if (procfile_read(AT_FDCWD, path, text, sizeof text) <= 0)
        return false;
    const char *p = strrchr(text, ')'); /* the name may hold spaces and brackets */
    if (!p || p[1] != ' ' || !p[2])
        return false;
    stat->state = p[2];
    p += 3;
    long long field[23] = {0}; /* by their numbers in proc(5): ppid is 4, starttime 22 */
    for (int i = 4; i <= 22; i++) {
        char *end;
        field[i] = strtoll(p, &end, 10);
        if (end == p)
            return false;
        p = end;
    }
    stat->ppid = (int32_t)field[4];
    stat->session = (int32_t)field[6];
    stat->cpu_ticks = (uint64_t)(field[14] + field[15] + field[16] + field[17]);
    stat->threads = (uint32_t)field[20];
    stat->start_ticks = (uint64_t)field[22];
    return true;
}

bool procfile_dead(const struct process_stat *stat) {
    return stat->state == 'X' || (stat->state == 'Z' && stat->threads <= 1);
}

/* The first thread but the main one: that may have ended before the others, and then shows no
 * memory. */
static bool other_thread(const char *root, int32_t pid, int32_t *tid) {
    char path[PATH_SIZE];
    snprintf(path, sizeof path, "%s/proc/%d/task", root, pid);
    DIR *dir = opendir(path);
    if (!dir)
        return false;
    *tid = 0;
    for (struct dirent *e; *tid == 0 && (e = readdir(dir));) {
        int32_t id = (int32_t)strtol(e->d_name, NULL, 10);
        if (id > 0 && id != pid)
            *tid = id;
    }
    closedir(dir);
    return *tid > 0;
}

/* Pages resident, and those of them that are a file's or shared memory. */
static bool read_statm(const char *directory, uint64_t *resident, uint64_t *shared) {
    char path[PATH_SIZE], text[SMALL], *end;
    snprintf(path, sizeof path, "%s/statm", directory);
    if (procfile_read(AT_FDCWD, path, text, sizeof text) <= 0)
        return false;
    strtoull(text, &end, 10);
    *resident = strtoull(end, &end, 10);
    *shared = strtoull(end, &end, 10);
    return true;
}

bool procfile_memory(const char *root, int32_t pid, struct process_memory *memory) {
    char directory[PATH_SIZE - 16], path[PATH_SIZE], text[SMALL];
    uint64_t resident, shared, page_bytes = (uint64_t)sysconf(_SC_PAGESIZE);
    int32_t tid;
    *memory = (struct process_memory){0};
    snprintf(directory, sizeof directory, "%s/proc/%d", root, pid);
    if (!read_statm(directory, &resident, &shared))
        return false;
    if (resident == 0 && other_thread(root, pid, &tid)) {
        snprintf(directory, sizeof directory, "%s/proc/%d/task/%d", root, pid, tid);
        if (!read_statm(directory, &resident, &shared))
            return false;
    }
    memory->anon_bytes = resident > shared ? (resident - shared) * page_bytes : 0;
    if (shared * page_bytes < SHARED_MATTERS_BYTES)
        return true;
    snprintf(path, sizeof path, "%s/status", directory);
    uint64_t kib;
    if (procfile_read(AT_FDCWD, path, text, sizeof text) > 0 &&
        procfile_field(text, "RssShmem", &kib))
        memory->shmem_bytes = kib * 1024;
    return true;
}

bool procfile_shares(const char *root, int32_t pid, uint64_t *bytes) {
    char path[PATH_SIZE], text[SMALL];
    snprintf(path, sizeof path, "%s/proc/%d/smaps_rollup", root, pid);
    uint64_t anon_kib, shmem_kib;
    if (procfile_read(AT_FDCWD, path, text, sizeof text) <= 0 ||
        !procfile_field(text, "Pss_Anon", &anon_kib) ||
        !procfile_field(text, "Pss_Shmem", &shmem_kib))
        return false; /* before Linux 5.4 there is no such split */
    *bytes = (anon_kib + shmem_kib) * 1024;
    return true;
}

bool procfile_io(const char *root, int32_t pid, uint64_t *read_bytes, uint64_t *write_bytes) {
    char path[PATH_SIZE], text[SMALL];
    snprintf(path, sizeof path, "%s/proc/%d/io", root, pid);
    return procfile_read(AT_FDCWD, path, text, sizeof text) > 0 &&
           procfile_field(text, "read_bytes", read_bytes) &&
           procfile_field(text, "write_bytes", write_bytes);
}
