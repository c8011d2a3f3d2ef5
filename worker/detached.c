#include "worker/detached.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/statedir.h"

enum { START_MS = 15000, RETRY_MS = 5 }; /* an aftermath may hold the state_dir for 12 s */

/* In the daemon: never returns. */
static void supervise(const struct supervisor_options *given) {
    struct supervisor_options options = *given;
    options.agent_argv = NULL;
    options.leave_when_idle = true;
    _exit(supervisor_run(&options));
}

/* Forks twice, so that it is not our child. alive_fd stays open in it, and only there. */
static int start_daemon(const struct supervisor_options *options, const int alive[2]) {
    pid_t pid = fork();
    if (pid < 0)
        return -1;
    if (pid == 0) {
        setsid();
        pid_t second = fork();
        if (second == 0) {
            close(alive[0]);
            supervise(options);
        }
        _exit(second < 0 ? errno : 0);
    }
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR)
            return -1;
    errno = WIFEXITED(status) ? WEXITSTATUS(status) : EAGAIN;
    return errno == 0 ? 0 : -1;
}

/* Until it listens, or has died. */
static int wait_for_it(const char *state_dir, int alive_fd, char *error, size_t size) {
    struct pollfd dead = {.fd = alive_fd, .events = POLLIN};
    for (int waited_ms = 0;; waited_ms += RETRY_MS) {
        bool gone = poll(&dead, 1, RETRY_MS) > 0;
        int fd = statedir_attach(state_dir, error, size);
        if (fd >= 0 || (fd == STATEDIR_HELD && gone))
            return fd;
        if (gone) {
            snprintf(error, size, "the supervisor of state_dir %s did not start", state_dir);
            return STATEDIR_ERROR;
        }
        if (waited_ms >= START_MS) {
            if (fd == STATEDIR_NONE)
                snprintf(error, size, "no supervisor came up on state_dir %s", state_dir);
            return STATEDIR_ERROR;
        }
    }
}

int detached_start(const struct supervisor_options *options, char *error, size_t size) {
    int alive[2], fd = STATEDIR_ERROR;
    if (pipe2(alive, O_CLOEXEC) != 0) {
        snprintf(error, size, "no pipe: %s", strerror(errno));
        return STATEDIR_ERROR;
    }
    fflush(NULL);
    if (start_daemon(options, alive) != 0) {
        snprintf(error, size, "cannot start the supervisor: %s", strerror(errno));
        close(alive[1]);
    } else {
        close(alive[1]);
        fd = wait_for_it(options->state_dir, alive[0], error, size);
    }
    close(alive[0]);
    return fd;
}
