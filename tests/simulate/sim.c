#include "tests/simulate/sim.h"

#include <math.h>
#include <stdlib.h>

#include "common/buf.h"
#include "common/need.h"
#include "common/peaks.h"
#include "common/task.h"
#include "tests/simulate/running.h"
#include "tests/simulate/todo.h"
#include "worker/memrate.h"
#include "worker/memroom.h"

#define SECOND_US       INT64_C(1000000)
#define ORIGINAL_GAP_US (2 * SECOND_US)
#define MAX_TRIES       4 /* max_retry_per_task: a kernel's kill is a failed try */

struct family {
    struct peaks peaks;
    uint64_t need_bytes, hold_bytes; /* 0: unknown */
    uint64_t fresh;
};

struct sim {
    const struct sim_trace *trace;
    const struct sim_setup *setup;
    struct memroom_limits limits;
    struct todo todo;
    uint64_t *raised; /* by task: min_dram after a return, 0: none */
    uint8_t *kills;   /* by task: tries that the kernel ended */
    struct family *families;
    struct running *running;
    size_t running_cap;
    size_t count, live; /* of running; of those, not killed */
    uint64_t orders;
    int64_t now_us, look_us, admit_us, admit_gap_us;
    double level, slope; /* memory used now, and bytes a microsecond until the next point */
    struct memrate rate;
    uint64_t refused_bytes; /* nothing fitted into this room, and nothing has changed since */
    bool refused;
    double area, core_us, bin_us;
    struct sim_result result;
};

const char *sim_policy_name(enum sim_policy policy) {
    static const char *const names[] = {
#define X(symbol, name, help) name,
        SIM_POLICIES(X)
#undef X
    };
    return names[policy];
}

static double clamp(double value, double least, double most) {
    return fmin(fmax(value, least), most);
}

double sim_accept_default(double memory_bytes) {
    return clamp(memory_bytes / 20, SIM_GIB / 4, 4 * SIM_GIB);
}

struct sim_setup sim_setup_default(enum sim_policy policy) {
    double memory = 64 * SIM_GIB, accept = sim_accept_default(memory);
    return (struct sim_setup){
        policy,     memory,     accept,      accept / 2, 32, EVICT_MOST_RECENT,
        PEAKS_NEED, PEAKS_HOLD, PEAKS_FIRST, 100};
}

static struct memroom_limits limits_of(const struct sim_setup *setup) {
    return (struct memroom_limits){(uint64_t)setup->memory_bytes, (uint64_t)setup->accept_bytes,
                                   (uint64_t)setup->trigger_bytes};
}

double sim_setup_most(const struct sim_setup *setup) {
    struct memroom_limits limits = limits_of(setup);
    return (double)memroom_largest(&limits);
}

double sim_wasted_share(const struct sim_result *result) {
    double all = result->useful_s + result->wasted_s;
    return all > 0 ? result->wasted_s / all : 0;
}

double sim_bound_s(const struct sim_trace *trace, const struct sim_setup *setup) {
    double seconds = 0, area = 0, longest = 0;
    for (size_t i = 0; i < trace->count; i++) {
        double duration = (double)trace->tasks[i].duration_us / 1e6;
        seconds += duration;
        area += sim_curve_area(&trace->tasks[i].curve);
        longest = fmax(longest, duration);
    }
    return fmax(fmax(seconds / setup->cores, area / setup->memory_bytes), longest);
}

/* --- memory over time ------------------------------------------------------------------------ */

/* Until when memory goes straight on from now; sets level and slope. */
static int64_t straight_until(struct sim *sim) {
    int64_t until = NEVER;
    for (size_t i = 0; i < sim->count; i++) {
        int64_t turn = running_turn_us(&sim->running[i], sim->now_us);
        if (turn < until)
            until = turn;
    }
    double then = 0;
    sim->level = 0;
    for (size_t i = 0; i < sim->count; i++) {
        sim->level += running_level(&sim->running[i], sim->now_us);
        then += until == NEVER ? 0 : running_level(&sim->running[i], until);
    }
    bool moves = until != NEVER && until > sim->now_us;
    sim->slope = moves ? (then - sim->level) / (double)(until - sim->now_us) : 0;
    return until;
}

/* Adds a straight piece to the bins of used memory, which become twice as long when there are too
 * few. */
static void add_to_bins(struct sim *sim, double from_us, double to_us, double level) {
    double *bins = sim->result.bins;
    while (to_us > SIM_BINS * sim->bin_us) {
        for (int i = 0; i < SIM_BINS; i++)
            bins[i] = i < SIM_BINS / 2 ? bins[2 * i] + bins[2 * i + 1] : 0;
        sim->bin_us *= 2;
    }
    double slope = sim->slope;
    for (int i = (int)(from_us / sim->bin_us); i < SIM_BINS && from_us < to_us; i++) {
        double end_us = fmin(to_us, (i + 1) * sim->bin_us), us = end_us - from_us;
        bins[i] += (level + slope * us / 2) * us;
        level += slope * us;
        from_us = end_us;
    }
}

