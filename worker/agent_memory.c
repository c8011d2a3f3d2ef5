#include "worker/agent_memory.h"

#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "worker/agent_state.h"
#include "worker/launch.h"
#include "worker/procfile.h"

enum {
    AVAILABLE_MS = 10, /* how long a reading of available memory is good */
    SETTLED_MS = 100,  /* a try is not measured before */
    USE_MOST = 256,    /* tries that are told to checkWorker one by one */
    GONE_MS = 1000,    /* so long processes of a dead supervisor may take to die */
    GONE_NAP_MS = 10,
    IDLE_MS = 1000,  /* how long a reading of idle hosts is good */
    HOSTS_MOST = 256 /* whose memory is looked up */
};

/* --- opening --------------------------------------------------------------------------------- */

/* Calls `left` until it says 0, for GONE_MS at most. */
static void wait_until_gone(size_t (*left)(struct agent *), struct agent *a) {
    for (int waited_ms = 0; left(a) > 0 && waited_ms < GONE_MS; waited_ms += GONE_NAP_MS)
        poll(NULL, 0, GONE_NAP_MS);
}

static char *record_file(const struct agent *a) {
    struct buf path = BUF_INIT;
    buf_addf(&path, "%s/cgroups", a->config->state_dir);
    return buf_detach(&path);
}

static size_t recorded_left(struct agent *a) {
    char *file = record_file(a);
    size_t left = cgroups_end_recorded("", file);
    free(file);
    return left;
}

static void open_cgroups(struct agent *a) {
    struct buf key = BUF_INIT;
    buf_addf(&key, "%s/%s", a->config->queue, a->config->name);
    struct cgroup_options options = {
        .root = "",
        .key = key.data,
        .supervisor_pid = (int32_t)a->supervisor_pid,
        .slots = a->runs.capacity,
    };
    a->memory.cgroups = cgroups_open(&options);
    char *file = record_file(a);
    if (!cgroups_record(a->memory.cgroups, file))
        log_event(LOG_WARN, "cgroups_not_recorded", kv_text("file", file));
    free(file);
    buf_free(&key);
}

static void log_sources(const struct agent *a) {
    const struct cgroup_abilities *can = cgroups_abilities(a->memory.cgroups);
    const char *source = can->v2_memory ? "cgroup" : can->v2 ? "members" : "processes";
    log_event(LOG_INFO, "memory_watch", kv_text("source", source),
              kv_uint("notifications", a->memory.pressure.count),
              kv_uint("accept", a->capacity.reserve_bytes), kv_uint("trigger", a->trigger_bytes),
              kv_text("why", can->why));
}

void memory_open(struct agent *a) {
    wait_until_gone(recorded_left, a);
    open_cgroups(a);
    a->memory.usage = usage_new(&(struct usage_options){
        .root = "",
        .cgroups = a->memory.cgroups,
        .supervisor_pid = (int32_t)a->supervisor_pid,
        .slots = a->runs.capacity,
    });
    memory_oom_protect(a);
    memory_watch_open(a);
    log_sources(a);
}

void memory_close(struct agent *a, bool nothing_runs) {
    memory_watch_close(a);
    usage_free(a->memory.usage);
    cgroups_close(a->memory.cgroups, nothing_runs);
    a->memory.usage = NULL;
    a->memory.cgroups = NULL;
}

static size_t slots_left(struct agent *a) {
    return cgroups_kill(a->memory.cgroups) ? 0 : 1;
}

void memory_kill_all(struct agent *a) {
    if (a->memory.cgroups)
        wait_until_gone(slots_left, a);
}

/* --- a try ----------------------------------------------------------------------------------- */

bool memory_short_tasks(const struct agent *a) {
    return a->mean_wall_us > 0 && a->mean_wall_us < (uint64_t)AHEAD_MS * 1000;
}

bool memory_starts(struct agent *a, struct run *run, const struct cgroup_limits *limits,
                   struct cgroup_entry *entry, struct buf *error) {
    struct run_memory *m = &run->memory;
    *entry = (struct cgroup_entry){.dir = ""};
    m->kills = a->memory.kills;
    m->oom_score_adj = memory_oom_start(a);
    m->in_cgroup = launch_confines(a->wire_version) &&
                   (limits->memory_bytes || limits->mcpu ||
                    (cgroups_abilities(a->memory.cgroups)->v2 && !memory_short_tasks(a) &&
                     !run->native)); /* whose process may stay for the next */
    return !m->in_cgroup || cgroup_begin(a->memory.cgroups, run->slot, limits, entry, error);
}

