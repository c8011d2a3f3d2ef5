#include "manager/command.h"
#include "manager/worker_names.h"

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
};
