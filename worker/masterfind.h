/*
 * masterfind.h - asks the Sentinels where the master is, without waiting: for the agent, whose
 * supervisor and leases are not to wait for a Sentinel that does not answer.
 *
 * One Sentinel after the other (common/sentinel.h), SENTINEL_MS for each: its name is looked up by
 * libuv's threads, its answer comes by hiredis' asynchronous half. One search at a time; the one
 * that named the master is asked first in the next.
 */
#ifndef DISTCOMP_MASTERFIND_H
#define DISTCOMP_MASTERFIND_H

#include <uv.h>

#include "common/endpoint.h"
#include "common/linkfault.h"

struct masterfind;

/*
 * A search has ended: host (borrowed for the call) and port, or NULL, and then fault and detail say
 * why, for link_explain. Never called from within masterfind_start, and not after masterfind_stop.
 */
typedef void masterfind_done(void *arg, const char *host, int port, enum link_fault fault,
                             const char *detail);

struct masterfind *masterfind_new(uv_loop_t *loop, masterfind_done *done, void *arg);
/* endpoint is borrowed until the search has ended or was stopped. None may be under way. */
void masterfind_start(struct masterfind *find, const struct endpoint *endpoint);
void masterfind_stop(struct masterfind *find);  /* fine when none is under way */
void masterfind_close(struct masterfind *find); /* the loop can end after some more turns */

#endif
