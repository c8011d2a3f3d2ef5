/*
 * nvrtc.h - CUDA source compiled at run time, and kept.
 *
 *     source, architecture, options, kernel --key--> kept in this process?  in the cache directory?
 *         -> NVRTC -> machine code (cubin) for sm_80, PTX for compute_80, and the kernel's
 *            parameters, which are read from the PTX
 *
 * No driver is needed. A key is the whole of what was asked for and NVRTC's version, compared byte
 * by byte, so that nothing else can be taken for it; source that includes files of its own
 * (anything but <...>, or with an option that names files or directories) is compiled each time,
 * because a key does not see that such a file has changed.
 */
#ifndef DISTCOMP_KERNEL_NVRTC_H
#define DISTCOMP_KERNEL_NVRTC_H

#include "kernels/cuda/cudalib.h"
#include "kernels/cuda/ptx.h"

struct nvrtc_request {
    const char *name;    /* of the source, for messages: "saxpy.cu" */
    const char *source;  /* NUL-terminated */
    const char *dir;     /* where #include "..." looks; NULL: nowhere */
    const char *arch;    /* "sm_80" or "compute_80", as nvrtc_arch gives it */
    const char *options; /* further ones, separated by blanks; "": none */
    const char *kernel;  /* as C++ says it: "saxpy", "ns::add<float>"; NULL: only compile */
};

struct nvrtc_program {
    char *key;
    size_t key_bytes;
    char *image; /* cubin or PTX, with a NUL after it */
    size_t image_bytes;
    char *lowered; /* the kernel's name in the image; "" without one */
    size_t count;  /* of parameters */
    struct ptx_param params[PTX_PARAMS_MAX];
    char *log; /* warnings; "" when there are none, or when it was kept */
    /* Of cudarun.c, for the context of that generation. */
    cu_module module;
    cu_function function;
    unsigned generation;
    /* Of nvrtc_kept. */
    struct nvrtc_program *next;
};

enum nvrtc_origin { NVRTC_COMPILED, NVRTC_FROM_DIR, NVRTC_KEPT };
enum nvrtc_result {
    NVRTC_OK,
    NVRTC_WRONG, /* the source, the kernel's name, an option or the architecture: no retry helps */
    NVRTC_FAILED
};

/* What this process keeps, the latest used first. Zeroed: nothing. */
struct nvrtc_kept {
    struct nvrtc_program *first;
    void (*forget)(void *arg, struct nvrtc_program *program); /* before one goes; NULL: nothing */
    void *arg;
};
#define NVRTC_KEPT_MAX 64 /* programs */

/*
 * The program of a request; it is valid until the next call. cache_dir: NULL or a directory that is
 * made when it is missing; a file in it that is broken or of something else counts for nothing, and
 * a directory that cannot be written to costs only the keeping.
 *
 * Not NVRTC_OK: why says it in a line, with the line of the source where there is one, and *log is
 * NVRTC's whole log, which the caller frees (NULL: there is none).
 */
enum nvrtc_result nvrtc_get(struct cudalib *lib, struct nvrtc_kept *kept,
                            const struct nvrtc_request *request, const char *cache_dir,
                            struct nvrtc_program **program, enum nvrtc_origin *origin, char **log,
                            struct cuda_why *why);
void nvrtc_forget_all(struct nvrtc_kept *kept);

/*
 * What to compile for: `wanted` ("sm_80", "compute_90", "sm_90a") if it is not empty, and else the
 * card's capability (80): machine code if NVRTC knows the card, PTX for the driver to finish if the
 * card is newer. False: wanted is no architecture, or this NVRTC no longer makes code for it; why
 * lists those it knows. NVRTC must be open.
 */
bool nvrtc_arch(const struct cudalib *lib, const char *wanted, int capability, char *arch,
                size_t size, struct cuda_why *why);

/* Names of the __global__ functions of a source, joined by ", ", as far as they fit; for messages.
 */
void nvrtc_kernels_of(const char *source, char *names, size_t size);
/* The first line of an NVRTC log that says what is wrong: "saxpy.cu(3): error: ...". */
void nvrtc_first_error(const char *log, char *line, size_t size);
/* Whether a program of this source and these options may be kept. */
bool nvrtc_keepable(const char *source, const char *options);

#endif
