#include "manager/manual.h"

#include "manager/command.h"

static const struct opt options[] = {{.name = "markdown",
                                      .kind = KIND_BOOL,
                                      .preset = "false",
                                      .help = "as docs/commands.md has it, instead of roff"},
                                     OPT_END};

static int manual(struct session *session, const struct args *args) {
    struct buf text = BUF_INIT;
    if (args_bool(args, "markdown"))
        manual_markdown(&text);
    else
        manual_roff(&text);
    fwrite(text.data, 1, text.len, session->out);
    buf_free(&text);
    return EXIT_DONE;
}

const struct verb verb_manual = {
    .name = "manual",
    .operands = "",
    .summary = "prints the man page",
    .about = "  redisManager manual >redisManager.1 && man -l redisManager.1",
    .group = GROUP_HELP,
    .flags = VERB_OFFLINE,
    .options = {options},
    .run = manual,
};
