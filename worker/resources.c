#include "worker/resources.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/cgroupdirs.h"
#include "worker/procfile.h"

#define NO_LIMIT  UINT64_MAX
#define UNLIMITED (UINT64_C(1) << 60) /* v1 writes "none" as a number above this */

enum { TEXT_SIZE = 16384 };

/* A cgroup with a memory limit. */
struct level {
    char *directory;
    bool v2;
    uint64_t limit_bytes;
    int usage, stat; /* descriptors, -1 when the file is not there */
};

struct resource_meter {
    char *root;
    int meminfo, self; /* /proc/meminfo, /proc/self/cgroup */
    uint64_t machine_bytes, machine_available_bytes;
    struct level *levels;
    size_t count;
    struct cgroupdirs dirs;
    struct buf self_text; /* what `dirs` was made from */
    mono_ms_t scanned;
};

/* --- files ------------------------------------------------------------------------------------ */

static int open_file(const char *directory, const char *name) {
    char path[4096 + 256];
    int len = snprintf(path, sizeof path, "%s/%s", directory, name);
    return len > 0 && (size_t)len < sizeof path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
}

static void close_file(int fd) {
    if (fd >= 0)
        close(fd);
}

/* The text of a file from its start: the kernel writes it anew. False when it cannot be read. */
static bool reread(int fd, char *text, size_t size) {
    ssize_t len = fd >= 0 ? pread(fd, text, size - 1, 0) : -1;
    text[len > 0 ? len : 0] = '\0';
    return len >= 0;
}

static bool read_file(const char *directory, const char *name, char *text, size_t size) {
    char path[4096 + 256];
    int len = snprintf(path, sizeof path, "%s/%s", directory, name);
    return (size_t)len < sizeof path && procfile_read(AT_FDCWD, path, text, size) > 0;
}

/* A number, or NO_LIMIT ("max", "-1", no such file). */
static uint64_t number(const char *text) {
    return text[0] >= '0' && text[0] <= '9' ? strtoull(text, NULL, 10) : NO_LIMIT;
}

static uint64_t read_number(const char *directory, const char *name) {
    char text[64];
    return read_file(directory, name, text, sizeof text) ? number(text) : NO_LIMIT;
}

/* A number wanted from lines `key value`; it keeps its value when there is no such line. */
struct field {
    const char *key;
    uint64_t value;
};

static void read_fields(const char *text, struct field *fields, size_t count) {
    for (const char *line = text; line;) {
        for (size_t i = 0; i < count; i++) {
            size_t len = strlen(fields[i].key);
            if (line[0] == fields[i].key[0] && strncmp(line, fields[i].key, len) == 0)
                fields[i].value = strtoull(line + len, NULL, 10);
        }
        line = strchr(line, '\n');
        line += line != NULL;
    }
}

/* --- memory ----------------------------------------------------------------------------------- */

static void read_machine(struct resource_meter *meter) {
    char text[TEXT_SIZE];
    struct field fields[] = {{"MemTotal:", meter->machine_bytes / 1024},
                             {"MemAvailable:", NO_LIMIT}};
    reread(meter->meminfo, text, sizeof text);
    read_fields(text, fields, 2);
    meter->machine_bytes = fields[0].value * 1024;
    /* It may say 0, and means it. Kernels before 3.14 do not say. */
    meter->machine_available_bytes =
        fields[1].value == NO_LIMIT ? meter->machine_bytes : fields[1].value * 1024;
}

/* What the kernel gives up before it kills: used, but not lost to us. */
static uint64_t reclaimable(const char *stat, bool v2) {
    enum { ACTIVE, INACTIVE, DIRTY, WRITEBACK, SLAB, FIELDS };
    struct field fields[][FIELDS] = {
        {{"total_active_file ", 0},
         {"total_inactive_file ", 0},
         {"total_dirty ", 0},
         {"total_writeback ", 0},
         {"total_slab_reclaimable ", 0}},
        {{"active_file ", 0},
         {"inactive_file ", 0},
         {"file_dirty ", 0},
         {"file_writeback ", 0},
         {"slab_reclaimable ", 0}},
    };
    struct field *f = fields[v2];
    read_fields(stat, f, FIELDS);
    uint64_t cache = f[ACTIVE].value + f[INACTIVE].value;
    uint64_t busy = f[DIRTY].value + f[WRITEBACK].value;
    return (cache > busy ? cache - busy : 0) + f[SLAB].value / 2;
}

