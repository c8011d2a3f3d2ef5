#include "manager/interrupt.h"

#include <signal.h>
#include <stddef.h>

static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
#define SIGNALS (sizeof signals / sizeof *signals)

static volatile sig_atomic_t caught;

static void remember(int number) {
    caught = number;
}

static void set_all(void (*handler)(int), int flags) {
    struct sigaction action = {.sa_handler = handler, .sa_flags = flags};
    sigemptyset(&action.sa_mask);
    for (size_t i = 0; i < SIGNALS; i++) {
        struct sigaction old;
        /* What was ignored from the start (nohup) stays ignored. */
        if (sigaction(signals[i], NULL, &old) == 0 && old.sa_handler != SIG_IGN)
            sigaction(signals[i], &action, NULL);
    }
}

void interrupt_catch(void) {
    caught = 0;
    set_all(remember, (int)SA_RESETHAND);
}

void interrupt_release(void) {
    set_all(SIG_DFL, 0);
}

bool interrupt_caught(void) {
    return caught != 0;
}

int interrupt_exit(void) {
    return 128 + caught;
}