static void go_to(struct sim *sim, int64_t to_us) {
    double us = (double)(to_us - sim->now_us), next = sim->level + sim->slope * us;
    double byte_us = (sim->level + next) / 2 * us;
    sim->area += byte_us;
    sim->core_us += us * (double)sim->live;
    add_to_bins(sim, (double)sim->now_us, (double)to_us, sim->level);
    sim->level = next;
    sim->now_us = to_us;
}

static uint64_t machine_available(const struct sim *sim) {
    double left = sim->setup->memory_bytes - sim->level;
    return left > 0 ? (uint64_t)left : 0;
}

/* --- what a task counts for ------------------------------------------------------------------ */

static uint64_t unknown_need(const struct sim *sim) {
    uint64_t share = sim->limits.capacity_bytes / 100 * sim->setup->share;
    return need_unknown(share, sim->setup->cores * 1000);
}

static uint64_t need_of(const struct sim *sim, size_t number) {
    const struct sim_task *task = &sim->trace->tasks[number];
    if (sim->raised[number])
        return sim->raised[number];
    switch (sim->setup->policy) {
    case SIM_LEARNED: {
        uint64_t need = sim->families[task->family].need_bytes;
        uint64_t largest = memroom_largest(&sim->limits);
        return need == 0 ? unknown_need(sim) : need < largest ? need : largest;
    }
    case SIM_PERFECT:
        return (uint64_t)task->peak_bytes;
    default:
        return (uint64_t)task->request_bytes;
    }
}

static bool learns(const struct sim *sim) {
    return sim->setup->policy == SIM_LEARNED || sim->setup->policy == SIM_HOLD;
}

/* What is held of the promise of a task that starts: of one that was raised, all. */
static uint64_t held_of(const struct sim *sim, size_t number, uint64_t promised_bytes) {
    uint64_t hold = sim->families[sim->trace->tasks[number].family].hold_bytes;
    bool known = learns(sim) && !sim->raised[number] && hold;
    return known && hold < promised_bytes ? hold : promised_bytes;
}

static unsigned list_of(const struct sim *sim, size_t number) {
    if (sim->setup->policy == SIM_LEARNED && !sim->raised[number])
        return TODO_STEPS + sim->trace->tasks[number].family;
    return task_mem_step(need_of(sim, number));
}

static void learn(struct sim *sim, const struct running *r) {
    const struct sim_task *task = &sim->trace->tasks[r->task];
    struct family *family = &sim->families[task->family];
    peaks_add(&family->peaks, (uint64_t)task->peak_bytes, r->promised_bytes);
    family->fresh++;
    bool known = family->peaks.count >= sim->setup->first;
    if (known && (!family->need_bytes || peaks_need_due(family->peaks.count, family->fresh))) {
        family->need_bytes = peaks_quantile(&family->peaks, sim->setup->need);
        family->hold_bytes = peaks_quantile(&family->peaks, sim->setup->hold);
        family->fresh = 0;
    }
}

/* --- starting and ending --------------------------------------------------------------------- */

static void start(struct sim *sim, unsigned list, uint64_t promised_bytes) {
    size_t task = todo_head(&sim->todo, list);
    todo_pop(&sim->todo, list);
    if (sim->count == sim->running_cap) { /* tasks that are being freed come on top of all others */
        sim->running_cap = 2 * sim->running_cap + 64;
        sim->running = xrealloc(sim->running, sim->running_cap * sizeof *sim->running);
    }
    sim->running[sim->count++] = (struct running){.task = task,
                                                  .curve = &sim->trace->tasks[task].curve,
                                                  .start_us = sim->now_us,
                                                  .promised_bytes = promised_bytes,
                                                  .held_bytes = held_of(sim, task, promised_bytes),
                                                  .order = ++sim->orders,
                                                  .killed_us = NEVER};
    sim->live++;
    sim->result.starts++;
}

static double ran_s(const struct sim *sim, const struct running *r) {
    return (double)(sim->now_us - r->start_us) / 1e6;
}

static void end_try(struct sim *sim, struct running *r) {
    r->killed_bytes = running_level(r, sim->now_us);
    r->killed_us = sim->now_us;
    sim->live--;
    sim->result.wasted_s += ran_s(sim, r);
    sim->refused = false;
}

