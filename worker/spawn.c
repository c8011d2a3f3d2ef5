#include "worker/spawn.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "worker/capture.h"
#include "worker/clonein.h"
#include "worker/confine.h"
#include "worker/slog.h"
#include "worker/slot.h"

#if defined(__SANITIZE_ADDRESS__)
#define SPAWN_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SPAWN_ASAN 1
#endif
#endif
#ifdef SPAWN_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

#define STRINGS_MAX                                                                                \
    262144 /* argv and env pointers of one task: more than execve takes by default */
#define BASE_MAX   4096
#define STACK_SIZE (64 * 1024)

extern char **environ;

/* What the child is to do. Its strings live in the frame; all is in static memory, shared with it.
 */
struct order {
    char **argv, **fallback, **envp; /* fallback NULL: none */
    const char *path;                /* PATH to look argv[0] up in; NULL: argv[0] is a path */
    const char *cwd;                 /* NULL: ours */
    char out_name[CAPTURE_NAME_MAX], err_name[CAPTURE_NAME_MAX];
    int out_flags, err_flags;
    int oom_score_adj;
    int keep_fd; /* the agent's socket, or a host's; -1: none */
    bool task;   /* or a host; else the agent */
    struct confine confine;
    volatile int error;
    volatile enum wire_step step;
};

static char *pointers[STRINGS_MAX + BASE_MAX + 16];
static char *base_env[BASE_MAX];
static size_t base_name_len[BASE_MAX]; /* with its '=' */
static size_t base_count;
static char state_dir_entry[STATEDIR_PATH_MAX + 32], incarnation_entry[64];
static char base_pwd_entry[PATH_MAX + 8];
static int null_fd = -1;
static int32_t own_pid;
static char child_stack[STACK_SIZE] __attribute__((aligned(64)));

static void close_on_exec_all(void) {
#ifdef CLOSE_RANGE_CLOEXEC
    if (close_range(3, ~0u, CLOSE_RANGE_CLOEXEC) == 0)
        return;
#endif
    struct rlimit limit;
    int max = getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < 65536 ? (int)limit.rlim_cur
                                                                              : 65536;
    for (int fd = 3; fd < max; fd++)
        fcntl(fd, F_SETFD, FD_CLOEXEC);
}

/* What tasks begin with. Whoever started us by posix_spawn (make does) may have left the C
 * library's own two signals ignored; signal() refuses those, so the kernel is asked: its struct
 * sigaction in zeros is SIG_DFL. */
static void default_signals(void) {
    static const uint64_t zeros[16];
    for (int i = 1; i < NSIG; i++)
        if (i != SIGKILL && i != SIGSTOP)
            syscall(SYS_rt_sigaction, i, zeros, NULL, (size_t)(NSIG - 1) / 8);
}

bool spawn_init(const struct statedir *sd) {
    own_pid = getpid();
    close_on_exec_all();
    do { /* standard descriptors that were closed would be taken by files of ours */
        null_fd = open("/dev/null", O_RDWR);
        if (null_fd < 0)
            return false;
    } while (null_fd < 3);
    if (fcntl(null_fd, F_SETFD, FD_CLOEXEC) != 0)
        return false;
    default_signals();
    snprintf(state_dir_entry, sizeof state_dir_entry, "DISTCOMP_STATE_DIR=%s", sd->path);
    snprintf(incarnation_entry, sizeof incarnation_entry, "DISTCOMP_INCARNATION=%016" PRIx64,
             sd->incarnation);
    memcpy(base_pwd_entry, "PWD=", 4);
    if (!getcwd(base_pwd_entry + 4, PATH_MAX))
        base_pwd_entry[4] = '/';
    base_count = 0;
    for (char **e = environ; *e && base_count < BASE_MAX; e++) {
        const char *equals = strchr(*e, '=');
        if (!equals)
            continue;
        if (strncmp(*e, "PWD=", 4) == 0)
            snprintf(base_pwd_entry, sizeof base_pwd_entry, "%.*s", PATH_MAX, *e);
        base_env[base_count] = *e;
        base_name_len[base_count++] = (size_t)(equals - *e) + 1;
    }
    return true;
}

