#include "worker/host.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/capture.h"
#include "worker/ending.h"
#include "worker/hostwire.h"
#include "worker/slog.h"
#include "worker/slot.h"
#include "worker/stray.h"
#include "worker/ustime.h"

#define LEAVE_US (2 * (int64_t)US_PER_S)    /* from end of file to SIGKILL */
#define EXIT_US  (100 * (int64_t)US_PER_MS) /* one that closed its socket has exited by then */
#define AGAIN_US (1 * (int64_t)US_PER_S)    /* SIGKILL again */

enum host_state {
    HOST_NONE,
    HOST_IDLE,
    HOST_BUSY,
    HOST_CUT /* BUSY, without a socket: the try ends when the process does */
};

struct host {
    uint8_t state; /* enum host_state */
    bool answered; /* CUT: `done` has come */
    int32_t pid;
    int fd; /* IDLE, BUSY */
    uint32_t serial;
    uint64_t key;
    uint64_t user_us, system_us; /* of the tries before this one */
    int64_t due_us;              /* IDLE: goes; CUT: SIGKILL */
    struct host_done done;
};

/* One that was sent away and has not been reaped. */
struct leaver {
    int32_t pid;
    int64_t due_us; /* SIGKILL */
};

static struct host hosts[SLOT_MAX];
static struct leaver leavers[SLOT_MAX];
static uint32_t leaver_count, idle_count, last_serial;
static int64_t next_due_us = INT64_MAX; /* nothing is due before; may be early */
static int watch_fd = -1;
static uint32_t first_id;
static int64_t idle_us = HOST_IDLE_US;
static char cookie_prefix[SLOT_COOKIE_MAX / 2];

void host_init(int epoll_fd, uint32_t first_event, uint64_t incarnation, int64_t idle) {
    watch_fd = epoll_fd;
    first_id = first_event;
    idle_us = idle;
    snprintf(cookie_prefix, sizeof cookie_prefix, "DISTCOMP_COOKIE=%016" PRIx64 ".host.",
             incarnation);
}

static void due_at(int64_t *due_us, int64_t at_us) {
    *due_us = at_us;
    if (at_us < next_due_us)
        next_due_us = at_us;
}

bool host_is_idle(uint32_t number) {
    return hosts[number].state == HOST_IDLE;
}

uint32_t host_left(void) {
    return idle_count + leaver_count;
}

int host_of_cookie(const char *cookie) {
    size_t prefix = strlen(cookie_prefix);
    char *end = NULL;
    if (!prefix || strncmp(cookie, cookie_prefix, prefix) != 0)
        return -1;
    unsigned long number = strtoul(cookie + prefix, &end, 10);
    if (*end != '.' || number >= SLOT_MAX || slot_table[number].state != SLOT_RUNNING)
        return -1;
    const struct host *h = &hosts[number];
    return h->state != HOST_NONE && strtoul(end + 1, NULL, 10) == h->serial ? (int)number : -1;
}

/* ---- Going. ---- */

/* A child that nobody has waited for: the pid is its own. */
static void end_now(int32_t pid) {
    kill(pid, SIGKILL);
}

static void send_away(uint32_t number, bool at_once) {
    struct host *h = &hosts[number];
    close(h->fd);
    h->state = HOST_NONE;
    idle_count--;
    at_once = at_once || leaver_count == SLOT_MAX;
    if (at_once)
        end_now(h->pid);
    if (leaver_count < SLOT_MAX) {
        struct leaver *l = &leavers[leaver_count++];
        l->pid = h->pid;
        due_at(&l->due_us, ustime_mono() + (at_once ? AGAIN_US : LEAVE_US));
    }
}

void host_dismiss(uint32_t number) {
    if (hosts[number].state == HOST_IDLE)
        send_away(number, false);
}

void host_clear(uint32_t number) {
    if (hosts[number].state != HOST_IDLE)
        return;
    send_away(number, false);
    capture_renew(number); /* it may write until it is gone */
}

void host_dismiss_all(bool kill) {
    for (uint32_t i = 0; i < slot_high && idle_count > 0; i++)
        if (hosts[i].state == HOST_IDLE)
            send_away(i, kill);
}

/* A busy host will not be heard again. */
static void cut(uint32_t number, int64_t patience_us) {
    struct host *h = &hosts[number];
    close(h->fd);
    h->fd = -1;
    h->state = HOST_CUT;
    due_at(&h->due_us, ustime_mono() + patience_us);
}

