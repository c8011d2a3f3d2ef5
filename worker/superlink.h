/*
 * superlink.h - the agent's end of the socket to the supervisor (worker/wire.h).
 *
 * Frames to send are collected and go out in one write by superlink_flush, which the agent calls
 * once a turn of its loop; what the socket does not take at once waits for it to be writable.
 * Frames that come in are given to the handler one by one. The supervisor's end closing is reported
 * once, as closed().
 */
#ifndef DISTCOMP_SUPERLINK_H
#define DISTCOMP_SUPERLINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uv.h>

#include "common/buf.h"
#include "worker/wire.h"

struct superlink_events {
    void (*frame)(void *arg, uint32_t type, const char *payload, size_t len); /* borrowed */
    void (*closed)(void *arg);
    void *arg;
};

struct superlink;
/* Takes over fd. */
struct superlink *superlink_new(uv_loop_t *loop, int fd, const struct superlink_events *events);
/* Queues one frame of one or two pieces (the second may be NULL). */
void superlink_send(struct superlink *link, uint32_t type, const void *payload, size_t len,
                    const void *more, size_t more_len);
void superlink_flush(struct superlink *link);
/* Writes what is queued, waiting for the socket, and closes. */
void superlink_close(struct superlink *link);

#endif
