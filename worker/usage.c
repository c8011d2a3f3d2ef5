#include "worker/usage.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "common/clock.h"
#include "worker/procfile.h"
#include "worker/proclist.h"
#include "worker/shares.h"

#define SHARE_FROM_BYTES (UINT64_C(64) << 20)
/* So many processes are read in one sample; with more, each has its turn. */
enum { READ_AT_ONCE = 512 };
enum { SHARE_AGAIN_MS = 5000, SHARE_SOON_MS = 1000, SHARE_REST = 100 /* times its cost */ };

enum { PART_MEMORY = CGROUP_MEMORY, PART_CPU = CGROUP_CPU, PART_IO = CGROUP_IO };
#define PARTS ((unsigned)PART_MEMORY | PART_CPU | PART_IO)

struct try_use {
    struct usage_reading reading;
    struct usage_base before;
    unsigned parts; /* what the cgroup tells; the rest is a sum over processes */
    bool asked;     /* scratch */
    uint64_t cache_max_bytes;
    /* This sample's sums. */
    uint64_t sum_bytes, largest_bytes, cpu_ticks, read_bytes, write_bytes;
    uint32_t processes;
    /* Memory counted more than once. */
    bool share_known;
    uint64_t twice_bytes, share_sum_bytes; /* the sum when they were asked */
    mono_ms_t share_asked;
};

/* Storage bytes, and a cgroup's CPU time, are half of a sample's cost, and an exit has them: once
 * in so many samples. */
enum { SELDOM = 5 };

struct process { /* as it was read last */
    int32_t pid;
    uint32_t slot, serial;
    uint64_t mem_bytes, cpu_ticks, read_bytes, write_bytes;
    uint32_t io_looks;
};

struct processes {
    struct process *at;
    size_t count, cap;
};

struct usage {
    struct usage_options options;
    struct proc_owner *owners; /* by slot; pid 0: no try */
    struct try_use *tries;     /* by slot */
    uint32_t high;             /* one more than the highest slot ever used */
    uint32_t serial;
    struct proclist list;
    struct processes now, before; /* those of the last full sample, by pid; and scratch */
    uint32_t round;
    int32_t *pids; /* scratch */
    size_t pid_cap;
    struct shares *shares;
    mono_ms_t share_not_before;
    struct usage_facts facts;
    uint64_t ticks_per_s;
};

static uint64_t max_of(uint64_t a, uint64_t b) {
    return a > b ? a : b;
}

static uint64_t less(uint64_t whole, uint64_t part) {
    return whole > part ? whole - part : 0;
}

static uint64_t thread_cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

const char *usage_source_name(enum usage_source source) {
    static const char *const names[] = {"none", "processes", "members", "cgroup"};
    return names[source];
}

struct usage *usage_new(const struct usage_options *options) {
    struct usage *u = xcalloc(1, sizeof *u);
    u->options = *options;
    if (!u->options.share_from_bytes)
        u->options.share_from_bytes = SHARE_FROM_BYTES;
    u->owners = xcalloc(options->slots, sizeof *u->owners);
    u->tries = xcalloc(options->slots, sizeof *u->tries);
    u->list.root = options->root;
    u->list.supervisor_pid = options->supervisor_pid;
    u->shares = shares_new(options->root);
    long ticks = sysconf(_SC_CLK_TCK);
    u->ticks_per_s = ticks > 0 ? (uint64_t)ticks : 100;
    return u;
}

void usage_free(struct usage *u) {
    if (!u)
        return;
    shares_free(u->shares);
    for (uint32_t i = 0; i < u->high; i++)
        free(u->owners[i].cookie);
    free(u->owners);
    free(u->tries);
    proclist_free(&u->list);
    free(u->now.at);
    free(u->before.at);
    free(u->pids);
    free(u);
}

