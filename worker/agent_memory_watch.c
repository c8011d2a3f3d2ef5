#include "worker/agent_memory.h"

#include <stdlib.h>

#include "common/log.h"
#include "worker/agent_state.h"
#include "worker/evict.h"
#include "worker/ustime.h"

enum {
    SAMPLE_MS = 1000,
    CLOSE_SAMPLE_MS = 100, /* below the trigger all processes are looked for again after this */
    KILLS_MS = 1000
};

struct memory_poll {
    struct memory_poll *next;
    uv_poll_t handle;
    struct agent *agent;
    const struct pressure_source *source;
    bool broken;
};

/* --- giving back ----------------------------------------------------------------------------- */

static struct evict_task evict_task_of(const struct agent *a, const struct run *run,
                                       mono_ms_t now) {
    const struct run_memory *m = &run->memory;
    struct evict_task task = {.order = m->order,
                              .promised_bytes = run->mem_bytes,
                              .used_bytes = memory_used(a, run),
                              .state = EVICT_RUNS};
    if (m->end_why == WIRE_WHY_NONE)
        return task;
    uint64_t since = (uint64_t)mono_diff(now, m->end_asked);
    task.state = since < m->end_grace_ms ? EVICT_ASKED : EVICT_KILLED;
    task.since_ms = since < m->end_grace_ms ? since : since - m->end_grace_ms;
    return task;
}

static void give_back(struct agent *a, struct run *run, const struct evict_view *view,
                      const struct evict_task *task, uint64_t grace_ms) {
    log_event(LOG_WARN, "task_return", kv_text("task", run->id), kv_uint("try", run->try_number),
              kv_uint("used", task->used_bytes), kv_uint("promised", task->promised_bytes),
              kv_uint("available", view->available_bytes), kv_uint("trigger", view->trigger_bytes),
              kv_uint("growth", view->growth_bytes_s),
              kv_bool("culprit", evict_is_culprit(task->promised_bytes, task->used_bytes)),
              kv_uint("grace_ms", grace_ms));
    agent_kill(a, run, WIRE_WHY_MEMORY, grace_ms);
}

/* Processes that only wait for a native task go before any task does. */
static void dismiss_idle(struct agent *a, bool kill, mono_ms_t now) {
    struct agent_memory *m = &a->memory;
    size_t count = hostbook_idle(&a->hosts, hosts_left(a), NULL, 0);
    if (!count)
        return;
    m->dismissed = now;
    m->dismissed_bytes = memory_idle(a, true);
    log_event(LOG_INFO, "hosts_dismissed", kv_uint("count", count),
              kv_uint("bytes", m->dismissed_bytes));
    hosts_dismiss(a, kill);
    if (!a->super_gone)
        superlink_flush(a->super);
}

/* What is still to come back of them: that takes 0.1 s a GiB. */
static uint64_t dismissed_bytes(const struct agent *a, mono_ms_t now) {
    uint64_t bytes = a->memory.dismissed_bytes;
    int64_t ms = 50 + (int64_t)(bytes >> 20) / 10;
    return mono_diff(now, a->memory.dismissed) < ms ? bytes : 0;
}

/* Ends as many as are missing, in one go. */
static void give_back_some(struct agent *a, uint64_t available) {
    const struct run_list *started = &a->runs.lists[RUN_STARTED];
    struct evict_task *tasks = xcalloc(started->count + 1, sizeof *tasks);
    struct run **runs = xcalloc(started->count + 1, sizeof *runs);
    mono_ms_t now = mono_now();
    size_t count = 1; /* the hosts that were sent away: what they had is on its way */
    tasks[0] = (struct evict_task){.used_bytes = dismissed_bytes(a, now), .state = EVICT_KILLED};
    for (struct run *run = started->first; run; run = run->next) {
        tasks[count] = evict_task_of(a, run, now);
        runs[count++] = run;
    }
    struct evict_view view = {
        .policy = (enum evict_policy)a->config->return_policy,
        .available_bytes = available,
        .trigger_bytes = a->trigger_bytes,
        .growth_bytes_s = memrate_growth(&a->memory.rate, ustime_mono()),
        .grace_ms = (uint64_t)a->config->return_grace_ms,
    };
    for (;;) {
        struct evict_choice choice = evict_choose(&view, tasks, count);
        if (choice.index == EVICT_NONE)
            break;
        struct evict_task *task = &tasks[choice.index];
        give_back(a, runs[choice.index], &view, task, choice.grace_ms);
        task->state = choice.grace_ms ? EVICT_ASKED : EVICT_KILLED;
        task->since_ms = 0;
    }
    free(tasks);
    free(runs);
    if (!a->super_gone)
        superlink_flush(a->super);
}

