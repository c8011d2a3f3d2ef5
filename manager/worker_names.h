/*
 * worker_names.h - what drainWorker, resumeWorker and stopWorker have in common.
 */
#ifndef DISTCOMP_MANAGER_WORKER_NAMES_H
#define DISTCOMP_MANAGER_WORKER_NAMES_H

#include "manager/command.h"
#include "manager/worker_wait.h"

extern const struct opt worker_names_options[]; /* all */

/* For struct verb.check: names or --all must be there, and not both. */
bool worker_names_check(const struct args *args, struct buf *error);

struct worker_wish {
    const char *want;       /* "run", "drain", "stop" */
    const char *one, *many; /* complete the answers "1 worker …" and "2 workers …" */
    bool may_wait;          /* has worker_wait_options */
    enum worker_until until;
    const char *has, *have; /* as one and many, when --wait has come to its end */
};
/*
 * The whole verb. A name that no worker has is a failure, with the name that was probably meant;
 * then nobody is asked for anything. Lost workers are not waited for. JSON: {"workers": [{"name":
 * "w1", "lost": false}]}; with --wait each has "done" as well, and the object "timed_out".
 */
int worker_names_want(struct session *session, const struct args *args,
                      const struct worker_wish *wish);

#endif
