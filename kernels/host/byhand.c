#include "kernels/host/byhand.h"

#include <errno.h>
#include <jansson.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/config.h"
#include "common/endpoint.h"
#include "common/units.h"
#include "kernels/host/hostenv.h"
#include "kernels/host/paramtext.h"
#include "kernels/host/plugin.h"
#include "kernels/host/plugindir.h"
#include "kernels/host/try.h"
#include "kernels/host/watch.h"

#define THREADS_MOST 4096u

static int refuse(const char *format, const char *what) __attribute__((format(printf, 1, 0)));

static int refuse(const char *format, const char *what) {
    fputs("kernelHost: ", stderr);
    fprintf(stderr, format, what);
    fputs("; see kernelHost --help\n", stderr);
    return TRY_REFUSED;
}

/* --- options -----------------------------------------------------------------------------------
 */

enum { FOR_LIST = 1, FOR_RUN = 2, FOR_ALL = 3 };

static bool set_variable(const char *name, const char *value) {
    return setenv(name, value, 1) == 0;
}

static bool set_number(const char *name, uint64_t value) {
    char text[32];
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    return set_variable(name, text);
}

static bool set_dirs(const char *value) {
    return set_variable("DISTCOMP_KERNEL_DIR", value);
}

static bool set_gpu(const char *value) {
    return set_variable("CUDA_VISIBLE_DEVICES", value);
}

static bool set_threads(const char *value) {
    uint64_t count;
    const char *expected;
    return units_parse_uint(value, strlen(value), 1, THREADS_MOST, &count, &expected) &&
           set_variable("DISTCOMP_THREADS", value);
}

static bool set_memory(const char *value) {
    uint64_t bytes;
    const char *expected;
    if (!units_parse_bytes(value, strlen(value), 1, &bytes, &expected))
        return false;
    return set_number("DISTCOMP_MEMORY", bytes);
}

/* They become what a worker says, by the same variables. */
static const struct option {
    const char *name;
    bool (*set)(const char *value);
    const char *expected;
    int scope;
} options[] = {
    {"kernel_dir", set_dirs, "directories joined by ':'", FOR_ALL},
    {"threads", set_threads, "a number from 1 to 4096", FOR_RUN},
    {"memory", set_memory, "a size, as 512MiB or 2G", FOR_RUN},
    {"gpu", set_gpu, "cards as CUDA_VISIBLE_DEVICES has them", FOR_RUN},
};

/* The option that word begins; its value when that is in the word too. */
static const struct option *find_option(const char *word, int scope, const char **value) {
    char name[32];
    size_t len = strcspn(word, "=");
    *value = word[len] ? word + len + 1 : NULL;
    if (len >= sizeof name)
        return NULL;
    for (size_t i = 0; i <= len; i++) /* --kernel-dir is --kernel_dir */
        name[i] = i == len ? '\0' : word[i] == '-' ? '_' : word[i];
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (options[i].scope & scope && !strcmp(options[i].name, name))
            return &options[i];
    return NULL;
}

/* Takes the options before the first other word; *at is that one's place. 0, or the code. */
static int take_options(int argc, char **argv, int scope, bool *json, int *at) {
    for (*at = 0; *at < argc && argv[*at][0] == '-'; ++*at) {
        const char *word = argv[*at], *value;
        if (!strcmp(word, "--")) {
            ++*at;
            break;
        }
        if (json && !strcmp(word, "--json")) {
            *json = true;
            continue;
        }
        const struct option *option =
            !strncmp(word, "--", 2) ? find_option(word + 2, scope, &value) : NULL;
        if (!option)
            return refuse("unknown option %s", word);
        if (!value && ++*at < argc)
            value = argv[*at];
        if (!value || !option->set(value)) {
            fprintf(stderr, "kernelHost: --%s: expected %s\n", option->name, option->expected);
            return TRY_REFUSED;
        }
    }
    return 0;
}

/* --- list, help --------------------------------------------------------------------------------
 */

static int finish_output(void) {
    if (fflush(stdout) == 0 && !ferror(stdout))
        return TRY_DONE;
    fprintf(stderr, "kernelHost: cannot write to standard output: %s\n", strerror(errno));
    return TRY_FAILED;
}

/* Adds a row for a plug-in that can be used. Else says why it cannot, and returns false. */
static bool list_one(const struct plugin_file *file, json_t *array) {
    struct buf error = BUF_INIT;
    struct plugin *plugin = NULL;
    bool good = plugin_open(file->name, &plugin, &error) == PLUGIN_OK;
    if (!good)
        fprintf(stderr, "kernelHost: %s\n", error.data);
    else if (array)
        json_array_append_new(array, paramtext_json(plugin->kernel, plugin->path));
    else
        printf("%-16s %s\n", plugin->name, plugin->kernel->summary ? plugin->kernel->summary : "");
    buf_free(&error);
    return good;
}

