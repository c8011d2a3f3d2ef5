/*
 * Bytes as what an agent says to the supervisor (worker/wire.h): a stream of frames through
 * wireio and agentlink, into the table of slots. Only the processes are not real: `clone` is this
 * file's (-Dclone=fuzz_clone, see Makefile), as is clone_into, and gives out pids that nobody has.
 *
 * Frames of type 0xff00 and above are orders to this program: a task ends, the agent is gone and
 * another comes, bytes arrive one at a time; or a START whose lengths agree, which mutation alone
 * hardly ever makes.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/agentlink.h"
#include "worker/capture.h"
#include "worker/clonein.h"
#include "worker/ending.h"
#include "worker/host.h"
#include "worker/orphan.h"
#include "worker/slot.h"
#include "worker/spawn.h"
#include "worker/ustime.h"

#define SLOTS     16
#define FIRST_PID 1000000000 /* above pid_max */

enum {
    ORDER_END = 0xff00,
    ORDER_NEW_AGENT,
    ORDER_SLOWLY,
    ORDER_SIGNAL,
    ORDER_START,
    ORDER_HOST /* its socket can be read: it has hung up */
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int fuzz_clone(int (*function)(void *), void *stack, int flags, void *argument, ...);
void slog(const char *fmt, ...);

static int peer = -1;
static int32_t last_pid;
static bool slowly;

static void check(bool good) {
    if (!good)
        abort();
}

void slog(const char *fmt, ...) {
    char line[1024]; /* formatted, so that its arguments are read */
    va_list args;
    va_start(args, fmt);
    vsnprintf(line, sizeof line, fmt, args);
    va_end(args);
}

/* Every fifth cannot be made. */
int fuzz_clone(int (*function)(void *), void *stack, int flags, void *argument, ...) {
    (void)function;
    (void)stack;
    (void)flags;
    (void)argument;
    last_pid++;
    return last_pid % 5 ? FIRST_PID + last_pid : -1;
}

int clone_into(int cgroup_fd, int (*run_child)(void *), void *arg, char *stack, size_t size) {
    errno = EBUSY;
    return last_pid % 3 && cgroup_fd >= 0 ? fuzz_clone(run_child, stack + size, 0, arg) : -1;
}

static void connect_agent(void) {
    int pair[2];
    check(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    agentlink_close();
    if (peer >= 0)
        close(peer);
    peer = pair[1];
    agentlink_open(pair[0]);
}

/* spawn_init sets all signals to their defaults, libFuzzer's too. */
static bool spawn_init_quietly(const struct statedir *sd) {
    struct sigaction kept[NSIG];
    for (int i = 1; i < NSIG; i++)
        if (sigaction(i, NULL, &kept[i]) != 0)
            kept[i].sa_handler = SIG_DFL;
    bool ok = spawn_init(sd);
    for (int i = 1; i < NSIG; i++)
        if (kept[i].sa_handler != SIG_DFL)
            sigaction(i, &kept[i], NULL);
    return ok;
}

static void set_up(void) {
    static bool done;
    char path[] = "/tmp/distcomp-fuzz-XXXXXX";
    static struct statedir sd;
    if (!done) {
        check(mkdtemp(path) != NULL);
        int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        check(dir >= 0 && rmdir(path) == 0); /* nothing is to be made in it */
        snprintf(sd.path, sizeof sd.path, "%s", path);
        sd.incarnation = 1;
        check(spawn_init_quietly(&sd));
        struct agentlink_identity identity = {1, 0, 1 << 20};
        slot_capacity = SLOTS;
        capture_init(dir, 1 << 20);
        ending_done = agentlink_exit;
        host_init(epoll_create1(EPOLL_CLOEXEC), 0, 1, HOST_IDLE_US);
        agentlink_init(&identity);
    }
    done = true;
    slowly = false;
    connect_agent();
}

/* What the supervisor says must be frames that wire.h knows. */
static void listen_to_it(void) {
    static uint8_t in[1 << 20];
    static size_t len;
    ssize_t n;
    while ((n = recv(peer, in + len, sizeof in - len, MSG_DONTWAIT)) > 0) {
        len += (size_t)n;
        size_t at = 0;
        struct wire_frame frame;
        for (; len - at >= sizeof frame; at += sizeof frame + frame.length) {
            memcpy(&frame, in + at, sizeof frame);
            check(frame.type >= WIRE_WELCOME && frame.type <= WIRE_FILES &&
                  frame.length <= sizeof(struct wire_exit) + WIRE_NOTE_MAX);
            if (len - at - sizeof frame < frame.length)
                break;
        }
        memmove(in, in + at, len - at);
        len -= at;
    }
    if (n == 0)
        len = 0; /* the next connection begins with a frame */
}

static void check_table(void) {
    uint32_t used = 0, running = 0;
    for (uint32_t i = 0; i < SLOT_MAX && i < slot_high; i++) {
        used += slot_table[i].state != SLOT_FREE;
        running += slot_table[i].state == SLOT_RUNNING;
        check(slot_table[i].note_len <= WIRE_NOTE_MAX);
        check(memchr(slot_table[i].cookie, 0, SLOT_COOKIE_MAX) != NULL);
    }
    check(slot_high <= SLOTS && used == slot_used && running == slot_running);
}

static void turn(void) {
    bool ok = true, blocked;
    do
        ok = agentlink_read();
    while (ok && agentlink_busy());
    if (ok)
        ok = agentlink_pump(&blocked);
    if (!ok) {
        agentlink_drain();
        agentlink_close();
    }
    check_table();
    listen_to_it();
    if (!ok)
        connect_agent();
}

static void say(const uint8_t *bytes, size_t len) {
    for (size_t at = 0; at < len;) {
        size_t piece = slowly ? 1 : len - at;
        ssize_t n = send(peer, bytes + at, piece, MSG_NOSIGNAL | MSG_DONTWAIT);
        int heard = peer;
        turn();
        if (n < 0 && peer != heard)
            return; /* dropped, with what was left to say */
        at += n > 0 ? (size_t)n : 0;
    }
}

static void end_task(uint32_t number) {
    static const struct rusage usage;
    if (number < slot_high && slot_table[number].state == SLOT_RUNNING &&
        !slot_table[number].main_done)
        ending_reaped(slot_table[number].exit.pid, 0, &usage);
    ending_settle();
    host_timers(ustime_mono() + 3600 * (int64_t)US_PER_S);
    ending_timers(ustime_mono() + 3600 * (int64_t)US_PER_S);
}

static void obey(uint32_t order, uint32_t argument) {
    if (order == ORDER_END)
        end_task(argument % SLOTS);
    else if (order == ORDER_NEW_AGENT)
        connect_agent();
    else if (order == ORDER_HOST)
        host_readable(argument % SLOTS);
    else if (order == ORDER_SLOWLY)
        slowly = !slowly;
    else
        agentlink_signal((int)(argument % 63) + 1);
    turn();
}

/* Counts the strings of the first bytes, which end with the last NUL among them. */
static uint32_t end_with_strings(const uint8_t *text, uint32_t *len) {
    uint32_t strings = 0;
    while (*len && text[*len - 1])
        --*len;
    for (uint32_t i = 0; i < *len; i++)
        strings += text[i] == 0;
    return strings;
}

/* The lengths of what confines it, made to fit `rest` bytes; returns how many it has. */
static uint32_t fit_confine(uint8_t *at, uint32_t rest) {
    struct wire_confine c;
    memcpy(&c, at, sizeof c);
    rest -= (uint32_t)sizeof c;
    const uint8_t *text = at + sizeof c;
    c.cpus_len = c.cpus_len % (rest + 1) / 8 * 8 % (WIRE_CPUS_MAX + 8);
    c.cgroup_len %= rest - c.cpus_len + 1;
    if (end_with_strings(text + c.cpus_len, &c.cgroup_len) > 1)
        c.cgroup_len = (uint32_t)strlen((const char *)text + c.cpus_len) + 1;
    c.procs_len %= rest - c.cpus_len - c.cgroup_len + 1;
    c.procs_count = end_with_strings(text + c.cpus_len + c.cgroup_len, &c.procs_len);
    c.flags &= 1;
    memcpy(at, &c, sizeof c);
    return (uint32_t)sizeof c + c.cpus_len + c.cgroup_len + c.procs_len;
}

/* A START of these bytes: as they are, but for lengths and counts, which are made to fit. Returns
 * how many were used. */
static size_t say_start(const uint8_t *bytes, size_t size) {
    static uint8_t out[65536];
    struct wire_frame frame = {WIRE_START, 0};
    struct wire_start head;
    if (size < sizeof head)
        return size;
    if (size > sizeof out - sizeof frame)
        size = sizeof out - sizeof frame;
    memcpy(&head, bytes, sizeof head);
    memcpy(out + sizeof frame + sizeof head, bytes + sizeof head, size - sizeof head);
    uint8_t *tail = out + sizeof frame + sizeof head;
    uint32_t rest = (uint32_t)(size - sizeof head), confined = 0;
    head.slot %= SLOTS + 1;
    head.flags &= 15;
    if (rest < sizeof(struct wire_host) + sizeof(struct wire_confine))
        head.flags &= 3;
    uint32_t hosted = head.flags & WIRE_START_HOST ? sizeof(struct wire_host) : 0;
    if (hosted)
        head.flags &= ~WIRE_START_DIRECT;
    tail += hosted;
    rest -= hosted;
    if (head.flags & WIRE_START_CONFINED)
        confined = fit_confine(tail, rest);
    rest -= confined;
    head.note_len %= rest + 1;
    head.cwd_len %= rest - head.note_len + 1;
    head.strings_len = rest - head.note_len - head.cwd_len;
    uint32_t strings =
        end_with_strings(tail + confined + head.note_len + head.cwd_len, &head.strings_len);
    head.envc = strings / 2;
    head.fallback_argc = hosted ? 0 : (strings - head.envc) / 2;
    head.argc = strings - head.envc - head.fallback_argc;
    frame.length =
        (uint32_t)sizeof head + hosted + confined + head.note_len + head.cwd_len + head.strings_len;
    memcpy(out, &frame, sizeof frame);
    memcpy(out + sizeof frame, &head, sizeof head);
    say(out, sizeof frame + frame.length);
    return size;
}

static void clear(void) {
    for (uint32_t i = 0; i < slot_high; i++) {
        end_task(i);
        if (slot_table[i].state == SLOT_ENDED)
            slot_free(i);
    }
    agentlink_forget_signals();
    orphan_lease(&(struct wire_lease){0, 0});
    check_table();
    check(slot_used == 0 && slot_running == 0 && slot_mains == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    set_up();
    for (size_t at = 0; at < size;) {
        struct wire_frame frame = {0};
        size_t left = size - at, len = left;
        if (left >= sizeof frame)
            memcpy(&frame, data + at, sizeof frame);
        if ((frame.type >= ORDER_END && frame.type <= ORDER_SIGNAL) || frame.type == ORDER_HOST) {
            obey(frame.type, frame.length);
            at += sizeof frame;
            continue;
        }
        if (frame.type == ORDER_START) {
            at += sizeof frame;
            size_t most = size - at;
            at += say_start(data + at, frame.length < most ? frame.length : most);
            continue;
        }
        if (left >= sizeof frame && frame.length <= left - sizeof frame)
            len = sizeof frame + frame.length;
        say(data + at, len);
        at += len;
    }
    clear();
    return 0;
}
