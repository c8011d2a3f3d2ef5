/*
 * redisWorker: runs the tasks of a queue on this machine.
 *
 * One program, two roles (docs/operations.md). Started by a user it becomes the supervisor, which
 * starts the same program again as the agent; or, where a supervisor without an agent lives on the
 * state_dir (after SIGUSR1), the agent of that one.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/config.h"
#include "common/link.h"
#include "common/log.h"
#include "version.h"
#include "worker/agent.h"
#include "worker/detached.h"
#include "worker/machine.h"
#include "worker/machine_show.h"
#include "worker/notify.h"
#include "worker/statedir.h"
#include "worker/supervisor.h"

enum { EXIT_USAGE = 2, SUPERVISOR_SLOTS_MOST = 4096, SPARE_SLOTS = 512, ATTACH_MS = 1000 };

static void print_help(void) {
    printf("usage: redisWorker [--SETTING VALUE]...\n\n"
           "Runs the tasks of a queue on this machine until it is stopped. Settings are flags, "
           "environment\n"
           "variables DISTCOMP_SETTING, or keys of conf.json, in this order of precedence:\n\n");
    for (size_t i = 0; i < SETTING_TOTAL; i++) {
        const struct setting *s = &settings[i];
        if (!(s->scope & CONFIG_WORKER))
            continue;
        printf("  --%s", s->key);
        if (s->preset[0])
            printf(" (%s)", s->preset);
        printf("\n      %s\n", s->help);
    }
    printf("  --conf FILE\n      read this conf.json\n"
           "  --show_resources [--json]\n      print what this machine has and what of it would be "
           "used, and leave\n"
           "  --help, --version\n\n"
           "Signals: SIGTERM drains and leaves, a second one gives tasks back at once; SIGINT "
           "gives back at\n"
           "once; SIGHUP reads conf.json again; SIGUSR1 leaves, and the tasks run on for the next\n"
           "redisWorker with this state_dir. Exit: 0 left, 1 failed, 2 bad usage.\n");
}

/* What is asked for besides running tasks. */
struct wish {
    bool show_resources, json;
};

static bool take_wish(const char *word, struct wish *wish) {
    bool show = strcmp(word, "--show_resources") == 0 || strcmp(word, "--show-resources") == 0;
    bool json = strcmp(word, "--json") == 0;
    wish->show_resources = wish->show_resources || show;
    wish->json = wish->json || json;
    return show || json;
}

/* Reads the command line. Returns -1 to go on, else the exit code. */
static int read_flags(int argc, char **argv, struct config_flags *flags, struct wish *wish) {
    struct buf error = BUF_INIT;
    for (int i = 1; i < argc;) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            print_help();
            return 0;
        }
        if (strcmp(argv[i], "--version") == 0 || strcmp(argv[i], "-V") == 0) {
            printf("redisWorker %s\n", DISTCOMP_VERSION);
            return 0;
        }
        if (take_wish(argv[i], wish)) {
            i++;
            continue;
        }
        int took = config_take_flag(flags, argc, argv, i, CONFIG_WORKER, &error);
        if (took <= 0) {
            if (took == 0)
                buf_addf(&error, "unknown option %s", argv[i]);
            fprintf(stderr, "redisWorker: %s; see redisWorker --help\n", error.data);
            buf_free(&error);
            return EXIT_USAGE;
        }
        i += took;
    }
    if (wish->json && !wish->show_resources) {
        fprintf(stderr, "redisWorker: --json goes with --show_resources\n");
        return EXIT_USAGE;
    }
    return -1;
}

/* Prints what is wrong with the inventory, and returns NULL, when that is so. */
static struct machine *open_machine(const struct config *config) {
    struct buf error = BUF_INIT;
    struct machine *machine = machine_open(config->inventory, "", &error);
    if (!machine)
        fprintf(stderr, "redisWorker: %s\n", error.data);
    buf_free(&error);
    return machine;
}

static int show_resources(const struct config *config, bool json) {
    struct machine *machine = open_machine(config);
    struct buf out = BUF_INIT;
    if (!machine)
        return EXIT_USAGE;
    if (json)
        machine_show_json(machine, config, &out);
    else
        machine_show_text(machine, config, &out);
    fputs(out.data, stdout);
    bool ok = fflush(stdout) == 0;
    if (!ok)
        fprintf(stderr, "redisWorker: cannot write to standard output: %s\n", strerror(errno));
    buf_free(&out);
    machine_close(machine);
    return ok ? 0 : 1;
}

