/*
 * CUDA source as a task: compiled by NVRTC, launched once on the task's card (docs/kernels.md).
 *
 *     cuda source=saxpy.cu kernel=saxpy grid=4096 block=256 device=gpu
 *          args='u32:1048576 f32:2.5 in:x.npy inout:y.npy->z.npy'
 *
 * Card and compiled programs are kept in the host from task to task.
 */
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cudaargs.h"
#include "kernels/cuda/cudadev.h"
#include "kernels/cuda/cudarun.h"
#include "kernels/cuda/nvrtc.h"
#include "kernels/kernel.h"

enum {
    P_SOURCE,
    P_TEXT,
    P_KERNEL,
    P_ARGS,
    P_GRID,
    P_BLOCK,
    P_SHARED,
    P_DEVICE,
    P_ARCH,
    P_OPTIONS,
    P_CACHE,
    P_COMPILE_ONLY,
    P_IMAGE
};
static const struct kernel_param params[] = {
    {"source", KERNEL_INPUT, .fallback = "", .help = "CUDA C++, or text="},
    {"text", KERNEL_TEXT, .fallback = "", .help = "the source itself"},
    {"kernel", KERNEL_TEXT, .fallback = "",
     .help = "the __global__ function, as C++ says it: saxpy, ns::add<float>"},
    {"args", KERNEL_TEXT, .fallback = "",
     .help = "in the kernel's order: in:NAME out:NAME:TYPE:SHAPE inout:NAME->NAME tmp:TYPE:SHAPE "
             "TYPE:VALUE"},
    {"grid", KERNEL_TEXT, .fallback = "1", .unit = "blocks", .help = "X or X,Y or X,Y,Z"},
    {"block", KERNEL_TEXT, .fallback = "1", .unit = "threads", .help = "X or X,Y or X,Y,Z"},
    {"shared", KERNEL_INT, .fallback = "0", .max = 1 << 20, .unit = "bytes",
     .help = "shared memory beside what the kernel declares"},
    {"device", KERNEL_CHOICE, .fallback = "gpu", .choices = "gpu",
     .help = "written in a task, it asks for a card"},
    {"arch", KERNEL_TEXT, .fallback = "",
     .help = "sm_80 (machine code), compute_80 (PTX); else the card's"},
    {"options", KERNEL_TEXT, .fallback = "", .help = "further options of NVRTC"},
    {"cache", KERNEL_TEXT, .fallback = "", .help = "a directory that keeps compiled programs"},
    {"compile_only", KERNEL_FLAG, .fallback = "no", .help = "needs arch and no card"},
    {"image", KERNEL_OUTPUT, .fallback = "", .help = "where to write the compiled program"},
    {0}};

/* --- what is kept ------------------------------------------------------------------------------
 */

struct kept {
    struct cudadev dev;
    struct nvrtc_kept programs;
};

static void close_kept(void *pointer) {
    struct kept *kept = pointer;
    nvrtc_forget_all(&kept->programs);
    cudadev_close(&kept->dev);
    free(kept);
}

static struct kept *get_kept(struct kernel_run *r) {
    void **place = kernel_keep(r, "cuda", close_kept);
    struct kept *kept = *place;
    if (!kept && (kept = calloc(1, sizeof *kept))) {
        kept->programs.forget = cudarun_unload;
        kept->programs.arg = &kept->dev;
        *place = kept;
    }
    if (!kept)
        kernel_fail(r, "out of memory");
    return kept;
}

/* --- what is asked for -------------------------------------------------------------------------
 */

struct job {
    struct cudaargs args;
    struct cudadims dims;
    const char *name, *source;
    char *dir; /* of a local source; NULL: it is not a file */
    bool compile_only;
};

static int refuse(struct kernel_run *r, const struct cuda_why *why) {
    return kernel_refuse(r, "%s", why->text);
}

/* Grid, block and arguments; no file is looked at. 0, or the code of kernel_refuse. */
static int read_words(struct kernel_run *r, struct job *job) {
    struct cuda_why why = {""};
    job->compile_only = kernel_flag(r, P_COMPILE_ONLY);
    if (kernel_given(r, P_SOURCE) == kernel_given(r, P_TEXT))
        return kernel_refuse(r, "one of source= and text= is needed");
    if (job->compile_only && !kernel_given(r, P_ARCH))
        return kernel_refuse(r, "compile_only needs arch=, as arch=sm_80");
    if (!cudadims_parse(kernel_text(r, P_GRID), kernel_text(r, P_BLOCK), &job->dims, &why) ||
        !cudaargs_parse(kernel_text(r, P_ARGS), &job->args, &why))
        return refuse(r, &why);
    job->dims.shared_bytes = (unsigned)kernel_int(r, P_SHARED);
    return 0;
}

