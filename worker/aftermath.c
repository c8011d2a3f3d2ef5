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

static bool is_left[PROCTREE_MAX];

static bool has_cookies(int32_t pid, const char *dir_entry, const char *incarnation_entry) {
    char entry[STATEDIR_PATH_MAX + 32];
    return proctree_environ(pid, "DISTCOMP_INCARNATION=", entry, sizeof entry) &&
           strcmp(entry, incarnation_entry) == 0 &&
           proctree_environ(pid, "DISTCOMP_STATE_DIR=", entry, sizeof entry) &&
           strcmp(entry, dir_entry) == 0;
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

static size_t round_of_kills(const char *dir_entry, const char *incarnation_entry) {
    const struct proc_stat *table;
    size_t count = proctree_scan(&table), left = 0;
    for (size_t i = 0; i < count; i++)
        is_left[i] = table[i].pid != getpid() && table[i].state != 'Z' &&
                     has_cookies(table[i].pid, dir_entry, incarnation_entry);
    spread_sessions(table, count);
    while (spread(table, count))
        ;
    for (size_t i = 0; i < count; i++)
        if (is_left[i] && table[i].state != 'Z' && table[i].state != 'X') {
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
    int64_t give_up_us = ustime_mono() + PATIENCE_US;
    size_t most = 0, left;
    for (int wait_ms = 1; (left = round_of_kills(dir_entry, incarnation_entry)) > 0;) {
        if (left > most)
            most = left;
        if (ustime_mono() > give_up_us) {
            slog("%zu processes of an earlier worker on %s do not die of SIGKILL", left, sd->path);
            break;
        }
        poll(NULL, 0, wait_ms);
        wait_ms = wait_ms < 100 ? wait_ms * 2 : 100;
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
