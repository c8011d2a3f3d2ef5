#include "manager/verbs.h"

#include <string.h>

#include "common/nearest.h"

const struct verb *const verbs[] = {
#define X(symbol) &verb_##symbol,
    VERBS(X)
#undef X
        NULL};
const size_t verb_count = sizeof verbs / sizeof *verbs - 1;

const char *const verb_group_headings[GROUP_COUNT] = {
#define X(symbol, heading) heading,
    VERB_GROUPS(X)
#undef X
};

const struct verb *verb_find(const char *name) {
    for (size_t i = 0; i < verb_count; i++)
        if (!strcmp(verbs[i]->name, name))
            return verbs[i];
    return NULL;
}

const struct verb *verb_nearest(const char *name) {
    struct nearest near = nearest_make(name, strlen(name));
    for (size_t i = 0; i < verb_count; i++)
        nearest_try(&near, verbs[i]->name);
    return near.best ? verb_find(near.best) : NULL;
}

struct opt_tables verb_tables(const struct verb *verb) {
    struct opt_tables tables = {{NULL}};
    for (size_t i = 0; i < VERB_TABLES_MAX && verb->options[i]; i++)
        opt_tables_add(&tables, verb->options[i]);
    if (verb->flags & VERB_ANSWERS)
        opt_tables_add(&tables, json_options);
    opt_tables_add(&tables, global_options());
    return tables;
}
