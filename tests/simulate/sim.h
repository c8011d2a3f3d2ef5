/*
 * sim.h - one worker that works off a trace under a set of rules, with a virtual clock.
 *
 * Events only: a task's memory is straight between the points of its curve, so nothing happens
 * between points, looks of the watch and chances to admit. The decisions are the worker's own
 * functions (worker/memroom.h, worker/evict.h, worker/memrate.h, common/need.h, common/peaks.h).
 * The same trace and setup give the same result.
 *
 * The machine: what is ended with SIGKILL begins to free its memory after 5 ms, 10 GiB a second
 * (measured: 0.1 s a GiB). A task's memory is measured once a second after its start, all tasks' at
 * once when there is too little; what is available is known at each look. When tasks together have
 * more than there is, the kernel kills the largest.
 */
#ifndef DISTCOMP_SIMULATE_SIM_H
#define DISTCOMP_SIMULATE_SIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/simulate/trace.h"
#include "worker/evict.h"

/* X(symbol, name, what it is) */
#define SIM_POLICIES(X)                                                                            \
    X(FIXED, "fixed", "the request is reserved, all memory is given out, nobody is returned")      \
    X(ORIGINAL, "original",                                                                        \
      "one task each 2 s while more than the accept threshold, and its request, is available;\n"   \
      "               looks at memory each 2 s, returns the most recent below the trigger")        \
    X(PROMISE, "promise", "the request is promised and held; the watch returns tasks")             \
    X(HOLD, "hold", "the request is promised; what its family takes typically is held")            \
    X(LEARNED, "learned",                                                                          \
      "min_dram=auto: the family's need is promised, what it takes typically held")                \
    X(PERFECT, "perfect", "as learned, but every task's peak is known beforehand")

enum sim_policy {
#define X(symbol, name, help) SIM_##symbol,
    SIM_POLICIES(X)
#undef X
        SIM_POLICY_COUNT
};
const char *sim_policy_name(enum sim_policy policy);

struct sim_setup {
    enum sim_policy policy;
    double memory_bytes, accept_bytes, trigger_bytes;
    unsigned cores;
    enum evict_policy evict;
    unsigned need, hold; /* percentiles of learning (common/peaks.h) */
    unsigned first;      /* peaks from which a family is known */
    unsigned share;      /* before that, percent of a core's share of the memory */
};
/* 64 GiB, 32 cores, and the worker's own defaults for them. */
struct sim_setup sim_setup_default(enum sim_policy policy);
double sim_accept_default(double memory_bytes);
/* What one task may have at most: of the memory, less what admission keeps free. */
double sim_setup_most(const struct sim_setup *setup);

#define SIM_BINS 64
struct sim_result {
    double makespan_s;
    double used_share;         /* of the memory, mean over the makespan */
    double running_mean;       /* tasks at a time */
    double useful_s, wasted_s; /* core-seconds of tries that finished, and of others */
    unsigned starts, returns, culprits, kernel_kills;
    unsigned failed; /* tasks: four tries killed by the kernel, or more needed than there is */
    double bins[SIM_BINS]; /* used share over time, bins of equal length */
    int bin_count;
};
double sim_wasted_share(const struct sim_result *result);

struct sim_result sim_run(const struct sim_trace *trace, const struct sim_setup *setup);

/* Seconds that no rules can go below: cores, memory (the true use, packed without a gap), longest.
 */
double sim_bound_s(const struct sim_trace *trace, const struct sim_setup *setup);

#endif
