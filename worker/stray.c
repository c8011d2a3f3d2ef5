#include "worker/stray.h"

#include <signal.h>
#include <string.h>
#include <sys/types.h>

#include "worker/slog.h"
#include "worker/slot.h"

#define STRAY_MAX PROCTREE_MAX
#define MARK_MAX  8192
/* An environment read while its process executes another program is empty: look again. */
#define STRAY_LOOKS 3

enum { OWNER_NONE = -1, OWNER_AGENT = -2 };

struct stray {
    int32_t pid;
    int16_t slot; /* or OWNER_NONE, OWNER_AGENT */
    bool dead;    /* was a zombie when found; the next wait takes it */
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

static int owner_of(const struct proc_stat *stat) {
    int slot = slot_of_session(stat->session);
    if (slot >= 0)
        return slot;
    int mark = find_mark(stat);
    if (mark >= 0 && slot_table[marks[mark].slot].state == SLOT_RUNNING)
        return marks[mark].slot;
    if (agent_session && stat->session == agent_session)
        return OWNER_AGENT;
    char cookie[SLOT_COOKIE_MAX];
    if (proctree_environ(stat->pid, "DISTCOMP_COOKIE=", cookie, sizeof cookie)) {
        slot = slot_of_cookie(cookie);
        if (slot >= 0)
            return slot;
    }
    return OWNER_NONE;
}

static void own(struct stray *s, const struct proc_stat *stat) {
    s->dead = stat->state == 'Z' || stat->state == 'X';
    s->looks++;
    s->slot = (int16_t)owner_of(stat);
    if (s->slot >= 0) {
        slot_table[s->slot].strays++;
        slot_table[s->slot].new_stray = true;
    }
}

static void look_again(void) {
    for (uint32_t i = 0; i < stray_count; i++) {
        struct proc_stat stat;
        if (strays[i].slot == OWNER_NONE && strays[i].looks < STRAY_LOOKS &&
            proctree_stat(strays[i].pid, &stat))
            own(&strays[i], &stat);
    }
}

void stray_look(void) {
    const int32_t *pids;
    size_t count = proctree_children(&pids);
    look_again();
    /* All that we know are on the list, so an equal count means nobody new. */
    if (count <= slot_mains + stray_count + (agent_pid > 0))
        return;
    for (size_t i = 0; i < count; i++) {
        struct proc_stat stat;
        if (pids[i] == agent_pid || slot_of_main(pids[i]) >= 0 || find_stray(pids[i]) >= 0 ||
            !proctree_stat(pids[i], &stat))
            continue;
        if (stray_count == STRAY_MAX) {
            slog("more than %d stray processes: the others are looked at later", STRAY_MAX);
            return;
        }
        strays[stray_count] = (struct stray){.pid = pids[i]};
        own(&strays[stray_count++], &stat);
    }
}

int stray_reaped(int32_t pid) {
    int i = find_stray(pid);
    if (i < 0)
        return -1;
    int slot = strays[i].slot;
    strays[i] = strays[--stray_count];
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

void stray_disown(int32_t pid) {
    int i = find_stray(pid);
    if (i < 0 || strays[i].slot < 0)
        return;
    slot_table[strays[i].slot].strays--;
    strays[i].slot = OWNER_NONE;
    strays[i].looks = STRAY_LOOKS;
}

void stray_forget(uint32_t slot) {
    for (uint32_t i = 0; i < mark_count;) {
        if (marks[i].slot == (int32_t)slot)
            marks[i] = marks[--mark_count];
        else
            i++;
    }
}

uint32_t stray_unowned(void) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < stray_count; i++)
        count += strays[i].slot == OWNER_NONE;
    return count;
}

void stray_kill_unowned(void) {
    stray_look();
    for (uint32_t i = 0; i < stray_count; i++)
        if (strays[i].slot == OWNER_NONE)
            kill(strays[i].pid, SIGKILL); /* a child that was not waited for: the pid is its own */
}