void usage_add(struct usage *u, uint32_t slot, int32_t pid, const char *cookie) {
    usage_remove(u, slot, NULL);
    u->owners[slot] = (struct proc_owner){
        .pid = pid, .serial = ++u->serial, .cookie = cookie ? xstrdup(cookie) : NULL};
    u->tries[slot] = (struct try_use){0};
    if (slot >= u->high)
        u->high = slot + 1;
}

void usage_add_again(struct usage *u, uint32_t slot, int32_t pid, const char *cookie,
                     const struct usage_base *before) {
    usage_add(u, slot, pid, cookie);
    u->tries[slot].before = *before;
}

static bool runs(const struct usage *u, uint32_t slot) {
    return slot < u->high && u->owners[slot].pid;
}

const struct usage_reading *usage_of(const struct usage *u, uint32_t slot) {
    return runs(u, slot) ? &u->tries[slot].reading : NULL;
}

size_t usage_pids(const struct usage *u, uint32_t slot, int32_t *pids, size_t max) {
    size_t count = 0;
    if (!runs(u, slot))
        return 0;
    if (u->tries[slot].parts & CGROUP_MEMBERS)
        return cgroup_pids(u->options.cgroups, slot, pids, max);
    for (size_t i = 0; i < u->now.count; i++)
        if (u->now.at[i].slot == slot && u->now.at[i].serial == u->owners[slot].serial &&
            count++ < max)
            pids[count - 1] = u->now.at[i].pid;
    return count;
}

struct usage_facts usage_facts(const struct usage *u) {
    return u->facts;
}

/* --- measuring ------------------------------------------------------------------------------- */

static void clear_sums(struct try_use *t) {
    t->sum_bytes = t->largest_bytes = t->cpu_ticks = t->read_bytes = t->write_bytes = 0;
    t->processes = 0;
}

/* False: it has ended. */
static bool read_process(const struct usage *u, struct process *p, unsigned parts) {
    struct process_memory memory;
    struct process_stat stat;
    if (parts & PART_MEMORY) {
        if (!procfile_memory(u->options.root, p->pid, &memory))
            return false;
        p->mem_bytes = memory.anon_bytes + memory.shmem_bytes;
    }
    if ((parts & PART_CPU) && procfile_stat(u->options.root, p->pid, &stat))
        p->cpu_ticks = stat.cpu_ticks;
    if ((parts & PART_IO) && p->io_looks++ % SELDOM == 0)
        procfile_io(u->options.root, p->pid, &p->read_bytes, &p->write_bytes);
    return true;
}

static void add_process(struct usage *u, const struct process *p) {
    struct try_use *t = &u->tries[p->slot];
    t->sum_bytes += p->mem_bytes;
    t->largest_bytes = max_of(t->largest_bytes, p->mem_bytes);
    t->processes++;
    t->cpu_ticks += p->cpu_ticks;
    t->read_bytes += p->read_bytes;
    t->write_bytes += p->write_bytes;
}

static int by_pid(const void *a, const void *b) {
    int32_t x = ((const struct process *)a)->pid, y = ((const struct process *)b)->pid;
    return (x > y) - (x < y);
}

/* As it was in the last sample; NULL: it is new. */
static const struct process *from_before(const struct usage *u, const struct process *p) {
    const struct process *old =
        u->before.count ? bsearch(p, u->before.at, u->before.count, sizeof *u->before.at, by_pid)
                        : NULL;
    return old && old->slot == p->slot && old->serial == p->serial ? old : NULL;
}

/* Of very many, only a part is read in each sample. */
static bool has_its_turn(const struct usage *u, int32_t pid) {
    size_t turns = u->before.count / READ_AT_ONCE + 1;
    return turns == 1 || ((uint32_t)pid + u->round) % turns == 0;
}

