#include "worker/aftermath.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "worker/proctree.h"
#include "worker/slog.h"
#include "worker/ustime.h"

#define PATIENCE_US (10 * (int64_t)US_PER_S)

/* A process that executes a program just now cannot be judged (stray.h): it is looked at again. */
#define UNDECIDED_US (1 * (int64_t)US_PER_S)

static bool is_left[PROCTREE_MAX];

static enum proctree_environ has(int32_t pid, const char *prefix, const char *wanted) {
    char entry[STATEDIR_PATH_MAX + 32];
    enum proctree_environ found = proctree_environ(pid, prefix, entry, sizeof entry);
    if (found == PROCTREE_ENVIRON_FOUND && strcmp(entry, wanted) != 0)
        return PROCTREE_ENVIRON_NONE;
    return found;
}

static enum proctree_environ has_cookies(int32_t pid, const char *dir_entry,
                                         const char *incarnation_entry) {
    enum proctree_environ found = has(pid, "DISTCOMP_INCARNATION=", incarnation_entry);
    return found == PROCTREE_ENVIRON_FOUND ? has(pid, "DISTCOMP_STATE_DIR=", dir_entry) : found;
}

/* A process of a session, or a child, of one that is left, is left too. Returns true when it added
 * any. */
static bool spread(const struct proc_stat *table, size_t count) {
    bool added = false;
    for (size_t i = 0; i < count; i++) {
        if (is_left[i] || table[i].pid == getpid())
            continue;
        int parent = proctree_index(table[i].ppid), leader = proctree_index(table[i].session);
        if ((parent >= 0 && is_left[parent]) || (leader >= 0 && is_left[leader]))
            added = is_left[i] = true;
    }
    return added;
}

/* A session whose leader is gone: its members have lost the one that spread() asks. */
static void spread_sessions(const struct proc_stat *table, size_t count) {
    for (size_t i = 0; i < count; i++) {
        if (!is_left[i] || table[i].session <= 1 || table[i].session == getsid(0) ||
            proctree_index(table[i].session) >= 0)
            continue;
        for (size_t j = 0; j < count; j++)
            if (table[j].session == table[i].session && table[j].pid != getpid())
                is_left[j] = true;
    }
}

static size_t round_of_kills(const char *dir_entry, const char *incarnation_entry,
                             bool *undecided) {
    const struct proc_stat *table;
    size_t count = proctree_scan(&table), left = 0;
    *undecided = count == 0;
    for (size_t i = 0; i < count; i++) {
        enum proctree_environ found = PROCTREE_ENVIRON_NONE;
        if (table[i].pid != getpid() && !table[i].dead && !table[i].kernel)
            found = has_cookies(table[i].pid, dir_entry, incarnation_entry);
        is_left[i] = found == PROCTREE_ENVIRON_FOUND;
        *undecided |= found == PROCTREE_ENVIRON_UNKNOWN;
    }
    spread_sessions(table, count);
    while (spread(table, count))
        ;
    for (size_t i = 0; i < count; i++)
        if (is_left[i] && !table[i].dead) {
            left++;
            proctree_signal(&table[i], SIGKILL);
        }
    return left;
}

size_t aftermath_sweep(const struct statedir *sd, uint64_t incarnation) {
    char dir_entry[STATEDIR_PATH_MAX + 32], incarnation_entry[64];
    if (incarnation == 0)
        return 0;
    snprintf(dir_entry, sizeof dir_entry, "DISTCOMP_STATE_DIR=%s", sd->path);
    snprintf(incarnation_entry, sizeof incarnation_entry, "DISTCOMP_INCARNATION=%016" PRIx64,
             incarnation);
    int64_t begin_us = ustime_mono();
    size_t most = 0;
    for (int wait_ms = 1;; wait_ms = wait_ms < 100 ? wait_ms * 2 : 100) {
        bool undecided;
        size_t left = round_of_kills(dir_entry, incarnation_entry, &undecided);
        int64_t took_us = ustime_mono() - begin_us;
        if (left > most)
            most = left;
        if (left == 0 && (!undecided || took_us > UNDECIDED_US))
            break;
        if (took_us > PATIENCE_US) {
            slog("%zu processes of an earlier worker on %s do not die of SIGKILL", left, sd->path);
            break;
        }
        poll(NULL, 0, wait_ms);
    }
    return most;
}

size_t aftermath_end(const char *state_dir) {
    struct statedir sd;
    char error[512];
    if (statedir_peek(&sd, state_dir, error, sizeof error) != STATEDIR_OK)
        return 0;
    size_t ended = sd.same_boot ? aftermath_sweep(&sd, sd.incarnation) : 0;
    statedir_close(&sd);
    return ended;
}
