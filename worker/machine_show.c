#include "worker/machine_show.h"

#include <stdlib.h>

#include "common/units.h"

/* " (memory, conf.json)" when a setting and not the machine decided. */
static void add_source(const struct config *config, const char *key, bool decided,
                       struct buf *out) {
    if (decided)
        buf_addf(out, " (%s, %s)", key, config_source_name(config_source_of(config, key)));
}

/* --- text ------------------------------------------------------------------------------------- */

static void add_memory(const struct machine *machine, const struct resources *found,
                       struct buf *out) {
    buf_adds(out, "memory      ");
    units_add_bytes(out, found->mem_total_bytes);
    buf_adds(out, ", available ");
    units_add_bytes(out, found->mem_available_bytes);
    buf_addc(out, '\n');
    struct resource_limit limit;
    for (size_t i = 0; machine_limit(machine, i, &limit); i++) {
        buf_adds(out, "  limit     ");
        units_add_bytes(out, limit.limit_bytes);
        buf_addf(out, " by %s\n", limit.directory);
    }
}

static void add_cores(const struct resources *found, const struct topology *topology,
                      struct buf *out) {
    buf_adds(out, "cores       ");
    units_add_milli(out, found->mcpu);
    buf_adds(out, " on CPUs ");
    cpus_print(&found->cpus, out);
    buf_addc(out, '\n');
    for (size_t i = 0; i < topology->node_count; i++) {
        const struct topology_node *node = &topology->nodes[i];
        size_t cores = 0;
        for (size_t k = 0; k < topology->core_count; k++)
            cores += topology->cores[k].node == i;
        buf_addf(out, "  node %-4u %zu %s, CPUs ", node->number, cores,
                 cores == 1 ? "core" : "cores");
        cpus_print(&node->cpus, out);
        if (node->memory_bytes) {
            buf_adds(out, ", ");
            units_add_bytes(out, node->memory_bytes);
        }
        buf_addf(out,
                 i == 0 && *topology->source == 'n' ? " (no hwloc: taken for one node)\n" : "\n");
    }
}

static void add_gpus(struct machine *machine, struct buf *out) {
    size_t count;
    const struct gpu *gpus = machine_gpus(machine, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        buf_addf(out, "gpu         %s %s, ", gpus[i].name, gpus[i].uuid);
        if (gpus[i].lost) {
            buf_adds(out, "does not answer\n");
            continue;
        }
        units_add_bytes(out, gpus[i].mem_total_bytes);
        buf_adds(out, ", used ");
        units_add_bytes(out, gpus[i].mem_used_bytes);
        if (gpus[i].utilization_percent >= 0)
            buf_addf(out, ", %d %% busy", gpus[i].utilization_percent);
        buf_addc(out, '\n');
    }
    if (!count)
        buf_adds(out, "gpu         none\n");
    if (*machine_gpu_trouble(machine))
        buf_addf(out, "  trouble   %s\n", machine_gpu_trouble(machine));
}

static void add_use(const struct machine_use *use, const struct config *config, struct buf *out) {
    buf_adds(out, "worker      ");
    units_add_bytes(out, use->mem_bytes);
    add_source(config, "memory", config->memory_bytes, out);
    buf_adds(out, ", of which ");
    units_add_bytes(out, use->reserve_bytes);
    buf_adds(out, " are kept free");
    add_source(config, "min_dram_gb_accept_new_task", config->min_dram_accept_bytes != CONFIG_AUTO,
               out);
    buf_adds(out, "\n            returns the most recent task below ");
    units_add_bytes(out, use->return_bytes);
    add_source(config, "min_dram_gb_trigger_return", config->min_dram_return_bytes != CONFIG_AUTO,
               out);
    buf_adds(out, "\n            ");
    units_add_milli(out, use->mcpu);
    buf_adds(out, use->mcpu == 1000 ? " core" : " cores");
    add_source(config, "cpus", config->cpus_mcpu, out);
    buf_addf(out, "\n            %u tasks at a time", use->slots);
    add_source(config, "max_task_per_worker", config->max_tasks, out);
    buf_addc(out, '\n');
}

