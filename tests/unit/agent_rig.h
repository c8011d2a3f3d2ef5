/*
 * agent_rig.h - for tests of supervisor and agent: this program, run again, is the agent that the
 * supervisor starts, and writes to files of the state directory what it sees.
 *
 *     static int agent_main(const char *what) { ...; return its exit code; }
 *     int main(int argc, char **argv) {
 *         if (is_agent(argc, argv)) return agent_main(argv[2]);
 *         find_self();
 *         ...
 */
#ifndef DISTCOMP_AGENT_RIG_H
#define DISTCOMP_AGENT_RIG_H

#include "tests/unit/supervisor_rig.h"

static char mode[32];
static char *agent_argv[] = {self, "--agent", mode, r.dir, NULL};

/* --- as an agent ----------------------------------------------------------------------------- */

static void append(const char *name, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void append(const char *name, const char *fmt, ...) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", r.dir, name);
    FILE *f = fopen(path, "a");
    va_list args;
    va_start(args, fmt);
    vfprintf(f, fmt, args);
    va_end(args);
    fclose(f);
}

/* Its connection is there then, and "agents" has its pid; it has not said HELLO. */
static bool is_agent(int argc, char **argv) {
    if (argc != 4 || strcmp(argv[1], "--agent") != 0)
        return false;
    snprintf(r.dir, sizeof r.dir, "%s", argv[3]);
    r.fd = (int)strtol(getenv("DISTCOMP_AGENT_FD"), NULL, 10);
    fcntl(r.fd, F_SETFL, 0);
    append("agents", "%d\n", getpid());
    return true;
}

/* --- in the test ----------------------------------------------------------------------------- */

/* Starts a supervisor whose agents are of that mode. */
static void with_agent(const char *what) {
    snprintf(mode, sizeof mode, "%s", what);
    rig_make_dir(&r);
    rig_supervise(&r, &(struct supervisor_options){.agent_argv = agent_argv});
}

/* What they have written; "" when there is none. */
static const char *in_dir(const char *name) {
    static char path[256];
    snprintf(path, sizeof path, "%s/%s", r.dir, name);
    return rig_file(path, NULL);
}

#endif
