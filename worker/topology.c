#include "worker/topology.h"

#include <stdlib.h>

#include "worker/hwloclib.h"

struct topology_node *topology_add_node(struct topology *topology, uint32_t number,
                                        uint64_t memory_bytes) {
    topology->nodes =
        xrealloc(topology->nodes, (topology->node_count + 1) * sizeof *topology->nodes);
    struct topology_node *node = &topology->nodes[topology->node_count++];
    *node = (struct topology_node){.number = number, .memory_bytes = memory_bytes};
    return node;
}

void topology_add_core(struct topology *topology, const struct cpus *cpus) {
    topology->cores =
        xrealloc(topology->cores, (topology->core_count + 1) * sizeof *topology->cores);
    struct topology_core *core = &topology->cores[topology->core_count++];
    core->node = (uint32_t)topology->node_count - 1;
    core->cpus = *cpus;
    cpus_join(&topology->nodes[core->node].cpus, cpus);
}

void topology_plain(struct topology *topology, const struct cpus *allowed, uint64_t memory_bytes) {
    *topology = (struct topology){.source = "none"};
    topology_add_node(topology, 0, memory_bytes);
    uint32_t cpu = cpus_next(allowed, 0);
    do {
        struct cpus one = {{0}};
        cpus_add(&one, cpu < CPUS_MAX ? cpu : 0);
        topology_add_core(topology, &one);
        cpu = cpus_next(allowed, cpu + 1);
    } while (cpu < CPUS_MAX);
}

void topology_read(struct topology *topology, const struct cpus *allowed, uint64_t memory_bytes) {
    struct topology found = {.source = "hwloc"};
    if (!hwloclib_read(&found, allowed) || found.core_count == 0) {
        topology_free(&found);
        topology_plain(topology, allowed, memory_bytes);
        return;
    }
    /* A kernel may count a node's memory without what was plugged in later. */
    if (found.node_count == 1)
        found.nodes[0].memory_bytes = memory_bytes;
    *topology = found;
}

void topology_free(struct topology *topology) {
    free(topology->nodes);
    free(topology->cores);
    *topology = (struct topology){.source = "none"};
}
