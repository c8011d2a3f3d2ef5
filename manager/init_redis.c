#include "manager/command.h"

static const struct opt options[] = {{.name = "force",
                                      .kind = KIND_BOOL,
                                      .preset = "false",
                                      .help = "empty it even while tasks run"},
                                     OPT_END};

const struct verb verb_init_redis = {
    .name = "initRedis",
    .operands = "",
    .summary = "empties the queue",
    .about = "Removes every task, result and name of this queue, and nothing else in that "
             "Redis. Workers stay registered and go on waiting for work. Refused while tasks "
             "run, unless --force; what runs then is ended by its worker.\n\n"
             "  redisManager --task 'initRedis&loadTask' --taskfile task",
    .group = GROUP_LOAD,
    .flags = VERB_ANSWERS,
    .options = {options},
};
