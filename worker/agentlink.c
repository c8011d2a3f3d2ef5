#include "worker/agentlink.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "worker/capture.h"
#include "worker/ending.h"
#include "worker/host.h"
#include "worker/orphan.h"
#include "worker/slog.h"
#include "worker/slot.h"
#include "worker/spawn.h"
#include "worker/ustime.h"
#include "worker/wireio.h"

#define STARTS_A_TURN 16 /* then exits are looked at: a burst of starts must not hide them */
#define NO_HANDSHAKE  UINT32_MAX
#define QUIET_MAX_MS  60000u
/* A STARTED waits this long for company: a task that ends meanwhile wakes the agent once, not
 * twice. */
#define STARTED_US (5 * (int64_t)US_PER_MS)

static struct wireio
    io; /* closed by agentlink_init: an initialiser would put 4 MiB into the program */
static struct agentlink_identity self;
static bool hello_said;
static uint32_t agent_pid, agent_version;
static uint32_t handshake = NO_HANDSHAKE; /* the next slot to tell of */
static uint32_t starts;
static uint16_t queue[SLOT_MAX]; /* slots that owe a message; each at most once */
static uint32_t queue_head, queue_len;
static bool exit_queued;       /* else the queue has only STARTED */
static int64_t started_due_us; /* when they are sent at the latest */
static uint64_t signals;
static struct wire_bye bye;
static bool bye_said;
static struct pulse pulse;
static bool ping_owed;

void agentlink_init(const struct agentlink_identity *identity) {
    self = *identity;
    wireio_open(&io, -1);
}

static void push(uint32_t number) {
    struct slot *s = &slot_table[number];
    if (s->queued || !hello_said || handshake != NO_HANDSHAKE)
        return; /* told by the handshake */
    if (queue_len == 0)
        started_due_us = ustime_mono() + STARTED_US;
    s->queued = true;
    queue[(queue_head + queue_len++) % SLOT_MAX] = (uint16_t)number;
}

void agentlink_open(int fd) {
    wireio_open(&io, fd);
    pulse_begin(&pulse, ustime_mono());
    ping_owed = false;
    hello_said = bye_said = false;
    agent_pid = 0;
    handshake = NO_HANDSHAKE;
    queue_len = 0;
    for (uint32_t i = 0; i < slot_high; i++)
        slot_table[i].queued = slot_table[i].send_started = slot_table[i].send_exit = false;
}

void agentlink_close(void) {
    if (io.fd >= 0)
        close(io.fd);
    wireio_open(&io, -1);
    hello_said = false;
}

int agentlink_fd(void) {
    return io.fd;
}

bool agentlink_hello(void) {
    return io.fd >= 0 && hello_said;
}

uint32_t agentlink_agent_pid(void) {
    return agent_pid;
}

static struct wire_welcome welcome(uint32_t version, uint32_t capacity, uint32_t agent) {
    return (struct wire_welcome){.version = version,
                                 .supervisor_pid = (uint32_t)getpid(),
                                 .capacity = capacity,
                                 .used = slot_used,
                                 .agent_pid = agent,
                                 .incarnation = self.incarnation,
                                 .previous = self.previous,
                                 .output_max = self.output_max};
}

void agentlink_refuse(int fd, uint32_t agent) {
    struct {
        struct wire_frame frame;
        struct wire_welcome welcome;
    } answer = {{WIRE_WELCOME, sizeof(struct wire_welcome)},
                welcome(WIRE_VERSION_OLDEST, 0, agent)}; /* its HELLO is not waited for */
    ssize_t sent = send(fd, &answer, sizeof answer, MSG_NOSIGNAL | MSG_DONTWAIT);
    (void)sent; /* a peer that has left needs no answer */
    close(fd);
}

/* ---- What the agent says. A handler returns NULL, or what is wrong with the frame. ---- */

static bool knows(uint32_t version) {
    return version >= WIRE_VERSION_OLDEST && version <= WIRE_VERSION;
}

