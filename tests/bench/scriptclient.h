/*
 * scriptclient.h - for the bench: a worker that is only a connection. It sends the commands of
 * common/claimops.h and waits for each answer; any failure ends the program.
 */
#ifndef DISTCOMP_SCRIPTCLIENT_H
#define DISTCOMP_SCRIPTCLIENT_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <hiredis/hiredis.h>

#include "common/claimops.h"
#include "common/script.h"

static inline int64_t client_now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static inline void client_fail(const char *what, const char *why) {
    fprintf(stderr, "bench client: %s: %s\n", what, why);
    exit(1);
}

static inline redisContext *client_open(const char *socket) {
    redisContext *redis = redisConnectUnix(socket);
    if (!redis || redis->err)
        client_fail(socket, redis ? redis->errstr : "out of memory");
    for (size_t i = 0; i < scripts_count; i++)
        freeReplyObject(redisCommand(redis, "SCRIPT LOAD %s", scripts[i].text));
    return redis;
}

/* The answer, to be freed by the caller. */
static inline redisReply *client_run(redisContext *redis, struct cmd *cmd) {
    cmd_argv(cmd);
    redisReply *reply = redisCommandArgv(redis, (int)cmd->count, cmd->argv, cmd->lens);
    if (!reply || reply->type == REDIS_REPLY_ERROR)
        client_fail(cmd->script->name, reply ? reply->str : redis->errstr);
    return reply;
}

#define CLIENT_LEASE_MS 600000

static inline void client_register(redisContext *redis, struct cmd *cmd, const char *queue,
                                   const char *worker) {
    struct register_args args = {.worker = worker,
                                 .incarnation = "1",
                                 .session = "1",
                                 .dead = "",
                                 .lease_ms = CLIENT_LEASE_MS,
                                 .info = "{}",
                                 .max_losses = 5};
    register_build(cmd, queue, &args);
    freeReplyObject(client_run(redis, cmd));
}

/* Reports the tasks of a claim's answer as finished. */
static inline void client_finish(redisContext *redis, struct cmd *cmd, const char *queue,
                                 const struct claim_args *claim, const redisReply *claimed,
                                 size_t count) {
    if (count == 0)
        return;
    report_begin(cmd, queue, claim->worker, 5, 0);
    for (size_t i = 0; i < count; i++) {
        struct claimed task;
        struct task_head head;
        if (!claim_task(claimed, claim, i, &task) ||
            !task_decode(task.record.data, task.record.len, &head, NULL))
            client_fail("claim", "malformed answer");
        struct report_item item = {.id = task.id,
                                   .try_number = head.tries,
                                   .nonce = task.nonce,
                                   .outcome = TRY_FINISHED,
                                   .entry = {"", 0},
                                   .output = {"", 0}};
        report_add(cmd, &item);
    }
    freeReplyObject(client_run(redis, cmd));
}

#endif
