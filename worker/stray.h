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
 *   3. its environment has a try's DISTCOMP_COOKIE.
 * A process that left its session, lost its parents before anybody looked and cleared its
 * environment is nobody's (stray_unowned counts it): it is left alone until the worker stops.
 */
#ifndef DISTCOMP_STRAY_H
#define DISTCOMP_STRAY_H

#include <stdint.h>

#include "worker/proctree.h"

/* The agent's pid, 0 for none, and its session (it outlives the agent's process): a stray of that
   session is the agent's helper and is let be. */
void stray_set_agent(int32_t pid, int32_t session);

/* Finds children that are not known yet. Call after reaping, when a try waits for its last process.
 */
void stray_look(void);

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

uint32_t stray_unowned(void);
/* The worker stops: SIGKILL to the strays that are nobody's. */
void stray_kill_unowned(void);

#endif
