/*
 * sentinel.h - asking Redis Sentinels where a master is.
 *
 * DESIGN
 * As Redis' "Guidelines for Redis clients with support for Sentinel" want it: before every connect
 * one Sentinel after the other is asked SENTINEL get-master-addr-by-name, each for SENTINEL_MS at
 * most, until one names an address; that one is asked first the next time. The Redis there is
 * believed only when it says itself that it is a master (link_greeting_check); else all is asked
 * again later, since a failover may be under way.
 *
 * A round keeps what has been asked and said. It is shared by sentinel_find here, which waits, and
 * by the agent's worker/masterfind.h, which does not.
 */
#ifndef DISTCOMP_SENTINEL_H
#define DISTCOMP_SENTINEL_H

#include <stdbool.h>
#include <stddef.h>

#include <hiredis/hiredis.h>

#include "common/buf.h"
#include "common/endpoint.h"
#include "common/linkfault.h"

#define SENTINEL_MS 500 /* for connecting, and again for the answer */

struct sentinel_round {
    const struct endpoint *endpoint; /* borrowed */
    size_t first;                    /* index of the Sentinel that is asked first */
    size_t asked;                    /* so many have failed to name it */
    size_t unknown;                  /* of them, how many know no master of that name */
    struct buf whys;                 /* "host:port: why", joined by ", " */
};

/* `first` is any number: that of an earlier round, or 0. */
void sentinel_round_start(struct sentinel_round *round, const struct endpoint *endpoint,
                          size_t first);
void sentinel_round_free(struct sentinel_round *round);
/* The Sentinel to ask now; NULL when all have been asked. */
const struct endpoint_sentinel *sentinel_round_now(const struct sentinel_round *round);
/* Its index, to be the next round's first when it has named the master. */
size_t sentinel_round_index(const struct sentinel_round *round);
/* It did not name the master: on to the next. */
void sentinel_round_failed(struct sentinel_round *round, const char *why);
/* All have been asked in vain: what to tell link_explain, with `whys` as the detail. */
enum link_fault sentinel_round_fault(const struct sentinel_round *round);

/* What is sent to a Sentinel, all at once: AUTH (with a password), and the question. */
void sentinel_question_make(struct link_greeting *question, const struct endpoint *endpoint);

enum sentinel_answer {
    SENTINEL_GO_ON, /* to the next command's answer */
    SENTINEL_NAMED, /* *host, in the reply, and *port */
    SENTINEL_FAILED /* the round has been told why */
};
/* Takes the answer to command `index` of the question. */
enum sentinel_answer sentinel_answer_read(struct sentinel_round *round,
                                          const struct link_greeting *question, size_t index,
                                          const redisReply *reply, const char **host, int *port);

/*
 * Asks and waits: at most 2 x SENTINEL_MS for each Sentinel, and as long as the name service takes.
 * True: the endpoint has the master's host and port, and *first the index to begin with next time.
 * False: *fault and `detail` say why, for link_explain.
 */
bool sentinel_find(struct endpoint *endpoint, size_t *first, enum link_fault *fault,
                   struct buf *detail);

#endif
