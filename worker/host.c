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

#define HOST_MAX SLOT_MAX

enum host_state {
    HOST_NONE,
    HOST_IDLE,
    HOST_BUSY,
    HOST_CUT /* BUSY, without a socket: the try ends when the process does */
};

struct host {
    uint8_t state; /* enum host_state */
    bool answered; /* CUT: `done` has come */
    bool killed;   /* CUT: for its silence */
    int32_t pid;
    int fd; /* IDLE, BUSY */
    uint32_t serial;
    uint32_t number; /* of the last request */
    uint32_t slot;   /* 1 + that of the try that has it or, until its ACK, its files; 0: none */
    uint64_t key;
    struct host_use before; /* by the tries before this one */
    int64_t due_us;         /* IDLE: goes; CUT: SIGKILL */
    struct host_done done;
};

/* One that was sent away and has not been reaped. */
struct leaver {
    int32_t pid;
    int64_t due_us; /* SIGKILL */
};

static struct host hosts[HOST_MAX];
static uint32_t host_high; /* one more than the highest number in use or used before */
static struct leaver leavers[HOST_MAX];
static uint32_t leaver_count, idle_count, alive_count, last_serial;
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

/* The host of a slot's try; NULL: it has none. */
static struct host *host_of(uint32_t number) {
    uint32_t files = slot_table[number].files;
    return files >= WIRE_FILES_HOST ? &hosts[files - WIRE_FILES_HOST] : NULL;
}

static uint32_t files_of(const struct host *h) {
    return WIRE_FILES_HOST + (uint32_t)(h - hosts);
}

bool host_stays(uint32_t number) {
    const struct host *h = host_of(number);
    return h && h->state == HOST_IDLE;
}

uint32_t host_left(void) {
    return idle_count + leaver_count;
}

int host_of_cookie(const char *cookie) {
    size_t prefix = strlen(cookie_prefix);
    char *end = NULL;
    if (!prefix || strncmp(cookie, cookie_prefix, prefix) != 0)
        return -1;
    unsigned long host = strtoul(cookie + prefix, &end, 10);
    if (*end != '.' || host >= HOST_MAX || strtoul(end + 1, NULL, 10) != hosts[host].serial)
        return -1;
    const struct host *h = &hosts[host];
    bool runs = h->slot && slot_table[h->slot - 1].state == SLOT_RUNNING;
    return runs ? (int)h->slot - 1 : -1;
}

/* ---- Going. ---- */

/* A child that nobody has waited for: the pid is its own. */
static void end_now(int32_t pid) {
    kill(pid, SIGKILL);
}

static void forget(struct host *h) {
    h->state = HOST_NONE;
    alive_count--;
}

static void send_away(struct host *h, bool at_once) {
    close(h->fd);
    forget(h);
    idle_count--;
    if (!h->slot)
        capture_renew(files_of(h)); /* it may write until it is gone */
    at_once = at_once || leaver_count == HOST_MAX;
    if (at_once)
        end_now(h->pid);
    if (leaver_count < HOST_MAX) {
        struct leaver *l = &leavers[leaver_count++];
        l->pid = h->pid;
        due_at(&l->due_us, ustime_mono() + (at_once ? AGAIN_US : LEAVE_US));
    }
}

void host_dismiss(uint32_t number) {
    struct host *h = host_of(number);
    if (h && h->state == HOST_IDLE)
        send_away(h, false);
}

void host_dismiss_all(bool kill) {
    for (uint32_t i = 0; i < host_high && idle_count > 0; i++)
        if (hosts[i].state == HOST_IDLE)
            send_away(&hosts[i], kill);
}

void host_released(uint32_t number) {
    struct slot *s = &slot_table[number];
    struct host *h = host_of(number);
    bool needed = s->state == SLOT_ENDED && (s->exit.out_bytes || s->exit.err_bytes);
    if (!h || needed)
        return;
    h->slot = 0;
    if (h->state == HOST_NONE || s->replace_files)
        capture_renew(files_of(h)); /* whoever is left of it may still write */
    s->files = number;
}