/* #include "..." looks beside a source that is a file, and for text= in the task's directory. */
static char *directory_of(const char *name) {
    if (strncmp(name, "redis:", 6) == 0 || strstr(name, "://"))
        return NULL;
    const char *slash = strrchr(name, '/');
    return slash ? strndup(name, slash == name ? 1 : (size_t)(slash - name)) : strdup(".");
}

static int read_source(struct kernel_run *r, struct job *job) {
    size_t len = 0;
    char names[512];
    if (kernel_given(r, P_TEXT)) {
        job->name = "text";
        job->source = kernel_text(r, P_TEXT);
        job->dir = strdup(".");
        len = strlen(job->source);
    } else {
        job->name = kernel_text(r, P_SOURCE);
        if (!kernel_read_bytes(r, job->name, &job->source, &len))
            return 1;
        job->dir = directory_of(job->name);
    }
    if (strlen(job->source) != len)
        return kernel_refuse(r, "%s: there is a NUL byte in it, it is no source text", job->name);
    if (kernel_given(r, P_KERNEL) || job->compile_only)
        return 0;
    nvrtc_kernels_of(job->source, names, sizeof names);
    return kernel_refuse(r, "kernel= is missing; %s has: %s", job->name,
                         *names ? names : "no __global__ function");
}

/* --- compiling ---------------------------------------------------------------------------------
 */

static void log_lines(struct kernel_run *r, const char *log) {
    enum { MOST = 200 };
    int lines = 0;
    for (const char *at = log; at && *at && lines < MOST; lines++) {
        size_t len = strcspn(at, "\n");
        if (len)
            kernel_log(r, "%.*s", (int)(len < 1000 ? len : 1000), at);
        at += len + (at[len] == '\n');
    }
    if (lines == MOST)
        kernel_log(r, "(and more)");
}

/* NULL: it failed, with the code. */
static struct nvrtc_program *compile(struct kernel_run *r, struct kept *kept, const struct job *job,
                                     int *code) {
    static const char *const origins[] = {
        [NVRTC_COMPILED] = "compiled", [NVRTC_FROM_DIR] = "cached", [NVRTC_KEPT] = "kept"};
    struct cuda_why why = {""};
    struct nvrtc_program *program = NULL;
    char arch[64];
    char *log = NULL;
    enum nvrtc_origin origin = NVRTC_COMPILED;
    struct cudalib *lib = &kept->dev.lib;
    if (!cudalib_open(lib, CUDALIB_NVRTC, &why)) {
        *code = kernel_fail(r, "%s", why.text);
        return NULL;
    }
    if (!nvrtc_arch(lib, kernel_text(r, P_ARCH), kept->dev.capability, arch, sizeof arch, &why)) {
        *code = refuse(r, &why);
        return NULL;
    }
    struct nvrtc_request request = {.name = job->name,
                                    .source = job->source,
                                    .dir = job->dir,
                                    .arch = arch,
                                    .options = kernel_text(r, P_OPTIONS),
                                    .kernel = kernel_given(r, P_KERNEL) ? kernel_text(r, P_KERNEL)
                                                                        : NULL};
    enum nvrtc_result result = nvrtc_get(lib, &kept->programs, &request,
                                         kernel_given(r, P_CACHE) ? kernel_text(r, P_CACHE) : NULL,
                                         &program, &origin, &log, &why);
    log_lines(r, result == NVRTC_OK && origin == NVRTC_COMPILED ? program->log : log);
    free(log);
    if (result != NVRTC_OK) {
        *code = result == NVRTC_WRONG ? refuse(r, &why) : kernel_fail(r, "%s", why.text);
        return NULL;
    }
    kernel_result(r, "program", "%s", origins[origin]);
    kernel_result(r, "arch", "%s", arch);
    if (request.kernel && (!job->compile_only || kernel_given(r, P_ARGS)) &&
        !cudaargs_fit(&job->args, request.kernel, program->params, program->count, &why)) {
        *code = refuse(r, &why);
        return NULL;
    }
    return program;
}

/* --- arrays ------------------------------------------------------------------------------------
 */

/* Shapes of what is read, into the arguments of what is written too. */
static bool take_shape(struct cudaarg *arg, const struct kernel_array *array) {
    arg->array = *array;
    arg->bytes = kernel_elements(array) * kernel_dtype_bytes(array->dtype);
    return true;
}

