/*
 * agent.h - the clever half of redisWorker: it talks to Redis and decides; the supervisor does.
 *
 * DESIGN
 * One libuv loop, one thread. Callbacks (answers of Redis, frames of the supervisor, timers,
 * signals) only change state and return; agent_step runs once a turn, before the loop sleeps, and
 * does what is due in a fixed order: lease, start, report, claim, leave. So there is one place that
 * decides, and whatever happened in a turn is answered in one write to Redis and one to the
 * supervisor.
 *
 * What is asked of Redis may be lost with the connection (callbacks get NULL). Then: a claim is
 * asked again with its request id; reports go back to ENDED and are sent again; register, renew and
 * reconcile are asked anew. Nothing is acknowledged to the supervisor before Redis has answered for
 * it, so the agent may die at any point: the supervisor has every exit, and `reconcile` settles
 * what was claimed.
 */
#ifndef DISTCOMP_AGENT_H
#define DISTCOMP_AGENT_H

#include "common/config.h"

/* In the environment of an agent that starts itself anew because its supervisor died: Redis may be
 * away. */
#define AGENT_AGAIN "DISTCOMP_AGENT_AGAIN"

/*
 * Runs as the agent on a socket to the supervisor until the worker leaves; returns the exit code of
 * the process. flags: for reading the configuration again. argv: to start redisWorker anew when the
 * supervisor dies.
 */
int agent_run(int supervisor_fd, struct config *config, const struct config_flags *flags,
              bool attached, char **argv);

#endif
