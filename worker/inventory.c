#include "worker/inventory.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/units.h"

/* Where we are in the file, for errors. */
struct place {
    const char *file;
    struct buf key; /* "gpus[1].memory" */
    struct buf *error;
};

static bool fault(struct place *place, const char *expected) {
    buf_addf(place->error, "%s: %s%sexpected %s", place->file, place->key.data,
             place->key.len ? ": " : "", expected);
    return false;
}

typedef bool read_value(struct place *place, json_t *json, void *into);

/* --- values ----------------------------------------------------------------------------------- */

static bool read_bytes(struct place *place, json_t *json, void *into) {
    const char *expected, *text = json_string_value(json);
    if (json_is_integer(json) && json_integer_value(json) >= 0) {
        *(uint64_t *)into = (uint64_t)json_integer_value(json);
        return true;
    }
    if (text && units_parse_bytes(text, json_string_length(json), 1, into, &expected))
        return true;
    return fault(place, "a number of bytes, or a size in quotes, as \"512M\" or \"1.5GiB\"");
}

static bool read_milli(struct place *place, json_t *json, void *into) {
    double value = json_number_value(json) * 1000;
    if (json_is_number(json) && value >= 1 && value <= 1e9) {
        *(uint32_t *)into = (uint32_t)lround(value);
        return true;
    }
    return fault(place, "a number of cores, from 0.001 to 1000000");
}

static bool read_percent(struct place *place, json_t *json, void *into) {
    json_int_t value = json_integer_value(json);
    if (json_is_integer(json) && value >= 0 && value <= 100) {
        *(int *)into = (int)value;
        return true;
    }
    return fault(place, "an integer from 0 to 100");
}

static bool read_text(struct place *place, json_t *json, void *into) {
    const char *text = json_string_value(json);
    if (text && *text && strlen(text) < GPU_TEXT_SIZE) {
        memcpy(into, text, strlen(text) + 1);
        return true;
    }
    return fault(place, "a text of 1 to 95 bytes");
}

/* A UUID goes into a list joined by commas. */
static bool read_uuid(struct place *place, json_t *json, void *into) {
    const char *text = json_string_value(json);
    if (text && strpbrk(text, ", \t\n"))
        return fault(place, "a text without blanks and commas");
    return read_text(place, json, into);
}

static bool read_probe(struct place *place, json_t *json, void *into) {
    *(enum gpus_probe *)into = json_is_true(json) ? GPUS_ALWAYS : GPUS_NEVER;
    return json_is_boolean(json) || fault(place, "true or false");
}

static bool read_cpus(struct place *place, json_t *json, void *into) {
    const char *text = json_string_value(json);
    struct cpus *cpus = into;
    if (text && cpus_parse(text, cpus) && cpus_count(cpus))
        return true;
    return fault(place, "CPUs, as \"0-3,8\", numbered from 0 to 4095");
}

static bool read_list(struct place *place, json_t *json, void *into) {
    *(json_t **)into = json;
    return json_is_array(json) || fault(place, "a list, [ ... ]");
}

/* --- objects ---------------------------------------------------------------------------------- */

struct key {
    const char *name;
    read_value *read;
    void *into;
    bool wanted; /* must be there */
    bool *seen;  /* or NULL */
};

static const struct key *find_key(const struct key *keys, const char *name) {
    for (; keys->name; keys++)
        if (strcmp(keys->name, name) == 0)
            return keys;
    return NULL;
}

static bool unknown_key(struct place *place, const struct key *keys, const char *name) {
    buf_addf(place->error, "%s: %s%s%s: unknown key, expected ", place->file, place->key.data,
             place->key.len ? "." : "", name);
    for (const struct key *key = keys; key->name; key++)
        buf_addf(place->error, "%s%s", key == keys ? "" : ", ", key->name);
    return false;
}

static void enter(struct place *place, const char *name) {
    buf_addf(&place->key, "%s%s", place->key.len ? "." : "", name);
}

static void leave(struct place *place, size_t len) {
    place->key.len = len;
    if (place->key.cap)
        place->key.data[len] = '\0';
}

/* Reads an object by a table that ends with a NULL name. */
static bool read_object(struct place *place, json_t *json, const struct key *keys) {
    if (!json_is_object(json))
        return fault(place, "an object, { \"key\": value, ... }");
    size_t outer = place->key.len;
    const char *name;
    json_t *value;
    json_object_foreach(json, name, value) {
        const struct key *key = find_key(keys, name);
        if (!key)
            return unknown_key(place, keys, name);
        enter(place, name);
        if (!key->read(place, value, key->into))
            return false;
        if (key->seen)
            *key->seen = true;
        leave(place, outer);
    }
    for (const struct key *key = keys; key->name; key++) {
        if (key->wanted && !json_object_get(json, key->name)) {
            enter(place, key->name);
            return fault(place, "it to be given");
        }
    }
    return true;
}

typedef bool read_item(struct place *place, json_t *json, struct inventory *inventory);

