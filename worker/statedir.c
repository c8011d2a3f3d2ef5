#include "worker/statedir.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "worker/wire.h"

#define BOOT_ID_MAX   64
#define ATTACH_WAIT_S 5
#define LOCK_WAIT_MS  12000
#define LOCK_RETRY_MS 20

static int fail(char *error, size_t size, const char *fmt, ...)
    __attribute__((format(printf, 3, 4)));
static int fail(char *error, size_t size, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    vsnprintf(error, size, fmt, args);
    va_end(args);
    return STATEDIR_ERROR;
}

/* Makes path and the directories above it that are missing; refuses other people's. */
static int make_path(const char *path, char *error, size_t size) {
    char part[PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof part)
        return fail(error, size, "state_dir '%.80s' is empty or too long", path);
    for (size_t i = 1; i <= len; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0700) != 0 && errno != EEXIST)
            return fail(error, size, "cannot make %s: %s", part, strerror(errno));
        struct stat st;
        if (stat(part, &st) != 0)
            return fail(error, size, "cannot look at %s: %s", part, strerror(errno));
        if (!S_ISDIR(st.st_mode))
            return fail(error, size, "%s is not a directory; choose another --state_dir", part);
        if (st.st_uid != 0 && st.st_uid != geteuid())
            return fail(error, size,
                        "%s belongs to user %u, not to you; choose another --state_dir", part,
                        st.st_uid);
    }
    return STATEDIR_OK;
}