/* ---- What is said. ---- */

static size_t request_bytes(const struct wire_start_view *view) {
    const struct wire_start *h = &view->head;
    return sizeof(struct host_request) + h->cwd_len + (h->cwd_len > 0) + h->strings_len;
}

/* files: standard output and error, NULL: those that it has. */
static bool send_request(int fd, const struct wire_start_view *view, const int *files) {
    const struct wire_start *h = &view->head;
    struct host_request request = {.version = HOST_VERSION,
                                   .flags = files ? HOST_NEW_FILES : 0,
                                   .cwd_len = h->cwd_len,
                                   .argc = h->argc,
                                   .envc = h->envc};
    char nul = 0;
    struct iovec parts[] = {{&request, sizeof request},
                            {(void *)(uintptr_t)view->cwd, h->cwd_len},
                            {&nul, h->cwd_len > 0},
                            {(void *)(uintptr_t)view->strings, h->strings_len}};
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {.bytes = {0}};
    struct msghdr message = {.msg_iov = parts, .msg_iovlen = sizeof parts / sizeof *parts};
    if (files) {
        control.head.cmsg_level = SOL_SOCKET;
        control.head.cmsg_type = SCM_RIGHTS;
        control.head.cmsg_len = CMSG_LEN(2 * sizeof(int));
        memcpy(CMSG_DATA(&control.head), files, 2 * sizeof(int));
        message.msg_control = &control;
        message.msg_controllen = sizeof control.bytes;
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

enum heard { HEARD_NOTHING, HEARD_DONE, HEARD_END, HEARD_NONSENSE };

static enum heard hear(int fd, struct host_done *done) {
    struct {
        struct host_done done;
        char more; /* a longer one is no answer */
    } in;
    ssize_t n = recv(fd, &in, sizeof in, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? HEARD_NOTHING : HEARD_END;
    *done = in.done;
    if (n == sizeof *done && done->version == HOST_VERSION && done->code >= 0 && done->code <= 255)
        return HEARD_DONE;
    return n == 0 ? HEARD_END : HEARD_NONSENSE;
}

/* ---- A try begins. ---- */

/* False: the host has died, or its files cannot be made. */
static bool wake(uint32_t number, const struct wire_start_view *view) {
    struct host *h = &hosts[number];
    int files[2] = {-1, -1};
    bool same = capture_reuse(number);
    for (int stream = 0; stream < 2 && !same; stream++)
        files[stream] = capture_open(number, stream);
    bool sent = (same || (files[0] >= 0 && files[1] >= 0)) &&
                send_request(h->fd, view, same ? NULL : files);
    for (int stream = 0; stream < 2; stream++)
        if (files[stream] >= 0)
            close(files[stream]);
    if (!sent)
        return false;
    stray_host_busy(h->pid);
    h->state = HOST_BUSY;
    idle_count--;
    return true;
}

static bool watch(int fd, uint32_t number) {
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = first_id + number};
    return epoll_ctl(watch_fd, EPOLL_CTL_ADD, fd, &e) == 0;
}

/* The request waits in the socket before the process is there: what can fail fails first. */
static struct spawn_result start_new(uint32_t number, const struct wire_start_view *view) {
    struct host *h = &hosts[number];
    char cookie[SLOT_COOKIE_MAX];
    const int room = 2 * HOST_MESSAGE_MAX;
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return (struct spawn_result){.error = errno, .step = WIRE_STEP_SOCKET};
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room); /* a small default is enough
                                                                       for most */
    struct spawn_result r = {.step = WIRE_STEP_SOCKET};
    snprintf(cookie, sizeof cookie, "%s%u.%u", cookie_prefix, number, ++last_serial);
    if (watch(pair[0], number) && send_request(pair[0], view, NULL))
        r = spawn_host(number, view, pair[1], cookie);
    else
        r.error = errno;
    close(pair[1]);
    if (r.pid <= 0)
        close(pair[0]);
    else
        *h = (struct host){.state = HOST_BUSY,
                           .pid = r.pid,
                           .fd = pair[0],
                           .serial = last_serial,
                           .key = view->host.key};
    return r;
}

struct spawn_result host_start(uint32_t number, const struct wire_start_view *view) {
    const struct host *h = &hosts[number];
    if (request_bytes(view) > HOST_MESSAGE_MAX)
        return (struct spawn_result){.error = E2BIG, .step = WIRE_STEP_ARGUMENTS};
    if (h->state == HOST_IDLE && h->key && h->key == view->host.key && wake(number, view))
        return (struct spawn_result){.pid = h->pid};
    host_clear(number);
    return start_new(number, view);
}

/* ---- It ends. ---- */

static void answered(uint32_t number, const struct host_done *done) {
    struct host *h = &hosts[number];
    if (!h->key || slot_table[number].phase != SLOT_CALM) {
        h->done = *done;
        h->answered = true;
        cut(number, LEAVE_US);
        return;
    }
    h->state = HOST_IDLE;
    h->user_us += done->user_us;
    h->system_us += done->system_us;
    due_at(&h->due_us, ustime_mono() + idle_us);
    idle_count++;
    ending_answered(number, done);
    stray_host_idle(h->pid);
}

void host_readable(uint32_t number) {
    struct host *h = &hosts[number];
    struct host_done done;
    if (h->state != HOST_IDLE && h->state != HOST_BUSY)
        return; /* an event of a socket that was closed in this round */
    enum heard heard = hear(h->fd, &done);
    if (heard == HEARD_NOTHING)
        return;
    if (h->state == HOST_IDLE) {
        send_away(number, heard != HEARD_END);
    } else if (heard == HEARD_DONE) {
        answered(number, &done);
    } else if (heard == HEARD_END) {
        cut(number, EXIT_US);
    } else {
        slog("slot %u: host %d sent what is no answer: SIGKILL", number, h->pid);
        capture_remark(number, "distcomp: the kernel's process said what is no answer to the "
                               "worker, and was killed\n");
        cut(number, AGAIN_US);
        end_now(h->pid);
    }
}

static uint64_t less(const struct timeval *whole, uint64_t before_us) {
    uint64_t us = (uint64_t)whole->tv_sec * US_PER_S + (uint64_t)whole->tv_usec;
    return us > before_us ? us - before_us : 0;
}

bool host_ended(uint32_t number, int status, const struct rusage *usage, struct wire_exit *exit) {
    struct host *h = &hosts[number];
    if (h->state != HOST_BUSY && h->state != HOST_CUT)
        return false;
    if (h->state == HOST_BUSY) {
        h->answered = hear(h->fd, &h->done) == HEARD_DONE;
        close(h->fd);
    }
    h->state = HOST_NONE;
    exit->status = h->answered ? h->done.code << 8 : status;
    exit->user_us = h->answered ? h->done.user_us : less(&usage->ru_utime, h->user_us);
    exit->system_us = h->answered ? h->done.system_us : less(&usage->ru_stime, h->system_us);
    exit->maxrss_kib = h->answered ? h->done.maxrss_kib : (uint64_t)usage->ru_maxrss;
    return true;
}

void host_reaped(int32_t pid, int status) {
    for (uint32_t i = 0; i < leaver_count; i++)
        if (leavers[i].pid == pid) {
            leavers[i] = leavers[--leaver_count];
            return;
        }
    for (uint32_t i = 0; i < slot_high && idle_count > 0; i++) {
        struct host *h = &hosts[i];
        if (h->state != HOST_IDLE || h->pid != pid)
            continue;
        if (WIFSIGNALED(status))
            slog("slot %u: idle host %d was killed by signal %d", i, pid, WTERMSIG(status));
        close(h->fd);
        h->state = HOST_NONE;
        idle_count--;
        return;
    }
}

/* ---- Time. ---- */

int64_t host_deadline(void) {
    return next_due_us;
}

void host_timers(int64_t now_us) {
    if (now_us < next_due_us)
        return;
    next_due_us = INT64_MAX;
    for (uint32_t i = 0; i < slot_high; i++) {
        struct host *h = &hosts[i];
        bool waits = h->state == HOST_IDLE || h->state == HOST_CUT;
        if (waits && h->due_us > now_us) {
            due_at(&h->due_us, h->due_us);
        } else if (h->state == HOST_IDLE) {
            send_away(i, false);
        } else if (h->state == HOST_CUT) {
            end_now(h->pid);
            due_at(&h->due_us, now_us + AGAIN_US);
        }
    }
    for (uint32_t i = 0; i < leaver_count; i++) {
        if (leavers[i].due_us <= now_us) {
            end_now(leavers[i].pid);
            leavers[i].due_us = now_us + AGAIN_US;
        }
        due_at(&leavers[i].due_us, leavers[i].due_us);
    }
}