/* A busy host will not be heard again. */
static void cut(struct host *h, int64_t patience_us) {
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
static bool send_request(struct host *host, const struct wire_start_view *view, const int *files) {
    const struct wire_start *h = &view->head;
    struct host_request request = {.version = HOST_VERSION,
                                   .flags = files ? HOST_NEW_FILES : 0,
                                   .cwd_len = h->cwd_len,
                                   .argc = h->argc,
                                   .envc = h->envc,
                                   .number = ++host->number};
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
    return sendmsg(host->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) >= 0;
}

enum heard { HEARD_NOTHING, HEARD_DONE, HEARD_END, HEARD_NONSENSE };

static enum heard hear(const struct host *h, struct host_done *done) {
    struct {
        struct host_done done;
        char more; /* a longer one is no answer */
    } in;
    ssize_t n = recv(h->fd, &in, sizeof in, MSG_DONTWAIT);
    if (n < 0)
        return errno == EAGAIN || errno == EINTR ? HEARD_NOTHING : HEARD_END;
    *done = in.done;
    if (n == sizeof *done && done->version == HOST_VERSION && done->number == h->number &&
        done->code >= 0 && done->code <= 255)
        return HEARD_DONE;
    return n == 0 ? HEARD_END : HEARD_NONSENSE;
}

/* ---- A try begins. ---- */

/* False: the host has died, or its files cannot be made. */
static bool wake(struct host *h, const struct wire_start_view *view) {
    uint32_t own = files_of(h);
    int files[2] = {-1, -1};
    bool same = capture_reuse(own);
    for (int stream = 0; stream < 2 && !same; stream++)
        files[stream] = capture_open(own, stream);
    bool sent =
        (same || (files[0] >= 0 && files[1] >= 0)) && send_request(h, view, same ? NULL : files);
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

static bool watch(const struct host *h) {
    struct epoll_event e = {.events = EPOLLIN, .data.u32 = first_id + (uint32_t)(h - hosts)};
    return epoll_ctl(watch_fd, EPOLL_CTL_ADD, h->fd, &e) == 0;
}

/* The request waits in the socket before the process is there: what can fail fails first. */
static struct spawn_result start_new(struct host *h, const struct wire_start_view *view) {
    char cookie[SLOT_COOKIE_MAX];
    const int room = 2 * HOST_MESSAGE_MAX; /* where the default is less */
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) != 0)
        return (struct spawn_result){.error = errno, .step = WIRE_STEP_SOCKET};
    setsockopt(pair[0], SOL_SOCKET, SO_SNDBUF, &room, sizeof room);
    *h = (struct host){.fd = pair[0], .serial = ++last_serial, .key = view->host.key};
    struct spawn_result r = {.step = WIRE_STEP_SOCKET};
    snprintf(cookie, sizeof cookie, "%s%u.%u", cookie_prefix, (uint32_t)(h - hosts), h->serial);
    if (watch(h) && send_request(h, view, NULL))
        r = spawn_host(files_of(h), view, pair[1], cookie);
    else
        r.error = errno;
    close(pair[1]);
    if (r.pid <= 0) {
        close(pair[0]);
        return r;
    }
    h->state = HOST_BUSY;
    h->pid = r.pid;
    alive_count++;
    return r;
}

/* An idle one, of this key (0: of any), whose files nobody needs: the one used last (or longest
 * ago). NULL: there is none. */
static struct host *find_idle(uint64_t key, bool last) {
    struct host *found = NULL;
    for (uint32_t i = 0; i < host_high && idle_count > 0; i++) {
        struct host *h = &hosts[i];
        bool fits = h->state == HOST_IDLE && !h->slot && (!key || h->key == key);
        if (fits && (!found || (h->due_us > found->due_us) == last))
            found = h;
    }
    return found;
}

/* A number that is free for a new one; NULL: all are taken. */
static struct host *find_number(void) {
    for (uint32_t i = 0; i < HOST_MAX; i++) {
        if (hosts[i].state != HOST_NONE || hosts[i].slot)
            continue;
        if (i >= host_high)
            host_high = i + 1;
        return &hosts[i];
    }
    return NULL;
}

static void make_room(uint32_t most) {
    struct host *h;
    while (most && alive_count >= most && (h = find_idle(0, false)))
        send_away(h, false);
}

struct spawn_result host_start(uint32_t number, const struct wire_start_view *view) {
    struct host *h = NULL;
    struct spawn_result r = {.error = E2BIG, .step = WIRE_STEP_ARGUMENTS};
    if (request_bytes(view) > HOST_MESSAGE_MAX)
        return r;
    while (view->host.key && (h = find_idle(view->host.key, true)) && !wake(h, view))
        send_away(h, false);
    if (h) {
        r = (struct spawn_result){.pid = h->pid};
    } else {
        make_room(view->host.most);
        h = find_number();
        if (!h)
            return (struct spawn_result){.error = EAGAIN, .step = WIRE_STEP_FORK};
        r = start_new(h, view);
    }
    if (r.pid > 0) {
        h->slot = number + 1;
        slot_table[number].files = files_of(h);
    }
    return r;
}

/* ---- It ends. ---- */

