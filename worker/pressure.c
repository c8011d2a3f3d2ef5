#include "worker/pressure.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "worker/cgroupfind.h"
#include "worker/procfile.h"

static void add(struct pressure *p, enum pressure_kind kind, int fd, short events, const char *path,
                const char *detail) {
    if (p->count == PRESSURE_MAX) {
        close(fd);
        return;
    }
    struct pressure_source *s = &p->sources[p->count++];
    *s = (struct pressure_source){.kind = kind, .fd = fd, .events = events};
    snprintf(s->what, sizeof s->what, "%.120s %.32s", path, detail);
}

static void open_stall(struct pressure *p, const char *path) {
    static const char *const triggers[] = {"some 20000 500000", "some 40000 2000000"};
    for (size_t i = 0; i < 2; i++) {
        int fd = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return;
        /* The kernel wants the NUL too. */
        if (write(fd, triggers[i], strlen(triggers[i]) + 1) > 0) {
            add(p, PRESSURE_STALL, fd, POLLPRI, path, triggers[i]);
            return;
        }
        close(fd);
    }
}

/* "EVENTFD FILE ARGUMENT" to cgroup.event_control; the eventfd lives on without the others. */
static void open_event(struct pressure *p, enum pressure_kind kind, const char *group,
                       const char *file, const char *argument) {
    char path[CGROUP_PATH_MAX + 64], line[96];
    snprintf(path, sizeof path, "%s/%s", group, file);
    int watched = open(path, O_RDONLY | O_CLOEXEC);
    if (watched < 0)
        return;
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    snprintf(line, sizeof line, "%d %d %s", fd, watched, argument);
    snprintf(path, sizeof path, "%s/cgroup.event_control", group);
    if (fd >= 0 && procfile_write(AT_FDCWD, path, line) == 0)
        add(p, kind, fd, POLLIN, group, argument);
    else if (fd >= 0)
        close(fd);
    close(watched);
}

static void open_v1(struct pressure *p, const struct resource_limit *limit, bool first,
                    uint64_t trigger_bytes) {
    char threshold[32];
    if (limit->limit_bytes <= trigger_bytes)
        return;
    snprintf(threshold, sizeof threshold, "%" PRIu64, limit->limit_bytes - trigger_bytes);
    open_event(p, PRESSURE_USAGE, limit->directory, "memory.usage_in_bytes", threshold);
    if (first)
        open_event(p, PRESSURE_LEVEL, limit->directory, "memory.pressure_level", "medium");
}

static void open_v2(struct pressure *p, const struct resource_limit *limit, bool first) {
    char path[CGROUP_PATH_MAX + 64];
    if (first) { /* our own group may hold agent and supervisor alone; tasks are under this one */
        snprintf(path, sizeof path, "%s/memory.pressure", limit->directory);
        open_stall(p, path);
    }
    int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
    snprintf(path, sizeof path, "%s/memory.events", limit->directory);
    if (fd >= 0 && inotify_add_watch(fd, path, IN_MODIFY | IN_DELETE_SELF) >= 0)
        add(p, PRESSURE_EVENTS, fd, POLLIN, path, "");
    else if (fd >= 0)
        close(fd);
}

void pressure_open(struct pressure *p, const char *root, const struct resource_limit *limits,
                   size_t count, uint64_t trigger_bytes) {
    char path[CGROUP_PATH_MAX];
    size_t seen[2] = {0};
    p->count = 0;
    snprintf(path, sizeof path, "%s/proc/pressure/memory", root);
    open_stall(p, path);
    for (size_t i = 0; i < count; i++) {
        bool first = seen[limits[i].v2]++ == 0;
        if (limits[i].v2)
            open_v2(p, &limits[i], first);
        else
            open_v1(p, &limits[i], first, trigger_bytes);
    }
}

bool pressure_drain(const struct pressure_source *source) {
    char bytes[4096];
    if (source->kind ==
        PRESSURE_STALL) { /* polling alone takes the event; a dead one is in error */
        struct pollfd p = {.fd = source->fd, .events = POLLPRI};
        return poll(&p, 1, 0) >= 0 && !(p.revents & (POLLERR | POLLNVAL));
    }
    bool alive = true;
    for (ssize_t n; (n = read(source->fd, bytes, sizeof bytes)) > 0;) {
        if (source->kind != PRESSURE_EVENTS)
            break; /* an eventfd is one number */
        const struct inotify_event *e;
        for (ssize_t at = 0; at < n; at += (ssize_t)(sizeof *e + e->len)) {
            e = (const void *)(bytes + at);
            alive = alive && !(e->mask & (IN_IGNORED | IN_DELETE_SELF));
        }
    }
    return alive;
}

void pressure_close(struct pressure *p) {
    for (size_t i = 0; i < p->count; i++)
        close(p->sources[i].fd);
    p->count = 0;
}
