#include <inttypes.h>

#include "common/store.h"
#include "manager/command.h"
#include "manager/print.h"

static const struct opt options[] = {{.name = "force",
                                      .kind = KIND_BOOL,
                                      .preset = "false",
                                      .help = "empty it even while tasks run"},
                                     OPT_END};

static int init_redis(struct session *session, const struct args *args) {
    struct store *store = session_store(session);
    if (!store)
        return EXIT_FAILED;
    struct buf error = BUF_INIT;
    uint64_t removed, running;
    bool ok = store_init(store, args_bool(args, "force"), &removed, &running, &error);
    if (!ok) {
        session_error(session, "%s", error.data);
    } else if (running) {
        session_error(session,
                      "%" PRIu64 " %s in queue %s; stopWorker and wait, or --force to end %s",
                      running, running == 1 ? "task is running" : "tasks are running",
                      session->config->queue, running == 1 ? "it" : "them");
        ok = false;
    } else if (session->json) {
        print_json(session->out, json_pack("{s:I}", "removed", (json_int_t)removed));
    } else {
        fprintf(session->out, "%" PRIu64 " %s removed from queue %s\n", removed,
                removed == 1 ? "task" : "tasks", session->config->queue);
    }
    buf_free(&error);
    return ok ? EXIT_DONE : EXIT_FAILED;
}

const struct verb verb_init_redis = {
    .name = "initRedis",
    .operands = "",
    .summary = "empties the queue",
    .about = "Removes every task, result, name and object of this queue, and nothing else in "
             "that Redis. Workers stay registered and go on waiting for work. Refused while tasks "
             "run, unless --force; what runs then is ended by its worker.\n\n"
             "  redisManager --task 'initRedis&loadTask' --taskfile task",
    .group = GROUP_LOAD,
    .flags = VERB_ANSWERS,
    .options = {options},
    .run = init_redis,
};
