/*
 * follow.h - taskOutput -f: what a task prints while it runs, from any machine.
 *
 * DESIGN
 * A second connection subscribes to a channel with a random name, and `follow ID CHANNEL OUT ERR`
 * is published on the worker's wake channel, again every FOLLOW_ASK_MS. The worker's agent
 * publishes 'o' or 'e', the place of the first byte and bytes, from OUT of stdout and ERR of stderr
 * on, then 'x'. Places tell what was shown already and what is missing: after a gap, a lost
 * connection or from a new agent (its process id is in the worker's info), it is asked for on a
 * channel with a new name, from where the reader stands. The rest is taken from the result; what
 * got lost on the way is told.
 */
#ifndef DISTCOMP_MANAGER_FOLLOW_H
#define DISTCOMP_MANAGER_FOLLOW_H

#include "common/store.h"
#include "manager/command.h"

/* streams: bit 0 stdout, bit 1 stderr. Returns what the verb returns. SIGINT ends the program. */
int follow_task(struct session *session, struct store *store, const char *id, unsigned streams);

#endif
