/*
 * wake_count SOCKET WORKERS TASKS SMALL_PERCENT program args... - what one new task costs idle
 * workers.
 *
 * Registers WORKERS workers that are only connections' worth of state: each claims once, finds
 * nothing and is idle. SMALL_PERCENT of them have 1 GiB free, the others 8. Then runs `program
 * args... N` (which adds one task) TASKS times, and does what agents would: a worker that is woken
 * claims, reports what it got as finished, and claims again. Prints {"claims": [of each task],
 * "got": tasks that were claimed}.
 */
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/bench/scriptclient.h"

extern char **environ;

enum { QUIET_MS = 30, FIRST_MS = 10000, WORDS_MOST = 64, LARGE_GIB = 8 };
static const char queue[] = "distcomp:{default}";

struct bench {
    redisContext *redis, *messages;
    struct cmd cmd;
    long workers, small, claims, got;
};

static void name_of(long number, char name[32]) {
    snprintf(name, 32, "idle%04ld", number);
}

/* Returns how many tasks it got. */
static size_t claim(struct bench *b, long number) {
    char name[32];
    name_of(number, name);
    uint64_t free_bytes = (uint64_t)(number < b->small ? 1 : LARGE_GIB) << 30;
    struct claim_args args = {.worker = name,
                              .session = "1",
                              .free_mem_bytes = free_bytes,
                              .free_mcpu = 4000,
                              .slots = 64,
                              .auto_mem_bytes = 1 << 30,
                              .caps = ",",
                              .most_mem_bytes = free_bytes,
                              .most_mcpu = 4000,
                              .starve_after_ms = 60000,
                              .forecast = ""};
    struct claim_answer answer;
    args.request = args.nonce = (uint64_t)client_now_ns();
    claim_build(&b->cmd, queue, &args);
    redisReply *reply = client_run(b->redis, &b->cmd);
    b->claims++;
    if (!claim_read(reply, &answer) || answer.status != CLAIM_OK)
        client_fail("claim", "refused");
    client_finish(b->redis, &b->cmd, queue, &args, reply, answer.count);
    freeReplyObject(reply);
    return answer.count;
}

/* The next message, or NULL when there is none within ms. */
static redisReply *next_message(struct bench *b, int ms) {
    void *reply = NULL;
    for (;;) {
        if (redisGetReplyFromReader(b->messages, &reply) != REDIS_OK)
            client_fail("messages", b->messages->errstr);
        if (reply)
            return reply;
        struct pollfd p = {b->messages->fd, POLLIN, 0};
        if (poll(&p, 1, ms) <= 0)
            return NULL;
        if (redisBufferRead(b->messages) != REDIS_OK)
            client_fail("messages", b->messages->errstr);
    }
}

static void woken(struct bench *b, const redisReply *message) {
    if (message->elements != 4 || strcmp(message->element[3]->str, "work") != 0)
        return;
    const char *name = strstr(message->element[2]->str, "idle");
    if (!name)
        return;
    long number = strtol(name + 4, NULL, 10);
    size_t got = claim(b, number);
    b->got += (long)got;
    if (got)
        claim(b, number);
}

static void add_task(char **words) {
    pid_t pid;
    int status;
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    if (posix_spawn(&pid, words[0], &files, NULL, words, environ) != 0 ||
        waitpid(pid, &status, 0) < 0 || status != 0)
        client_fail(words[0], "it failed");
    posix_spawn_file_actions_destroy(&files);
}

static void become_idle(struct bench *b) {
    for (long i = 0; i < b->workers; i++) {
        char name[32];
        name_of(i, name);
        client_register(b->redis, &b->cmd, queue, name);
        claim(b, i);
    }
}

int main(int argc, char **argv) {
    if (argc < 6 || argc > WORDS_MOST) {
        fprintf(stderr, "usage: wake_count SOCKET WORKERS TASKS SMALL_PERCENT program args...\n");
        return 2;
    }
    struct bench b = {
        .redis = client_open(argv[1]), .messages = client_open(argv[1]), .cmd = CMD_INIT};
    b.workers = strtol(argv[2], NULL, 10);
    b.small = b.workers * strtol(argv[4], NULL, 10) / 100;
    long tasks = strtol(argv[3], NULL, 10);
    freeReplyObject(redisCommand(b.messages, "PSUBSCRIBE %s:wake:*", queue));
    become_idle(&b);
    printf("{\"claims\": [");
    for (long i = 0; i < tasks; i++) {
        char number[32], *words[WORDS_MOST + 2] = {NULL};
        snprintf(number, sizeof number, "%ld", i);
        memcpy(words, argv + 5, (size_t)(argc - 5) * sizeof *words);
        words[argc - 5] = number;
        b.claims = 0;
        add_task(words);
        redisReply *message;
        for (int ms = FIRST_MS; (message = next_message(&b, ms)); ms = QUIET_MS) {
            woken(&b, message);
            freeReplyObject(message);
        }
        printf("%s%ld", i ? ", " : "", b.claims);
    }
    printf("], \"got\": %ld}\n", b.got);
    cmd_free(&b.cmd);
    redisFree(b.redis);
    redisFree(b.messages);
    return 0;
}
