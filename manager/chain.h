/*
 * chain.h - the whole command line: which verbs, and one option set for all of them.
 *
 *     redisManager checkTask --failed false
 *     redisManager --task 'initRedis&loadTask' --taskfile task
 *
 * An option is legal when at least one verb of the chain knows it. The verbs run in order, and the
 * first that fails ends the chain. Options may stand before the verb.
 */
#ifndef DISTCOMP_MANAGER_CHAIN_H
#define DISTCOMP_MANAGER_CHAIN_H

#include "manager/command.h"

#define CHAIN_MAX 16

extern const struct opt chain_options[]; /* --task */

struct chain {
    const struct verb *verbs[CHAIN_MAX];
    size_t count; /* 0 only for bare --help and --version */
    struct args args;
    bool help, version;       /* --help, --version: nothing else was checked */
    const struct verb *blame; /* after a failure: whose --help tells more; NULL for `help` */
};

/*
 * Parses argv[1..]. On failure, false with one line in error. Borrows argv. chain_free in any case.
 */
bool chain_parse(struct chain *chain, int argc, char **argv, struct buf *error);
void chain_free(struct chain *chain);

/* Lets the getters of chain->args answer for this verb; false when no verb of this number is there.
 */
bool chain_select(struct chain *chain, size_t index);

#endif
