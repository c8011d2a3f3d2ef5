#include "manager/change.h"
#include "manager/command.h"
#include "manager/select.h"

static int move_failed_task_to_todo(struct session *session, const struct args *args) {
    struct change_plan plan = {.change = CHANGE_RETRY,
                               .states = CHANGE_BIT(TASK_FAILED),
                               .doing = "moving",
                               .done = "moved to todo",
                               .field = "moved",
                               .refusal = "wait for tasks that have failed"};
    if (args->operand_count)
        plan.states |= CHANGE_BIT(TASK_CANCELLED);
    return change_tasks(session, args, &plan);
}

const struct verb verb_move_failed_task_to_todo = {
    .name = "moveFailedTaskToTodo",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "queues failed tasks again",
    .about = "With all their tries, as if none had been made. Cancelled ones too when an ID "
             "names them. Without an ID or filter, all failed tasks.",
    .group = GROUP_REPAIR,
    .flags = VERB_ANSWERS,
    .options = {select_options, select_priority_options, select_worker_options,
                select_change_options},
    .check = select_check,
    .run = move_failed_task_to_todo,
};
