#include "manager/change.h"
#include "manager/command.h"
#include "manager/select.h"

static int cancel_task(struct session *session, const struct args *args) {
    static const struct change_plan plan = {
        .change = CHANGE_CANCEL,
        .states = CHANGE_BIT(TASK_WAITING) | CHANGE_BIT(TASK_TODO) | CHANGE_BIT(TASK_DELAYED) |
                  CHANGE_BIT(TASK_HELD) | CHANGE_BIT(TASK_IN_PROGRESS),
        .doing = "cancelling",
        .done = "cancelled",
        .field = "cancelled"};
    return change_tasks(session, args, &plan);
}

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
    .run = cancel_task,
};
