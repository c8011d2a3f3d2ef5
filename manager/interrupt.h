/*
 * interrupt.h - Ctrl-C in the middle of work that says how far it came before it ends.
 *
 *     interrupt_catch();
 *     while (… && !interrupt_caught()) …
 *     interrupt_release();
 *     if (interrupt_caught()) return interrupt_exit();
 */
#ifndef DISTCOMP_MANAGER_INTERRUPT_H
#define DISTCOMP_MANAGER_INTERRUPT_H

#include <stdbool.h>

/* From now on the first SIGINT, SIGTERM or SIGHUP is only remembered; a second one of the same kind
 * ends the process. Forgets one that was caught before. */
void interrupt_catch(void);
void interrupt_release(void); /* signals end the process again */
bool interrupt_caught(void);
int interrupt_exit(void); /* the exit code of what a signal ended: 128 + its number */

#endif
