/*
 * spawn_loop N PARALLEL program args... - a bare posix_spawn loop: the most any job runner could
 * reach.
 *
 * Runs the program N times, PARALLEL at a time, with /dev/null as its three standard files, and
 * prints tasks per second. Exit 1 if any run failed to start or did not exit 0.
 */
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

int main(int argc, char **argv) {
    long n = argc > 3 ? strtol(argv[1], NULL, 10) : 0,
         parallel = argc > 3 ? strtol(argv[2], NULL, 10) : 0;
    if (n < 1 || parallel < 1) {
        fprintf(stderr, "usage: spawn_loop N PARALLEL program args...\n");
        return 2;
    }
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    for (int fd = 0; fd < 3; fd++)
        posix_spawn_file_actions_addopen(&files, fd, "/dev/null", O_RDWR, 0);
    long running = 0, failed = 0;
    double start_s = now_s();
    for (long i = 0; i < n || running > 0;) {
        if (i < n && running < parallel) {
            pid_t pid;
            int error = posix_spawnp(&pid, argv[3], &files, NULL, argv + 3, environ);
            if (error) {
                fprintf(stderr, "spawn_loop: %s: %s\n", argv[3], strerror(error));
                return 1;
            }
            i++;
            running++;
            continue;
        }
        int status;
        if (wait(&status) > 0) {
            running--;
            failed += status != 0;
        }
    }
    double seconds = now_s() - start_s;
    posix_spawn_file_actions_destroy(&files);
    printf("%.0f tasks/s (%ld tasks, %ld at a time, %.3f s, %ld failed)\n", (double)n / seconds, n,
           parallel, seconds, failed);
    return failed ? 1 : 0;
}
