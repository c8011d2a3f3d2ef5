/*
 * fake_agent.h - for tests: a real supervisor in a child process and temporary state_dir, and the
 * agent's half of wire.h, blocking, with a deadline on everything.
 *
 *     struct rig r;
 *     rig_up(&r, NULL);                              // supervisor_run in a fork; attached; HELLO
 * said rig_sh(&r, 0, "echo hello"); struct wire_exit e = rig_exit(&r, 0); rig_down(&r); //
 * BYE_STOP, exit code 0, directory removed
 */
#ifndef DISTCOMP_FAKE_AGENT_H
#define DISTCOMP_FAKE_AGENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/cpus.h"
#include "worker/statedir.h"
#include "worker/supervisor.h"
#include "worker/ustime.h"
#include "worker/wire.h"

#define RIG_SLOTS  512
#define RIG_WAIT_S 30

#define RIG_UNUSED __attribute__((unused))

struct rig {
    char dir[128];
    pid_t supervisor;
    int fd;
    struct wire_welcome welcome;
    bool exited[RIG_SLOTS], started[RIG_SLOTS], listed[RIG_SLOTS];
    struct wire_exit exit[RIG_SLOTS];
    struct wire_started start[RIG_SLOTS];
    struct wire_task task[RIG_SLOTS];
    char note[RIG_SLOTS][64];
    int last_signal;
    uint32_t exit_bytes;       /* of the last EXIT */
    uint32_t files[RIG_SLOTS]; /* as FILES said last */
    uint32_t version;          /* what HELLO says; 0: WIRE_VERSION */
    uint8_t in[1 << 16], out[1 << 19];
    size_t in_len, in_at, out_len;
    void (*before)(void); /* in the supervisor's process, before it begins; NULL: nothing */
    bool corked;          /* what is sent waits until something is read */
};

