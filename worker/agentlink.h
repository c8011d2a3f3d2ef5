/*
 * agentlink.h - the supervisor's half of the conversation of wire.h.
 *
 * One connection at a time. Nothing that the agent must learn lives in a buffer: what is owed
 * (STARTED, EXIT, TASK) is a mark on the slot, and becomes bytes when there is room. So a slow
 * agent costs no memory and loses nothing, and a new one is told everything after its HELLO. All
 * frames of a turn of the loop leave in one write.
 */
#ifndef DISTCOMP_AGENTLINK_H
#define DISTCOMP_AGENTLINK_H

#include <stdbool.h>
#include <stdint.h>

#include "worker/pulse.h"
#include "worker/wire.h"

struct agentlink_identity {
    uint64_t incarnation, previous, output_max;
};

void agentlink_init(const struct agentlink_identity *identity);

/* A new connection; the one before must be closed. The socket is owned from here on. */
void agentlink_open(int fd);
void agentlink_close(void);
int agentlink_fd(void); /* -1: none */
/* HELLO was said: by this agent, on this connection. */
bool agentlink_hello(void);
uint32_t agentlink_agent_pid(void);

/* Reads once and does what the frames say. False: end of file or malformed; close it. */
bool agentlink_read(void);
/* The agent has died: does what it still said. */
void agentlink_drain(void);
/* Whole frames wait in the buffer (a turn handles a limited number): call agentlink_read again,
 * soon. */
bool agentlink_busy(void);
/* Sends what is owed. False: close it. *blocked: call again when the socket is writable. */
bool agentlink_pump(bool *blocked);
/* When agentlink_pump has something to send that may wait until then; INT64_MAX: nothing. */
int64_t agentlink_deadline(void);

/* A try has ended (ending_done). */
void agentlink_exit(uint32_t number);
/* SIGTERM and the like: told to the agent, now or after the next HELLO. */
void agentlink_signal(int number);
/* A signal that has not been told to anybody. */
bool agentlink_signal_waits(int signal);
void agentlink_forget_signals(void);

/* The BYE of this connection; NULL: none yet. Survives agentlink_close until the next open. */
const struct wire_bye *agentlink_bye(void);

/* Signs of life of this connection; and asks for one. */
struct pulse *agentlink_pulse(void);
void agentlink_ping(void);

/* Refuses a second agent on another socket. */
void agentlink_refuse(int fd, uint32_t agent_pid);

#endif
