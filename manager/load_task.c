#include "manager/command.h"

static const struct opt options[] = {
    {.name = "taskfile",
     .kind = KIND_FILE,
     .metavar = "FILE",
     .help = "the task file; - is standard input"},
    {.name = "format",
     .kind = KIND_CHOICE,
     .metavar = "FORM",
     .preset = "auto",
     .choices = "auto|lines|jsonl",
     .help = "form of the file; auto goes by its name"},
    {.name = "name",
     .kind = KIND_OPTION,
     .metavar = "NAME",
     .tag = OPT_NAME,
     .help = "name of the batch, for tasks that have no name of their own"},
    {.name = "dry_run",
     .kind = KIND_BOOL,
     .preset = "false",
     .help = "only check the file and print its tasks, one JSON object a line"},
    {.name = "retry_failed",
     .kind = KIND_BOOL,
     .preset = "false",
     .help = "queue failed and cancelled tasks of the file again"},
    {.name = "progress", .kind = KIND_BOOL, .preset = "true", .help = "show a bar on a terminal"},
    OPT_END};

static bool check(const struct args *args, struct buf *error) {
    bool named = args_given(args, "taskfile");
    if (named && args->operand_count)
        buf_adds(error, "expected either --taskfile or FILE, not both");
    else if (!named && !args->operand_count)
        buf_adds(error, "expected --taskfile FILE; - is standard input");
    return named != (args->operand_count > 0);
}

const struct verb verb_load_task = {
    .name = "loadTask",
    .operands = "[FILE]",
    .max_operands = 1,
    .summary = "loads a task file",
    .about = "A task a line, type:priority:min_dram:min_cpu:params; or, in a file whose name "
             "ends in .jsonl, a JSON object a line. Lines that begin with # are comments; #@ "
             "key=value sets options for the tasks below it.\n\n"
             "The whole file is checked first. When lines are wrong, they are reported as "
             "file:line:col (up to 20 of them) and nothing is loaded. Loading the same file "
             "again adds nothing; an edited priority, memory or core count updates tasks "
             "that have not started. The answer counts new, known, updated, duplicate and "
             "failed tasks.\n\n"
             "  redisManager loadTask --taskfile task\n"
             "  printf 'shell:4:2:1:./sim %d\\n' $(seq 100) | redisManager loadTask -",
    .group = GROUP_LOAD,
    .flags = VERB_ANSWERS,
    .options = {options},
    .check = check,
};
