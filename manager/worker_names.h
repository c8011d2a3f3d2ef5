/*
 * worker_names.h - the workers that drainWorker, resumeWorker and stopWorker are about.
 */
#ifndef DISTCOMP_MANAGER_WORKER_NAMES_H
#define DISTCOMP_MANAGER_WORKER_NAMES_H

#include "manager/args.h"

extern const struct opt worker_names_options[]; /* all */

/* For struct verb.check: names or --all must be there, and not both. */
bool worker_names_check(const struct args *args, struct buf *error);

#endif
