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

const struct verb verb_set_task = {
    .name = "setTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "sets the priority of queued tasks",
    .about = "The highest priority starts first. Tasks that run or have ended are not "
             "touched.\n\n"
             "  redisManager setTask --name urgent --priority 9",
    .group = GROUP_CHANGE,
    .flags = VERB_ANSWERS,
    .options = {options, select_options, select_state_options, select_worker_options,
                select_change_options, select_all_options},
    .check = check,
};