/* ---- In the child: system calls only. ---- */

static int give_up(struct order *o, enum wire_step step) {
    o->error = errno;
    o->step = step;
    return 127;
}

static void set_oom_score(int adj) {
    char text[16];
    int n = 0, value = adj < 0 ? -adj : adj;
    char digits[8];
    int count = 0;
    do
        digits[count++] = (char)('0' + value % 10);
    while ((value /= 10) && count < 7);
    if (adj < 0)
        text[n++] = '-';
    while (count)
        text[n++] = digits[--count];
    int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return;
    ssize_t written = write(fd, text, (size_t)n); /* a wish: lowering it takes a privilege */
    (void)written;
    close(fd);
}

static enum wire_step redirect(const struct order *o) {
    const int flags = O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW;
    int out = openat(capture_dir(), o->out_name, flags | o->out_flags, 0600);
    if (out < 0)
        return WIRE_STEP_STDOUT;
    int err = openat(capture_dir(), o->err_name, flags | o->err_flags, 0600);
    if (err < 0)
        return WIRE_STEP_STDERR;
    if (dup2(null_fd, 0) < 0 || dup2(out, 1) < 0 || dup2(err, 2) < 0)
        return WIRE_STEP_REDIRECT;
    return WIRE_STEP_NONE;
}

/* As dash searches: each directory of PATH in turn, an empty one is the current. Returns when none
   ran; errors other than "not here" end the search, because the shell would treat them in ways of
   its own. */
static void execute_in_path(const struct order *o) {
    static char candidate[2 * PATH_MAX];
    size_t name_len = strlen(o->argv[0]);
    for (const char *p = o->path;; p++) {
        size_t dir_len = strcspn(p, ":");
        if (dir_len + name_len + 2 > sizeof candidate)
            return;
        memcpy(candidate, p, dir_len);
        if (dir_len)
            candidate[dir_len] = '/';
        memcpy(candidate + dir_len + (dir_len > 0), o->argv[0], name_len + 1);
        execve(candidate, o->argv, o->envp);
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            return;
        p += dir_len;
        if (*p == 0)
            return;
    }
}

static int child(void *argument) {
    struct order *o = argument;
    if (setsid() < 0)
        return give_up(o, WIRE_STEP_SESSION);
    if (o->task) {
        /* The agent does not die with us: it is the one who then clears up. */
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0)
            return give_up(o, WIRE_STEP_DEATH_SIGNAL);
        if (getppid() != own_pid)
            _exit(127); /* the supervisor died before the line above */
        enum wire_step step = redirect(o);
        if (step != WIRE_STEP_NONE)
            return give_up(o, step);
        if (o->oom_score_adj)
            set_oom_score(o->oom_score_adj);
        if ((step = confine_self(&o->confine)) != WIRE_STEP_NONE)
            return give_up(o, step);
    }
    if (o->keep_fd >= 0 && fcntl(o->keep_fd, F_SETFD, 0) != 0)
        return give_up(o, WIRE_STEP_SOCKET);
    if (o->cwd && chdir(o->cwd) != 0)
        return give_up(o, WIRE_STEP_CWD);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    if (o->path)
        execute_in_path(o);
    else
        execve(o->argv[0], o->argv, o->envp);
    if (o->fallback)
        execve(o->fallback[0], o->fallback, o->envp);
    return give_up(o, WIRE_STEP_EXECUTE);
}

static int child_exits(void *argument) {
    _exit(child(argument));
}

/* ---- In the supervisor. ---- */

static int clone_outside(struct order *o) {
    return clone(child_exits, child_stack + sizeof child_stack, CLONE_VM | CLONE_VFORK | SIGCHLD,
                 o);
}

/* Born in its cgroup, or, where that cannot be, made to go there itself. */
static int clone_confined(struct order *o) {
    static bool never; /* the kernel cannot, or may not */
    if (o->confine.cgroup_fd < 0)
        return clone_outside(o);
    if (!never) {
        int pid = clone_into(o->confine.cgroup_fd, child_exits, o, child_stack, sizeof child_stack);
        if (pid > 0 || errno == EAGAIN || errno == ENOMEM)
            return pid;
        never = errno == ENOSYS || errno == E2BIG;
    }
    o->confine.enter = true;
    return clone_outside(o);
}