static int open_dir(struct statedir *sd, char *error, size_t size) {
    struct stat st;
    sd->dir_fd = open(sd->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (sd->dir_fd < 0 || fstat(sd->dir_fd, &st) != 0)
        return fail(error, size, "cannot open %s: %s", sd->path, strerror(errno));
    if (st.st_uid != geteuid())
        return fail(error, size, "%s belongs to user %u, not to you; choose another --state_dir",
                    sd->path, st.st_uid);
    if ((st.st_mode & 077) && fchmod(sd->dir_fd, 0700) != 0)
        return fail(error, size, "cannot make %s private: %s", sd->path, strerror(errno));
    return STATEDIR_OK;
}

static int resolve(struct statedir *sd, const char *path, char *error, size_t size) {
    char real[PATH_MAX];
    if (!realpath(path, real))
        return fail(error, size, "cannot find state_dir %s: %s", path, strerror(errno));
    struct sockaddr_un address;
    if (strlen(real) + sizeof "/supervisor.sock" > sizeof address.sun_path)
        return fail(error, size,
                    "state_dir %s is too long: its socket's path must be shorter than %zu bytes; "
                    "choose a shorter --state_dir",
                    real, sizeof address.sun_path);
    snprintf(sd->path, sizeof sd->path, "%s", real);
    return STATEDIR_OK;
}

static long holder(int lock_fd) {
    char text[32] = "";
    ssize_t n = pread(lock_fd, text, sizeof text - 1, 0);
    return n > 0 ? strtol(text, NULL, 10) : 0;
}

/* The lock is held, but the pid in it is dead: an aftermath (at most 10 s) or an attach has it. */
static bool holder_is_dead(const struct statedir *sd) {
    long pid = holder(sd->lock_fd);
    return pid <= 0 || (kill((pid_t)pid, 0) != 0 && errno == ESRCH);
}

static int lock(struct statedir *sd, int patience_ms, char *error, size_t size) {
    sd->lock_fd = openat(sd->dir_fd, "lock", O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (sd->lock_fd < 0)
        return fail(error, size, "cannot open %s/lock: %s", sd->path, strerror(errno));
    int why;
    while ((why = flock(sd->lock_fd, LOCK_EX | LOCK_NB) == 0 ? 0 : errno) == EWOULDBLOCK &&
           patience_ms > 0 && holder_is_dead(sd)) {
        poll(NULL, 0, LOCK_RETRY_MS);
        patience_ms -= LOCK_RETRY_MS;
    }
    if (!why)
        return STATEDIR_OK;
    if (why != EWOULDBLOCK)
        return fail(error, size, "cannot lock %s/lock: %s", sd->path, strerror(why));
    fail(error, size, "a worker (supervisor pid %ld) already runs on state_dir %s",
         holder(sd->lock_fd), sd->path);
    return STATEDIR_HELD;
}

static bool write_whole(int fd, const char *text) {
    size_t len = strlen(text);
    return write(fd, text, len) == (ssize_t)len;
}

static void boot_id(char id[BOOT_ID_MAX]) {
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? read(fd, id, BOOT_ID_MAX - 1) : 0;
    if (fd >= 0)
        close(fd);
    id[n > 0 ? n : 0] = 0;
    id[strcspn(id, "\n")] = 0;
}

#define LINE_MAX_BYTES 128
#define LIVES_BYTES    ((STATEDIR_LIVES + 1) * LINE_MAX_BYTES)

/* A line of the file `incarnation`. */
struct life {
    uint64_t incarnation; /* 0: not a line of ours */
    char boot[BOOT_ID_MAX];
    uint64_t device, inode; /* 0: written before an upgrade */
};

/* Where the next line begins. */
static const char *read_life(const char *line, struct life *life) {
    char *end;
    *life = (struct life){.incarnation = strtoull(line, &end, 16)};
    if (end - line != 16 || *end != ' ') {
        life->incarnation = 0;
    } else {
        size_t len = strcspn(++end, " \n");
        snprintf(life->boot, sizeof life->boot, "%.*s", (int)len, end);
        if (end[len] == ' ') {
            life->device = strtoull(end + len, &end, 16);
            life->inode = *end == ':' ? strtoull(end + 1, NULL, 16) : 0;
        }
    }
    line += strcspn(line, "\n");
    return *line ? line + 1 : line;
}

/* "" when there is none. */
static void read_lives(int dir_fd, char text[LIVES_BYTES]) {
    text[0] = 0;
    int fd = openat(dir_fd, "incarnation", O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
    if (fd < 0)
        return;
    ssize_t n = read(fd, text, LIVES_BYTES - 1);
    text[n > 0 ? n : 0] = 0;
    close(fd);
}

/* 0 when there is none. */
static uint64_t read_incarnation(const struct statedir *sd, bool *same_boot) {
    char text[LIVES_BYTES], now[BOOT_ID_MAX];
    struct life last;
    read_lives(sd->dir_fd, text);
    read_life(text, &last);
    boot_id(now);
    *same_boot = last.incarnation && strcmp(last.boot, now) == 0;
    return last.incarnation;
}

bool statedir_lives(const char *path, uint64_t own, struct statedir_life lives[STATEDIR_LIVES],
                    size_t *count) {
    char text[LIVES_BYTES] = "";
    *count = 0;
    int dir_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return false;
    read_lives(dir_fd, text);
    close(dir_fd);
    struct life mine, life;
    const char *at = read_life(text, &mine);
    if (mine.incarnation != own || !mine.inode)
        return false;
    while (*at && *count < STATEDIR_LIVES) {
        at = read_life(at, &life);
        bool same_boot = strcmp(life.boot, mine.boot) == 0;
        bool moved = life.inode && (life.inode != mine.inode || life.device != mine.device);
        if (life.incarnation && !(same_boot && moved))
            lives[(*count)++] = (struct statedir_life){life.incarnation, same_boot};
    }
    return true;
}

static int draw(struct statedir *sd, char *error, size_t size) {
    do {
        if (getrandom(&sd->incarnation, sizeof sd->incarnation, 0) != sizeof sd->incarnation)
            return fail(error, size, "no random numbers: %s", strerror(errno));
    } while (sd->incarnation == 0 || sd->incarnation == sd->previous);
    return STATEDIR_OK;
}

int statedir_open(struct statedir *sd, const char *path, char *error, size_t size) {
    *sd = (struct statedir){.dir_fd = -1, .lock_fd = -1, .out_fd = -1};
    int rc = make_path(path, error, size);
    if (rc == STATEDIR_OK)
        rc = resolve(sd, path, error, size);
    if (rc == STATEDIR_OK)
        rc = open_dir(sd, error, size);
    if (rc == STATEDIR_OK)
        rc = lock(sd, LOCK_WAIT_MS, error, size);
    if (rc == STATEDIR_OK) {
        char text[32];
        snprintf(text, sizeof text, "%d\n", getpid());
        if (ftruncate(sd->lock_fd, 0) != 0 || pwrite(sd->lock_fd, text, strlen(text), 0) < 0)
            rc = fail(error, size, "cannot write %s/lock: %s", sd->path, strerror(errno));
    }
    if (rc == STATEDIR_OK) {
        sd->previous = read_incarnation(sd, &sd->same_boot);
        rc = draw(sd, error, size);
    }
    if (rc == STATEDIR_OK) {
        if (mkdirat(sd->dir_fd, "out", 0700) != 0 && errno != EEXIST)
            rc = fail(error, size, "cannot make %s/out: %s", sd->path, strerror(errno));
        sd->out_fd = openat(sd->dir_fd, "out", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (rc == STATEDIR_OK && sd->out_fd < 0)
            rc = fail(error, size, "cannot open %s/out: %s", sd->path, strerror(errno));
    }
    if (rc != STATEDIR_OK)
        statedir_close(sd);
    return rc;
}

int statedir_commit(struct statedir *sd, char *error, size_t size) {
    char text[LIVES_BYTES + LINE_MAX_BYTES], old[LIVES_BYTES], id[BOOT_ID_MAX];
    struct stat st = {0};
    boot_id(id);
    read_lives(sd->dir_fd, old);
    char *end = old;
    for (int lines = 1; lines < STATEDIR_LIVES && *end; lines++)
        end += strcspn(end, "\n") + (end[strcspn(end, "\n")] == '\n');
    *end = 0;
    bool ok = fstat(sd->dir_fd, &st) == 0;
    snprintf(text, sizeof text, "%016" PRIx64 " %s %jx:%jx\n%s", sd->incarnation, id,
             (uintmax_t)st.st_dev, (uintmax_t)st.st_ino, old);
    /* Written aside and renamed: a crash leaves the old or the new, never half of one. */
    int fd = openat(sd->dir_fd, "incarnation.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    ok = ok && fd >= 0 && write_whole(fd, text) && fsync(fd) == 0;
    if (fd >= 0)
        close(fd);
    if (!ok || renameat(sd->dir_fd, "incarnation.new", sd->dir_fd, "incarnation") != 0)
        return fail(error, size, "cannot write %s/incarnation: %s", sd->path, strerror(errno));
    return STATEDIR_OK;
}

int statedir_peek(struct statedir *sd, const char *path, char *error, size_t size) {
    *sd = (struct statedir){.dir_fd = -1, .lock_fd = -1, .out_fd = -1};
    int rc = resolve(sd, path, error, size);
    if (rc == STATEDIR_OK)
        rc = open_dir(sd, error, size);
    if (rc == STATEDIR_OK)
        rc = lock(sd, 0, error, size);
    if (rc == STATEDIR_OK)
        sd->incarnation = read_incarnation(sd, &sd->same_boot);
    else
        statedir_close(sd);
    return rc;
}

void statedir_close(struct statedir *sd) {
    int *fds[] = {&sd->out_fd, &sd->lock_fd, &sd->dir_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++) {
        if (*fds[i] >= 0)
            close(*fds[i]);
        *fds[i] = -1;
    }
}

static void socket_address(const struct statedir *sd, struct sockaddr_un *address) {
    memset(address, 0, sizeof *address);
    address->sun_family = AF_UNIX;
    /* resolve() made sure that it fits */
    snprintf(address->sun_path, sizeof address->sun_path, "%.90s/supervisor.sock", sd->path);
}

int statedir_listen(const struct statedir *sd, char *error, size_t size) {
    struct sockaddr_un address;
    socket_address(sd, &address);
    unlink(address.sun_path); /* a dead supervisor's: we hold the lock */
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof address) != 0 ||
        chmod(address.sun_path, 0600) != 0 || listen(fd, 8) != 0) {
        fail(error, size, "cannot listen on %s: %s", address.sun_path, strerror(errno));
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static bool read_whole(int fd, void *bytes, size_t len) {
    for (size_t at = 0; at < len;) {
        ssize_t n = recv(fd, (char *)bytes + at, len - at, 0);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        at += (size_t)n;
    }
    return true;
}

/* Asks with a HELLO of pid 0 (wire.h) whether an agent is wanted. */
static int ask(int fd, const struct statedir *sd, char *error, size_t size) {
    struct {
        struct wire_frame frame;
        struct wire_hello hello;
    } question = {{WIRE_HELLO, sizeof(struct wire_hello)}, {WIRE_VERSION, 0}};
    struct {
        struct wire_frame frame;
        struct wire_welcome welcome;
    } answer;
    /* The supervisor refuses without waiting for the question, so a failed send may have an answer.
     */
    ssize_t sent = send(fd, &question, sizeof question, MSG_NOSIGNAL);
    (void)sent;
    if (!read_whole(fd, &answer, sizeof answer))
        return fail(error, size, "the supervisor (pid %ld) of state_dir %s does not answer",
                    holder(sd->lock_fd), sd->path);
    if (answer.frame.type != WIRE_WELCOME || answer.welcome.version < WIRE_VERSION_OLDEST ||
        answer.welcome.version > WIRE_VERSION)
        return fail(error, size,
                    "the supervisor (pid %ld) of state_dir %s is of another version: stop it first",
                    holder(sd->lock_fd), sd->path);
    if (answer.welcome.capacity > 0)
        return STATEDIR_OK;
    fail(error, size, "a worker already runs on state_dir %s: supervisor pid %u, agent pid %u",
         sd->path, answer.welcome.supervisor_pid, answer.welcome.agent_pid);
    return STATEDIR_HELD;
}

static int connect_and_ask(const struct statedir *sd, char *error, size_t size) {
    struct sockaddr_un address;
    socket_address(sd, &address);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return fail(error, size, "no socket: %s", strerror(errno));
    struct timeval wait = {.tv_sec = ATTACH_WAIT_S}, forever = {0};
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof wait);
    struct ucred peer;
    socklen_t peer_len = sizeof peer;
    int rc;
    if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0)
        rc = fail(error, size, "the supervisor (pid %ld) of state_dir %s cannot be reached: %s",
                  holder(sd->lock_fd), sd->path, strerror(errno));
    else if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_len) != 0 ||
             peer.uid != geteuid())
        rc = fail(error, size, "%s belongs to another user", address.sun_path);
    else
        rc = ask(fd, sd, error, size);
    if (rc != STATEDIR_OK) {
        close(fd);
        return rc;
    }
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &forever, sizeof forever);
    return fd;
}

int statedir_attach(const char *state_dir, char *error, size_t size) {
    struct statedir sd = {.dir_fd = -1, .lock_fd = -1, .out_fd = -1};
    if (access(state_dir, F_OK) != 0 && errno == ENOENT)
        return STATEDIR_NONE;
    int rc = resolve(&sd, state_dir, error, size);
    if (rc == STATEDIR_OK)
        rc = open_dir(&sd, error, size);
    if (rc == STATEDIR_OK)
        rc = lock(&sd, 0, error, size);
    /* The lock was free, or statedir_open will wait for the one who clears up. */
    if (rc == STATEDIR_OK || (rc == STATEDIR_HELD && holder_is_dead(&sd)))
        rc = STATEDIR_NONE;
    else if (rc == STATEDIR_HELD)
        rc = connect_and_ask(&sd, error, size);
    statedir_close(&sd);
    return rc;
}
