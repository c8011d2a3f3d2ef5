#include "worker/ending.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/capture.h"
#include "worker/host.h"
#include "worker/hostwire.h"
#include "worker/proctree.h"
#include "worker/slog.h"
#include "worker/slot.h"
#include "worker/stray.h"
#include "worker/ustime.h"

#define KILL_RETRY_MIN_MS 20
#define KILL_RETRY_MAX_MS 1000

void (*ending_done)(uint32_t slot);

static uint16_t closing[SLOT_MAX]; /* main process reaped, not ENDED */
static uint32_t closing_count;
static bool sweep_due;

static void set_phase(uint32_t number, enum slot_phase phase, uint32_t wait_ms) {
    struct slot *s = &slot_table[number];
    s->phase = (uint8_t)phase;
    s->sweep_due = true;
    sweep_due = true;
    if (phase == SLOT_KILL)
        s->retry_ms = wait_ms = KILL_RETRY_MIN_MS;
    slot_set_deadline(number, ustime_mono() + (int64_t)wait_ms * US_PER_MS);
}

void ending_request(uint32_t number, uint32_t why, uint32_t grace_ms) {
    struct slot *s = &slot_table[number];
    if (s->state != SLOT_RUNNING || s->phase == SLOT_KILL)
        return;
    /* A try whose main process has ended and whose leftovers are being cleared away ended by
     * itself. */
    if (s->exit.why == WIRE_WHY_NONE && (!s->main_done || s->wait_leftover))
        s->exit.why = why;
    int64_t kill_at = ustime_mono() + (int64_t)grace_ms * US_PER_MS;
    if (grace_ms == 0)
        set_phase(number, SLOT_KILL, 0);
    else if (s->phase == SLOT_CALM)
        set_phase(number, SLOT_TERM, grace_ms);
    else if (kill_at < s->deadline_us)
        slot_set_deadline(number, kill_at);
}

void ending_request_all(uint32_t why, uint32_t grace_ms) {
    for (uint32_t i = 0; i < slot_high; i++)
        ending_request(i, why, grace_ms);
}

static uint64_t usec(const struct timeval *t) {
    return (uint64_t)t->tv_sec * US_PER_S + (uint64_t)t->tv_usec;
}

void ending_add(struct wire_exit *e, const struct host_use *use) {
    e->user_us += use->user_us;
    e->system_us += use->system_us;
    e->read_bytes += use->read_bytes;
    e->write_bytes += use->write_bytes;
    if (use->maxrss_kib > e->maxrss_kib)
        e->maxrss_kib = use->maxrss_kib;
}

struct host_use ending_use(const struct rusage *usage) {
    return (struct host_use){usec(&usage->ru_utime), usec(&usage->ru_stime),
                             (uint64_t)usage->ru_maxrss, (uint64_t)usage->ru_inblock * 512,
                             (uint64_t)usage->ru_oublock * 512};
}

static void add_usage(struct wire_exit *e, const struct rusage *usage) {
    struct host_use use = ending_use(usage);
    ending_add(e, &use);
}

static void stamp_end(struct slot *s) {
    s->exit.end_wall_ms = ustime_wall_ms();
    s->exit.wall_us = (uint64_t)(ustime_mono() - s->start_us);
}

static void main_ended(uint32_t number) {
    stamp_end(&slot_table[number]);
    slot_main_reaped(number);
    closing[closing_count++] = (uint16_t)number;
}

void ending_answered(uint32_t number, const struct host_done *done) {
    struct slot *s = &slot_table[number];
    s->exit.status = done->code << 8;
    ending_add(&s->exit, &done->use);
    s->silent = done->flags & HOST_SILENT;
    main_ended(number);
}

void ending_reaped(int32_t pid, int status, const struct rusage *usage) {
    int number = slot_of_main(pid);
    if (number >= 0) {
        struct slot *s = &slot_table[number];
        if (!host_ended((uint32_t)number, status, usage, &s->exit)) {
            s->exit.status = status;
            add_usage(&s->exit, usage);
        }
        main_ended((uint32_t)number);
        return;
    }
    number = stray_reaped(pid);
    if (number >= 0)
        add_usage(&slot_table[number].exit, usage);
    else
        host_reaped(pid, status);
}

static void finish(uint32_t number) {
    struct slot *s = &slot_table[number];
    if (s->wait_leftover)
        stamp_end(s);
    if (s->exit.leftovers || stray_unowned())
        s->replace_files = true;
    if (!s->silent || s->replace_files)
        capture_sizes(number, &s->exit.out_bytes, &s->exit.err_bytes);
    s->exit.flags = host_stays(number) ? WIRE_EXIT_HOST_STAYS : 0;
    slot_end(number);
    stray_forget(number);
    host_released(number);
    s->exit.files = s->files;
    ending_done(number);
}

