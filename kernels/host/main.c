/*
 * kernelHost: runs kernels (docs/kernels.md). A worker starts it as `kernelHost serve` and gives it
 * one try after the other; the other sub-commands do by hand what a worker does.
 */
#include <stdio.h>
#include <string.h>

#include "common/nearest.h"
#include "kernels/host/byhand.h"
#include "kernels/host/serve.h"
#include "kernels/host/try.h"
#include "version.h"

static const char help[] =
    "usage: kernelHost list [--json]\n"
    "       kernelHost help KERNEL\n"
    "       kernelHost estimate [OPTION...] KERNEL key=value ...\n"
    "       kernelHost run [OPTION...] KERNEL key=value ...\n"
    "       kernelHost serve\n\n"
    "Runs kernels, which are plug-ins NAME.so, as a task native:...:KERNEL key=value ... does.\n\n"
    "  list      the kernels there are\n"
    "  help      a kernel's parameters\n"
    "  estimate  what a run will need\n"
    "  run       runs it here and now\n"
    "  serve     takes tries from redisWorker, which starts it\n\n"
    "Options of estimate and run:\n"
    "  --threads N        threads it may use (default: the CPUs that this process may use)\n"
    "  --memory SIZE      memory promised to it, as 512MiB or 2G (default: none is)\n"
    "  --gpu N            the cards it may use, as CUDA_VISIBLE_DEVICES (default: that variable)\n"
    "Options of all:\n"
    "  --kernel_dir DIRS  where plug-ins are, joined by ':' (default: DISTCOMP_KERNEL_DIR, else\n"
    "                     `kernels` beside this program, then ../lib/distcomp/kernels)\n"
    "  --help, --version\n\n"
    "Exit: 0 done, 1 failed, 2 refused (nothing was done), or the code that the kernel gave.\n";

static const struct command {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"list", byhand_list}, {"help", byhand_help}, {"estimate", byhand_estimate},
    {"run", byhand_run},   {"serve", serve_main},
};

static int unknown(const char *name) {
    struct nearest near = nearest_make(name, strlen(name));
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        nearest_try(&near, commands[i].name);
    fprintf(stderr, "kernelHost: unknown command %s", name);
    if (near.best)
        fprintf(stderr, ", did you mean %s?", near.best);
    fputs("; see kernelHost --help\n", stderr);
    return TRY_REFUSED;
}

int main(int argc, char **argv) {
    if (argc < 2) {
        fputs(help, stderr);
        return TRY_REFUSED;
    }
    if (!strcmp(argv[1], "--help") || !strcmp(argv[1], "-h") ||
        (argc == 2 && !strcmp(argv[1], "help"))) {
        fputs(help, stdout);
        return fflush(stdout) == 0 ? TRY_DONE : TRY_FAILED;
    }
    if (!strcmp(argv[1], "--version") || !strcmp(argv[1], "-V")) {
        printf("kernelHost %s (kernel.h version %d)\n", DISTCOMP_VERSION, KERNEL_ABI);
        return TRY_DONE;
    }
    for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
        if (!strcmp(argv[1], commands[i].name))
            return commands[i].run(argc - 2, argv + 2);
    return unknown(argv[1]);
}
