#include "kernels/host/serve.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/buf.h"
#include "kernels/host/hostenv.h"
#include "kernels/host/plugin.h"
#include "kernels/host/request.h"
#include "kernels/host/try.h"
#include "kernels/host/tryuse.h"
#include "kernels/host/watch.h"

#define FILES 2 /* standard output and error */

static struct {
    int fd;
    int start_dir;
    struct buf pwd; /* the variable PWD */
    char message[HOST_MESSAGE_MAX + 1];
} serve = {.pwd = BUF_INIT};

/* --- a request ---------------------------------------------------------------------------------
 */

/* Descriptors that came with a message; those that nobody asked for are closed. False: too few. */
static bool take_files(struct msghdr *message, bool wanted) {
    int files[FILES] = {-1, -1};
    struct cmsghdr *control = CMSG_FIRSTHDR(message);
    size_t count = 0;
    if (control && control->cmsg_level == SOL_SOCKET && control->cmsg_type == SCM_RIGHTS) {
        count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        memcpy(files, CMSG_DATA(control), (count < FILES ? count : FILES) * sizeof(int));
    }
    bool good = !wanted || (count == FILES && dup2(files[0], STDOUT_FILENO) >= 0 &&
                            dup2(files[1], STDERR_FILENO) >= 0);
    for (size_t i = 0; i < FILES; i++)
        if (files[i] >= 0)
            close(files[i]);
    return good;
}

/* Bytes of the next message in serve.message; 0: end of file; -1: why. */
static ssize_t receive(struct request *request, const char **why) {
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(FILES * sizeof(int))];
    } control;
    struct iovec bytes = {serve.message, HOST_MESSAGE_MAX};
    struct msghdr message = {.msg_iov = &bytes,
                             .msg_iovlen = 1,
                             .msg_control = &control,
                             .msg_controllen = sizeof control};
    watch_idle(true);
    ssize_t len;
    do
        len = recvmsg(serve.fd, &message, MSG_CMSG_CLOEXEC);
    while (len < 0 && errno == EINTR);
    watch_idle(false);
    if (len <= 0)
        return 0; /* a connection that is reset has ended too */
    serve.message[len] = '\0';
    *why = "it is too long";
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC) ||
        !request_read(serve.message, (size_t)len, request, why))
        return -1;
    *why = "its files cannot be used";
    return take_files(&message, request->head.flags & HOST_NEW_FILES) ? len : -1;
}

/* --- a try -------------------------------------------------------------------------------------
 */

/* Each time: the kernel before may have gone elsewhere, or the directory have been made anew. */
static bool change_dir(const char *cwd) {
    if ((cwd ? chdir(cwd) : fchdir(serve.start_dir)) == 0)
        return true;
    fprintf(stderr, "kernelHost: cannot change to the task's directory %s: %s\n",
            cwd ? cwd : "(the worker's)", strerror(errno));
    return false;
}

static bool has_variable(const struct request *request, const char *name) {
    const char *at = request->env;
    for (uint32_t i = 0; i < request->head.envc; i++, at += strlen(at) + 1)
        if (!strncmp(at, name, strlen(name)))
            return true;
    return false;
}

/* Parameters that were too long for a message. */
static bool read_text(const char *path, struct buf *text) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : 1;
    while (n > 0) {
        buf_reserve(text, HOST_MESSAGE_MAX);
        n = read(fd, text->data + text->len, HOST_MESSAGE_MAX);
        text->len += n > 0 ? (size_t)n : 0;
        text->data[text->len] = '\0';
    }
    if (n < 0)
        fprintf(stderr, "kernelHost: the parameters' file %s cannot be read: %s\n", path,
                strerror(errno));
    if (fd >= 0)
        close(fd);
    return n == 0;
}

static int run_text(const char *text) {
    if (*text != '@')
        return try_text(text, strlen(text));
    struct buf long_text = BUF_INIT;
    int code = TRY_FAILED;
    if (read_text(text + 1, &long_text))
        code = try_text(long_text.data, long_text.len);
    buf_free(&long_text);
    return code;
}

static int run_request(const struct request *request) {
    const char *pwd = NULL;
    if (request->cwd && !has_variable(request, "PWD=")) {
        buf_clear(&serve.pwd);
        buf_addf(&serve.pwd, "PWD=%s", request->cwd);
        pwd = serve.pwd.data;
    }
    hostenv_set(request->env, request->head.envc, pwd);
    return change_dir(request->cwd) ? run_text(request->text) : TRY_FAILED;
}

static bool is_empty(int fd) {
    struct stat st;
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0;
}

/* False: the supervisor is gone. */
static bool answer(int code, uint32_t number) {
    bool silent = is_empty(STDOUT_FILENO) && is_empty(STDERR_FILENO);
    struct host_done done = {.version = HOST_VERSION,
                             .code = code,
                             .use = tryuse_take(),
                             .flags = silent ? HOST_SILENT : 0,
                             .number = number};
    ssize_t sent;
    do
        sent = send(serve.fd, &done, sizeof done, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)sizeof done;
}

/* A try that was asked to end is the host's last. */
static void leave_if_cancelled(int code, uint32_t request) {
    int number = watch_cancelled();
    if (!number)
        return;
    if (code == TRY_DONE) {
        answer(code, request); /* an end with 0 alone is no success: a kernel may call _exit */
        plugin_close_all();
        exit(TRY_DONE);
    }
    watch_die(number);
}

static void forked(void) {
    close(serve.fd);
    serve.fd = -1;
}

int serve_run(int fd) {
    struct request request;
    const char *why;
    ssize_t len;
    serve.fd = fd;
    fcntl(fd, F_SETFD, FD_CLOEXEC);
    pthread_atfork(NULL, NULL, forked);
    serve.start_dir = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    watch_start(false);
    hostenv_start();
    tryuse_start();
    while ((len = receive(&request, &why)) > 0) {
        int code = run_request(&request);
        if (serve.fd < 0)
            _exit(code); /* a child that came back: the try is its parent's */
        leave_if_cancelled(code, request.head.number);
        if (!answer(code, request.head.number))
            break;
        tryuse_settle();
    }
    if (len < 0)
        fprintf(stderr, "kernelHost: a request of the supervisor cannot be read: %s\n", why);
    plugin_close_all();
    close(fd);
    return len < 0 ? SERVE_MALFORMED : 0;
}

int serve_main(int argc, char **argv) {
    (void)argv;
    const char *text = getenv("DISTCOMP_HOST_FD");
    char *end = NULL;
    long fd = text ? strtol(text, &end, 10) : -1;
    if (argc || fd < 0 || !end || *end || fd > INT32_MAX || fcntl((int)fd, F_GETFD) < 0) {
        fputs("kernelHost: serve is for redisWorker, which starts it with a socket in "
              "DISTCOMP_HOST_FD; by hand: kernelHost run\n",
              stderr);
        return TRY_REFUSED;
    }
    unsetenv("DISTCOMP_HOST_FD");
    hostenv_for_libraries();
    return serve_run((int)fd);
}
