#include "kernels/cuda/cudadev.h"

#include <stdio.h>
#include <time.h>
#include <unistd.h>

/* --- errors ------------------------------------------------------------------------------------
 */

/* "To continue using CUDA, the process must be terminated and relaunched", as the driver API's
 * reference says of them; for 214 and 220, which it leaves open, the card itself is in doubt. */
static const int fatal[] = {CU_ECC_UNCORRECTABLE,
                            CU_NVLINK_UNCORRECTABLE,
                            CU_CONTAINED,
                            CU_ILLEGAL_ADDRESS,
                            CU_LAUNCH_TIMEOUT,
                            CU_ASSERT,
                            CU_HARDWARE_STACK_ERROR,
                            CU_ILLEGAL_INSTRUCTION,
                            CU_MISALIGNED_ADDRESS,
                            CU_INVALID_ADDRESS_SPACE,
                            CU_INVALID_PC,
                            CU_LAUNCH_FAILED,
                            CU_TENSOR_MEMORY_LEAK,
                            CU_MPS_CLIENT_TERMINATED,
                            CU_EXTERNAL_DEVICE,
                            CU_UNKNOWN};

static bool is_fatal(int code) {
    for (size_t i = 0; i < sizeof fatal / sizeof *fatal; i++)
        if (fatal[i] == code)
            return true;
    return false;
}

bool cudadev_ok(struct cudadev *dev, int code, struct cuda_why *why, const char *what) {
    const char *name = NULL, *text = NULL;
    if (code == CU_SUCCESS)
        return true;
    dev->lib.cuGetErrorName(code, &name);
    dev->lib.cuGetErrorString(code, &text);
    dev->lost = dev->lost || is_fatal(code);
    if (!name)
        return cuda_fail(why, "%s: CUDA error %d", what, code);
    return cuda_fail(why, "%s: %s: %s", what, name, text ? text : "");
}

void cudadev_end_if_lost(const struct cudadev *dev) {
    if (!dev->lost)
        return;
    fflush(NULL);
    _exit(1);
}

/* --- the context -------------------------------------------------------------------------------
 */

static bool attribute(struct cudadev *dev, int which, int *value, struct cuda_why *why) {
    return cudadev_ok(dev, dev->lib.cuDeviceGetAttribute(value, which, dev->device), why,
                      "cuDeviceGetAttribute");
}

static bool find_card(struct cudadev *dev, int ordinal, struct cuda_why *why) {
    int count = 0, major = 0, minor = 0;
    struct cudalib *lib = &dev->lib;
    if (!cudadev_ok(dev, lib->cuDeviceGetCount(&count), why, "cuDeviceGetCount"))
        return false;
    if (ordinal < 0 || ordinal >= count)
        return cuda_fail(why, "there is no card %d: CUDA shows %d", ordinal, count);
    if (!cudadev_ok(dev, lib->cuDeviceGet(&dev->device, ordinal), why, "cuDeviceGet") ||
        !cudadev_ok(dev, lib->cuDeviceGetName(dev->name, sizeof dev->name, dev->device), why,
                    "cuDeviceGetName") ||
        !attribute(dev, CU_DEVICE_CAPABILITY_MAJOR, &major, why) ||
        !attribute(dev, CU_DEVICE_CAPABILITY_MINOR, &minor, why) ||
        !attribute(dev, CU_DEVICE_MAX_SHARED_PER_BLOCK_OPTIN, &dev->max_shared, why))
        return false;
    dev->name[sizeof dev->name - 1] = '\0';
    dev->capability = 10 * major + minor;
    dev->ordinal = ordinal;
    return true;
}

static bool make_context(struct cudadev *dev, struct cuda_why *why) {
    if (!cudadev_ok(dev, dev->lib.cuDevicePrimaryCtxRetain(&dev->context, dev->device), why,
                    "cuDevicePrimaryCtxRetain"))
        return false;
    dev->generation++;
    dev->allocated = 0;
    return true;
}

static void drop_context(struct cudadev *dev) {
    if (!dev->context)
        return;
    dev->lib.cuCtxSetCurrent(NULL);
    dev->lib.cuDevicePrimaryCtxRelease_v2(dev->device);
    dev->context = NULL;
}

static bool answers(struct cudadev *dev, struct cuda_why *why) {
    size_t free_bytes, total_bytes;
    return cudadev_ok(dev, dev->lib.cuCtxSetCurrent(dev->context), why, "cuCtxSetCurrent") &&
           cudadev_memory(dev, &free_bytes, &total_bytes, why);
}

/* What was kept no longer answers. Where another plug-in of this host holds the primary context
 * too, releasing it changes nothing, and taking it away would break what the other one keeps: then
 * only a new process helps. */
static bool renew(struct cudadev *dev, struct cuda_why *why) {
    dev->lost = false;
    drop_context(dev);
    if (make_context(dev, why) && answers(dev, why))
        return true;
    dev->lost = true;
    return false;
}