static bool open_arrays(struct kernel_run *r, struct cudaargs *args) {
    struct kernel_array array;
    for (size_t i = 0; i < args->count; i++) {
        struct cudaarg *arg = &args->arg[i];
        if (arg->read) {
            if (!kernel_read(r, arg->read, &array) || !take_shape(arg, &array))
                return false;
            arg->from = array.data;
        }
        if (arg->write) {
            if (!kernel_write(r, arg->write, &arg->array))
                return false;
            arg->to = arg->array.data;
        }
    }
    return true;
}

/* --- running -----------------------------------------------------------------------------------
 */

static bool is_cancelled(const void *run) {
    return kernel_cancelled(run);
}

/* The card that the task was given; by hand, without CUDA_VISIBLE_DEVICES, the first. */
static int card_of(struct kernel_run *r) {
    int card = kernel_device(r);
    bool by_hand = !*kernel_task_id(r) && !getenv("CUDA_VISIBLE_DEVICES");
    return card < 0 && by_hand ? 0 : card;
}

static int launch(struct kernel_run *r, struct kept *kept, struct job *job,
                  struct nvrtc_program *program) {
    struct cuda_why why = {""};
    struct cudarun_times times;
    bool refused = false;
    if (!open_arrays(r, &job->args))
        return 1;
    if (!cudarun(&kept->dev, program, &job->dims, &job->args, is_cancelled, r, &times, &refused,
                 &why)) {
        int code = refused ? refuse(r, &why) : kernel_fail(r, "%s", why.text);
        if (!kernel_cancelled(r)) /* else the host ends by itself */
            cudadev_end_if_lost(&kept->dev);
        return code;
    }
    kernel_result(r, "kernel_s", "%.6f", times.kernel_s);
    kernel_result(r, "to_card_s", "%.6f", times.to_card_s);
    kernel_result(r, "from_card_s", "%.6f", times.from_card_s);
    kernel_result(r, "card_bytes", "%llu", (unsigned long long)times.card_bytes);
    return 0;
}

static int open_card(struct kernel_run *r, struct kept *kept) {
    struct cuda_why why = {""};
    int card = card_of(r);
    if (card < 0)
        return kernel_refuse(r, "the task was given no card: write device=gpu (or gpu=1) in it");
    if (cudadev_open(&kept->dev, card, &why))
        return 0;
    kernel_fail(r, "%s", why.text);
    cudadev_end_if_lost(&kept->dev);
    return 1;
}

static int work(struct kernel_run *r, struct kept *kept, struct job *job) {
    int code = read_words(r, job);
    code = code ? code : read_source(r, job);
    if (code == 0 && !job->compile_only)
        code = open_card(r, kept);
    struct nvrtc_program *program = code ? NULL : compile(r, kept, job, &code);
    if (!program)
        return code;
    if (kernel_given(r, P_IMAGE) &&
        !kernel_write_bytes(r, kernel_text(r, P_IMAGE), program->image, program->image_bytes))
        return 1;
    if (!job->compile_only)
        return launch(r, kept, job, program);
    kernel_result(r, "bytes", "%zu", program->image_bytes);
    if (*program->lowered)
        kernel_result(r, "symbol", "%s", program->lowered);
    return 0;
}

static int run(struct kernel_run *r) {
    struct job job = {.name = NULL};
    struct kept *kept = get_kept(r);
    int code = kept ? work(r, kept, &job) : 1;
    cudaargs_free(&job.args);
    free(job.dir);
    return code;
}

/* NVRTC takes about 80 MiB for a small source; the driver's own memory is not known beforehand. */
#define NVRTC_BYTES (UINT64_C(96) << 20)

static bool estimate(struct kernel_run *r, struct kernel_estimate *estimate) {
    struct job job = {.name = NULL};
    bool ok = read_words(r, &job) == 0;
    estimate->memory_bytes = NVRTC_BYTES;
    estimate->gpu = ok && !job.compile_only;
    for (size_t i = 0; ok && estimate->gpu && i < job.args.count; i++) {
        struct cudaarg *arg = &job.args.arg[i];
        struct kernel_array array;
        if (arg->read)
            ok = kernel_stat(r, arg->read, &array) && take_shape(arg, &array);
        uint64_t copies = arg->kind == CUDAARG_INOUT ? 2 : arg->read || arg->write ? 1 : 0;
        estimate->memory_bytes += copies * arg->bytes;
    }
    cudaargs_free(&job.args);
    return ok;
}

KERNEL_EXPORT(.name = "cuda", .summary = "compiles CUDA source and launches a kernel of it",
              .params = params, .estimate = estimate, .run = run)
