#include "worker/agent_state.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/log.h"
#include "common/need.h"
#include "worker/hostkey.h"
#include "worker/launch.h"
#include "worker/limits.h"

enum {
    READY_MS = 250,      /* a task claimed ahead that has not started by then goes back */
    EMPTY_MS = 5000,     /* empty for so long, free memory is what an empty worker has */
    MEASURED_MS = 600000 /* and so long that counts */
};

static struct room room_now(struct agent *a) {
    struct load load = {
        .mem_room_bytes = memory_room(a),
        .mcpu_promised = a->runs.started_mcpu,
        .running = (uint32_t)a->runs.lists[RUN_STARTED].count,
    };
    return admission_room(&a->capacity, &load);
}

/* What one task may have when the worker is empty, as measured when it last was. */
static struct room room_when_empty(struct agent *a, const struct room *now) {
    mono_ms_t time = mono_now();
    if (a->runs.lists[RUN_READY].count || a->runs.lists[RUN_STARTED].count) {
        a->empty_since.ms = 0;
    } else {
        if (a->empty_since.ms == 0)
            a->empty_since = time;
        /* What the last task had may come back late; before the first there was none. */
        if (a->runs.last_order == 0 || mono_diff(time, a->empty_since) >= EMPTY_MS) {
            a->empty_mem_bytes = now->mem_bytes;
            a->empty_read = time;
        }
    }
    bool measured = a->empty_read.ms && mono_diff(time, a->empty_read) < MEASURED_MS;
    return admission_empty(&a->capacity, measured ? a->empty_mem_bytes : UINT64_MAX, now);
}

/* a->forecast, for the queue to choose who is kept free for a large task. */
static void write_forecast(struct agent *a, const struct room *empty) {
    const struct run_list *lists[] = {&a->runs.lists[RUN_STARTED], &a->runs.lists[RUN_READY]};
    struct promise *promises = xcalloc(lists[0]->count + lists[1]->count + 1, sizeof *promises);
    struct forecast forecast;
    size_t count = 0, len = 0;
    mono_ms_t now = mono_now();
    for (size_t i = 0; i < 2; i++)
        for (const struct run *run = lists[i]->first; run; run = run->next) {
            uint64_t age_ms = (uint64_t)mono_diff(now, run->claimed);
            uint64_t timeout_ms =
                run->timeout_ms == UINT64_MAX ? (uint64_t)a->config->timeout_ms : run->timeout_ms;
            promises[count++] =
                (struct promise){i == 0 ? memory_frees(a, run) : run->held_bytes, run->mcpu,
                                 admission_left_ms(age_ms, a->mean_wall_us, timeout_ms)};
        }
    admission_forecast(&forecast, empty, promises, count);
    free(promises);
    for (size_t i = 0; i < forecast.count; i++)
        len += (size_t)snprintf(a->forecast + len, sizeof a->forecast - len,
                                "%s%" PRIu64 " %" PRIu64 " %" PRIu32, i ? " " : "",
                                forecast.points[i].after_ms, forecast.points[i].mem_bytes,
                                forecast.points[i].mcpu);
}

/* What min_dram=auto counts for while its family is not known. */
static uint64_t auto_mem_bytes(const struct agent *a, const struct room *most) {
    uint64_t share = need_unknown(a->capacity.mem_bytes, a->capacity.mcpu);
    return share < most->mem_bytes ? share : most->mem_bytes;
}

/* --- starting -------------------------------------------------------------------------------- */

static bool write_script(const char *path, const struct buf *script, struct buf *error) {
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    bool ok = fd >= 0;
    for (size_t at = 0; ok && at < script->len;) {
        ssize_t n = write(fd, script->data + at, script->len - at);
        ok = n > 0;
        at += ok ? (size_t)n : 0;
    }
    if (fd >= 0 && close(fd) != 0)
        ok = false;
    if (!ok)
        buf_addf(error, "cannot write its command to %s: %s", path, strerror(errno));
    return ok;
}

