#include "worker/cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/cgroup_state.h"
#include "worker/procfile.h"

/* So much that is not page cache may an earlier try have left in a group that is used again. */
#define LEFT_MAX_BYTES   (UINT64_C(16) << 20)
#define LIMIT_NEAR_BYTES (UINT64_C(1) << 20) /* the kernel charges in batches */

struct cgroups *cgroups_open(const struct cgroup_options *options) {
    struct cgroups *groups = xcalloc(1, sizeof *groups);
    groups->root = xstrdup(options->root);
    groups->count = options->slots;
    groups->slots = xcalloc(options->slots, sizeof *groups->slots);
    for (uint32_t i = 0; i < groups->count; i++)
        for (int kind = 0; kind < KINDS; kind++)
            groups->slots[i].fd[kind] = -1;
    cgroup_base_make(groups, options);
    return groups;
}

const struct cgroup_abilities *cgroups_abilities(const struct cgroups *groups) {
    return &groups->can;
}

void cgroups_close(struct cgroups *groups, bool remove) {
    if (!groups)
        return;
    for (uint32_t i = 0; i < groups->count; i++)
        for (int kind = 0; kind < KINDS; kind++)
            if (groups->slots[i].fd[kind] >= 0)
                close(groups->slots[i].fd[kind]);
    for (int kind = 0; remove && kind < KINDS; kind++)
        if (groups->base[kind][0])
            cgdir_remove(groups->base[kind], KIND_VERSION(kind));
    free(groups->root);
    free(groups->slots);
    free(groups);
}