/* Waits until `condition` holds; fails the test after RIG_WAIT_S. */
#define rig_until(condition)                                                                       \
    do {                                                                                           \
        int64_t limit_us = ustime_mono() + RIG_WAIT_S * (int64_t)US_PER_S;                         \
        while (!(condition)) {                                                                     \
            if (ustime_mono() > limit_us)                                                          \
                fail_msg("waited %d s for: %s", RIG_WAIT_S, #condition);                           \
            poll(NULL, 0, 2);                                                                      \
        }                                                                                          \
    } while (0)

RIG_UNUSED static void rig_flush(struct rig *r) {
    for (size_t at = 0; at < r->out_len;) {
        ssize_t n = send(r->fd, r->out + at, r->out_len - at, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        at += (size_t)n;
    }
    r->out_len = 0;
}

RIG_UNUSED static void rig_put(struct rig *r, const void *bytes, size_t len) {
    if (r->out_len + len > sizeof r->out)
        rig_flush(r);
    assert_true(len <= sizeof r->out);
    if (len)
        memcpy(r->out + r->out_len, bytes, len);
    r->out_len += len;
}

RIG_UNUSED static void rig_send_raw(struct rig *r, const void *bytes, size_t len) {
    rig_put(r, bytes, len);
    if (!r->corked)
        rig_flush(r);
}

RIG_UNUSED static bool rig_read(struct rig *r, void *bytes, size_t len) {
    for (size_t have = 0; have < len;) {
        if (r->in_at == r->in_len) {
            rig_flush(r);
            struct pollfd p = {.fd = r->fd, .events = POLLIN};
            if (poll(&p, 1, RIG_WAIT_S * 1000) != 1)
                fail_msg("the supervisor said nothing for %d s", RIG_WAIT_S);
            ssize_t n = recv(r->fd, r->in, sizeof r->in, 0);
            if (n <= 0)
                return false;
            r->in_at = 0;
            r->in_len = (size_t)n;
        }
        size_t take = r->in_len - r->in_at < len - have ? r->in_len - r->in_at : len - have;
        memcpy((char *)bytes + have, r->in + r->in_at, take);
        r->in_at += take;
        have += take;
    }
    return true;
}

/* Reads and files one frame; returns its type, 0 at end of file. */
RIG_UNUSED static uint32_t rig_frame(struct rig *r) {
    struct wire_frame frame;
    static uint8_t payload[65536];
    if (!rig_read(r, &frame, sizeof frame))
        return 0;
    assert_true(frame.length <= sizeof payload);
    if (!rig_read(r, payload, frame.length))
        return 0;
    if (frame.type == WIRE_WELCOME) {
        memcpy(&r->welcome, payload, sizeof r->welcome);
    } else if (frame.type == WIRE_EXIT) {
        struct wire_exit e;
        memset((char *)payload + frame.length, 0, sizeof payload - frame.length);
        memcpy(&e, payload, sizeof e);
        r->exit_bytes = frame.length;
        r->exit[e.slot] = e;
        r->exited[e.slot] = true;
    } else if (frame.type == WIRE_FILES) {
        struct wire_files f;
        memcpy(&f, payload, sizeof f);
        r->files[f.slot] = f.files;
    } else if (frame.type == WIRE_STARTED) {
        struct wire_started s;
        memcpy(&s, payload, sizeof s);
        r->start[s.slot] = s;
        r->started[s.slot] = true;
    } else if (frame.type == WIRE_TASK) {
        struct wire_task t;
        memcpy(&t, payload, sizeof t);
        assert_int_equal(frame.length, sizeof t + t.note_len);
        r->task[t.started.slot] = t;
        r->listed[t.started.slot] = true;
        snprintf(r->note[t.started.slot], 64, "%.*s", (int)t.note_len, (char *)payload + sizeof t);
    } else if (frame.type == WIRE_SIGNAL) {
        struct wire_signal s;
        memcpy(&s, payload, sizeof s);
        r->last_signal = s.signal;
    }
    return frame.type;
}

RIG_UNUSED static void rig_send(struct rig *r, uint32_t type, const void *payload, size_t len) {
    uint8_t bytes[256];
    struct wire_frame frame = {type, (uint32_t)len};
    assert_true(len <= sizeof bytes - sizeof frame);
    memcpy(bytes, &frame, sizeof frame);
    memcpy(bytes + sizeof frame, payload, len);
    rig_send_raw(r, bytes, sizeof frame + len);
}

RIG_UNUSED static void rig_hello(struct rig *r) {
    struct wire_hello hello = {r->version ? r->version : WIRE_VERSION, (uint32_t)getpid()};
    memset(r->listed, 0, sizeof r->listed);
    memset(r->exited, 0, sizeof r->exited);
    rig_send(r, WIRE_HELLO, &hello, sizeof hello);
    uint32_t type;
    while ((type = rig_frame(r)) != WIRE_READY)
        assert_int_not_equal(type, 0);
}

/* Connects to the supervisor when it wants an agent, and says HELLO. */
RIG_UNUSED static void rig_attach(struct rig *r) {
    char error[512] = "";
    r->in_at = r->in_len = 0;
    rig_until((r->fd = statedir_attach(r->dir, error, sizeof error)) >= 0);
    rig_hello(r);
}

RIG_UNUSED static void rig_make_dir(struct rig *r) {
    memset(r, 0, sizeof *r);
    r->fd = -1;
    const char *tmp = getenv("TMPDIR");
    snprintf(r->dir, sizeof r->dir, "%.60s/distcomp-test-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    assert_non_null(mkdtemp(r->dir));
}

/* Only starts the supervisor. options may be NULL; its state_dir is set here. */
RIG_UNUSED static void rig_supervise(struct rig *r, const struct supervisor_options *options) {
    struct supervisor_options o = options ? *options : (struct supervisor_options){0};
    if (!o.capacity)
        o.capacity = RIG_SLOTS;
    o.state_dir = r->dir;
    fflush(NULL);
    r->supervisor = fork();
    assert_true(r->supervisor >= 0);
    if (r->supervisor == 0) {
        if (r->fd >= 0)
            close(r->fd);
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* a test that fails leaves nothing running */
        if (r->before)
            r->before();
        _exit(supervisor_run(&o));
    }
}

RIG_UNUSED static void rig_up(struct rig *r, const struct supervisor_options *options) {
    rig_make_dir(r);
    rig_supervise(r, options);
    rig_attach(r);
}

struct rig_start {
    uint32_t slot, flags, grace_ms;
    uint64_t timeout_ms;
    const char *cwd, *note;
    const char *argv[8], *fallback[8], *env[8]; /* each ends with NULL */
    int oom_score_adj;
    struct wire_host host; /* with WIRE_START_HOST */
    /* What confines it, with WIRE_START_CONFINED: */
    const struct cpus *cpus;       /* NULL: any */
    const char *cgroup, *procs[3]; /* NULL: none */
    struct wire_confine confine;   /* lengths and counts are filled in */
};

RIG_UNUSED static uint32_t rig_strings(char *buffer, size_t size, size_t *len,
                                       const char *const *strings) {
    uint32_t count = 0;
    for (; strings[count]; count++) {
        size_t n = strlen(strings[count]) + 1;
        assert_true(*len + n <= size);
        memcpy(buffer + *len, strings[count], n);
        *len += n;
    }
    return count;
}

/* Appends what follows the head of a confined START; returns its bytes. */
RIG_UNUSED static uint32_t rig_confine(const struct rig_start *s, uint8_t *out, size_t size) {
    struct wire_confine c = s->confine;
    size_t at = sizeof c, names;
    if (!(s->flags & WIRE_START_CONFINED))
        return 0;
    c.cpus_len = s->cpus ? (uint32_t)sizeof *s->cpus : 0;
    assert_true(at + c.cpus_len <= size);
    if (s->cpus)
        memcpy(out + at, s->cpus, c.cpus_len);
    at += c.cpus_len;
    names = at;
    if (s->cgroup)
        rig_strings((char *)out, size, &at, (const char *const[]){s->cgroup, NULL});
    c.cgroup_len = (uint32_t)(at - names);
    names = at;
    c.procs_count = rig_strings((char *)out, size, &at, s->procs);
    c.procs_len = (uint32_t)(at - names);
    memcpy(out, &c, sizeof c);
    return (uint32_t)at;
}

/* Adds DISTCOMP_COOKIE=DIR/SLOT/unique itself. */
RIG_UNUSED static void rig_start(struct rig *r, const struct rig_start *s) {
    static char strings[1 << 18];
    static uint8_t confine[4096];
    static unsigned unique;
    char cookie[96];
    size_t len = 0;
    struct wire_start h = {.slot = s->slot,
                           .flags = s->flags,
                           .timeout_ms = s->timeout_ms,
                           .grace_ms = s->grace_ms,
                           .oom_score_adj = s->oom_score_adj,
                           .note_len = s->note ? (uint32_t)strlen(s->note) : 0,
                           .cwd_len = s->cwd ? (uint32_t)strlen(s->cwd) : 0};
    h.argc = rig_strings(strings, sizeof strings, &len, s->argv);
    h.fallback_argc = rig_strings(strings, sizeof strings, &len, s->fallback);
    h.envc = rig_strings(strings, sizeof strings, &len, s->env);
    snprintf(cookie, sizeof cookie, "DISTCOMP_COOKIE=%d.%u.%u", getpid(), s->slot, unique++);
    h.envc += rig_strings(strings, sizeof strings, &len, (const char *const[]){cookie, NULL});
    h.strings_len = (uint32_t)len;
    uint32_t hosted = s->flags & WIRE_START_HOST ? sizeof s->host : 0;
    uint32_t confined = rig_confine(s, confine, sizeof confine);
    struct wire_frame frame = {WIRE_START, (uint32_t)sizeof h + hosted + confined + h.note_len +
                                               h.cwd_len + h.strings_len};
    if (s->slot < RIG_SLOTS)
        r->exited[s->slot] = r->started[s->slot] = false;
    rig_put(r, &frame, sizeof frame);
    rig_put(r, &h, sizeof h);
    rig_put(r, &s->host, hosted);
    rig_put(r, confine, confined);
    rig_put(r, s->note, h.note_len);
    rig_put(r, s->cwd, h.cwd_len);
    rig_send_raw(r, strings, len);
}

RIG_UNUSED static void rig_sh(struct rig *r, uint32_t slot, const char *line) {
    rig_start(r, &(struct rig_start){.slot = slot, .argv = {"/bin/sh", "-c", line}});
}

RIG_UNUSED static struct wire_exit rig_exit(struct rig *r, uint32_t slot) {
    while (!r->exited[slot])
        if (rig_frame(r) == 0)
            fail_msg("end of file while waiting for the exit of slot %u", slot);
    return r->exit[slot];
}

RIG_UNUSED static int32_t rig_started(struct rig *r, uint32_t slot) {
    while (!r->started[slot])
        if (rig_frame(r) == 0)
            fail_msg("end of file while waiting for the start of slot %u", slot);
    return r->start[slot].pid;
}

RIG_UNUSED static void rig_ack(struct rig *r, uint32_t slot, uint32_t flags) {
    struct wire_ack ack = {slot, flags};
    rig_send(r, WIRE_ACK, &ack, sizeof ack);
}

RIG_UNUSED static void rig_lease(struct rig *r, uint64_t length_ms) {
    struct wire_lease lease = {(uint64_t)ustime_boot() / US_PER_MS + length_ms, length_ms};
    rig_send(r, WIRE_LEASE, &lease, sizeof lease);
}

RIG_UNUSED static void rig_kill(struct rig *r, uint32_t slot, uint32_t why, uint32_t grace_ms) {
    struct wire_kill k = {slot, why, grace_ms};
    rig_send(r, WIRE_KILL, &k, sizeof k);
}

RIG_UNUSED static void rig_bye(struct rig *r, uint32_t mode, uint32_t code) {
    struct wire_bye bye = {mode, code};
    rig_send(r, WIRE_BYE, &bye, sizeof bye);
    shutdown(r->fd, SHUT_WR);
    while (rig_frame(r))
        ;
    close(r->fd);
    r->fd = -1;
}

/* The exit code of the supervisor; waits for it. */
RIG_UNUSED static int rig_wait_supervisor(struct rig *r) {
    int status = 0;
    rig_until(waitpid(r->supervisor, &status, WNOHANG) == r->supervisor);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

RIG_UNUSED static void rig_remove(struct rig *r) {
    char command[256];
    snprintf(command, sizeof command, "rm -rf '%s'", r->dir);
    assert_int_equal(system(command), 0);
}

RIG_UNUSED static void rig_down(struct rig *r) {
    struct wire_bye bye = {WIRE_BYE_STOP, 0};
    rig_send(r, WIRE_BYE, &bye, sizeof bye);
    close(r->fd);
    assert_int_equal(rig_wait_supervisor(r), 0);
    rig_remove(r);
}

/* A file's content, NUL-terminated, static; "" when there is none. */
RIG_UNUSED static const char *rig_file(const char *path, size_t *len) {
    static char text[1 << 20];
    int fd = open(path, O_RDONLY);
    ssize_t n = fd >= 0 ? read(fd, text, sizeof text - 1) : 0;
    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = 0;
    if (len)
        *len = n > 0 ? (size_t)n : 0;
    return text;
}

RIG_UNUSED static const char *rig_output(struct rig *r, uint32_t slot, const char *stream,
                                         size_t *len) {
    char path[256];
    snprintf(path, sizeof path, "%s/out/%u.%s", r->dir, slot, stream);
    return rig_file(path, len);
}

/* Dead, or dead and not waited for yet. */
RIG_UNUSED static bool rig_is_gone(int32_t pid) {
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/stat", pid);
    const char *text = rig_file(path, NULL);
    const char *end = strrchr(text, ')');
    return !end || end[2] == 'Z' || end[2] == 'X';
}

/* Waits for a pid that a task wrote to a file of the state directory. */
RIG_UNUSED static int32_t rig_pid_in(struct rig *r, const char *name) {
    char path[256];
    int32_t pid = 0;
    snprintf(path, sizeof path, "%s/%s", r->dir, name);
    rig_until(strchr(rig_file(path, NULL), '\n') &&
              (pid = (int32_t)strtol(rig_file(path, NULL), NULL, 10)) > 0);
    return pid;
}

#endif
