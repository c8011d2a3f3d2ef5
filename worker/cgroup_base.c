#include "worker/cgroup_state.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/procfile.h"

#define PREFIX "distcomp-"
#define LEAF   "worker"
enum { KEY_MAX = 64 };

/* --- names ----------------------------------------------------------------------------------- */

/* A key in a directory's name: what is not a plain letter becomes '_'. */
static void plain_key(const char *key, char out[KEY_MAX + 1]) {
    size_t n = 0;
    for (; n < KEY_MAX && key[n]; n++) {
        char c = key[n];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                     c == '-' || c == '_';
        out[n] = plain ? c : '_';
    }
    out[n] = '\0';
}

/* Takes "distcomp-KEY.PID.START" apart; false for any other name. */
static bool parse_name(const char *name, int32_t *pid, uint64_t *start) {
    char after;
    if (strncmp(name, PREFIX, strlen(PREFIX)) != 0)
        return false;
    const char *dot = strchr(name, '.');
    return dot && sscanf(dot, ".%" SCNd32 ".%" SCNu64 "%c", pid, start, &after) == 2 && *pid > 0;
}

static bool lives(const char *root, int32_t pid, uint64_t start) {
    struct process_stat stat;
    return procfile_stat(root, pid, &stat) && stat.start_ticks == start && stat.state != 'Z' &&
           stat.state != 'X';
}

/* --- may we? --------------------------------------------------------------------------------- */

static bool writable(const char *directory) {
    char path[CGROUP_PATH_MAX + 32];
    snprintf(path, sizeof path, "%s/cgroup.procs", directory);
    return access(directory, W_OK) == 0 && access(path, W_OK) == 0;
}

/* Where a mount does not show our own group, cgroupdirs.h tells of one that we are not in. */
static bool holds(const char *directory, int32_t pid) {
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool found = cgdir_holds(fd, pid);
    close(fd);
    return found;
}

static bool systemd_runs(const char *root) {
    char path[CGROUP_PATH_MAX];
    snprintf(path, sizeof path, "%s/run/systemd/system", root);
    return access(path, F_OK) == 0;
}

/* systemd marks a group that it leaves to us; what is below is ours too. */
static bool marked_delegated(struct cgroup_place place) {
    static const char *const names[] = {"user.delegate", "trusted.delegate"};
    do {
        for (size_t i = 0; i < 2; i++) {
            char value[4];
            if (getxattr(place.path, names[i], value, sizeof value) == 1 && value[0] == '1')
                return true;
        }
    } while (cgroup_up(&place));
    return false;
}