/* --- looking --------------------------------------------------------------------------------- */

static void measure_all(struct agent *a) {
    const struct run_list *started = &a->runs.lists[RUN_STARTED];
    uint32_t *slots = xcalloc(started->count + 1, sizeof *slots);
    size_t count = 0;
    for (const struct run *run = started->first; run; run = run->next)
        if (run->memory.measured)
            slots[count++] = run->slot;
    usage_sample_memory(a->memory.usage, slots, count);
    free(slots);
}

static bool any_unmeasured(const struct agent *a) {
    for (const struct run *run = a->runs.lists[RUN_STARTED].last; run; run = run->prev)
        if (!run->memory.measured && run->pid > 0)
            return true;
    return false;
}

/* What all tries have left, by what is known of them. */
static uint64_t available_now(struct agent *a) {
    struct memroom_limits limits = memory_limits(a);
    struct memroom_sum sum = memory_sum(a);
    uint64_t used;
    if (limits.capacity_bytes != UINT64_MAX && cgroups_used(a->memory.cgroups, &used) &&
        used > sum.used_bytes)
        sum.used_bytes = used;
    return memroom_available(&limits, memory_machine(a, true), &sum);
}

/* The kernel does not see --memory: what is left of it is as fresh as what was measured. */
static bool said_limit_counts(const struct agent *a) {
    struct memroom_limits limits = memory_limits(a);
    struct memroom_sum sum = memory_sum(a);
    return memroom_available(&limits, UINT64_MAX, &sum) < a->memory.machine_bytes;
}

static void sample_each_second(struct agent *a, mono_ms_t now) {
    if (mono_diff(now, a->memory.sampled) >= SAMPLE_MS) {
        memory_sample(a, false);
        memory_oom_order(a);
        memory_oom_read(a);
    } else if (said_limit_counts(a)) {
        measure_all(a);
    }
}

/* Everybody's memory, for the choice; processes that are new since the last sample, too. */
static void measure_for_choice(struct agent *a, mono_ms_t now) {
    if (mono_diff(now, a->memory.sampled) >= CLOSE_SAMPLE_MS || any_unmeasured(a))
        memory_sample(a, true);
    else
        measure_all(a);
}

/* At most one a core: more do not fill memory faster. */
static unsigned young(const struct agent *a, mono_ms_t now) {
    unsigned count = 0, cores = (a->capacity.mcpu + 999) / 1000;
    for (const struct run *run = a->runs.lists[RUN_STARTED].last; run && count < cores;
         run = run->prev, count++)
        if (mono_diff(now, run->memory.started) >= MEMRATE_YOUNG_MS)
            break;
    return count;
}

static void on_timer(uv_timer_t *timer);

static uint64_t next_ms(const struct agent *a, mono_ms_t now) {
    return memrate_next_ms(&a->memory.rate, ustime_mono(), a->memory.available_bytes,
                           a->trigger_bytes, young(a, now));
}

static void look(struct agent *a) {
    struct agent_memory *m = &a->memory;
    mono_ms_t now = mono_now();
    sample_each_second(a, now);
    uint64_t available = available_now(a);
    memrate_add(&m->rate, ustime_mono(), available);
    if (available < a->capacity.reserve_bytes || available / 2 < a->trigger_bytes)
        m->short_at = now;
    if (available < a->capacity.reserve_bytes)
        dismiss_idle(a, available < a->trigger_bytes, now);
    if (available < a->trigger_bytes) {
        measure_for_choice(a, now);
        available = available_now(a);
        give_back_some(a, available);
    }
    m->available_bytes = available;
    m->looked = now;
    m->seen_order = a->runs.last_order;
    uv_update_time(&a->loop);
    uv_timer_start(&m->timer, on_timer, next_ms(a, now), 0);
}

/* --- notifications --------------------------------------------------------------------------- */

