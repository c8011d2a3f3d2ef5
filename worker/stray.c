#include "worker/stray.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>

#include "worker/host.h"
#include "worker/slog.h"
#include "worker/slot.h"
#include "worker/ustime.h"

#define STRAY_MAX PROCTREE_MAX
#define MARK_MAX  8192

/* 1 + 2 + 4 ... ms: these looks take a second. */
#define STRAY_LOOKS 11
#define LOOK_MIN_US (1 * (int64_t)US_PER_MS)
#define LOOK_MAX_US (1 * (int64_t)US_PER_S)

enum { OWNER_NONE = -1, OWNER_AGENT = -2, OWNER_UNDECIDED = -3, OWNER_ENDED = -4, OWNER_HOST = -5 };

struct stray {
    int64_t due_us; /* UNDECIDED: the next look */
    int32_t pid;
    int16_t slot; /* or OWNER_... */
    bool dead;    /* was so when found; the next wait takes it */
    uint8_t looks;
};

struct mark {
    uint64_t start_ticks;
    int32_t pid;
    int32_t slot;
};

static struct stray strays[STRAY_MAX];
static uint32_t stray_count;
static struct mark marks[MARK_MAX];
static uint32_t mark_count;
static int32_t agent_pid, agent_session;
static char incarnation_entry[48];
static int64_t next_due_us = INT64_MAX; /* no undecided one is due before */
static uint32_t holding;                /* undecided ones that may keep tries from ending */
static int64_t blind_us =
    LOOK_MIN_US; /* until we look again after our children could not be read */
static bool blind;

void stray_init(uint64_t incarnation) {
    snprintf(incarnation_entry, sizeof incarnation_entry, "DISTCOMP_INCARNATION=%016" PRIx64,
             incarnation);
}

void stray_set_agent(int32_t pid, int32_t session) {
    agent_pid = pid;
    agent_session = session;
}

static int find_stray(int32_t pid) {
    for (uint32_t i = 0; i < stray_count; i++)
        if (strays[i].pid == pid)
            return (int)i;
    return -1;
}

static int find_mark(const struct proc_stat *stat) {
    for (uint32_t i = 0; i < mark_count; i++)
        if (marks[i].pid == stat->pid && marks[i].start_ticks == stat->start_ticks)
            return (int)i;
    return -1;
}

static int owner_by_environment(const struct proc_stat *stat) {
    char cookie[SLOT_COOKIE_MAX], incarnation[sizeof incarnation_entry];
    enum proctree_environ found =
        proctree_environ(stat->pid, "DISTCOMP_COOKIE=", cookie, sizeof cookie);
    if (found == PROCTREE_ENVIRON_UNKNOWN)
        return OWNER_UNDECIDED;
    if (found != PROCTREE_ENVIRON_FOUND)
        return OWNER_NONE;
    int slot = slot_of_cookie(cookie);
    if (slot < 0)
        slot = host_of_cookie(cookie);
    if (slot >= 0)
        return slot;
    found = proctree_environ(stat->pid, "DISTCOMP_INCARNATION=", incarnation, sizeof incarnation);
    bool ours = found == PROCTREE_ENVIRON_FOUND && strcmp(incarnation, incarnation_entry) == 0;
    return found == PROCTREE_ENVIRON_UNKNOWN ? OWNER_UNDECIDED : ours ? OWNER_ENDED : OWNER_NONE;
}

static int owner_of(const struct proc_stat *stat) {
    int slot = slot_of_session(stat->session);
    if (slot >= 0)
        return slot;
    int mark = find_mark(stat);
    if (mark >= 0 && slot_table[marks[mark].slot].state == SLOT_RUNNING)
        return marks[mark].slot;
    if (agent_session && stat->session == agent_session)
        return OWNER_AGENT;
    return owner_by_environment(stat);
}

/* stat NULL: it could not be read. */
static void look_at(struct stray *s, const struct proc_stat *stat) {
    s->dead = stat && stat->dead;
    s->slot = (int16_t)(stat ? owner_of(stat) : OWNER_UNDECIDED);
    if (s->slot >= 0) {
        slot_table[s->slot].strays++;
        slot_table[s->slot].new_stray = true;
    } else if (s->slot == OWNER_UNDECIDED) {
        int64_t wait_us = s->looks < STRAY_LOOKS ? LOOK_MIN_US << s->looks : LOOK_MAX_US;
        if (s->looks < STRAY_LOOKS)
            s->looks++;
        s->due_us = ustime_mono() + wait_us;
    } else if (s->slot == OWNER_ENDED) {
        slog("pid %d outlived its task: SIGKILL", s->pid);
        proctree_signal(stat, SIGKILL);
    }
}

