#include "manager/plan.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/config.h"
#include "common/words.h"
#include "manager/opt.h"

#define PLANNER "redisPlan"

extern char **environ;

/* What this command line sets, redisPlan finds in the environment. */
static void pass_settings(const struct args *args) {
    struct buf name = BUF_INIT;
    for (size_t i = 0; i < args->value_count; i++) {
        const struct opt_value *value = &args->values[i];
        if (value->opt->kind != KIND_SETTING)
            continue;
        buf_clear(&name);
        setting_variable(value->opt->setting, &name);
        setenv(name.data, value->text, 1);
    }
    /* Here a host is more than a URL of the environment, there it would not be. */
    if (args_given(args, "redis_host") && !args_given(args, "redis"))
        setenv("DISTCOMP_REDIS", "", 1);
    if (args_given(args, "conf"))
        setenv("DISTCOMP_CONF", args_text(args, "conf"), 1);
    buf_free(&name);
}

static void find_beside(const char *name, struct buf *path) {
    char self[PATH_MAX];
    ssize_t len = readlink("/proc/self/exe", self, sizeof self - 1);
    self[len > 0 ? len : 0] = '\0';
    char *slash = strrchr(self, '/');
    buf_add(path, self, slash ? (size_t)(slash - self) + 1 : 0);
    buf_adds(path, name);
}

/* Starts it with its standard output in a pipe, whose other end is *out. False: error. */
static bool start(char *const *argv, pid_t *pid, int *out, struct buf *error) {
    struct buf path = BUF_INIT;
    posix_spawn_file_actions_t actions;
    int ends[2];
    find_beside(PLANNER, &path);
    if (pipe2(ends, O_CLOEXEC) != 0) {
        buf_addf(error, "--plan: %s", strerror(errno));
        buf_free(&path);
        return false;
    }
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
    int code = posix_spawn(pid, path.data, &actions, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&actions);
    close(ends[1]);
    *out = ends[0];
    if (code != 0) {
        buf_addf(error, "--plan needs the program " PLANNER ": %s: %s", path.data, strerror(code));
        close(ends[0]);
    }
    buf_free(&path);
    return code == 0;
}

/* Whether it ended well. */
static bool ended(pid_t pid, struct buf *error) {
    int status;
    while (waitpid(pid, &status, 0) < 0)
        if (errno != EINTR) {
            buf_addf(error, "--plan: %s", strerror(errno));
            return false;
        }
    if (WIFSIGNALED(status))
        buf_addf(error, "--plan: " PLANNER " was ended by signal %d", WTERMSIG(status));
    else if (WEXITSTATUS(status) != 0)
        buf_adds(error, "--plan: " PLANNER " failed; nothing was loaded");
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static struct taskfile *run(char *const *argv, struct buf *error) {
    struct buf why = BUF_INIT;
    char name[32];
    pid_t pid;
    int out;
    if (!start(argv, &pid, &out, error))
        return NULL;
    snprintf(name, sizeof name, "/dev/fd/%d", out);
    struct taskfile *file = taskfile_open(name, TASKFILE_LINE, error); /* copies all that comes */
    close(out);
    bool good = ended(pid, &why);
    if (file && good) {
        taskfile_rename(file, "--plan");
    } else if (file) {
        taskfile_close(file);
        file = NULL;
        buf_adds(error, why.data);
    }
    buf_free(&why);
    return file;
}

struct taskfile *plan_open(const struct args *args, struct buf *error) {
    const char *text = args_text(args, "plan");
    struct words words = WORDS_INIT;
    struct taskfile *file = NULL;
    size_t at;
    struct buf why = BUF_INIT;
    if (!words_split(text, strlen(text), &words, &at, &why)) {
        buf_addf(error, "--plan, column %zu: %s", at + 1, why.data);
    } else if (words.count == 0) {
        buf_adds(error, "--plan: expected a planner and its arguments; see " PLANNER " --help");
    } else {
        char **argv = xcalloc(words.count + 2, sizeof *argv);
        argv[0] = PLANNER;
        memcpy(argv + 1, words.argv, words.count * sizeof *argv);
        pass_settings(args);
        file = run(argv, error);
        free(argv);
    }
    words_free(&words);
    buf_free(&why);
    return file;
}
