/*
 * usage_cost.c - what it costs to measure tasks: CPU time of one sample of N `sleep` tasks, by
 * processes in /proc and by version 2 cgroup, and of the quick look at 10 of them.
 *
 *     usage_cost [TASKS [SAMPLES]]     one line of JSON a way
 */
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "worker/usage.h"

enum { QUICK = 10 };

static double cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static pid_t start(const struct cgroup_entry *entry) {
    int dir = entry && entry->dir[0] ? open(entry->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC) : -1;
    struct clone_args args = {
        .exit_signal = SIGCHLD, .flags = dir >= 0 ? CLONE_INTO_CGROUP : 0, .cgroup = (unsigned)dir};
    pid_t pid = dir >= 0 ? (pid_t)syscall(SYS_clone3, &args, sizeof args) : fork();
    if (pid == 0) {
        setsid();
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        execlp("sleep", "sleep", "1000", (char *)NULL);
        _exit(1);
    }
    if (dir >= 0)
        close(dir);
    return pid;
}

/* One line; the tasks are those of `groups`, or without cgroups. */
static void measure(const char *name, struct cgroups *groups, uint32_t tasks, uint32_t samples) {
    struct usage_options options = {"", groups, getpid(), tasks, 0};
    struct usage *usage = usage_new(&options);
    pid_t *pids = calloc(tasks, sizeof *pids);
    struct buf error = BUF_INIT;
    for (uint32_t i = 0; pids && i < tasks; i++) {
        struct cgroup_entry entry = {0};
        if (groups)
            cgroup_begin(groups, i, &(struct cgroup_limits){0}, &entry, &error);
        pids[i] = start(&entry);
        if (groups)
            cgroup_confirm(groups, i, pids[i]);
        usage_add(usage, i, pids[i], "DISTCOMP_COOKIE=bench");
    }
    nanosleep(&(struct timespec){1, 0}, NULL);
    double first = cpu_us();
    usage_sample(usage);
    double begun = cpu_us();
    for (uint32_t i = 0; i < samples; i++)
        usage_sample(usage);
    double all = (cpu_us() - begun) / samples;
    uint32_t some[QUICK];
    for (uint32_t i = 0; i < QUICK; i++)
        some[i] = i % tasks;
    double quick = cpu_us();
    for (uint32_t i = 0; i < samples; i++)
        usage_sample_memory(usage, some, QUICK);
    quick = (cpu_us() - quick) / samples;
    printf("{\"name\":\"usage_%s\",\"tasks\":%u,\"first_us\":%.0f,\"sample_us\":%.0f,"
           "\"us_per_task\":%.2f,\"quick_%d_us\":%.1f}\n",
           name, tasks, begun - first, all, all / tasks, QUICK, quick);
    for (uint32_t i = 0; pids && i < tasks; i++) {
        kill(pids[i], SIGKILL);
        waitpid(pids[i], NULL, 0);
    }
    free(pids);
    buf_free(&error);
    usage_free(usage);
}

int main(int argc, char **argv) {
    uint32_t tasks = argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : 200;
    uint32_t samples = argc > 2 ? (uint32_t)strtoul(argv[2], NULL, 10) : 100;
    if (tasks == 0 || samples == 0) {
        fprintf(stderr, "usage: usage_cost [TASKS [SAMPLES]]\n");
        return 2;
    }
    measure("processes", NULL, tasks, samples);
    struct cgroup_options options = {"", "bench", getpid(), tasks};
    struct cgroups *groups = cgroups_open(&options);
    if (cgroups_abilities(groups)->v2)
        measure("cgroup", groups, tasks, samples);
    else
        fprintf(stderr, "usage_cost: no version 2 cgroups: %s\n", cgroups_abilities(groups)->why);
    cgroups_close(groups, true);
    return 0;
}
