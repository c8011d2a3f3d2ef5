#include "manager/command.h"
#include "manager/select.h"

static const struct opt options[] = {
    {.name = "name",
     .kind = KIND_OPTION,
     .metavar = "NAME",
     .tag = OPT_NAME,
     .help = "wait for the tasks of this name, and those below it"},
    {.name = "timeout",
     .kind = KIND_DURATION,
     .metavar = "TIME",
     .help = "give up after this long, and exit 1"},
    {.name = "progress",
     .kind = KIND_BOOL,
     .preset = "true",
     .help = "show a bar with rate and time left on a terminal"},
    OPT_END};

const struct verb verb_wait_task = {
    .name = "waitTask",
    .operands = "[ID…]",
    .max_operands = VERB_ANY,
    .summary = "waits until tasks have ended",
    .about =
        "Waits for the tasks given, for those of a name, or else until nothing of the "
        "queue is left to do. Exits 0 when all finished, 1 when any failed or was "
        "cancelled or the time is up.\n\n"
        "  redisManager waitTask --name sweep --timeout 2h && redisManager exportTask --name sweep",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options},
    .check = select_check,
};
