#include "worker/gpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/nvml.h"

struct gpus {
    struct nvml nvml;
    nvml_device devices[GPUS_MAX];
    struct gpu list[GPUS_MAX];
    size_t count;
    mono_ms_t read;
    struct buf trouble;
};

/* --- CUDA_VISIBLE_DEVICES --------------------------------------------------------------------- */

/* The card that an entry names, or count when there is none or more than one. */
static size_t find_visible(const struct gpu *all, size_t count, const char *entry, size_t len) {
    size_t found = count;
    if (len && strspn(entry, "0123456789") >= len) {
        unsigned long index = strtoul(entry, NULL, 10);
        return index < count ? index : count;
    }
    if (len <= 4 || strncmp(entry, "GPU-", 4) != 0)
        return count;
    for (size_t i = 0; i < count; i++) {
        if (strncmp(all[i].uuid, entry, len) != 0)
            continue;
        if (found < count)
            return count;
        found = i;
    }
    return found;
}

size_t gpus_choose_visible(const struct gpu *all, size_t count, const char *visible,
                           size_t chosen[GPUS_MAX], struct buf *refused) {
    size_t n = 0;
    for (const char *at = visible; *at;) {
        at += strspn(at, " ");
        size_t len = strcspn(at, ", ");
        size_t i = find_visible(all, count, at, len);
        bool again = false;
        for (size_t k = 0; k < n; k++)
            again = again || chosen[k] == i;
        if (i == count || again) {
            buf_add(refused, at, len);
            break;
        }
        chosen[n++] = i;
        at += len;
        at += strspn(at, " ");
        at += *at == ',';
    }
    return n;
}

/* --- reading ---------------------------------------------------------------------------------- */

static void read_card(struct gpus *gpus, size_t i) {
    struct gpu *gpu = &gpus->list[i];
    struct nvml_memory memory = {0};
    struct nvml_utilization utilization = {0};
    int code = gpus->nvml.memory(gpus->devices[i], &memory);
    gpu->lost = code != NVML_SUCCESS;
    if (!gpu->lost) {
        gpu->mem_total_bytes = memory.total;
        gpu->mem_used_bytes = memory.used;
    }
    gpu->utilization_percent = -1; /* some cards cannot tell */
    if (!gpu->lost && gpus->nvml.utilization(gpus->devices[i], &utilization) == NVML_SUCCESS)
        gpu->utilization_percent = (int)utilization.gpu;
}

bool gpus_read(struct gpus *gpus) {
    mono_ms_t now = mono_now();
    if (!gpus->count || mono_diff(now, gpus->read) < GPUS_REREAD_MS)
        return false;
    for (size_t i = 0; i < gpus->count; i++)
        read_card(gpus, i);
    gpus->read = now;
    return true;
}

/* Fills the i-th card's handle, UUID and name; says so when it cannot. */
static bool identify(struct gpus *gpus, unsigned int i, nvml_device *device, struct gpu *gpu) {
    const char *what = "nvmlDeviceGetHandleByIndex_v2";
    int code = gpus->nvml.device(i, device);
    *gpu = (struct gpu){.utilization_percent = -1};
    if (code == NVML_SUCCESS) {
        what = "nvmlDeviceGetUUID";
        code = gpus->nvml.uuid(*device, gpu->uuid, sizeof gpu->uuid);
    }
    if (code == NVML_SUCCESS && gpus->nvml.name(*device, gpu->name, sizeof gpu->name) != 0)
        snprintf(gpu->name, sizeof gpu->name, "NVIDIA GPU");
    struct nvml_memory memory;
    if (code == NVML_SUCCESS) {
        what = "nvmlDeviceGetMemoryInfo";
        code = gpus->nvml.memory(*device, &memory);
        if (code != NVML_ERROR_NOT_SUPPORTED)
            return true; /* one that is lost now may come back */
    }
    if (gpus->trouble.len)
        buf_adds(&gpus->trouble, "; ");
    buf_addf(&gpus->trouble, "card %u is left out: %s: %s", i, what, gpus->nvml.error_string(code));
    return false;
}

/* Those of the cards found that the environment lets us see. An entry that failed above keeps its
 * index, since CUDA_VISIBLE_DEVICES counts it. */
static void keep_visible(struct gpus *gpus, const struct gpu *all, const nvml_device *devices,
                         const bool *usable, size_t total, const char *visible) {
    size_t chosen[GPUS_MAX], n = total;
    struct buf refused = BUF_INIT;
    for (size_t i = 0; i < total; i++)
        chosen[i] = i;
    if (visible)
        n = gpus_choose_visible(all, total, visible, chosen, &refused);
    if (refused.len && strcmp(refused.data, "-1") != 0) {
        if (gpus->trouble.len)
            buf_adds(&gpus->trouble, "; ");
        buf_addf(&gpus->trouble, "CUDA_VISIBLE_DEVICES=%s: %s is no card, and the list ends there",
                 visible, refused.data);
    }
    buf_free(&refused);
    for (size_t i = 0; i < n; i++) {
        if (!usable[chosen[i]])
            continue;
        gpus->list[gpus->count] = all[chosen[i]];
        gpus->devices[gpus->count++] = devices[chosen[i]];
    }
}

static void find_cards(struct gpus *gpus, const char *visible) {
    struct gpu all[GPUS_MAX];
    nvml_device devices[GPUS_MAX];
    bool usable[GPUS_MAX];
    unsigned int total = 0;
    int code = gpus->nvml.device_count(&total);
    if (code != NVML_SUCCESS) {
        buf_addf(&gpus->trouble, "nvmlDeviceGetCount_v2: %s", gpus->nvml.error_string(code));
        return;
    }
    total = total < GPUS_MAX ? total : GPUS_MAX;
    for (unsigned int i = 0; i < total; i++)
        usable[i] = identify(gpus, i, &devices[i], &all[i]);
    keep_visible(gpus, all, devices, usable, total, visible);
    for (size_t i = 0; i < gpus->count; i++)
        read_card(gpus, i);
    gpus->read = mono_now();
}

static bool seen(const char *root, const char *path) {
    struct buf full = BUF_INIT;
    buf_addf(&full, "%s%s", root, path);
    bool there = access(full.data, F_OK) == 0;
    buf_free(&full);
    return there;
}

struct gpus *gpus_open(const char *root, enum gpus_probe probe, const char *visible) {
    struct gpus *gpus = xcalloc(1, sizeof *gpus);
    gpus->trouble = (struct buf)BUF_INIT;
    if (probe == GPUS_NEVER || (probe == GPUS_WHERE_SEEN && !seen(root, "/dev/nvidiactl") &&
                                !seen(root, "/proc/driver/nvidia")))
        return gpus;
    if (visible && !*visible)
        return gpus; /* none wanted: the library need not be loaded */
    if (nvml_open(&gpus->nvml, &gpus->trouble))
        find_cards(gpus, visible);
    return gpus;
}

void gpus_close(struct gpus *gpus) {
    if (!gpus)
        return;
    nvml_close(&gpus->nvml);
    buf_free(&gpus->trouble);
    free(gpus);
}

const struct gpu *gpus_list(const struct gpus *gpus, size_t *count) {
    *count = gpus->count;
    return gpus->list;
}

const char *gpus_trouble(const struct gpus *gpus) {
    return gpus->trouble.data;
}