static const char *on_hello(const uint8_t *payload, uint32_t length) {
    struct wire_hello hello;
    (void)length;
    memcpy(&hello, payload, sizeof hello);
    if (!wireio_room(&io, sizeof(struct wire_welcome)))
        return "HELLO again before the answer was read";
    uint32_t version = knows(hello.version) ? hello.version : WIRE_VERSION;
    struct wire_welcome answer = welcome(version, slot_capacity, hello.agent_pid);
    wireio_put(&io, WIRE_WELCOME, &answer, sizeof answer, NULL, 0);
    if (hello.agent_pid == 0)
        return NULL; /* only asks */
    if (hello.version != WIRE_VERSION)
        slog("agent %u speaks version %u, this supervisor %u", hello.agent_pid, hello.version,
             WIRE_VERSION);
    for (; queue_len; queue_len--, queue_head = (queue_head + 1) % SLOT_MAX)
        slot_table[queue[queue_head]].queued = false;
    hello_said = true;
    agent_pid = hello.agent_pid;
    agent_version = version;
    handshake = 0;
    return NULL;
}

static void keep_cookie(struct slot *s, const struct wire_start_view *view) {
    const char *cookie = spawn_cookie(view);
    if (cookie && strlen(cookie) < sizeof s->cookie)
        memcpy(s->cookie, cookie, strlen(cookie) + 1);
    else
        slog("slot %u: no DISTCOMP_COOKIE, or longer than %d bytes: a daemon of it could be missed",
             s->exit.slot, SLOT_COOKIE_MAX - 1);
}

static struct spawn_result start(uint32_t number, const struct wire_start_view *view) {
    if (view->head.flags & WIRE_START_HOST)
        return host_start(number, view);
    return spawn_task(number, view);
}

static void begin(uint32_t number, const struct wire_start_view *view) {
    struct slot *s = slot_begin(number);
    const struct wire_start *h = &view->head;
    s->wait_leftover = h->flags & WIRE_START_WAIT_LEFTOVER;
    s->grace_ms = h->grace_ms;
    s->note_len = h->note_len;
    memcpy(slot_note[number], view->note, h->note_len);
    keep_cookie(s, view);
    s->start_us = ustime_mono();
    s->exit.start_wall_ms = ustime_wall_ms();
    struct spawn_result r = start(number, view);
    if (r.pid > 0) {
        slot_set_main(number, r.pid);
        capture_started(s->files);
        const uint64_t for_ever_ms = INT64_MAX / US_PER_MS / 2;
        if (h->timeout_ms && h->timeout_ms < for_ever_ms)
            slot_set_deadline(number, s->start_us + (int64_t)h->timeout_ms * US_PER_MS);
        s->send_started = true;
        push(number);
        return;
    }
    slog("slot %u: cannot %s: %s", number, wire_step_text((int32_t)r.step), strerror(r.error));
    s->exit.spawn_errno = r.error;
    s->exit.status = (int32_t)r.step;
    s->exit.end_wall_ms = s->exit.start_wall_ms;
    slot_end(number);
    agentlink_exit(number);
}

static const char *on_start(const uint8_t *payload, uint32_t length) {
    struct wire_start_view view;
    if (!wire_parse_start(payload, length, &view))
        return "START whose lengths and counts disagree";
    if (view.head.slot >= slot_capacity)
        return "START of a slot beyond capacity";
    if (slot_table[view.head.slot].state != SLOT_FREE)
        return "START of a slot in use";
    starts++;
    begin(view.head.slot, &view);
    return NULL;
}

static const char *on_kill(const uint8_t *payload, uint32_t length) {
    struct wire_kill kill_order;
    (void)length;
    memcpy(&kill_order, payload, sizeof kill_order);
    if (kill_order.slot >= slot_capacity)
        return "KILL of a slot beyond capacity";
    if (kill_order.why == WIRE_WHY_NONE || kill_order.why > WIRE_WHY_ORPHAN)
        return "KILL for no known reason";
    ending_request(kill_order.slot, kill_order.why,
                   kill_order.grace_ms); /* ended: its EXIT is on its way */
    return NULL;
}

static const char *on_ack(const uint8_t *payload, uint32_t length) {
    struct wire_ack ack;
    (void)length;
    memcpy(&ack, payload, sizeof ack);
    if (ack.slot >= slot_capacity)
        return "ACK of a slot beyond capacity";
    struct slot *s = &slot_table[ack.slot];
    if (s->state != SLOT_ENDED)
        return "ACK of a slot that has not ended";
    s->send_exit = s->send_started = false;
    capture_acknowledged(ack.slot, ack.flags);
    slot_free(ack.slot);
    host_released(ack.slot);
    return NULL;
}

static const char *on_lease(const uint8_t *payload, uint32_t length) {
    struct wire_lease lease;
    (void)length;
    memcpy(&lease, payload, sizeof lease);
    orphan_lease(&lease);
    return NULL;
}

