/*
 * linkfault.h - what can be wrong with a Redis and what to do about it, for whoever talks to it:
 * the waiting link (common/link.h) and the agent's, which does not wait. Needs no connection; any
 * thread.
 */
#ifndef DISTCOMP_LINKFAULT_H
#define DISTCOMP_LINKFAULT_H

#include <stdbool.h>

#include <hiredis/hiredis.h>

#include "common/buf.h"
#include "common/endpoint.h"

/* X(symbol, passes by itself, what is wrong, what to do) */
#define LINK_FAULTS(X)                                                                             \
    X(NONE, false, "nothing is wrong", "nothing")                                                  \
    X(REFUSED, true, "connection refused",                                                         \
      "nothing listens there; start it (bash redis.sh), or name the right one by --redis")         \
    X(NO_SOCKET, true, "there is no such socket",                                                  \
      "start it (bash redis.sh), or name the right one by --redis")                                \
    X(DENIED, false, "not allowed to open the socket",                                             \
      "run as the user that started Redis, or use its TCP port")                                   \
    X(UNREACHABLE, true, "no route to it", "check the address, the network and firewalls")         \
    X(UNKNOWN_HOST, true, "the host's name is not known", "check redis_host and the name service") \
    X(TIMEOUT, true, "no answer in time",                                                          \
      "check the address and firewalls; Redis may be stopped, swapping or busy")                   \
    X(LOST, true, "the connection was closed", "look at Redis' log, and whether it still runs")    \
    X(NEEDS_PASSWORD, false, "it wants a password",                                                \
      "give redis_pass in conf.json, or a password in --redis")                                    \
    X(WRONG_PASSWORD, false, "wrong user or password",                                             \
      "check redis_pass in conf.json against the server's")                                        \
    X(NO_PASSWORD_SET, false, "a password was given, but it has none",                             \
      "remove redis_pass, or protect Redis by requirepass")                                        \
    X(PROTECTED, false, "it runs in protected mode and answers only its own machine",              \
      "give it a password (bash redis.sh start --bind ADDR does)")                                 \
    X(NOT_REDIS, false, "what answers there is not a Redis", "check host and port")                \
    X(SENTINEL, false, "this is a Sentinel, which holds no data",                                  \
      "name it as sentinel://host:port/mastername")                                                \
    X(NO_SENTINEL, true, "no Sentinel says where the master is",                                   \
      "check their hosts, ports and sentinel_pass, and that they run")                             \
    X(UNKNOWN_MASTER, false, "its Sentinels know no master of this name",                          \
      "check the name after the '/' (redis-cli -p 26379 sentinel masters shows those there are)")  \
    X(NOT_MASTER, true, "its Sentinels name it as the master, but it is a replica",                \
      "a failover may be under way: try again in some seconds")                                    \
    X(TOO_OLD, false, "this Redis is too old", "upgrade it to 6.0 or newer")                       \
    X(BAD_DB, false, "there is no such database", "check redis_db; in a cluster only 0 exists")    \
    X(NO_PERMISSION, false, "the user may not do this", "give it more by ACL SETUSER")             \
    X(TOO_MANY_CLIENTS, true, "it has no room for another connection",                             \
      "raise maxclients in its configuration")                                                     \
    X(LOADING, true, "it is still loading its data from disk", "wait a little and try again")      \
    X(FULL, true, "it is full (maxmemory)",                                                        \
      "raise maxmemory, or remove what is done: redisManager removeFinishedTask")                  \
    X(READONLY, true, "it is a read-only replica",                                                 \
      "name the master it copies from, or its Sentinels (sentinel://host:port/mastername)")        \
    X(MISCONF, true, "it cannot write to its disk and so takes no changes",                        \
      "look at its log and at free disk space")                                                    \
    X(BUSY, true, "it is busy with somebody's slow script", "wait, or use SCRIPT KILL")            \
    X(NO_REPLICAS, true, "it has fewer replicas than it insists on",                               \
      "look at its replicas, or at min-replicas-to-write")                                         \
    X(CLUSTER, false, "this node of a cluster does not hold the queue",                            \
      "name the node that does (redis-cli cluster keyslot 'distcomp:{QUEUE}')")                    \
    X(CLUSTER_DOWN, true, "its cluster is down", "look at redis-cli cluster info")                 \
    X(NO_SCRIPT, true, "it does not know a script", "try again")                                   \
    X(REPLY, false, "it answered with an error", "this is a mistake in distcomp; please report it")

enum link_fault {
#define X(symbol, passes, what, advice) LINK_##symbol,
    LINK_FAULTS(X)
#undef X
};

/* From hiredis: context->err and context->errstr of a connection that failed. */
enum link_fault link_fault_io(int err, const char *errstr);
/* From the text of an error reply, with or without its '-'. */
enum link_fault link_fault_reply(const char *text);
/* Whether trying again later, with the same settings, can help. */
bool link_fault_passes(enum link_fault fault);

/*
 * Appends one line: where, what is wrong, what to do. `detail`, the server's or the system's own
 * words, is added for faults that need it; may be NULL. Passwords are never in it.
 */
void link_explain(const struct endpoint *endpoint, enum link_fault fault, const char *detail,
                  struct buf *out);

/*
 * What is sent on a new connection, in this order: AUTH (with a password), HELLO 2, SELECT (not for
 * 0), PING. Send all of them at once, and give each answer to link_greeting_check.
 */
#define LINK_GREETING_MAX 4
struct link_greeting {
    size_t count;
    struct link_greeting_command {
        int argc;
        const char *argv[3]; /* borrowed from the endpoint and db */
        size_t lens[3];
    } commands[LINK_GREETING_MAX];
    char db[12];
    bool by_sentinel; /* Sentinels named it: it has to be a master, or will be one soon */
};
void link_greeting_make(struct link_greeting *greeting, const struct endpoint *endpoint);
/* One more command, of argc words; they are borrowed. */
void link_greeting_add(struct link_greeting *greeting, int argc, const char *a, const char *b,
                       const char *c);
/* LINK_NONE, or what the answer to command `index` says is wrong; detail gets the server's words.
 */
enum link_fault link_greeting_check(const struct link_greeting *greeting, size_t index,
                                    const redisReply *reply, struct buf *detail);

#endif