static void give_back(struct sim *sim, struct running *r) {
    end_try(sim, r);
    sim->result.returns++;
    uint64_t peak = (uint64_t)r->killed_bytes;
    if (sim->setup->policy != SIM_ORIGINAL) {
        struct need need =
            need_after_return(r->promised_bytes, peak, memroom_largest(&sim->limits));
        sim->result.culprits += need.verdict != NEED_KEEP;
        if (need.verdict == NEED_IMPOSSIBLE) {
            sim->result.failed++;
            return;
        }
        if (need.verdict == NEED_RAISED)
            sim->raised[r->task] = need.mem_bytes;
    }
    todo_push(&sim->todo, list_of(sim, r->task), r->task, true);
}

/* One at a time: the next only once the memory of the last is free. */
static void kernel_kill(struct sim *sim) {
    struct running *largest = NULL;
    for (size_t i = 0; i < sim->count; i++) {
        struct running *r = &sim->running[i];
        if (r->killed_us != NEVER)
            continue;
        if (!largest || running_level(r, sim->now_us) > running_level(largest, sim->now_us))
            largest = r;
    }
    if (!largest)
        return;
    sim->result.kernel_kills++;
    end_try(sim, largest);
    if (++sim->kills[largest->task] == MAX_TRIES)
        sim->result.failed++;
    else
        todo_push(&sim->todo, list_of(sim, largest->task), largest->task, true);
}

static bool somebody_frees(const struct sim *sim) {
    return sim->live < sim->count;
}

static void reap(struct sim *sim) {
    for (size_t i = 0; i < sim->count;) {
        struct running *r = &sim->running[i];
        if (running_end_us(r) > sim->now_us) {
            i++;
            continue;
        }
        if (r->killed_us == NEVER) {
            sim->live--;
            sim->result.useful_s += ran_s(sim, r);
            if (learns(sim))
                learn(sim, r);
        }
        sim->refused = false;
        sim->running[i] = sim->running[--sim->count];
    }
}

/* --- the watch ------------------------------------------------------------------------------- */

static unsigned young(const struct sim *sim) {
    unsigned count = 0;
    for (size_t i = 0; i < sim->count; i++)
        count += sim->running[i].killed_us == NEVER &&
                 sim->now_us - sim->running[i].start_us < MEMRATE_YOUNG_MS * 1000;
    return count;
}

static int64_t next_look_us(const struct sim *sim) {
    return sim->now_us + 1000 * (int64_t)memrate_next_ms(&sim->rate, sim->now_us,
                                                         machine_available(sim),
                                                         sim->limits.trigger_bytes, young(sim));
}

/* Tasks that have just begun bring the next look forward. */
static void look_sooner(struct sim *sim) {
    int64_t next_us = next_look_us(sim);
    bool watches = sim->setup->policy != SIM_ORIGINAL && sim->setup->policy != SIM_FIXED;
    if (watches && next_us < sim->look_us)
        sim->look_us = next_us;
}

/* --- admission ------------------------------------------------------------------------------- */

/* As the worker knows it: whole seconds after its start. */
static uint64_t measured(const struct sim *sim, const struct running *r) {
    if (r->killed_us != NEVER)
        return (uint64_t)running_level(r, sim->now_us);
    int64_t age_us = sim->now_us - r->start_us;
    return (uint64_t)sim_curve_at(r->curve, age_us - age_us % SECOND_US);
}

static uint64_t room_now(const struct sim *sim) {
    if (sim->setup->policy == SIM_ORIGINAL) {
        uint64_t available = machine_available(sim);
        return available >= sim->limits.accept_bytes ? available : 0;
    }
    uint64_t promised = 0;
    struct memroom_sum sum = {0};
    for (size_t i = 0; i < sim->count; i++) {
        const struct running *r = &sim->running[i];
        struct memroom_task promise = {r->held_bytes, measured(sim, r), r->killed_us != NEVER};
        memroom_add(&sum, &promise);
        promised += r->promised_bytes;
    }
    if (sim->setup->policy == SIM_FIXED)
        return sim->limits.capacity_bytes - promised;
    return memroom_room(&sim->limits, machine_available(sim), &sum);
}

/* Gives what fits, list by list, as a claim does: of each up to the first that does not fit. */
static void admit(struct sim *sim) {
    unsigned slots = sim->setup->cores - (unsigned)sim->live;
    if (sim->setup->policy == SIM_ORIGINAL && slots > 1)
        slots = 1;
    uint64_t room = slots && sim->todo.count ? room_now(sim) : 0;
    if (room == 0 || (sim->refused && room <= sim->refused_bytes))
        return;
    struct todo_cursor cursor = {0};
    while (slots > 0 && todo_next(&sim->todo, &cursor)) {
        while (slots > 0 && sim->todo.lists[cursor.list].count > 0) {
            uint64_t need = need_of(sim, todo_head(&sim->todo, cursor.list));
            if (need > room)
                break;
            start(sim, cursor.list, need);
            room -= need;
            slots--;
        }
    }
    sim->refused = slots > 0;
    sim->refused_bytes = room;
    look_sooner(sim);
}

