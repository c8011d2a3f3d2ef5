/*
 * redisManager: loads, looks at, waits for and repairs tasks. command.h tells how it is made of
 * verbs.
 */
#include <assert.h>
#include <locale.h>
#include <signal.h>
#include <string.h>

#include "common/answer.h"
#include "manager/chain.h"
#include "manager/usage.h"
#include "version.h"

static int bad_usage(const struct chain *chain, const struct buf *error) {
    bool question = error->len && error->data[error->len - 1] == '?';
    const char *name = chain->blame ? chain->blame->name : NULL;
    fprintf(stderr, "redisManager%s%s: %s%s redisManager %s%s\n", name ? " " : "", name ? name : "",
            error->data, question ? " See" : "; see", name ? name : "help", name ? " --help" : "");
    return EXIT_USAGE;
}

static int print_help(const struct chain *chain) {
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < chain->count; i++) {
        if (i)
            buf_addc(&text, '\n');
        usage_verb(chain->verbs[i], &text);
    }
    if (!chain->count)
        usage_all(&text);
    fwrite(text.data, 1, text.len, stdout);
    buf_free(&text);
    return EXIT_DONE;
}

static bool load_config(struct chain *chain, struct config *config, struct buf *error) {
    struct config_flags flags = CONFIG_FLAGS_INIT;
    bool wanted = false;
    for (size_t i = 0; i < chain->count; i++)
        wanted = wanted || !(chain->verbs[i]->flags & VERB_OFFLINE);
    if (!wanted) {
        config_defaults(config);
        return true;
    }
    for (size_t i = 0; i < chain->args.value_count; i++) {
        const struct opt_value *value = &chain->args.values[i];
        if (value->opt->kind == KIND_SETTING)
            config_flags_add(&flags, value->opt->setting, value->text);
    }
    flags.conf = args_text(&chain->args, "conf");
    bool ok = config_load(config, &flags, error);
    config_flags_free(&flags);
    return ok;
}

static void take_verb(struct session *session, struct chain *chain, size_t index) {
    session->verb = chain->verbs[index];
    session->json = args_has(&chain->args, "json") && args_bool(&chain->args, "json");
}

static int run_chain(struct chain *chain, const struct config *config) {
    struct session session = {.config = config, .out = stdout};
    session.quiet = args_bool(&chain->args, "quiet");
    int code = EXIT_DONE;
    for (size_t i = 1; code == EXIT_DONE && chain_select(chain, i); i++) {
        take_verb(&session, chain, i);
        if (session.verb->foresee)
            code = session.verb->foresee(&session, &chain->args);
    }
    for (size_t i = 0; code == EXIT_DONE && chain_select(chain, i); i++) {
        take_verb(&session, chain, i);
        assert(session.verb->run);
        code = session.verb->run(&session, &chain->args);
    }
    session_close(&session);
    return code;
}

int main(int argc, char **argv) {
    setlocale(LC_CTYPE, "");
    signal(SIGPIPE, SIG_IGN); /* a Redis that goes away is an error to tell, not the end */
    struct chain chain;
    struct config config;
    struct buf error = BUF_INIT;
    int code;
    if (!chain_parse(&chain, argc, argv, &error)) {
        code = bad_usage(&chain, &error);
    } else if (chain.help) {
        code = answer_finish("redisManager", print_help(&chain));
    } else if (chain.version) {
        printf("redisManager %s\n", DISTCOMP_VERSION);
        code = answer_finish("redisManager", EXIT_DONE);
    } else {
        if (load_config(&chain, &config, &error)) {
            code = answer_finish("redisManager", run_chain(&chain, &config));
        } else {
            fprintf(stderr, "redisManager: %s\n", error.data);
            code = EXIT_FAILED;
        }
        config_free(&config);
    }
    chain_free(&chain);
    buf_free(&error);
    return code;
}
