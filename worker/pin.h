/*
 * pin.h - which CPUs a task is pinned to (pin=core, pin=numa). Pure.
 *
 * Whole cores are handed out, with all their hardware threads, those least used first; a core may
 * serve several tasks when there are more tasks than cores. A request in milli-CPUs takes as many
 * cores as have that many threads, within one NUMA node that has unused cores for it, else within
 * one that was not promised away, else wherever the least used ones are. PIN_NUMA gives all CPUs of
 * the least used node that could hold the request, or of as many nodes as it needs.
 *
 * What a task has is told by its set and its milli-CPUs alone, so a new agent can take over tasks
 * that another one pinned: pin_take with what they have.
 */
#ifndef DISTCOMP_PIN_H
#define DISTCOMP_PIN_H

#include <stdint.h>

#include "worker/topology.h"

enum pin_mode { PIN_CORE, PIN_NUMA };

struct pins;

/* Keeps its own copy of what it needs of the topology. */
struct pins *pins_new(const struct topology *topology);
void pins_free(struct pins *pins); /* NULL is fine */

/* Chooses a set for a request of mcpu (thousandths of a CPU; 0 counts like one CPU to choose by,
 * and then weighs next to nothing). Never empty. Changes nothing. */
void pin_choose(const struct pins *pins, enum pin_mode mode, uint32_t mcpu, struct cpus *chosen);
/* A task with that set runs now, or has ended. CPUs that are in no core are ignored. */
void pin_take(struct pins *pins, const struct cpus *set, uint32_t mcpu);
void pin_release(struct pins *pins, const struct cpus *set, uint32_t mcpu);

#endif
