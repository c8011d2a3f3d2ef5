#include "manager/command.h"

static const struct opt options[] = {{.name = "follow",
                                      .kind = KIND_BOOL,
                                      .letter = 'f',
                                      .preset = "false",
                                      .help = "go on while it runs, from wherever it runs"},
                                     {.name = "stream",
                                      .kind = KIND_CHOICE,
                                      .metavar = "STREAM",
                                      .preset = "both",
                                      .choices = "both|stdout|stderr",
                                      .help = "which of its streams to print"},
                                     OPT_END};

const struct verb verb_task_output = {
    .name = "taskOutput",
    .operands = "ID",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "what a task printed",
    .about = "stdout goes to stdout and stderr to stderr, byte for byte. Of long outputs the "
             "first and the last part are kept with the result; where the whole of it is "
             "(which machine, which file) is told on stderr.\n\n"
             "An ID may be shortened as long as only one task's begins so.\n\n"
             "  redisManager taskOutput -f 3k7x",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options},
};
