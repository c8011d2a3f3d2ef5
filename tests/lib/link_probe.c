/*
 * Opens a link as the programs do, by flags, environment and conf.json, then runs the command that
 * follows
 * `--`, if any, and prints the answer's text. Exit 0, or 1 with the error on standard error.
 *   link_probe [--redis URL ...] [-- COMMAND WORD...]
 *   link_probe ... -- script TEXT      by link_script, with one key
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/link.h"

static void print_reply(const redisReply *reply) {
    switch (reply->type) {
    case REDIS_REPLY_INTEGER:
        printf("%lld\n", reply->integer);
        break;
    case REDIS_REPLY_STRING:
    case REDIS_REPLY_STATUS:
        printf("%.*s\n", (int)reply->len, reply->str);
        break;
    case REDIS_REPLY_ARRAY:
        for (size_t i = 0; i < reply->elements; i++) {
            print_reply(reply->element[i]);
        }
        break;
    default:
        puts("nil");
        break;
    }
}

static redisReply *run(struct link *link, int argc, char **argv, struct buf *error) {
    if (strcmp(argv[0], "script") == 0 && argc == 2) {
        /* Not the text's SHA1: the server cannot know it, so the second call of EVAL is needed. */
        struct script script = {"probe", "0123456789012345678901234567890123456789", argv[1]};
        const char *words[] = {"distcomp:{probe}"};
        size_t lens[] = {16};
        return link_script(link, &script, 1, 1, words, lens, error);
    }
    size_t *lens = xmalloc((size_t)argc * sizeof *lens);
    for (int i = 0; i < argc; i++) {
        lens[i] = strlen(argv[i]);
    }
    redisReply *reply = link_run(link, (size_t)argc, (const char *const *)argv, lens, error);
    free(lens);
    return reply;
}

int main(int argc, char **argv) {
    struct config_flags flags = CONFIG_FLAGS_INIT;
    struct config config;
    struct buf error = BUF_INIT;
    int at = 1;
    int wait_ms = 0;
    while (at < argc && strcmp(argv[at], "--") != 0) {
        int taken = config_take_flag(&flags, argc, argv, at, CONFIG_BOTH, &error);
        if (taken == 0 && strcmp(argv[at], "--answer_ms") == 0) {
            wait_ms = (int)strtol(argv[at + 1], NULL, 10);
            taken = 2;
        }
        if (taken <= 0) {
            fprintf(stderr, "link_probe: %s: %s\n", argv[at], error.data);
            return 2;
        }
        at += taken;
    }
    int rc = 1;
    struct endpoint endpoint = {.path = NULL};
    struct link *link = NULL;
    if (config_load(&config, &flags, &error) && endpoint_from_config(&endpoint, &config, &error) &&
        (link = link_open(&endpoint, &error)) != NULL) {
        rc = 0;
        if (wait_ms > 0) {
            link_timeout(link, wait_ms);
        }
        if (at + 1 < argc) {
            redisReply *reply = run(link, argc - at - 1, argv + at + 1, &error);
            rc = reply == NULL;
            if (reply != NULL) {
                print_reply(reply);
                freeReplyObject(reply);
            }
        }
    }
    if (rc != 0) {
        fprintf(stderr, "link_probe: %s\n", error.data);
    }
    link_close(link);
    endpoint_free(&endpoint);
    config_free(&config);
    config_flags_free(&flags);
    buf_free(&error);
    return rc;
}
