#include "manager/command.h"
#include "manager/worker_names.h"

static int drain_worker(struct session *session, const struct args *args) {
    return worker_names_want(session, args, "drain",
                             "asked to finish what they run and take nothing new");
}

const struct verb verb_drain_worker = {
    .name = "drainWorker",
    .operands = "[NAME…]",
    .max_operands = VERB_ANY,
    .summary = "lets workers finish what they run and take nothing new",
    .about = "A drained worker stays and waits; resumeWorker lets it take tasks again.",
    .group = GROUP_WORKERS,
    .flags = VERB_ANSWERS,
    .options = {worker_names_options},
    .check = worker_names_check,
    .run = drain_worker,
};