/* What a group has left, if that is less than `least`. False when its files have gone. */
static bool level_left(const struct level *level, uint64_t *least) {
    char text[TEXT_SIZE];
    uint64_t used = 0;
    if (level->usage >= 0) {
        if (!reread(level->usage, text, 64))
            return false;
        used = number(text) == NO_LIMIT ? 0 : number(text);
    }
    uint64_t left = level->limit_bytes > used ? level->limit_bytes - used : 0;
    if (left >= *least)
        return true; /* the cache would only add to it; memory.stat is the costly file */
    if (level->stat >= 0 && !reread(level->stat, text, sizeof text))
        return false;
    uint64_t cache = level->stat >= 0 ? reclaimable(text, level->v2) : 0;
    used -= cache < used ? cache : used;
    left = level->limit_bytes > used ? level->limit_bytes - used : 0;
    if (left < *least)
        *least = left;
    return true;
}

static uint64_t limit_of(const char *directory, bool v2) {
    if (!v2) {
        uint64_t limit = read_number(directory, "memory.limit_in_bytes");
        return limit < UNLIMITED ? limit : NO_LIMIT;
    }
    uint64_t most = read_number(directory, "memory.max"),
             high = read_number(directory, "memory.high");
    return most < high ? most : high;
}

static void forget_levels(struct resource_meter *meter) {
    for (size_t i = 0; i < meter->count; i++) {
        free(meter->levels[i].directory);
        close_file(meter->levels[i].usage);
        close_file(meter->levels[i].stat);
    }
    meter->count = 0;
}

typedef void visit_group(struct resource_meter *meter, const char *directory, bool v2, void *arg);

/* Visits our group of a hierarchy and all above it, as far as the mount shows them. */
static void walk_up(struct resource_meter *meter, enum cgroup_kind kind, visit_group *visit,
                    void *arg) {
    const struct cgroupdir *dir = &meter->dirs.dirs[kind];
    if (!dir->path.len)
        return;
    char *path = xstrdup(dir->path.data), *slash;
    for (;;) {
        visit(meter, path, kind == CGROUP_V2, arg);
        slash = strrchr(path, '/');
        if (!slash || (size_t)(slash - path) < dir->mount_len)
            break;
        *slash = '\0';
    }
    free(path);
}

static void add_level(struct resource_meter *meter, const char *directory, bool v2, void *arg) {
    (void)arg;
    uint64_t limit = limit_of(directory, v2);
    if (limit == NO_LIMIT)
        return;
    meter->levels = xrealloc(meter->levels, (meter->count + 1) * sizeof *meter->levels);
    meter->levels[meter->count++] = (struct level){
        .directory = xstrdup(directory),
        .v2 = v2,
        .limit_bytes = limit,
        .usage = open_file(directory, v2 ? "memory.current" : "memory.usage_in_bytes"),
        .stat = open_file(directory, "memory.stat"),
    };
}

/* Where are we, and what are the limits now? Mounts are read again only when we have moved. */
static void scan(struct resource_meter *meter) {
    char text[TEXT_SIZE];
    meter->scanned = mono_now();
    reread(meter->self, text, sizeof text);
    if (strcmp(text, meter->self_text.data) != 0) {
        cgroupdirs_free(&meter->dirs);
        cgroupdirs_read(&meter->dirs, meter->root);
        buf_clear(&meter->self_text);
        buf_adds(&meter->self_text, text);
    }
    forget_levels(meter);
    walk_up(meter, CGROUP_V1_MEMORY, add_level, NULL);
    walk_up(meter, CGROUP_V2, add_level, NULL);
}

static bool levels_left(const struct resource_meter *meter, uint64_t *least) {
    for (size_t i = 0; i < meter->count; i++)
        if (!level_left(&meter->levels[i], least))
            return false;
    return true;
}

uint64_t resource_meter_available(struct resource_meter *meter) {
    if (mono_diff(mono_now(), meter->scanned) >= RESOURCES_RESCAN_MS)
        scan(meter);
    read_machine(meter);
    uint64_t least = meter->machine_available_bytes;
    if (!levels_left(meter, &least)) {
        scan(meter); /* a group has been removed under us: we must be in another one */
        levels_left(meter, &least);
    }
    return least;
}

/* --- cores ------------------------------------------------------------------------------------ */

