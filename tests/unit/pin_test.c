/* pin.h: which CPUs a task is pinned to, by tables of what came before. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/pin.h"

/* Nodes of so many cores with so many threads, CPUs numbered through. */
static struct topology machine(uint32_t nodes, uint32_t cores, uint32_t threads) {
    struct topology topology = {.source = "test"};
    uint32_t cpu = 0;
    for (uint32_t n = 0; n < nodes; n++) {
        topology_add_node(&topology, n, 0);
        for (uint32_t c = 0; c < cores; c++, cpu += threads) {
            struct cpus set = {{0}};
            cpus_add_range(&set, cpu, cpu + threads - 1);
            topology_add_core(&topology, &set);
        }
    }
    return topology;
}

struct step {
    char what;      /* c: a core task comes, n: a numa task, -: the step'th one ends */
    uint32_t mcpu;  /* or, of '-', which step's */
    const char *at; /* its CPUs */
};

static void run(const char *name, struct topology topology, const struct step *steps) {
    struct pins *pins = pins_new(&topology);
    struct cpus sets[32];
    topology_free(&topology);
    for (size_t i = 0; steps[i].what; i++) {
        if (steps[i].what == '-') {
            pin_release(pins, &sets[steps[i].mcpu], steps[steps[i].mcpu].mcpu);
            continue;
        }
        struct buf text = BUF_INIT;
        pin_choose(pins, steps[i].what == 'n' ? PIN_NUMA : PIN_CORE, steps[i].mcpu, &sets[i]);
        cpus_print(&sets[i], &text);
        if (strcmp(text.data, steps[i].at) != 0)
            fail_msg("%s, step %zu: %s, not %s", name, i, text.data, steps[i].at);
        pin_take(pins, &sets[i], steps[i].mcpu);
        buf_free(&text);
    }
    pins_free(pins);
}

static void one_node(void **state) {
    (void)state;
    run("one each", machine(1, 4, 1),
        (struct step[]){{'c', 1000, "0"}, {'c', 1000, "1"}, {'c', 2000, "2-3"}, {0, 0, 0}});
    run("the one that ended is free again", machine(1, 4, 1),
        (struct step[]){{'c', 1000, "0"},
                        {'c', 1000, "1"},
                        {'-', 0, 0},
                        {'c', 1000, "0"},
                        {'c', 1000, "2"},
                        {0, 0, 0}});
    run("fractions get whole cores, and share the least used", machine(1, 2, 1),
        (struct step[]){
            {'c', 500, "0"}, {'c', 250, "1"}, {'c', 250, "1"}, {'c', 1500, "0-1"}, {0, 0, 0}});
    run("without cores asked for they spread, too", machine(1, 2, 1),
        (struct step[]){{'c', 0, "0"}, {'c', 0, "1"}, {'c', 0, "0"}, {0, 0, 0}});
    run("more than there is", machine(1, 2, 1),
        (struct step[]){{'c', 9000, "0-1"}, {'c', 9000, "0-1"}, {'n', 9000, "0-1"}, {0, 0, 0}});
}

static void threads_go_with_their_core(void **state) {
    (void)state;
    run("two threads a core", machine(1, 3, 2),
        (struct step[]){{'c', 1000, "0-1"},
                        {'c', 2000, "2-3"},
                        {'c', 1000, "4-5"},
                        {'c', 1000, "0-1"}, /* all cores have one: the halves first */
                        {'c', 1000, "4-5"},
                        {0, 0, 0}});
    run("three threads are two cores", machine(1, 3, 2),
        (struct step[]){{'c', 3000, "0-3"}, {'c', 1000, "4-5"}, {0, 0, 0}});
}

