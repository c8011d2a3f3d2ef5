/* machine.h: what is found, said by an inventory, and made of it by the settings. */
#include "tests/unit/dir_rig.h"

#include "common/clock.h"
#include "common/log.h"
#include "worker/machine.h"
#include "worker/machine_show.h"

#define M (UINT64_C(1) << 20)
#define G (UINT64_C(1) << 30)

static char path[128]; /* of the inventory */
static int64_t clock_ms = 1;

static mono_ms_t fake_mono(void) {
    return (mono_ms_t){clock_ms};
}

static int up(void **state) {
    (void)state;
    if (dir_make() != 0)
        return -1;
    put("/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\n");
    snprintf(path, sizeof path, "%s/inventory", root);
    return 0;
}

static int down(void **state) {
    (void)state;
    return dir_remove();
}

static struct machine *open_with(const char *inventory) {
    struct buf error = BUF_INIT;
    if (inventory)
        put("/inventory", inventory);
    struct machine *machine = machine_open(inventory ? path : "", root, &error);
    if (!machine)
        fail_msg("%s", error.data);
    return machine;
}

static void what_is_found_is_used(void **state) {
    (void)state;
    struct config config;
    struct machine_use use;
    struct machine *machine = open_with(NULL);
    size_t count;
    config_defaults(&config);
    machine_use(machine, &config, &use);
    assert_int_equal(use.found.mem_total_bytes, 16 * G);
    assert_int_equal(use.found.mem_available_bytes, 12 * G);
    assert_int_equal(machine_available(machine), 12 * G);
    assert_int_equal(use.mem_bytes, 16 * G);
    assert_int_equal(use.reserve_bytes, config_accept_bytes(&config, 16 * G));
    assert_int_equal(use.return_bytes, config_return_bytes(&config, 16 * G));
    assert_int_equal(use.mcpu, use.found.mcpu);
    assert_int_equal(use.slots, 16 * ((use.mcpu + 999) / 1000));
    machine_gpus(machine, &count, NULL);
    assert_int_equal(count, 0);
    assert_string_equal(machine_gpu_trouble(machine), "");
    config_free(&config);
    machine_close(machine);
}

static void flags_win_over_the_inventory(void **state) {
    (void)state;
    struct config config;
    struct machine_use use;
    struct machine *machine = open_with(
        "{\"memory_total\": \"8GiB\", \"cores\": 6.5, \"numa\": [{\"cpus\": \"0-5,70\"}]}");
    config_defaults(&config);
    machine_use(machine, &config, &use);
    assert_int_equal(use.mem_bytes, 8 * G);
    assert_int_equal(use.found.mem_available_bytes, 8 * G); /* 12 measured, but 8 is all */
    assert_int_equal(use.mcpu, 6500);
    assert_int_equal(use.slots, 16 * 7);
    assert_int_equal(cpus_count(&use.found.cpus), 7);
    config.memory_bytes = 3 * G;
    config.cpus_mcpu = 2500;
    config.max_tasks = 5;
    config.min_dram_accept_bytes = 512 * M;
    config.min_dram_return_bytes = G;
    machine_use(machine, &config, &use);
    assert_int_equal(use.mem_bytes, 3 * G);
    assert_int_equal(use.found.mem_total_bytes, 8 * G);
    assert_int_equal(use.reserve_bytes, 512 * M);
    assert_int_equal(use.return_bytes, 512 * M);
    assert_int_equal(use.mcpu, 2500);
    assert_int_equal(use.slots, 5);
    const struct topology *topology = machine_topology(machine);
    assert_string_equal(topology->source, "inventory");
    assert_int_equal(topology->core_count, 7);
    config_free(&config);
    machine_close(machine);
}

static void a_bad_inventory_opens_nothing(void **state) {
    (void)state;
    struct buf error = BUF_INIT;
    put("/inventory", "{\"cores\": -1}");
    assert_null(machine_open(path, root, &error));
    assert_non_null(strstr(error.data, "cores: expected a number of cores"));
    buf_free(&error);
}

