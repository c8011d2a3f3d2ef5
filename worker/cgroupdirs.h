/*
 * cgroupdirs.h - where the cgroups that hold this process are to be read.
 *
 * cgroupdirs_find is pure: it works on the texts of /proc/self/mountinfo and /proc/self/cgroup. A
 * cgroup's path in the latter is relative to the process's cgroup namespace; a mount may show only
 * a part of the hierarchy (mountinfo's "root" field: the container's own group, or "/.." and more
 * for what lies above the namespace). The directory is mount point + (path less root). Where the
 * path is outside of what the mount shows, the mount's top is all that can be read, and stands for
 * it: in a container that is its own group.
 */
#ifndef DISTCOMP_CGROUPDIRS_H
#define DISTCOMP_CGROUPDIRS_H

#include <stdbool.h>
#include <stddef.h>

#include "common/buf.h"

enum cgroup_kind { CGROUP_V2, CGROUP_V1_MEMORY, CGROUP_V1_CPU, CGROUP_V1_CPUSET, CGROUP_KINDS };

/* In each hierarchy that is mounted, this process's own group, and how much of its path is the
 * mount point: the groups above it are its prefixes down to that. `path` is empty where there is
 * none. */
struct cgroupdir {
    struct buf path; /* owned */
    size_t mount_len;
};

struct cgroupdirs {
    struct cgroupdir dirs[CGROUP_KINDS];
};

/* Fills an uninitialised struct. `prefix` ("" but in tests) is put before each path. */
void cgroupdirs_find(struct cgroupdirs *found, const char *mountinfo, const char *cgroup,
                     const char *prefix);
/* The same from the files themselves. */
void cgroupdirs_read(struct cgroupdirs *found, const char *root);
void cgroupdirs_free(struct cgroupdirs *found);

#endif