/* Only to look at plug-ins: their libraries need no threads for that. */
static void prepare_to_look(void) {
    if (!getenv("DISTCOMP_THREADS"))
        set_variable("DISTCOMP_THREADS", "1");
    hostenv_for_libraries();
    plugindir_set(getenv("DISTCOMP_KERNEL_DIR"));
}

int byhand_list(int argc, char **argv) {
    bool json = false, good = true;
    int at;
    int code = take_options(argc, argv, FOR_LIST, &json, &at);
    if (code)
        return code;
    if (at < argc)
        return refuse("list takes no operand, found %s", argv[at]);
    prepare_to_look();
    json_t *array = json ? json_array() : NULL;
    struct plugin_files files;
    plugindir_files(&files);
    for (size_t i = 0; i < files.count; i++)
        good = list_one(&files.list[i], array) && good;
    plugindir_files_free(&files);
    if (array) {
        json_dumpf(array, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(array);
    }
    code = finish_output();
    return code ? code : good ? TRY_DONE : TRY_FAILED;
}

int byhand_help(int argc, char **argv) {
    int at;
    int code = take_options(argc, argv, FOR_LIST, NULL, &at);
    if (code)
        return code;
    if (argc - at != 1)
        return refuse("%s: expected one KERNEL", "help");
    struct buf text = BUF_INIT;
    struct plugin *plugin;
    prepare_to_look();
    enum plugin_result result = plugin_open(argv[at], &plugin, &text);
    if (result == PLUGIN_OK) {
        paramtext_help(plugin->kernel, plugin->path, &text);
        fputs(text.data, stdout);
        code = finish_output();
    } else {
        fprintf(stderr, "kernelHost: %s\n", text.data);
        code = result == PLUGIN_UNKNOWN ? TRY_REFUSED : TRY_FAILED;
    }
    buf_free(&text);
    return code;
}

/* --- estimate, run -----------------------------------------------------------------------------
 */

/* As redisManager finds it. */
static bool find_redis(struct buf *error) {
    struct config_flags flags = CONFIG_FLAGS_INIT;
    struct config config;
    struct endpoint endpoint;
    struct buf url = BUF_INIT;
    bool known = config_load(&config, &flags, error);
    if (known) {
        known = endpoint_from_config(&endpoint, &config, error);
        if (known && !endpoint_add_url(&endpoint, &url)) {
            buf_adds(
                error,
                "only Sentinels know where Redis is; by hand, give DISTCOMP_REDIS=redis://...");
            known = false;
        }
        endpoint_free(&endpoint);
    }
    if (known) {
        set_variable("DISTCOMP_REDIS", url.data);
        set_variable("DISTCOMP_QUEUE", config.queue);
        set_number("DISTCOMP_OBJECT_MAX", config.object_max_bytes);
        set_number("DISTCOMP_OBJECT_TTL", (uint64_t)(config.object_ttl_ms + 999) / 1000);
    }
    buf_free(&url);
    config_free(&config);
    return known;
}

static void set_default_threads(void) {
    cpu_set_t cpus;
    char text[16];
    int count = sched_getaffinity(0, sizeof cpus, &cpus) == 0 ? CPU_COUNT(&cpus) : 1;
    snprintf(text, sizeof text, "%d", count);
    if (!getenv("DISTCOMP_THREADS") && !getenv("OMP_NUM_THREADS"))
        set_variable("DISTCOMP_THREADS", text);
}

/* Options, and what else a worker would have set; 0, or the code. */
static int prepare(int argc, char **argv, const char *command, int *at) {
    int code = take_options(argc, argv, FOR_RUN | FOR_LIST, NULL, at);
    if (code)
        return code;
    if (*at == argc)
        return refuse("%s: expected KERNEL key=value ...", command);
    set_default_threads();
    hostenv_for_libraries();
    try_find_redis = find_redis;
    watch_start(true);
    return 0;
}

int byhand_run(int argc, char **argv) {
    int at;
    int code = prepare(argc, argv, "run", &at);
    if (code)
        return code;
    code = try_words(argv + at, (size_t)(argc - at));
    plugin_close_all();
    if (code != TRY_DONE && watch_cancelled())
        watch_die(watch_cancelled());
    return code;
}

int byhand_estimate(int argc, char **argv) {
    struct kernel_estimate estimate;
    int at;
    int code = prepare(argc, argv, "estimate", &at);
    if (code)
        return code;
    code = try_estimate(argv + at, (size_t)(argc - at), &estimate);
    plugin_close_all();
    if (code)
        return code;
    printf("memory_bytes=%llu flops=%.6g device=%s\n", (unsigned long long)estimate.memory_bytes,
           estimate.flops, estimate.gpu ? "gpu" : "cores");
    return finish_output();
}
