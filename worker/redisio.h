/*
 * redisio.h - the agent's connection to Redis: asynchronous, kept up for ever.
 *
 * DESIGN
 * Two hiredis contexts on one libuv loop: one for commands, one that is subscribed to the worker's
 * wake channel. They live and die together. States: DOWN (waiting for the next try, with back-off
 * 100 ms to 10 s and jitter), FIND (only with Sentinels: they are asked where the master is, before
 * every connect, and never believed for longer), SETUP (greeting; then INFO, SCRIPT LOAD,
 * SUBSCRIBE), UP. So a failover needs no code of its own: the old master is gone, or cuts the
 * connections (Sentinel has it do so), or answers READONLY; each ends in DOWN, and the way up leads
 * past the Sentinels.
 *
 * A command is sent only when UP; its callback runs exactly once: with the reply, or with NULL when
 * the connection was lost or Redis answered with an error (logged here). NULL means "not known":
 * whoever sent it asks again, and every operation of common/claimops.h may be asked again. After an
 * error that says the server is unwell (OOM, READONLY, MISCONF, BUSY, NOSCRIPT, ...) the connection
 * is dropped or sending pauses, so that callers need no case for it. A server that does not answer
 * for ANSWER_MS is treated as gone.
 */
#ifndef DISTCOMP_REDISIO_H
#define DISTCOMP_REDISIO_H

#include <stdbool.h>
#include <stdint.h>

#include <hiredis/hiredis.h>
#include <uv.h>

#include "common/clock.h"
#include "common/cmd.h"
#include "common/linkfault.h"

struct redisio;

/* What the server said of itself at setup. */
struct redis_facts {
    char run_id[41];
    uint64_t output_share_bytes; /* what all outputs may take, unless configured */
};

struct redisio_events {
    /* About to connect: the endpoint may be filled anew (redis.sh may have started another Redis).
     */
    void (*connecting)(void *arg);
    void (*up)(void *arg, const struct redis_facts *facts);
    void (*down)(void *arg); /* it was up; every callback has run before */
    void (*message)(void *arg, const char *text, size_t len); /* on the wake channel */
    /* It was never up, and trying again will not help (wrong password, ...): no more tries. Once.
     */
    void (*hopeless)(void *arg, const char *why);
    void *arg;
};

typedef void redisio_reply(void *arg, const redisReply *reply);

/* endpoint is borrowed for the life of the redisio, channel is copied; starts connecting. */
struct redisio *redisio_new(uv_loop_t *loop, const struct endpoint *endpoint, const char *channel,
                            const struct redisio_events *events);
/* The longest time between two tries to connect, instead of 10 s: when Redis is back, leases wait
 * one of their length for those who are not. At least 100 ms. */
void redisio_backoff(struct redisio *io, int64_t most_ms);
/* Where it is connected to, or was last; with Sentinels, the master that they named. Borrowed until
 * the next turn of the loop. */
const struct endpoint *redisio_endpoint(const struct redisio *io);
/* True when a command may be sent now. */
bool redisio_up(const struct redisio *io);
/* Sends; cmd may be reused at once. Returns false, and calls nothing, when not up. */
bool redisio_send(struct redisio *io, struct cmd *cmd, redisio_reply *callback, void *arg);
/* When the last command that was answered had been sent: Redis was alive then, however late the
 * answer came. */
mono_ms_t redisio_heard(const struct redisio *io);
/* PUBLISH without an answer; dropped when not up. */
void redisio_publish(struct redisio *io, const char *channel, const void *bytes, size_t len);
/* Gives NULL to every callback that waits, and closes; the loop can end after another turn. No more
 * events. */
void redisio_close(struct redisio *io);

#endif
