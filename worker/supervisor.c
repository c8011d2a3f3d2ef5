#include "worker/supervisor.h"

#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/aftermath.h"
#include "worker/agentcare.h"
#include "worker/agentlink.h"
#include "worker/capture.h"
#include "worker/ending.h"
#include "worker/host.h"
#include "worker/orphan.h"
#include "worker/slog.h"
#include "worker/slot.h"
#include "worker/spawn.h"
#include "worker/statedir.h"
#include "worker/stray.h"
#include "worker/ustime.h"

#define STOP_GRACE_MS  3000u
#define STOP_WAIT_US   (30 * (int64_t)US_PER_S) /* for processes that SIGKILL does not end */
#define AGENT_LEAVE_US (3 * (int64_t)US_PER_S)
/* A suspended machine wakes up when the lease is over, but epoll's time has stood still. */
#define BOOT_LOOK_US (1 * (int64_t)US_PER_S)
#define DEAF_US      (5 * (int64_t)US_PER_S) /* an agent without HELLO does not get SIGTERM in time */

enum event { EVENT_SIGNAL, EVENT_LISTEN, EVENT_AGENT, EVENT_HOST /* and the slot's number */ };
#define EVENTS_A_TURN 64

static const struct supervisor_options *options;
static struct statedir dir;
static int epoll_fd = -1, signal_fd = -1, listen_fd = -1;
static int64_t stopping_us; /* 0: not stopping */
static int64_t deaf_us; /* when a SIGTERM that waits for HELLO is taken as ours; 0: none waits */

/* ---- Boot. ---- */

static bool block_signals(void) {
    /* All but those that report a fault of our own, or that a person at the terminal means for us.
     */
    static const int open[] = {SIGSEGV, SIGBUS, SIGFPE,  SIGILL,  SIGABRT,
                               SIGTRAP, SIGSYS, SIGQUIT, SIGTSTP, SIGPROF};
    static const int read[] = {SIGCHLD, SIGTERM, SIGINT, SIGHUP, SIGUSR1};
    sigset_t set;
    sigfillset(&set);
    for (size_t i = 0; i < sizeof open / sizeof *open; i++)
        sigdelset(&set, open[i]);
    if (sigprocmask(SIG_SETMASK, &set, NULL) != 0)
        return false;
    sigemptyset(&set);
    for (size_t i = 0; i < sizeof read / sizeof *read; i++)
        sigaddset(&set, read[i]);
    signal_fd = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    return signal_fd >= 0;
}

static bool watch(int fd, enum event id) {
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = id};
    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* Returns 0, or the exit code. */
static int boot(void) {
    char error[512];
    if (options->capacity < 1 || options->capacity > SLOT_MAX) {
        slog("capacity must be 1 to %d, not %u", SLOT_MAX, options->capacity);
        return 1;
    }
    int rc = statedir_open(&dir, options->state_dir, error, sizeof error);
    if (rc != STATEDIR_OK) {
        slog("%s", error);
        return rc == STATEDIR_HELD ? SUPERVISOR_HELD : 1;
    }
    size_t ended = dir.same_boot ? aftermath_sweep(&dir, dir.previous) : 0;
    if (ended)
        slog("ended %zu processes that an earlier worker on %s left behind", ended, dir.path);
    listen_fd = -1;
    if (statedir_commit(&dir, error, sizeof error) != STATEDIR_OK ||
        (listen_fd = statedir_listen(&dir, error, sizeof error)) < 0) {
        slog("%s", error);
        return 1;
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (!spawn_init(&dir) || !block_signals() || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0 ||
        epoll_fd < 0 || !watch(signal_fd, EVENT_SIGNAL) || !watch(listen_fd, EVENT_LISTEN)) {
        slog("cannot start: %s", strerror(errno));
        return 1;
    }
    return 0;
}

static void init(void) {
    uint64_t output_max = options->output_max ? options->output_max : SUPERVISOR_OUTPUT_MAX;
    struct agentlink_identity identity = {dir.incarnation, dir.previous, output_max};
    slot_capacity = options->capacity;
    capture_init(dir.out_fd, output_max);
    stray_init(dir.incarnation);
    host_init(epoll_fd, EVENT_HOST, dir.incarnation,
              options->host_idle_ms ? (int64_t)options->host_idle_ms * US_PER_MS : HOST_IDLE_US);
    ending_done = agentlink_exit;
    orphan_init(options->orphan_policy == SUPERVISOR_ORPHANS_KEEP, options->orphan_margin_ms);
    agentlink_init(&identity);
    agentcare_init(options->agent_argv, options->leave_when_idle, epoll_fd, EVENT_AGENT);
}

/* ---- Events. ---- */

static void reap(void) {
    int status;
    pid_t pid;
    struct rusage usage;
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0 || (pid < 0 && errno == EINTR))
        if (pid > 0 && !agentcare_reaped(pid, status))
            ending_reaped(pid, status, &usage);
    ending_settle();
}

