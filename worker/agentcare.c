#include "worker/agentcare.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/agentlink.h"
#include "worker/orphan.h"
#include "worker/proctree.h"
#include "worker/pulse.h"
#include "worker/slog.h"
#include "worker/slot.h"
#include "worker/spawn.h"
#include "worker/stray.h"
#include "worker/ustime.h"

#define BACKOFF_MIN_US (100 * (int64_t)US_PER_MS)
#define BACKOFF_MAX_US (10 * (int64_t)US_PER_S)
#define HEALTHY_US     (30 * (int64_t)US_PER_S)
#define RESTART_US                                                                                 \
    (1 * (int64_t)US_PER_S) /* BYE_RESTART after less than this waits for the back-off */
#define LEAVE_US (2 * (int64_t)US_PER_S)
/* How long an agent may say nothing when it is asked: stopped, or running (pulse.h). */
#define PATIENCE_MIN_US (250 * (int64_t)US_PER_MS)
#define HANG_US         (5 * (int64_t)US_PER_S)
#define IDLE_US         (60 * (int64_t)US_PER_S) /* without a lease; or before its HELLO */

static enum care_state { WAITING, CHILD, ATTACHED, KEEP, RETIRED } state, before_attach;
static int64_t before_attach_due_us;
static char *const *agent_argv;
static bool leaves_when_idle;
static int watch_fd;
static uint32_t watch_id;
static int32_t child_pid;
static uint32_t attached_pid;
static int64_t began_us, backoff_us,
    due_us; /* due_us: start (WAITING) or SIGKILL (CHILD), 0: none */
static bool watching_output;
static enum agentcare_verdict verdict;
static int exit_code;

void agentcare_init(char *const *argv, bool leave_when_idle, int epoll_fd, uint32_t event_id) {
    agent_argv = argv;
    leaves_when_idle = leave_when_idle;
    watch_fd = epoll_fd;
    watch_id = event_id;
    backoff_us = BACKOFF_MIN_US;
    state = argv ? WAITING : KEEP;
    due_us = argv ? 1 : 0;
}

static bool watch(int operation, uint32_t events) {
    struct epoll_event e = {.events = events, .data.u32 = watch_id};
    watching_output = events & EPOLLOUT;
    if (epoll_ctl(watch_fd, operation, agentlink_fd(), &e) == 0)
        return true;
    slog("cannot watch the agent's socket: %s", strerror(errno));
    return false;
}

/* False: it is closed again. */
static bool open_link(int fd) {
    agentlink_open(fd);
    began_us = ustime_mono();
    if (watch(EPOLL_CTL_ADD, EPOLLIN))
        return true;
    agentlink_close();
    return false;
}

/* An agent that comes after the lease finds that its tasks were given to others. */
static int64_t backoff_max_us(void) {
    int64_t quarter_us = orphan_length_us() / 4;
    return quarter_us >= BACKOFF_MIN_US && quarter_us < BACKOFF_MAX_US ? quarter_us
                                                                       : BACKOFF_MAX_US;
}

static void wait_backoff(int64_t now_us, int64_t at_least_us) {
    int64_t max_us = backoff_max_us();
    if (backoff_us < at_least_us)
        backoff_us = at_least_us;
    if (backoff_us > max_us)
        backoff_us = max_us;
    state = WAITING;
    due_us = now_us + backoff_us;
    backoff_us = backoff_us * 2 < max_us ? backoff_us * 2 : max_us;
}

