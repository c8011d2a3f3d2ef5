#include "manager/command.h"
#include "manager/sweep.h"

static const struct opt options[] = {
    {.name = "type",
     .kind = KIND_TYPES,
     .metavar = "TYPE",
     .preset = "shell",
     .help = "what runs the command"},
    {.name = "priority",
     .kind = KIND_PRIORITY,
     .metavar = "N",
     .preset = "0",
     .help = "higher starts first"},
    {.name = "min_dram",
     .kind = KIND_MEMORY,
     .metavar = "GIB",
     .preset = "0",
     .help = "memory it needs, in GiB or with a unit; auto learns it; 0 reserves none"},
    {.name = "min_cpu",
     .kind = KIND_CORES,
     .metavar = "CORES",
     .preset = "1",
     .help = "cores it needs, fractions allowed; 0 reserves none"},
    {.name = "dry_run",
     .kind = KIND_BOOL,
     .preset = "false",
     .help = "only print the tasks, one JSON object a line"},
    {.name = "retry_failed",
     .kind = KIND_BOOL,
     .preset = "false",
     .help = "queue those again that have failed or were cancelled"},
    OPT_END};

/* The task options of common/task.h, each under its key; those that are pairs take NAME=VALUE. */
#define NAME_OF_ENV                     "env"
#define NAME_OF_ARG                     "arg"
#define ROW_TEXT(symbol, key, text)     ROW(symbol, key, "TEXT", false, text)
#define ROW_DURATION(symbol, key, text) ROW(symbol, key, "TIME", false, text)
#define ROW_COUNT(symbol, key, text)    ROW(symbol, key, "N", false, text)
#define ROW_SIZE(symbol, key, text)     ROW(symbol, key, "SIZE", false, text)
#define ROW_MILLI(symbol, key, text)    ROW(symbol, key, "N", false, text)
#define ROW_NAMES(symbol, key, text)    ROW(symbol, key, "NAMES", false, text)
#define ROW_CHOICE(symbol, key, text)   ROW(symbol, key, "WORD", false, text)
#define ROW_PAIR(symbol, key, text)     ROW(symbol, NAME_OF_##symbol, "NAME=VALUE", true, text)
#define ROW(symbol, key, value, repeated, text)                                                    \
    {.name = (key),                                                                                \
     .kind = KIND_OPTION,                                                                          \
     .tag = OPT_##symbol,                                                                          \
     .metavar = (value),                                                                           \
     .many = (repeated),                                                                           \
     .help = (text)},
static const struct opt task_option_rows[] = {
#define X(symbol, tag, key, form, help) ROW_##form(symbol, key, help)
    TASK_OPTIONS(X)
#undef X
        OPT_END};

static bool check(const struct args *args, struct buf *error) {
    uint32_t types = args_mask(args, "type");
    if (types & (types - 1)) {
        buf_adds(error, "--type: expected one type");
        return false;
    }
    struct sweep *sweep = sweep_new(args->operands, args->operand_count, error);
    sweep_free(sweep);
    return sweep != NULL;
}

const struct verb verb_add_task = {
    .name = "addTask",
    .operands = "[--] COMMAND… [::: VALUE…]…",
    .min_operands = 1,
    .max_operands = VERB_ANY,
    .summary = "adds one command, or a sweep over lists of values",
    .about = "Options stand before the command; everything from its first word on is the "
             "command's. One word is a shell line as it stands; several are the arguments, "
             "quoted for the shell where needed.\n\n"
             "Each ::: begins a list of values, and every combination becomes a task; the "
             "first list varies slowest. :::NAME gives the list a name, :::+ goes in step "
             "with the list before it. {1} and {NAME} stand for the value of a list, {} for "
             "all of them; a command without any gets all at its end. The values become "
             "columns of exportTask.\n\n"
             "  redisManager addTask --min_dram 2 -- ./sim {1} {2} ::: lru fifo ::: 1 2 4\n"
             "  redisManager addTask './sim --size={size} >{size}.log' :::size 1 2 4\n"
             "  redisManager addTask gzip -k ::: *.txt",
    .group = GROUP_LOAD,
    .flags = VERB_ANSWERS | VERB_COMMAND,
    .options = {options, task_option_rows},
    .check = check,
};
