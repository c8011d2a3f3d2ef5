/*
 * worker_names.h - what drainWorker, resumeWorker and stopWorker have in common.
 */
#ifndef DISTCOMP_MANAGER_WORKER_NAMES_H
#define DISTCOMP_MANAGER_WORKER_NAMES_H

#include "manager/command.h"

extern const struct opt worker_names_options[]; /* all */

/* For struct verb.check: names or --all must be there, and not both. */
bool worker_names_check(const struct args *args, struct buf *error);

/*
 * The whole verb: asks the workers for `want` ("run", "drain", "stop"). `done` completes the answer
 * "2 workers …". A name that no worker has is a failure, with the name that was probably meant;
 * then nobody is asked for anything. JSON: {"workers": [{"name": "w1", "lost": false}]}.
 */
int worker_names_want(struct session *session, const struct args *args, const char *want,
                      const char *done);

#endif
