/*
 * cgroupfind.h - the directories of the groups that this process is in, and the way up from them.
 *
 * cgroupdirs.h with the files read. A hierarchy that is not mounted is not found.
 */
#ifndef DISTCOMP_CGROUPFIND_H
#define DISTCOMP_CGROUPFIND_H

#include <stdbool.h>
#include <stddef.h>

#define CGROUP_PATH_MAX 1024

struct cgroup_place {
    char path[CGROUP_PATH_MAX]; /* our group's directory, root included; "" when not found */
    size_t mount_len;           /* path[0..mount_len) is where the hierarchy is mounted */
};

struct cgroup_places {
    struct cgroup_place v2;          /* the unified hierarchy, with or without controllers */
    struct cgroup_place memory, cpu; /* version 1 */
};

/* Reads /proc/self/mountinfo and /proc/self/cgroup under `root`, which is "" but in tests. */
void cgroup_find(const char *root, struct cgroup_places *places);

/* Goes one group up; false at the mount. */
bool cgroup_up(struct cgroup_place *place);

#endif
