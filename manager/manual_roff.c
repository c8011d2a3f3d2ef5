#include <string.h>

#include "manager/chain.h"
#include "manager/manual.h"
#include "manager/usage.h"
#include "manager/utf8.h"
#include "manager/verbs.h"

/* Text as roff takes it: '\' and '-' by name, no line that could be a request, ASCII only. */
static void put(struct buf *out, const char *text, size_t len) {
    for (size_t at = 0; at < len;) {
        uint32_t character = 0;
        size_t size = utf8_read(text + at, len - at, &character);
        bool line_start = !out->len || out->data[out->len - 1] == '\n';
        if (line_start && (character == '.' || character == '\''))
            buf_adds(out, "\\&");
        if (character == '\\')
            buf_adds(out, "\\e");
        else if (character == '-')
            buf_adds(out, "\\-");
        else if (character == '\'')
            buf_adds(out, "\\(aq");
        else if (character == '`')
            buf_adds(out, "\\(ga");
        else if (character == '^')
            buf_adds(out, "\\(ha");
        else if (character == '~')
            buf_adds(out, "\\(ti");
        else if (character >= 0x80)
            buf_addf(out, "\\[u%04X]", (unsigned)character);
        else
            buf_add(out, text + at, 1);
        at += size ? size : 1;
    }
}

static void puts_text(struct buf *out, const char *text) {
    put(out, text, strlen(text));
}

static void put_option(const struct opt *opt, void *context) {
    struct buf *out = context;
    struct buf help = BUF_INIT;
    buf_adds(out, ".TP\n.B ");
    if (opt->letter)
        buf_addf(out, "\\-%c\\fR,\\fB ", opt->letter);
    buf_adds(out, "\\-\\-");
    puts_text(out, opt->name);
    if (opt_takes_value(opt)) {
        buf_adds(out, " \\fI");
        puts_text(out, opt->metavar);
        buf_adds(out, "\\fR");
    } else if (opt->preset && !strcmp(opt->preset, "true")) {
        buf_adds(out, " \\fR[\\fIBOOL\\fR]");
    }
    buf_addc(out, '\n');
    usage_option_help(opt, &help);
    put(out, help.data, help.len);
    buf_addc(out, '\n');
    buf_free(&help);
}

static void put_paragraph(const char *text, size_t len, bool example, void *context) {
    struct buf *out = context;
    buf_adds(out, example ? ".PP\n.nf\n" : ".PP\n");
    put(out, text, len);
    buf_adds(out, example ? "\n.fi\n" : "\n");
}

static void put_verb(const struct verb *verb, struct buf *out) {
    struct buf synopsis = BUF_INIT;
    struct opt_tables own = {{NULL}};
    usage_synopsis(verb, &synopsis);
    buf_adds(out, ".SS ");
    put(out, synopsis.data, synopsis.len);
    buf_addc(out, '\n');
    puts_text(out, verb->summary);
    buf_adds(out, ".\n");
    usage_paragraphs(verb->about, put_paragraph, out);
    for (size_t i = 0; i < VERB_TABLES_MAX && verb->options[i]; i++)
        opt_tables_add(&own, verb->options[i]);
    opt_each(&own, put_option, out);
    buf_free(&synopsis);
}

void manual_roff(struct buf *out) {
    struct opt_tables globals = {{global_options(), json_options, chain_options}};
    buf_adds(out,
             ".\\\" Written by `redisManager manual`; do not edit.\n"
             ".TH REDISMANAGER 1 \"\" \"distcomp\" \"User Commands\"\n"
             ".SH NAME\nredisManager \\- loads, watches and repairs batches of tasks\n"
             ".SH SYNOPSIS\n.B redisManager\n.I VERB\n[\\fIOPTION\\fR...] [\\fIOPERAND\\fR...]\n"
             ".br\n.B redisManager\n.BI \"\\-\\-task \\(aq\" VERB & VERB ...\\(aq\n"
             "[\\fIOPTION\\fR...]\n"
             ".SH DESCRIPTION\n"
             "The manager of distcomp, which runs batches of commands over many machines with a "
             "queue in\nRedis. Each verb works alone and in a chain, where one set of options is "
             "given to all verbs and\nthe first failure ends it.\n"
             ".PP\nOptions are written \\fB\\-\\-key value\\fR or \\fB\\-\\-key=value\\fR, and "
             "\\(oq\\-\\(cq and \\(oq_\\(cq are the same in\ntheir names. True is y, yes, t, "
             "true, on or 1; false is n, no, f, false, off or 0; an option alone\nis true. "
             "\\fB\\-\\-\\fR ends the options.\n");
    for (int group = 0; group < GROUP_COUNT; group++) {
        buf_addf(out, ".SH %s\n", verb_group_headings[group]);
        for (size_t i = 0; i < verb_count; i++)
            if (verbs[i]->group == (enum verb_group)group)
                put_verb(verbs[i], out);
    }
    buf_adds(out, ".SH OPTIONS OF EVERY VERB\n");
    opt_each(&globals, put_option, out);
    buf_adds(out,
             ".SH EXIT STATUS\n0 done, 1 the operation failed, 2 bad usage.\n"
             ".SH ENVIRONMENT\n.TP\n.B DISTCOMP_\\fIKEY\\fR\nA setting, such as DISTCOMP_REDIS; "
             "options go before it, and it goes before conf.json.\n"
             ".TP\n.B NO_COLOR\nNo colours when it is not empty.\n"
             ".SH SEE ALSO\n.BR redis\\-server (1),\n.BR parallel (1)\n");
}
