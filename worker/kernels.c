#include "worker/kernels.h"

#include <dirent.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/native.h"

enum { NAMES_MOST = 1024 };

struct names {
    char *at[NAMES_MOST]; /* owned */
    size_t count;
};

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static void list_directory(const char *path, struct names *names) {
    DIR *dir = opendir(path);
    const struct dirent *entry;
    while (dir && names->count < NAMES_MOST && (entry = readdir(dir))) {
        size_t len = strlen(entry->d_name);
        if (len > 3 && strcmp(entry->d_name + len - 3, ".so") == 0 &&
            native_name_valid(entry->d_name, len - 3))
            names->at[names->count++] = xstrndup(entry->d_name, len - 3);
    }
    if (dir)
        closedir(dir);
}

/* Each directory of a list joined by ':', made absolute. */
static void add_directories(struct buf *out, const char *list) {
    char own[PATH_MAX];
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ":");
        if (len && out->len)
            buf_addc(out, ':');
        if (len && *at != '/' && getcwd(own, sizeof own))
            buf_addf(out, "%s/", own);
        buf_add(out, at, len);
        at += len + (at[len] == ':');
    }
}

static char *join(struct names *names) {
    struct buf text = BUF_INIT;
    qsort(names->at, names->count, sizeof *names->at, by_name);
    for (size_t i = 0; i < names->count; i++)
        if (i == 0 || strcmp(names->at[i], names->at[i - 1]) != 0)
            buf_addf(&text, "%s%s", i ? "," : "", names->at[i]);
    for (size_t i = 0; i < names->count; i++)
        free(names->at[i]);
    return buf_detach(&text);
}

static char *list_names(const char *dirs) {
    struct names names = {.count = 0};
    char *list = xstrdup(dirs), *save = NULL;
    for (char *dir = strtok_r(list, ":", &save); dir; dir = strtok_r(NULL, ":", &save))
        list_directory(dir, &names);
    free(list);
    return join(&names);
}

/* In front of its last '/'. */
static size_t directory_length(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? (size_t)(slash - path) : 0;
}

static char *find_directories(const char *setting, const char *program) {
    struct buf dirs = BUF_INIT;
    size_t beside = directory_length(program);
    if (*setting) {
        add_directories(&dirs, setting);
    } else {
        buf_addf(&dirs, "%.*s/kernels", (int)beside, program);
        if (access(dirs.data, R_OK | X_OK) != 0) {
            buf_clear(&dirs);
            buf_addf(&dirs, "%.*s/../lib/distcomp/kernels", (int)beside, program);
        }
    }
    return buf_detach(&dirs);
}

static char *find_host(const char *program) {
    struct buf host = BUF_INIT;
    buf_addf(&host, "%.*s/kernelHost", (int)directory_length(program), program);
    if (access(host.data, X_OK) != 0)
        buf_clear(&host);
    return buf_detach(&host);
}

bool kernels_find(struct kernels *kernels, const char *dirs, const char *program) {
    struct kernels found = {.host = find_host(program), .dirs = find_directories(dirs, program)};
    found.names = *found.host ? list_names(found.dirs) : xstrdup("");
    bool changed = !kernels->names || strcmp(kernels->names, found.names) != 0;
    kernels_free(kernels);
    *kernels = found;
    return changed;
}

void kernels_free(struct kernels *kernels) {
    free(kernels->host);
    free(kernels->dirs);
    free(kernels->names);
    *kernels = (struct kernels){.host = NULL};
}
