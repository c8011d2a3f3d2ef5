#include <string.h>

#include "manager/command.h"
#include "manager/usage.h"

static bool check(const struct args *args, struct buf *error) {
    const char *name = args->operand_count ? args->operands[0] : "options";
    if (!strcmp(name, "options") || verb_find(name))
        return true;
    const struct verb *near = verb_nearest(name);
    buf_addf(error, "there is no verb %s", name);
    if (near)
        buf_addf(error, "; did you mean %s?", near->name);
    return false;
}

static int help(struct session *session, const struct args *args) {
    struct buf text = BUF_INIT;
    if (!args->operand_count)
        usage_all(&text);
    else if (!strcmp(args->operands[0], "options"))
        usage_options(&text);
    else
        usage_verb(verb_find(args->operands[0]), &text);
    fwrite(text.data, 1, text.len, session->out);
    buf_free(&text);
    return EXIT_DONE;
}

const struct verb verb_help = {
    .name = "help",
    .operands = "[VERB|options]",
    .max_operands = 1,
    .summary = "tells what a verb does",
    .about = "Without an operand, all verbs in one line each. `options` lists what every "
             "verb understands.",
    .group = GROUP_HELP,
    .flags = VERB_OFFLINE,
    .check = check,
    .run = help,
};
