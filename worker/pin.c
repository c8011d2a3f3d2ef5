#include "worker/pin.h"

#include <stdlib.h>

/* What tasks were promised of a core or a node; `used` may be above what it has. */
struct load {
    uint64_t capacity_mcpu, used_mcpu, tasks;
};

struct core {
    struct cpus cpus;
    uint32_t node;
    struct load load;
};

struct pins {
    struct core *cores;
    size_t core_count, node_count;
};

/* Of a node: what its unused cores have, what nobody was promised, and all of it. */
enum room { ROOM_UNUSED_CORES, ROOM_UNPROMISED, ROOM_ALL };

struct sum {
    uint64_t room[ROOM_ALL + 1];
    struct load load;
};

struct pins *pins_new(const struct topology *topology) {
    struct pins *pins = xcalloc(1, sizeof *pins);
    pins->core_count = topology->core_count;
    pins->node_count = topology->node_count;
    pins->cores = xcalloc(pins->core_count, sizeof *pins->cores);
    for (size_t i = 0; i < pins->core_count; i++) {
        const struct topology_core *core = &topology->cores[i];
        pins->cores[i] =
            (struct core){.cpus = core->cpus,
                          .node = core->node,
                          .load.capacity_mcpu = UINT64_C(1000) * cpus_count(&core->cpus)};
    }
    return pins;
}

void pins_free(struct pins *pins) {
    if (!pins)
        return;
    free(pins->cores);
    free(pins);
}

static struct sum node_sum(const struct pins *pins, uint32_t node) {
    struct sum sum = {0};
    for (size_t i = 0; i < pins->core_count; i++) {
        const struct load *core = &pins->cores[i].load;
        if (pins->cores[i].node != node)
            continue;
        sum.room[ROOM_ALL] += core->capacity_mcpu;
        sum.load.capacity_mcpu += core->capacity_mcpu;
        sum.load.used_mcpu += core->used_mcpu;
        sum.load.tasks += core->tasks;
        if (core->tasks == 0)
            sum.room[ROOM_UNUSED_CORES] += core->capacity_mcpu;
        if (core->used_mcpu < core->capacity_mcpu)
            sum.room[ROOM_UNPROMISED] += core->capacity_mcpu - core->used_mcpu;
    }
    return sum;
}

/* Whether a is less used than b, as shares of what they have; then, by how many tasks. */
static bool less_used(const struct load *a, const struct load *b) {
    uint64_t left = a->used_mcpu * b->capacity_mcpu, right = b->used_mcpu * a->capacity_mcpu;
    if (left != right)
        return left < right;
    return a->tasks * b->capacity_mcpu < b->tasks * a->capacity_mcpu;
}

#define ANY_NODE UINT32_MAX

static bool node_meets(const struct pins *pins, uint32_t node, const struct cpus *set) {
    for (size_t i = 0; i < pins->core_count; i++)
        if (pins->cores[i].node == node && cpus_meet(&pins->cores[i].cpus, set))
            return true;
    return false;
}

/* Of the nodes with room for mcpu and nothing chosen yet, the one with the least used share;
 * ANY_NODE when there is none. */
static uint32_t best_node(const struct pins *pins, uint64_t mcpu, enum room room,
                          const struct cpus *chosen) {
    uint32_t best = ANY_NODE;
    struct sum best_sum = {0};
    for (uint32_t node = 0; node < pins->node_count; node++) {
        struct sum sum = node_sum(pins, node);
        if (sum.room[ROOM_ALL] == 0 || sum.room[room] < mcpu || node_meets(pins, node, chosen))
            continue;
        if (best == ANY_NODE || less_used(&sum.load, &best_sum.load)) {
            best = node;
            best_sum = sum;
        }
    }
    return best;
}

/* The least used core of a node, or of all, that is not chosen yet; NULL when all are. */
static const struct core *best_core(const struct pins *pins, uint32_t node,
                                    const struct cpus *chosen) {
    const struct core *best = NULL;
    for (size_t i = 0; i < pins->core_count; i++) {
        const struct core *core = &pins->cores[i];
        if ((node != ANY_NODE && core->node != node) || cpus_meet(&core->cpus, chosen))
            continue;
        if (!best || less_used(&core->load, &best->load))
            best = core;
    }
    return best;
}

static void choose_cores(const struct pins *pins, uint64_t mcpu, struct cpus *chosen) {
    uint32_t node = best_node(pins, mcpu, ROOM_UNUSED_CORES, chosen);
    if (node == ANY_NODE)
        node = best_node(pins, mcpu, ROOM_UNPROMISED, chosen);
    uint64_t got = 0;
    const struct core *core;
    while (got < mcpu && (core = best_core(pins, node, chosen))) {
        cpus_join(chosen, &core->cpus);
        got += core->load.capacity_mcpu;
    }
}

static void add_node(const struct pins *pins, uint32_t node, struct cpus *chosen) {
    for (size_t i = 0; i < pins->core_count; i++)
        if (pins->cores[i].node == node)
            cpus_join(chosen, &pins->cores[i].cpus);
}

static void choose_nodes(const struct pins *pins, uint64_t mcpu, struct cpus *chosen) {
    uint32_t node = best_node(pins, mcpu, ROOM_ALL, chosen);
    if (node != ANY_NODE) {
        add_node(pins, node, chosen);
        return;
    }
    uint64_t got = 0; /* larger than any node */
    while (got < mcpu && (node = best_node(pins, 0, ROOM_ALL, chosen)) != ANY_NODE) {
        add_node(pins, node, chosen);
        got += node_sum(pins, node).room[ROOM_ALL];
    }
}

void pin_choose(const struct pins *pins, enum pin_mode mode, uint32_t mcpu, struct cpus *chosen) {
    *chosen = (struct cpus){{0}};
    uint64_t wanted = mcpu ? mcpu : 1000;
    if (mode == PIN_NUMA)
        choose_nodes(pins, wanted, chosen);
    else
        choose_cores(pins, wanted, chosen);
}

/* Spreads a request over the cores of its set, each by its capacity. The parts depend on set and
 * mcpu only, so that what is taken is what is released. */
static void spread(struct pins *pins, const struct cpus *set, uint64_t mcpu, bool take) {
    uint64_t whole = 0, before = 0;
    for (size_t i = 0; i < pins->core_count; i++)
        if (cpus_meet(&pins->cores[i].cpus, set))
            whole += pins->cores[i].load.capacity_mcpu;
    if (whole == 0)
        return;
    for (size_t i = 0; i < pins->core_count; i++) {
        struct load *core = &pins->cores[i].load;
        if (!cpus_meet(&pins->cores[i].cpus, set))
            continue;
        uint64_t after = before + core->capacity_mcpu;
        uint64_t part = mcpu * after / whole - mcpu * before / whole;
        if (take) {
            core->used_mcpu += part;
            core->tasks++;
        } else {
            core->used_mcpu -= part < core->used_mcpu ? part : core->used_mcpu;
            core->tasks -= core->tasks > 0;
        }
        before = after;
    }
}

void pin_take(struct pins *pins, const struct cpus *set, uint32_t mcpu) {
    spread(pins, set, mcpu, true);
}

void pin_release(struct pins *pins, const struct cpus *set, uint32_t mcpu) {
    spread(pins, set, mcpu, false);
}
