#include "manager/command.h"
#include "manager/select.h"

static const struct opt options[] = {
    {.name = "format",
     .kind = KIND_CHOICE,
     .metavar = "FORM",
     .preset = "csv",
     .choices = "csv|jsonl",
     .help = "form of the answer"},
    {.name = "file",
     .kind = KIND_FILE,
     .metavar = "FILE",
     .preset = "-",
     .help = "write to this file, which appears when it is whole; - is standard output"},
    {.name = "limit",
     .kind = KIND_COUNT,
     .metavar = "N",
     .preset = "0",
     .help = "stop after this many tasks; 0 for all"},
    {.name = "with_output",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "have a column with what the task printed on stdout"},
    OPT_END};

const struct verb verb_export_task = {
    .name = "exportTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "results as CSV or JSON lines",
    .about = "One row a task: id, name, state, exit, times, memory, worker, a column for "
             "every parameter of a sweep ({1}, {2}, or its name), the command and its "
             "output. Finished, failed and cancelled tasks, unless --state or an ID says "
             "otherwise.\n\n"
             "  redisManager exportTask --name sweep --file results.csv",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options, select_options, select_state_options, select_priority_options,
                select_worker_options},
    .check = select_check,
};