/* A wrong password or address should be seen by whoever starts the worker, not by its log. */
static bool check_redis(const struct config *config) {
    struct buf error = BUF_INIT;
    struct endpoint endpoint;
    bool ok = endpoint_from_config(&endpoint, config, &error);
    struct link *link = ok ? link_open(&endpoint, &error) : NULL;
    if (!link)
        fprintf(stderr, "redisWorker: %s\n", error.data);
    link_close(link);
    endpoint_free(&endpoint);
    buf_free(&error);
    return link != NULL;
}

/* How many tries the supervisor has room for; 0 when the inventory is bad. */
static uint32_t slots(const struct config *config) {
    struct machine *machine = open_machine(config);
    struct machine_use use;
    if (!machine)
        return 0;
    machine_use(machine, config, &use);
    machine_close(machine);
    uint32_t all = use.slots + SPARE_SLOTS; /* ended tries keep theirs until Redis knows */
    return all < SUPERVISOR_SLOTS_MOST ? all : SUPERVISOR_SLOTS_MOST;
}

static struct supervisor_options make_options(const struct config *config, char **argv) {
    return (struct supervisor_options){
        .state_dir = config->state_dir,
        .capacity = slots(config),
        .output_max = config->output_max_bytes,
        .host_idle_ms = (uint32_t)config->kernel_idle_ms,
        .agent_argv = argv,
        .orphan_policy = config->orphan_policy == ORPHAN_KEEP ? SUPERVISOR_ORPHANS_KEEP
                                                              : SUPERVISOR_ORPHANS_STOP,
    };
}

/* An agent that has just left, or died, may still be there in the supervisor's eyes. */
static int attach(const char *state_dir, char *error, size_t size) {
    int fd = statedir_attach(state_dir, error, size);
    for (int waited_ms = 0; fd == STATEDIR_HELD && waited_ms < ATTACH_MS; waited_ms += 50) {
        poll(NULL, 0, 50);
        fd = statedir_attach(state_dir, error, size);
    }
    return fd;
}

static int run(struct config *config, const struct config_flags *flags, char **argv) {
    log_setup(STDERR_FILENO, (enum log_level)config->log_level,
              (enum log_format)config->log_format);
    const char *agent_fd = getenv("DISTCOMP_AGENT_FD");
    if (agent_fd) {
        int fd = (int)strtol(agent_fd, NULL, 10);
        unsetenv("DISTCOMP_AGENT_FD");
        return agent_run(fd, config, flags, false, argv);
    }
    bool managed = notify_init(), again = getenv(AGENT_AGAIN) != NULL;
    unsetenv(AGENT_AGAIN);
    char error[512];
    /* With tasks to take over, a Redis that is away is no reason to leave them alone. */
    int fd = attach(config->state_dir, error, sizeof error);
    if (fd == STATEDIR_NONE) {
        struct supervisor_options options = make_options(config, argv);
        if (!options.capacity)
            return EXIT_USAGE;
        if (!again && !check_redis(config))
            return 1;
        if (!managed)
            return supervisor_run(&options);
        fd = detached_start(&options, error, sizeof error);
    }
    if (fd >= 0)
        return agent_run(fd, config, flags, true, argv);
    fprintf(stderr, "redisWorker: %s\n", error);
    return 1;
}

int main(int argc, char **argv) {
    struct config_flags flags = CONFIG_FLAGS_INIT;
    struct config config;
    struct buf error = BUF_INIT;
    static char
        self[4096]; /* the supervisor starts this again, under whatever name it was called */
    struct wish wish = {false, false};
    int code = read_flags(argc, argv, &flags, &wish);
    if (code >= 0) {
        config_flags_free(&flags);
        return code;
    }
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n > 0)
        argv[0] = self;
    if (!config_load(&config, &flags, &error)) {
        fprintf(stderr, "redisWorker: %s\n", error.data);
        code = EXIT_USAGE;
    } else if (wish.show_resources) {
        code = show_resources(&config, wish.json);
    } else {
        code = run(&config, &flags, argv);
    }
    buf_free(&error);
    config_free(&config);
    config_flags_free(&flags);
    return code;
}