/* The agent is gone: what next? */
static void gone(void) {
    const struct wire_bye *bye = agentlink_bye();
    int64_t now_us = ustime_mono(), lived_us = now_us - began_us;
    if (state == RETIRED)
        return;
    due_us = 0;
    if (lived_us >= HEALTHY_US)
        backoff_us = BACKOFF_MIN_US;
    if (bye && bye->mode == WIRE_BYE_STOP) {
        state = KEEP; /* the verdict is AGENTCARE_STOP */
        return;
    }
    if (!agent_argv || (bye && bye->mode == WIRE_BYE_KEEP)) {
        state = KEEP;
        if (slot_used == 0 && (leaves_when_idle || (bye && bye->mode == WIRE_BYE_KEEP)))
            verdict = AGENTCARE_LEAVE; /* nothing to keep */
        return;
    }
    if (bye && bye->mode == WIRE_BYE_REFUSED) {
        if (slot_used == 0) {
            verdict = AGENTCARE_LEAVE;
            exit_code = (int)bye->code;
            return;
        }
        slog("the new agent may not run (code %u), but %u tries are held: trying again", bye->code,
             slot_used);
        wait_backoff(now_us, BACKOFF_MAX_US);
    } else if (bye && bye->mode == WIRE_BYE_RESTART && lived_us >= RESTART_US) {
        state = WAITING;
        due_us = now_us;
    } else {
        wait_backoff(now_us, BACKOFF_MIN_US);
        slog("starting an agent again in %lld ms", (long long)((due_us - now_us) / US_PER_MS));
    }
}

static void drop_link(void) {
    bool hello = agentlink_hello();
    agentlink_close();
    if (state == ATTACHED) {
        attached_pid = 0;
        if (!hello && !agentlink_bye()) { /* it only looked */
            state = before_attach;
            due_us = before_attach_due_us;
        } else {
            gone();
        }
    } else if (state == CHILD) {
        due_us = ustime_mono() + LEAVE_US;
    }
}

static void check_bye(void) {
    const struct wire_bye *bye = agentlink_bye();
    if (bye && bye->mode == WIRE_BYE_STOP && verdict == AGENTCARE_GO_ON)
        verdict = AGENTCARE_STOP;
}

static void start_child(void) {
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) != 0) {
        slog("no socket pair for the agent: %s", strerror(errno));
        wait_backoff(ustime_mono(), BACKOFF_MIN_US);
        return;
    }
    struct spawn_result r = spawn_agent(agent_argv, pair[1]);
    close(pair[1]);
    if (r.pid <= 0) {
        slog("agent %s: cannot %s: %s", agent_argv[0], wire_step_text((int32_t)r.step),
             strerror(r.error));
        close(pair[0]);
        wait_backoff(ustime_mono(), BACKOFF_MIN_US);
        return;
    }
    child_pid = r.pid;
    state = CHILD;
    due_us = 0;
    stray_set_agent(child_pid, child_pid);
    if (!open_link(pair[0]))
        due_us = began_us; /* it cannot be heard: another one, then */
}

bool agentcare_reaped(int32_t pid, int status) {
    if (pid != child_pid || pid == 0)
        return false;
    child_pid = 0;
    stray_set_agent(0, pid);
    agentlink_drain(); /* its last words may still be in the socket */
    agentlink_close();
    check_bye();
    if (!agentlink_bye()) {
        if (WIFSIGNALED(status))
            slog("agent %d was killed by signal %d", pid, WTERMSIG(status));
        else
            slog("agent %d left with exit code %d", pid, WEXITSTATUS(status));
    }
    gone();
    return true;
}

void agentcare_readable(void) {
    if (agentlink_fd() < 0)
        return;
    bool ok = agentlink_read();
    check_bye();
    if (!ok)
        drop_link();
}

void agentcare_accept(int listen_fd) {
    int fd = accept4(listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (fd < 0)
        return; /* it left, or no descriptors: the next event tries again */
    struct ucred peer;
    socklen_t len = sizeof peer;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) != 0 ||
        peer.pid <= 0 || /* of a pid namespace that we cannot see: could not be looked after */
        (peer.uid != geteuid() && peer.uid != 0)) {
        close(fd);
    } else if (agentcare_alive() || state == RETIRED) {
        agentlink_refuse(fd, child_pid ? (uint32_t)child_pid : attached_pid);
    } else {
        before_attach = state;
        before_attach_due_us = due_us;
        state = ATTACHED;
        attached_pid = (uint32_t)peer.pid;
        due_us = 0;
        if (!open_link(fd))
            drop_link();
    }
}

