/*
 * nvml.h - what is used of NVML, NVIDIA's management library, opened with dlopen.
 *
 * The declarations are our own, after NVIDIA's published reference of the C interface ("NVML API
 * Reference Guide"); a symbol's _v2 is part of its name and fixes its meaning. All of them are in
 * every driver since 2013 (R319).
 */
#ifndef DISTCOMP_NVML_H
#define DISTCOMP_NVML_H

#include <stdbool.h>

#include "common/buf.h"

typedef struct nvml_device_opaque *nvml_device;

enum nvml_return { NVML_SUCCESS = 0, NVML_ERROR_NOT_SUPPORTED = 3, NVML_ERROR_GPU_IS_LOST = 15 };

struct nvml_memory { /* nvmlMemory_t: bytes; used counts what the driver keeps */
    unsigned long long total, free, used;
};
struct nvml_utilization { /* nvmlUtilization_t: percent */
    unsigned int gpu, memory;
};

/* X(member, symbol, arguments); each returns an enum nvml_return. */
#define NVML_FUNCTIONS(X)                                                                          \
    X(init, "nvmlInit_v2", (void))                                                                 \
    X(shutdown, "nvmlShutdown", (void))                                                            \
    X(device_count, "nvmlDeviceGetCount_v2", (unsigned int *count))                                \
    X(device, "nvmlDeviceGetHandleByIndex_v2", (unsigned int index, nvml_device *device))          \
    X(uuid, "nvmlDeviceGetUUID", (nvml_device device, char *text, unsigned int size))              \
    X(name, "nvmlDeviceGetName", (nvml_device device, char *text, unsigned int size))              \
    X(memory, "nvmlDeviceGetMemoryInfo", (nvml_device device, struct nvml_memory * memory))        \
    X(utilization, "nvmlDeviceGetUtilizationRates",                                                \
      (nvml_device device, struct nvml_utilization * utilization))

struct nvml {
    void *handle; /* NULL: not open */
#define X(member, symbol, arguments) int(*member) arguments;
    NVML_FUNCTIONS(X)
#undef X
    const char *(*error_string)(int code);
};

/* Opens and initialises it. False, with why appended, when that cannot be. */
bool nvml_open(struct nvml *nvml, struct buf *why);
void nvml_close(struct nvml *nvml);

#endif