static const char *on_alive(const uint8_t *payload, uint32_t length) {
    struct wire_alive alive;
    (void)length;
    memcpy(&alive, payload, sizeof alive);
    uint64_t quiet_ms = alive.quiet_ms < QUIET_MAX_MS ? alive.quiet_ms : QUIET_MAX_MS;
    pulse_quiet(&pulse, ustime_mono() + (int64_t)quiet_ms * US_PER_MS);
    return NULL;
}

static const char *on_dismiss(const uint8_t *payload, uint32_t length) {
    struct wire_dismiss dismiss;
    (void)length;
    memcpy(&dismiss, payload, sizeof dismiss);
    host_dismiss_all(dismiss.kill);
    return NULL;
}

static const char *on_bye(const uint8_t *payload, uint32_t length) {
    (void)length;
    struct wire_bye said;
    memcpy(&said, payload, sizeof said);
    if (said.mode > WIRE_BYE_REFUSED)
        return "BYE of no known mode";
    bye = said;
    bye_said = true;
    return NULL;
}

static const struct {
    uint32_t type, length; /* 0: the handler checks it */
    bool before_hello;
    const char *(*handle)(const uint8_t *payload, uint32_t length);
} orders[] = {
    {WIRE_HELLO, sizeof(struct wire_hello), true, on_hello},
    {WIRE_START, 0, false, on_start},
    {WIRE_KILL, sizeof(struct wire_kill), false, on_kill},
    {WIRE_ACK, sizeof(struct wire_ack), false, on_ack},
    {WIRE_LEASE, sizeof(struct wire_lease), false, on_lease},
    {WIRE_BYE, sizeof(struct wire_bye), true, on_bye},
    {WIRE_ALIVE, sizeof(struct wire_alive), true, on_alive},
    {WIRE_DISMISS, sizeof(struct wire_dismiss), false, on_dismiss},
};

static const char *handle(const struct wire_frame *frame, const uint8_t *payload) {
    for (size_t i = 0; i < sizeof orders / sizeof *orders; i++) {
        if (orders[i].type != frame->type)
            continue;
        if (orders[i].length && orders[i].length != frame->length)
            return "a frame of the wrong length";
        if (!orders[i].before_hello && !hello_said)
            return "an order before HELLO";
        return orders[i].handle(payload, frame->length);
    }
    return "a frame of unknown type";
}

/* False: malformed. */
static bool handle_frames(bool all) {
    struct wire_frame frame;
    const uint8_t *payload;
    starts = 0;
    while (all || (handshake == NO_HANDSHAKE && starts < STARTS_A_TURN)) {
        int rc = wireio_next(&io, &frame, &payload);
        if (rc == 0)
            return true;
        const char *wrong = rc < 0 ? "a frame larger than allowed" : handle(&frame, payload);
        if (wrong) {
            slog("dropping agent %u: it sent %s (type %u, %u bytes)", agent_pid, wrong, frame.type,
                 frame.length);
            return false;
        }
    }
    return true;
}

static bool frame_waits(void) {
    size_t have = io.in_len - io.in_at;
    struct wire_frame frame;
    if (have < sizeof frame)
        return false;
    memcpy(&frame, io.in + io.in_at, sizeof frame);
    return frame.length > WIRE_FRAME_MAX || have >= sizeof frame + frame.length;
}

bool agentlink_busy(void) {
    return io.fd >= 0 && handshake == NO_HANDSHAKE && frame_waits();
}

bool agentlink_read(void) {
    if (!frame_waits()) {
        int rc = wireio_fill(&io);
        if (rc < 0)
            return false;
        if (rc > 0)
            pulse_heard(&pulse, ustime_mono());
    }
    return handle_frames(false);
}

void agentlink_drain(void) {
    handshake = NO_HANDSHAKE; /* nobody is there to be told */
    while (io.fd >= 0) {
        if (!handle_frames(true) || wireio_fill(&io) <= 0)
            break;
    }
}

/* ---- What the agent is told. ---- */

static struct wire_started started_of(const struct slot *s) {
    return (struct wire_started){s->exit.slot, s->exit.pid, s->exit.start_wall_ms};
}

#define FILES_FRAME (sizeof(struct wire_frame) + sizeof(struct wire_files))