static void look_again(void) {
    int64_t now_us = ustime_mono();
    for (uint32_t i = 0; i < stray_count; i++) {
        struct proc_stat stat;
        if (strays[i].slot == OWNER_UNDECIDED && strays[i].due_us <= now_us)
            look_at(&strays[i], proctree_stat(strays[i].pid, &stat) ? &stat : NULL);
    }
}

static void find_new(void) {
    const int32_t *pids;
    int count = proctree_children(&pids);
    blind = count < 0;
    blind_us = !blind ? LOOK_MIN_US : blind_us * 2 < LOOK_MAX_US ? blind_us * 2 : LOOK_MAX_US;
    /* All that we know are on the list, so an equal count means nobody new. */
    if (count <= (int)(slot_mains + stray_count + (agent_pid > 0)))
        return;
    for (int i = 0; i < count; i++) {
        struct proc_stat stat;
        if (pids[i] == agent_pid || slot_of_main(pids[i]) >= 0 || find_stray(pids[i]) >= 0)
            continue;
        if (stray_count == STRAY_MAX) {
            slog("more than %d stray processes: the others are looked at later", STRAY_MAX);
            return;
        }
        strays[stray_count] = (struct stray){.pid = pids[i]};
        look_at(&strays[stray_count++], proctree_stat(pids[i], &stat) ? &stat : NULL);
    }
}

static void plan(void) {
    next_due_us = blind ? ustime_mono() + blind_us : INT64_MAX;
    holding = blind;
    for (uint32_t i = 0; i < stray_count; i++) {
        if (strays[i].slot != OWNER_UNDECIDED)
            continue;
        holding += strays[i].looks < STRAY_LOOKS;
        if (strays[i].due_us < next_due_us)
            next_due_us = strays[i].due_us;
    }
}

void stray_look(void) {
    bool waited = next_due_us != INT64_MAX;
    uint32_t before = stray_count;
    if (waited)
        look_again();
    find_new();
    if (waited || blind || stray_count > before)
        plan();
}

int64_t stray_deadline(void) {
    return next_due_us;
}

bool stray_undecided(void) {
    return holding > 0;
}

int stray_reaped(int32_t pid) {
    int i = find_stray(pid);
    if (i < 0)
        return -1;
    int slot = strays[i].slot;
    strays[i] = strays[--stray_count];
    if (slot == OWNER_UNDECIDED || slot == OWNER_ENDED || slot == OWNER_HOST)
        next_due_us = 0; /* its children, if any, are ours now */
    if (slot < 0)
        return -1;
    slot_table[slot].strays--;
    return slot;
}

int stray_slot(int32_t pid) {
    int i = find_stray(pid);
    return i >= 0 && strays[i].slot >= 0 ? strays[i].slot : -1;
}

uint32_t stray_alive(uint32_t slot) {
    uint32_t alive = 0;
    for (uint32_t i = 0; i < stray_count; i++)
        alive += strays[i].slot == (int)slot && !strays[i].dead;
    return alive;
}

void stray_mark(const struct proc_stat *stat, uint32_t slot) {
    if (mark_count == MARK_MAX || find_mark(stat) >= 0)
        return; /* full: session and cookie remain */
    marks[mark_count++] = (struct mark){stat->start_ticks, stat->pid, (int32_t)slot};
}

void stray_host_idle(int32_t pid) {
    if (stray_count < STRAY_MAX) /* else it is taken for one that outlived its task */
        strays[stray_count++] = (struct stray){.pid = pid, .slot = OWNER_HOST};
}

void stray_host_busy(int32_t pid) {
    int i = find_stray(pid);
    if (i >= 0)
        strays[i] = strays[--stray_count];
}

void stray_disown(int32_t pid) {
    int i = find_stray(pid);
    if (i < 0 || strays[i].slot < 0)
        return;
    slot_table[strays[i].slot].strays--;
    strays[i].slot = OWNER_NONE;
}

void stray_forget(uint32_t slot) {
    for (uint32_t i = 0; i < mark_count;) {
        if (marks[i].slot == (int32_t)slot)
            marks[i] = marks[--mark_count];
        else
            i++;
    }
}

static bool unowned(const struct stray *s) {
    return s->slot < 0 && s->slot != OWNER_AGENT && s->slot != OWNER_HOST;
}

uint32_t stray_unowned(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < stray_count; i++)
        count += unowned(&strays[i]);
    return count;
}

void stray_kill_unowned(void) {
    stray_look();
    for (uint32_t i = 0; i < stray_count; i++)
        if (unowned(&strays[i]))
            kill(strays[i].pid, SIGKILL); /* a child that was not waited for: the pid is its own */
}