bool cudadev_open(struct cudadev *dev, int ordinal, struct cuda_why *why) {
    if (!cudalib_open(&dev->lib, CUDALIB_DRIVER, why))
        return false;
    if (dev->context && dev->ordinal == ordinal)
        return answers(dev, why) || renew(dev, why);
    drop_context(dev);
    return find_card(dev, ordinal, why) && make_context(dev, why) && answers(dev, why);
}

void cudadev_close(struct cudadev *dev) {
    if (!dev->lost)
        drop_context(dev);
    dev->context = NULL;
}

/* --- memory ------------------------------------------------------------------------------------
 */

bool cudadev_memory(struct cudadev *dev, size_t *free_bytes, size_t *total_bytes,
                    struct cuda_why *why) {
    return cudadev_ok(dev, dev->lib.cuMemGetInfo_v2(free_bytes, total_bytes), why, "cuMemGetInfo");
}

#define MIB(bytes) ((double)(bytes) / (1024.0 * 1024.0))

bool cudadev_has_room(struct cudadev *dev, uint64_t bytes, struct cuda_why *why) {
    size_t free_bytes, total_bytes;
    if (!cudadev_memory(dev, &free_bytes, &total_bytes, why))
        return false;
    if (bytes <= free_bytes)
        return true;
    return cuda_fail(why,
                     "%.1f MiB of card memory are needed, and %s has %.1f MiB free of %.1f MiB",
                     MIB(bytes), dev->name, MIB(free_bytes), MIB(total_bytes));
}

bool cudadev_alloc(struct cudadev *dev, size_t bytes, cu_ptr *memory, const char *what,
                   struct cuda_why *why) {
    char doing[256];
    *memory = 0;
    if (bytes == 0)
        return true;
    snprintf(doing, sizeof doing, "%.1f MiB of card memory for %.160s", MIB(bytes), what);
    if (!cudadev_ok(dev, dev->lib.cuMemAlloc_v2(memory, bytes), why, doing)) {
        *memory = 0;
        return false;
    }
    dev->allocated += bytes;
    return true;
}

void cudadev_free(struct cudadev *dev, cu_ptr memory, size_t bytes) {
    if (!memory || dev->lost) /* the process ends, and all its memory with it */
        return;
    dev->lib.cuMemFree_v2(memory);
    dev->allocated -= bytes;
}

/* --- time --------------------------------------------------------------------------------------
 */

bool cudadev_clock_start(struct cudadev *dev, struct cudadev_clock *clock, struct cuda_why *why) {
    struct cudalib *lib = &dev->lib;
    return (clock->from ||
            cudadev_ok(dev, lib->cuEventCreate(&clock->from, 0), why, "cuEventCreate")) &&
           (clock->to ||
            cudadev_ok(dev, lib->cuEventCreate(&clock->to, 0), why, "cuEventCreate")) &&
           cudadev_ok(dev, lib->cuEventRecord(clock->from, NULL), why, "cuEventRecord");
}

bool cudadev_clock_stop(struct cudadev *dev, struct cudadev_clock *clock, struct cuda_why *why) {
    return cudadev_ok(dev, dev->lib.cuEventRecord(clock->to, NULL), why, "cuEventRecord");
}

/* The pause before asking again: short work is seen at once, long work costs no core. */
static void pause_after(unsigned asked) {
    if (asked < 200)
        return;
    long us = asked < 300 ? 20 : asked < 1000 ? 100 : 1000;
    nanosleep(&(struct timespec){.tv_nsec = us * 1000}, NULL);
}

bool cudadev_clock_wait(struct cudadev *dev, struct cudadev_clock *clock,
                        bool (*cancelled)(const void *arg), const void *arg, double *seconds,
                        struct cuda_why *why) {
    float ms = 0;
    int code = dev->lib.cuEventQuery(clock->to);
    for (unsigned asked = 0; code == CU_NOT_READY; asked += asked < 1000) {
        if (cancelled && cancelled(arg)) {
            dev->lost = true;
            return cuda_fail(why, "cancelled while the card worked");
        }
        pause_after(asked);
        code = dev->lib.cuEventQuery(clock->to);
    }
    if (!cudadev_ok(dev, code, why, "the work on the card failed") ||
        !cudadev_ok(dev, dev->lib.cuEventElapsedTime(&ms, clock->from, clock->to), why,
                    "cuEventElapsedTime"))
        return false;
    *seconds = (double)ms / 1000;
    return true;
}

void cudadev_clock_free(struct cudadev *dev, struct cudadev_clock *clock) {
    if (clock->from && !dev->lost)
        dev->lib.cuEventDestroy_v2(clock->from);
    if (clock->to && !dev->lost)
        dev->lib.cuEventDestroy_v2(clock->to);
    *clock = (struct cudadev_clock){0};
}
