/*
 * gpu.h - the NVIDIA cards of this machine, by NVML.
 *
 * libnvidia-ml.so.1 comes with the driver. It is opened with dlopen, never linked, and only where a
 * device of that driver is seen (/dev/nvidiactl, /proc/driver/nvidia), since it costs some
 * milliseconds and megabytes. Which cards there are is found out once; memory in use and
 * utilisation are read again at most every GPUS_REREAD_MS.
 *
 * A worker under CUDA_VISIBLE_DEVICES has only those cards: UUIDs (the start of one is enough), or
 * indices, taken in NVML's order, which is that of the PCI bus. CUDA's own default order may be
 * another where cards differ (CUDA_DEVICE_ORDER), so name such cards by UUID. As in CUDA, the list
 * ends at the first entry that is no card. Cards in MIG mode are not split: one is listed as the
 * whole card, and MIG-... entries are no cards here.
 *
 * Tasks are handed UUIDs, never indices. Not for use by two threads at once.
 */
#ifndef DISTCOMP_GPU_H
#define DISTCOMP_GPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

#define GPUS_MAX       64
#define GPU_TEXT_SIZE  96 /* NVML's own buffers for UUID and name */
#define GPUS_REREAD_MS 1000

struct gpu {
    char uuid[GPU_TEXT_SIZE], name[GPU_TEXT_SIZE];
    uint64_t mem_total_bytes;
    uint64_t mem_used_bytes; /* by anybody, the driver included */
    int utilization_percent; /* 0 to 100 over the driver's last sample; -1: not known */
    bool lost;               /* no longer answers (fallen off the bus): offer it to nobody */
};

struct gpus;

/* When to ask NVML. */
enum gpus_probe { GPUS_WHERE_SEEN, GPUS_ALWAYS, GPUS_NEVER };

/* root: "" but in tests, put before the paths that show a driver. visible: CUDA_VISIBLE_DEVICES, or
 * NULL for all. Never NULL; without cards it is empty. */
struct gpus *gpus_open(const char *root, enum gpus_probe probe, const char *visible);
void gpus_close(struct gpus *gpus); /* NULL is fine */

/* The cards, in an order that stays; borrowed, and kept up to date by gpus_read. */
const struct gpu *gpus_list(const struct gpus *gpus, size_t *count);
/* Reads memory and utilisation if the last reading is older than GPUS_REREAD_MS; true when it did.
 */
bool gpus_read(struct gpus *gpus);
/* Why there are none, or fewer than might be ("" when all is well); borrowed. */
const char *gpus_trouble(const struct gpus *gpus);

/* Pure: what CUDA_VISIBLE_DEVICES leaves of all[0..count-1]. Writes the chosen indices in its order
 * and returns how many; the first entry that is no card, if any, is appended to refused. */
size_t gpus_choose_visible(const struct gpu *all, size_t count, const char *visible,
                           size_t chosen[GPUS_MAX], struct buf *refused);

#endif
