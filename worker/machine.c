#include "worker/machine.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"
#include "worker/inventory.h"

struct machine {
    char *root, *file; /* the inventory's, or "" */
    struct timespec file_time;
    off_t file_size;
    ino_t file_inode;
    struct inventory inventory;
    struct resource_meter *meter;
    struct topology topology; /* the inventory's, or node_count 0: not read yet */
    bool topology_said;
    struct gpus *gpus; /* NULL: not asked for yet */
    bool gpus_said;    /* the inventory's cards were handed out, these: */
    struct gpu said[GPUS_MAX];
    size_t said_count;
    mono_ms_t said_at;
};

/* --- the inventory ---------------------------------------------------------------------------- */

/* Whether the file is another than when this was last asked. */
static bool file_changed(struct machine *machine) {
    struct stat st;
    if (!*machine->file || stat(machine->file, &st) != 0)
        return false;
    bool same = st.st_mtim.tv_sec == machine->file_time.tv_sec &&
                st.st_mtim.tv_nsec == machine->file_time.tv_nsec &&
                st.st_size == machine->file_size && st.st_ino == machine->file_inode;
    machine->file_time = st.st_mtim;
    machine->file_size = st.st_size;
    machine->file_inode = st.st_ino;
    return !same;
}

/* Cards keep their places: what was handed out before is compared by place. */
static void update_said(struct machine *machine) {
    const struct inventory *inventory = &machine->inventory;
    for (size_t i = 0; i < machine->said_count; i++) {
        struct gpu *card = &machine->said[i];
        card->lost = true;
        for (size_t k = 0; k < inventory->gpu_count; k++)
            if (strcmp(card->uuid, inventory->gpus[k].uuid) == 0)
                *card = inventory->gpus[k];
    }
}

static void look_at_inventory(struct machine *machine) {
    if (!file_changed(machine))
        return;
    struct inventory fresh;
    struct buf error = BUF_INIT;
    if (inventory_read(&fresh, machine->file, &error)) {
        topology_free(&fresh.topology); /* what was handed out stays */
        machine->inventory = fresh;
        update_said(machine);
        log_event(LOG_INFO, "inventory_read", kv_text("file", machine->file));
    } else {
        log_event(LOG_WARN, "inventory_refused", kv_text("why", error.data));
    }
    buf_free(&error);
}

struct machine *machine_open(const char *inventory, const char *root, struct buf *error) {
    struct machine *machine = xcalloc(1, sizeof *machine);
    machine->file = xstrdup(inventory);
    machine->root = xstrdup(root);
    if (*inventory) {
        file_changed(machine);
        if (!inventory_read(&machine->inventory, inventory, error)) {
            machine_close(machine);
            return NULL;
        }
        machine->topology = machine->inventory.topology;
        machine->inventory.topology = (struct topology){.node_count = 0};
        machine->topology_said = machine->topology.node_count > 0;
    }
    machine->meter = resource_meter_open(root);
    return machine;
}

void machine_close(struct machine *machine) {
    if (!machine)
        return;
    resource_meter_close(machine->meter);
    topology_free(&machine->topology);
    inventory_free(&machine->inventory);
    gpus_close(machine->gpus);
    free(machine->file);
    free(machine->root);
    free(machine);
}

/* --- memory and cores ------------------------------------------------------------------------- */

static uint64_t least(uint64_t a, uint64_t b) {
    return a < b ? a : b;
}

static uint64_t available_by(const struct machine *machine, uint64_t measured_bytes) {
    const struct inventory *said = &machine->inventory;
    if (said->has_available)
        return said->mem_available_bytes;
    return said->has_total ? least(measured_bytes, said->mem_total_bytes) : measured_bytes;
}

uint64_t machine_available(struct machine *machine) {
    look_at_inventory(machine);
    if (machine->inventory.has_available)
        return machine->inventory.mem_available_bytes;
    return available_by(machine, resource_meter_available(machine->meter));
}

/* What is found, as the inventory corrects it. */
static void find(struct machine *machine, struct resources *found) {
    const struct inventory *said = &machine->inventory;
    look_at_inventory(machine);
    resource_meter_read(machine->meter, found);
    found->mem_available_bytes = available_by(machine, found->mem_available_bytes);
    if (said->has_total)
        found->mem_total_bytes = said->mem_total_bytes;
    if (said->mcpu)
        found->mcpu = said->mcpu;
    if (machine->topology_said)
        found->cpus = (struct cpus){{0}};
    for (size_t i = 0; machine->topology_said && i < machine->topology.node_count; i++)
        cpus_join(&found->cpus, &machine->topology.nodes[i].cpus);
}

void machine_use(struct machine *machine, const struct config *config, struct machine_use *use) {
    find(machine, &use->found);
    use->mem_bytes = config->memory_bytes ? config->memory_bytes : use->found.mem_total_bytes;
    use->reserve_bytes = config_accept_bytes(config, use->mem_bytes);
    use->return_bytes = config_return_bytes(config, use->mem_bytes);
    use->mcpu = config->cpus_mcpu ? config->cpus_mcpu : use->found.mcpu;
    use->slots = config->max_tasks ? (uint32_t)config->max_tasks : 16 * ((use->mcpu + 999) / 1000);
}

bool machine_limit(const struct machine *machine, size_t i, struct resource_limit *limit) {
    return resource_meter_limit(machine->meter, i, limit);
}

const struct topology *machine_topology(struct machine *machine) {
    if (!machine->topology.node_count) {
        struct resources found;
        resource_meter_read(machine->meter, &found);
        topology_read(&machine->topology, &found.cpus, found.mem_total_bytes);
    }
    return &machine->topology;
}

/* --- cards ------------------------------------------------------------------------------------ */

static const struct gpu *said_gpus(struct machine *machine, size_t *count, bool *fresh) {
    mono_ms_t now = mono_now();
    look_at_inventory(machine);
    bool first = !machine->gpus_said;
    if (first) {
        machine->gpus_said = true;
        machine->said_count = machine->inventory.gpu_count;
        memcpy(machine->said, machine->inventory.gpus, machine->said_count * sizeof *machine->said);
    }
    *count = machine->said_count;
    *fresh = first || mono_diff(now, machine->said_at) >= GPUS_REREAD_MS;
    if (*fresh)
        machine->said_at = now;
    return machine->said;
}

const struct gpu *machine_gpus(struct machine *machine, size_t *count, bool *fresh) {
    bool unasked;
    if (!fresh)
        fresh = &unasked;
    if (machine->gpus_said || (!machine->gpus && machine->inventory.has_gpus))
        return said_gpus(machine, count, fresh);
    *fresh = !machine->gpus;
    if (!machine->gpus)
        machine->gpus =
            gpus_open(machine->root, machine->inventory.probe, getenv("CUDA_VISIBLE_DEVICES"));
    else
        *fresh = gpus_read(machine->gpus);
    return gpus_list(machine->gpus, count);
}

const char *machine_gpu_trouble(const struct machine *machine) {
    return machine->gpus ? gpus_trouble(machine->gpus) : "";
}

void machine_describe(struct machine *machine, json_t *info) {
    size_t count;
    const struct gpu *gpus = machine_gpus(machine, &count, NULL);
    if (!count)
        return;
    json_t *list = json_array();
    for (size_t i = 0; i < count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:I}", "uuid", gpus[i].uuid, "name",
                                              gpus[i].name, "memory",
                                              (json_int_t)gpus[i].mem_total_bytes));
    json_object_set_new(info, "gpus", list);
}
