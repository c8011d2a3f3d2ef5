#include "kernels/host/watch.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define CRASH_STACK 65536u
#define LINE_MAX    256u

static atomic_int cancelled; /* any thread asks */
static volatile sig_atomic_t idle;
static const char *volatile running; /* the kernel's name */
static pid_t self;

static const struct {
    int number;
    const char *text;
} crashes[] = {
    {SIGSEGV, "SIGSEGV (memory that it may not touch"},
    {SIGBUS, "SIGBUS (memory that is not there; a file that was cut off, perhaps"},
    {SIGFPE, "SIGFPE (an integer division by zero, perhaps"},
    {SIGILL, "SIGILL (an instruction that this CPU does not have"},
    {SIGABRT, "SIGABRT (it called abort"},
    {SIGSYS, "SIGSYS (a system call that is not allowed here"},
};

void watch_die(int number) {
    sigset_t set;
    struct sigaction action = {.sa_handler = SIG_DFL};
    sigaction(number, &action, NULL);
    sigemptyset(&set);
    sigaddset(&set, number);
    sigprocmask(SIG_UNBLOCK, &set, NULL);
    raise(number);
    _exit(128 + number); /* a signal that does not kill, which none of ours is */
}

static void on_cancel(int number) {
    if (idle)
        watch_die(number);
    cancelled = number;
}

/* Unlike an ignored signal, this is the default again in a program that a kernel executes. */
static void on_nothing(int number) {
    (void)number;
}

/* Adds text to a line; async-signal-safe. */
static size_t put(char *line, size_t at, const char *text) {
    while (*text && at < LINE_MAX - 1)
        line[at++] = *text++;
    return at;
}

static size_t put_hex(char *line, size_t at, uintptr_t value) {
    char digits[2 * sizeof value + 1];
    size_t i = sizeof digits - 1;
    digits[i] = '\0';
    do
        digits[--i] = "0123456789abcdef"[value & 15];
    while (value >>= 4);
    return put(line, put(line, at, "0x"), digits + i);
}

static void on_crash(int number, siginfo_t *info, void *context) {
    (void)context;
    char line[LINE_MAX];
    const char *text = "a signal (";
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        if (crashes[i].number == number)
            text = crashes[i].text;
    size_t at = put(line, 0, running ? running : "kernelHost");
    at = put(line, at, running ? ": the kernel died of " : ": died of ");
    at = put(line, at, text);
    /* Sent by the machine, not by kill: there is an address. */
    if (info->si_code > 0 && (number == SIGSEGV || number == SIGBUS)) {
        at = put(line, at, "; address ");
        at = put_hex(line, at, (uintptr_t)info->si_addr);
    }
    at = put(line, at, ")");
    line[at++] = '\n';
    ssize_t ignored = write(STDERR_FILENO, line, at);
    (void)ignored;
    watch_die(number);
}

/* What a kernel's exit(0) would be taken for is a try that succeeded. */
static void on_leave(int code, void *arg) {
    (void)arg;
    if (!running || getpid() != self)
        return;
    char line[LINE_MAX];
    size_t at = put(line, put(line, 0, running), ": the kernel called exit\n");
    ssize_t ignored = write(STDERR_FILENO, line, at);
    (void)ignored;
    if (!code) {
        fflush(stdout); /* what it printed; _exit would drop it */
        _exit(1);
    }
}

static void handle_crashes(void) {
    static char stack[CRASH_STACK];
    stack_t alternative = {.ss_sp = stack, .ss_size = sizeof stack};
    sigaltstack(&alternative, NULL);
    struct sigaction action = {.sa_sigaction = on_crash,
                               .sa_flags = (int)(SA_SIGINFO | SA_ONSTACK | SA_RESETHAND)};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < sizeof crashes / sizeof *crashes; i++)
        sigaction(crashes[i].number, &action, NULL);
}

void watch_start(bool by_hand) {
    self = getpid();
    struct sigaction cancel = {.sa_handler = on_cancel}, none = {.sa_handler = on_nothing};
    sigemptyset(&cancel.sa_mask);
    sigemptyset(&none.sa_mask);
    sigaction(SIGTERM, &cancel, NULL);
    cancel.sa_flags = (int)SA_RESETHAND;
    if (by_hand)
        sigaction(SIGINT, &cancel, NULL);
    sigaction(SIGPIPE, &none, NULL);
    handle_crashes();
    on_exit(on_leave, NULL);
}

bool watch_is_child(void) {
    return getpid() != self;
}

void watch_try_begins(const char *kernel) {
    running = kernel;
}

void watch_try_ends(void) {
    running = NULL;
}

int watch_cancelled(void) {
    return cancelled;
}

void watch_idle(bool now) {
    idle = now;
    if (now && cancelled)
        watch_die(cancelled);
}
