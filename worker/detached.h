/*
 * detached.h - a supervisor that is nobody's child, for service managers.
 *
 * A service manager watches the process it started, and a restart replaces that process. So that
 * tasks survive it, the process that systemd starts (NOTIFY_SOCKET is set) has to be the agent, and
 * the supervisor a daemon beside it:
 *
 *     systemd ─ redisWorker = agent, attached by STATE_DIR/supervisor.sock     (the main process)
 *             └ redisWorker = supervisor ─ tasks                              (left alone by a
 * restart)
 *
 * SIGUSR1 makes the agent leave; the next redisWorker on the state_dir finds the supervisor and
 * attaches.
 */
#ifndef DISTCOMP_DETACHED_H
#define DISTCOMP_DETACHED_H

#include <stddef.h>

#include "worker/supervisor.h"

/*
 * Starts a supervisor as a daemon that leaves when its agent has left and no task is held, and
 * connects to it: returns what statedir_attach returns, never STATEDIR_NONE. When the supervisor
 * could not start it has said why on standard error.
 */
int detached_start(const struct supervisor_options *options, char *error, size_t error_size);

#endif
