#include "manager/usage.h"

#include <string.h>

#include "manager/chain.h"
#include "manager/print.h"

#define WIDTH       80
#define HELP_COLUMN 26

void usage_synopsis(const struct verb *verb, struct buf *out) {
    buf_adds(out, verb->name);
    if (verb->options[0] || verb->flags & VERB_ANSWERS)
        buf_adds(out, " [OPTION…]");
    if (*verb->operands)
        buf_addf(out, " %s", verb->operands);
}

void usage_option_head(const struct opt *opt, struct buf *out) {
    if (opt->letter)
        buf_addf(out, "-%c, ", opt->letter);
    buf_addf(out, "--%s", opt->name);
    if (opt_takes_value(opt))
        buf_addf(out, " %s", opt->metavar);
    else if (opt->preset && !strcmp(opt->preset, "true"))
        buf_adds(out, " [BOOL]"); /* there is only a point in giving it with a value */
}

void usage_option_help(const struct opt *opt, struct buf *out) {
    buf_adds(out, opt->help);
    size_t len;
    const char *word;
    if (opt->kind != KIND_BOOL)
        for (size_t i = 0; (word = opt_word(opt, i, &len)); i++)
            buf_addf(out, "%s%.*s", i ? "|" : " [", (int)len, word);
    if (opt->kind != KIND_BOOL && opt_word(opt, 0, &len))
        buf_addc(out, ']');
    bool off = opt->kind == KIND_BOOL && opt->preset && !strcmp(opt->preset, "false");
    if (opt->preset && *opt->preset && !off)
        buf_addf(out, " (default: %s)", opt->preset);
    if (opt->many)
        buf_adds(out, "; may be repeated");
}

static size_t pad(struct buf *out, size_t column, size_t indent) {
    for (; column < indent; column++)
        buf_addc(out, ' ');
    return column;
}

void usage_wrap(struct buf *out, const char *text, size_t len, size_t indent, size_t width) {
    const char *line = out->len ? memrchr(out->data, '\n', out->len) : NULL;
    size_t start = line ? (size_t)(line - out->data) + 1 : 0;
    size_t column = print_width(out->data + start, out->len - start);
    if (column && column >= indent) {
        buf_addc(out, '\n');
        column = 0;
    }
    column = pad(out, column, indent);
    bool first = true; /* of its line */
    for (size_t at = 0; at < len;) {
        size_t end = at;
        while (end < len && text[end] != ' ' && text[end] != '\n')
            end++;
        size_t word = print_width(text + at, end - at);
        if (word && !first && column + 1 + word > width) {
            buf_addc(out, '\n');
            column = pad(out, 0, indent);
            first = true;
        }
        if (word && !first)
            buf_addc(out, ' ');
        column += word + (word && !first);
        first = first && !word;
        buf_add(out, text + at, end - at);
        at = end + 1;
    }
    buf_addc(out, '\n');
}

void usage_paragraphs(const char *about, usage_paragraph_fn *paragraph, void *context) {
    for (const char *at = about; *at;) {
        const char *end = strstr(at, "\n\n");
        size_t len = end ? (size_t)(end - at) : strlen(at);
        paragraph(at, len, at[0] == ' ', context);
        at += len + strspn(at + len, "\n");
    }
}

static void print_paragraph(const char *text, size_t len, bool example, void *context) {
    struct buf *out = context;
    buf_addc(out, '\n');
    if (!example) {
        usage_wrap(out, text, len, 0, WIDTH);
        return;
    }
    buf_add(out, text, len);
    buf_addc(out, '\n');
}

static void print_option(const struct opt *opt, void *context) {
    struct buf *out = context;
    struct buf help = BUF_INIT;
    buf_adds(out, opt->letter ? "  " : "      ");
    usage_option_head(opt, out);
    usage_option_help(opt, &help);
    usage_wrap(out, help.data, help.len, HELP_COLUMN, WIDTH);
    buf_free(&help);
}

static void print_global(const struct opt *opt, void *context) {
    struct buf *out = context;
    buf_addf(out, " --%s", opt->name);
}

static void print_globals(struct buf *out) {
    struct opt_tables tables = {{global_options()}};
    struct buf list = BUF_INIT;
    buf_adds(&list, "Options of every verb:");
    opt_each(&tables, print_global, &list);
    buf_adds(&list, " (redisManager help options)");
    usage_wrap(out, list.data, list.len, 0, WIDTH);
    buf_free(&list);
}

void usage_verb(const struct verb *verb, struct buf *out) {
    buf_adds(out, "redisManager ");
    usage_synopsis(verb, out);
    buf_addf(out, "\n%s\n", verb->summary);
    usage_paragraphs(verb->about, print_paragraph, out);
    struct opt_tables tables = verb_tables(verb);
    struct opt_tables own = {{NULL}};
    for (size_t i = 0; i < OPT_TABLES_MAX && tables.table[i]; i++)
        if (tables.table[i] != global_options())
            opt_tables_add(&own, tables.table[i]);
    if (own.table[0])
        buf_adds(out, "\nOptions:\n");
    opt_each(&own, print_option, out);
    buf_addc(out, '\n');
    print_globals(out);
}

void usage_options(struct buf *out) {
    struct opt_tables tables = {{global_options(), json_options, chain_options}};
    buf_adds(out, "Options of every verb:\n");
    opt_each(&tables, print_option, out);
}

static void print_group(enum verb_group group, struct buf *out) {
    buf_addf(out, "\n%s:\n", verb_group_headings[group]);
    for (size_t i = 0; i < verb_count; i++) {
        if (verbs[i]->group != group)
            continue;
        buf_addf(out, "  %s", verbs[i]->name);
        usage_wrap(out, verbs[i]->summary, strlen(verbs[i]->summary), 30, WIDTH);
    }
}

void usage_all(struct buf *out) {
    buf_adds(out, "redisManager VERB [OPTION…]\n"
                  "redisManager --task 'VERB&VERB…' [OPTION…]\n");
    for (int group = 0; group < GROUP_COUNT; group++)
        print_group((enum verb_group)group, out);
    buf_adds(out,
             "\nredisManager VERB --help tells more of each; redisManager help options lists the\n"
             "options that every verb has.\n");
}
