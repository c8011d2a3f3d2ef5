#include "worker/agent_state.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "version.h"
#include "worker/launch.h"

enum { HOSTS_LEAST = 16 };

static int64_t file_mtime_ns(const char *path) {
    struct stat st;
    if (!*path || stat(path, &st) != 0)
        return 0;
    return st.st_mtim.tv_sec * INT64_C(1000000000) + st.st_mtim.tv_nsec;
}

/* Appends PREFIX and a word for each word of a list joined by ','. */
static void add_words(struct buf *caps, const char *prefix, const char *list) {
    for (const char *at = list; *at;) {
        size_t len = strcspn(at, ",");
        if (len)
            buf_addf(caps, "%s%.*s,", prefix, (int)len, at);
        at += len + (at[len] == ',');
    }
}

/* The words a worker can satisfy in a task's requires: its labels, what it can confine, and
 * kernels. */
static char *make_caps(const struct agent *a) {
    struct buf caps = BUF_INIT;
    buf_addc(&caps, ',');
    if (launch_hosts(a->wire_version))
        add_words(&caps, "kernel:", a->kernels.names);
    if (launch_confines(a->wire_version))
        buf_adds(&caps, "limit,pin,");
    add_words(&caps, "label:", a->config->labels);
    return buf_detach(&caps);
}

/* The same while as many native tasks run as may: the word `!kernel` says so (common/lua). */
static char *make_full_caps(const char *caps) {
    struct buf full = BUF_INIT;
    buf_addf(&full, "%s!kernel,", caps);
    return buf_detach(&full);
}

static json_t *list_kernels(const char *names) {
    json_t *list = json_array();
    for (const char *at = names; *at;) {
        size_t len = strcspn(at, ",");
        json_array_append_new(list, json_stringn(at, len));
        at += len + (at[len] == ',');
    }
    return list;
}

static char *make_info(const struct agent *a) {
    struct buf boot = BUF_INIT;
    resources_boot_id(&boot);
    json_t *info = json_pack(
        "{s:s, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:s, s:s, s:s, s:s, s:I}", "host",
        agent_node(), "pid", (json_int_t)a->supervisor_pid, "agent_pid", (json_int_t)getpid(),
        "boot", boot.data, "mcpu", (json_int_t)a->capacity.mcpu, "memory",
        (json_int_t)a->capacity.mem_bytes, "reserve", (json_int_t)a->capacity.reserve_bytes,
        "trigger", (json_int_t)a->trigger_bytes, "slots", (json_int_t)a->capacity.slots, "caps",
        a->caps, "labels", a->config->labels, "state_dir", a->config->state_dir, "version",
        DISTCOMP_VERSION, "started", (json_int_t)wall_now().ms);
    machine_describe(a->machine, info);
    if (launch_hosts(a->wire_version))
        json_object_set_new(info, "kernels", list_kernels(a->kernels.names));
    char *text = json_dumps(info, JSON_COMPACT);
    json_decref(info);
    buf_free(&boot);
    return text;
}

void config_measure(struct agent *a) {
    struct machine_use use;
    machine_use(a->machine, a->config, &use);
    a->trigger_bytes = use.return_bytes;
    a->capacity = (struct capacity){
        .mem_bytes = use.mem_bytes,
        .reserve_bytes =
            use.reserve_bytes > use.return_bytes ? use.reserve_bytes : use.return_bytes,
        .mcpu = use.mcpu,
        .slots = use.slots,
    };
    memory_watch_trigger(a);
    uint32_t cores = (a->capacity.mcpu + 999) / 1000;
    a->host_most = (uint32_t)a->config->max_kernel_hosts;
    if (!a->host_most)
        a->host_most = 2 * cores > HOSTS_LEAST ? 2 * cores : HOSTS_LEAST;
    kernels_find(&a->kernels, a->config->kernel_dir, a->argv[0]);
    free(a->caps);
    free(a->full_caps);
    a->caps = make_caps(a);
    a->full_caps = make_full_caps(a->caps);
    free(a->info);
    a->info = make_info(a);
    if (!a->config_mtime_ns)
        a->config_mtime_ns = file_mtime_ns(a->config->file);
}

/* What a running worker cannot change stays as it is. */
static void keep_identity(struct config *fresh, struct config *old, struct buf *kept) {
    char **pairs[][2] = {{&fresh->name, &old->name},
                         {&fresh->queue, &old->queue},
                         {&fresh->state_dir, &old->state_dir},
                         {&fresh->redis, &old->redis},
                         {&fresh->redis_host, &old->redis_host},
                         {&fresh->redis_pass, &old->redis_pass},
                         {&fresh->sentinel_pass, &old->sentinel_pass}};
    for (size_t i = 0; i < sizeof pairs / sizeof *pairs; i++) {
        if (strcmp(*pairs[i][0], *pairs[i][1]) != 0)
            buf_adds(kept, "x");
        char *swap = *pairs[i][0];
        *pairs[i][0] = *pairs[i][1];
        *pairs[i][1] = swap;
    }
    fresh->redis_port = old->redis_port;
    fresh->redis_db = old->redis_db;
}

/* What it says of itself has changed. */
static void tell_anew(struct agent *a) {
    config_measure(a);
    a->registered = false;
    a->claim_wanted = true;
}

void config_reload(struct agent *a) {
    struct config fresh;
    struct buf error = BUF_INIT, changed = BUF_INIT, kept = BUF_INIT;
    if (!config_load(&fresh, a->flags, &error)) {
        log_event(LOG_ERROR, "config_refused", kv_text("why", error.data));
        config_free(&fresh);
    } else {
        size_t differing = config_diff(a->config, &fresh, &changed);
        keep_identity(&fresh, a->config, &kept);
        if (kept.len)
            log_event(LOG_WARN, "config_needs_restart",
                      kv_text("why", "name, queue, state_dir and redis are read only at start"));
        config_free(a->config);
        *a->config = fresh;
        if (differing)
            log_event(LOG_INFO, "config_read", kv_text("changed", changed.data));
        log_setup(STDERR_FILENO, (enum log_level)a->config->log_level,
                  (enum log_format)a->config->log_format);
        tell_anew(a);
    }
    buf_free(&error);
    buf_free(&changed);
    buf_free(&kept);
}

void config_look_kernels(struct agent *a) {
    if (!a->caps || !kernels_find(&a->kernels, a->config->kernel_dir, a->argv[0]))
        return;
    log_event(LOG_INFO, "kernels", kv_text("names", a->kernels.names));
    tell_anew(a);
}

void config_look(struct agent *a) {
    int64_t mtime = file_mtime_ns(a->config->file);
    if (mtime == a->config_mtime_ns)
        return;
    a->config_mtime_ns = mtime;
    config_reload(a);
}
