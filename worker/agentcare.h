/*
 * agentcare.h - keeping one agent alive.
 *
 *   WAITING --its time--> CHILD --dies--> WAITING (back-off: 100 ms doubling to a quarter of the
 *      |                                  lease, 10 s at most; 100 ms again after one lived 30 s)
 *      '--somebody connects--> ATTACHED --end of file--> WAITING
 *   BYE_KEEP, or no argv: KEEP, until somebody connects.
 *
 * The agent is in a session of its own, so that a ^C at the terminal reaches the supervisor alone.
 * There are never two: a child that lost its connection gets 2 s to leave, then SIGKILL, and only
 * its death starts the next. One that is connected and silent (pulse.h) is killed, attached or not;
 * one that a debugger has stopped is left to the debugger.
 */
#ifndef DISTCOMP_AGENTCARE_H
#define DISTCOMP_AGENTCARE_H

#include <stdbool.h>
#include <stdint.h>

enum agentcare_verdict {
    AGENTCARE_GO_ON,
    AGENTCARE_STOP, /* BYE_STOP: end what runs, then exit 0 */
    AGENTCARE_LEAVE /* exit with agentcare_code() now: nothing is held for a later agent */
};

/* argv NULL: agents come by themselves. leave_when_idle: AGENTCARE_LEAVE once one has gone and no
   try is held. epoll_fd: where the connection is watched, with data.u32 = event_id. */
void agentcare_init(char *const *argv, bool leave_when_idle, int epoll_fd, uint32_t event_id);

/* False when pid is not the agent's. */
bool agentcare_reaped(int32_t pid, int status);
void agentcare_readable(void);
void agentcare_accept(int listen_fd);
void agentcare_timers(int64_t now_us);
int64_t agentcare_deadline(void); /* INT64_MAX: none */
void agentcare_pump(void);
/* No new agent from now on. */
void agentcare_retire(void);
/* Ends an agent child that has not left, at the very end. */
void agentcare_kill(void);

/* An agent process lives, as a child or attached. */
bool agentcare_alive(void);
/* An agent has said HELLO and is not silent (pulse.h). */
bool agentcare_attends(void);
enum agentcare_verdict agentcare_verdict(void);
int agentcare_code(void);

#endif
