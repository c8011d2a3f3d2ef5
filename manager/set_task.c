#include <inttypes.h>
#include <stdio.h>

#include "manager/change.h"
#include "manager/command.h"
#include "manager/select.h"

static const struct opt options[] = {
    {.name = "priority", .kind = KIND_PRIORITY, .metavar = "N", .help = "the new priority"},
    {.name = "old_priority",
     .kind = KIND_PRIORITY,
     .metavar = "N",
     .help = "only tasks that have this priority"},
    OPT_END};

static bool check(const struct args *args, struct buf *error) {
    if (args_given(args, "priority"))
        return select_require(args, error);
    buf_adds(error, "expected what to set: --priority N");
    return false;
}

static int set_task(struct session *session, const struct args *args) {
    char priority[24], done[40];
    snprintf(priority, sizeof priority, "%" PRIu64, args_number(args, "priority"));
    snprintf(done, sizeof done, "set to priority %s", priority);
    const struct change_plan plan = {.change = CHANGE_PRIORITY,
                                     .arg = priority,
                                     .states = CHANGE_BIT(TASK_WAITING) | CHANGE_BIT(TASK_TODO) |
                                               CHANGE_BIT(TASK_DELAYED) | CHANGE_BIT(TASK_HELD) |
                                               CHANGE_BIT(TASK_IN_PROGRESS),
                                     .doing = "setting",
                                     .done = done,
                                     .field = "changed"};
    return change_tasks(session, args, &plan);
}

const struct verb verb_set_task = {
    .name = "setTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "sets the priority of queued tasks",
    .about = "The highest priority starts first. A running task has the new one for its next "
             "try; those that have ended are not touched.\n\n"
             "  redisManager setTask --name urgent --priority 9",
    .group = GROUP_CHANGE,
    .flags = VERB_ANSWERS,
    .options = {options, select_options, select_state_options, select_worker_options,
                select_change_options, select_all_options},
    .check = check,
    .run = set_task,
};
