#include "kernels/cuda/cudalib.h"

#include <dlfcn.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TOOLKIT "/usr/local/cuda"

/* The names a part may have, newest first, with the major version of CUDA each belongs to. */
struct version {
    const char *file;
    int major; /* 0: any */
};
static const struct part {
    const char *name, *cure;
    struct version versions[4];
} parts[CUDALIB_PARTS] = {
    [CUDALIB_DRIVER] = {"NVIDIA's driver library",
                        "it comes with the driver of the card; a container needs NVIDIA's "
                        "container runtime to see it",
                        {{"libcuda.so.1", 0}}},
    [CUDALIB_NVRTC] =
        {"NVRTC",
         "it compiles CUDA source and is a part of the CUDA toolkit (packages cuda-nvrtc-*, or "
         "nvidia-cuda-nvrtc from PyPI); "
         "put its directory into LD_LIBRARY_PATH or name the toolkit in CUDA_PATH",
         {{"libnvrtc.so.13", 13}, {"libnvrtc.so.12", 12}, {"libnvrtc.so.11.2", 11}}},
    [CUDALIB_CUBLAS] =
        {"cuBLAS",
         "it is a part of the CUDA toolkit (packages libcublas-*, or nvidia-cublas from PyPI); put "
         "its directory into LD_LIBRARY_PATH or name the toolkit in CUDA_PATH",
         {{"libcublas.so.13", 13}, {"libcublas.so.12", 12}, {"libcublas.so.11", 11}}},
};

bool cuda_fail(struct cuda_why *why, const char *format, ...) {
    va_list args;
    va_start(args, format);
    vsnprintf(why->text, sizeof why->text, format, args);
    va_end(args);
    return false;
}

static const char *toolkit(void) {
    const char *dir = getenv("CUDA_PATH");
    return dir && *dir ? dir : TOOLKIT;
}

static const char *const subdirs[] = {"lib64", "lib"};
enum { SUBDIRS = sizeof subdirs / sizeof *subdirs };

/*
 * One version, wherever it is. A file that is there and cannot be opened says more than one that
 * is not: its message is kept in trouble, the first one.
 */
static void *open_version(enum cudalib_part part, const char *file, char *trouble, size_t size) {
    char path[4096];
    void *handle = NULL;
    for (int i = -1; !handle && i < (part == CUDALIB_DRIVER ? 0 : SUBDIRS); i++) {
        if (i < 0)
            snprintf(path, sizeof path, "%s", file);
        else
            snprintf(path, sizeof path, "%s/%s/%s", toolkit(), subdirs[i], file);
        if (i >= 0 && access(path, F_OK) != 0)
            continue;
        handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
        const char *text = handle ? NULL : dlerror();
        if (text && !*trouble && !strstr(text, "cannot open shared object file"))
            snprintf(trouble, size, "%s", text);
    }
    return handle;
}

static bool not_found(enum cudalib_part part, const char *trouble, struct cuda_why *why) {
    char names[128] = "";
    const struct part *p = &parts[part];
    for (const struct version *v = p->versions; v->file; v++)
        snprintf(names + strlen(names), sizeof names - strlen(names), "%s%s", *names ? ", " : "",
                 v->file);
    bool driver = part == CUDALIB_DRIVER;
    return cuda_fail(why,
                     "%s was not found: looked for %s in LD_LIBRARY_PATH and the loader's "
                     "directories%s%s%s%s%s%s%s; %s",
                     p->name, names, driver ? "" : ", ", driver ? "" : toolkit(),
                     driver ? "" : "/lib64 and ", driver ? "" : toolkit(), driver ? "" : "/lib",
                     *trouble ? "; what was found is of no use: " : "", trouble, p->cure);
}

/* Newest first; those newer than the driver can run come last. */
static void *open_part(const struct cudalib *lib, enum cudalib_part part, struct cuda_why *why) {
    char trouble[512] = "";
    int most = lib->driver_version ? lib->driver_version / 1000 : 0;
    for (int newer = 0; newer < 2; newer++)
        for (const struct version *v = parts[part].versions; v->file; v++)
            if ((most && v->major > most) == (newer == 1)) {
                void *handle = open_version(part, v->file, trouble, sizeof trouble);
                if (handle)
                    return handle;
            }
    not_found(part, trouble, why);
    return NULL;
}

