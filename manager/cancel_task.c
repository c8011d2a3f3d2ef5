#include "manager/command.h"
#include "manager/select.h"

const struct verb verb_cancel_task = {
    .name = "cancelTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "cancels tasks",
    .about = "Queued tasks are cancelled at once; of running ones the whole process tree is "
             "ended, with SIGTERM and after a grace period SIGKILL. The answer counts both. "
             "Tasks that have ended stay as they are.\n\n"
             "  redisManager cancelTask --name sweep/lru --state todo,in_progress",
    .group = GROUP_CHANGE,
    .flags = VERB_ANSWERS,
    .options = {select_options, select_state_options, select_priority_options,
                select_worker_options, select_change_options, select_all_options},
    .check = select_require,
};
