#include "kernels/host/plugindir.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernels/kernel.h"

#define SUFFIX     ".so"
#define SUFFIX_LEN 3

static struct {
    bool set;
    struct buf wanted; /* as given */
    struct buf list;   /* absolute, a NUL after each, an empty one at the end */
    unsigned number;   /* of this list */
    struct buf start;  /* the directory that the process was started in */
} dirs = {.wanted = BUF_INIT, .list = BUF_INIT, .start = BUF_INIT};

static void add_dir(const char *dir, size_t len) {
    if (!len)
        return;
    if (*dir != '/') {
        buf_adds(&dirs.list, dirs.start.data);
        buf_addc(&dirs.list, '/');
    }
    buf_add(&dirs.list, dir, len);
    buf_addc(&dirs.list, '\0');
}

/* Bytes of a path up to the '/' before its last part, which stays. */
static size_t parent(const char *path, size_t len) {
    while (len > 0 && path[--len] != '/')
        ;
    return len;
}

static void add_usual_dirs(void) {
    char self[4096];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self);
    if (len <= 0)
        return;
    size_t bin = parent(self, (size_t)len), top = parent(self, bin);
    struct buf dir = BUF_INIT;
    buf_addf(&dir, "%.*s/kernels", (int)bin, self);
    add_dir(dir.data, dir.len);
    buf_clear(&dir);
    buf_addf(&dir, "%.*s/lib/distcomp/kernels", (int)top, self);
    add_dir(dir.data, dir.len);
    buf_free(&dir);
}

void plugindir_set(const char *text) {
    const char *wanted = text ? text : "";
    if (dirs.set && !strcmp(wanted, dirs.wanted.data))
        return;
    if (!dirs.set) {
        char *start = getcwd(NULL, 0);
        buf_adds(&dirs.start, start ? start : "");
        free(start);
    }
    dirs.set = true;
    dirs.number++;
    buf_clear(&dirs.wanted);
    buf_adds(&dirs.wanted, wanted);
    buf_clear(&dirs.list);
    if (!*wanted)
        add_usual_dirs();
    for (const char *at = wanted; *at;) {
        size_t len = strcspn(at, ":");
        add_dir(at, len);
        at += len + (at[len] == ':');
    }
    buf_addc(&dirs.list, '\0');
}

const char *plugindir_first(void) {
    if (!dirs.set)
        plugindir_set(NULL);
    return dirs.list.data;
}

const char *plugindir_next(const char *dir) {
    return dir + strlen(dir) + 1;
}

bool plugin_name_ok(const char *name, size_t len) {
    if (!len || len > KERNEL_NAME_MAX)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = name[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        bool other = (c >= '0' && c <= '9') || c == '_' || c == '-';
        if (!letter && (i == 0 || !other))
            return false;
    }
    return true;
}

static int compare_files(const void *left, const void *right) {
    const struct plugin_file *a = left, *b = right;
    int order = strcmp(a->name, b->name);
    return order ? order : (a->dir > b->dir) - (a->dir < b->dir);
}

static void add_file(struct plugin_files *files, const char *dir, size_t number, const char *file) {
    size_t len = strlen(file);
    if (len <= SUFFIX_LEN || strcmp(file + len - SUFFIX_LEN, SUFFIX) != 0 ||
        !plugin_name_ok(file, len - SUFFIX_LEN))
        return;
    struct buf path = BUF_INIT;
    buf_addf(&path, "%s/%s", dir, file);
    files->list = xrealloc(files->list, (files->count + 1) * sizeof *files->list);
    files->list[files->count++] =
        (struct plugin_file){xstrndup(file, len - SUFFIX_LEN), buf_detach(&path), number};
}

/* Of equal names, which follow each other, the first stays. */
static void drop_hidden(struct plugin_files *files) {
    size_t kept = 0;
    for (size_t i = 0; i < files->count; i++) {
        if (kept && !strcmp(files->list[i].name, files->list[kept - 1].name)) {
            free(files->list[i].name);
            free(files->list[i].path);
        } else {
            files->list[kept++] = files->list[i];
        }
    }
    files->count = kept;
}

void plugindir_files(struct plugin_files *files) {
    size_t number = 0;
    *files = (struct plugin_files){NULL, 0};
    for (const char *dir = plugindir_first(); *dir; dir = plugindir_next(dir), number++) {
        DIR *open = opendir(dir);
        for (struct dirent *entry; open && (entry = readdir(open));)
            add_file(files, dir, number, entry->d_name);
        if (open)
            closedir(open);
    }
    if (files->count)
        qsort(files->list, files->count, sizeof *files->list, compare_files);
    drop_hidden(files);
}

void plugindir_files_free(struct plugin_files *files) {
    for (size_t i = 0; i < files->count; i++) {
        free(files->list[i].name);
        free(files->list[i].path);
    }
    free(files->list);
    *files = (struct plugin_files){NULL, 0};
}

unsigned plugindir_number(void) {
    plugindir_first();
    return dirs.number;
}
