/*
 * host.h - hosts: processes that run one try after the other (docs/kernels.md). What is said to
 * them is in hostwire.h.
 *
 *   NONE ──START──► BUSY ──done──► IDLE ──START of its key──► BUSY
 *                    │               └── 10 s, DISMISS, room for another: the socket is closed;
 *                    │                   SIGKILL 2 s later; reaped ──► NONE
 *                    └── its end, or what is no answer ──► the end of the try (ending.h)
 *
 * A host has a number and output files of its own (capture.h). A try that wrote something keeps
 * them, and so the idle host, until its ACK; one that did not gives the host free at once, so that
 * a few hosts serve tries whose results are still on their way.
 *
 * For the rest of the supervisor a BUSY host is its slot's main process, which an answer ends as a
 * wait would; an IDLE one is a child that is nobody's (stray.h). So all that ends tries ends hosts.
 *
 *   it dies busy               the try ends with its status; times less those of earlier tries
 *   ... after it has answered  the answer counts: it is read before the status is looked at
 *   it closes the socket       it is about to exit: SIGKILL if it has not in 100 ms
 *   it says what is no answer  SIGKILL, and a line in the try's standard error
 *   a KILL, then its answer    the try is not over before its processes are: the socket is closed,
 *                              and the answer is the status once the host is gone. The same with
 *                              key 0
 *   the answer, then a KILL    the try has ended: nothing happens
 *   it left processes behind   they are ended as ever (a child that still has the host as its
 * parent is not seen), and the host goes, since they may be its kin it dies idle forgotten. When
 * the send fails: another one takes the START a START while it leaves    another one, with files of
 * another name or made anew
 *
 * Whose its children are: what it forks has the environment it was started with, with a
 * DISTCOMP_COOKIE of the host's own; what it executes may have that of the try.
 */
#ifndef DISTCOMP_HOST_H
#define DISTCOMP_HOST_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/resource.h>

#include "worker/spawn.h"
#include "worker/wireio.h"

#define HOST_IDLE_US (10 * INT64_C(1000000))

/* Sockets are watched with data.u32 = first_event + the host's number. idle_us: how long a host
 * stays idle. */
void host_init(int epoll_fd, uint32_t first_event, uint64_t incarnation, int64_t idle_us);

/* Starts a try in a slot: in an idle host that has the key, else in a new one. Sets the slot's
 * files. */
struct spawn_result host_start(uint32_t number, const struct wire_start_view *view);
/* The slot's try has ended with all its processes, or its ACK has come: its host is free for others
 * when its files are not needed any more. */
void host_released(uint32_t number);
/* The slot's try left processes behind: its host goes. */
void host_dismiss(uint32_t number);
void host_dismiss_all(bool kill);

/* The socket of this host can be read. Call ending_settle after a round of these. */
void host_readable(uint32_t host);

/* The slot's main process was reaped: fills status and usage of `exit` if it was a host's. */
bool host_ended(uint32_t number, int status, const struct rusage *usage, struct wire_exit *exit);
/* Somebody was reaped who is no main process. */
void host_reaped(int32_t pid, int status);

/* Whether the process of the slot's try stays for others. */
bool host_stays(uint32_t number);
uint32_t host_left(void); /* hosts that are idle or about to leave */
/* The slot with a RUNNING try whose host has this cookie (the whole string); -1 for none. */
int host_of_cookie(const char *cookie);

int64_t host_deadline(void); /* ustime_mono; INT64_MAX: none */
void host_timers(int64_t now_us);

#endif
