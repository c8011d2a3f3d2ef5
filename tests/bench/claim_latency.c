/*
 * claim_latency SOCKET CLAIMS FREE_MIB [QUEUE] - how long a claim of one task takes, from the
 * client's side.
 *
 * Claims one task with FREE_MIB of free memory, reports it finished, CLAIMS times, on the unix
 * socket of Redis. Prints {"ms": [...], "empty": claims that brought nothing}.
 */
#include "tests/bench/scriptclient.h"

int main(int argc, char **argv) {
    if (argc < 4) {
        fprintf(stderr, "usage: claim_latency SOCKET CLAIMS FREE_MIB [QUEUE]\n");
        return 2;
    }
    long claims = strtol(argv[2], NULL, 10), empty = 0;
    const char *queue = argc > 4 ? argv[4] : "distcomp:{default}";
    redisContext *redis = client_open(argv[1]);
    struct cmd cmd = CMD_INIT;
    client_register(redis, &cmd, queue, "client");
    uint64_t free_bytes = strtoull(argv[3], NULL, 10) << 20;
    struct claim_args args = {.worker = "client",
                              .session = "1",
                              .free_mem_bytes = free_bytes,
                              .free_mcpu = 1000000,
                              .slots = 1,
                              .auto_mem_bytes = 1 << 30,
                              .caps = ",",
                              .most_mem_bytes = free_bytes,
                              .most_mcpu = 1000000,
                              .starve_after_ms = 60000,
                              .forecast = ""};
    printf("{\"ms\": [");
    for (long i = 0; i < claims; i++) {
        struct claim_answer answer;
        args.request = args.nonce = (uint64_t)client_now_ns();
        claim_build(&cmd, queue, &args);
        int64_t start = client_now_ns();
        redisReply *reply = client_run(redis, &cmd);
        printf("%s%.4f", i ? ", " : "", (double)(client_now_ns() - start) / 1e6);
        if (!claim_read(reply, &answer) || answer.status != CLAIM_OK)
            client_fail("claim", "refused");
        empty += answer.count == 0;
        args.rank = answer.more > 0 ? (uint32_t)answer.more : 0;
        client_finish(redis, &cmd, queue, &args, reply, answer.count);
        freeReplyObject(reply);
    }
    printf("], \"empty\": %ld}\n", empty);
    cmd_free(&cmd);
    redisFree(redis);
    return 0;
}
