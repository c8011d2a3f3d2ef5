#include "kernels/cuda/cudarun.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static double now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* --- the program on the card -------------------------------------------------------------------
 */

void cudarun_unload(void *arg, struct nvrtc_program *program) {
    struct cudadev *dev = arg;
    if (program->module && dev->context && !dev->lost && program->generation == dev->generation)
        dev->lib.cuModuleUnload(program->module);
    program->module = NULL;
    program->function = NULL;
}

static bool load(struct cudadev *dev, struct nvrtc_program *program, struct cuda_why *why) {
    struct cudalib *lib = &dev->lib;
    if (program->module && program->generation == dev->generation)
        return true;
    program->module = NULL; /* one of a context that is gone is gone with it */
    if (!cudadev_ok(dev, lib->cuModuleLoadData(&program->module, program->image), why,
                    "loading the program")) {
        program->module = NULL;
        return false;
    }
    program->generation = dev->generation;
    if (cudadev_ok(dev,
                   lib->cuModuleGetFunction(&program->function, program->module, program->lowered),
                   why, program->lowered))
        return true;
    cudarun_unload(dev, program);
    return false;
}

/* What this kernel may have on this card. */
static bool allowed(struct cudadev *dev, const struct nvrtc_program *program,
                    const struct cudadims *dims, bool *refused, struct cuda_why *why) {
    struct cudalib *lib = &dev->lib;
    int most = 0, fixed = 0;
    unsigned threads = dims->block[0] * dims->block[1] * dims->block[2];
    if (!cudadev_ok(
            dev,
            lib->cuFuncGetAttribute(&most, CU_FUNCTION_MAX_THREADS_PER_BLOCK, program->function),
            why, "cuFuncGetAttribute") ||
        !cudadev_ok(dev,
                    lib->cuFuncGetAttribute(&fixed, CU_FUNCTION_SHARED_BYTES, program->function),
                    why, "cuFuncGetAttribute"))
        return false;
    *refused = true;
    if (threads > (unsigned)most)
        return cuda_fail(why, "a block of %u threads: this kernel can have %d on %s (registers)",
                         threads, most, dev->name);
    int64_t shared = (int64_t)dims->shared_bytes + fixed;
    if (shared > dev->max_shared)
        return cuda_fail(why, "shared=%u, and %d bytes of the kernel's own: %s has %d for a block",
                         dims->shared_bytes, fixed, dev->name, dev->max_shared);
    *refused = false;
    return dims->shared_bytes == 0 ||
           cudadev_ok(dev,
                      lib->cuFuncSetAttribute(program->function,
                                              CU_FUNCTION_MAX_DYNAMIC_SHARED_BYTES,
                                              (int)dims->shared_bytes),
                      why, "cuFuncSetAttribute");
}

/* --- arrays ------------------------------------------------------------------------------------
 */

static bool is_array(const struct cudaarg *arg) {
    return arg->kind != CUDAARG_VALUE;
}

static bool room(struct cudadev *dev, const struct cudaargs *args, uint64_t *all,
                 struct cuda_why *why) {
    *all = 0;
    for (size_t i = 0; i < args->count; i++)
        if (is_array(&args->arg[i]) && __builtin_add_overflow(*all, args->arg[i].bytes, all))
            return cuda_fail(why, "the arrays have more bytes than can be counted");
    return cudadev_has_room(dev, *all, why);
}

static bool fill(struct cudadev *dev, struct cudaarg *arg, struct cuda_why *why) {
    struct cudalib *lib = &dev->lib;
    if (!cudadev_alloc(dev, arg->bytes, &arg->card, arg->word, why))
        return false;
    if (!arg->bytes)
        return true;
    if (arg->from)
        return cudadev_ok(dev, lib->cuMemcpyHtoD_v2(arg->card, arg->from, arg->bytes), why,
                          arg->word);
    return cudadev_ok(dev, lib->cuMemsetD8_v2(arg->card, 0, arg->bytes), why, arg->word);
}

static bool to_card(struct cudadev *dev, struct cudaargs *args, bool (*cancelled)(const void *arg),
                    const void *arg, struct cuda_why *why) {
    for (size_t i = 0; i < args->count; i++) {
        if (cancelled && cancelled(arg))
            return cuda_fail(why, "cancelled");
        if (is_array(&args->arg[i]) && !fill(dev, &args->arg[i], why))
            return false;
    }
    return true;
}

static bool from_card(struct cudadev *dev, const struct cudaargs *args, struct cuda_why *why) {
    for (size_t i = 0; i < args->count; i++) {
        const struct cudaarg *arg = &args->arg[i];
        if (is_array(arg) && arg->to && arg->bytes &&
            !cudadev_ok(dev, dev->lib.cuMemcpyDtoH_v2(arg->to, arg->card, arg->bytes), why,
                        arg->word))
            return false;
    }
    return true;
}

static void give_back(struct cudadev *dev, struct cudaargs *args) {
    for (size_t i = 0; i < args->count; i++) {
        cudadev_free(dev, args->arg[i].card, args->arg[i].bytes);
        args->arg[i].card = 0;
    }
}

/* --- the launch --------------------------------------------------------------------------------
 */

static bool launch(struct cudadev *dev, struct nvrtc_program *program, const struct cudadims *dims,
                   struct cudaargs *args, struct cudadev_clock *clock, struct cuda_why *why) {
    void *addresses[CUDAARGS_MAX + 1] = {NULL};
    for (size_t i = 0; i < args->count; i++)
        addresses[i] = is_array(&args->arg[i]) ? (void *)&args->arg[i].card : args->arg[i].value;
    const unsigned *g = dims->grid, *b = dims->block;
    return cudadev_clock_start(dev, clock, why) &&
           cudadev_ok(dev,
                      dev->lib.cuLaunchKernel(program->function, g[0], g[1], g[2], b[0], b[1], b[2],
                                              dims->shared_bytes, NULL, addresses, NULL),
                      why, "the launch failed") &&
           cudadev_clock_stop(dev, clock, why);
}

bool cudarun(struct cudadev *dev, struct nvrtc_program *program, const struct cudadims *dims,
             struct cudaargs *args, bool (*cancelled)(const void *arg), const void *arg,
             struct cudarun_times *times, bool *refused, struct cuda_why *why) {
    struct cudadev_clock clock = {NULL, NULL};
    bool ignored = false;
    double start = now_s();
    refused = refused ? refused : &ignored;
    *refused = false;
    *times = (struct cudarun_times){0};
    bool ok = load(dev, program, why) && allowed(dev, program, dims, refused, why) &&
              room(dev, args, &times->card_bytes, why) && to_card(dev, args, cancelled, arg, why);
    if (ok) {
        times->to_card_s = now_s() - start;
        ok = launch(dev, program, dims, args, &clock, why) &&
             cudadev_clock_wait(dev, &clock, cancelled, arg, &times->kernel_s, why);
    }
    if (ok) {
        start = now_s();
        ok = from_card(dev, args, why);
        times->from_card_s = now_s() - start;
    }
    cudadev_clock_free(dev, &clock);
    give_back(dev, args);
    return ok;
}
