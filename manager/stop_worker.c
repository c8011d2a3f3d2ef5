#include "manager/command.h"
#include "manager/worker_names.h"

static int stop_worker(struct session *session, const struct args *args) {
    return worker_names_want(session, args, "stop", "asked to finish what they run and leave");
}

const struct verb verb_stop_worker = {
    .name = "stopWorker",
    .operands = "[NAME…]",
    .max_operands = VERB_ANY,
    .summary = "lets workers finish what they run and leave",
    .about = "As drainWorker, and then the worker exits.\n\n"
             "  redisManager stopWorker --all",
    .group = GROUP_WORKERS,
    .flags = VERB_ANSWERS,
    .options = {worker_names_options},
    .check = worker_names_check,
    .run = stop_worker,
};
