/*
 * plan.h - the task file of `loadTask --plan 'PLANNER ARGUMENT…'`: what redisPlan prints.
 */
#ifndef DISTCOMP_MANAGER_PLAN_H
#define DISTCOMP_MANAGER_PLAN_H

#include "common/taskfile.h"
#include "manager/args.h"

/*
 * Runs the redisPlan beside this program with the words of --plan, as a shell would split them, and
 * with the settings of this command line, and opens what it has printed. Waits for its end; its
 * messages go to stderr. NULL with why in error, also when it has failed.
 */
struct taskfile *plan_open(const struct args *args, struct buf *error);

#endif