static void stop(uint32_t why) {
    if (stopping_us)
        return;
    stopping_us = ustime_mono();
    agentcare_retire();
    ending_request_all(why, STOP_GRACE_MS);
    host_dismiss_all(false);
}

static void told_to_stop(const char *whose) {
    slog("%s: ending %u tasks and leaving", whose, slot_running);
    agentlink_forget_signals();
    deaf_us = 0;
    stop(WIRE_WHY_RETURN);
}

static void on_signal(int number) {
    bool term = number == SIGTERM || number == SIGINT;
    if (term && stopping_us)
        ending_request_all(WIRE_WHY_RETURN, 0);
    else if (term && !agentcare_alive())
        told_to_stop("a signal, and no agent");
    else
        agentlink_signal(number);
    if (term && !stopping_us && !agentlink_hello() && !deaf_us)
        deaf_us = ustime_mono() + DEAF_US;
}

static void read_signals(void) {
    struct signalfd_siginfo info[8];
    bool child = false;
    ssize_t n = read(signal_fd, info, sizeof info);
    for (ssize_t i = 0; i < n / (ssize_t)sizeof *info; i++) {
        if (info[i].ssi_signo == SIGCHLD)
            child = true;
        else
            on_signal((int)info[i].ssi_signo);
    }
    if (child)
        reap();
}

/* ---- Time. ---- */

static int64_t orphans_end_us(void) {
    return orphan_deadline(agentcare_attends(), slot_running > 0);
}

static void run_timers(int64_t now_us) {
    host_timers(now_us);
    ending_timers(now_us);
    capture_timer(now_us);
    agentcare_timers(now_us);
    if (now_us >= orphans_end_us()) {
        orphan_acted();
        slog("no agent and the lease is nearly over: ending %u tasks", slot_running);
        ending_request_all(WIRE_WHY_ORPHAN, (uint32_t)(orphan_margin_us() / 2 / US_PER_MS) + 1);
    }
    if (deaf_us && agentlink_hello())
        deaf_us = 0;
    if (deaf_us && now_us >= deaf_us)
        told_to_stop("a signal, and an agent that says nothing");
}

static int sleep_ms(void) {
    if (agentlink_busy())
        return 0;
    int64_t now_us = ustime_mono(), orphans_us = orphans_end_us();
    const int64_t deadlines[] = {ending_deadline(),
                                 host_deadline(),
                                 capture_deadline(),
                                 agentcare_deadline(),
                                 orphans_us == INT64_MAX ? orphans_us : now_us + BOOT_LOOK_US,
                                 orphans_us,
                                 agentlink_deadline(),
                                 deaf_us ? deaf_us : INT64_MAX,
                                 stopping_us ? now_us + 50 * US_PER_MS : INT64_MAX};
    int64_t first = INT64_MAX;
    for (size_t i = 0; i < sizeof deadlines / sizeof *deadlines; i++)
        if (deadlines[i] < first)
            first = deadlines[i];
    if (first == INT64_MAX)
        return -1;
    int64_t ms = (first - now_us + US_PER_MS - 1) / US_PER_MS; /* up: never early */
    return ms < 0 ? 0 : ms > INT_MAX ? INT_MAX : (int)ms;
}

/* While stopping: true when nothing is left, or nothing more can be done. */
static bool stopped(int64_t now_us) {
    if (now_us - stopping_us > STOP_WAIT_US) {
        slog("%u tasks do not die of SIGKILL: leaving them", slot_running);
        return true;
    }
    if (slot_running || host_left())
        return false;
    if (agentcare_alive() && agentlink_fd() >= 0 && now_us - stopping_us < AGENT_LEAVE_US)
        return false;
    agentcare_kill();
    stray_kill_unowned();
    return true;
}

/* ---- The loop. ---- */

static void turn(void) {
    static struct epoll_event events[EVENTS_A_TURN];
    int n = epoll_wait(epoll_fd, events, EVENTS_A_TURN, sleep_ms());
    bool agent = agentlink_busy();
    for (int i = 0; i < n; i++) {
        if (events[i].data.u32 >= EVENT_HOST)
            host_readable(events[i].data.u32 - EVENT_HOST);
        else if (events[i].data.u32 == EVENT_SIGNAL)
            read_signals();
        else if (events[i].data.u32 == EVENT_LISTEN)
            agentcare_accept(listen_fd);
        else
            agent = true;
    }
    ending_settle();
    if (agent)
        agentcare_readable();
    run_timers(ustime_mono());
    ending_sweep();
    agentcare_pump();
}

int supervisor_run(const struct supervisor_options *given) {
    options = given;
    int code = boot();
    if (code) {
        statedir_close(&dir);
        return code;
    }
    init();
    for (;;) {
        turn();
        if (agentcare_verdict() == AGENTCARE_LEAVE)
            return agentcare_code();
        if (agentcare_verdict() == AGENTCARE_STOP)
            stop(WIRE_WHY_RETURN);
        if (stopping_us && stopped(ustime_mono()))
            return 0;
    }
}
