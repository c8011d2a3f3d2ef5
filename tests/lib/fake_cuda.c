/*
 * A libcuda.so.1 with one card made of this machine's memory. It checks what it is given
 * (addresses, sizes, contexts, events) as a driver does, and launches by the kernel's name: see
 * `kernels`.
 *
 * The file that FAKE_CUDA names says how it behaves, a line each; it is read at each cuInit and
 * cuCtxSetCurrent:
 *
 *     version 12040          of the driver (13000)
 *     cards 2                (1)
 *     capability 90          (80)
 *     memory BYTES           of the card (64 MiB)
 *     threads 256            that a block of any kernel may have (1024)
 *     busy N                 cuEventQuery says N times that the work is not done (2); -1: for ever
 *     fail SYMBOL CODE N     the N-th call from now on of that function fails (all: N is 0)
 *
 * After an error that a process does not survive every call gives it again. Each call is a line
 * "SYMBOL ..." in the file that FAKE_CUDA_LOG names.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cuda/cudalib.h"

#define EXPORT __attribute__((visibility("default")))

#define DECLARE_DRIVER(result, symbol, arguments) EXPORT result symbol arguments;
#define DECLARE_NVRTC(result, symbol, arguments)
#define DECLARE_CUBLAS(result, symbol, arguments)
#define X(part, symbol, needed, result, arguments) DECLARE_##part(result, symbol, arguments)
CUDALIB_SYMBOLS(X)
#undef X

/* --- what it is told ----------------------------------------------------------------------------
 */

enum { FAILS = 16, BLOCKS = 256, EVENTS = 64 };

static struct {
    int version, cards, capability, threads, busy;
    size_t memory;
    struct {
        char symbol[64];
        int code, nth, seen;
    } fail[FAILS];
    int fails;
} told;
static char told_text[4096];
static int sticky; /* 0, or the error that all calls give */

static void read_told(void) {
    const char *path = getenv("FAKE_CUDA");
    FILE *file = path ? fopen(path, "re") : NULL;
    char text[sizeof told_text] = "", line[256], *state = NULL;
    if (file) {
        size_t len = fread(text, 1, sizeof text - 1, file);
        text[len] = '\0';
        fclose(file);
    }
    if (told.version && strcmp(text, told_text) == 0)
        return; /* counts go on */
    memcpy(told_text, text, sizeof text);
    memset(&told, 0, sizeof told);
    told.version = 13000;
    told.cards = 1;
    told.capability = 80;
    told.threads = 1024;
    told.busy = 2;
    told.memory = (size_t)64 << 20;
    for (char *at = strtok_r(text, "\n", &state); at; at = strtok_r(NULL, "\n", &state)) {
        snprintf(line, sizeof line, "%s", at);
        if (sscanf(line, "version %d", &told.version) == 1 ||
            sscanf(line, "cards %d", &told.cards) == 1 ||
            sscanf(line, "capability %d", &told.capability) == 1 ||
            sscanf(line, "threads %d", &told.threads) == 1 ||
            sscanf(line, "busy %d", &told.busy) == 1 ||
            sscanf(line, "memory %zu", &told.memory) == 1)
            continue;
        if (told.fails == FAILS ||
            sscanf(line, "fail %63s %d %d", told.fail[told.fails].symbol,
                   &told.fail[told.fails].code, &told.fail[told.fails].nth) != 3)
            abort();
        told.fails++;
    }
}

