#include "worker/cgroupdirs.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The controllers that name a v1 hierarchy; v2 has none. */
static const char *const controllers[CGROUP_KINDS] = {
    [CGROUP_V1_MEMORY] = "memory",
    [CGROUP_V1_CPU] = "cpu",
    [CGROUP_V1_CPUSET] = "cpuset",
};

struct word {
    const char *at;
    size_t len;
};

static bool word_is(struct word word, const char *text) {
    return word.len == strlen(text) && memcmp(word.at, text, word.len) == 0;
}

static bool list_has(struct word list, const char *name) {
    size_t len = strlen(name);
    for (size_t at = 0; at + len <= list.len; at++)
        if (memcmp(list.at + at, name, len) == 0 && (at == 0 || list.at[at - 1] == ',') &&
            (at + len == list.len || list.at[at + len] == ','))
            return true;
    return false;
}

/* Takes the next word that ends at `end` or with the line. */
static struct word take(const char **at, char end) {
    struct word word = {*at, 0};
    while (word.at[word.len] && word.at[word.len] != end && word.at[word.len] != '\n')
        word.len++;
    *at += word.len;
    *at += **at == end && end != '\n';
    return word;
}

static const char *next_line(const char *line) {
    const char *end = strchr(line, '\n');
    return end ? end + 1 : line + strlen(line);
}

/* mountinfo writes blanks, tabs, newlines and backslashes as \ooo. */
static void add_unescaped(struct buf *out, struct word word) {
    for (size_t i = 0; i < word.len; i++) {
        const char *c = word.at + i;
        if (*c == '\\' && i + 3 < word.len && c[1] >= '0' && c[1] <= '3') {
            buf_addc(out, (char)((c[1] - '0') * 64 + (c[2] - '0') * 8 + (c[3] - '0')));
            i += 3;
        } else {
            buf_addc(out, *c);
        }
    }
}

/* One line of mountinfo: ID PARENT MAJ:MIN ROOT MOUNTPOINT OPTIONS [OPTIONAL...] - TYPE SOURCE
 * SUPEROPTIONS. */
struct mount {
    struct word root, point, type, super;
};

static bool read_mount(const char *line, struct mount *mount) {
    const char *at = line;
    for (int i = 0; i < 3; i++)
        take(&at, ' ');
    mount->root = take(&at, ' ');
    mount->point = take(&at, ' ');
    struct word word;
    do {
        word = take(&at, ' ');
    } while (word.len && !word_is(word, "-"));
    mount->type = take(&at, ' ');
    take(&at, ' ');
    mount->super = take(&at, ' ');
    return word.len && mount->root.len && mount->point.len;
}

static bool mount_is(const struct mount *mount, enum cgroup_kind kind) {
    if (kind == CGROUP_V2)
        return word_is(mount->type, "cgroup2");
    return word_is(mount->type, "cgroup") && list_has(mount->super, controllers[kind]);
}

/* This process's path in a hierarchy, from lines ID:CONTROLLERS:PATH; false when it has none. */
static bool find_path(const char *cgroup, enum cgroup_kind kind, struct buf *path) {
    for (const char *line = cgroup; *line; line = next_line(line)) {
        const char *at = line;
        struct word id = take(&at, ':'), list = take(&at, ':'), rest = take(&at, '\n');
        bool same = kind == CGROUP_V2 ? word_is(id, "0") && list.len == 0
                                      : list.len && list_has(list, controllers[kind]);
        if (same && rest.len && *rest.at == '/') {
            buf_add(path, rest.at, rest.len);
            return true;
        }
    }
    return false;
}

/* How much of path is the mount's root; false when the path lies outside of it. */
static bool within(const struct buf *root, const struct buf *path, size_t *len) {
    *len = strcmp(root->data, "/") == 0 ? 0 : root->len;
    return strncmp(path->data, root->data, *len) == 0 &&
           (path->data[*len] == '/' || path->data[*len] == '\0');
}

/* Of several mounts of a hierarchy: the one that shows the most of what is above the process. */
static void find_dir(struct cgroupdir *dir, const char *mountinfo, enum cgroup_kind kind,
                     const struct buf *path, const char *prefix) {
    size_t best_len = SIZE_MAX;
    bool best_within = false;
    struct buf root = BUF_INIT;
    for (const char *line = mountinfo; *line; line = next_line(line)) {
        struct mount mount;
        if (!read_mount(line, &mount) || !mount_is(&mount, kind))
            continue;
        buf_clear(&root);
        add_unescaped(&root, mount.root);
        size_t len;
        bool inside = within(&root, path, &len);
        if (dir->path.len && (inside < best_within || (inside == best_within && len >= best_len)))
            continue;
        best_len = len;
        best_within = inside;
        buf_clear(&dir->path);
        buf_adds(&dir->path, prefix);
        add_unescaped(&dir->path, mount.point);
        dir->mount_len = dir->path.len;
        /* "/.." is above the namespace: no such name is to be found below the mount. */
        if (inside && strcmp(path->data + len, "/") != 0 && !strstr(path->data + len, "/.."))
            buf_adds(&dir->path, path->data + len);
    }
    buf_free(&root);
}

void cgroupdirs_find(struct cgroupdirs *found, const char *mountinfo, const char *cgroup,
                     const char *prefix) {
    struct buf path = BUF_INIT;
    for (enum cgroup_kind kind = 0; kind < CGROUP_KINDS; kind++) {
        found->dirs[kind] = (struct cgroupdir){.path = BUF_INIT};
        buf_clear(&path);
        if (find_path(cgroup, kind, &path))
            find_dir(&found->dirs[kind], mountinfo, kind, &path, prefix);
    }
    buf_free(&path);
}

/* A file of any size; read in pieces, as those of /proc are. */
static void slurp(const char *root, const char *name, struct buf *out) {
    enum { PIECE = 16384 };
    buf_addf(out, "%s%s", root, name);
    int fd = open(out->data, O_RDONLY | O_CLOEXEC);
    buf_clear(out);
    for (ssize_t len = fd >= 0 ? 1 : 0; len > 0;) {
        buf_reserve(out, PIECE);
        len = read(fd, out->data + out->len, PIECE);
        out->len += len > 0 ? (size_t)len : 0;
        out->data[out->len] = '\0';
    }
    if (fd >= 0)
        close(fd);
}

void cgroupdirs_read(struct cgroupdirs *found, const char *root) {
    struct buf mounts = BUF_INIT, groups = BUF_INIT;
    slurp(root, "/proc/self/mountinfo", &mounts);
    slurp(root, "/proc/self/cgroup", &groups);
    cgroupdirs_find(found, mounts.data, groups.data, root);
    buf_free(&mounts);
    buf_free(&groups);
}

void cgroupdirs_free(struct cgroupdirs *found) {
    for (enum cgroup_kind kind = 0; kind < CGROUP_KINDS; kind++)
        buf_free(&found->dirs[kind].path);
}
