#include "worker/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

void confine_none(struct confine *c) {
    memset(c, 0, sizeof *c);
    c->cgroup_fd = -1;
}

bool confine_open(struct confine *c, const struct wire_start_view *view) {
    const struct wire_confine *w = &view->confine;
    confine_none(c);
    c->strict = w->flags & WIRE_CONFINE_STRICT;
    c->data_bytes = w->data_bytes;
    c->cpus_len = w->cpus_len;
    memcpy(c->cpus, view->cpus, w->cpus_len);
    const char *name = view->procs;
    for (; c->procs_count < w->procs_count; name += strlen(name) + 1)
        c->procs[c->procs_count++] = name;
    if (view->cgroup)
        c->cgroup_fd = open(view->cgroup, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return !view->cgroup || c->cgroup_fd >= 0 || !c->strict;
}

void confine_close(struct confine *c) {
    if (c->cgroup_fd >= 0)
        close(c->cgroup_fd);
    c->cgroup_fd = -1;
}

/* Of the caller alone, though it shares its memory with the supervisor. */
static bool move_self(int dir_fd, const char *procs) {
    int fd = openat(dir_fd, procs, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    bool moved = write(fd, "0", 1) == 1;
    int error = errno;
    close(fd);
    errno = error;
    return moved;
}

static bool limit_data(uint64_t bytes) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_DATA, &limit) != 0)
        return false;
    if (limit.rlim_max == RLIM_INFINITY || bytes < limit.rlim_max)
        limit.rlim_max = bytes; /* raising it takes a privilege */
    if (limit.rlim_cur == RLIM_INFINITY || limit.rlim_cur > limit.rlim_max)
        limit.rlim_cur = limit.rlim_max;
    return setrlimit(RLIMIT_DATA, &limit) == 0;
}

enum wire_step confine_self(const struct confine *c) {
    if (c->enter && !move_self(c->cgroup_fd, "cgroup.procs") && c->strict)
        return WIRE_STEP_CGROUP;
    for (uint32_t i = 0; i < c->procs_count; i++)
        if (!move_self(AT_FDCWD, c->procs[i]))
            return WIRE_STEP_CGROUP;
    /* The system call itself: the library's wrapper takes a set of fixed size. */
    if (c->cpus_len && syscall(SYS_sched_setaffinity, 0, (size_t)c->cpus_len, c->cpus) != 0)
        return WIRE_STEP_CPUS;
    if (c->data_bytes && !limit_data(c->data_bytes))
        return WIRE_STEP_DATA_LIMIT;
    return WIRE_STEP_NONE;
}
