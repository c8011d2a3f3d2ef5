/*
 * summary.h - the simulator's tables, on standard output.
 */
#ifndef DISTCOMP_SIMULATE_SUMMARY_H
#define DISTCOMP_SIMULATE_SUMMARY_H

#include "tests/simulate/sim.h"

void summary_head(const char *label);
/* A row, and used memory over time below it. */
void summary_each(const char *label, const struct sim_result *result,
                  const struct sim_result *fixed, double bound_s);
/* Median and worst of all traces, a row for each policy. */
void summary_all(struct sim_result (*results)[SIM_POLICY_COUNT], const double *bounds_s,
                 size_t traces);

#endif
