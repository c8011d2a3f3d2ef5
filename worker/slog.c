#include "worker/slog.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void slog(const char *fmt, ...) {
    int saved = errno;
    char line[1024] = "redisWorker: supervisor: ";
    size_t head = strlen(line);
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(line + head, sizeof line - head - 1, fmt, args);
    va_end(args);
    size_t len = head + (n > 0 ? (size_t)n : 0);
    if (len > sizeof line - 2)
        len = sizeof line - 2;
    line[len++] = '\n';
    struct pollfd p = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (poll(&p, 1, 0) == 1 && (p.revents & POLLOUT)) {
        ssize_t written = write(STDERR_FILENO, line, len);
        (void)written; /* nobody is left to tell */
    }
    errno = saved;
}