void machine_show_text(struct machine *machine, const struct config *config, struct buf *out) {
    struct machine_use use;
    machine_use(machine, config, &use);
    add_memory(machine, &use.found, out);
    add_cores(&use.found, machine_topology(machine), out);
    add_gpus(machine, out);
    add_use(&use, config, out);
}

/* --- JSON ------------------------------------------------------------------------------------- */

static json_t *cpus_json(const struct cpus *cpus) {
    struct buf text = BUF_INIT;
    cpus_print(cpus, &text);
    json_t *json = json_string(text.data);
    buf_free(&text);
    return json;
}

static json_t *cores_json(uint32_t mcpu) {
    return mcpu % 1000 ? json_real(mcpu / 1000.0) : json_integer(mcpu / 1000);
}

static json_t *limits_json(const struct machine *machine) {
    json_t *list = json_array();
    struct resource_limit limit;
    for (size_t i = 0; machine_limit(machine, i, &limit); i++)
        json_array_append_new(list,
                              json_pack("{s:s, s:i, s:I}", "directory", limit.directory, "cgroup",
                                        limit.v2 ? 2 : 1, "memory", (json_int_t)limit.limit_bytes));
    return list;
}

static json_t *nodes_json(const struct topology *topology) {
    json_t *list = json_array();
    for (size_t i = 0; i < topology->node_count; i++) {
        const struct topology_node *node = &topology->nodes[i];
        json_t *cores = json_array();
        for (size_t k = 0; k < topology->core_count; k++)
            if (topology->cores[k].node == i)
                json_array_append_new(cores, cpus_json(&topology->cores[k].cpus));
        json_array_append_new(list,
                              json_pack("{s:i, s:o, s:I}", "number", (int)node->number, "cores",
                                        cores, "memory", (json_int_t)node->memory_bytes));
    }
    return list;
}

static json_t *gpus_json(struct machine *machine) {
    json_t *list = json_array();
    size_t count;
    const struct gpu *gpus = machine_gpus(machine, &count, NULL);
    for (size_t i = 0; i < count; i++) {
        json_t *gpu = json_pack("{s:s, s:s, s:I, s:I, s:b}", "uuid", gpus[i].uuid, "name",
                                gpus[i].name, "memory", (json_int_t)gpus[i].mem_total_bytes, "used",
                                (json_int_t)gpus[i].mem_used_bytes, "lost", gpus[i].lost);
        if (gpus[i].utilization_percent >= 0)
            json_object_set_new(gpu, "utilization", json_integer(gpus[i].utilization_percent));
        json_array_append_new(list, gpu);
    }
    return list;
}

void machine_show_json(struct machine *machine, const struct config *config, struct buf *out) {
    struct machine_use use;
    machine_use(machine, config, &use);
    const struct topology *topology = machine_topology(machine);
    json_t *gpus = gpus_json(machine); /* finds the trouble, too */
    json_t *worker =
        json_pack("{s:I, s:I, s:I, s:o, s:I}", "memory", (json_int_t)use.mem_bytes, "reserve",
                  (json_int_t)use.reserve_bytes, "return_below", (json_int_t)use.return_bytes,
                  "cores", cores_json(use.mcpu), "slots", (json_int_t)use.slots);
    json_t *all =
        json_pack("{s:I, s:I, s:o, s:o, s:o, s:o, s:s, s:o, s:s, s:o}", "memory_total",
                  (json_int_t)use.found.mem_total_bytes, "memory_available",
                  (json_int_t)use.found.mem_available_bytes, "limits", limits_json(machine),
                  "cores", cores_json(use.found.mcpu), "cpus", cpus_json(&use.found.cpus), "numa",
                  nodes_json(topology), "topology", topology->source, "gpus", gpus, "gpu_trouble",
                  machine_gpu_trouble(machine), "worker", worker);
    char *text = json_dumps(all, JSON_INDENT(2));
    if (!text)
        abort(); /* out of memory: see common/buf.h */
    buf_addf(out, "%s\n", text);
    free(text);
    json_decref(all);
}