static bool ends_in(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* --- version 2 ------------------------------------------------------------------------------- */

/* Moves supervisor and agent out of PARENT. */
static bool move_to_leaf(const char *parent, int32_t supervisor_pid) {
    char path[CGROUP_PATH_MAX + 32], pid[16];
    snprintf(path, sizeof path, "%s/" LEAF, parent);
    int fd = cgdir_open(path);
    if (fd < 0)
        return false;
    snprintf(pid, sizeof pid, "%d", supervisor_pid);
    bool moved = (supervisor_pid <= 0 || procfile_write(fd, "cgroup.procs", pid) == 0) &&
                 procfile_write(fd, "cgroup.procs", "0") == 0;
    close(fd);
    return moved;
}

/* Hands a controller down to the groups below `directory`. Returns 0 or the errno. */
static int hand_down(const char *directory, const char *controller) {
    char path[CGROUP_PATH_MAX + 32], list[512], word[32];
    snprintf(path, sizeof path, "%s/cgroup.subtree_control", directory);
    if (procfile_read(AT_FDCWD, path, list, sizeof list) >= 0 && procfile_word(list, controller))
        return 0;
    snprintf(word, sizeof word, "+%s", controller);
    return procfile_write(AT_FDCWD, path, word);
}

static bool offers(const char *directory, const char *controller) {
    char path[CGROUP_PATH_MAX + 32], list[512];
    snprintf(path, sizeof path, "%s/cgroup.controllers", directory);
    return procfile_read(AT_FDCWD, path, list, sizeof list) > 0 && procfile_word(list, controller);
}

/* Controllers from PARENT to the slots. */
static void take_controllers(struct cgroups *groups, const char *parent,
                             const struct cgroup_options *options) {
    struct cgroup_abilities *can = &groups->can;
    struct {
        const char *name;
        bool *can;
    } wanted[] = {{"memory", &can->v2_memory}, {"cpu", &can->v2_cpu}, {"io", &can->v2_io}};
    bool moved = false;
    for (size_t i = 0; i < 3; i++) {
        if (!offers(parent, wanted[i].name))
            continue;
        int error = hand_down(parent, wanted[i].name);
        if (error == EBUSY && !moved) {
            if (ends_in(parent, ".service")) {
                snprintf(can->why, sizeof can->why,
                         "the service's own group holds processes: add DelegateSubgroup=" LEAF
                         " to the unit (systemd 254)");
                return;
            }
            moved = move_to_leaf(parent, options->supervisor_pid);
            error = moved ? hand_down(parent, wanted[i].name) : error;
        }
        if (!error)
            error = hand_down(groups->base[KIND_V2], wanted[i].name);
        *wanted[i].can = error == 0;
        if (error && !can->why[0])
            snprintf(can->why, sizeof can->why, "cgroup controller %s refused in %.120s: %s",
                     wanted[i].name, parent,
                     error == EBUSY ? "other processes are in that group" : strerror(error));
    }
    if (!can->v2_memory && !can->why[0])
        snprintf(can->why, sizeof can->why, "no memory controller in cgroup %.160s", parent);
}

/* --- the worker's groups --------------------------------------------------------------------- */

/* The groups of dead supervisors with our key. */
static void remove_stale(const char *root, const char *parent, const char *key,
                         enum cgdir_version version) {
    char start_of_name[KEY_MAX + 32];
    snprintf(start_of_name, sizeof start_of_name, PREFIX "%s.", key);
    DIR *dir = opendir(parent);
    if (!dir)
        return;
    for (struct dirent *e; (e = readdir(dir));) {
        int32_t pid;
        uint64_t start;
        char path[CGROUP_PATH_MAX + 256];
        if (strncmp(e->d_name, start_of_name, strlen(start_of_name)) != 0 ||
            !parse_name(e->d_name, &pid, &start) || lives(root, pid, start))
            continue;
        snprintf(path, sizeof path, "%s/%s", parent, e->d_name);
        if (!cgdir_remove(path, version))
            log_event(LOG_WARN, "stale_cgroup_stays", kv_text("path", path));
    }
    closedir(dir);
}

static bool make_base(struct cgroups *groups, enum group_kind kind, const char *parent,
                      const char *name) {
    char *base = groups->base[kind];
    int n = snprintf(base, CGROUP_PATH_MAX, "%s/%s", parent, name);
    if (n < CGROUP_BASE_MAX && (mkdir(base, 0755) == 0 || errno == EEXIST))
        return true;
    if (!groups->can.why[0])
        snprintf(groups->can.why, sizeof groups->can.why, "cannot make cgroup %.160s: %s", base,
                 strerror(errno));
    base[0] = '\0';
    return false;
}

/* Is what the supervisor will start in a slot's group alive? */
static bool try_birth(const char *base) {
    char path[CGROUP_PATH_MAX];
    snprintf(path, sizeof path, "%.*s/try", CGROUP_BASE_MAX, base);
    int fd = cgdir_open(path);
    if (fd < 0)
        return false;
    bool alive = cgdir_born_alive(fd);
    close(fd);
    cgdir_remove(path, CGDIR_V2);
    return alive;
}

static void make_v2(struct cgroups *groups, struct cgroup_place place, const char *key,
                    const char *name, const struct cgroup_options *options) {
    char *why = groups->can.why;
    size_t size = sizeof groups->can.why;
    const char *leaf = strrchr(place.path, '/');
    struct cgroup_place above = place;
    if (!place.path[0] || !holds(place.path, options->supervisor_pid)) {
        snprintf(why, size, "no cgroup version 2 is mounted that shows our own group");
        return;
    }
    if (leaf && strcmp(leaf + 1, LEAF) == 0 && cgroup_up(&above) && writable(above.path))
        place = above;
    if (!writable(place.path) || (systemd_runs(options->root) && !marked_delegated(place))) {
        snprintf(why, size,
                 "cgroup %.120s is not ours: run as a service with Delegate=yes, or under "
                 "systemd-run --user --scope -p Delegate=yes",
                 place.path);
        return;
    }
    remove_stale(options->root, place.path, key, CGDIR_V2);
    if (!make_base(groups, KIND_V2, place.path, name))
        return;
    take_controllers(groups, place.path, options); /* we may move: only then can birth be tried */
    groups->can.v2 = options->root[0] || try_birth(groups->base[KIND_V2]);
    if (groups->can.v2)
        return;
    groups->can.v2_memory = groups->can.v2_cpu = groups->can.v2_io = false;
    snprintf(why, size, "processes cannot be started in a cgroup here (before Linux 5.7?)");
}

static bool make_v1(struct cgroups *groups, enum group_kind kind, const struct cgroup_place *place,
                    const char *key, const char *name, const struct cgroup_options *options) {
    if (!place->path[0] || !writable(place->path) || !holds(place->path, options->supervisor_pid))
        return false;
    remove_stale(options->root, place->path, key, CGDIR_V1);
    return make_base(groups, kind, place->path, name);
}

void cgroup_base_make(struct cgroups *groups, const struct cgroup_options *options) {
    struct cgroup_places places;
    struct process_stat supervisor;
    char key[KEY_MAX + 1], name[KEY_MAX + 64];
    if (!procfile_stat(options->root, options->supervisor_pid, &supervisor)) {
        snprintf(groups->can.why, sizeof groups->can.why, "no process %d in /proc",
                 options->supervisor_pid);
        return;
    }
    plain_key(options->key, key);
    snprintf(name, sizeof name, PREFIX "%s.%d.%" PRIu64, key, options->supervisor_pid,
             supervisor.start_ticks);
    cgroup_find(options->root, &places);
    make_v2(groups, places.v2, key, name, options);
    if (!groups->can.v2_memory)
        groups->can.v1_memory = make_v1(groups, KIND_MEMORY, &places.memory, key, name, options);
    if (!groups->can.v2_cpu)
        groups->can.v1_cpu = make_v1(groups, KIND_CPU, &places.cpu, key, name, options);
}

/* --- what a dead worker left ----------------------------------------------------------------- */

bool cgroups_record(const struct cgroups *groups, const char *file) {
    struct buf text = BUF_INIT, aside = BUF_INIT;
    for (int kind = 0; kind < KINDS; kind++)
        if (groups->base[kind][0])
            buf_addf(&text, "%d %s\n", KIND_VERSION(kind), groups->base[kind]);
    buf_addf(&aside, "%s.new", file);
    bool ok = text.len == 0; /* an agent that sees none leaves what its supervisor's tasks are in */
    if (!ok) {
        int fd = open(aside.data, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        ok = fd >= 0 && write(fd, text.data, text.len) == (ssize_t)text.len;
        if (fd >= 0)
            close(fd);
        ok = ok && rename(aside.data, file) == 0;
    }
    buf_free(&text);
    buf_free(&aside);
    return ok;
}

/* A line "VERSION PATH". True when nothing of it is left to wait for. */
static bool end_line(const char *root, char *line) {
    const char *path = line + 2, *name = strrchr(line, '/');
    int32_t pid;
    uint64_t start;
    if ((line[0] != '1' && line[0] != '2') || line[1] != ' ' || path[0] != '/' ||
        !parse_name(name + 1, &pid, &start) || lives(root, pid, start))
        return true;
    return cgdir_remove(path, line[0] == '2' ? CGDIR_V2 : CGDIR_V1);
}

size_t cgroups_end_recorded(const char *root, const char *file) {
    char text[KINDS * (CGROUP_PATH_MAX + 16)], *rest = text;
    size_t left = 0;
    if (procfile_read(AT_FDCWD, file, text, sizeof text) <= 0)
        return 0;
    for (char *line; (line = strsep(&rest, "\n"));)
        left += !end_line(root, line);
    return left;
}
