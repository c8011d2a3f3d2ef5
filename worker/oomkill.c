#include "worker/oomkill.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/cgdir.h"
#include "worker/cgroupfind.h"
#include "worker/procfile.h"

enum { SHELL_KILLED = 128 + SIGKILL };

static uint64_t kills_in(const struct cgroup_place *place, enum cgdir_version version) {
    uint64_t count = 0;
    int fd = place->path[0] ? open(place->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    if (fd < 0)
        return 0;
    if (!cgdir_oom_kills(fd, version, &count))
        count = 0;
    close(fd);
    return count;
}

struct oom_count oom_count(const char *root) {
    struct oom_count count = {0};
    struct cgroup_places places;
    char path[CGROUP_PATH_MAX], text[32768];
    cgroup_find(root, &places);
    count.worker = kills_in(&places.v2, CGDIR_V2) + kills_in(&places.memory, CGDIR_V1);
    snprintf(path, sizeof path, "%s/proc/vmstat", root);
    if (procfile_read(AT_FDCWD, path, text, sizeof text) <= 0 ||
        !procfile_field(text, "oom_kill", &count.machine))
        count.machine = 0;
    return count;
}

enum oom_verdict oom_judge(const struct oom_evidence *e) {
    bool failed = !WIFEXITED(e->status) || WEXITSTATUS(e->status) != 0;
    bool killed = (WIFSIGNALED(e->status) && WTERMSIG(e->status) == SIGKILL) ||
                  (WIFEXITED(e->status) && WEXITSTATUS(e->status) == SHELL_KILLED);
    if (e->ours || !failed)
        return OOM_NO;
    if (e->slot_kills > 0)
        return e->limit_met ? OOM_LIMIT : OOM_MACHINE;
    bool somewhere =
        e->at_end.worker > e->at_start.worker || e->at_end.machine > e->at_start.machine;
    return killed && somewhere && e->was_short ? OOM_MACHINE : OOM_NO;
}
