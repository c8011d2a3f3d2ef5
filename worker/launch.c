#include "worker/launch.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/words.h"
#include "worker/hostwire.h"
#include "worker/plaincmd.h"

enum { PLAIN_WORDS = 256 }; /* a longer command goes through the shell */
#define STRINGS_MOST (WIRE_FRAME_MAX - sizeof(struct wire_start))

/* Longer parameters go by a file: the environment has to fit into the message, too. */
#define NATIVE_PARAMS_MOST (HOST_MESSAGE_MAX / 2)

/* Variables by which libraries decide how many threads to use. */
enum { THREAD_VARIABLES = 5 };
static const char *const thread_variables[THREAD_VARIABLES] = {
    "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS"};
static bool environment_read, thread_variable_set[THREAD_VARIABLES];

void launch_read_environment(void) {
    for (size_t i = 0; i < THREAD_VARIABLES; i++)
        thread_variable_set[i] = getenv(thread_variables[i]) != NULL;
    environment_read = true;
}

static void add_string(struct buf *strings, uint32_t *count, const char *s, size_t len) {
    buf_add(strings, s, len);
    buf_addc(strings, '\0');
    ++*count;
}

static void add_text(struct buf *strings, uint32_t *count, const char *s) {
    add_string(strings, count, s, strlen(s));
}

static void add_shell(struct launch *launch, struct buf *strings, uint32_t *count,
                      const struct task *task, const struct config *config,
                      const char *script_path) {
    add_text(strings, count, config->shell);
    if (task->params_len < LAUNCH_ARGUMENT_MAX) {
        add_text(strings, count, "-c");
        add_string(strings, count, task->params, task->params_len);
    } else {
        buf_add(&launch->script, task->params, task->params_len);
        buf_addc(&launch->script, '\n');
        add_text(strings, count, script_path);
    }
}

static void make_shell(struct launch *launch, struct buf *strings, const struct task *task,
                       const struct config *config, const char *script_path) {
    struct plain_word words[PLAIN_WORDS];
    size_t count;
    if (strcmp(config->shell, "/bin/sh") == 0 && task->params_len < LAUNCH_ARGUMENT_MAX &&
        plain_command(task->params, task->params_len, words, PLAIN_WORDS, &count)) {
        launch->head.flags |= WIRE_START_DIRECT;
        for (size_t i = 0; i < count; i++)
            add_string(strings, &launch->head.argc, task->params + words[i].start, words[i].len);
        add_shell(launch, strings, &launch->head.fallback_argc, task, config, script_path);
    } else {
        add_shell(launch, strings, &launch->head.argc, task, config, script_path);
    }
}

static bool make_python(struct launch *launch, struct buf *strings, const struct task *task,
                        const struct config *config, struct buf *error) {
    struct words words = WORDS_INIT;
    size_t offset;
    bool ok = words_split(task->params, task->params_len, &words, &offset, error);
    if (ok) {
        launch->head.flags |= WIRE_START_DIRECT;
        add_text(strings, &launch->head.argc, config->python);
        for (size_t i = 0; i < words.count; i++)
            add_text(strings, &launch->head.argc, words.argv[i]);
        /* An interpreter that is not there says so as a shell would: exit code 127. */
        add_text(strings, &launch->head.fallback_argc, "/bin/sh");
        add_text(strings, &launch->head.fallback_argc, "-c");
        add_text(strings, &launch->head.fallback_argc, "exec \"$0\" \"$@\"");
        add_text(strings, &launch->head.fallback_argc, config->python);
        for (size_t i = 0; i < words.count; i++)
            add_text(strings, &launch->head.fallback_argc, words.argv[i]);
    }
    words_free(&words);
    return ok;
}

static bool make_native(struct launch *launch, struct buf *strings, const struct task *task,
                        const struct launch_extra *extra, const char *script_path,
                        struct buf *error) {
    if (!launch_hosts(extra->wire_version)) {
        buf_adds(error, "native tasks need a supervisor that is newer than this worker's: restart "
                        "the worker with its supervisor");
        return false;
    }
    if (!extra->kernels || !*extra->kernels->host) {
        buf_adds(error, "native tasks need the program kernelHost beside redisWorker");
        return false;
    }
    launch->head.flags |= WIRE_START_HOST;
    add_text(strings, &launch->head.argc, extra->kernels->host);
    add_text(strings, &launch->head.argc, "serve");
    if (task->params_len <= NATIVE_PARAMS_MOST) {
        add_string(strings, &launch->head.argc, task->params, task->params_len);
    } else {
        buf_add(&launch->script, task->params, task->params_len);
        buf_addc(strings, '@');
        add_text(strings, &launch->head.argc, script_path);
    }
    return true;
}

static void add_variable(struct launch *launch, struct buf *strings, const char *name,
                         const char *value) {
    buf_addf(strings, "%s=%s", name, value);
    buf_addc(strings, '\0');
    launch->head.envc++;
}

