/*
 * link.h - a connection to Redis that waits for its answers. For the manager; the agent has its
 * own, which does not wait, and shares common/endpoint.h and common/linkfault.h.
 *
 * Every function that fails appends one line to `error`, made by link_explain, and link_fault tells
 * the kind. An error reply leaves the connection usable; after any other failure link_broken is
 * true and only link_reopen and link_close may be called. A link is used by one thread.
 */
#ifndef DISTCOMP_LINK_H
#define DISTCOMP_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <hiredis/hiredis.h>

#include "common/buf.h"
#include "common/endpoint.h"
#include "common/linkfault.h"
#include "common/script.h"

#define LINK_CONNECT_MS 5000
#define LINK_ANSWER_MS                                                                             \
    60000 /* longest silence of a server that owes an answer; see link_timeout                     \
           */

struct link;

/*
 * Connects, logs in, and checks that it is a Redis >= 6.0 that takes writes. Copies the endpoint.
 * With Sentinels they are asked first where it is, and again for LINK_CONNECT_MS while what they
 * name is no master or does not answer. NULL: error.
 */
struct link *link_open(const struct endpoint *endpoint, struct buf *error);
/* The same again, after the connection was lost; Sentinels are asked anew. Pending answers are
 * gone. */
bool link_reopen(struct link *link, struct buf *error);
void link_close(struct link *link); /* NULL is fine */
bool link_timeout(struct link *link, int ms);

/* One command and its answer (freeReplyObject); NULL for every failure, error replies included. */
redisReply *link_run(struct link *link, size_t argc, const char *const *argv, const size_t *lens,
                     struct buf *error);
/* EVALSHA, and EVAL when the server does not know the script: keys and arguments as
 * argv[0..argc-1]. */
redisReply *link_script(struct link *link, const struct script *script, size_t keys, size_t argc,
                        const char *const *argv, const size_t *lens, struct buf *error);
/* Makes the server know a script, for a pipeline of EVALSHA. */
bool link_load(struct link *link, const struct script *script, struct buf *error);

/* Pipelining: queue commands, then take one answer for each, in order. */
bool link_append(struct link *link, size_t argc, const char *const *argv, const size_t *lens,
                 struct buf *error);
redisReply *link_reply(struct link *link, struct buf *error);
/*
 * For messages (SUBSCRIBE) and for looking whether an answer is there: waits at most ms. True with
 * *reply NULL: nothing came. Error replies come back as replies.
 */
bool link_poll(struct link *link, int ms, redisReply **reply, struct buf *error);

/* TIME's answer in Unix milliseconds; 0: it is none. */
uint64_t link_reply_time(const redisReply *reply);

enum link_fault link_fault(const struct link *link); /* of the last call that failed */
bool link_broken(const struct link *link);
const struct endpoint *link_endpoint(const struct link *link);

#endif