void memory_started(struct agent *a, struct run *run) {
    if (run->memory.adopted) { /* memory.kills stays 0: the kernel may have killed before now */
        run->memory.in_cgroup = true; /* as far as cgroup_adopt can tell */
        cgroup_adopt(a->memory.cgroups, run->slot, run->pid);
    } else if (run->memory.in_cgroup) {
        cgroup_confirm(a->memory.cgroups, run->slot, run->pid);
    }
    if (run->native && hostbook_started(&a->hosts, run->pid))
        run->memory.oom_score_adj = 0; /* it has what an earlier try was given */
}

static void measure(struct agent *a, struct run *run) {
    char cookie[sizeof "DISTCOMP_COOKIE=." + TASK_ID_LEN + NONCE_LEN];
    snprintf(cookie, sizeof cookie, "DISTCOMP_COOKIE=%s.%s", run->id, run->nonce);
    const struct usage_base *before = run->native ? hostbook_used(&a->hosts, run->pid) : NULL;
    if (before)
        usage_add_again(a->memory.usage, run->slot, run->pid, cookie, before);
    else
        usage_add(a->memory.usage, run->slot, run->pid, cookie);
    run->memory.measured = true;
}

void memory_ends(struct agent *a, struct run *run) {
    struct run_memory *m = &run->memory;
    struct usage_reading last = {.source = USAGE_NONE};
    bool counted = m->in_cgroup && (cgroup_parts(a->memory.cgroups, run->slot) & CGROUP_MEMORY);
    if (counted && !m->measured)
        measure(a, run); /* the group's counters are still there */
    if (m->measured)
        usage_remove(a->memory.usage, run->slot, &last);
    m->measured = false;
    m->read_bytes = run->exit.read_bytes;
    m->write_bytes = run->exit.write_bytes;
    if (!run->native) { /* processes that nobody waited for are not in its exit */
        m->read_bytes = last.read_bytes > m->read_bytes ? last.read_bytes : m->read_bytes;
        m->write_bytes = last.write_bytes > m->write_bytes ? last.write_bytes : m->write_bytes;
    }
    m->verdict = memory_oom_judge(a, run);
    m->peak_bytes = result_peak(&last, &run->exit);
    if (m->verdict != OOM_NO && m->peak_bytes < run->exit.maxrss_kib * 1024)
        m->peak_bytes = run->exit.maxrss_kib * 1024; /* it grew faster than it was measured */
    if (m->verdict != OOM_NO)
        log_event(LOG_WARN, m->verdict == OOM_LIMIT ? "task_over_limit" : "task_oom",
                  kv_text("task", run->id), kv_uint("try", run->try_number),
                  kv_uint("peak", m->peak_bytes), kv_uint("promised", run->mem_bytes));
    if (m->in_cgroup)
        cgroup_end(a->memory.cgroups, run->slot, false);
}

/* --- measuring ------------------------------------------------------------------------------- */

void memory_sample(struct agent *a, bool all) {
    mono_ms_t now = mono_now();
    for (struct run *run = a->runs.lists[RUN_STARTED].first; run; run = run->next) {
        bool settled = all || mono_diff(now, run->memory.started) >= SETTLED_MS;
        if (!run->memory.measured && run->pid > 0 && settled)
            measure(a, run);
    }
    usage_sample(a->memory.usage);
    uint64_t used = 0;
    for (const struct run *run = a->runs.lists[RUN_STARTED].first; run; run = run->next)
        used += run->memory.measured ? memory_used(a, run) : 0;
    if (used > a->memory.most_used_bytes)
        a->memory.most_used_bytes = used;
    a->memory.sampled = now;
    a->memory.machine_read.ms = 0; /* what is available must never be older than what is used */
}

uint64_t memory_used(const struct agent *a, const struct run *run) {
    const struct usage_reading *reading =
        run->memory.measured ? usage_of(a->memory.usage, run->slot) : NULL;
    uint64_t used = reading ? reading->mem_bytes : 0;
    /* /proc says 0 of a process that ends before its memory is free: that takes 95 ms a GiB. */
    return used > run->memory.end_used_bytes ? used : run->memory.end_used_bytes;
}

uint64_t memory_frees(const struct agent *a, const struct run *run) {
    uint64_t used = memory_used(a, run);
    return used > run->held_bytes ? used : run->held_bytes;
}