static bool find(struct cudalib *lib, enum cudalib_part part, const char *symbol, void **address,
                 bool needed, struct cuda_why *why) {
    *address = dlsym(lib->handle[part], symbol);
    if (!*address && needed)
        return cuda_fail(why, "%s (%s) has no %s: CUDA 11.2 or newer is needed", parts[part].name,
                         lib->file[part], symbol);
    return true;
}

/* POSIX gives functions as void *, ISO C does not convert them. */
static bool find_all(struct cudalib *lib, enum cudalib_part part, struct cuda_why *why) {
#define X(of, symbol, needed, result, arguments)                                                   \
    if (CUDALIB_##of == part && !find(lib, part, #symbol, (void **)&lib->symbol, needed, why))     \
        return false;
    CUDALIB_SYMBOLS(X)
#undef X
    return true;
}

static void remember_file(struct cudalib *lib, enum cudalib_part part) {
    static const char *const some[CUDALIB_PARTS] = {"cuInit", "nvrtcVersion", "cublasCreate_v2"};
    void *address = dlsym(lib->handle[part], some[part]);
    Dl_info info;
    snprintf(lib->file[part], sizeof lib->file[part], "%s",
             address && dladdr(address, &info) && info.dli_fname ? info.dli_fname
                                                                 : parts[part].versions[0].file);
}

static bool start_driver(struct cudalib *lib, struct cuda_why *why) {
    int code = lib->cuInit(0);
    if (code == CU_SUCCESS)
        code = lib->cuDriverGetVersion(&lib->driver_version);
    if (code == CU_SUCCESS)
        return true;
    const char *name = NULL, *text = NULL;
    lib->cuGetErrorName(code, &name);
    lib->cuGetErrorString(code, &text);
    const char *hint = code == CU_NO_DEVICE ? " (CUDA_VISIBLE_DEVICES shows none, or there is none)"
                       : code == CU_STUB_LIBRARY ? " (this is the toolkit's stub, not the driver)"
                                                 : "";
    return cuda_fail(why, "%s: cuInit: %s: %s%s", lib->file[CUDALIB_DRIVER],
                     name ? name : "an unknown error", text ? text : "code not known", hint);
}

static bool start(struct cudalib *lib, enum cudalib_part part, struct cuda_why *why) {
    if (part == CUDALIB_DRIVER)
        return start_driver(lib, why);
    if (part == CUDALIB_NVRTC &&
        lib->nvrtcVersion(&lib->nvrtc_major, &lib->nvrtc_minor) != NVRTC_SUCCESS)
        return cuda_fail(why, "%s: nvrtcVersion failed", lib->file[part]);
    return true;
}

bool cudalib_open(struct cudalib *lib, enum cudalib_part part, struct cuda_why *why) {
    if (lib->handle[part])
        return true;
    lib->handle[part] = open_part(lib, part, why);
    if (!lib->handle[part])
        return false;
    remember_file(lib, part);
    if (find_all(lib, part, why) && start(lib, part, why))
        return true;
    lib->handle[part] = NULL; /* it stays loaded; asked again, it is looked at again */
    return false;
}

bool cudalib_include_dir(const struct cudalib *lib, char *dir, size_t size) {
    char real[4096], file[4096 + 64];
    const char *known[2] = {NULL, toolkit()};
    if (realpath(lib->file[CUDALIB_NVRTC], real)) {
        /* TOOLKIT/lib64/libnvrtc.so.13.0.88, TOOLKIT/targets/x86_64-linux/lib/... */
        for (int up = 0; up < 2; up++) {
            char *slash = strrchr(real, '/');
            if (slash)
                *slash = '\0';
        }
        known[0] = real;
    }
    for (int i = 0; i < 2; i++) {
        if (!known[i])
            continue;
        snprintf(file, sizeof file, "%s/include/cuda_fp16.h", known[i]);
        if (access(file, R_OK) == 0) {
            int len = snprintf(dir, size, "%s/include", known[i]);
            return len > 0 && (size_t)len < size;
        }
    }
    return false;
}
