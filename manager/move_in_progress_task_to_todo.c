#include "manager/change.h"
#include "manager/command.h"
#include "manager/select.h"

static int move_in_progress_task_to_todo(struct session *session, const struct args *args) {
    static const struct change_plan plan = {.change = CHANGE_REQUEUE,
                                            .states = CHANGE_BIT(TASK_IN_PROGRESS),
                                            .doing = "moving",
                                            .done = "moved to todo",
                                            .field = "moved"};
    return change_tasks(session, args, &plan);
}

const struct verb verb_move_in_progress_task_to_todo = {
    .name = "moveInProgressTaskToTodo",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "takes running tasks from their workers",
    .about = "They go back to todo and start again elsewhere; a worker that still runs one "
             "is told so, and ends its copy. Not needed after crashes: a silent worker's "
             "tasks go back by themselves when its lease is over. Without an ID or filter, "
             "all running tasks.",
    .group = GROUP_REPAIR,
    .flags = VERB_ANSWERS,
    .options = {select_options, select_worker_options, select_change_options},
    .check = select_check,
    .run = move_in_progress_task_to_todo,
};
