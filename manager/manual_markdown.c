#include <ctype.h>
#include <string.h>

#include "manager/chain.h"
#include "manager/manual.h"
#include "manager/usage.h"
#include "manager/verbs.h"

/* Prose outside of code: the characters that Markdown or a table's cell would take for its own. */
static void put(struct buf *out, const char *text, size_t len) {
    for (size_t i = 0; i < len; i++) {
        if (text[i] && strchr("*<|#", text[i]))
            buf_addc(out, '\\');
        buf_addc(out, text[i]);
    }
}

static void put_option(const struct opt *opt, void *context) {
    struct buf *out = context;
    struct buf help = BUF_INIT;
    buf_adds(out, "| `");
    usage_option_head(opt, out);
    buf_adds(out, "` | ");
    usage_option_help(opt, &help);
    put(out, help.data, help.len);
    buf_adds(out, " |\n");
    buf_free(&help);
}

static void put_options(const struct opt_tables *tables, struct buf *out) {
    if (!tables->table[0])
        return;
    buf_adds(out, "\n| option | |\n| --- | --- |\n");
    opt_each(tables, put_option, out);
}

static void put_paragraph(const char *text, size_t len, bool example, void *context) {
    struct buf *out = context;
    buf_adds(out, example ? "\n```sh\n" : "\n");
    if (!example) {
        put(out, text, len);
        buf_addc(out, '\n');
        return;
    }
    for (size_t at = 0; at < len;) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t line = end ? (size_t)(end - text) - at : len - at;
        buf_add(out, text + at + 2, line - 2);
        buf_addc(out, '\n');
        at += line + 1;
    }
    buf_adds(out, "```\n");
}

static void put_verb(const struct verb *verb, struct buf *out) {
    struct opt_tables own = {{NULL}};
    buf_addf(out, "\n## %s\n\n`redisManager ", verb->name);
    usage_synopsis(verb, out);
    buf_adds(out, "` ");
    put(out, verb->summary, strlen(verb->summary));
    buf_adds(out, ".\n");
    usage_paragraphs(verb->about, put_paragraph, out);
    for (size_t i = 0; i < VERB_TABLES_MAX && verb->options[i]; i++)
        opt_tables_add(&own, verb->options[i]);
    put_options(&own, out);
}

static void put_index(struct buf *out) {
    for (int group = 0; group < GROUP_COUNT; group++) {
        buf_addf(out, "\n| %s | |\n| --- | --- |\n", verb_group_headings[group]);
        for (size_t i = 0; i < verb_count; i++) {
            if (verbs[i]->group != (enum verb_group)group)
                continue;
            buf_addf(out, "| [%s](#", verbs[i]->name);
            for (const char *c = verbs[i]->name; *c; c++)
                buf_addc(out, (char)tolower((unsigned char)*c));
            buf_adds(out, ") | ");
            put(out, verbs[i]->summary, strlen(verbs[i]->summary));
            buf_adds(out, " |\n");
        }
    }
}

void manual_markdown(struct buf *out) {
    struct opt_tables globals = {{global_options(), json_options, chain_options}};
    buf_adds(out,
             "<!-- Written by `redisManager manual --markdown`; do not edit. -->\n"
             "# redisManager\n\n"
             "Each verb works alone (`redisManager checkTask --failed`) and in a chain\n"
             "(`redisManager --task 'initRedis&loadTask' --taskfile task`), where one set of "
             "options is given to\nall verbs and the first failure ends it.\n\n"
             "Options are written `--key value` or `--key=value`; `-` and `_` are the same in "
             "their names. True is\ny, yes, t, true, on or 1; false is n, no, f, false, off or "
             "0; an option alone is true. `--` ends\nthe options. stdout carries the answer, "
             "stderr everything else. Exit status: 0 done, 1 the operation\nfailed, 2 bad "
             "usage.\n\n"
             "With `--json` a small answer is one JSON object; a listing is one object a line. "
             "Bytes that are not\nUTF-8 become U+FFFD there.\n");
    put_index(out);
    for (size_t i = 0; i < verb_count; i++)
        put_verb(verbs[i], out);
    buf_adds(out, "\n## Options of every verb\n");
    put_options(&globals, out);
}
