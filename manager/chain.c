#include "manager/chain.h"

#include <stdlib.h>
#include <string.h>

#include "common/nearest.h"
#include "common/units.h"

const struct opt chain_options[] = {
    {.name = "task",
     .kind = KIND_TEXT,
     .metavar = "VERB&VERB…",
     .help = "verbs to run one after the other, until one fails; quote the '&'"},
    OPT_END};

static void add_verb_tables(struct opt_tables *tables, const struct verb *verb) {
    struct opt_tables own = verb_tables(verb);
    for (size_t i = 0; i < OPT_TABLES_MAX && own.table[i]; i++)
        opt_tables_add(tables, own.table[i]);
}

/* --- finding the verbs ------------------------------------------------------------------------ */

/* What a first look at the words finds. */
struct look {
    size_t verb;        /* index of the verb's word, or of the first operand; 0 for none */
    const char *chain;  /* --task's value, or NULL */
    bool chain_missing; /* --task without one */
};

/* How many words an option takes, and --task's value. */
static size_t look_at_option(const struct opt_tables *all, char **argv, size_t at,
                             struct look *look) {
    const char *name = argv[at] + 2;
    size_t len = strcspn(name, "=");
    const struct opt *opt = NULL;
    if (argv[at][1] != '-') {
        opt = opt_find_letter(all, argv[at][1]);
        return opt && opt_takes_value(opt) && !argv[at][2] ? 2 : 1;
    }
    opt = opt_find(all, name, len);
    const char *value = name[len] ? name + len + 1 : argv[at + 1];
    if (opt && opt == chain_options) {
        look->chain = value;
        look->chain_missing = !value;
    }
    bool on;
    const char *expected;
    if (!opt || name[len] || !value)
        return 1;
    return opt_takes_value(opt) || units_parse_bool(value, strlen(value), &on, &expected) ? 2 : 1;
}

/* Up to the word that is a verb, or else through all words for a --task. */
static struct look look_at(int argc, char **argv) {
    struct opt_tables all = {{chain_options}};
    struct look look = {0, NULL, false};
    for (size_t i = 0; i < verb_count; i++)
        add_verb_tables(&all, verbs[i]);
    for (size_t at = 1; at < (size_t)argc;) {
        const char *word = argv[at];
        if (!strcmp(word, "--"))
            break;
        if (word[0] == '-' && word[1]) {
            at += look_at_option(&all, argv, at, &look);
            continue;
        }
        if (!look.verb)
            look.verb = at;
        if (look.verb == at && !look.chain && verb_find(word))
            break;
        at++;
    }
    return look;
}

static bool add_verb(struct chain *chain, const char *name, struct buf *error) {
    const struct verb *verb = verb_find(name);
    if (!verb) {
        const struct verb *near = verb_nearest(name);
        buf_addf(error, "there is no verb %s", name);
        if (near)
            buf_addf(error, "; did you mean %s?", near->name);
        return false;
    }
    if (chain->count == CHAIN_MAX) {
        buf_addf(error, "--task: expected at most %d verbs", CHAIN_MAX);
        return false;
    }
    chain->verbs[chain->count++] = verb;
    return true;
}

/* 'a&b', with blanks around the verbs and && allowed. */
static bool split_chain(struct chain *chain, const char *text, struct buf *error) {
    for (const char *at = text;;) {
        at += strspn(at, " \t");
        size_t len = strcspn(at, " \t&");
        if (!len) {
            buf_addf(error, "--task %s: expected a verb, or several joined by '&'",
                     *text ? text : "''");
            return false;
        }
        char *name = xstrndup(at, len);
        bool ok = add_verb(chain, name, error);
        free(name);
        if (!ok)
            return false;
        at += len;
        at += strspn(at, " \t");
        if (!*at)
            return true;
        if (*at != '&') {
            buf_addf(error, "--task %s: expected '&' between the verbs", text);
            return false;
        }
        at += at[1] == '&' ? 2 : 1;
    }
}