static void tell_files(const struct slot *s) {
    struct wire_files files = {s->exit.slot, s->files};
    if (s->state == SLOT_RUNNING && s->files != s->exit.slot && agent_version >= WIRE_VERSION_HOST)
        wireio_put(&io, WIRE_FILES, &files, sizeof files, NULL, 0);
}

/* TASK for each used slot, then READY; false while there is no room. */
static bool tell_handshake(void) {
    for (; handshake < slot_high; handshake++) {
        const struct slot *s = &slot_table[handshake];
        if (s->state == SLOT_FREE)
            continue;
        if (!wireio_room(&io, sizeof(struct wire_task) + WIRE_NOTE_MAX + FILES_FRAME))
            return false;
        struct wire_task task = {started_of(s), s->state == SLOT_RUNNING, s->note_len};
        wireio_put(&io, WIRE_TASK, &task, sizeof task, slot_note[handshake], s->note_len);
        tell_files(s);
    }
    if (!wireio_room(&io, 0))
        return false;
    wireio_put(&io, WIRE_READY, NULL, 0, NULL, 0);
    handshake = NO_HANDSHAKE;
    for (uint32_t i = 0; i < slot_high; i++)
        if (slot_table[i].state == SLOT_ENDED)
            agentlink_exit(i);
    return true;
}

static size_t exit_bytes(void) {
    return agent_version >= WIRE_VERSION_HOST ? sizeof(struct wire_exit) : WIRE_EXIT_OLD_BYTES;
}

static void tell_slots(void) {
    while (queue_len &&
           wireio_room(&io, sizeof(struct wire_started) + FILES_FRAME + sizeof(struct wire_exit) +
                                sizeof(struct wire_frame))) {
        struct slot *s = &slot_table[queue[queue_head]];
        queue_head = (queue_head + 1) % SLOT_MAX;
        queue_len--;
        s->queued = false;
        if (s->send_started) {
            struct wire_started started = started_of(s);
            wireio_put(&io, WIRE_STARTED, &started, sizeof started, NULL, 0);
            tell_files(s);
        }
        if (s->send_exit) {
            struct wire_exit e = s->exit;
            if (agent_version < WIRE_VERSION_HOST && s->files != e.slot)
                e.out_bytes = e.err_bytes = 0; /* it would look into the slot's files */
            wireio_put(&io, WIRE_EXIT, &e, exit_bytes(), NULL, 0);
        }
        s->send_started = s->send_exit = false;
    }
    exit_queued = queue_len > 0;
}

static void tell_signals(void) {
    for (int i = 1; signals && i < 64; i++) {
        if (!agentlink_signal_waits(i) || !wireio_room(&io, sizeof(struct wire_signal)))
            continue;
        struct wire_signal s = {i, 0};
        wireio_put(&io, WIRE_SIGNAL, &s, sizeof s, NULL, 0);
        signals &= ~(1ull << i);
    }
}

static void tell_ping(void) {
    if (!ping_owed || !wireio_room(&io, 0))
        return;
    wireio_put(&io, WIRE_PING, NULL, 0, NULL, 0);
    ping_owed = false;
}

bool agentlink_pump(bool *blocked) {
    *blocked = false;
    if (io.fd < 0)
        return true;
    for (;;) {
        if (handshake != NO_HANDSHAKE)
            tell_handshake();
        if (handshake == NO_HANDSHAKE && hello_said) {
            tell_signals();
            tell_ping();
            if (exit_queued || io.out_len || ustime_mono() >= started_due_us)
                tell_slots();
        }
        if (io.out_len == 0)
            return true;
        int rc = wireio_flush(&io);
        if (rc <= 0) {
            *blocked = rc == 0;
            return rc == 0;
        }
        if (handshake == NO_HANDSHAKE && (queue_len == 0 || !exit_queued))
            return true;
    }
}

int64_t agentlink_deadline(void) {
    return agentlink_hello() && queue_len && io.out_len == 0 ? started_due_us : INT64_MAX;
}

void agentlink_exit(uint32_t number) {
    slot_table[number].send_exit = true;
    exit_queued = true;
    push(number);
}

void agentlink_signal(int number) {
    signals |= 1ull << number;
}

bool agentlink_signal_waits(int number) {
    return signals >> number & 1;
}

void agentlink_forget_signals(void) {
    signals = 0;
}

const struct wire_bye *agentlink_bye(void) {
    return bye_said ? &bye : NULL;
}

struct pulse *agentlink_pulse(void) {
    return &pulse;
}

void agentlink_ping(void) {
    ping_owed = true;
}