/* AddressSanitizer is told that the thread changes to the child's stack and back: the child shares
 * its state with us. What the child's functions had marked there stays, since they never return. */
#ifdef SPAWN_ASAN
static int clone_child(struct order *o) {
    void *fake = NULL;
    const void *bottom = NULL;
    size_t size = 0;
    ASAN_UNPOISON_MEMORY_REGION(child_stack, sizeof child_stack);
    __sanitizer_start_switch_fiber(&fake, child_stack, sizeof child_stack);
    __sanitizer_finish_switch_fiber(NULL, &bottom, &size);
    int pid = clone_confined(o);
    __sanitizer_start_switch_fiber(NULL, bottom, size);
    __sanitizer_finish_switch_fiber(fake, NULL, NULL);
    return pid;
}
#else
static int clone_child(struct order *o) {
    return clone_confined(o);
}
#endif

static struct spawn_result run(struct order *o) {
    o->error = 0;
    o->step = WIRE_STEP_NONE;
    int pid = clone_child(o);
    if (pid < 0)
        return (struct spawn_result){.error = errno, .step = WIRE_STEP_FORK};
    if (o->error == 0)
        return (struct spawn_result){.pid = pid};
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return (struct spawn_result){.error = o->error, .step = o->step};
}

/* Is NAME= of `entry` (its length with '=') among the strings? */
static bool named_in(char *const *strings, size_t count, const char *entry, size_t name_len) {
    for (size_t i = 0; i < count; i++)
        if (strings[i][0] == entry[0] && strncmp(strings[i], entry, name_len) == 0)
            return true;
    return false;
}

/* env at `at`: ours, `own` further ones of the supervisor, then the frame's, then what is left of
 * the base. */
static void build_env(size_t at, char *pwd, char *const *own, size_t own_count, const char *strings,
                      uint32_t envc) {
    size_t begin = at;
    pointers[at++] = state_dir_entry;
    pointers[at++] = incarnation_entry;
    pointers[at++] = pwd;
    for (size_t i = 0; i < own_count; i++)
        pointers[at++] = own[i];
    size_t ours = at - begin;
    for (uint32_t i = 0; i < envc; i++, strings += strlen(strings) + 1) {
        const char *equals = strchr(strings, '=');
        if (equals && !named_in(pointers + begin, ours, strings, (size_t)(equals - strings) + 1))
            pointers[at++] = (char *)strings;
    }
    size_t end = at;
    for (size_t i = 0; i < base_count; i++)
        if (!named_in(pointers + begin, end - begin, base_env[i], base_name_len[i]))
            pointers[at++] = base_env[i];
    pointers[at] = NULL;
}

static const char *find_path(char *const *envp) {
    for (; *envp; envp++)
        if (strncmp(*envp, "PATH=", 5) == 0)
            return *envp + 5;
    return NULL;
}

static const char *take_strings(size_t *at, const char *strings, uint32_t count) {
    for (uint32_t i = 0; i < count; i++, strings += strlen(strings) + 1)
        pointers[(*at)++] = (char *)strings;
    pointers[(*at)++] = NULL;
    return strings;
}

/* What the child needs of the view besides arguments and environment. False: it cannot be. */
static bool prepare(struct order *o, uint32_t files, const struct wire_start_view *view,
                    struct spawn_result *failed) {
    const struct wire_start *h = &view->head;
    *failed = (struct spawn_result){.error = E2BIG, .step = WIRE_STEP_ARGUMENTS};
    if ((uint64_t)h->argc + h->fallback_argc + h->envc > STRINGS_MAX)
        return false;
    *failed = (struct spawn_result){.error = EINVAL, .step = WIRE_STEP_RELATIVE};
    if (h->cwd_len && view->cwd[0] != '/')
        return false;
    memset(o, 0, sizeof *o);
    bool ok = confine_open(&o->confine, view);
    *failed = (struct spawn_result){.error = errno, .step = WIRE_STEP_CGROUP};
    o->task = true;
    o->keep_fd = -1;
    o->oom_score_adj = h->oom_score_adj;
    capture_name(files, 0, o->out_name);
    capture_name(files, 1, o->err_name);
    o->out_flags = capture_open_flags(files, 0);
    o->err_flags = capture_open_flags(files, 1);
    return ok;
}

