#include "manager/command.h"
#include "manager/select.h"

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
};
