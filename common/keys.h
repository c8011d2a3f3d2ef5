/*
 * keys.h - the names of a queue's keys and channels in Redis. No other file spells one, but for
 * common/lua/lib/10_keys.lua, which derives the same names from the queue's key; docs/protocol.md
 * lists them, and a test compares all three with a live Redis.
 */
#ifndef DISTCOMP_KEYS_H
#define DISTCOMP_KEYS_H

#include <stdbool.h>

#include "common/buf.h"

/* X(symbol, suffix, redis type, what it holds). A suffix that ends in ':' is followed by a name. */
#define QUEUE_KEYS(X)                                                                              \
    X(TASK, "task", "hash", "id: record of a task (head, description)")                            \
    X(TRY, "try", "hash", "id: try log, the last 20 tries")                                        \
    X(OUTPUT, "output", "hash", "id: captured stdout and stderr of the last try")                  \
    X(OUTPUT_ORDER, "output_order", "list", "ID.TRY of kept outputs, oldest first")                \
    X(TODO, "todo:", "list", "hints ID.GENERATION.SEQUENCE of one shape's tasks in todo")          \
    X(SHAPE, "shape", "zset", "non-empty todo lists by priority and age of head")                  \
    X(DELAYED, "delayed", "zset", "ID.GENERATION by the time the next try is due")                 \
    X(RUNNING, "running", "hash", "id: worker that has it")                                        \
    X(HELD, "held:", "hash", "id: TRY.NONCE.START of what one worker has")                         \
    X(CANCEL, "cancel:", "set", "ids whose cancelling one worker was asked for")                   \
    X(WORKER, "worker:", "hash", "one worker's registration")                                      \
    X(WORKERS, "workers", "set", "names of all registered workers")                                \
    X(LEASE, "lease", "zset", "live workers by the end of their lease")                            \
    X(IDLE, "idle", "zset", "workers that wait for work, by free memory; told: -time")             \
    X(COUNT, "count", "hash", "tasks a state, and running numbers")                                \
    X(NAME, "name", "hash", "name: packed counts of its tasks")                                    \
    X(AFTER, "after", "hash", "id: references it waits or waited for")                             \
    X(AWAIT, "await", "hash", "id: how many references are unresolved")                            \
    X(DEPENDANTS, "dependants:", "list", "tasks that wait for one reference")                      \
    X(FANOUT, "fanout", "list", "verdicts on references whose dependants are due")                 \
    X(FINISHED, "finished", "list", "ID.LOADED in the order they finished")                        \
    X(FAILED, "failed", "set", "ids of failed tasks")                                              \
    X(AVOID, "avoid", "hash", "id: worker that should leave the next try to others, until when")   \
    X(FAMILY, "family:", "hash", "peaks of one family of tasks, and its key")                      \
    X(NEED, "need", "hash", "family: memory that min_dram=auto is promised, and holds")            \
    X(FAMILIES, "families", "zset", "families by when they were last counted")                     \
    X(RESERVE, "reserve", "hash", "shape: large task that waits, and who is kept free for it")     \
    X(LOAD, "load", "zset", "loads under way by their last batch")                                 \
    X(OPEN, "open:", "set", "names with dependants to look at when a load closes")                 \
    X(OBJECT, "object:", "hash", "a piece of data: version, size, written, chunks by number")      \
    X(OBJECT_PART, "object_part:", "hash", "NAME.VERSION: an object that is being written")

enum queue_key {
#define X(symbol, suffix, type, help) KEY_##symbol,
    QUEUE_KEYS(X)
#undef X
        QUEUE_KEY_COUNT
};
#define QUEUE_KEY_NO_SCRIPTS KEY_OBJECT /* from here on: no script touches them */
struct queue_key_info {
    const char *suffix, *type, *help;
};
extern const struct queue_key_info queue_keys[QUEUE_KEY_COUNT];

/* Channels: wake:WORKER carries 'work' or 'command'; follow:ID.* carries output to one reader. */
#define CHANNEL_WAKE   "wake:"
#define CHANNEL_FOLLOW "follow:"

/* Appends distcomp:{QUEUE}, the prefix and KEYS[1] of every script. */
void key_queue(struct buf *out, const char *queue);
/* Appends a whole key; name is added when the suffix ends in ':'. */
void key_add(struct buf *out, const char *queue_key, enum queue_key key, const char *name);
/* Appends the pattern (SCAN MATCH) of all keys with that suffix and any name; "": of all keys. */
void key_pattern(struct buf *out, const char *queue_key, const char *suffix);

#endif
