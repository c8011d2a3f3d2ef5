/*
 * start_latency SAMPLES FIFO SEED [program args...] - from a command line to the start of a
 * command.
 *
 * Starts `program args... <itself> --stamp FIFO N`, as with redisManager addTask --, or without a
 * program the stamp alone, and waits until the stamp has written to FIFO when it began to run.
 * Prints a JSON array of milliseconds from before the spawn to then. SEED keeps the N of several
 * calls apart. Waits between samples, so that each finds an idle pool.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

enum { PAUSE_MS = 25, WAIT_MS = 10000, WORDS_MOST = 64 };

static int64_t now_ns(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int stamp(const char *fifo) {
    int64_t now = now_ns();
    int fd = open(fifo, O_WRONLY | O_CLOEXEC);
    return fd < 0 || write(fd, &now, sizeof now) != sizeof now;
}

static void fail(const char *what) {
    fprintf(stderr, "start_latency: %s: %s\n", what, strerror(errno));
    exit(1);
}

/* The time that the stamp wrote. */
static int64_t read_stamp(int fd) {
    int64_t when;
    struct pollfd p = {fd, POLLIN, 0};
    int ready = poll(&p, 1, WAIT_MS);
    if (ready <= 0 || read(fd, &when, sizeof when) != sizeof when) {
        errno = ready == 0 ? ETIMEDOUT : errno;
        fail("the command did not start");
    }
    return when;
}

static double sample_ms(char **words, const posix_spawn_file_actions_t *files, int fd) {
    pid_t pid;
    int status;
    int64_t start = now_ns();
    errno = posix_spawn(&pid, words[0], files, NULL, words, environ);
    if (errno)
        fail(words[0]);
    int64_t when = read_stamp(fd);
    if (waitpid(pid, &status, 0) < 0 || status != 0) {
        fprintf(stderr, "start_latency: %s: status %d\n", words[0], status);
        exit(1);
    }
    return (double)(when - start) / 1e6;
}

int main(int argc, char **argv) {
    static char self[4096], number[64];
    if (argc == 4 && strcmp(argv[1], "--stamp") == 0)
        return stamp(argv[2]);
    long samples = argc > 3 ? strtol(argv[1], NULL, 10) : 0;
    if (samples < 1 || argc > WORDS_MOST) {
        fprintf(stderr, "usage: start_latency SAMPLES FIFO SEED [program args...]\n");
        return 2;
    }
    char *fifo = argv[2], *words[WORDS_MOST + 8];
    int count = 0;
    for (int i = 4; i < argc; i++)
        words[count++] = argv[i];
    if (readlink("/proc/self/exe", self, sizeof self - 1) < 0)
        fail("/proc/self/exe");
    char *tail[] = {self, "--stamp", fifo, number, NULL};
    memcpy(words + count, tail, sizeof tail);
    if (mkfifo(fifo, 0600) != 0 && errno != EEXIST)
        fail(fifo);
    int fd =
        open(fifo, O_RDWR | O_CLOEXEC); /* also for writing: it must not end between two stamps */
    if (fd < 0)
        fail(fifo);
    posix_spawn_file_actions_t files;
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, 0, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_addopen(&files, 1, "/dev/null", O_WRONLY, 0);
    for (long i = 0; i < samples; i++) {
        struct timespec pause = {0, PAUSE_MS * 1000000L};
        nanosleep(&pause, NULL);
        snprintf(number, sizeof number, "%s.%ld", argv[3], i);
        printf("%s%.4f", i ? ", " : "[", sample_ms(words, &files, fd));
    }
    puts("]");
    posix_spawn_file_actions_destroy(&files);
    return 0;
}
