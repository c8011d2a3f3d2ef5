#include "manager/command.h"

const struct verb verb_check_worker = {
    .name = "checkWorker",
    .operands = "[NAME…]",
    .max_operands = VERB_ANY,
    .summary = "one line a worker",
    .about = "For each worker, or those named: state, age of its last report, cores and "
             "memory (used and total), tasks that run now, tasks it finished and failed. A "
             "worker that has been silent for longer than its lease is lost; its tasks went "
             "back to todo.",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
};
