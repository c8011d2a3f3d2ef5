/*
 * memhog: takes memory as it is told, for the tests of what the worker does about it.
 *
 *     memhog MIB [key=value]...
 *
 *     kind=private   anonymous memory, written (the default)
 *          shared    one shared mapping, written by every process: takes MIB, however many
 *          cache     page cache: `file` is read, up to MIB of it, again and again until it ends
 *     rate=MIB_S     grows so fast; 0 (the default): as fast as it can. Of all processes together
 *     first=MIB      of MIB, taken at once at the start; then wait=SECONDS; then the rest: late
 *     after=PATH     begins when this file exists
 *     procs=N        N children take the memory, a share each, and it waits for them
 *     daemon=1       a process in a session of its own, whose parents are gone, takes it; this one
 *                    waits for it
 *     full=PATH      makes this file when all of MIB is taken
 *     hold=SECONDS   keeps it so long, and
 *     until=PATH     until this file exists
 *     term=ignore    SIGTERM does nothing
 *     huge=1         asks for huge pages: fills faster
 *
 * Exit 0 when all was taken and held; 2 for wrong words; as a shell does, 128 and the signal's
 * number when a process that it waits for was killed; 1 for all else.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MIB = 1 << 20, STEP = MIB / 4, PAGE = 4096, LOOK_NS = 5000000 };
#define BEHIND_S 0.02

static struct {
    double mib, rate, first, wait, procs, daemon, hold, huge;
    const char *kind, *file, *after, *full, *until, *term;
} opt = {.kind = "private", .procs = 1};

static const struct number {
    const char *key;
    double *value;
} numbers[] = {{"rate", &opt.rate},   {"first", &opt.first},   {"wait", &opt.wait},
               {"procs", &opt.procs}, {"daemon", &opt.daemon}, {"hold", &opt.hold},
               {"huge", &opt.huge}};
static const struct text {
    const char *key, **value;
} texts[] = {{"kind", &opt.kind}, {"file", &opt.file},   {"after", &opt.after},
             {"full", &opt.full}, {"until", &opt.until}, {"term", &opt.term}};

static void die(const char *what) {
    fprintf(stderr, "memhog: %s: %s\n", what, strerror(errno));
    _exit(1);
}

static double number_of(const char *text) {
    char *end;
    double value = strtod(text, &end);
    if (end == text || *end || !(value >= 0)) {
        fprintf(stderr, "memhog: not a number: %s\n", text);
        exit(2);
    }
    return value;
}

static void take_option(const char *word) {
    const char *value = strchr(word, '=');
    size_t len = value ? (size_t)(value - word) : 0;
    for (size_t i = 0; value && i < sizeof numbers / sizeof *numbers; i++)
        if (strlen(numbers[i].key) == len && memcmp(numbers[i].key, word, len) == 0) {
            *numbers[i].value = number_of(value + 1);
            return;
        }
    for (size_t i = 0; value && i < sizeof texts / sizeof *texts; i++)
        if (strlen(texts[i].key) == len && memcmp(texts[i].key, word, len) == 0) {
            *texts[i].value = value + 1;
            return;
        }
    fprintf(stderr, "memhog: what is %s?\n", word);
    exit(2);
}

static void pass(double seconds) {
    struct timespec t = {(time_t)seconds, (long)((seconds - (double)(time_t)seconds) * 1e9)};
    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        ;
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void wait_for(const char *path) {
    while (path && access(path, F_OK) != 0)
        pass(LOOK_NS / 1e9);
}

static void touch(const char *path) {
    int fd = path ? open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644) : -1;
    if (path && fd < 0)
        die(path);
    if (fd >= 0)
        close(fd);
}

/* Writes to each page of map[from, to), at `rate` MiB/s. What was missed while it could not run is
 * not made up for: that would be a burst. */
static void fill(volatile char *map, size_t from, size_t to, double rate) {
    double due = now();
    for (size_t at = from; at < to; at += PAGE) {
        map[at] = 1;
        if (rate > 0 && (at - from) % STEP == 0) {
            const double time = now();
            due = (due > time - BEHIND_S ? due : time - BEHIND_S) + (double)STEP / MIB / rate;
            if (due > time + 0.001)
                pass(due - time);
        }
    }
}

