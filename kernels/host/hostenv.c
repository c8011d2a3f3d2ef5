#include "kernels/host/hostenv.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/buf.h"

struct variable {
    char *entry; /* NAME=VALUE */
    size_t room, name_len;
};

static struct {
    char **base; /* as it was at the start */
    size_t base_count;
    struct variable *own; /* of this try; their memory is kept for later ones */
    size_t own_count, own_room;
    char **entries; /* what environ has to be: own, then the rest of base, NULL */
    size_t entry_count;
    char **live; /* environ: a copy, since kernels may call setenv */
} env;

void hostenv_start(void) {
    char *none = NULL, **now = environ ? environ : &none;
    while (now[env.base_count])
        env.base_count++;
    env.base = xcalloc(env.base_count + 1, sizeof *env.base);
    for (size_t i = 0; i < env.base_count; i++)
        env.base[i] = xstrdup(now[i]);
    hostenv_set("", 0, NULL);
}

static size_t name_length(const char *entry) {
    return strcspn(entry, "=");
}

static bool same_name(const struct variable *variable, const char *entry) {
    return strncmp(variable->entry, entry, variable->name_len) == 0 &&
           (entry[variable->name_len] == '=' || !entry[variable->name_len]);
}

/* Puts entry at place `at` of own. Whether a variable of that name was there. */
static bool put(size_t at, const char *entry) {
    if (at == env.own_room) {
        size_t room = at ? at * 2 : 32;
        env.own = xrealloc(env.own, room * sizeof *env.own);
        memset(env.own + at, 0, (room - at) * sizeof *env.own);
        env.own_room = room;
    }
    struct variable *variable = &env.own[at];
    size_t len = strlen(entry) + 1;
    bool same = at < env.own_count && same_name(variable, entry);
    if (variable->room < len) {
        variable->room = len < 32 ? 64 : 2 * len;
        variable->entry = xrealloc(variable->entry, variable->room);
        same = false; /* it has moved */
    }
    memcpy(variable->entry, entry, len);
    variable->name_len = name_length(entry);
    return same;
}

static bool overridden(const char *entry) {
    for (size_t i = 0; i < env.own_count; i++)
        if (same_name(&env.own[i], entry))
            return true;
    return false;
}

static void join(void) {
    size_t most = env.base_count + env.own_count + 1;
    env.entries = xrealloc(env.entries, most * sizeof *env.entries);
    env.live = xrealloc(env.live, most * sizeof *env.live);
    env.entry_count = 0;
    for (size_t i = env.own_count; i-- > 0;) /* getenv finds the first: the last is to count */
        env.entries[env.entry_count++] = env.own[i].entry;
    for (size_t i = 0; i < env.base_count; i++)
        if (!overridden(env.base[i]))
            env.entries[env.entry_count++] = env.base[i];
    env.entries[env.entry_count] = NULL;
}

void hostenv_set(const char *strings, size_t count, const char *one_more) {
    size_t total = count + (one_more != NULL);
    bool same = env.entries && total == env.own_count;
    for (size_t i = 0; i < total; i++) {
        same = put(i, i < count ? strings : one_more) && same;
        if (i < count)
            strings += strlen(strings) + 1;
    }
    env.own_count = total;
    if (!same)
        join();
    memcpy(env.live, env.entries, (env.entry_count + 1) * sizeof *env.live);
    environ = env.live;
}

void hostenv_for_libraries(void) {
    /* OpenBLAS' threads spin for 2^N clock ticks when they have nothing to do. Its own 26 burns a
     * core for 20 ms after each call, which other tasks could use; 20 bridges the calls of a loop.
     */
    setenv("OPENBLAS_THREAD_TIMEOUT", "20", 0);
    const char *threads = getenv("DISTCOMP_THREADS");
    if (threads) {
        setenv("OPENBLAS_NUM_THREADS", threads, 0);
        setenv("OMP_NUM_THREADS", threads, 0);
    }
}
