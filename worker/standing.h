/*
 * standing.h - the order to leave, kept in state_dir, so that it holds for the next agent when the
 * one that was told dies: STATE_DIR/leaving is "INCARNATION stop\n" or "INCARNATION return\n".
 *
 * It holds as long as the supervisor that it was given to: a redisWorker that is started anew draws
 * another incarnation, and runs. A file and not a word to the supervisor or Redis, because the
 * agent may be told by systemd alone, and while Redis is away.
 */
#ifndef DISTCOMP_STANDING_H
#define DISTCOMP_STANDING_H

#include <stdbool.h>

enum standing { STANDING_NONE, STANDING_STOP, STANDING_RETURN };

/* False with errno when it could not be written: then it holds for this agent only. */
bool standing_keep(const char *state_dir, const char *incarnation, enum standing order);
enum standing standing_read(const char *state_dir, const char *incarnation);
void standing_drop(const char *state_dir);

#endif