/* Is NAME= of `entry` (name_len with the '=') among the strings from `from` on? */
static bool is_named(const struct buf *strings, size_t from, const char *entry, size_t name_len) {
    for (size_t at = from; at < strings->len; at += strlen(strings->data + at) + 1)
        if (strncmp(strings->data + at, entry, name_len) == 0)
            return true;
    return false;
}

static bool task_sets(const struct task *task, const char *name) {
    size_t len = strlen(name);
    for (size_t i = 0; i < task->option_count; i++) {
        const struct task_option *option = &task->options[i];
        if (option->tag == OPT_ENV && option->len > len && option->value[len] == '=' &&
            memcmp(option->value, name, len) == 0)
            return true;
    }
    return false;
}

/* No name twice: programs differ in which of the two they see. */
static void add_task_env(struct launch *launch, struct buf *strings, size_t from,
                         const struct task *task) {
    size_t ours = strings->len;
    for (size_t i = 0; i < task->option_count; i++) {
        const struct task_option *option = &task->options[i];
        const char *equals =
            option->tag == OPT_ENV ? memchr(option->value, '=', option->len) : NULL;
        if (!equals)
            continue;
        struct buf head = {strings->data, ours, 0};
        if (!is_named(&head, from, option->value, (size_t)(equals - option->value) + 1))
            add_string(strings, &launch->head.envc, option->value, option->len);
    }
}

static uint32_t threads(const struct run *run, const struct task *task) {
    const struct placement *p = run->placement;
    if (p && p->pinned && p->pin != PLACEMENT_NUMA) /* a node is shared with others */
        return cpus_count(&p->cpus);
    return task->mcpu < 2000 ? 1 : task->mcpu / 1000;
}

static void add_number(struct launch *launch, struct buf *strings, const char *name,
                       uint64_t value) {
    char number[32];
    snprintf(number, sizeof number, "%" PRIu64, value);
    add_variable(launch, strings, name, number);
}

/* What a kernel may use, and where its data is. */
static void add_native_environment(struct launch *launch, struct buf *strings,
                                   const struct run *run, const struct task *task,
                                   const struct config *config, const struct launch_extra *extra) {
    add_number(launch, strings, "DISTCOMP_THREADS", threads(run, task));
    add_number(launch, strings, "DISTCOMP_MEMORY", run->mem_bytes);
    add_variable(launch, strings, "DISTCOMP_KERNEL_DIR", extra->kernels->dirs);
    if (extra->redis_url && *extra->redis_url)
        add_variable(launch, strings, "DISTCOMP_REDIS", extra->redis_url);
    add_number(launch, strings, "DISTCOMP_OBJECT_MAX", config->object_max_bytes);
    add_number(launch, strings, "DISTCOMP_OBJECT_TTL", (uint64_t)config->object_ttl_ms / 1000);
    if (!run->placement || !run->placement->gpus)
        add_variable(launch, strings, "CUDA_VISIBLE_DEVICES", "");
}

static void add_environment(struct launch *launch, struct buf *strings, const struct run *run,
                            const struct task *task, const struct config *config,
                            const struct launch_extra *extra) {
    char number[32];
    size_t from = strings->len;
    add_variable(launch, strings, "DISTCOMP_TASK_ID", run->id);
    snprintf(number, sizeof number, "%u", run->try_number);
    add_variable(launch, strings, "DISTCOMP_TRY", number);
    add_variable(launch, strings, "DISTCOMP_WORKER", config->name);
    add_variable(launch, strings, "DISTCOMP_QUEUE", config->queue);
    buf_addf(strings, "DISTCOMP_COOKIE=%s.%s", run->id, run->nonce);
    buf_addc(strings, '\0');
    launch->head.envc++;
    const struct task_option *repeat = task_option(task, OPT_REPEAT);
    if (repeat) {
        snprintf(number, sizeof number, "%.*s", (int)repeat->len, repeat->value);
        add_variable(launch, strings, "DISTCOMP_REPEAT", number);
    }
    if (run->placement && run->placement->gpus)
        add_variable(launch, strings, "CUDA_VISIBLE_DEVICES", run->placement->gpus);
    if (task->type == TASK_NATIVE)
        add_native_environment(launch, strings, run, task, config, extra);
    if (!environment_read)
        launch_read_environment();
    snprintf(number, sizeof number, "%u", threads(run, task));
    for (size_t i = 0; i < THREAD_VARIABLES; i++)
        if (!thread_variable_set[i] && !task_sets(task, thread_variables[i]))
            add_variable(launch, strings, thread_variables[i], number);
    add_task_env(launch, strings, from, task);
}

bool launch_confines(uint32_t wire_version) {
    return wire_version >= WIRE_VERSION_CONFINED;
}

bool launch_hosts(uint32_t wire_version) {
    return wire_version >= WIRE_VERSION_HOST;
}

/* Appends a name, if there is one, and its NUL. Returns how many bytes. */
static uint32_t add_name(struct buf *out, const char *name) {
    size_t len = strlen(name);
    if (len == 0)
        return 0;
    buf_add(out, name, len + 1);
    return (uint32_t)len + 1;
}

