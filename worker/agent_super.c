/* agent_super.c - what the supervisor tells the agent: frames of worker/wire.h, and its death. */
#include "worker/agent_state.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/aftermath.h"

enum {
    EXIT_VERSION = 100, /* the supervisor speaks another version */
    SUPER_END_MS = 1000 /* a killed supervisor has ended by then */
};

static void hex64(char out[17], uint64_t value) {
    snprintf(out, 17, "%016" PRIx64, value);
}

static void on_welcome(struct agent *a, const struct wire_welcome *w) {
    if (w->version < WIRE_VERSION_OLDEST || w->version > WIRE_VERSION) {
        log_event(LOG_ERROR, "supervisor_version", kv_uint("theirs", w->version),
                  kv_uint("ours", WIRE_VERSION));
        a->exit_code = EXIT_VERSION;
        a->ended = true; /* nothing of what follows is for us */
        uv_stop(&a->loop);
        return;
    }
    hex64(a->incarnation, w->incarnation);
    if (!statedir_lives(a->config->state_dir, w->incarnation, a->lives, &a->lives_count) &&
        w->previous)
        a->lives[a->lives_count++] = (struct statedir_life){w->previous, true};
    a->supervisor_pid = w->supervisor_pid;
    a->wire_version = w->version;
    runs_init(&a->runs, w->capacity);
    config_measure(a);
    memory_open(a);
}

static void on_task(struct agent *a, const char *payload, size_t len) {
    struct wire_task task;
    if (len < sizeof task)
        return;
    memcpy(&task, payload, sizeof task);
    if (task.note_len > len - sizeof task)
        return;
    struct run *run = run_adopt(&a->runs, &task, payload + sizeof task);
    if (run) {
        log_event(LOG_INFO, "task_taken_over", kv_text("task", run->id),
                  kv_uint("try", run->try_number), kv_bool("running", task.running));
        if (task.running)
            memory_started(a, run);
        return;
    }
    /* Nobody can report it: it ends, and reconcile gives its task back. */
    log_event(LOG_ERROR, "note_unreadable", kv_uint("slot", task.started.slot));
    runs_block(&a->runs, task.started.slot);
    struct wire_kill kill = {task.started.slot, WIRE_WHY_STALE, 0};
    superlink_send(a->super, WIRE_KILL, &kill, sizeof kill, NULL, 0);
}

static void on_exit_frame(struct agent *a, const struct wire_exit *e) {
    struct run *run = runs_in_slot(&a->runs, e->slot);
    if (runs_unblock(&a->runs, e->slot)) {
        struct wire_ack ack = {e->slot, 0};
        superlink_send(a->super, WIRE_ACK, &ack, sizeof ack, NULL, 0);
    }
    if (!run || run->state != RUN_STARTED)
        return; /* told twice, after a HELLO */
    run_end(&a->runs, run, e);
    memory_ends(a, run);
    hosts_note(a, run);
    gpu_free(a, run);
    pin_free(a, run);
    if (e->leftovers)
        log_event(LOG_INFO, "leftovers_ended", kv_text("task", run->id),
                  kv_uint("processes", e->leftovers));
    follow_ended(a, run);
    a->claim_wanted = true;
}

void super_alive(struct agent *a, uint64_t quiet_ms) {
    struct wire_alive alive = {quiet_ms};
    if (!a->super_gone)
        superlink_send(a->super, WIRE_ALIVE, &alive, sizeof alive, NULL, 0);
}

static void on_frame(void *arg, uint32_t type, const char *payload, size_t len) {
    struct agent *a = arg;
    union {
        struct wire_welcome welcome;
        struct wire_started started;
        struct wire_exit exit;
        struct wire_files files;
        struct wire_signal signal;
    } f;
    if (a->ended)
        return;
    memset(&f, 0, sizeof f); /* an older supervisor's EXIT is shorter */
    memcpy(&f, payload, len < sizeof f ? len : sizeof f);
    if (type == WIRE_WELCOME && len == sizeof f.welcome) {
        on_welcome(a, &f.welcome);
    } else if (type == WIRE_TASK) {
        on_task(a, payload, len);
    } else if (type == WIRE_READY) {
        a->super_ready = true;
        gpu_adopt(a);
        pin_adopt(a);
        hosts_dismiss(a, false); /* whose memory this agent does not know */
        agent_keep_orders(a);
    } else if (type == WIRE_STARTED && len == sizeof f.started) {
        struct run *run = runs_in_slot(&a->runs, f.started.slot);
        if (run) {
            run->pid = f.started.pid;
            memory_started(a, run);
        }
    } else if (type == WIRE_EXIT && (len == sizeof f.exit || len == WIRE_EXIT_OLD_BYTES)) {
        on_exit_frame(a, &f.exit);
    } else if (type == WIRE_FILES && len == sizeof f.files) {
        struct run *run = runs_in_slot(&a->runs, f.files.slot);
        if (run)
            run->files = f.files.files;
    } else if (type == WIRE_PING) {
        super_alive(a, 0);
    } else if (type == WIRE_SIGNAL && len == sizeof f.signal) {
        signal_handle(a, f.signal.signal, true);
    } else {
        log_event(LOG_WARN, "supervisor_frame_unknown", kv_uint("type", type),
                  kv_uint("bytes", len));
    }
}

/* A process that is being killed closes its sockets before its lock: only when it has ended can be
 * seen whether it is dead, or has dropped this agent. */
static void await_end(pid_t pid) {
    int fd = (int)syscall(SYS_pidfd_open, pid, 0);
    struct pollfd ended = {.fd = fd, .events = POLLIN};
    if (fd < 0)
        return; /* it has been waited for already */
    while (poll(&ended, 1, SUPER_END_MS) < 0 && errno == EINTR)
        ;
    close(fd);
}

static void on_super_closed(void *arg) {
    struct agent *a = arg;
    a->super_gone = true;
    await_end((pid_t)a->supervisor_pid);
    log_event(LOG_ERROR, "supervisor_gone", kv_uint("tasks", a->runs.lists[RUN_STARTED].count));
    memory_kill_all(a);
    size_t ended = aftermath_end(a->config->state_dir);
    if (ended)
        log_event(LOG_WARN, "processes_ended", kv_uint("count", ended));
    while (a->runs.lists[RUN_STARTED].first)
        run_give_up(&a->runs, a->runs.lists[RUN_STARTED].first, RUN_LOST);
    while (a->runs.lists[RUN_READY].first)
        run_give_up(&a->runs, a->runs.lists[RUN_READY].first, RUN_RELEASED);
    agent_supervisor_died(a);
}

void super_open(struct agent *a, int fd) {
    struct superlink_events events = {on_frame, on_super_closed, a};
    a->super = superlink_new(&a->loop, fd, &events);
}
