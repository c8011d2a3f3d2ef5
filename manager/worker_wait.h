/*
 * worker_wait.h - --wait of stopWorker and drainWorker: until those that were asked have left, or
 * run nothing any more.
 */
#ifndef DISTCOMP_MANAGER_WORKER_WAIT_H
#define DISTCOMP_MANAGER_WORKER_WAIT_H

#include "manager/command.h"

#define WORKER_WAIT_TIMED_OUT 124 /* as timeout(1) */

extern const struct opt worker_wait_options[]; /* wait, timeout */

/* For struct verb.check: worker_names_check, and no --timeout without --wait. */
bool worker_wait_check(const struct args *args, struct buf *error);

enum worker_until { WORKER_UNTIL_GONE, WORKER_UNTIL_IDLE };

struct worker_waiting {
    const char *name; /* borrowed */
    bool over;        /* it has left (or its lease has ended), or runs nothing */
};
/*
 * Waits for those that are not over, which it notes; timeout_ms NULL: as long as it takes. Redis
 * may go away meanwhile and come back. `want` is what they were asked for: one that is asked for
 * something else meanwhile is a failure. Returns an exit code, WORKER_WAIT_TIMED_OUT among them;
 * the reason of any but EXIT_DONE was printed.
 */
int worker_wait(struct session *session, enum worker_until until, const char *want,
                const uint64_t *timeout_ms, struct worker_waiting *workers, size_t count);

#endif
