/*
 * The bash completion script. It is written out from the verbs' table: which options a verb has,
 * which words or files an option's value may be. Only the frame is fixed text.
 */
#include <assert.h>
#include <ctype.h>
#include <string.h>

#include "manager/chain.h"
#include "manager/completion.h"
#include "manager/verbs.h"

static const char frame[] =
    "_redisManager() {\n"
    "    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD - 1]} word verb='' i\n"
    "    # bash takes --option=value for three words.\n"
    "    if [[ $cur == '=' ]]; then\n"
    "        cur=\n"
    "    elif [[ $prev == '=' ]]; then\n"
    "        prev=${COMP_WORDS[COMP_CWORD - 2]}\n"
    "    fi\n"
    "    COMPREPLY=()\n"
    "    for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "        word=${COMP_WORDS[i]//[\\'\\\"]/}\n"
    "        if [[ $word == '--' ]]; then\n"
    "            COMPREPLY=($(compgen -f -- \"$cur\"))\n"
    "            return\n"
    "        fi\n"
    "        if [[ $verb == '' && -n $(_redisManager_options \"${word##*&}\") ]]; then\n"
    "            verb=${word//&/ }\n"
    "        fi\n"
    "    done\n"
    "    if [[ $prev == '--task' ]]; then\n"
    "        cur=${cur#[\\'\\\"]}\n"
    "        word=${cur%\"${cur##*&}\"}\n"
    "        COMPREPLY=($(compgen -P \"$word\" -W \"$_redisManager_verbs\" -- \"${cur##*&}\"))\n"
    "        return\n"
    "    fi\n"
    "    if [[ $prev == --* && $cur != -* ]]; then\n"
    "        word=${prev#--}\n"
    "        if _redisManager_value \"${word//-/_}\" \"$cur\" \"${verb%% *}\"; then\n"
    "            return\n"
    "        fi\n"
    "    fi\n"
    "    if [[ $cur == -* ]]; then\n"
    "        for word in ${verb:-''}; do\n"
    "            COMPREPLY+=($(compgen -W \"$(_redisManager_options \"$word\")\" -- \"$cur\"))\n"
    "        done\n"
    "        COMPREPLY+=($(compgen -W \"$_redisManager_globals\" -- \"$cur\"))\n"
    "    elif [[ $verb == '' ]]; then\n"
    "        COMPREPLY=($(compgen -W \"$_redisManager_verbs\" -- \"$cur\"))\n"
    "    else\n"
    "        _redisManager_operand \"${verb%% *}\" \"$cur\"\n"
    "    fi\n"
    "}\n"
    "complete -F _redisManager redisManager\n";

/* --- options of each verb ----------------------------------------------------------------------
 */

static void add_option(const struct opt *opt, void *out) {
    buf_addf(out, " --%s", opt->name);
}

static void add_verb_options(struct buf *out) {
    buf_adds(out, "_redisManager_options() {\n    case $1 in\n");
    for (size_t i = 0; i < verb_count; i++) {
        struct opt_tables own = {{NULL}};
        for (size_t t = 0; t < VERB_TABLES_MAX && verbs[i]->options[t]; t++)
            opt_tables_add(&own, verbs[i]->options[t]);
        if (verbs[i]->flags & VERB_ANSWERS)
            opt_tables_add(&own, json_options);
        /* Never empty, so that the frame can tell a verb by it. */
        buf_addf(out, "    %s) echo '--help", verbs[i]->name);
        opt_each(&own, add_option, out);
        buf_adds(out, "' ;;\n");
    }
    buf_adds(out, "    esac\n}\n");
}

/* --- values of options --------------------------------------------------------------------------
 */

/* Every option name once: the first row with it that knows words, else the first row. */
#define NAMES_MAX 256
struct names {
    const struct opt *rows[NAMES_MAX];
    size_t count;
};

static bool has_words(const struct opt *opt) {
    size_t len;
    return opt_word(opt, 0, &len) != NULL;
}

static void collect(const struct opt *opt, void *context) {
    struct names *names = context;
    for (size_t i = 0; i < names->count; i++)
        if (!strcmp(names->rows[i]->name, opt->name)) {
            if (has_words(opt) && !has_words(names->rows[i]))
                names->rows[i] = opt;
            return;
        }
    assert(names->count < NAMES_MAX);
    names->rows[names->count++] = opt;
}

static void add_value(const char *verb, const struct opt *opt, struct buf *out) {
    size_t len;
    const char *word;
    bool list = opt->kind == KIND_STATES || opt->kind == KIND_TYPES;
    buf_addf(out, "    %s.%s) ", verb, opt->name);
    if (opt->kind == KIND_FILE) {
        buf_adds(out, "compopt -o filenames 2>/dev/null; COMPREPLY=($(compgen -f -- \"$2\")) ;;\n");
        return;
    }
    if (!has_words(opt)) {
        buf_adds(out, "COMPREPLY=() ;;\n");
        return;
    }
    /* After a ',' another one of a list. */
    buf_addf(out, "COMPREPLY=($(compgen %s-W '", list ? "-P \"${2%\"${2##*,}\"}\" " : "");
    for (size_t i = 0; (word = opt_word(opt, i, &len)); i++)
        buf_addf(out, "%s%.*s", i ? " " : "", (int)len, word);
    buf_addf(out, "' -- \"%s\"))%s ;;\n", list ? "${2##*,}" : "$2",
             opt_takes_value(opt) ? "" : "; [[ $2 == '' || -n ${COMPREPLY[0]} ]]");
}

/* A row whose words are not those that its name stands for elsewhere. */
struct exceptions {
    const struct verb *verb;
    const struct names *names;
    struct buf *out;
};

static void add_exception(const struct opt *opt, void *context) {
    struct exceptions *own = context;
    if (opt->kind != KIND_CHOICE)
        return;
    for (size_t i = 0; i < own->names->count; i++) {
        const struct opt *row = own->names->rows[i];
        if (!strcmp(row->name, opt->name) &&
            (!row->choices || strcmp(row->choices, opt->choices) != 0))
            add_value(own->verb->name, opt, own->out);
    }
}

static void add_values(struct buf *out) {
    struct names names = {.count = 0};
    for (size_t i = 0; i < verb_count; i++) {
        struct opt_tables tables = verb_tables(verbs[i]);
        opt_each(&tables, collect, &names);
    }
    buf_adds(out, "# False: the option takes no value of this form.\n"
                  "_redisManager_value() {\n    case $3.$1 in\n    *.help | *.version) false ;;\n");
    for (size_t i = 0; i < verb_count; i++) {
        struct opt_tables tables = verb_tables(verbs[i]);
        struct exceptions own = {verbs[i], &names, out};
        opt_each(&tables, add_exception, &own);
    }
    for (size_t i = 0; i < names.count; i++)
        if (strcmp(names.rows[i]->name, "help") != 0 && strcmp(names.rows[i]->name, "version") != 0)
            add_value("*", names.rows[i], out);
    buf_adds(out, "    *) false ;;\n    esac\n}\n");
}

/* --- operands ------------------------------------------------------------------------------------
 */

/* The synopsis says it: FILE is a file's name, VERB a verb's, words in lower case stand for
 * themselves. */
static void add_operand_word(const char *word, size_t len, struct buf *out) {
    if (len == 4 && !memcmp(word, "FILE", 4))
        buf_adds(out, "compopt -o filenames 2>/dev/null; COMPREPLY+=($(compgen -f -- \"$2\")); ");
    else if (len == 7 && !memcmp(word, "COMMAND", 7))
        buf_adds(out, "COMPREPLY+=($(compgen -c -f -- \"$2\")); ");
    else if (len == 4 && !memcmp(word, "VERB", 4))
        buf_adds(out, "COMPREPLY+=($(compgen -W \"$_redisManager_verbs\" -- \"$2\")); ");
    else if (islower((unsigned char)word[0]))
        buf_addf(out, "COMPREPLY+=($(compgen -W %.*s -- \"$2\")); ", (int)len, word);
}

static void add_operands(struct buf *out) {
    buf_adds(out, "_redisManager_operand() {\n    case $1 in\n");
    for (size_t i = 0; i < verb_count; i++) {
        buf_addf(out, "    %s) ", verbs[i]->name);
        for (const char *at = verbs[i]->operands; *at;) {
            size_t len = 0;
            while (isalpha((unsigned char)at[len]))
                len++;
            if (len)
                add_operand_word(at, len, out);
            at += len ? len : 1;
        }
        buf_adds(out, ";;\n");
    }
    buf_adds(out, "    esac\n}\n");
}

void completion_bash(struct buf *out) {
    struct opt_tables globals = {{global_options(), chain_options}};
    buf_adds(out, "# bash completion for redisManager, written by `redisManager completion bash`.\n"
                  "# shellcheck shell=bash disable=SC2207\n"
                  "_redisManager_verbs='");
    for (size_t i = 0; i < verb_count; i++)
        buf_addf(out, "%s%s", i ? " " : "", verbs[i]->name);
    buf_adds(out, "'\n_redisManager_globals='");
    opt_each(&globals, add_option, out);
    buf_adds(out, "'\n");
    add_verb_options(out);
    add_values(out);
    add_operands(out);
    buf_adds(out, frame);
}

static int completion(struct session *session, const struct args *args) {
    (void)args;
    struct buf text = BUF_INIT;
    completion_bash(&text);
    fwrite(text.data, 1, text.len, session->out);
    buf_free(&text);
    return EXIT_DONE;
}

static bool check(const struct args *args, struct buf *error) {
    if (!strcmp(args->operands[0], "bash"))
        return true;
    buf_addf(error, "%s: expected bash", args->operands[0]);
    return false;
}

const struct verb verb_completion = {
    .name = "completion",
    .operands = "bash",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "prints a completion script for the shell",
    .about = "For this shell:\n\n"
             "  source <(redisManager completion bash)\n\n"
             "For all of them, in ~/.local/share/bash-completion/completions/redisManager.",
    .group = GROUP_HELP,
    .flags = VERB_OFFLINE,
    .check = check,
    .run = completion,
};
