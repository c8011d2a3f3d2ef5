#include "worker/agent_state.h"

static struct pins *pins(struct agent *a) {
    if (!a->pins)
        a->pins = pins_new(machine_topology(a->machine));
    return a->pins;
}

/* A limit of 1.5 cores is no limit when it gets both threads of two cores. */
static void keep_first(struct cpus *set, uint32_t count) {
    struct cpus kept = {{0}};
    uint32_t cpu = cpus_next(set, 0);
    for (; count > 0 && cpu < CPUS_MAX; count--, cpu = cpus_next(set, cpu + 1))
        cpus_add(&kept, cpu);
    *set = kept;
}

void pin_place(struct agent *a, struct run *run, bool limit) {
    struct placement *p = run->placement;
    if (!p || p->pinned || (p->pin == PLACEMENT_FREE && !limit))
        return;
    bool node = p->pin == PLACEMENT_NUMA && !limit;
    p->cpus = (struct cpus){{0}};
    pin_choose(pins(a), node ? PIN_NUMA : PIN_CORE, run->mcpu, &p->cpus);
    if (limit)
        keep_first(&p->cpus, (p->limit_mcpu + 999) / 1000);
    p->pinned = true;
    p->pinned_mcpu = run->mcpu;
    pin_take(a->pins, &p->cpus, p->pinned_mcpu);
}

void pin_free(struct agent *a, struct run *run) {
    struct placement *p = run->placement;
    if (!p || !p->pinned)
        return;
    pin_release(pins(a), &p->cpus, p->pinned_mcpu);
    p->pinned = false;
}

void pin_adopt(struct agent *a) {
    for (struct run *run = a->runs.lists[RUN_STARTED].first; run; run = run->next)
        if (run->placement && run->placement->pinned)
            pin_take(pins(a), &run->placement->cpus, run->placement->pinned_mcpu);
}