/* Returns true when the try has ended. */
static bool settle(uint32_t number) {
    struct slot *s = &slot_table[number];
    if (s->strays == 0) {
        if (stray_undecided())
            return false; /* stray_deadline comes */
        finish(number);
        return true;
    }
    uint32_t alive = stray_alive(number);
    if (alive == 0 || (s->wait_leftover && s->phase == SLOT_CALM))
        return false; /* SIGCHLD comes */
    if (alive > s->exit.leftovers)
        s->exit.leftovers = alive;
    host_dismiss(number);
    if (s->phase == SLOT_CALM)
        set_phase(number, SLOT_TERM, ENDING_LEFTOVER_GRACE_MS);
    else if (s->phase == SLOT_KILL && s->new_stray)
        s->sweep_due = sweep_due = true; /* a killed one's children have become ours */
    return false;
}

static void settle_all(void) {
    stray_look();
    uint32_t kept = 0;
    for (uint32_t i = 0; i < closing_count; i++)
        if (!settle(closing[i]))
            closing[kept++] = closing[i];
    closing_count = kept;
}

void ending_settle(void) {
    if (closing_count > 0)
        settle_all();
}

int64_t ending_deadline(void) {
    int64_t slots_us = slot_next_deadline(), strays_us = stray_deadline();
    return slots_us < strays_us ? slots_us : strays_us;
}

void ending_timers(int64_t now_us) {
    if (now_us >= stray_deadline())
        settle_all();
    if (now_us < slot_next_deadline())
        return;
    for (uint32_t i = 0; i < slot_high; i++) {
        struct slot *s = &slot_table[i];
        if (s->state != SLOT_RUNNING || !s->deadline_us || s->deadline_us > now_us)
            continue;
        if (s->phase == SLOT_CALM) {
            ending_request(i, WIRE_WHY_TIMEOUT, s->grace_ms);
        } else if (s->phase == SLOT_TERM) {
            set_phase(i, SLOT_KILL, 0);
        } else {
            if (s->retry_ms == KILL_RETRY_MAX_MS / 2)
                slog("slot %u: pid %d or a descendant does not die of SIGKILL; trying on", i,
                     s->exit.pid);
            s->sweep_due = sweep_due = true;
            s->retry_ms = s->retry_ms * 2 < KILL_RETRY_MAX_MS ? s->retry_ms * 2 : KILL_RETRY_MAX_MS;
            slot_set_deadline(i, now_us + (int64_t)s->retry_ms * US_PER_MS);
        }
    }
    slot_refresh_deadline();
}

enum { OWNER_UNKNOWN = -2, OWNER_NONE = -1 };
static int16_t owner[PROCTREE_MAX]; /* by index in the scanned table */

/* The slot of a process: that of the direct child of ours which it descends from. */
static int16_t find_owner(const struct proc_stat *table, int index, int32_t self) {
    int top = index;
    int16_t found = OWNER_NONE;
    for (int steps = 0; steps < PROCTREE_MAX;
         steps++) { /* bounded: parents may change while we read */
        if (owner[top] != OWNER_UNKNOWN) {
            found = owner[top];
            break;
        }
        if (table[top].ppid == self) {
            int slot = slot_of_main(table[top].pid);
            found = (int16_t)(slot >= 0 ? slot : stray_slot(table[top].pid));
            break;
        }
        int parent = table[top].ppid > 1 ? proctree_index(table[top].ppid) : -1;
        if (parent < 0)
            break;
        top = parent;
    }
    for (int i = index, steps = 0; i >= 0 && owner[i] == OWNER_UNKNOWN && steps < PROCTREE_MAX;
         steps++) {
        owner[i] = found;
        i = i == top ? -1 : proctree_index(table[i].ppid);
    }
    return found;
}

/* Returns false when the process is not ours to end. */
static bool signal_one(const struct proc_stat *p, uint32_t number) {
    struct slot *s = &slot_table[number];
    int error;
    if (s->phase == SLOT_KILL) {
        error = proctree_signal(p, SIGKILL);
    } else {
        error = proctree_signal(p, SIGTERM);
        if (p->stopped)
            proctree_signal(p, SIGCONT); /* a stopped process would not see it */
    }
    if (error == EPERM) {
        slog("slot %u: may not signal pid %d (another user's?)", number, p->pid);
        stray_disown(p->pid);
    }
    return error != EPERM;
}

void ending_sweep(void) {
    if (!sweep_due)
        return;
    sweep_due = false;
    bool disowned = false;
    int32_t self = getpid();
    settle_all();
    const struct proc_stat *table;
    size_t count = proctree_scan(&table);
    for (size_t i = 0; i < count; i++)
        owner[i] = OWNER_UNKNOWN;
    for (size_t i = 0; i < count; i++) {
        int16_t number = find_owner(table, (int)i, self);
        if (number < 0 || !slot_table[number].sweep_due || table[i].dead)
            continue;
        /* Before any signal: once its parents are dead, only this tells whose it is. */
        if (table[i].session != slot_table[number].exit.pid)
            stray_mark(&table[i], (uint32_t)number);
    }
    for (size_t i = 0; i < count; i++)
        if (owner[i] >= 0 && slot_table[owner[i]].sweep_due && !table[i].dead)
            disowned |= !signal_one(&table[i], (uint32_t)owner[i]);
    for (uint32_t i = 0; i < slot_high; i++)
        if (slot_table[i].sweep_due)
            slot_table[i].sweep_due = slot_table[i].new_stray = false;
    if (disowned)
        ending_settle(); /* they hold nothing open any more */
}
