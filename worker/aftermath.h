/*
 * aftermath.h - ending what a dead supervisor left behind.
 *
 * A supervisor's death kills its direct children (PDEATHSIG), not their children, and nothing that
 * was executed with set-user-id. Its tasks carry DISTCOMP_STATE_DIR and DISTCOMP_INCARNATION (a
 * random number) in their environment; every process that has both, every process in such a
 * process' session, and all their descendants are ended.
 *
 * What escapes: a process that cleared its environment, left its session, and whose ancestors that
 * still had them are gone. (Ending by cgroup, where cgroups can be made, has no such gap.)
 */
#ifndef DISTCOMP_AFTERMATH_H
#define DISTCOMP_AFTERMATH_H

#include <stddef.h>

#include "worker/statedir.h"

/*
 * For the agent, when it reads end-of-file from its supervisor: SIGKILL until none is left (at most
 * 10 s). Returns how many processes it ended. Does nothing and returns 0 while a supervisor lives
 * on state_dir (end-of-file then means that this agent was dropped; or a new supervisor has done it
 * already).
 */
size_t aftermath_end(const char *state_dir);

/* For the next supervisor, which holds the lock: the same for incarnation `incarnation`. */
size_t aftermath_sweep(const struct statedir *sd, uint64_t incarnation);

#endif