uint64_t memory_machine(struct agent *a, bool fresh) {
    struct agent_memory *m = &a->memory;
    mono_ms_t now = mono_now();
    if (fresh || mono_diff(now, m->machine_read) >= AVAILABLE_MS) {
        m->machine_bytes = machine_available(a->machine);
        m->machine_read = now;
    }
    return m->machine_bytes;
}

/* What the machine has available counts its own limits; only one that was said must be counted. */
struct memroom_limits memory_limits(const struct agent *a) {
    bool said = a->config->memory_bytes || *a->config->inventory;
    return (struct memroom_limits){
        .capacity_bytes = said ? a->capacity.mem_bytes : UINT64_MAX,
        .accept_bytes = a->capacity.reserve_bytes,
        .trigger_bytes = a->trigger_bytes,
    };
}

struct memroom_sum memory_sum(const struct agent *a) {
    struct memroom_sum sum = {0};
    for (const struct run *run = a->runs.lists[RUN_STARTED].first; run; run = run->next)
        memroom_add(&sum, &(struct memroom_task){.held_bytes = run->held_bytes,
                                                 .used_bytes = memory_used(a, run),
                                                 .ending = run->memory.end_why != WIRE_WHY_NONE});
    return sum;
}

uint64_t memory_idle(struct agent *a, bool fresh) {
    struct agent_memory *m = &a->memory;
    mono_ms_t now = mono_now();
    int32_t pids[HOSTS_MOST];
    size_t count = hostbook_idle(&a->hosts, hosts_left(a), pids, HOSTS_MOST);
    if (count == 0)
        return 0;
    if (!fresh && mono_diff(now, m->idle_read) < IDLE_MS)
        return m->idle_bytes;
    m->idle_read = now;
    m->idle_bytes = 0;
    for (size_t i = 0; i < count && i < HOSTS_MOST; i++) {
        struct process_memory memory;
        if (procfile_memory("", pids[i], &memory))
            m->idle_bytes += memory.anon_bytes + memory.shmem_bytes;
    }
    return m->idle_bytes;
}

uint64_t memory_room(struct agent *a) {
    struct memroom_limits limits = memory_limits(a);
    struct memroom_sum sum = memory_sum(a);
    uint64_t machine = memory_machine(a, false), idle = memory_idle(a, false);
    return memroom_room(&limits, machine > UINT64_MAX - idle ? UINT64_MAX : machine + idle, &sum);
}

/* --- what checkWorker shows ------------------------------------------------------------------ */

struct use {
    const struct run *run;
    struct usage_reading reading;
};

static int by_memory(const void *a, const void *b) {
    uint64_t x = ((const struct use *)a)->reading.mem_bytes;
    uint64_t y = ((const struct use *)b)->reading.mem_bytes;
    return (x < y) - (x > y);
}

static json_t *use_list(struct use *uses, size_t count) {
    json_t *list = json_array();
    qsort(uses, count, sizeof *uses, by_memory);
    for (size_t i = 0; i < count && i < USE_MOST; i++) {
        const struct usage_reading *r = &uses[i].reading;
        json_array_append_new(list, json_pack("[s, I, I, I, I, I]", uses[i].run->id,
                                              (json_int_t)r->mem_bytes, (json_int_t)r->peak_bytes,
                                              (json_int_t)r->cpu_us, (json_int_t)r->read_bytes,
                                              (json_int_t)r->write_bytes));
    }
    return list;
}

void memory_stats(const struct agent *a, json_t *stats) {
    const struct run_list *started = &a->runs.lists[RUN_STARTED];
    struct use *uses = xcalloc(started->count + 1, sizeof *uses);
    size_t count = 0;
    uint64_t used = 0, held = 0;
    for (const struct run *run = started->first; run; run = run->next) {
        const struct usage_reading *reading =
            run->memory.measured ? usage_of(a->memory.usage, run->slot) : NULL;
        held += run->held_bytes;
        if (!reading)
            continue;
        used += reading->mem_bytes;
        uses[count++] = (struct use){run, *reading};
    }
    struct memroom_limits limits = memory_limits(a);
    struct memroom_sum sum = memory_sum(a);
    uint64_t available = memroom_available(&limits, a->memory.machine_bytes, &sum);
    json_object_set_new(stats, "mem_available", json_integer((json_int_t)available));
    json_object_set_new(stats, "mem_used", json_integer((json_int_t)used));
    json_object_set_new(stats, "mem_most_used",
                        json_integer((json_int_t)a->memory.most_used_bytes));
    json_object_set_new(stats, "mem_held", json_integer((json_int_t)held));
    if (count)
        json_object_set_new(stats, "use", use_list(uses, count));
    free(uses);
}
