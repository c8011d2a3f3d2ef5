#include "manager/command.h"
#include "manager/select.h"

static const struct opt options[] = {
    {.name = "todo",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "list todo tasks, waiting, delayed and held ones too"},
    {.name = "in_progress", .kind = KIND_BOOL, .preset = "true", .help = "list running tasks"},
    {.name = "finished", .kind = KIND_BOOL, .preset = "true", .help = "list finished tasks"},
    {.name = "failed",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "list failed and cancelled tasks"},
    {.name = "failed_reason",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "show why failed tasks failed"},
    {.name = "print_result",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "show the last line of what finished tasks printed"},
    {.name = "limit",
     .kind = KIND_COUNT,
     .metavar = "N",
     .preset = "50",
     .help = "at most this many lines a list; 0 for all"},
    OPT_END};

const struct verb verb_check_task = {
    .name = "checkTask",
    .operands = "",
    .summary = "counts tasks, and lists them",
    .about = "The first line is `N todo tasks, N in_progress tasks, N finished tasks, N "
             "failed tasks`; todo counts waiting, delayed and held ones too, failed the "
             "cancelled ones, and the second line splits them up. Then a list for each.\n\n"
             "A list set to false is left out. As soon as one is set to true, only those "
             "that are get shown: --failed is the list of failed tasks and nothing else. "
             "Filters apply to the lists, never to the counts.\n\n"
             "With --json the first line is an object with the counts, and every line after "
             "it is an object for one task.\n\n"
             "  redisManager checkTask --finished false --todo false --in_progress false --failed "
             "false\n"
             "  redisManager checkTask --failed --include 'size=64'\n"
             "  watch \"redisManager --task 'checkTask&checkWorker' --finished false "
             "--print_result false\"",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options, select_options, select_state_options, select_priority_options,
                select_worker_options},
};
