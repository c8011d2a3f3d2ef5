/*
 * A libnvidia-ml.so.1 whose cards stand in the file that FAKE_NVML names, one a line:
 *
 *     UUID NAME TOTAL USED BUSY      bytes and percent; BUSY - : the card cannot tell
 *     ! CODE                         a card whose handle cannot be had: that error
 *     lost UUID NAME                 a card that has a handle and no longer answers
 *
 * It is read at each call, so a test changes what the cards say by writing it anew. A file that
 * begins with "init CODE" fails nvmlInit. Each call of nvmlDeviceGetMemoryInfo is counted in
 * fake_nvml_reads.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/nvml.h"

enum { CARDS = 64 };
struct nvml_device_opaque {
    int kind; /* 0: fine, 1: lost, 2: no handle */
    int code;
    char uuid[80], name[80], busy[8];
    unsigned long long total, used;
};
static struct nvml_device_opaque cards[CARDS];
static unsigned int count;
static int init_code;

int fake_nvml_reads;

#define EXPORT __attribute__((visibility("default")))

static void load(void) {
    const char *path = getenv("FAKE_NVML");
    FILE *file = path ? fopen(path, "re") : NULL;
    char line[512];
    count = 0;
    init_code = 0;
    while (file && count < CARDS && fgets(line, sizeof line, file)) {
        struct nvml_device_opaque card = {.kind = 0};
        if (sscanf(line, "init %d", &init_code) == 1)
            continue;
        if (sscanf(line, "! %d", &card.code) == 1)
            card.kind = 2;
        else if (sscanf(line, "lost %79s %79s", card.uuid, card.name) == 2)
            card.kind = 1;
        else if (sscanf(line, "%79s %79s %llu %llu %7s", card.uuid, card.name, &card.total,
                        &card.used, card.busy) != 5)
            abort();
        cards[count++] = card;
    }
    if (file)
        fclose(file);
}

EXPORT extern int fake_nvml_reads;
EXPORT int nvmlInit_v2(void);
EXPORT int nvmlShutdown(void);
EXPORT int nvmlDeviceGetCount_v2(unsigned int *n);
EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvml_device *device);
EXPORT int nvmlDeviceGetUUID(nvml_device device, char *text, unsigned int size);
EXPORT int nvmlDeviceGetName(nvml_device device, char *text, unsigned int size);
EXPORT int nvmlDeviceGetMemoryInfo(nvml_device device, struct nvml_memory *memory);
EXPORT int nvmlDeviceGetUtilizationRates(nvml_device device, struct nvml_utilization *utilization);
EXPORT const char *nvmlErrorString(int code);

int nvmlInit_v2(void) {
    load();
    return init_code;
}

int nvmlShutdown(void) {
    return NVML_SUCCESS;
}

int nvmlDeviceGetCount_v2(unsigned int *n) {
    *n = count;
    return NVML_SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned int index, nvml_device *device) {
    *device = &cards[index];
    return cards[index].kind == 2 ? cards[index].code : NVML_SUCCESS;
}

int nvmlDeviceGetUUID(nvml_device device, char *text, unsigned int size) {
    snprintf(text, size, "%s", device->uuid);
    return NVML_SUCCESS;
}

int nvmlDeviceGetName(nvml_device device, char *text, unsigned int size) {
    snprintf(text, size, "%s", device->name);
    return NVML_SUCCESS;
}

int nvmlDeviceGetMemoryInfo(nvml_device device, struct nvml_memory *memory) {
    fake_nvml_reads++;
    load();
    if (device->kind == 1)
        return NVML_ERROR_GPU_IS_LOST;
    *memory = (struct nvml_memory){device->total, device->total - device->used, device->used};
    return NVML_SUCCESS;
}

int nvmlDeviceGetUtilizationRates(nvml_device device, struct nvml_utilization *utilization) {
    if (device->busy[0] == '-')
        return NVML_ERROR_NOT_SUPPORTED;
    *utilization = (struct nvml_utilization){(unsigned int)strtoul(device->busy, NULL, 10), 0};
    return NVML_SUCCESS;
}

const char *nvmlErrorString(int code) {
    return code == NVML_ERROR_GPU_IS_LOST ? "GPU is lost" : "some error";
}