static void within_a_node(void **state) {
    (void)state;
    run("by turns", machine(2, 4, 1),
        (struct step[]){
            {'c', 1000, "0"}, {'c', 1000, "4"}, {'c', 3000, "1-3"}, {'c', 3000, "5-7"}, {0, 0, 0}});
    run("not across, when another node has it", machine(2, 4, 1),
        (struct step[]){{'c', 3000, "0-2"},
                        {'c', 2000, "4-5"},
                        {'c', 2000, "6-7"},
                        {'c', 1000, "3"},
                        {0, 0, 0}});
    run("across, when no node has it", machine(2, 4, 1),
        (struct step[]){{'c', 3000, "0-2"}, {'c', 3000, "4-6"}, {'c', 2000, "3,7"}, {0, 0, 0}});
    run("used cores of one node before two nodes", machine(2, 2, 1),
        (struct step[]){{'c', 500, "0"},
                        {'c', 500, "2"},
                        {'c', 500, "1"}, /* the first of equals */
                        {'c', 1500, "2-3"},
                        {0, 0, 0}});
    run("larger than a node", machine(2, 2, 1),
        (struct step[]){{'c', 3000, "0-2"}, {'c', 1000, "3"}, {0, 0, 0}});
}

static void whole_nodes(void **state) {
    (void)state;
    run("the least used node", machine(2, 4, 1),
        (struct step[]){{'n', 2000, "0-3"},
                        {'n', 1000, "4-7"},
                        {'n', 1000, "4-7"},
                        {'n', 1000, "0-3"},
                        {'-', 0, 0},
                        {'n', 1000, "0-3"},
                        {0, 0, 0}});
    run("as many as needed", machine(3, 2, 1),
        (struct step[]){{'n', 1000, "0-1"}, {'n', 3000, "2-5"}, {0, 0, 0}});
    run("core tasks keep off the cores of a busy node", machine(2, 2, 1),
        (struct step[]){{'n', 1000, "0-1"}, {'c', 1000, "2"}, {'c', 1000, "3"}, {0, 0, 0}});
}

/* Whatever is taken and released in whatever order, at the end all is as unused as at first. */
static void nothing_is_left_over(void **state) {
    (void)state;
    struct topology topology = machine(3, 5, 2);
    struct pins *pins = pins_new(&topology);
    topology_free(&topology);
    struct cpus sets[200], first;
    uint32_t seed = 1, mcpu[200];
    pin_choose(pins, PIN_CORE, 7000, &first);
    for (int round = 0; round < 20; round++) {
        for (int i = 0; i < 200; i++) {
            seed = seed * 1664525 + 1013904223;
            mcpu[i] = seed >> 18; /* to 16 cores */
            pin_choose(pins, seed >> 9 & 1 ? PIN_NUMA : PIN_CORE, mcpu[i], &sets[i]);
            assert_true(cpus_count(&sets[i]) > 0);
            pin_take(pins, &sets[i], mcpu[i]);
        }
        for (int i = 0; i < 200; i++) {
            int k = (i * 7 + round) % 200;
            pin_release(pins, &sets[k], mcpu[k]);
        }
        struct cpus now;
        pin_choose(pins, PIN_CORE, 7000, &now);
        assert_true(cpus_same(&now, &first));
    }
    pins_free(pins);
}

static void foreign_cpus_are_ignored(void **state) {
    (void)state;
    struct topology topology = machine(1, 2, 1);
    struct pins *pins = pins_new(&topology);
    topology_free(&topology);
    struct cpus set = {{0}}, none = {{0}}, chosen;
    cpus_add(&set, 77);
    pin_take(pins, &set, 1000);
    pin_take(pins, &none, 1000);
    cpus_add(&set, 0);
    pin_take(pins, &set, 1000);
    pin_choose(pins, PIN_CORE, 1000, &chosen);
    assert_int_equal(cpus_next(&chosen, 0), 1);
    pins_free(pins);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_node),
        cmocka_unit_test(threads_go_with_their_core),
        cmocka_unit_test(within_a_node),
        cmocka_unit_test(whole_nodes),
        cmocka_unit_test(nothing_is_left_over),
        cmocka_unit_test(foreign_cpus_are_ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
