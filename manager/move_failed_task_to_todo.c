#include "manager/command.h"
#include "manager/select.h"

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
};
