/*
 * storecmd.h - what the files of the store (common/store*.c) share. For nobody else.
 */
#ifndef DISTCOMP_STORECMD_H
#define DISTCOMP_STORECMD_H

#include "common/keys.h"
#include "common/store.h"

/* Starts a plain command in store->cmd; arguments follow by store_cmd_key and cmd_add. */
void store_cmd(struct store *store, const char *verb);
void store_cmd_key(struct store *store, enum queue_key key, const char *name);
/* Starts a script on this queue in store->cmd. */
void store_cmd_script(struct store *store, const char *script);

/*
 * Takes `count` answers of what store_send has sent. All or none: on failure those that came are
 * freed and those outstanding are waited for, so that the link can go on.
 */
bool store_replies(struct store *store, redisReply **replies, size_t count, struct buf *error);
/* Sends nothing more: takes and drops `count` answers, as far as they come. */
void store_skip_replies(struct store *store, size_t count);

/* Appends the error for an answer that has not the expected form. */
void store_malformed(struct store *store, const char *what, struct buf *error);

/* Element i of an array, or NULL. */
const redisReply *reply_at(const redisReply *reply, size_t i);
/* An integer, or a text of decimal digits (a score may have a fraction, which is dropped); else 0.
 */
uint64_t reply_number(const redisReply *reply);
/* A text; empty for anything else. */
struct slice reply_slice(const redisReply *reply);
/* Copies an id; false when it has not the form of one. */
bool reply_id(const redisReply *reply, task_id_t id);

/* store_maintain, which also adds to *lost the tasks that were taken from lost workers. */
bool store_maintain_step(struct store *store, int64_t *due_ms, uint64_t *lost, struct buf *error);
/* Redis' clock, Unix milliseconds. */
bool store_time(struct store *store, uint64_t *now_ms, struct buf *error);
uint64_t reply_time_ms(const redisReply *reply);

/* Decodes a record into head and description, also that of a task whose results were dropped. */
bool store_decode(const redisReply *record, struct store_task *task);

#endif
