/*
 * agent_rate.c - what a task costs the agent and Redis, with a supervisor that ends every try as it
 * begins.
 *
 *   agent_rate URL REDISWORKER STATE_DIR SLOTS   runs all tasks of the queue "bench"
 *
 * Prints `name value unit` lines. The queue is filled before (store_bench URL shells N).
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "worker/wire.h"

static uint32_t slots;
static struct buf answer = BUF_INIT;
static unsigned long started;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static uint64_t unix_ms(void) {
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (uint64_t)t.tv_sec * 1000 + (uint64_t)t.tv_nsec / 1000000;
}

static void add_frame(uint32_t type, const void *payload, uint32_t len) {
    struct wire_frame frame = {type, len};
    buf_add(&answer, &frame, sizeof frame);
    buf_add(&answer, payload, len);
}

static void end_at_once(uint32_t slot) {
    uint64_t now = unix_ms();
    struct wire_started begun = {slot, (int32_t)getpid(), now};
    struct wire_exit end = {.slot = slot,
                            .pid = begun.pid,
                            .start_wall_ms = now,
                            .end_wall_ms = now,
                            .wall_us = 50,
                            .user_us = 20,
                            .maxrss_kib = 2000};
    add_frame(WIRE_STARTED, &begun, sizeof begun);
    add_frame(WIRE_EXIT, &end, sizeof end);
    started++;
}

static void answer_frame(uint32_t type, const char *payload) {
    if (type == WIRE_HELLO) {
        struct wire_hello hello;
        memcpy(&hello, payload, sizeof hello);
        struct wire_welcome welcome = {.version = hello.version,
                                       .supervisor_pid = (uint32_t)getpid(),
                                       .capacity = slots,
                                       .incarnation = unix_ms(),
                                       .output_max = 1 << 30};
        add_frame(WIRE_WELCOME, &welcome, sizeof welcome);
        add_frame(WIRE_READY, NULL, 0);
    } else if (type == WIRE_START) {
        struct wire_start start;
        memcpy(&start, payload, sizeof start);
        end_at_once(start.slot);
    }
}

/* Answers what has come; leaves the beginning of a frame whose rest has not. */
static void answer_all(struct buf *in, int fd) {
    size_t at = 0;
    struct wire_frame frame;
    while (in->len - at >= sizeof frame) {
        memcpy(&frame, in->data + at, sizeof frame);
        if (in->len - at - sizeof frame < frame.length)
            break;
        answer_frame(frame.type, in->data + at + sizeof frame);
        at += sizeof frame + frame.length;
    }
    memmove(in->data, in->data + at, in->len - at);
    in->len -= at;
    for (size_t sent = 0; sent < answer.len;) {
        ssize_t n = write(fd, answer.data + sent, answer.len - sent);
        if (n < 0)
            fail("write");
        sent += (size_t)n;
    }
    buf_clear(&answer);
}

static pid_t start_agent(char **argv, int fds[2]) {
    pid_t pid = fork();
    if (pid != 0)
        return pid;
    char number[16], out[4096];
    close(fds[0]);
    snprintf(number, sizeof number, "%d", fds[1]);
    setenv("DISTCOMP_AGENT_FD", number, 1);
    mkdir(argv[3], 0700);
    snprintf(out, sizeof out, "%s/out", argv[3]);
    mkdir(out, 0700);
    execl(argv[2], argv[2], "--redis", argv[1], "--queue", "bench", "--name", "bench-agent",
          "--state_dir", argv[3], "--exit_when_empty", "--log_level", "warn", (char *)NULL);
    fail(argv[2]);
    return -1;
}

int main(int argc, char **argv) {
    int fds[2], status;
    if (argc != 5) {
        fprintf(stderr, "usage: agent_rate URL REDISWORKER STATE_DIR SLOTS\n");
        return 2;
    }
    slots = (uint32_t)strtoul(argv[4], NULL, 10);
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        fail("socketpair");
    pid_t agent = start_agent(argv, fds);
    close(fds[1]);
    struct buf in = BUF_INIT;
    ssize_t n;
    double first_ms = 0, last_ms = 0;
    do {
        buf_reserve(&in, 65536);
        n = read(fds[0], in.data + in.len, 65536);
        in.len += n > 0 ? (size_t)n : 0;
        unsigned long before = started;
        answer_all(&in, fds[0]);
        if (started != before) {
            last_ms = (double)unix_ms();
            if (!first_ms)
                first_ms = last_ms;
        }
    } while (n > 0);
    struct rusage used;
    wait4(agent, &status, 0, &used);
    double us = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) * 1e6 +
                (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
    printf("agent_tasks %lu tasks\nagent_rate %.0f tasks/s\nagent_cpu %.1f us\n", started,
           (double)started / (last_ms - first_ms) * 1e3, us / (double)started);
    buf_free(&in);
    buf_free(&answer);
    return status != 0;
}
