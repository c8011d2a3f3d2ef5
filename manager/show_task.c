#include "manager/command.h"

const struct verb verb_show_task = {
    .name = "showTask",
    .operands = "ID…",
    .min_operands = 1,
    .max_operands = VERB_ANY,
    .summary = "everything about a task, and why it does not run",
    .about = "Its description, state, counts, and every try with worker, times, memory and "
             "outcome. When it is not running, what it waits for: dependencies, a retry's "
             "time, a worker with enough memory or cores, a label that no worker has.\n\n"
             "An ID may be shortened as long as only one task's begins so.",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
};
