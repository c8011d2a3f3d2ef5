/* inventory.h: files that say what a machine has, right and wrong ones. */
#include "tests/unit/dir_rig.h"

#include "worker/inventory.h"

#define G (UINT64_C(1) << 30)

static char path[128];

static int up(void **state) {
    (void)state;
    if (dir_make() != 0)
        return -1;
    snprintf(path, sizeof path, "%s/inventory", root);
    return 0;
}

static int down(void **state) {
    (void)state;
    return dir_remove();
}

static void write_file(const char *text) {
    put("/inventory", text);
}

static void everything(void **state) {
    (void)state;
    struct inventory inventory;
    struct buf error = BUF_INIT, text = BUF_INIT;
    write_file("{\"memory_total\": \"64GiB\", \"memory_available\": 1024, \"cores\": 7.5,"
               " \"numa\": [{\"cpus\": \"0-1,8\", \"memory\": \"32G\"},"
               "            {\"cores\": [\"4,6\", \"5,7\"]}],"
               " \"gpus\": [{\"uuid\": \"GPU-1\", \"memory\": \"80GiB\"},"
               "            {\"uuid\": \"GPU-2\", \"name\": \"A\", \"memory\": 2, \"used\": 1,"
               "             \"utilization\": 100}],"
               " \"nvml\": false}");
    if (!inventory_read(&inventory, path, &error))
        fail_msg("%s", error.data);
    assert_true(inventory.has_total && inventory.has_available && inventory.has_gpus);
    assert_int_equal(inventory.mem_total_bytes, 64 * G);
    assert_int_equal(inventory.mem_available_bytes, 1024);
    assert_int_equal(inventory.mcpu, 7500);
    assert_int_equal(inventory.probe, GPUS_NEVER);
    assert_int_equal(inventory.topology.node_count, 2);
    assert_int_equal(inventory.topology.nodes[0].memory_bytes, 32 * G);
    assert_int_equal(inventory.topology.nodes[1].memory_bytes, 0);
    for (size_t i = 0; i < inventory.topology.core_count; i++) {
        buf_addf(&text, "%u:", inventory.topology.cores[i].node);
        cpus_print(&inventory.topology.cores[i].cpus, &text);
        buf_addc(&text, ' ');
    }
    assert_string_equal(text.data, "0:0 0:1 0:8 1:4,6 1:5,7 ");
    assert_int_equal(inventory.gpu_count, 2);
    assert_string_equal(inventory.gpus[0].name, "GPU");
    assert_int_equal(inventory.gpus[0].mem_used_bytes, 0);
    assert_int_equal(inventory.gpus[0].utilization_percent, -1);
    assert_int_equal(inventory.gpus[1].utilization_percent, 100);
    inventory_free(&inventory);
    buf_free(&text);
}

static void nothing(void **state) {
    (void)state;
    struct inventory inventory;
    struct buf error = BUF_INIT;
    write_file("{}");
    assert_true(inventory_read(&inventory, path, &error));
    assert_false(inventory.has_total || inventory.has_available || inventory.has_gpus);
    assert_int_equal(inventory.mcpu, 0);
    assert_int_equal(inventory.topology.node_count, 0);
    assert_int_equal(inventory.probe, GPUS_WHERE_SEEN);
    inventory_free(&inventory);
    /* A machine without cards is not one of which nothing is said; nodes say how many cores. */
    write_file(
        "{\"gpus\": [], \"nvml\": true, \"numa\": [{\"cpus\": \"0-3\"}, {\"cpus\": \"4\"}]}");
    assert_true(inventory_read(&inventory, path, &error));
    assert_true(inventory.has_gpus);
    assert_int_equal(inventory.gpu_count, 0);
    assert_int_equal(inventory.mcpu, 5000);
    assert_int_equal(inventory.probe, GPUS_ALWAYS);
    inventory_free(&inventory);
}

