#include "manager/command.h"

const struct verb verb_cleanup = {
    .name = "cleanup",
    .operands = "",
    .summary = "puts right what crashes left behind",
    .about = "Takes tasks from workers whose lease is over, forgets workers that are gone "
             "and hold nothing, closes loads that were interrupted, and drops results beyond "
             "their retention. Workers and waitTask do the same by themselves, piece by "
             "piece; this does all of it now. It never touches a task that a live worker "
             "runs.",
    .group = GROUP_REPAIR,
    .flags = VERB_ANSWERS,
};