/* In a full sample. */
static void measure(struct usage *u, uint32_t slot, int32_t pid, unsigned parts) {
    struct process p = {.pid = pid, .slot = slot, .serial = u->owners[slot].serial};
    const struct process *old = from_before(u, &p);
    if (old)
        p = *old;
    if ((!old || has_its_turn(u, pid)) && !read_process(u, &p, parts))
        return;
    add_process(u, &p);
    struct processes *now = &u->now;
    if (now->count == now->cap) {
        now->cap = now->cap ? now->cap * 2 : 256;
        now->at = xrealloc(now->at, now->cap * sizeof *now->at);
    }
    now->at[now->count++] = p;
}

/* The members of the slot's cgroup, in u->pids. */
static size_t list_members(struct usage *u, uint32_t slot) {
    size_t count = cgroup_pids(u->options.cgroups, slot, u->pids, u->pid_cap);
    if (count > u->pid_cap) {
        u->pid_cap = count + count / 2;
        u->pids = xrealloc(u->pids, u->pid_cap * sizeof *u->pids);
        size_t now = cgroup_pids(u->options.cgroups, slot, u->pids, u->pid_cap);
        count = now < u->pid_cap ? now : u->pid_cap;
    }
    return count;
}

static void measure_members(struct usage *u, uint32_t slot, unsigned parts) {
    size_t count = list_members(u, slot);
    for (size_t i = 0; i < count; i++)
        measure(u, slot, u->pids[i], parts);
}

static void measure_listed(struct usage *u) {
    proclist_look(&u->list, u->owners, u->high);
    u->facts.unowned = u->list.unowned;
    u->facts.truncated = u->list.truncated;
    for (size_t i = 0; i < u->list.count; i++) {
        const struct proc_entry *e = &u->list.entries[i];
        if (e->slot >= 0 && !(u->tries[e->slot].parts & CGROUP_MEMBERS))
            measure(u, (uint32_t)e->slot, e->pid, PARTS);
    }
}

/* --- shared memory --------------------------------------------------------------------------- */

static bool may_share(const struct usage *u, const struct try_use *t) {
    return t->processes > 1 && t->sum_bytes - t->largest_bytes >= u->options.share_from_bytes;
}

static void take_answer(struct usage *u) {
    struct shares_answer answer;
    if (!shares_answer(u->shares, &answer))
        return;
    u->share_not_before = mono_after(mono_now(), (int64_t)answer.cost_us * SHARE_REST / 1000);
    uint32_t slot = (uint32_t)(answer.tag >> 32);
    struct try_use *t = &u->tries[slot];
    if (u->owners[slot].serial != (uint32_t)answer.tag)
        return; /* another try by now */
    t->share_known = true;
    t->twice_bytes =
        answer.known && t->share_sum_bytes > answer.bytes ? t->share_sum_bytes - answer.bytes : 0;
    if (answer.known)
        t->reading.peak_bytes = max_of(t->reading.peak_bytes, answer.bytes);
}

static bool share_due(const struct usage *u, const struct try_use *t, mono_ms_t now) {
    if (!may_share(u, t))
        return false;
    uint64_t change = t->sum_bytes > t->share_sum_bytes ? t->sum_bytes - t->share_sum_bytes
                                                        : t->share_sum_bytes - t->sum_bytes;
    int64_t age_ms = mono_diff(now, t->share_asked);
    return !t->share_known || age_ms >= SHARE_AGAIN_MS ||
           (age_ms >= SHARE_SOON_MS && change > t->share_sum_bytes / 4);
}

