/*
 * stray.h - children that became the supervisor's because their own parent died, and whose they
 * are.
 *
 * The supervisor is a child subreaper, so every living descendant of a try hangs below a direct
 * child of the supervisor: the try's main process, or a stray. A try whose main process has been
 * reaped and that has no stray therefore has nothing left at all; one read of our own list of
 * children tells.
 *
 * Whose a stray is has to be proved, in this order:
 *   1. it is in a session that a try's main process made;
 *   2. it was seen below a try's main process before (stray_mark);
 *   3. its environment has a try's DISTCOMP_COOKIE, or that of its host.
 *
 * UNDECIDED
 * The third proof is not there at every moment. execve gives a process its new memory first and an
 * environment last; who reads it in between reads nothing. `setsid sleep 1000 & exit` gets there:
 * the child has left the session (no 1), its parent is dead before anybody looked (no 2), and it is
 * in the middle of becoming sleep (no 3). What can be read by a fault only (no descriptors, no
 * memory) is the same. Such a stray is undecided: it may be of any try that is about to end, so
 * none ends (stray_undecided) until it was looked at again, STRAY_LOOKS times in a second, by the
 * loop's timer. What still cannot be read then (a program on a dead file server; one whose first
 * thread has ended) holds nobody up any more, but is looked at every second; once it proves to be
 * of a try of ours that has ended, it is killed.
 *
 * Nothing slips past between two looks:
 *   - A process' children become ours while it dies, before it can be waited for. So once the main
 *     process was waited for, all it leaves is on the list; and as long as a stray that was not
 *     waited for is counted, so are the children it may leave.
 *   - A child between fork, vfork or clone and its execve has its parent's environment, or a copy.
 *   - Two programs one after the other (setsid, then sleep) are two such moments, not a longer one:
 *     between them the environment can be read and is the try's.
 *
 * An environment that is there without the cookie decides: a process that left its session, lost
 * its parents before anybody looked and cleared its environment is nobody's (stray_unowned counts
 * it), and is left alone until the worker stops.
 */
#ifndef DISTCOMP_STRAY_H
#define DISTCOMP_STRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/proctree.h"

/* Once, at boot: the incarnation that the tasks' environments name. */
void stray_init(uint64_t incarnation);

/* The agent's pid, 0 for none, and its session (it outlives the agent's process): a stray of that
   session is the agent's helper and is let be. */
void stray_set_agent(int32_t pid, int32_t session);

/* Finds children that are not known yet, and looks again at those that are due. Call after reaping,
   when a try waits for its last process, and at stray_deadline. */
void stray_look(void);
/* When the next look is due (ustime_mono); INT64_MAX: none. */
int64_t stray_deadline(void);
/* Somebody's child is here, and it may be anybody's: no try may end now. */
bool stray_undecided(void);

/* A child was reaped: forgets it. Returns its slot, -1 when it was nobody's or is not known. */
int stray_reaped(int32_t pid);

/* The slot of a stray, -1 for none. */
int stray_slot(int32_t pid);

/* Strays of a slot that are alive (slot_table[].strays counts dead ones too, until they are
 * reaped). */
uint32_t stray_alive(uint32_t slot);

/* This process is a descendant of the slot's try, whatever becomes of its parents. */
void stray_mark(const struct proc_stat *stat, uint32_t slot);

/* We may not signal this one (another user's, after setuid): it is nobody's from now on. */
void stray_disown(int32_t pid);

/* The slot is free for another try: forgets its marks. */
void stray_forget(uint32_t slot);

/* A host (host.h) is nobody's while it is idle, and not a stray for it. */
void stray_host_idle(int32_t pid);
void stray_host_busy(int32_t pid);

uint32_t stray_unowned(void);
/* The worker stops: SIGKILL to the strays that are nobody's. */
void stray_kill_unowned(void);

#endif