static char *map_memory(size_t bytes) {
    int flags = MAP_ANONYMOUS | MAP_NORESERVE |
                (strcmp(opt.kind, "shared") == 0 ? MAP_SHARED : MAP_PRIVATE);
    char *map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
    if (map == MAP_FAILED)
        die("mmap");
    if (opt.huge > 0)
        (void)madvise(map, bytes, MADV_HUGEPAGE);
    return map;
}

/* Reads the file's first `bytes`, so that they are in the page cache. */
static void read_file(size_t bytes) {
    static char buffer[STEP];
    int fd = open(opt.file, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        die(opt.file);
    for (size_t at = 0; at < bytes; at += sizeof buffer)
        if (pread(fd, buffer, sizeof buffer, (off_t)at) < 0)
            die(opt.file);
    close(fd);
}

/* One process's part of the memory: `bytes`, in `map` when all write to the same. */
static void take(char *map, size_t bytes) {
    const double part = strcmp(opt.kind, "shared") == 0 ? 1 : 1 / opt.procs;
    if (strcmp(opt.kind, "cache") == 0) {
        read_file(bytes);
        return;
    }
    if (!map)
        map = map_memory(bytes);
    size_t first = (size_t)(opt.first * part * MIB);
    first = first < bytes ? first : bytes;
    fill(map, 0, first, 0);
    pass(opt.wait);
    fill(map, first, bytes, opt.rate * part);
}

static void keep(size_t bytes) {
    const double end = now() + opt.hold;
    while (now() < end || (opt.until && access(opt.until, F_OK) != 0)) {
        if (strcmp(opt.kind, "cache") == 0)
            read_file(bytes);
        pass(LOOK_NS / 1e9);
    }
}

/* Whether all children have taken their part: each writes a byte. */
static bool wait_full(int fd, int count) {
    char byte;
    for (int i = 0; i < count; i++)
        if (read(fd, &byte, 1) != 1)
            return false;
    return true;
}

static int code_of(int status) {
    return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int run_children(size_t bytes) {
    const int count = (int)opt.procs;
    const bool shared = strcmp(opt.kind, "shared") == 0;
    char *map = shared ? map_memory(bytes) : NULL;
    int full[2], worst = 0;
    if (pipe(full) != 0)
        die("pipe");
    for (int i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid < 0)
            die("fork");
        if (pid == 0) {
            const size_t part = shared ? bytes : bytes / (size_t)count;
            close(full[0]);
            take(map, part);
            if (write(full[1], "", 1) != 1)
                die("pipe");
            keep(part);
            _exit(0);
        }
    }
    close(full[1]);
    if (wait_full(full[0], count))
        touch(opt.full);
    for (int status; wait(&status) > 0;)
        worst = code_of(status) > worst ? code_of(status) : worst;
    return worst;
}

static int run_alone(size_t bytes) {
    take(NULL, bytes);
    touch(opt.full);
    keep(bytes);
    return 0;
}

static int run(size_t bytes) {
    return opt.procs > 1 ? run_children(bytes) : run_alone(bytes);
}

/* A grandchild in a session of its own does the work; this process knows its end by a pipe. */
static int run_daemon(size_t bytes) {
    int alive[2];
    char byte = 1;
    if (pipe(alive) != 0)
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0) {
        close(alive[0]);
        if (setsid() < 0 || (pid = fork()) < 0)
            die("fork");
        if (pid > 0)
            _exit(0);
        byte = (char)run(bytes);
        _exit(write(alive[1], &byte, 1) == 1 ? byte : 1);
    }
    close(alive[1]);
    while (waitpid(pid, NULL, 0) < 0 && errno == EINTR)
        ;
    return read(alive[0], &byte, 1) == 1 ? byte : 1;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fprintf(stderr, "usage: memhog MIB [key=value]...\n");
        return 2;
    }
    opt.mib = number_of(argv[1]);
    for (int i = 2; i < argc; i++)
        take_option(argv[i]);
    if (opt.procs < 1 || opt.procs > 4096 || (strcmp(opt.kind, "cache") == 0 && !opt.file)) {
        fprintf(stderr, "memhog: procs is 1 to 4096, and kind=cache needs file=PATH\n");
        return 2;
    }
    if (opt.term && strcmp(opt.term, "ignore") == 0)
        signal(SIGTERM, SIG_IGN);
    wait_for(opt.after);
    const size_t bytes = (size_t)(opt.mib * MIB);
    return opt.daemon > 0 ? run_daemon(bytes) : run(bytes);
}