/* Asks the processes of the try that has waited longest. */
static void ask_next(struct usage *u) {
    mono_ms_t now = mono_now();
    if (shares_busy(u->shares) || mono_diff(now, u->share_not_before) < 0)
        return;
    uint32_t best = UINT32_MAX;
    for (uint32_t i = 0; i < u->high; i++)
        if (u->owners[i].pid && !(u->tries[i].parts & CGROUP_MEMORY) &&
            share_due(u, &u->tries[i], now) &&
            (best == UINT32_MAX ||
             mono_diff(u->tries[best].share_asked, u->tries[i].share_asked) > 0))
            best = i;
    if (best == UINT32_MAX)
        return;
    struct try_use *t = &u->tries[best];
    int32_t *pids = xmalloc(u->now.count * sizeof *pids);
    size_t count = 0;
    for (size_t i = 0; i < u->now.count; i++)
        if (u->now.at[i].slot == best)
            pids[count++] = u->now.at[i].pid;
    t->share_asked = now;
    t->share_sum_bytes = t->sum_bytes;
    shares_ask(u->shares, (uint64_t)best << 32 | u->owners[best].serial, pids, count);
    free(pids);
}

/* --- readings -------------------------------------------------------------------------------- */

/* The sum over processes without what was counted twice. */
static uint64_t sum_once(const struct usage *u, const struct try_use *t) {
    uint64_t rest = t->sum_bytes - t->largest_bytes;
    if (!t->share_known || !may_share(u, t))
        return t->sum_bytes;
    return t->sum_bytes - (t->twice_bytes < rest ? t->twice_bytes : rest);
}

static void settle_sum(const struct usage *u, struct try_use *t) {
    t->reading.mem_bytes = sum_once(u, t);
    t->reading.source = t->parts & CGROUP_MEMBERS ? USAGE_MEMBERS : USAGE_PROCESSES;
    /* Where much is shared only the shares themselves are sure (take_answer). */
    bool sure = !may_share(u, t) || (t->share_known && t->twice_bytes < t->sum_bytes / 8);
    t->reading.peak_bytes =
        max_of(t->reading.peak_bytes, sure ? t->reading.mem_bytes : t->largest_bytes);
}

static void settle_cgroup(const struct usage *u, uint32_t slot,
                          const struct cgroup_reading *reading) {
    struct try_use *t = &u->tries[slot];
    t->reading.mem_bytes = reading->mem_bytes;
    t->reading.source = USAGE_CGROUP;
    t->cache_max_bytes = max_of(t->cache_max_bytes, reading->cache_bytes);
    t->reading.peak_bytes = max_of(t->reading.peak_bytes, reading->mem_bytes);
    uint64_t charged = cgroup_peak(u->options.cgroups, slot);
    if (charged > t->cache_max_bytes)
        t->reading.peak_bytes = max_of(t->reading.peak_bytes, charged - t->cache_max_bytes);
}

static void settle(struct usage *u, uint32_t slot) {
    struct try_use *t = &u->tries[slot];
    struct cgroup_reading c = {0};
    bool turn = t->reading.source == USAGE_NONE || (slot + u->round) % SELDOM == 0;
    unsigned parts = turn ? t->parts : t->parts & ~((unsigned)PART_CPU | PART_IO);
    unsigned got = parts ? cgroup_read(u->options.cgroups, slot, parts, &c) : 0;
    if (!(got & CGROUP_CPU))
        c.cpu_us = less(t->cpu_ticks * 1000000 / u->ticks_per_s, t->before.cpu_us);
    if (!(got & CGROUP_IO)) {
        c.read_bytes = less(t->read_bytes, t->before.read_bytes);
        c.write_bytes = less(t->write_bytes, t->before.write_bytes);
    }
    t->reading.processes = t->processes;
    t->reading.cpu_us = max_of(t->reading.cpu_us, c.cpu_us);
    t->reading.read_bytes = max_of(t->reading.read_bytes, c.read_bytes);
    t->reading.write_bytes = max_of(t->reading.write_bytes, c.write_bytes);
    if (got & CGROUP_MEMORY)
        settle_cgroup(u, slot, &c);
    else
        settle_sum(u, t);
}

