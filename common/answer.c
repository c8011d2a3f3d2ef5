#include "common/answer.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

int answer_finish(const char *program, int code) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return code;
    int why = errno;
    struct pollfd reader = {.fd = fileno(stdout), .events = POLLOUT};
    if (poll(&reader, 1, 0) == 1 && (reader.revents & POLLERR)) {
        signal(SIGPIPE, SIG_DFL);
        raise(SIGPIPE);
    }
    fprintf(stderr, "%s: cannot write the answer: %s\n", program, strerror(why));
    return code ? code : 1;
}