/* A task that this worker cannot start at all ends like a program with exit code 126. */
static void refuse(struct agent *a, struct run *run, const char *why) {
    log_event(LOG_WARN, "task_not_started", kv_text("task", run->id), kv_text("why", why));
    struct wire_exit how = {.slot = run->slot, .status = 126 << 8};
    how.start_wall_ms = how.end_wall_ms = (uint64_t)wall_now().ms;
    run->start_error = xstrdup(why);
    run_end(&a->runs, run, &how);
    memory_ends(a, run);
    gpu_free(a, run);
    pin_free(a, run);
    run->fate = RUN_REFUSED;
}

/* What limit=hard becomes here, the cgroup that the try is born in, and its CPUs. */
static void confine(struct agent *a, struct run *run, struct limits *limits,
                    struct cgroup_entry *entry) {
    struct buf error = BUF_INIT;
    limits_choose(cgroups_abilities(a->memory.cgroups), run->placement, limits);
    if (!memory_starts(a, run, &limits->cgroup, entry, &error)) {
        log_event(LOG_WARN, "limit_without_cgroup", kv_text("task", run->id),
                  kv_text("why", error.data));
        limits_choose(NULL, run->placement, limits);
        memory_starts(a, run, &limits->cgroup, entry, &error);
    }
    pin_place(a, run, limits->pin);
    buf_free(&error);
}

static void start(struct agent *a, struct run *run) {
    struct launch launch;
    struct buf error = BUF_INIT, script = BUF_INIT;
    struct limits limits;
    struct cgroup_entry entry;
    confine(a, run, &limits, &entry);
    run->host_key = run->native ? hostkey(run->environment, run->placement) : 0;
    buf_addf(&script, "%s/out/%u.sh", a->config->state_dir, run->slot);
    struct launch_extra extra = {.entry = run->memory.in_cgroup ? &entry : NULL,
                                 .data_bytes = limits.data_bytes,
                                 .oom_score_adj = run->memory.oom_score_adj,
                                 .wire_version = a->wire_version,
                                 .kernels = &a->kernels,
                                 .host_most = a->host_most,
                                 .redis_url = a->redis_url};
    if (!launch_make(&launch, run, a->config, &extra, script.data, &error) ||
        (launch.script.len && !write_script(script.data, &launch.script, &error))) {
        refuse(a, run, error.data);
    } else {
        superlink_send(a->super, WIRE_START, &launch.head, sizeof launch.head, launch.tail.data,
                       launch.tail.len);
        run->in_supervisor = true;
        if (log_on(LOG_DEBUG))
            log_event(LOG_DEBUG, "task_start", kv_text("task", run->id),
                      kv_uint("try", run->try_number), kv_uint("slot", run->slot));
    }
    buf_free(&run->record);
    launch_free(&launch);
    buf_free(&error);
    buf_free(&script);
}

/* False: it has to wait. */
static bool start_in(struct agent *a, struct run *run, struct room *room) {
    if (!admission_fits(room, run->mem_bytes, run->mcpu) || !gpu_place(a, run))
        return false;
    if (!run_start(&a->runs, run)) {
        gpu_free(a, run);
        return false;
    }
    room->mem_bytes -= run->held_bytes;
    room->mcpu -= run->mcpu;
    room->slots--;
    start(a, run);
    return true;
}

void claim_start_ready(struct agent *a) {
    struct run_list *ready = &a->runs.lists[RUN_READY];
    if (!ready->first)
        return;
    mono_ms_t now = mono_now();
    bool may_start = a->mode == MODE_RUN && mono_diff(now, a->no_start_before) >= 0;
    struct room room = room_now(a);
    for (struct run *run = ready->first, *next; run && may_start; run = next) {
        next = run->next;
        bool waits = run->native && a->runs.natives >= a->host_most;
        if (!waits && !start_in(a, run, &room))
            break;
    }
    if (!ready->first)
        return;
    int64_t age = mono_diff(now, ready->first->claimed);
    if (a->mode != MODE_RUN || age >= READY_MS) {
        while (ready->first)
            run_give_up(&a->runs, ready->first, RUN_RELEASED);
        a->mean_wall_us = (uint64_t)AHEAD_MS * 1000; /* tasks are longer than was thought */
    } else {
        agent_wake(a, (uint64_t)(READY_MS - age));
    }
}

