"""A plug-in for tests of the worker: `probe do=WHAT ...` does what a test wants to see."""
import os
import subprocess

from harness import ROOT, SLOW

SOURCE = r"""
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernel.h"

enum { DO, FILE_NAME, N, TEXT };
static const struct kernel_param params[] = {
    {"do", KERNEL_TEXT, .help = "what"},
    {"file", KERNEL_TEXT, .fallback = "", .help = "where to add a line"},
    {"n", KERNEL_INT, .fallback = "0", .help = "how many"},
    {"text", KERNEL_TEXT, .fallback = "", .help = "anything"},
    {"device", KERNEL_CHOICE, .fallback = "cpu", .choices = "cpu|auto|gpu", .help = "where"},
    {0}};

static void note(struct kernel_run *run) {
    char line[64];
    int fd = open(kernel_text(run, FILE_NAME), O_WRONLY | O_APPEND | O_CREAT, 0600);
    int len = snprintf(line, sizeof line, "%d %u\n", (int)getpid(), kernel_try(run));
    if (write(fd, line, (size_t)len) != len)
        abort();
    close(fd);
}

static void fill(long n) {
    for (long i = 0; i < n; i += 16)
        printf("%014ld\n", i), putchar('.');
}

static int run(struct kernel_run *run) {
    const char *what = kernel_text(run, DO);
    if (*kernel_text(run, FILE_NAME))
        note(run);
    if (!strcmp(what, "crash") && kernel_try(run) == 1)
        raise(SIGSEGV);
    if (!strcmp(what, "exit"))
        exit((int)kernel_int(run, N));
    if (!strcmp(what, "fill"))
        fill(kernel_int(run, N));
    if (!strcmp(what, "nap")) {
        for (long i = 0; i < kernel_int(run, N) && !kernel_cancelled(run); i++)
            usleep(1000);
        return kernel_cancelled(run) ? kernel_fail(run, "it was to end") : 0;
    }
    if (!strcmp(what, "hang")) {
        signal(SIGTERM, SIG_IGN);
        for (;;)
            pause();
    }
    if (!strcmp(what, "eat")) {
        size_t bytes = (size_t)kernel_int(run, N) << 20;
        volatile char *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        for (size_t i = 0; i < bytes; i += 4096)
            memory[i] = 1;
        if (!*kernel_text(run, TEXT)) /* "kept": as a context or a cache would be */
            munmap((void *)memory, bytes);
    }
    if (!strcmp(what, "spin"))
        for (volatile long i = 0; i < kernel_int(run, N) * 1000000; i++)
            ;
    if (!strcmp(what, "fork")) { /* the child comes back from here, too */
        if (*kernel_text(run, TEXT) && !kernel_write_bytes(run, kernel_text(run, TEXT), "half", 4))
            return 1;
        if (fork() == 0)
            return 0;
        usleep(1000 * (unsigned)kernel_int(run, N));
        return 7;
    }
    if (!strcmp(what, "close")) {
        for (int fd = 3; fd < 64; fd++)
            close(fd);
        usleep(1000 * (unsigned)kernel_int(run, N));
    }
    if (!strcmp(what, "leave"))
        _exit((int)kernel_int(run, N));
    if (!strcmp(what, "write")) {
        static char data[1 << 20];
        int fd = open(kernel_text(run, TEXT), O_WRONLY | O_CREAT | O_TRUNC, 0600);
        for (long i = 0; i < kernel_int(run, N); i++)
            if (write(fd, data, sizeof data) != sizeof data)
                abort();
        fsync(fd);
        close(fd);
    }
    if (!strcmp(what, "show")) {
        static const char *const names[] = {
            "DISTCOMP_QUEUE", "DISTCOMP_WORKER", "DISTCOMP_THREADS", "DISTCOMP_MEMORY", "DISTCOMP_REDIS",
            "DISTCOMP_OBJECT_MAX", "DISTCOMP_OBJECT_TTL", "CUDA_VISIBLE_DEVICES", "MINE", "PWD"};
        for (size_t i = 0; i < sizeof names / sizeof *names; i++)
            printf("%s=%s\n", names[i], getenv(names[i]) ? getenv(names[i]) : "(none)");
        printf("text=%zu threads=%u memory=%llu\n", strlen(kernel_text(run, TEXT)), kernel_threads(run),
               (unsigned long long)kernel_memory(run));
    }
    return 0;
}

KERNEL_EXPORT(.name = NAME, .summary = "for tests", .params = params, .run = run)
"""


def build(directory, name="probe"):
    """Puts NAME.so there, whole from the first moment on."""
    directory.mkdir(exist_ok=True)
    code = directory / f".{name}.c"
    code.write_text(f'#define NAME "{name}"\n{SOURCE}')
    made = directory / f".{name}.so"
    subprocess.run(["cc", "-O1", "-Wall", "-Werror", "-shared", "-fPIC", "-I", ROOT / "kernels", "-o", made, code],
                   check=True, timeout=60 * SLOW)
    os.rename(made, directory / f"{name}.so")
    return directory
