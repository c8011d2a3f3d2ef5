#include "manager/change.h"
#include "manager/command.h"
#include "manager/select.h"

static int hold_task(struct session *session, const struct args *args) {
    static const struct change_plan plan = {
        .change = CHANGE_HOLD,
        .states = CHANGE_BIT(TASK_WAITING) | CHANGE_BIT(TASK_TODO) | CHANGE_BIT(TASK_DELAYED),
        .doing = "holding",
        .done = "held",
        .field = "held"};
    return change_tasks(session, args, &plan);
}

const struct verb verb_hold_task = {
    .name = "holdTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "keeps queued tasks from starting",
    .about = "They stay in the queue as held until releaseTask. Running tasks are not "
             "touched.",
    .group = GROUP_CHANGE,
    .flags = VERB_ANSWERS,
    .options = {select_options, select_state_options, select_priority_options,
                select_worker_options, select_change_options, select_all_options},
    .check = select_require,
    .run = hold_task,
};
