#include "worker/cgroupfind.h"

#include <string.h>
#include <unistd.h>

#include "worker/cgroupdirs.h"

static void take(struct cgroup_place *place, const struct cgroupdir *dir) {
    *place = (struct cgroup_place){0};
    if (dir->path.len == 0 || dir->path.len >= sizeof place->path ||
        access(dir->path.data, F_OK) != 0)
        return;
    memcpy(place->path, dir->path.data, dir->path.len + 1);
    place->mount_len = dir->mount_len;
    while (place->path[place->mount_len] == '\0' && place->mount_len > 1 &&
           place->path[place->mount_len - 1] == '/') /* "/" is the group at the mount itself */
        place->path[--place->mount_len] = '\0';
}

void cgroup_find(const char *root, struct cgroup_places *places) {
    struct cgroupdirs dirs;
    cgroupdirs_read(&dirs, root);
    take(&places->v2, &dirs.dirs[CGROUP_V2]);
    take(&places->memory, &dirs.dirs[CGROUP_V1_MEMORY]);
    take(&places->cpu, &dirs.dirs[CGROUP_V1_CPU]);
    cgroupdirs_free(&dirs);
}

bool cgroup_up(struct cgroup_place *place) {
    char *slash = strrchr(place->path, '/');
    if (!slash || (size_t)(slash - place->path) < place->mount_len)
        return false;
    *slash = '\0';
    return true;
}
