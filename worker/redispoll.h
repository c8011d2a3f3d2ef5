/*
 * redispoll.h - lets a libuv loop drive an asynchronous hiredis context.
 *
 * Instead of hiredis/adapters/libuv.h, which does nothing when libuv reports an error of the
 * socket: a refused TCP connection and one that was reset would go unnoticed, since libuv stops to
 * watch at that moment. Here hiredis reads, finds the error itself, and disconnects.
 */
#ifndef DISTCOMP_REDISPOLL_H
#define DISTCOMP_REDISPOLL_H

#include <stdbool.h>

#include <hiredis/async.h>
#include <uv.h>

/* Call it once for a new context; it lets go when hiredis frees that. False: libuv refused. */
bool redispoll_attach(redisAsyncContext *context, uv_loop_t *loop);

#endif