/* --- claiming -------------------------------------------------------------------------------- */

static void on_claim(void *arg, const redisReply *reply);

/* How many tasks to have at hand beyond those that run. */
static uint32_t tasks_ahead(const struct agent *a) {
    return admission_ahead((uint32_t)a->runs.lists[RUN_STARTED].count, a->mean_wall_us);
}

static uint32_t natives_room(const struct agent *a) {
    return hosts_room(a, tasks_ahead(a));
}

static void send_claim(struct agent *a) {
    /* conf.json may have been read since it was asked first */
    a->claim.caps = natives_room(a) ? a->caps : a->full_caps;
    claim_build(&a->cmd, a->queue_key, &a->claim);
    a->claiming = redisio_send(a->redis, &a->cmd, on_claim, a);
}

/* Fills what tells one claim from all others. */
static void draw_identity(struct claim_args *claim) {
    uint64_t drawn[2];
    if (getrandom(drawn, sizeof drawn, 0) != sizeof drawn)
        abort();
    claim->request = drawn[0];
    claim->nonce = drawn[1];
}

static void take_tasks(struct agent *a, const redisReply *reply,
                       const struct claim_answer *answer) {
    for (size_t i = 0; i < answer->count; i++) {
        struct claimed task = {.id = ""};
        bool there = claim_task(reply, &a->claim, i, &task);
        if (there && task.record.len == 0)
            continue; /* asked again: the queue took this one back in between */
        struct run_share share = {task.need_bytes, task.hold_bytes};
        if (!there || !run_add(&a->runs, task.id, task.nonce, task.record, share)) {
            log_event(LOG_ERROR, "claim_unreadable", kv_uint("index", i));
            a->reconcile_wanted = true; /* gives back what could not be read */
        }
    }
}

static void on_outlook(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    struct outlook outlook;
    a->outlook_asked = false;
    if (!reply || !outlook_read(reply, &outlook))
        return;
    bool busy = a->runs.lists[RUN_READY].count || a->runs.lists[RUN_STARTED].count;
    if (!busy && outlook.in_progress == 0 && outlook.delayed == 0 && a->mode == MODE_RUN) {
        log_event(LOG_INFO, "queue_empty", kv_uint("finished", outlook.finished));
        agent_set_mode(a, MODE_STOP);
    }
}

/* --exit_when_empty: nothing came, nothing runs here; does anything run or wait elsewhere? */
static void maybe_empty(struct agent *a) {
    if (!a->config->exit_when_empty || a->outlook_asked || a->runs.lists[RUN_READY].count ||
        a->runs.lists[RUN_STARTED].count || a->runs.lists[RUN_ENDED].count || a->reporting)
        return;
    outlook_build(&a->cmd, a->queue_key);
    a->outlook_asked = redisio_send(a->redis, &a->cmd, on_outlook, a);
}

static void on_claim(void *arg, const redisReply *reply) {
    struct agent *a = arg;
    struct claim_answer answer;
    a->claiming = false;
    if (!reply || !claim_read(reply, &answer)) {
        /* After an error Redis has done nothing, or renew finds it; else it may do it yet. */
        a->claim_unknown = !redisio_up(a->redis);
        a->claim_wanted = true;
        agent_wake(a, 1000);
        return;
    }
    if (answer.status == CLAIM_GONE) {
        a->registered = false;
        return;
    }
    lease_due(a, answer.due_ms);
    if (answer.status == CLAIM_STOPPED) {
        a->renew_wanted = true; /* which tells what is wanted of us */
        return;
    }
    take_tasks(a, reply, &answer);
    if (answer.count > 0)
        a->empty_since.ms = 0;
    a->claim_rank = answer.more;
    a->claim_empty = answer.count < a->claim.slots && answer.more < 0;
    if (answer.more >= 0 || answer.count == a->claim.slots)
        a->claim_wanted = true;
    if (answer.count == 0 && answer.more < 0)
        maybe_empty(a);
}