static bool find_verbs(struct chain *chain, const struct look *look, char **argv,
                       struct buf *error) {
    if (look->chain_missing) {
        buf_adds(error, "--task: expected a value after it: --task 'initRedis&loadTask'");
        return false;
    }
    if (look->chain)
        return split_chain(chain, look->chain, error);
    return !look->verb || add_verb(chain, argv[look->verb], error);
}

/* --- options and operands --------------------------------------------------------------------- */

static void try_option(const struct opt *opt, void *near) {
    nearest_try(near, opt->name);
}

/* After "there is no option": the verb that has it, or else what it may have been meant to be. */
static void explain_unknown(struct chain *chain, struct buf *error) {
    const struct args *args = &chain->args;
    for (size_t i = 0; i < verb_count && args->unknown_len > 1; i++) {
        struct opt_tables tables = verb_tables(verbs[i]);
        if (opt_find(&tables, args->unknown, args->unknown_len)) {
            buf_addf(error, " here; %s has one", verbs[i]->name);
            return;
        }
    }
    struct nearest near = nearest_make(args->unknown, args->unknown_len);
    opt_each(&args->tables, try_option, &near);
    if (near.best && args->unknown_len > 1)
        buf_addf(error, "; did you mean --%s?", near.best);
}

static bool parse_options(struct chain *chain, int argc, char **argv, size_t skip,
                          struct buf *error) {
    struct opt_tables tables = {{NULL}};
    enum args_ending ending = ARGS_ANYWHERE;
    for (size_t i = 0; i < chain->count; i++) {
        add_verb_tables(&tables, chain->verbs[i]);
        if (chain->verbs[i]->flags & VERB_COMMAND)
            ending = ARGS_COMMAND;
    }
    if (!skip)
        opt_tables_add(&tables, chain_options);
    if (!chain->count)
        opt_tables_add(&tables, global_options());
    const char **words = xcalloc((size_t)argc, sizeof *words);
    size_t count = 0;
    for (size_t i = 1; i < (size_t)argc; i++)
        if (i != skip)
            words[count++] = argv[i];
    bool ok = args_parse(&chain->args, &tables, ending, words, count, error);
    if (!ok && chain->args.unknown)
        explain_unknown(chain, error);
    free(words);
    return ok;
}

static bool check_operands(struct chain *chain, struct buf *error) {
    size_t given = chain->args.operand_count;
    bool taken = given == 0;
    for (size_t i = 0; i < chain->count; i++) {
        const struct verb *verb = chain->verbs[i];
        chain->blame = verb;
        taken = taken || verb->max_operands;
        if (given < verb->min_operands) {
            buf_addf(error, "expected %s", verb->operands);
            return false;
        }
        if (verb->max_operands && given > verb->max_operands) {
            buf_addf(error, "%s: expected nothing more after %s",
                     chain->args.operands[verb->max_operands], verb->operands);
            return false;
        }
    }
    if (!taken)
        buf_addf(error, "%s: expected only options", chain->args.operands[0]);
    return taken;
}

static bool check_verbs(struct chain *chain, struct buf *error) {
    for (size_t i = 0; i < chain->count; i++) {
        const struct verb *verb = chain->verbs[i];
        chain_select(chain, i);
        chain->blame = verb;
        if (verb->check && !verb->check(&chain->args, error))
            return false;
    }
    return true;
}

bool chain_parse(struct chain *chain, int argc, char **argv, struct buf *error) {
    *chain = (struct chain){0};
    struct look look = look_at(argc, argv);
    if (!find_verbs(chain, &look, argv, error))
        return false;
    chain->blame = chain->count == 1 ? chain->verbs[0] : NULL;
    if (!parse_options(chain, argc, argv, look.chain ? 0 : look.verb, error))
        return false;
    chain->help = args_bool(&chain->args, "help");
    chain->version = args_bool(&chain->args, "version");
    if (chain->help || chain->version)
        return true;
    if (!chain->count) {
        buf_adds(error, "expected a verb, such as checkTask");
        return false;
    }
    return check_operands(chain, error) && check_verbs(chain, error);
}

void chain_free(struct chain *chain) {
    args_free(&chain->args);
}

bool chain_select(struct chain *chain, size_t index) {
    if (index >= chain->count)
        return false;
    chain->args.tables = verb_tables(chain->verbs[index]);
    return true;
}
