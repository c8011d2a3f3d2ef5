/*
 * chaos_task: what chaos.py runs as tasks; chaos_marks.h says what it writes.
 *
 *     chaos_task NUMBER ok|fail|flaky|again|hang|away|flood|tree MS
 */
#include "tests/chaos/chaos_marks.h"

#include <signal.h>
#include <string.h>

enum { FLOOD_BYTES = 1 << 20 };

/* A daemon in a session of its own, whose parent is gone. Returns once it lives. */
static void leave_daemon(void) {
    int ready[2];
    char byte;
    if (pipe(ready) != 0)
        return;
    if (fork() == 0) {
        setsid();
        if (fork() == 0) {
            mark('D', 0);
            if (write(ready[1], "", 1) == 1) {
                close(ready[0]);
                close(ready[1]);
            }
            pass(DAEMON_MS, 'D');
        }
        _exit(0);
    }
    close(ready[1]);
    if (read(ready[0], &byte, 1) < 0)
        return;
    close(ready[0]);
}

static void flood(void) {
    static char text[4096];
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\n';
    for (int fd = 1; fd <= 2; fd++)
        for (size_t sent = 0; sent < FLOOD_BYTES; sent += sizeof text)
            if (write(fd, text, sizeof text) < 0)
                return;
}

int main(int argc, char **argv) {
    if (argc != 4)
        return 2;
    number = strtol(argv[1], NULL, 10);
    const char *kind = argv[2];
    long ms = strtol(argv[3], NULL, 10), try = strtol(environment("DISTCOMP_TRY"), NULL, 10);
    int code = 0;
    if (!marks_open())
        return 120;
    mark('S', 0);
    if (strcmp(kind, "fail") == 0) {
        code = 1;
    } else if (strcmp(kind, "flaky") == 0) {
        code = flaky_code(try);
    } else if (strcmp(kind, "again") == 0) {
        code = try < 3 ? 75 : 0;
    } else if (strcmp(kind, "hang") == 0) {
        signal(SIGTERM, SIG_IGN);
        ms = 1 << 30;
    } else if (strcmp(kind, "away") == 0) {
        leave_daemon();
    } else if (strcmp(kind, "flood") == 0) {
        flood();
    } else if (strcmp(kind, "tree") == 0) {
        leave_children();
    }
    pass(ms, 'B');
    mark('E', code);
    return code;
}