/* What confines the task, in front of everything else of the tail. */
static bool add_confine(struct launch *launch, const struct placement *placement,
                        const struct launch_extra *extra, struct buf *error) {
    struct wire_confine c = {.data_bytes = extra->data_bytes};
    struct buf names = BUF_INIT;
    bool pinned = placement && placement->pinned, hard = placement && placement->hard;
    if (extra->entry)
        c.cgroup_len = add_name(&names, extra->entry->dir);
    for (size_t i = 0; extra->entry && i < CGROUP_ENTRIES; i++) {
        uint32_t len = add_name(&names, extra->entry->procs[i]);
        c.procs_len += len;
        c.procs_count += len > 0;
    }
    c.flags = hard ? WIRE_CONFINE_STRICT : 0;
    for (uint32_t word = 0; pinned && word < CPUS_MAX / 64; word++)
        if (placement->cpus.bits[word])
            c.cpus_len = 8 * (word + 1);
    bool wanted = c.data_bytes || pinned || c.cgroup_len || c.procs_count;
    bool able = launch_confines(extra->wire_version);
    if (wanted && able) {
        launch->head.flags |= WIRE_START_CONFINED;
        buf_add(&launch->tail, &c, sizeof c);
        if (pinned)
            buf_add(&launch->tail, &placement->cpus, c.cpus_len);
        buf_add(&launch->tail, names.data, names.len);
    }
    buf_free(&names);
    if (able || !(pinned || hard))
        return true;
    buf_adds(error,
             "limit=hard and pin= need a supervisor that is newer than this worker's: restart "
             "the worker with its supervisor");
    return false;
}

/* The supervisor takes no longer ones, and would drop us. */
static bool check_lengths(const struct launch *launch, struct buf *error) {
    if (launch->head.cwd_len >= PATH_MAX) {
        buf_addf(error, "its working directory's name has %u bytes, at most %d can be",
                 launch->head.cwd_len, PATH_MAX - 1);
        return false;
    }
    if (launch->tail.len > STRINGS_MOST) {
        buf_addf(error, "its arguments and environment take %zu bytes, at most %zu can be",
                 launch->tail.len, (size_t)STRINGS_MOST);
        return false;
    }
    uint64_t message =
        sizeof(struct host_request) + launch->head.cwd_len + 1 + (uint64_t)launch->head.strings_len;
    if ((launch->head.flags & WIRE_START_HOST) && message > HOST_MESSAGE_MAX) {
        buf_addf(error, "its parameters and environment take %llu bytes, at most %u can be",
                 (unsigned long long)message, HOST_MESSAGE_MAX);
        return false;
    }
    return true;
}

bool launch_make(struct launch *launch, const struct run *run, const struct config *config,
                 const struct launch_extra *extra, const char *script_path, struct buf *error) {
    struct task_head head;
    struct task task;
    memset(launch, 0, sizeof *launch);
    launch->tail = launch->script = (struct buf)BUF_INIT;
    if (!task_decode(run->record.data, run->record.len, &head, &task)) {
        buf_adds(error, "its record cannot be read");
        return false;
    }
    struct wire_host host = {.key = run->host_key, .most = extra->host_most};
    if (task.type == TASK_NATIVE)
        buf_add(&launch->tail, &host, sizeof host);
    if (!add_confine(launch, run->placement, extra, error))
        return false;
    size_t note = launch->tail.len;
    run_note(run, &launch->tail);
    launch->head.note_len = (uint32_t)(launch->tail.len - note);
    launch->head.oom_score_adj = extra->oom_score_adj;
    const struct task_option *cwd = task_option(&task, OPT_CWD);
    if (cwd) {
        size_t from = launch->tail.len;
        char own[PATH_MAX];
        if (cwd->value[0] != '/' && getcwd(own, sizeof own)) /* as the worker sees it */
            buf_addf(&launch->tail, "%s/", own);
        buf_add(&launch->tail, cwd->value, cwd->len);
        launch->head.cwd_len = (uint32_t)(launch->tail.len - from);
    }
    const struct task_option *leftovers = task_option(&task, OPT_LEFTOVERS);
    if (leftovers && leftovers->len == 4 && memcmp(leftovers->value, "wait", 4) == 0)
        launch->head.flags |= WIRE_START_WAIT_LEFTOVER;
    launch->head.slot = run->slot;
    launch->head.timeout_ms = (uint64_t)task_option_number(&task, OPT_TIMEOUT, config->timeout_ms);
    launch->head.grace_ms = (uint32_t)config->kill_grace_ms;
    size_t start = launch->tail.len;
    if (task.type == TASK_PYTHON) {
        if (!make_python(launch, &launch->tail, &task, config, error))
            return false;
    } else if (task.type == TASK_SHELL) {
        make_shell(launch, &launch->tail, &task, config, script_path);
    } else if (!make_native(launch, &launch->tail, &task, extra, script_path, error)) {
        return false;
    }
    add_environment(launch, &launch->tail, run, &task, config, extra);
    launch->head.strings_len = (uint32_t)(launch->tail.len - start);
    return check_lengths(launch, error);
}

void launch_free(struct launch *launch) {
    buf_free(&launch->tail);
    buf_free(&launch->script);
}