/* A test, or an administrator, changes what the machine says while a worker runs. */
static void a_changed_inventory_is_read_again(void **state) {
    (void)state;
    static const char *const before =
        "{\"memory_available\": \"4GiB\", \"gpus\": [{\"uuid\": \"a\", \"memory\": 9, \"used\": 1},"
        " {\"uuid\": \"b\", \"memory\": 8}], \"numa\": [{\"cpus\": \"0-2\"}]}";
    size_t count;
    bool fresh;
    struct machine *machine = open_with(before);
    const struct topology *topology = machine_topology(machine);
    const struct gpu *gpus = machine_gpus(machine, &count, &fresh);
    assert_true(fresh);
    assert_int_equal(count, 2);
    assert_int_equal(machine_available(machine), 4 * G);
    put("/inventory", "{\"memory_available\": \"100MiB\", \"gpus\":"
                      " [{\"uuid\": \"a\", \"memory\": 9, \"used\": 7}], \"cores\": 3}");
    assert_int_equal(machine_available(machine), 100 * M);
    clock_ms += GPUS_REREAD_MS;
    assert_ptr_equal(machine_gpus(machine, &count, &fresh), gpus);
    assert_true(fresh);
    assert_int_equal(count, 2); /* places stay; the card that went is lost */
    assert_int_equal(gpus[0].mem_used_bytes, 7);
    assert_false(gpus[0].lost);
    assert_true(gpus[1].lost);
    machine_gpus(machine, &count, &fresh);
    assert_false(fresh);
    assert_ptr_equal(machine_topology(machine), topology);
    assert_int_equal(topology->core_count, 3);
    /* One that is bad changes nothing. */
    put("/inventory", "{\"memory_available\": \"1GiB\", \"nonsense\": 1}");
    assert_int_equal(machine_available(machine), 100 * M);
    put("/inventory", before);
    assert_int_equal(machine_available(machine), 4 * G);
    machine_gpus(machine, &count, NULL);
    assert_false(gpus[1].lost);
    machine_close(machine);
}

static void described_for_the_queue(void **state) {
    (void)state;
    struct machine *machine = open_with(
        "{\"gpus\": [{\"uuid\": \"GPU-1\", \"name\": \"H200\", \"memory\": 5, \"used\": 3}]}");
    json_t *info = json_object();
    machine_describe(machine, info);
    char *text = json_dumps(info, JSON_COMPACT | JSON_SORT_KEYS);
    assert_string_equal(text, "{\"gpus\":[{\"memory\":5,\"name\":\"H200\",\"uuid\":\"GPU-1\"}]}");
    free(text);
    json_decref(info);
    machine_close(machine);
    machine = open_with("{\"gpus\": []}");
    info = json_object();
    machine_describe(machine, info);
    assert_int_equal(json_object_size(info), 0);
    json_decref(info);
    machine_close(machine);
}

static void shown_as_json_it_is_json(void **state) {
    (void)state;
    struct config config;
    struct buf out = BUF_INIT;
    struct machine *machine = open_with(
        "{\"memory_total\": \"8GiB\", \"cores\": 1.5, \"numa\": [{\"cores\": [\"0,2\", \"1\"]}],"
        " \"gpus\": [{\"uuid\": \"GPU-1\", \"memory\": 5, \"used\": 3, \"utilization\": 4}]}");
    config_defaults(&config);
    machine_show_json(machine, &config, &out);
    json_t *json = json_loads(out.data, JSON_REJECT_DUPLICATES, NULL);
    assert_non_null(json);
    json_int_t memory = 0, used = 0, slots = 0;
    double cores = 0;
    const char *core = "";
    assert_int_equal(json_unpack(json, "{s:I, s:f, s:[{s:[s]}], s:[{s:I}], s:{s:I}}",
                                 "memory_total", &memory, "cores", &cores, "numa", "cores", &core,
                                 "gpus", "used", &used, "worker", "slots", &slots),
                     0);
    assert_int_equal(memory, 8 * G);
    assert_true(cores == 1.5);
    assert_string_equal(core, "0,2");
    assert_int_equal(used, 3);
    assert_int_equal(slots, 32);
    json_decref(json);
    buf_free(&out);
    config_free(&config);
    machine_close(machine);
}

int main(void) {
    const struct clock_source clocks = {.mono = fake_mono};
    const struct CMUnitTest tests[] = {
        fresh(what_is_found_is_used),         fresh(flags_win_over_the_inventory),
        fresh(a_bad_inventory_opens_nothing), fresh(a_changed_inventory_is_read_again),
        fresh(described_for_the_queue),       fresh(shown_as_json_it_is_json),
    };
    clock_replace(&clocks);
    log_setup(2, LOG_ERROR, LOG_PLAIN);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