/* ---- An agent that says nothing. ---- */

static struct pulse_terms terms(void) {
    const struct pulse *pulse = agentlink_pulse();
    int64_t patience_us = orphan_margin_us() / 2;
    struct pulse_terms t = {.patience_us =
                                patience_us > PATIENCE_MIN_US ? patience_us : PATIENCE_MIN_US,
                            .hang_us = HANG_US};
    if (agentlink_fd() < 0 || state == RETIRED)
        t.watch_us = INT64_MAX;
    else if (agentlink_hello() && orphan_length_us())
        /* Time to be sure of one that hangs, and a margin for the next one to renew. */
        t.watch_us = orphan_lease_end_us() - HANG_US - 2 * orphan_margin_us();
    else
        t.watch_us = pulse->heard_us + IDLE_US;
    return t;
}

/* It is connected, so its pid is its own. */
static uint32_t connected_pid(void) {
    return child_pid ? (uint32_t)child_pid : attached_pid;
}

static void end_silent(const struct proc_stat *stat) {
    uint32_t pid = connected_pid();
    const char *how = stat->stopped ? "is stopped" : "does not answer";
    if (!agentlink_hello() && !child_pid) {
        drop_link(); /* it only looks, and would keep agents out */
    } else if (stat->traced) {
        slog("agent %u is stopped by a debugger: left to it", pid);
    } else if (kill((pid_t)pid, SIGKILL) == 0) {
        slog("agent %u %s: SIGKILL", pid, how);
    } else {
        slog("agent %u %s and cannot be killed: %s", pid, how, strerror(errno));
        drop_link(); /* another user's: whoever comes next is let in */
    }
}

static void watch_pulse(int64_t now_us) {
    const struct pulse_terms t = terms();
    if (now_us < pulse_due(agentlink_pulse(), &t))
        return;
    struct proc_stat stat = {0};
    if (!proctree_stat((int32_t)connected_pid(), &stat))
        stat.stopped = false;
    enum pulse_act act = pulse_step(agentlink_pulse(), &t, now_us, stat.stopped);
    if (act == PULSE_ASK)
        agentlink_ping();
    else if (act == PULSE_SILENT)
        end_silent(&stat);
}

bool agentcare_attends(void) {
    return agentlink_hello() && !agentlink_pulse()->silent;
}

void agentcare_timers(int64_t now_us) {
    watch_pulse(now_us);
    if (!due_us || now_us < due_us)
        return;
    if (state == WAITING) {
        start_child();
    } else if (state == CHILD && agentlink_fd() < 0) {
        slog("agent %d does not leave: SIGKILL", child_pid);
        kill(child_pid, SIGKILL);
        due_us = now_us + LEAVE_US;
    } else {
        due_us = 0;
    }
}

int64_t agentcare_deadline(void) {
    const struct pulse_terms t = terms();
    int64_t pulse_us = pulse_due(agentlink_pulse(), &t);
    return due_us && due_us < pulse_us ? due_us : pulse_us;
}

void agentcare_pump(void) {
    bool blocked;
    if (!agentlink_pump(&blocked)) {
        drop_link();
        return;
    }
    if (agentlink_fd() >= 0 && blocked != watching_output &&
        !watch(EPOLL_CTL_MOD, blocked ? EPOLLIN | EPOLLOUT : EPOLLIN))
        drop_link();
}

void agentcare_retire(void) {
    if (state == WAITING || state == KEEP)
        due_us = 0;
    state = RETIRED;
}

void agentcare_kill(void) {
    if (child_pid)
        kill(child_pid, SIGKILL);
}

bool agentcare_alive(void) {
    return child_pid > 0 || attached_pid > 0;
}

enum agentcare_verdict agentcare_verdict(void) {
    return verdict;
}

int agentcare_code(void) {
    return exit_code;
}
