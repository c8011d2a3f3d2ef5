#include "manager/command.h"
#include "manager/select.h"

static const struct opt options[] = {{.name = "older",
                                      .kind = KIND_DURATION,
                                      .metavar = "TIME",
                                      .preset = "0",
                                      .help = "only tasks that ended at least this long ago"},
                                     {.name = "failed",
                                      .kind = KIND_BOOL,
                                      .preset = "false",
                                      .help = "failed and cancelled tasks too"},
                                     OPT_END};

const struct verb verb_remove_finished_task = {
    .name = "removeFinishedTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "forgets finished tasks",
    .about = "Their records, tries and outputs are removed, and a load that brings them "
             "again runs them again. Without an ID or filter, all finished tasks.",
    .group = GROUP_REPAIR,
    .flags = VERB_ANSWERS,
    .options = {options, select_options, select_worker_options, select_change_options},
    .check = select_check,
};