static bool read_items(struct place *place, const char *name, json_t *list, read_item *read,
                       struct inventory *inventory) {
    for (size_t i = 0; i < json_array_size(list); i++) {
        size_t outer = place->key.len;
        buf_addf(&place->key, "%s[%zu]", name, i);
        if (!read(place, json_array_get(list, i), inventory))
            return false;
        leave(place, outer);
    }
    return true;
}

static bool read_gpu(struct place *place, json_t *json, struct inventory *inventory) {
    struct gpu gpu = {.name = "GPU", .utilization_percent = -1};
    const struct key keys[] = {{"uuid", read_uuid, gpu.uuid, true, NULL},
                               {"name", read_text, gpu.name, false, NULL},
                               {"memory", read_bytes, &gpu.mem_total_bytes, true, NULL},
                               {"used", read_bytes, &gpu.mem_used_bytes, false, NULL},
                               {"utilization", read_percent, &gpu.utilization_percent, false, NULL},
                               {NULL, NULL, NULL, false, NULL}};
    if (!read_object(place, json, keys))
        return false;
    if (inventory->gpu_count == GPUS_MAX)
        return fault(place, "at most 64 cards");
    for (size_t i = 0; i < inventory->gpu_count; i++)
        if (strcmp(inventory->gpus[i].uuid, gpu.uuid) == 0)
            return fault(place, "a uuid that no card before it has");
    inventory->gpus[inventory->gpu_count++] = gpu;
    return true;
}

/* Adds a core, whose CPUs must be nobody else's. */
static bool add_core(struct place *place, struct topology *topology, const struct cpus *cpus) {
    for (size_t i = 0; i < topology->core_count; i++)
        if (cpus_meet(&topology->cores[i].cpus, cpus))
            return fault(place, "CPUs that no core before it has");
    topology_add_core(topology, cpus);
    return true;
}

static bool read_core(struct place *place, json_t *json, struct inventory *inventory) {
    struct cpus cpus;
    return read_cpus(place, json, &cpus) && add_core(place, &inventory->topology, &cpus);
}

static bool read_node(struct place *place, json_t *json, struct inventory *inventory) {
    uint64_t memory_bytes = 0;
    struct cpus cpus = {{0}};
    json_t *cores = NULL;
    const struct key keys[] = {{"cpus", read_cpus, &cpus, false, NULL},
                               {"cores", read_list, &cores, false, NULL},
                               {"memory", read_bytes, &memory_bytes, false, NULL},
                               {NULL, NULL, NULL, false, NULL}};
    struct topology *topology = &inventory->topology;
    if (!read_object(place, json, keys))
        return false;
    if (cpus_count(&cpus) ? cores != NULL : json_array_size(cores) == 0)
        return fault(place, "one of \"cpus\" and \"cores\"");
    topology_add_node(topology, (uint32_t)topology->node_count, memory_bytes);
    for (uint32_t cpu = cpus_next(&cpus, 0); cpu < CPUS_MAX; cpu = cpus_next(&cpus, cpu + 1)) {
        struct cpus one = {{0}};
        cpus_add(&one, cpu);
        if (!add_core(place, topology, &one))
            return false;
    }
    return read_items(place, ".cores", cores, read_core, inventory);
}

static bool read_root(struct place *place, json_t *json, struct inventory *inventory) {
    json_t *numa = NULL, *gpus = NULL;
    const struct key keys[] = {
        {"memory_total", read_bytes, &inventory->mem_total_bytes, false, &inventory->has_total},
        {"memory_available", read_bytes, &inventory->mem_available_bytes, false,
         &inventory->has_available},
        {"cores", read_milli, &inventory->mcpu, false, NULL},
        {"numa", read_list, &numa, false, NULL},
        {"gpus", read_list, &gpus, false, &inventory->has_gpus},
        {"nvml", read_probe, &inventory->probe, false, NULL},
        {NULL, NULL, NULL, false, NULL}};
    if (!read_object(place, json, keys) || !read_items(place, "numa", numa, read_node, inventory) ||
        !read_items(place, "gpus", gpus, read_gpu, inventory))
        return false;
    for (size_t i = 0; i < inventory->topology.node_count && !json_object_get(json, "cores"); i++)
        inventory->mcpu += 1000 * cpus_count(&inventory->topology.nodes[i].cpus);
    return true;
}

bool inventory_read(struct inventory *inventory, const char *path, struct buf *error) {
    *inventory = (struct inventory){.topology.source = "inventory"};
    json_error_t where;
    json_t *root = json_load_file(path, JSON_REJECT_DUPLICATES, &where);
    if (!root) {
        if (where.line < 0)
            buf_addf(error, "inventory: %s", where.text);
        else
            buf_addf(error, "inventory %s:%d:%d: %s", path, where.line, where.column, where.text);
        return false;
    }
    struct buf file = BUF_INIT;
    buf_addf(&file, "inventory %s", path);
    struct place place = {.file = file.data, .key = BUF_INIT, .error = error};
    bool ok = read_root(&place, root, inventory);
    buf_free(&place.key);
    buf_free(&file);
    json_decref(root);
    if (!ok)
        inventory_free(inventory);
    return ok;
}

void inventory_free(struct inventory *inventory) {
    topology_free(&inventory->topology);
    *inventory = (struct inventory){.topology.source = "inventory"};
}
