/* topology.h: nodes and cores, from hwloc's synthetic machines and without hwloc. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

#include "worker/topology.h"

#define G (UINT64_C(1) << 30)

static struct cpus set_of(const char *text) {
    struct cpus set;
    assert_true(cpus_parse(text, &set));
    return set;
}

/* "0:0,1 2,3;1:4,5": each node's number and cores. */
static void expect(const struct topology *topology, const char *wanted) {
    struct buf text = BUF_INIT;
    for (size_t i = 0; i < topology->node_count; i++) {
        buf_addf(&text, "%s%u:", i ? ";" : "", topology->nodes[i].number);
        const char *blank = "";
        for (size_t k = 0; k < topology->core_count; k++) {
            if (topology->cores[k].node != i)
                continue;
            buf_adds(&text, blank);
            cpus_print(&topology->cores[k].cpus, &text);
            blank = " ";
        }
    }
    assert_string_equal(text.data, wanted);
    buf_free(&text);
}

static void plain_cores_without_hwloc(void **state) {
    (void)state;
    struct topology topology;
    struct cpus allowed = set_of("1,3-4");
    topology_plain(&topology, &allowed, 5 * G);
    assert_string_equal(topology.source, "none");
    assert_int_equal(topology.nodes[0].memory_bytes, 5 * G);
    assert_true(cpus_same(&topology.nodes[0].cpus, &allowed));
    expect(&topology, "0:1 3 4");
    topology_free(&topology);
    allowed = (struct cpus){{0}};
    topology_plain(&topology, &allowed, 0);
    expect(&topology, "0:0");
    topology_free(&topology);
}

/* Whether topology_read has hwloc to ask: built with it, and the library is here. */
static bool have_hwloc(void) {
#ifdef HAVE_HWLOC
    void *handle = dlopen("libhwloc.so.15", RTLD_NOW | RTLD_LOCAL);
    if (handle)
        dlclose(handle);
    return handle != NULL;
#else
    return false;
#endif
}

static void two_nodes_with_two_threads_a_core(void **state) {
    (void)state;
    struct topology topology;
    struct cpus allowed = set_of("0-15");
    setenv("HWLOC_SYNTHETIC", "numa:2(memory=1073741824) core:4 pu:2", 1);
    topology_read(&topology, &allowed, G);
    if (have_hwloc()) {
        assert_string_equal(topology.source, "hwloc");
        expect(&topology, "0:0-1 2-3 4-5 6-7;1:8-9 10-11 12-13 14-15");
        assert_int_equal(topology.nodes[1].memory_bytes, G);
        struct cpus second = set_of("8-15");
        assert_true(cpus_same(&topology.nodes[1].cpus, &second));
    } else {
        assert_string_equal(topology.source, "none");
        expect(&topology, "0:0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15");
    }
    topology_free(&topology);
}

static void only_what_is_allowed(void **state) {
    (void)state;
    struct topology topology;
    struct cpus allowed = set_of("9,12-13,200");
    setenv("HWLOC_SYNTHETIC", "numa:2(memory=1073741824) core:4 pu:2", 1);
    topology_read(&topology, &allowed, 7 * G);
    expect(&topology, have_hwloc() ? "1:9 12-13" : "0:9 12 13 200");
    assert_int_equal(topology.nodes[0].memory_bytes, 7 * G); /* the only one has what there is */
    topology_free(&topology);
    allowed = set_of("300-301"); /* nothing that hwloc knows */
    topology_read(&topology, &allowed, 0);
    expect(&topology, "0:300 301");
    topology_free(&topology);
}

static void this_machine(void **state) {
    (void)state;
    struct topology topology;
    struct cpus allowed, all = {{0}};
    unsetenv("HWLOC_SYNTHETIC");
    assert_true(cpus_of_process(&allowed));
    topology_read(&topology, &allowed, 1);
    assert_string_equal(topology.source, have_hwloc() ? "hwloc" : "none");
    for (size_t i = 0; i < topology.core_count; i++) {
        assert_false(cpus_meet(&all, &topology.cores[i].cpus));
        cpus_join(&all, &topology.cores[i].cpus);
    }
    assert_true(cpus_same(&all, &allowed));
    topology_free(&topology);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_cores_without_hwloc),
        cmocka_unit_test(two_nodes_with_two_threads_a_core),
        cmocka_unit_test(only_what_is_allowed),
        cmocka_unit_test(this_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
