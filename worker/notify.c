#include "worker/notify.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static struct sockaddr_un address; /* sun_family 0: nobody listens */

bool notify_init(void) {
    const char *path = getenv("NOTIFY_SOCKET");
    if (path && (path[0] == '/' || path[0] == '@') && path[1] &&
        strlen(path) < sizeof address.sun_path) {
        address.sun_family = AF_UNIX;
        memcpy(address.sun_path, path, strlen(path) + 1);
    }
    unsetenv("NOTIFY_SOCKET");
    return address.sun_family == AF_UNIX;
}

void notify_restore(void) {
    if (address.sun_family == AF_UNIX)
        setenv("NOTIFY_SOCKET", address.sun_path, 1);
}

void notify_send(const char *fmt, ...) {
    char text[512];
    struct sockaddr_un to = address;
    if (to.sun_family != AF_UNIX)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    size_t len = offsetof(struct sockaddr_un, sun_path) + strlen(to.sun_path);
    if (to.sun_path[0] == '@')
        to.sun_path[0] = '\0'; /* the abstract name space */
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return;
    ssize_t sent = sendto(fd, text, strlen(text), MSG_NOSIGNAL | MSG_DONTWAIT,
                          (const struct sockaddr *)&to, (socklen_t)len);
    (void)sent; /* a manager that does not read is not our trouble */
    close(fd);
}