/* Room for tasks to have at hand, beyond that for tasks that start now. */
static void add_ahead(const struct agent *a, struct room *room, uint32_t ahead) {
    uint32_t running = (uint32_t)a->runs.lists[RUN_STARTED].count;
    uint64_t mem = running ? a->runs.started_mem_bytes / running * ahead : 0;
    uint64_t mcpu = running ? a->runs.started_mcpu / running * ahead : 0;
    room->slots += ahead;
    room->mem_bytes += mem;
    room->mcpu = mcpu + room->mcpu > TASK_MCPU_MAX ? TASK_MCPU_MAX : room->mcpu + (uint32_t)mcpu;
    for (struct run *run = a->runs.lists[RUN_READY].first; run; run = run->next) {
        room->mem_bytes -= run->mem_bytes < room->mem_bytes ? run->mem_bytes : room->mem_bytes;
        room->mcpu -= run->mcpu < room->mcpu ? run->mcpu : room->mcpu;
        room->slots -= room->slots > 0;
    }
}

/* An answer was lost: the same is asked again, whatever the mode, before anything else. Reconcile
 * waits for it, since until then nobody knows what this worker holds. */
static void claim_again(struct agent *a) {
    if (!a->registered || a->reconciling || !redisio_up(a->redis))
        return;
    send_claim(a);
    a->claim_unknown = !a->claiming;
}

void claim_step(struct agent *a) {
    if (a->claim_unknown && !a->claiming)
        claim_again(a);
    if (a->claiming || a->claim_unknown || a->mode != MODE_RUN || !lease_ready(a) ||
        a->renew_wanted || a->super_gone || mono_diff(mono_now(), a->no_start_before) < 0)
        return;
    uint32_t ready = (uint32_t)a->runs.lists[RUN_READY].count;
    uint32_t ahead = tasks_ahead(a);
    uint32_t slots_most = CLAIM_MAX;
    if (!a->claim_wanted || (ready > 0 && ready > ahead / 2) || !health_may_claim(a, &slots_most))
        return;
    struct room room = room_now(a);
    struct room most = room_when_empty(a, &room);
    if (ahead > 0 || ready > 0)
        add_ahead(a, &room, ahead);
    uint32_t free_slots = a->runs.free_count > ready ? a->runs.free_count - ready : 0;
    if (room.slots > free_slots)
        room.slots = free_slots;
    /* No more than could start, were they all native; what there is of others comes next. */
    uint32_t natives = natives_room(a);
    if (*a->kernels.names && natives > 0 && room.slots > natives)
        room.slots = natives;
    a->claim_wanted = false;
    if (room.slots == 0)
        return;
    write_forecast(a, &most);
    buf_clear(&a->free_cards);
    gpu_free_text(a, &a->free_cards);
    a->claim = (struct claim_args){
        .worker = a->config->name,
        .session = a->session,
        .free_mem_bytes = room.mem_bytes,
        .free_mcpu = room.mcpu,
        .slots = room.slots < slots_most ? room.slots : slots_most,
        .auto_mem_bytes = auto_mem_bytes(a, &most),
        .caps = a->caps,
        .rank = a->claim_rank > 0 ? (uint32_t)a->claim_rank : 0,
        .most_mem_bytes = most.mem_bytes,
        .most_mcpu = most.mcpu,
        .starve_after_ms = (uint64_t)a->config->starve_after_ms,
        .forecast = a->forecast,
        .gpus = a->free_cards.data,
    };
    draw_identity(&a->claim);
    send_claim(a);
    if (!a->claiming)
        a->claim_wanted = true;
}