bool cgroups_kill(struct cgroups *groups) {
    bool empty = true;
    for (int kind = 0; kind < KINDS; kind++) {
        int fd = groups->base[kind][0]
                     ? open(groups->base[kind], O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                     : -1;
        if (fd < 0)
            continue;
        empty = cgdir_kill(fd, KIND_VERSION(kind)) && empty;
        close(fd);
    }
    return empty;
}

bool cgroups_used(const struct cgroups *groups, uint64_t *bytes) {
    struct cgdir_memory memory;
    int fd = groups->can.v2_memory ? open(groups->base[KIND_V2], O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                                   : -1;
    if (fd < 0)
        return false;
    bool ok = cgdir_memory(fd, CGDIR_V2, &memory);
    close(fd);
    *bytes = memory.charged_bytes - memory.cache_bytes;
    return ok;
}

/* --- beginning ------------------------------------------------------------------------------- */

static void slot_path(const struct cgroups *groups, enum group_kind kind, uint32_t slot,
                      char path[CGROUP_PATH_MAX]) {
    snprintf(path, CGROUP_PATH_MAX, "%.*s/slot-%u", CGROUP_BASE_MAX, groups->base[kind], slot);
}

static bool renew_group(struct cgroups *groups, enum group_kind kind, uint32_t slot) {
    struct slot_group *g = &groups->slots[slot];
    char path[CGROUP_PATH_MAX];
    slot_path(groups, kind, slot, path);
    if (g->fd[kind] >= 0)
        close(g->fd[kind]);
    g->fd[kind] = -1;
    g->limited[kind] = false;
    g->spoiled[kind] = true;
    if (!cgdir_remove(path, KIND_VERSION(kind)))
        return false;
    g->fd[kind] = cgdir_open(path);
    g->spoiled[kind] = g->fd[kind] < 0;
    return g->fd[kind] >= 0;
}

/* Memory that an earlier try left, page cache aside; not looked at closely when it is little. */
static uint64_t left_behind(int fd, enum group_kind kind) {
    struct cgdir_memory memory;
    uint64_t charged;
    if (!cgdir_charged(fd, KIND_VERSION(kind), &charged) || charged <= LEFT_MAX_BYTES ||
        !cgdir_memory(fd, KIND_VERSION(kind), &memory))
        return 0;
    return memory.charged_bytes - memory.cache_bytes;
}

/* An empty group without much left in it. A process of an earlier try that does not die keeps the
 * group to itself. One that an earlier agent made may be spoiled. */
static bool ready_group(struct cgroups *groups, enum group_kind kind, uint32_t slot) {
    struct slot_group *g = &groups->slots[slot];
    bool counts = kind == KIND_MEMORY || (kind == KIND_V2 && groups->can.v2_memory);
    if (g->fd[kind] < 0 || g->spoiled[kind] || cgdir_populated(g->fd[kind], KIND_VERSION(kind)) ||
        faccessat(g->fd[kind], "cgroup.procs", F_OK, 0) != 0 || /* somebody removed it */
        (counts && left_behind(g->fd[kind], kind) > LEFT_MAX_BYTES))
        return renew_group(groups, kind, slot);
    return true;
}

static int set_limit(struct cgroups *groups, enum group_kind kind, uint32_t slot,
                     const struct cgroup_limits *limits) {
    const struct slot_group *g = &groups->slots[slot];
    enum cgdir_version version = KIND_VERSION(kind);
    bool memory = kind == KIND_V2 ? groups->can.v2_memory : kind == KIND_MEMORY;
    bool cpu = kind == KIND_V2 ? groups->can.v2_cpu : kind == KIND_CPU;
    int error = memory ? cgdir_limit_memory(g->fd[kind], version, limits->memory_bytes) : 0;
    if (!error && cpu)
        error = cgdir_limit_cpu(g->fd[kind], version, limits->mcpu);
    return error;
}

/* Sets limits, or lifts those of an earlier try. Page cache of that one that cannot be given up at
 * once (EBUSY) is left behind with its group. */
static bool apply_limits(struct cgroups *groups, enum group_kind kind, uint32_t slot,
                         const struct cgroup_limits *limits) {
    struct slot_group *g = &groups->slots[slot];
    bool wanted = limits->memory_bytes || limits->mcpu;
    if (!wanted && !g->limited[kind])
        return true;
    int error = set_limit(groups, kind, slot, limits);
    if (error == EBUSY && renew_group(groups, kind, slot))
        error = set_limit(groups, kind, slot, limits);
    g->limited[kind] = wanted || error;
    errno = error;
    return error == 0;
}

/* The counters as they are before the try. */
static void note_counters(struct cgroups *groups, uint32_t slot) {
    struct slot_group *g = &groups->slots[slot];
    g->cpu_us = g->read_bytes = g->write_bytes = 0;
    g->oom_kills = g->limit_hits = g->peak_bytes = 0;
    g->adopted = false;
    if (g->fd[KIND_V2] >= 0) {
        cgdir_cpu(g->fd[KIND_V2], &g->cpu_us);
        if (groups->can.v2_io)
            cgdir_io(g->fd[KIND_V2], &g->read_bytes, &g->write_bytes);
    }
    enum group_kind kind = groups->can.v2_memory ? KIND_V2 : KIND_MEMORY;
    if (g->fd[kind] < 0)
        return;
    cgdir_oom_kills(g->fd[kind], KIND_VERSION(kind), &g->oom_kills);
    if (kind == KIND_V2)
        cgdir_limit_hits(g->fd[kind], &g->limit_hits);
    if (!cgdir_peak_reset(g->fd[kind], KIND_VERSION(kind)))
        cgdir_peak(g->fd[kind], KIND_VERSION(kind), &g->peak_bytes);
}

static bool refuse(struct buf *error, const char *what, const char *why) {
    buf_addf(error, "limit=hard: no cgroup can limit %s here: %s", what, why);
    return false;
}

/* Version 1: only for what version 2 cannot limit. */
static bool begin_v1(struct cgroups *groups, enum group_kind kind, uint32_t slot,
                     const struct cgroup_limits *limits, char *procs, struct buf *error) {
    const char *what = kind == KIND_MEMORY ? "memory" : "CPU";
    if (!groups->base[kind][0])
        return refuse(error, what, groups->can.why);
    if (!ready_group(groups, kind, slot))
        return refuse(error, what, "processes of an earlier try are in it, or it cannot be made");
    if (!apply_limits(groups, kind, slot, limits))
        return refuse(error, what, strerror(errno));
    char path[CGROUP_PATH_MAX];
    slot_path(groups, kind, slot, path);
    snprintf(procs, CGROUP_PATH_MAX + 16, "%s/cgroup.procs", path);
    groups->slots[slot].sent[kind] = true;
    return true;
}

bool cgroup_begin(struct cgroups *groups, uint32_t slot, const struct cgroup_limits *limits,
                  struct cgroup_entry *entry, struct buf *error) {
    struct slot_group *g = &groups->slots[slot];
    entry->dir[0] = entry->procs[0][0] = entry->procs[1][0] = '\0';
    memset(g->inside, 0, sizeof g->inside);
    memset(g->sent, 0, sizeof g->sent);
    g->limit_bytes = limits->memory_bytes;
    bool v2_limits =
        (limits->memory_bytes && groups->can.v2_memory) || (limits->mcpu && groups->can.v2_cpu);
    if (groups->can.v2 && ready_group(groups, KIND_V2, slot)) {
        if (!apply_limits(groups, KIND_V2, slot, limits))
            return refuse(error, "memory and CPU", strerror(errno));
        slot_path(groups, KIND_V2, slot, entry->dir);
        g->sent[KIND_V2] = true;
    } else if (v2_limits) {
        return refuse(error, "memory and CPU", "processes of an earlier try are in it");
    }
    int used = 0;
    if (limits->memory_bytes && !groups->can.v2_memory &&
        !begin_v1(groups, KIND_MEMORY, slot, limits, entry->procs[used++], error))
        return false;
    if (limits->mcpu && !groups->can.v2_cpu &&
        !begin_v1(groups, KIND_CPU, slot, limits, entry->procs[used], error))
        return false;
    note_counters(groups, slot);
    return true;
}

/* --- while it runs --------------------------------------------------------------------------- */

void cgroup_confirm(struct cgroups *groups, uint32_t slot, int32_t pid) {
    struct slot_group *g = &groups->slots[slot];
    struct process_stat stat;
    /* One that has ended already is on no list; where it was sent is then where it was. */
    bool ended = !procfile_stat(groups->root, pid, &stat) || procfile_dead(&stat);
    for (int kind = 0; kind < KINDS; kind++)
        g->inside[kind] = g->sent[kind] && (ended || cgdir_holds(g->fd[kind], pid));
}

void cgroup_adopt(struct cgroups *groups, uint32_t slot, int32_t pid) {
    struct slot_group *g = &groups->slots[slot];
    for (int kind = 0; kind < KINDS; kind++) {
        char path[CGROUP_PATH_MAX];
        slot_path(groups, kind, slot, path);
        if (g->fd[kind] < 0 && groups->base[kind][0])
            g->fd[kind] = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        g->sent[kind] = g->limited[kind] = g->spoiled[kind] =
            g->fd[kind] >= 0; /* for all we know */
    }
    note_counters(groups, slot);
    g->adopted = true;
    cgroup_confirm(groups, slot, pid);
}

void cgroup_end(struct cgroups *groups, uint32_t slot, bool killed) {
    struct slot_group *g = &groups->slots[slot];
    if (killed)
        g->spoiled[KIND_V2] = true;
    memset(g->inside, 0, sizeof g->inside);
}

bool cgroup_kill(struct cgroups *groups, uint32_t slot) {
    struct slot_group *g = &groups->slots[slot];
    for (int kind = 0; kind < KINDS; kind++)
        if (g->inside[kind]) {
            g->spoiled[kind] = true;
            return cgdir_kill(g->fd[kind], KIND_VERSION(kind));
        }
    return false;
}

/* The kind that counts this try's memory, KINDS for none. */
static enum group_kind memory_kind(const struct cgroups *groups, const struct slot_group *g) {
    if (groups->can.v2_memory && g->inside[KIND_V2])
        return KIND_V2;
    return g->inside[KIND_MEMORY] ? KIND_MEMORY : KINDS;
}

unsigned cgroup_parts(const struct cgroups *groups, uint32_t slot) {
    const struct slot_group *g = &groups->slots[slot];
    unsigned parts = 0;
    if (g->inside[KIND_V2] || g->inside[KIND_MEMORY])
        parts |= CGROUP_MEMBERS;
    if (memory_kind(groups, g) != KINDS)
        parts |= CGROUP_MEMORY | CGROUP_OOM;
    if (g->inside[KIND_V2] && !g->adopted)
        parts |= CGROUP_CPU | (groups->can.v2_io ? CGROUP_IO : 0u);
    return parts;
}

static uint64_t since(uint64_t now, uint64_t then) {
    return now > then ? now - then : 0;
}

unsigned cgroup_read(const struct cgroups *groups, uint32_t slot, unsigned want,
                     struct cgroup_reading *reading) {
    const struct slot_group *g = &groups->slots[slot];
    unsigned parts = cgroup_parts(groups, slot) & want, got = 0;
    *reading = (struct cgroup_reading){0};
    if (parts & CGROUP_MEMORY) {
        enum group_kind kind = memory_kind(groups, g);
        struct cgdir_memory memory;
        if (cgdir_memory(g->fd[kind], KIND_VERSION(kind), &memory)) {
            reading->cache_bytes = memory.cache_bytes;
            reading->mem_bytes = memory.charged_bytes - memory.cache_bytes;
            got |= CGROUP_MEMORY;
        }
    }
    if ((parts & CGROUP_CPU) && cgdir_cpu(g->fd[KIND_V2], &reading->cpu_us)) {
        reading->cpu_us = since(reading->cpu_us, g->cpu_us);
        got |= CGROUP_CPU;
    }
    if ((parts & CGROUP_IO) &&
        cgdir_io(g->fd[KIND_V2], &reading->read_bytes, &reading->write_bytes)) {
        reading->read_bytes = since(reading->read_bytes, g->read_bytes);
        reading->write_bytes = since(reading->write_bytes, g->write_bytes);
        got |= CGROUP_IO;
    }
    return got;
}

size_t cgroup_pids(const struct cgroups *groups, uint32_t slot, int32_t *pids, size_t max) {
    const struct slot_group *g = &groups->slots[slot];
    enum group_kind kind = g->inside[KIND_V2] ? KIND_V2 : KIND_MEMORY;
    return g->inside[kind] ? cgdir_pids(g->fd[kind], pids, max) : 0;
}

uint64_t cgroup_peak(const struct cgroups *groups, uint32_t slot) {
    const struct slot_group *g = &groups->slots[slot];
    enum group_kind kind = memory_kind(groups, g);
    uint64_t peak;
    if (kind == KINDS || !cgdir_peak(g->fd[kind], KIND_VERSION(kind), &peak) ||
        peak <= g->peak_bytes)
        return 0; /* not over an earlier try's: this one's own is not known */
    return peak;
}

uint64_t cgroup_oom_kills(const struct cgroups *groups, uint32_t slot) {
    const struct slot_group *g = &groups->slots[slot];
    enum group_kind kind = memory_kind(groups, g);
    uint64_t kills;
    if (kind == KINDS || !cgdir_oom_kills(g->fd[kind], KIND_VERSION(kind), &kills))
        return 0;
    return since(kills, g->oom_kills);
}

bool cgroup_limit_met(const struct cgroups *groups, uint32_t slot) {
    const struct slot_group *g = &groups->slots[slot];
    enum group_kind kind = memory_kind(groups, g);
    uint64_t hits;
    if (kind == KINDS || g->limit_bytes == 0)
        return false;
    /* Version 1 has a count of its own, which new kernels leave at 0. */
    if (kind == KIND_MEMORY)
        return cgroup_peak(groups, slot) + LIMIT_NEAR_BYTES >= g->limit_bytes;
    return cgdir_limit_hits(g->fd[kind], &hits) && hits > g->limit_hits;
}