void usage_sample(struct usage *u) {
    uint64_t begun_us = thread_cpu_us();
    bool look = false;
    struct processes scratch = u->before;
    u->before = u->now;
    u->now = scratch;
    u->now.count = 0;
    u->round++;
    u->facts = (struct usage_facts){0};
    take_answer(u);
    for (uint32_t i = 0; i < u->high; i++) {
        struct try_use *t = &u->tries[i];
        clear_sums(t);
        if (!u->owners[i].pid)
            continue;
        t->parts = u->options.cgroups ? cgroup_parts(u->options.cgroups, i) : 0;
        if (!(t->parts & CGROUP_MEMBERS))
            look = true;
        else if (PARTS & ~t->parts)
            measure_members(u, i, PARTS & ~t->parts);
    }
    if (look)
        measure_listed(u);
    if (u->now.count)
        qsort(u->now.at, u->now.count, sizeof *u->now.at, by_pid);
    for (uint32_t i = 0; i < u->high; i++)
        if (u->owners[i].pid)
            settle(u, i);
    ask_next(u);
    u->facts.processes = (uint32_t)u->now.count;
    u->facts.cost_us = thread_cpu_us() - begun_us;
}

/* Those of the slots asked for whose members no cgroup lists. */
static void measure_known(struct usage *u) {
    for (size_t i = 0; i < u->now.count; i++) {
        struct process *p = &u->now.at[i];
        if (u->tries[p->slot].asked && u->owners[p->slot].serial == p->serial &&
            !(u->tries[p->slot].parts & CGROUP_MEMBERS) && read_process(u, p, PART_MEMORY))
            add_process(u, p);
    }
}

static void measure_now(struct usage *u, uint32_t slot) {
    struct try_use *t = &u->tries[slot];
    struct cgroup_reading c;
    if ((t->parts & CGROUP_MEMORY) && cgroup_read(u->options.cgroups, slot, PART_MEMORY, &c)) {
        settle_cgroup(u, slot, &c);
        return;
    }
    size_t members = t->parts & CGROUP_MEMBERS ? list_members(u, slot) : 0;
    for (size_t i = 0; i < members; i++) {
        struct process p = {.pid = u->pids[i], .slot = slot};
        if (read_process(u, &p, PART_MEMORY))
            add_process(u, &p);
    }
    t->reading.processes = t->processes;
    settle_sum(u, t);
}

void usage_sample_memory(struct usage *u, const uint32_t *slots, size_t count) {
    take_answer(u);
    for (size_t i = 0; i < count; i++) {
        if (!runs(u, slots[i]))
            continue;
        struct try_use *t = &u->tries[slots[i]];
        clear_sums(t);
        t->asked = true;
        t->parts = u->options.cgroups ? cgroup_parts(u->options.cgroups, slots[i]) : 0;
    }
    measure_known(u);
    for (size_t i = 0; i < count; i++) {
        if (!runs(u, slots[i]))
            continue;
        u->tries[slots[i]].asked = false;
        measure_now(u, slots[i]);
    }
}

bool usage_remove(struct usage *u, uint32_t slot, struct usage_reading *last) {
    if (!runs(u, slot))
        return false;
    struct try_use *t = &u->tries[slot];
    struct cgroup_reading c;
    unsigned parts = u->options.cgroups ? cgroup_parts(u->options.cgroups, slot) : 0;
    if (last && parts) { /* the counters outlive the processes */
        unsigned got = cgroup_read(u->options.cgroups, slot, parts, &c);
        if (got & CGROUP_MEMORY) {
            settle_cgroup(u, slot, &c);
            t->reading.mem_bytes = c.mem_bytes;
        }
        t->reading.cpu_us = max_of(t->reading.cpu_us, got & CGROUP_CPU ? c.cpu_us : 0);
        t->reading.read_bytes = max_of(t->reading.read_bytes, c.read_bytes);
        t->reading.write_bytes = max_of(t->reading.write_bytes, c.write_bytes);
    }
    if (last)
        *last = t->reading;
    free(u->owners[slot].cookie);
    u->owners[slot] = (struct proc_owner){0};
    return true;
}
