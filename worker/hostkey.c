#include "worker/hostkey.h"

#include <string.h>
#include <xxhash.h>

uint64_t hostkey_environment(const struct task *task) {
    uint64_t hash = 0;
    for (size_t i = 0; i < task->option_count; i++)
        if (task->options[i].tag == OPT_ENV) /* a set: no name is there twice */
            hash ^= XXH3_64bits(task->options[i].value, task->options[i].len);
    return hash;
}

uint64_t hostkey(uint64_t environment, const struct placement *p) {
    struct {
        uint64_t environment, cards;
        struct cpus cpus;
    } what;
    memset(&what, 0, sizeof what);
    if (p && p->hard)
        return 0;
    what.environment = environment;
    if (p && p->gpus)
        what.cards = XXH3_64bits(p->gpus, strlen(p->gpus));
    if (p && p->pinned)
        what.cpus = p->cpus;
    uint64_t key = XXH3_64bits(&what, sizeof what);
    return key ? key : 1;
}
