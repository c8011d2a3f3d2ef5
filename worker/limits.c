#include "worker/limits.h"

void limits_choose(const struct cgroup_abilities *abilities, const struct placement *placement,
                   struct limits *limits) {
    *limits = (struct limits){.data_bytes = 0};
    if (!placement || !placement->hard)
        return;
    if (abilities && (abilities->v2_memory || abilities->v1_memory))
        limits->cgroup.memory_bytes = placement->limit_bytes;
    else
        limits->data_bytes = placement->limit_bytes;
    if (abilities && (abilities->v2_cpu || abilities->v1_cpu))
        limits->cgroup.mcpu = placement->limit_mcpu;
    else
        limits->pin = placement->limit_mcpu > 0;
}