static void refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *error; /* after "inventory FILE" */
    } rows[] = {
        {"[]", ": expected an object, { \"key\": value, ... }"},
        {"{\"core\": 1}", ": core: unknown key, expected memory_total, memory_available, cores, "
                          "numa, gpus, nvml"},
        {"{\"memory_total\": -1}", ": memory_total: expected a number of bytes, or a size in "
                                   "quotes, as \"512M\" or \"1.5GiB\""},
        {"{\"memory_total\": 1.5}", ": memory_total: expected a number of bytes, or a size in "
                                    "quotes, as \"512M\" or \"1.5GiB\""},
        {"{\"memory_available\": \"much\"}",
         ": memory_available: expected a number of bytes, or a size in quotes, as \"512M\" or "
         "\"1.5GiB\""},
        {"{\"cores\": 0}", ": cores: expected a number of cores, from 0.001 to 1000000"},
        {"{\"cores\": \"4\"}", ": cores: expected a number of cores, from 0.001 to 1000000"},
        {"{\"nvml\": 1}", ": nvml: expected true or false"},
        {"{\"gpus\": {}}", ": gpus: expected a list, [ ... ]"},
        {"{\"gpus\": [1]}", ": gpus[0]: expected an object, { \"key\": value, ... }"},
        {"{\"gpus\": [{\"uuid\": \"a\", \"memory\": 1}, {\"uuid\": \"b\"}]}",
         ": gpus[1].memory: expected it to be given"},
        {"{\"gpus\": [{\"memory\": 1}]}", ": gpus[0].uuid: expected it to be given"},
        {"{\"gpus\": [{\"uuid\": \"a b\"}]}",
         ": gpus[0].uuid: expected a text without blanks and commas"},
        {"{\"gpus\": [{\"uuid\": \"\"}]}", ": gpus[0].uuid: expected a text of 1 to 95 bytes"},
        {"{\"gpus\": [{\"uuid\": \"a\", \"memory\": 1}, {\"uuid\": \"a\", \"memory\": 1}]}",
         ": gpus[1]: expected a uuid that no card before it has"},
        {"{\"gpus\": [{\"utilization\": 101}]}",
         ": gpus[0].utilization: expected an integer from 0 to 100"},
        {"{\"gpus\": [{\"mem\": 101}]}",
         ": gpus[0].mem: unknown key, expected uuid, name, memory, used, utilization"},
        {"{\"numa\": [{}]}", ": numa[0]: expected one of \"cpus\" and \"cores\""},
        {"{\"numa\": [{\"cpus\": \"0\", \"cores\": [\"1\"]}]}",
         ": numa[0]: expected one of \"cpus\" and \"cores\""},
        {"{\"numa\": [{\"cores\": []}]}", ": numa[0]: expected one of \"cpus\" and \"cores\""},
        {"{\"numa\": [{\"cores\": [\"0\", \"x\"]}]}",
         ": numa[0].cores[1]: expected CPUs, as \"0-3,8\", numbered from 0 to 4095"},
        {"{\"numa\": [{\"cpus\": \"0\"}, {\"cpus\": \"0-1\"}]}",
         ": numa[1]: expected CPUs that no core before it has"},
        {"{\"numa\": [{\"cpus\": \"5000\"}]}",
         ": numa[0].cpus: expected CPUs, as \"0-3,8\", numbered from 0 to 4095"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct inventory inventory;
        struct buf error = BUF_INIT, wanted = BUF_INIT;
        write_file(rows[i].text);
        buf_addf(&wanted, "inventory %s%s", path, rows[i].error);
        if (inventory_read(&inventory, path, &error) || strcmp(error.data, wanted.data) != 0)
            fail_msg("%s\n%s\n%s", rows[i].text, error.data, wanted.data);
        assert_int_equal(inventory.topology.node_count, 0);
        inventory_free(&inventory);
        buf_free(&error);
        buf_free(&wanted);
    }
}

/* jansson's words, with our file and its line. */
static void no_json(void **state) {
    (void)state;
    struct inventory inventory;
    struct buf error = BUF_INIT, place = BUF_INIT;
    write_file("{\"cores\": 1,\n \"cores\": 2}");
    assert_false(inventory_read(&inventory, path, &error));
    buf_addf(&place, "inventory %s:2:", path);
    assert_memory_equal(error.data, place.data, place.len);
    assert_non_null(strstr(error.data, "duplicate object key"));
    buf_free(&error);
    buf_free(&place);
}

static void a_file_that_is_not_there(void **state) {
    (void)state;
    struct inventory inventory;
    struct buf error = BUF_INIT;
    assert_false(inventory_read(&inventory, "/nowhere/x.json", &error));
    assert_string_equal(error.data,
                        "inventory: unable to open /nowhere/x.json: No such file or directory");
    buf_free(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(everything),
        fresh(nothing),
        fresh(refused),
        fresh(no_json),
        cmocka_unit_test(a_file_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