static void answered(struct host *h, const struct host_done *done) {
    uint32_t number = h->slot - 1;
    if (!h->key || slot_table[number].phase != SLOT_CALM) {
        h->done = *done;
        h->answered = true;
        cut(h, LEAVE_US);
        return;
    }
    h->state = HOST_IDLE;
    h->before.user_us += done->use.user_us;
    h->before.system_us += done->use.system_us;
    h->before.read_bytes += done->use.read_bytes;
    h->before.write_bytes += done->use.write_bytes;
    due_at(&h->due_us, ustime_mono() + idle_us);
    idle_count++;
    ending_answered(number, done);
    stray_host_idle(h->pid);
}

void host_readable(uint32_t host) {
    struct host *h = &hosts[host];
    struct host_done done;
    if (h->state != HOST_IDLE && h->state != HOST_BUSY)
        return; /* an event of a socket that was closed in this round */
    enum heard heard = hear(h, &done);
    if (heard == HEARD_NOTHING)
        return;
    if (h->state == HOST_IDLE) {
        send_away(h, heard != HEARD_END);
    } else if (heard == HEARD_DONE) {
        answered(h, &done);
    } else if (heard == HEARD_END) {
        cut(h, EXIT_US);
    } else {
        slog("host %u (pid %d) sent what is no answer: SIGKILL", host, h->pid);
        capture_remark(files_of(h), "distcomp: the kernel's process said what is no answer to the "
                                    "worker, and was killed\n");
        cut(h, AGAIN_US);
        h->killed = true;
        end_now(h->pid);
    }
}

static uint64_t less(uint64_t whole, uint64_t before) {
    return whole > before ? whole - before : 0;
}

/* What the last try of a host that died has used. */
static struct host_use last_use(const struct host *h, const struct rusage *usage) {
    struct host_use use = ending_use(usage);
    use.user_us = less(use.user_us, h->before.user_us);
    use.system_us = less(use.system_us, h->before.system_us);
    use.read_bytes = less(use.read_bytes, h->before.read_bytes);
    use.write_bytes = less(use.write_bytes, h->before.write_bytes);
    return use;
}

bool host_ended(uint32_t number, int status, const struct rusage *usage, struct wire_exit *exit) {
    struct host *h = host_of(number);
    if (!h || (h->state != HOST_BUSY && h->state != HOST_CUT))
        return false;
    if (h->state == HOST_BUSY) {
        h->answered = hear(h, &h->done) == HEARD_DONE;
        close(h->fd);
    }
    if (!h->answered && status == 0) {
        status = 1 << 8; /* its outputs were not made visible */
        capture_remark(files_of(h), "distcomp: the kernel ended its process (_exit, quick_exit) "
                                    "instead of returning\n");
    }
    forget(h);
    exit->status = h->answered ? h->done.code << 8 : status;
    struct host_use use = h->answered ? h->done.use : last_use(h, usage);
    ending_add(exit, &use);
    return true;
}

static void idle_died(struct host *h, int status) {
    if (WIFSIGNALED(status))
        slog("idle host %u (pid %d) was killed by signal %d", (uint32_t)(h - hosts), h->pid,
             WTERMSIG(status));
    close(h->fd);
    forget(h);
    idle_count--;
    if (!h->slot)
        capture_renew(files_of(h)); /* whoever is left of it may still write */
}

void host_reaped(int32_t pid, int status) {
    for (uint32_t i = 0; i < leaver_count; i++)
        if (leavers[i].pid == pid) {
            leavers[i] = leavers[--leaver_count];
            return;
        }
    for (uint32_t i = 0; i < host_high && idle_count > 0; i++)
        if (hosts[i].state == HOST_IDLE && hosts[i].pid == pid)
            idle_died(&hosts[i], status);
}

/* ---- Time. ---- */

int64_t host_deadline(void) {
    return next_due_us;
}

void host_timers(int64_t now_us) {
    if (now_us < next_due_us)
        return;
    next_due_us = INT64_MAX;
    for (uint32_t i = 0; i < host_high; i++) {
        struct host *h = &hosts[i];
        bool waits = h->state == HOST_IDLE || h->state == HOST_CUT;
        if (waits && h->due_us > now_us) {
            due_at(&h->due_us, h->due_us);
        } else if (h->state == HOST_IDLE) {
            send_away(h, false);
        } else if (h->state == HOST_CUT) {
            if (!h->killed && !h->answered && slot_table[h->slot - 1].phase == SLOT_CALM)
                capture_remark(files_of(h), "distcomp: the kernel's process closed its connection "
                                            "to the worker and did not end, and was killed\n");
            h->killed = true;
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
