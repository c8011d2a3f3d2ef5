#include "manager/command.h"
#include "manager/worker_names.h"

static int stop_worker(struct session *session, const struct args *args) {
    static const struct worker_wish wish = {.want = "stop",
                                            .one = "asked to finish what it runs and leave",
                                            .many = "asked to finish what they run and leave",
                                            .may_wait = true,
                                            .until = WORKER_UNTIL_GONE,
                                            .has = "has left",
                                            .have = "have left"};
    return worker_names_want(session, args, &wish);
}

const struct verb verb_stop_worker = {
    .name = "stopWorker",
    .operands = "[NAME…]",
    .max_operands = VERB_ANY,
    .summary = "lets workers finish what they run and leave",
    .about = "As drainWorker, and then the worker exits. --wait returns when all have left.\n\n"
             "  redisManager stopWorker --all --wait",
    .group = GROUP_WORKERS,
    .flags = VERB_ANSWERS,
    .options = {worker_names_options, worker_wait_options},
    .check = worker_wait_check,
    .run = stop_worker,
};