static void watch_original(struct sim *sim) {
    sim->look_us = sim->now_us + ORIGINAL_GAP_US;
    if (machine_available(sim) >= sim->limits.trigger_bytes)
        return;
    struct running *last = NULL;
    for (size_t i = 0; i < sim->count; i++)
        if (sim->running[i].killed_us == NEVER && (!last || sim->running[i].order > last->order))
            last = &sim->running[i];
    if (last)
        give_back(sim, last);
}

static void watch(struct sim *sim) {
    uint64_t available = machine_available(sim);
    memrate_add(&sim->rate, sim->now_us, available);
    struct evict_task *tasks = xcalloc(sim->count + 1, sizeof *tasks);
    struct evict_choice choice = {EVICT_NONE, 0};
    do {
        for (size_t i = 0; i < sim->count && available < sim->limits.trigger_bytes; i++) {
            const struct running *r = &sim->running[i];
            bool killed = r->killed_us != NEVER;
            tasks[i] = (struct evict_task){
                r->order, r->promised_bytes, (uint64_t)running_level(r, sim->now_us),
                killed ? EVICT_KILLED : EVICT_RUNS,
                killed ? (uint64_t)(sim->now_us - r->killed_us) / 1000 : 0};
        }
        struct evict_view view = {sim->setup->evict, available, sim->limits.trigger_bytes,
                                  memrate_growth(&sim->rate, sim->now_us), 0};
        choice = evict_choose(&view, tasks, sim->count);
        if (choice.index != EVICT_NONE)
            give_back(sim, &sim->running[choice.index]);
    } while (choice.index != EVICT_NONE);
    free(tasks);
    sim->look_us = next_look_us(sim);
}

/* --- the clock ------------------------------------------------------------------------------- */

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* Up to the next turn of anybody's memory: looks and chances to admit on the way. */
static void run_until(struct sim *sim, int64_t until_us) {
    while (sim->now_us < until_us) {
        int64_t next = least(until_us, least(sim->look_us, sim->admit_us));
        double then = sim->level + sim->slope * (double)(next - sim->now_us);
        if (then > sim->setup->memory_bytes && !somebody_frees(sim)) {
            double left = fmax(sim->setup->memory_bytes - sim->level, 0);
            int64_t full_us = sim->slope > 0 ? sim->now_us + (int64_t)(left / sim->slope) : next;
            go_to(sim, least(next, full_us));
            kernel_kill(sim);
            return;
        }
        go_to(sim, next);
        unsigned starts = sim->result.starts, returns = sim->result.returns;
        if (sim->now_us == sim->look_us)
            sim->setup->policy == SIM_ORIGINAL ? watch_original(sim) : watch(sim);
        if (sim->now_us == sim->admit_us) {
            admit(sim);
            sim->admit_us += sim->admit_gap_us;
        }
        if (sim->result.starts != starts || sim->result.returns != returns)
            return;
    }
}

static void begin(struct sim *sim) {
    todo_init(&sim->todo, sim->trace->families);
    for (size_t i = 0; i < sim->trace->count; i++)
        todo_push(&sim->todo, list_of(sim, i), i, false);
    if (sim->setup->policy == SIM_FIXED) /* room changes only when a task ends */
        sim->look_us = sim->admit_us = NEVER;
    else
        sim->admit_gap_us = sim->admit_us =
            sim->setup->policy == SIM_ORIGINAL ? ORIGINAL_GAP_US : SECOND_US;
    admit(sim);
}

struct sim_result sim_run(const struct sim_trace *trace, const struct sim_setup *setup) {
    struct sim sim = {.trace = trace,
                      .setup = setup,
                      .limits = limits_of(setup),
                      .rate = MEMRATE_INIT,
                      .bin_us = 1e6};
    sim.raised = xcalloc(trace->count, sizeof *sim.raised);
    sim.kills = xcalloc(trace->count, sizeof *sim.kills);
    sim.families = xcalloc(trace->families, sizeof *sim.families);
    begin(&sim);
    while (sim.count > 0 || sim.todo.count > 0) {
        int64_t until = straight_until(&sim);
        run_until(&sim, until);
        reap(&sim);
        straight_until(&sim);
        if (setup->policy != SIM_ORIGINAL)
            admit(&sim);
    }
    struct sim_result *r = &sim.result;
    double us = (double)sim.now_us;
    r->makespan_s = us / 1e6;
    r->used_share = us > 0 ? sim.area / us / setup->memory_bytes : 0;
    r->running_mean = us > 0 ? sim.core_us / us : 0;
    r->bin_count = (int)ceil(us / sim.bin_us);
    for (int i = 0; i < r->bin_count; i++)
        r->bins[i] /= sim.bin_us * setup->memory_bytes;
    todo_free(&sim.todo);
    free(sim.raised);
    free(sim.kills);
    free(sim.families);
    free(sim.running);
    return *r;
}
