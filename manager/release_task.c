#include "manager/command.h"
#include "manager/select.h"

const struct verb verb_release_task = {
    .name = "releaseTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "lets held tasks start again",
    .about = "The opposite of holdTask.",
    .group = GROUP_CHANGE,
    .flags = VERB_ANSWERS,
    .options = {select_options, select_state_options, select_priority_options,
                select_worker_options, select_change_options, select_all_options},
    .check = select_require,
};
