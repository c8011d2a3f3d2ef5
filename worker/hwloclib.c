#include "worker/hwloclib.h"

#ifndef HAVE_HWLOC

bool hwloclib_read(struct topology *topology, const struct cpus *allowed) {
    (void)topology, (void)allowed;
    return false;
}

#else

#include <dlfcn.h>
#include <hwloc.h>

#if HWLOC_API_VERSION < 0x20000
#error "hwloc 2 or newer is needed; without it build with HWLOC=no"
#endif

/* What is called of the library, by name. The header's inline helpers would need it at link time.
 */
#define FUNCTIONS(X)                                                                               \
    X(get_api_version)                                                                             \
    X(topology_init)                                                                               \
    X(topology_load)                                                                               \
    X(topology_destroy)                                                                            \
    X(get_type_depth)                                                                              \
    X(get_nbobjs_by_depth)                                                                         \
    X(get_obj_by_depth)                                                                            \
    X(bitmap_next)

struct hwloclib {
    void *handle;
#define X(name) __typeof__(&hwloc_##name) name;
    FUNCTIONS(X)
#undef X
};

static bool load(struct hwloclib *lib) {
    lib->handle = dlopen("libhwloc.so.15", RTLD_NOW | RTLD_LOCAL);
    if (!lib->handle)
        return false;
    bool ok = true;
/* POSIX gives functions as void *, ISO C does not convert them. */
#define X(name)                                                                                    \
    *(void **)&lib->name = dlsym(lib->handle, "hwloc_" #name);                                     \
    ok = ok && lib->name;
    FUNCTIONS(X)
#undef X
    /* The structs are those of the header: another major version has others. */
    ok = ok && lib->get_api_version() >> 16 == HWLOC_API_VERSION >> 16;
    if (!ok)
        dlclose(lib->handle);
    return ok;
}

static struct cpus to_cpus(const struct hwloclib *lib, hwloc_const_bitmap_t bitmap) {
    struct cpus cpus = {{0}};
    for (int cpu = lib->bitmap_next(bitmap, -1); cpu >= 0 && cpu < (int)CPUS_MAX;
         cpu = lib->bitmap_next(bitmap, cpu))
        cpus_add(&cpus, (uint32_t)cpu);
    return cpus;
}

static hwloc_obj_t object(const struct hwloclib *lib, hwloc_topology_t from, int depth,
                          unsigned i) {
    return lib->get_obj_by_depth(from, depth, i);
}

/* The cores of a node with CPUs in `left`, which are taken out of it: a CPU may be local to two
 * nodes (HBM beside DRAM), and counts for the first. */
static void read_node(const struct hwloclib *lib, hwloc_topology_t from, hwloc_obj_t node,
                      struct topology *topology, struct cpus *left) {
    int depth = lib->get_type_depth(from, HWLOC_OBJ_CORE);
    if (depth < 0) /* virtual machines may show none */
        depth = lib->get_type_depth(from, HWLOC_OBJ_PU);
    struct cpus near = to_cpus(lib, node->cpuset);
    bool added = false;
    for (unsigned i = 0; i < lib->get_nbobjs_by_depth(from, depth); i++) {
        struct cpus cpus = to_cpus(lib, object(lib, from, depth, i)->cpuset);
        cpus_keep(&cpus, left);
        cpus_keep(&cpus, &near);
        uint32_t first = cpus_next(&cpus, 0);
        if (first == CPUS_MAX)
            continue;
        if (!added)
            topology_add_node(topology, node->os_index, node->attr->numanode.local_memory);
        added = true;
        topology_add_core(topology, &cpus);
        for (uint32_t cpu = first; cpu < CPUS_MAX; cpu = cpus_next(&cpus, cpu + 1))
            left->bits[cpu / 64] &= ~(UINT64_C(1) << (cpu % 64));
    }
}

static void read_all(const struct hwloclib *lib, hwloc_topology_t from, struct topology *topology,
                     const struct cpus *allowed) {
    int depth = lib->get_type_depth(from, HWLOC_OBJ_NUMANODE);
    struct cpus left = *allowed;
    for (unsigned i = 0; i < lib->get_nbobjs_by_depth(from, depth); i++)
        read_node(lib, from, object(lib, from, depth, i), topology, &left);
}

bool hwloclib_read(struct topology *topology, const struct cpus *allowed) {
    struct hwloclib lib;
    hwloc_topology_t from;
    if (!load(&lib))
        return false;
    bool ok = lib.topology_init(&from) == 0;
    if (ok) {
        ok = lib.topology_load(from) == 0;
        if (ok)
            read_all(&lib, from, topology, allowed);
        lib.topology_destroy(from);
    }
    dlclose(lib.handle);
    return ok;
}

#endif