static struct spawn_result run_confined(struct order *o) {
    struct spawn_result result = run(o);
    confine_close(&o->confine);
    return result;
}

struct spawn_result spawn_task(uint32_t slot, const struct wire_start_view *view) {
    static struct order o; /* static: the child must not find it on a stack that moves */
    static char pwd[PATH_MAX + 8] = "PWD=";
    const struct wire_start *h = &view->head;
    struct spawn_result failed;
    if (!prepare(&o, slot, view, &failed))
        return failed;
    size_t at = 0;
    o.argv = pointers;
    const char *strings = take_strings(&at, view->strings, h->argc);
    o.fallback = h->fallback_argc ? pointers + at : NULL;
    strings = take_strings(&at, strings, h->fallback_argc);
    o.envp = pointers + at;
    if (h->cwd_len) {
        memcpy(pwd + 4, view->cwd, h->cwd_len);
        pwd[4 + h->cwd_len] = 0;
        o.cwd = pwd + 4;
    }
    build_env(at, h->cwd_len ? pwd : base_pwd_entry, NULL, 0, strings, h->envc);
    if ((h->flags & WIRE_START_DIRECT) && o.argv[0] && !strchr(o.argv[0], '/')) {
        o.path = find_path(o.envp);
        /* No PATH: the shell has a default of its own. '%': dash gives it a meaning there. */
        if (o.fallback && (!o.path || strchr(o.path, '%'))) {
            o.path = NULL;
            o.argv = o.fallback;
            o.fallback = NULL;
        }
    }
    return run_confined(&o);
}

struct spawn_result spawn_host(uint32_t files, const struct wire_start_view *view, int socket_fd,
                               const char *cookie) {
    static struct order o;
    static char socket_entry[32], cookie_entry[SLOT_COOKIE_MAX];
    char *const own[] = {socket_entry, cookie_entry};
    struct spawn_result failed;
    if (!prepare(&o, files, view, &failed))
        return failed;
    snprintf(socket_entry, sizeof socket_entry, "DISTCOMP_HOST_FD=%d", socket_fd);
    snprintf(cookie_entry, sizeof cookie_entry, "%s", cookie);
    size_t at = 0;
    o.argv = pointers;
    const char *strings = take_strings(&at, view->strings, view->head.argc);
    o.argv[2] = NULL; /* the rest is the try's */
    o.envp = pointers + at;
    o.keep_fd = socket_fd;
    build_env(at, base_pwd_entry, own, 2, strings, view->head.envc);
    return run_confined(&o);
}

const char *spawn_cookie(const struct wire_start_view *view) {
    const char *s = view->strings;
    for (uint32_t i = 0; i < view->head.argc + view->head.fallback_argc; i++)
        s += strlen(s) + 1;
    for (uint32_t i = 0; i < view->head.envc; i++, s += strlen(s) + 1)
        if (strncmp(s, "DISTCOMP_COOKIE=", 16) == 0)
            return s;
    return NULL;
}

struct spawn_result spawn_agent(char *const *argv, int socket_fd) {
    static struct order o;
    static char socket_entry[32];
    memset(&o, 0, sizeof o);
    confine_none(&o.confine);
    snprintf(socket_entry, sizeof socket_entry, "DISTCOMP_AGENT_FD=%d", socket_fd);
    o.argv = (char **)argv;
    o.envp = pointers;
    o.keep_fd = socket_fd;
    size_t at = 0;
    pointers[at++] = socket_entry;
    for (size_t i = 0; i < base_count; i++)
        if (strncmp(base_env[i], "DISTCOMP_AGENT_FD=", 18) != 0)
            pointers[at++] = base_env[i];
    pointers[at] = NULL;
    return run(&o);
}