static void write_log(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void write_log(const char *format, ...) {
    const char *path = getenv("FAKE_CUDA_LOG");
    FILE *file = path ? fopen(path, "ae") : NULL;
    if (!file)
        return;
    va_list args;
    va_start(args, format);
    vfprintf(file, format, args);
    va_end(args);
    fclose(file);
}

static bool fatal(int code) {
    return (code >= CU_ILLEGAL_ADDRESS && code <= CU_TENSOR_MEMORY_LEAK &&
            code != CU_LAUNCH_OUT_OF_RESOURCES && code != CU_CONTEXT_IS_DESTROYED) ||
           code == CU_UNKNOWN;
}

/* What a call of that function is to fail with; 0: nothing. */
static int failing(const char *symbol) {
    if (sticky)
        return sticky;
    for (int i = 0; i < told.fails; i++) {
        if (strcmp(told.fail[i].symbol, symbol) != 0)
            continue;
        told.fail[i].seen++;
        if (told.fail[i].nth != 0 && told.fail[i].seen != told.fail[i].nth)
            continue;
        if (fatal(told.fail[i].code))
            sticky = told.fail[i].code;
        return told.fail[i].code;
    }
    return 0;
}

/* --- the card -----------------------------------------------------------------------------------
 */

static struct block {
    char *at;
    size_t bytes;
} blocks[BLOCKS];
static size_t used;
static int contexts; /* retained */
static bool current;
static struct cu_event_opaque {
    bool made;
    int recorded, left; /* queries that will say no */
} events[EVENTS];
struct cu_module_opaque {
    int loaded;
};
struct cu_function_opaque {
    char name[128];
};
static struct cu_function_opaque function;
static int modules, launched_error;

/* For the unit tests: bytes in use, modules and events that were not given back, a new start. */
EXPORT extern size_t fake_cuda_used(void);
EXPORT extern int fake_cuda_left(void);
EXPORT extern void fake_cuda_reset(void);

size_t fake_cuda_used(void) {
    return used;
}

int fake_cuda_left(void) {
    int left = modules;
    for (int i = 0; i < EVENTS; i++)
        left += events[i].made;
    return left;
}

void fake_cuda_reset(void) {
    for (int i = 0; i < BLOCKS; i++)
        free(blocks[i].at);
    memset(blocks, 0, sizeof blocks);
    memset(events, 0, sizeof events);
    memset(&told, 0, sizeof told);
    used = 0;
    sticky = launched_error = modules = contexts = 0;
    current = false;
}

/* Whether [at, at + bytes) lies in one block. */
static bool inside(cu_ptr at, size_t bytes) {
    for (int i = 0; i < BLOCKS; i++) {
        cu_ptr from = (cu_ptr)(uintptr_t)blocks[i].at;
        if (blocks[i].at && at >= from && at - from <= blocks[i].bytes &&
            bytes <= blocks[i].bytes - (at - from))
            return true;
    }
    return false;
}

#define BEGIN(symbol, ...)                                                                         \
    write_log(symbol " " __VA_ARGS__);                                                             \
    write_log("\n");                                                                               \
    int begin_code = failing(symbol);                                                              \
    if (begin_code)                                                                                \
        return begin_code;
#define NEEDS_CONTEXT                                                                              \
    if (!current)                                                                                  \
        return CU_INVALID_CONTEXT;

int cuInit(unsigned int flags) {
    read_told();
    BEGIN("cuInit", "%u", flags)
    return told.cards ? CU_SUCCESS : CU_NO_DEVICE;
}

/* NVRTC looks whether the driver has tables of its own for it. */
EXPORT int cuGetExportTable(const void **table, const void *id);
int cuGetExportTable(const void **table, const void *id) {
    (void)id;
    *table = NULL;
    return CU_NOT_FOUND;
}

int cuDriverGetVersion(int *version) {
    BEGIN("cuDriverGetVersion", "")
    *version = told.version;
    return CU_SUCCESS;
}

int cuGetErrorName(int code, const char **name) {
    *name = code == CU_OUT_OF_MEMORY             ? "CUDA_ERROR_OUT_OF_MEMORY"
            : code == CU_NO_DEVICE               ? "CUDA_ERROR_NO_DEVICE"
            : code == CU_ILLEGAL_ADDRESS         ? "CUDA_ERROR_ILLEGAL_ADDRESS"
            : code == CU_LAUNCH_OUT_OF_RESOURCES ? "CUDA_ERROR_LAUNCH_OUT_OF_RESOURCES"
            : code < 10000                       ? "CUDA_ERROR_OF_THE_TEST"
                                                 : NULL;
    return *name ? CU_SUCCESS : CU_INVALID_VALUE;
}

int cuGetErrorString(int code, const char **text) {
    *text = code == CU_ILLEGAL_ADDRESS ? "an illegal memory access was encountered" : "some text";
    return CU_SUCCESS;
}

int cuDeviceGetCount(int *count) {
    BEGIN("cuDeviceGetCount", "")
    *count = told.cards;
    return CU_SUCCESS;
}

int cuDeviceGet(cu_device *device, int ordinal) {
    BEGIN("cuDeviceGet", "%d", ordinal)
    *device = ordinal;
    return CU_SUCCESS;
}

int cuDeviceGetName(char *name, int size, cu_device device) {
    BEGIN("cuDeviceGetName", "%d", device)
    snprintf(name, (size_t)size, "Fake Card %d", device);
    return CU_SUCCESS;
}

int cuDeviceGetAttribute(int *value, int attribute, cu_device device) {
    BEGIN("cuDeviceGetAttribute", "%d %d", attribute, device)
    *value = attribute == CU_DEVICE_CAPABILITY_MAJOR             ? told.capability / 10
             : attribute == CU_DEVICE_CAPABILITY_MINOR           ? told.capability % 10
             : attribute == CU_DEVICE_MAX_SHARED_PER_BLOCK_OPTIN ? 100000
                                                                 : -1;
    return *value >= 0 ? CU_SUCCESS : CU_INVALID_VALUE;
}

int cuDevicePrimaryCtxRetain(cu_context *context, cu_device device) {
    BEGIN("cuDevicePrimaryCtxRetain", "%d", device)
    contexts++;
    *context = (cu_context)(uintptr_t)0x1000;
    return CU_SUCCESS;
}

int cuDevicePrimaryCtxRelease_v2(cu_device device) {
    BEGIN("cuDevicePrimaryCtxRelease_v2", "%d used %zu modules %d", device, used, modules)
    current = false;
    return --contexts < 0 ? CU_INVALID_CONTEXT : CU_SUCCESS;
}

int cuCtxSetCurrent(cu_context context) {
    read_told();
    BEGIN("cuCtxSetCurrent", "%d", context != NULL)
    current = context != NULL && contexts > 0;
    return CU_SUCCESS;
}

int cuMemGetInfo_v2(size_t *free_bytes, size_t *total) {
    BEGIN("cuMemGetInfo_v2", "")
    NEEDS_CONTEXT
    *total = told.memory;
    *free_bytes = told.memory - used;
    return CU_SUCCESS;
}

int cuMemAlloc_v2(cu_ptr *memory, size_t bytes) {
    BEGIN("cuMemAlloc_v2", "%zu", bytes)
    NEEDS_CONTEXT
    if (!bytes)
        return CU_INVALID_VALUE;
    if (bytes > told.memory - used)
        return CU_OUT_OF_MEMORY;
    for (int i = 0; i < BLOCKS; i++)
        if (!blocks[i].at) {
            blocks[i].at = malloc(bytes);
            if (!blocks[i].at)
                return CU_OUT_OF_MEMORY;
            memset(blocks[i].at, 0x5a, bytes);
            blocks[i].bytes = bytes;
            used += bytes;
            *memory = (cu_ptr)(uintptr_t)blocks[i].at;
            return CU_SUCCESS;
        }
    return CU_OUT_OF_MEMORY;
}

int cuMemFree_v2(cu_ptr memory) {
    BEGIN("cuMemFree_v2", "")
    NEEDS_CONTEXT
    for (int i = 0; i < BLOCKS; i++)
        if (blocks[i].at && (cu_ptr)(uintptr_t)blocks[i].at == memory) {
            free(blocks[i].at);
            used -= blocks[i].bytes;
            blocks[i] = (struct block){NULL, 0};
            return CU_SUCCESS;
        }
    return CU_INVALID_VALUE;
}

int cuMemcpyHtoD_v2(cu_ptr to, const void *from, size_t bytes) {
    BEGIN("cuMemcpyHtoD_v2", "%zu", bytes)
    NEEDS_CONTEXT
    if (!inside(to, bytes))
        return CU_INVALID_VALUE;
    memcpy((void *)(uintptr_t)to, from, bytes);
    return CU_SUCCESS;
}

int cuMemcpyDtoH_v2(void *to, cu_ptr from, size_t bytes) {
    BEGIN("cuMemcpyDtoH_v2", "%zu", bytes)
    NEEDS_CONTEXT
    if (!inside(from, bytes))
        return CU_INVALID_VALUE;
    memcpy(to, (void *)(uintptr_t)from, bytes);
    return CU_SUCCESS;
}

int cuMemsetD8_v2(cu_ptr to, unsigned char value, size_t bytes) {
    BEGIN("cuMemsetD8_v2", "%d %zu", value, bytes)
    NEEDS_CONTEXT
    if (!inside(to, bytes))
        return CU_INVALID_VALUE;
    memset((void *)(uintptr_t)to, value, bytes);
    return CU_SUCCESS;
}

/* --- kernels ------------------------------------------------------------------------------------
 */

/* saxpy(unsigned n, float a, const float *x, float *y): y = a x + y, by as many threads. */
static int saxpy(size_t threads, void **arguments) {
    unsigned n = *(unsigned *)arguments[0];
    float a = *(float *)arguments[1];
    cu_ptr x = *(cu_ptr *)arguments[2], y = *(cu_ptr *)arguments[3];
    size_t count = n < threads ? n : threads;
    if (count && (!inside(x, count * sizeof(float)) || !inside(y, count * sizeof(float))))
        return CU_ILLEGAL_ADDRESS;
    float *to = (void *)(uintptr_t)y;
    const float *from = (const void *)(uintptr_t)x;
    for (size_t i = 0; i < count; i++)
        to[i] = a * from[i] + to[i];
    return CU_SUCCESS;
}

/* tell(char, unsigned char, short, int, long long, float, double, void *): logs what it got. */
static int tell(size_t threads, void **arguments) {
    write_log("tell %zu: %d %u %d %d %lld %g %g %d\n", threads, *(signed char *)arguments[0],
              *(unsigned char *)arguments[1], *(short *)arguments[2], *(int *)arguments[3],
              *(long long *)arguments[4], (double)*(float *)arguments[5], *(double *)arguments[6],
              *(cu_ptr *)arguments[7] != 0);
    return arguments[8] == NULL ? CU_SUCCESS : CU_ILLEGAL_ADDRESS;
}

static int crash(size_t threads, void **arguments) {
    (void)threads, (void)arguments;
    return CU_ILLEGAL_ADDRESS;
}

static const struct {
    const char *name;
    int (*run)(size_t threads, void **arguments);
} kernels[] = {{"saxpy", saxpy}, {"tell", tell}, {"crash", crash}};

int cuModuleLoadData(cu_module *module, const void *image) {
    static struct cu_module_opaque one;
    BEGIN("cuModuleLoadData", "")
    NEEDS_CONTEXT
    if (memcmp(image, "\177ELF", 4) != 0 && !strstr(image, ".version"))
        return CU_NO_BINARY_FOR_GPU;
    modules++;
    *module = &one;
    return CU_SUCCESS;
}

int cuModuleUnload(cu_module module) {
    (void)module;
    BEGIN("cuModuleUnload", "")
    NEEDS_CONTEXT
    modules--;
    return CU_SUCCESS;
}

int cuModuleGetFunction(cu_function *found, cu_module module, const char *name) {
    (void)module;
    BEGIN("cuModuleGetFunction", "%s", name)
    NEEDS_CONTEXT
    snprintf(function.name, sizeof function.name, "%s", name);
    *found = &function;
    return CU_SUCCESS;
}

int cuFuncGetAttribute(int *value, int attribute, cu_function of) {
    (void)of;
    BEGIN("cuFuncGetAttribute", "%d", attribute)
    *value = attribute == CU_FUNCTION_MAX_THREADS_PER_BLOCK ? told.threads : 1024;
    return CU_SUCCESS;
}

int cuFuncSetAttribute(cu_function of, int attribute, int value) {
    (void)of;
    BEGIN("cuFuncSetAttribute", "%d %d", attribute, value)
    return CU_SUCCESS;
}

int cuLaunchKernel(cu_function launched, unsigned int grid_x, unsigned int grid_y,
                   unsigned int grid_z, unsigned int block_x, unsigned int block_y,
                   unsigned int block_z, unsigned int shared_bytes, cu_stream stream,
                   void **arguments, void **extra) {
    BEGIN("cuLaunchKernel", "%s %u,%u,%u %u,%u,%u shared %u", launched->name, grid_x, grid_y,
          grid_z, block_x, block_y, block_z, shared_bytes)
    NEEDS_CONTEXT
    if (stream || extra)
        return CU_INVALID_VALUE;
    size_t threads = (size_t)grid_x * grid_y * grid_z * block_x * block_y * block_z;
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
        if (strcmp(kernels[i].name, launched->name) == 0)
            launched_error = kernels[i].run(threads, arguments);
    return CU_SUCCESS;
}

/* --- events -------------------------------------------------------------------------------------
 */

int cuEventCreate(cu_event *event, unsigned int flags) {
    BEGIN("cuEventCreate", "%u", flags)
    NEEDS_CONTEXT
    for (int i = 0; i < EVENTS; i++)
        if (!events[i].made) {
            events[i] = (struct cu_event_opaque){.made = true};
            *event = &events[i];
            return CU_SUCCESS;
        }
    return CU_OUT_OF_MEMORY;
}

int cuEventDestroy_v2(cu_event event) {
    BEGIN("cuEventDestroy_v2", "")
    event->made = false;
    return CU_SUCCESS;
}

int cuEventRecord(cu_event event, cu_stream stream) {
    static int clock;
    BEGIN("cuEventRecord", "")
    NEEDS_CONTEXT
    if (!event->made || stream)
        return CU_INVALID_VALUE;
    event->recorded = ++clock;
    event->left = told.busy;
    return CU_SUCCESS;
}

int cuEventQuery(cu_event event) {
    BEGIN("cuEventQuery", "")
    if (!event->recorded)
        return CU_INVALID_VALUE;
    if (event->left) {
        event->left -= event->left > 0;
        return CU_NOT_READY;
    }
    if (launched_error) {
        sticky = launched_error;
        launched_error = 0;
        return sticky;
    }
    return CU_SUCCESS;
}

int cuEventElapsedTime(float *ms, cu_event from, cu_event to) {
    BEGIN("cuEventElapsedTime", "")
    if (!from->recorded || to->recorded <= from->recorded || to->left)
        return CU_INVALID_VALUE;
    *ms = 2;
    return CU_SUCCESS;
}