static void apply_quota(struct resource_meter *meter, const char *directory, bool v2, void *arg) {
    (void)meter;
    struct resources *resources = arg;
    uint64_t quota = NO_LIMIT, period = NO_LIMIT;
    if (v2) {
        char text[64];
        if (read_file(directory, "cpu.max", text, sizeof text)) {
            quota = number(text);
            const char *blank = strchr(text, ' ');
            period = blank ? number(blank + 1) : NO_LIMIT;
        }
    } else {
        quota = read_number(directory, "cpu.cfs_quota_us"); /* -1: none */
        period = read_number(directory, "cpu.cfs_period_us");
    }
    if (quota >= UNLIMITED / 1000 || period == 0 || period == NO_LIMIT)
        return;
    uint64_t mcpu = quota * 1000 / period;
    if (mcpu < resources->mcpu)
        resources->mcpu = mcpu ? (uint32_t)mcpu : 1;
}

static void keep_cpuset(struct resources *resources, const struct cgroupdir *dir,
                        const char *name) {
    char text[TEXT_SIZE];
    struct cpus set;
    if (dir->path.len && read_file(dir->path.data, name, text, sizeof text) &&
        cpus_parse(text, &set) && cpus_meet(&set, &resources->cpus))
        cpus_keep(&resources->cpus, &set);
}

static void read_cores(struct resource_meter *meter, struct resources *resources) {
    uint32_t cpus = 0;
    if (cpus_of_process(&resources->cpus)) {
        keep_cpuset(resources, &meter->dirs.dirs[CGROUP_V1_CPUSET], "cpuset.effective_cpus");
        keep_cpuset(resources, &meter->dirs.dirs[CGROUP_V2], "cpuset.cpus.effective");
        cpus = cpus_count(&resources->cpus);
    }
    if (!cpus) {
        long online = sysconf(_SC_NPROCESSORS_ONLN);
        cpus = online > 0 ? (uint32_t)online : 1;
    }
    resources->mcpu = cpus * 1000;
    walk_up(meter, CGROUP_V1_CPU, apply_quota, resources);
    walk_up(meter, CGROUP_V2, apply_quota, resources);
}

/* --- the meter -------------------------------------------------------------------------------- */

struct resource_meter *resource_meter_open(const char *root) {
    struct resource_meter *meter = xcalloc(1, sizeof *meter);
    long pages = sysconf(_SC_PHYS_PAGES), page_bytes = sysconf(_SC_PAGESIZE);
    meter->machine_bytes = pages > 0 && page_bytes > 0 ? (uint64_t)pages * (uint64_t)page_bytes : 0;
    meter->root = xstrdup(root);
    meter->meminfo = open_file(root, "proc/meminfo");
    meter->self = open_file(root, "proc/self/cgroup");
    meter->self_text = (struct buf)BUF_INIT;
    cgroupdirs_find(&meter->dirs, "", "", "");
    scan(meter);
    return meter;
}

void resource_meter_close(struct resource_meter *meter) {
    if (!meter)
        return;
    forget_levels(meter);
    free(meter->levels);
    cgroupdirs_free(&meter->dirs);
    buf_free(&meter->self_text);
    close_file(meter->meminfo);
    close_file(meter->self);
    free(meter->root);
    free(meter);
}

void resource_meter_read(struct resource_meter *meter, struct resources *resources) {
    *resources = (struct resources){0};
    scan(meter);
    resources->mem_available_bytes = resource_meter_available(meter);
    resources->mem_total_bytes = meter->machine_bytes;
    for (size_t i = 0; i < meter->count; i++)
        if (meter->levels[i].limit_bytes < resources->mem_total_bytes)
            resources->mem_total_bytes = meter->levels[i].limit_bytes;
    read_cores(meter, resources);
}

bool resource_meter_limit(const struct resource_meter *meter, size_t i,
                          struct resource_limit *limit) {
    if (i >= meter->count)
        return false;
    const struct level *level = &meter->levels[i];
    *limit = (struct resource_limit){level->directory, level->v2, level->limit_bytes};
    return true;
}

void resources_read(struct resources *resources, const char *root) {
    struct resource_meter *meter = resource_meter_open(root);
    resource_meter_read(meter, resources);
    resource_meter_close(meter);
}

uint64_t resources_available(const char *root) {
    struct resource_meter *meter = resource_meter_open(root);
    uint64_t available = resource_meter_available(meter);
    resource_meter_close(meter);
    return available;
}

void resources_boot_id(struct buf *out) {
    char text[64];
    if (read_file("/proc/sys/kernel/random", "boot_id", text, sizeof text))
        buf_add(out, text, strcspn(text, "\n"));
    else
        buf_adds(out, "unknown");
}