static void on_pressure(uv_poll_t *handle, int status, int events) {
    struct memory_poll *poll = handle->data;
    struct agent *a = poll->agent;
    (void)events;
    if (status < 0 || !pressure_drain(poll->source)) {
        poll->broken = true;
        uv_poll_stop(handle);
        return;
    }
    mono_ms_t now = mono_now();
    if (poll->source->kind != PRESSURE_USAGE) /* which page cache fills, too */
        a->memory.short_at = now;
    if (mono_diff(now, a->memory.looked) >= MEMRATE_NEXT_LEAST_MS)
        look(a);
    else
        uv_timer_start(&a->memory.timer, on_timer, MEMRATE_NEXT_LEAST_MS, 0);
}

static void start_polls(struct agent *a) {
    for (struct memory_poll *poll = a->memory.polls; poll; poll = poll->next)
        if (!poll->broken)
            uv_poll_start(&poll->handle,
                          poll->source->kind == PRESSURE_STALL ? UV_PRIORITIZED : UV_READABLE,
                          on_pressure);
}

static void stop_polls(struct agent *a) {
    for (struct memory_poll *poll = a->memory.polls; poll; poll = poll->next)
        uv_poll_stop(&poll->handle);
}

static void open_pressure(struct agent *a) {
    struct agent_memory *m = &a->memory;
    struct resource_limit limits[PRESSURE_MAX];
    size_t count = 0;
    while (count < PRESSURE_MAX && machine_limit(a->machine, count, &limits[count]))
        count++;
    pressure_open(&m->pressure, "", limits, count, a->trigger_bytes);
    m->pressure_trigger = a->trigger_bytes;
    for (size_t i = 0; i < m->pressure.count; i++) {
        struct memory_poll *poll = xcalloc(1, sizeof *poll);
        if (uv_poll_init(&a->loop, &poll->handle, m->pressure.sources[i].fd) != 0) {
            free(poll);
            continue;
        }
        poll->handle.data = poll;
        poll->agent = a;
        poll->source = &m->pressure.sources[i];
        poll->next = m->polls;
        m->polls = poll;
    }
}

static void free_poll(uv_handle_t *handle) {
    free(handle->data);
}

static void close_pressure(struct agent *a) {
    stop_polls(a);
    for (struct memory_poll *poll = a->memory.polls, *next; poll; poll = next) {
        next = poll->next;
        uv_close((uv_handle_t *)&poll->handle, free_poll);
    }
    a->memory.polls = NULL;
    pressure_close(&a->memory.pressure);
}

/* --- awake and asleep ------------------------------------------------------------------------ */

static void fall_asleep(struct agent *a) {
    a->memory.awake = false;
    stop_polls(a);
}

static void on_timer(uv_timer_t *timer) {
    struct agent *a = timer->data;
    if (a->runs.lists[RUN_STARTED].count)
        look(a);
    else
        fall_asleep(a);
}

static void wake_up(struct agent *a) {
    struct agent_memory *m = &a->memory;
    const struct run *first = a->runs.lists[RUN_STARTED].first;
    mono_ms_t now = mono_now();
    m->awake = true;
    m->rate = (struct memrate)MEMRATE_INIT;
    m->sampled = now;
    if (first->memory.adopted)
        m->sampled.ms = 0; /* measured at once: it may have grown while nobody looked */
    start_polls(a);
    if (mono_diff(now, m->kills_read) >= KILLS_MS)
        memory_oom_read(a);
    look(a);
}

void memory_watch_trigger(struct agent *a) {
    if (!a->memory.usage || a->memory.pressure_trigger == a->trigger_bytes)
        return;
    close_pressure(a);
    open_pressure(a);
    if (a->memory.awake)
        start_polls(a);
}

void memory_step(struct agent *a) {
    struct agent_memory *m = &a->memory;
    if (!a->runs.lists[RUN_STARTED].count)
        return;
    if (!m->awake) {
        wake_up(a);
    } else if (m->seen_order != a->runs.last_order) {
        uint64_t ms = next_ms(a, mono_now());
        m->seen_order = a->runs.last_order;
        if (!memory_short_tasks(a))
            memory_oom_order(a);
        if (uv_timer_get_due_in(&m->timer) > ms)
            uv_timer_start(&m->timer, on_timer, ms, 0);
    }
}

void memory_watch_open(struct agent *a) {
    uv_timer_init(&a->loop, &a->memory.timer);
    a->memory.timer.data = a;
    open_pressure(a);
}

void memory_watch_close(struct agent *a) {
    if (!a->memory.usage)
        return; /* it was never opened */
    close_pressure(a);
    uv_close((uv_handle_t *)&a->memory.timer, NULL);
}
