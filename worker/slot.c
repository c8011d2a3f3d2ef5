#include "worker/slot.h"

#include <string.h>

struct slot slot_table[SLOT_MAX];
uint8_t slot_note[SLOT_MAX][WIRE_NOTE_MAX];
uint32_t slot_capacity, slot_used, slot_running, slot_mains, slot_high;

/* Apart from the slots, so that a search touches 4 bytes a slot. 0: none. */
static int32_t main_pid[SLOT_MAX];
static int32_t session_id[SLOT_MAX];
static int64_t next_deadline_us = INT64_MAX;

struct slot *slot_begin(uint32_t number) {
    struct slot *s = &slot_table[number];
    memset(s, 0, sizeof *s);
    s->state = SLOT_RUNNING;
    s->exit.slot = number;
    s->files = number;
    slot_used++;
    slot_running++;
    if (number >= slot_high)
        slot_high = number + 1;
    return s;
}

void slot_set_main(uint32_t number, int32_t pid) {
    /* The kernel gives a pid out again only when no session has that number, so an older try that
       is still being ended has nobody left in the session of this name. */
    int older = slot_of_session(pid);
    if (older >= 0)
        session_id[older] = 0;
    main_pid[number] = pid;
    session_id[number] = pid;
    slot_table[number].exit.pid = pid;
    slot_mains++;
}

void slot_main_reaped(uint32_t number) {
    main_pid[number] = 0;
    slot_table[number].main_done = true;
    slot_mains--;
}

void slot_end(uint32_t number) {
    struct slot *s = &slot_table[number];
    s->state = SLOT_ENDED;
    s->deadline_us = 0;
    s->sweep_due = false;
    session_id[number] = 0;
    slot_running--;
}

void slot_free(uint32_t number) {
    slot_table[number].state = SLOT_FREE;
    slot_used--;
}

static int find(const int32_t *table, int32_t value) {
    if (value <= 0)
        return -1;
    for (uint32_t i = 0; i < slot_high; i++)
        if (table[i] == value)
            return (int)i;
    return -1;
}

int slot_of_main(int32_t pid) {
    return find(main_pid, pid);
}

int slot_of_session(int32_t session) {
    return find(session_id, session);
}

int slot_of_cookie(const char *cookie) {
    for (uint32_t i = 0; i < slot_high; i++)
        if (slot_table[i].state == SLOT_RUNNING && slot_table[i].cookie[0] &&
            strcmp(slot_table[i].cookie, cookie) == 0)
            return (int)i;
    return -1;
}

void slot_set_deadline(uint32_t number, int64_t deadline_us) {
    slot_table[number].deadline_us = deadline_us;
    if (deadline_us && deadline_us < next_deadline_us)
        next_deadline_us = deadline_us;
}

int64_t slot_next_deadline(void) {
    return next_deadline_us;
}

void slot_refresh_deadline(void) {
    next_deadline_us = INT64_MAX;
    for (uint32_t i = 0; i < slot_high; i++) {
        const struct slot *s = &slot_table[i];
        if (s->state == SLOT_RUNNING && s->deadline_us && s->deadline_us < next_deadline_us)
            next_deadline_us = s->deadline_us;
    }
}
