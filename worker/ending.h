/*
 * ending.h - how a try ends: by itself, by request, by its timeout; and with all its processes.
 *
 *   main process reaped, no stray                       -> ENDED
 *   the host in the slot has answered (host.h)          -> as if it had been reaped
 *   main process reaped, strays, WIRE_START_WAIT_LEFTOVER -> ENDED when the last stray is reaped
 *   main process reaped, strays                         -> they get SIGTERM, then SIGKILL; then
 * ENDED ending_request, timeout                             -> SIGTERM to all, grace, SIGKILL until
 * none is left
 *
 * Signals are sent by ending_sweep, once a turn of the loop for all slots that are due, because it
 * reads the whole of /proc: descendants are those whose chain of parents leads to the try's main
 * process or to one of its strays (stray.h). SIGKILL goes to whole process groups (proctree_signal)
 * and is repeated with a back-off, so that neither a fork bomb nor a process that forks while we
 * look gets away.
 */
#ifndef DISTCOMP_ENDING_H
#define DISTCOMP_ENDING_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "worker/hostwire.h"
#include "worker/wire.h"

#define ENDING_LEFTOVER_GRACE_MS                                                                   \
    250 /* SIGTERM to SIGKILL for what a finished main process left behind */

/* Called when a slot has ENDED: its EXIT can be sent. */
extern void (*ending_done)(uint32_t slot);

/* Ends a RUNNING try; why is kept if it is the first. Grace 0: SIGKILL at once. A second request
   can only shorten the grace. */
void ending_request(uint32_t number, uint32_t why, uint32_t grace_ms);
void ending_request_all(uint32_t why, uint32_t grace_ms);

/* What somebody of the try has used comes to what is known. */
void ending_add(struct wire_exit *e, const struct host_use *use);
struct host_use ending_use(const struct rusage *usage);
/* The slot's host is done with its try, and idle. */
void ending_answered(uint32_t number, const struct host_done *done);
/* wait4 returned pid: a try's main process or anything else but the agent. */
void ending_reaped(int32_t pid, int status, const struct rusage *usage);
/* After a round of ending_reaped or ending_answered. */
void ending_settle(void);
/* Deadlines that have passed: timeouts, the end of a grace, SIGKILL again, another look at a stray
   that is undecided. */
void ending_timers(int64_t now_us);
int64_t ending_deadline(void); /* ustime_mono; INT64_MAX: none */
/* Sends the signals that are due. */
void ending_sweep(void);

#endif
