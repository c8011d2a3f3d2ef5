/* placement.h, limits.h, and where the agent puts tasks (agent_gpu.c, agent_pin.c): from the record
 * to the cards and CPUs, over a note to the next agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "worker/agent_state.h"
#include "worker/limits.h"

#define GIB (UINT64_C(1) << 30)

static char inventory[64];
static struct agent a;
static struct task task;
static struct buf record = BUF_INIT;

/* Two cards, of which another program holds most of the second; two nodes of two cores, with two
 * threads each. */
static const char machine_text[] =
    "{\"memory_total\": \"16GiB\","
    " \"gpus\": [{\"uuid\": \"GPU-a\", \"name\": \"A\", \"memory\": \"16GiB\", \"used\": \"0GiB\"},"
    "            {\"uuid\": \"GPU-b\", \"name\": \"A\", \"memory\": \"16GiB\", \"used\": "
    "\"15GiB\"}],"
    " \"numa\": [{\"cores\": [\"0,4\", \"1,5\"]}, {\"cores\": [\"2,6\", \"3,7\"]}]}";

static void open_agent(void) {
    struct buf error = BUF_INIT;
    memset(&a, 0, sizeof a);
    a.machine = machine_open(inventory, "", &error);
    if (!a.machine)
        fail_msg("%s", error.data);
    runs_init(&a.runs, 8);
}

static void close_agent(void) {
    runs_free(&a.runs);
    pins_free(a.pins);
    free(a.gpus);
    machine_close(a.machine);
}

static int up(void **state) {
    (void)state;
    snprintf(inventory, sizeof inventory, "/tmp/distcomp-placement-XXXXXX");
    int fd = mkstemp(inventory);
    ssize_t written = fd < 0 ? -1 : write(fd, machine_text, strlen(machine_text));
    if (written != (ssize_t)strlen(machine_text) || close(fd) != 0)
        return -1;
    open_agent();
    return 0;
}

static int down(void **state) {
    (void)state;
    close_agent();
    buf_free(&record);
    return unlink(inventory);
}

/* A READY run of a task with these options, "TAG=VALUE" by tag, ended by NULL. */
static struct run *add(uint64_t mem_bytes, uint32_t mcpu, enum task_option_tag tag,
                       const char *value, enum task_option_tag tag2, const char *value2) {
    task = (struct task){.mem_bytes = mem_bytes, .mcpu = mcpu, .params = "true", .params_len = 4};
    task.options[task.option_count++] = (struct task_option){tag, value, strlen(value)};
    if (value2)
        task.options[task.option_count++] = (struct task_option){tag2, value2, strlen(value2)};
    buf_clear(&record);
    task_record(&task, TASK_IN_PROGRESS, 5, &record);
    struct run *run = run_add(&a.runs, "0123456789abcd", "0123456789abcdef0001",
                              (struct slice){record.data, record.len}, (struct run_share){1, 1});
    assert_non_null(run);
    return run;
}

static struct run *add_gpu(const char *gpu, const char *gpu_mem) {
    return add(0, 1000, OPT_GPU, gpu, OPT_GPU_MEM, gpu_mem);
}

static struct run *add_pin(const char *pin, uint32_t mcpu) {
    return add(0, mcpu, OPT_PIN, pin, OPT_PIN, NULL);
}

/* Another agent, which knows the notes of all runs. */
static void next_agent(void) {
    struct buf notes[8];
    size_t count = 0;
    for (struct run *run = a.runs.lists[RUN_STARTED].first; run; run = run->next) {
        notes[count] = (struct buf)BUF_INIT;
        run_note(run, &notes[count++]);
    }
    close_agent();
    open_agent();
    for (size_t i = 0; i < count; i++) {
        struct wire_task t = {{(uint32_t)i, 4711, 1}, 1, (uint32_t)notes[i].len};
        assert_true(notes[i].len <= WIRE_NOTE_MAX);
        assert_non_null(run_adopt(&a.runs, &t, notes[i].data));
        buf_free(&notes[i]);
    }
    gpu_adopt(&a);
    pin_adopt(&a);
}

static void expect_text(struct buf *text, const char *expected) {
    assert_string_equal(text->data, expected);
    buf_free(text);
}

static void expect_free(const char *expected) {
    struct buf text = BUF_INIT;
    gpu_free_text(&a, &text);
    expect_text(&text, expected);
}

static void expect_cpus(const struct run *run, const char *expected) {
    struct buf text = BUF_INIT;
    assert_true(run->placement->pinned);
    cpus_print(&run->placement->cpus, &text);
    expect_text(&text, expected);
}

/* --- cards ----------------------------------------------------------------------------------- */

#define EMPTY_A   "1000:17179869184:17179869184:17179869184:1"
#define FULL_B    "1000:1073741824:1073741824:17179869184:1"
#define QUARTER_A "750:12884901934:12884901934:17179869184:0"

static void quarters_share_a_card(void **state) {
    (void)state;
    expect_free(EMPTY_A "," FULL_B);
    struct run *one = add_gpu("250", NULL), *two = add_gpu("250", NULL);
    assert_true(gpu_place(&a, one));
    assert_true(gpu_place(&a, one)); /* once */
    expect_free(QUARTER_A "," FULL_B);
    assert_true(gpu_place(&a, two));
    assert_string_equal(one->placement->gpus, "GPU-a");
    assert_string_equal(two->placement->gpus, "GPU-a");
    struct run *whole = add_gpu("1000", NULL); /* b is filled by others, a has our quarters */
    assert_false(gpu_place(&a, whole));
    assert_null(whole->placement->gpus);
    a.claim_wanted = false;
    gpu_free(&a, one);
    gpu_free(&a, one); /* once */
    assert_true(a.claim_wanted);
    assert_false(gpu_place(&a, whole));
    gpu_free(&a, two);
    expect_free(EMPTY_A "," FULL_B);
    assert_true(gpu_place(&a, whole));
    assert_string_equal(whole->placement->gpus, "GPU-a");
    assert_false(gpu_place(&a, add_gpu("500", NULL)));
    struct run *small = add_gpu("100", "536870912"); /* half a GiB: b has that */
    assert_true(gpu_place(&a, small));
    assert_string_equal(small->placement->gpus, "GPU-b");
}

static struct run *add_native(const char *params, const char *gpu) {
    task = (struct task){.type = TASK_NATIVE, .params = params, .params_len = strlen(params)};
    if (gpu)
        task.options[task.option_count++] = (struct task_option){OPT_GPU, gpu, strlen(gpu)};
    buf_clear(&record);
    task_record(&task, TASK_IN_PROGRESS, 5, &record);
    struct run *run = run_add(&a.runs, "0123456789abcd", "0123456789abcdef0001",
                              (struct slice){record.data, record.len}, (struct run_share){1, 1});
    assert_non_null(run);
    assert_true(run->native);
    return run;
}

static void native_tasks_name_a_device(void **state) {
    (void)state;
    assert_null(add_native("gemm", NULL)->placement);
    assert_null(add_native("gemm device=gpu", "0")->placement);
    struct run *one = add_native("gemm device=gpu", NULL);
    assert_int_equal(one->placement->gpu.milli, 1000);
    /* device=auto takes a card when there is one, and never waits. */
    struct run *first = add_native("gemm device=auto", NULL);
    struct run *second = add_native("gemm device=auto", NULL);
    assert_true(gpu_place(&a, first) && run_start(&a.runs, first));
    assert_string_equal(first->placement->gpus, "GPU-a");
    assert_true(gpu_place(&a, second) && run_start(&a.runs, second)); /* b is filled by others */
    assert_null(second->placement->gpus);
    assert_int_equal(second->placement->grant.count, 0);
    assert_false(gpu_place(&a, one));
    assert_int_equal(a.runs.natives, 2);
    /* The next agent knows who has a card, and who runs without. */
    next_agent();
    expect_free("0:0:0:17179869184:0," FULL_B);
    assert_int_equal(a.runs.natives, 2);
    size_t with = 0;
    for (struct run *run = a.runs.lists[RUN_STARTED].first; run; run = run->next) {
        with += run->placement->grant.count;
        gpu_free(&a, run);
    }
    assert_int_equal(with, 1);
    expect_free(EMPTY_A "," FULL_B);
}

static void no_request_is_no_placement(void **state) {
    (void)state;
    struct run *run = add(GIB, 1000, OPT_TIMEOUT, "5", OPT_LIMIT, "soft");
    assert_null(run->placement);
    assert_true(gpu_place(&a, run));
    pin_place(&a, run, false);
    gpu_free(&a, run);
    pin_free(&a, run);
    assert_null(a.gpus); /* no card was looked for */
    assert_null(add(0, 0, OPT_GPU, "0", OPT_PIN, "none")->placement);
}

static void the_next_agent_knows_the_cards(void **state) {
    (void)state;
    struct run *quarter = add_gpu("250", NULL);
    assert_true(gpu_place(&a, quarter) && run_start(&a.runs, quarter));
    next_agent();
    expect_free(QUARTER_A "," FULL_B);
    struct run *taken = a.runs.lists[RUN_STARTED].first;
    assert_string_equal(taken->placement->gpus, "GPU-a");
    assert_false(gpu_place(&a, add_gpu("1000", NULL)));
    next_agent(); /* what was taken over is handed on */
    expect_free(QUARTER_A "," FULL_B);
    gpu_free(&a, a.runs.lists[RUN_STARTED].first);
    expect_free(EMPTY_A "," FULL_B);
}

static void a_card_that_is_gone(void **state) {
    (void)state;
    struct run *quarter = add_gpu("250", NULL);
    assert_true(gpu_place(&a, quarter) && run_start(&a.runs, quarter));
    quarter->placement->cards[0]++;
    next_agent();
    expect_free(EMPTY_A "," FULL_B);
    struct run *taken = a.runs.lists[RUN_STARTED].first;
    assert_int_equal(taken->placement->grant.count, 0);
    gpu_free(&a, taken);
    expect_free(EMPTY_A "," FULL_B);
}

static void statistics(void **state) {
    (void)state;
    assert_true(gpu_place(&a, add_gpu("250", NULL)));
    json_t *stats = json_object();
    gpu_stats(&a, stats);
    char *text = json_dumps(stats, JSON_COMPACT);
    assert_string_equal(text, "{\"gpus\":[[\"GPU-a\",0,17179869184,-1,1,250],"
                              "[\"GPU-b\",16106127360,17179869184,-1,0,0]]}");
    free(text);
    json_decref(stats);
}

/* --- CPUs ------------------------------------------------------------------------------------ */

static void cores_and_nodes(void **state) {
    (void)state;
    struct run *core = add_pin("core", 1000), *two = add_pin("core", 4000);
    struct run *node = add_pin("numa", 1000);
    pin_place(&a, core, false);
    pin_place(&a, core, false); /* once */
    expect_cpus(core, "0,4");
    pin_place(&a, two, false);
    expect_cpus(two, "2-3,6-7");
    pin_place(&a, node, false);
    expect_cpus(node, "0-1,4-5");
    pin_free(&a, core);
    pin_free(&a, core);
    assert_false(core->placement->pinned);
}

/* limit=hard where no cgroup limits CPU time: no more CPUs than min_cpu, not whole cores. */
static void a_limit_by_cpus(void **state) {
    (void)state;
    struct run *run = add(0, 1500, OPT_LIMIT, "hard", OPT_LIMIT, NULL);
    pin_place(&a, run, false); /* it did not ask for a place */
    assert_false(run->placement->pinned);
    pin_place(&a, run, true);
    assert_int_equal(cpus_count(&run->placement->cpus), 2);
    struct run *node = add(0, 1000, OPT_LIMIT, "hard", OPT_PIN, "numa");
    pin_place(&a, node, true);
    assert_int_equal(cpus_count(&node->placement->cpus), 1);
}

static void the_next_agent_knows_the_cpus(void **state) {
    (void)state;
    struct run *run = add_pin("core", 2000);
    pin_place(&a, run, false);
    expect_cpus(run, "0,4");
    assert_true(run_start(&a.runs, run));
    next_agent();
    expect_cpus(a.runs.lists[RUN_STARTED].first, "0,4");
    struct run *other = add_pin("core", 2000), *third = add_pin("core", 2000);
    pin_place(&a, other, false);
    assert_false(cpus_has(&other->placement->cpus, 0));
    pin_free(&a, a.runs.lists[RUN_STARTED].first);
    pin_place(&a, third, false);
    expect_cpus(third, "0,4");
}

/* --- limits ---------------------------------------------------------------------------------- */

static void what_hard_becomes(void **state) {
    (void)state;
    static const struct {
        bool v2_memory, v2_cpu, v1_memory, v1_cpu, none;
        uint64_t cgroup_bytes;
        uint32_t cgroup_mcpu;
        uint64_t data_bytes;
        bool pin;
    } rows[] = {
        {.none = true, .data_bytes = GIB, .pin = true},
        {.data_bytes = GIB, .pin = true},
        {.v2_memory = true, .cgroup_bytes = GIB, .pin = true},
        {.v1_cpu = true, .cgroup_mcpu = 1500, .data_bytes = GIB},
        {.v1_memory = true, .v2_cpu = true, .cgroup_bytes = GIB, .cgroup_mcpu = 1500},
    };
    struct run *run = add(GIB, 1500, OPT_LIMIT, "hard", OPT_LIMIT, NULL);
    struct limits limits;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cgroup_abilities can = {.v2_memory = rows[i].v2_memory,
                                       .v2_cpu = rows[i].v2_cpu,
                                       .v1_memory = rows[i].v1_memory,
                                       .v1_cpu = rows[i].v1_cpu};
        limits_choose(rows[i].none ? NULL : &can, run->placement, &limits);
        assert_int_equal(limits.cgroup.memory_bytes, rows[i].cgroup_bytes);
        assert_int_equal(limits.cgroup.mcpu, rows[i].cgroup_mcpu);
        assert_int_equal(limits.data_bytes, rows[i].data_bytes);
        assert_int_equal(limits.pin, rows[i].pin);
    }
    /* What was learned is no limit; nor is what was not asked for. */
    run = add(TASK_MEM_AUTO, 0, OPT_LIMIT, "hard", OPT_LIMIT, NULL);
    limits_choose(NULL, run->placement, &limits);
    assert_int_equal(limits.data_bytes, 0);
    assert_false(limits.pin);
    run = add(GIB, 1000, OPT_PIN, "core", OPT_PIN, NULL);
    limits_choose(NULL, run->placement, &limits);
    assert_int_equal(limits.data_bytes, 0);
    assert_false(limits.pin);
    limits_choose(NULL, NULL, &limits);
    assert_false(limits.pin);
}

/* --- bytes ----------------------------------------------------------------------------------- */

static void packed_and_unpacked(void **state) {
    (void)state;
    struct placement full = {.gpu = {64000, GIB},
                             .card_count = GPUS_MAX,
                             .pin = PLACEMENT_NUMA,
                             .pinned = true,
                             .pinned_mcpu = 2000000,
                             .hard = true,
                             .limit_bytes = TASK_MEM_MAX,
                             .limit_mcpu = 5};
    for (uint32_t i = 0; i < GPUS_MAX; i++)
        full.cards[i] = UINT32_MAX - i;
    cpus_add_range(&full.cpus, 700, 3000);
    struct buf bytes = BUF_INIT;
    placement_pack(&full, &bytes);
    assert_in_range(bytes.len, 500, PLACEMENT_BYTES_MAX);
    struct placement *back;
    assert_true(placement_unpack(bytes.data, bytes.len, &back));
    assert_memory_equal(&back->gpu, &full.gpu, sizeof full.gpu);
    assert_memory_equal(back->cards, full.cards, sizeof full.cards);
    assert_true(cpus_same(&back->cpus, &full.cpus));
    assert_int_equal(back->card_count, GPUS_MAX);
    assert_int_equal(back->pin, PLACEMENT_NUMA);
    assert_int_equal(back->pinned_mcpu, 2000000);
    assert_int_equal(back->limit_bytes, TASK_MEM_MAX);
    assert_int_equal(back->limit_mcpu, 5);
    assert_true(back->hard && back->pinned);
    placement_free(back);
    for (size_t len = 1; len < bytes.len; len++) {
        char *exact = xrealloc(xstrndup(bytes.data, len), len); /* the sanitizer sees more */
        assert_false(placement_unpack(exact, len, &back));
        free(exact);
    }
    static const struct {
        size_t at;
        unsigned char value;
    } spoiled[] = {{0, 4}, {1, 3}, {30, GPUS_MAX + 1}};
    for (size_t i = 0; i < sizeof spoiled / sizeof *spoiled; i++) {
        char kept = bytes.data[spoiled[i].at];
        bytes.data[spoiled[i].at] = (char)spoiled[i].value;
        assert_false(placement_unpack(bytes.data, bytes.len, &back));
        assert_null(back);
        bytes.data[spoiled[i].at] = kept;
    }
    buf_addc(&bytes, 'x');
    assert_false(placement_unpack(bytes.data, bytes.len, &back));
    cpus_add(&full.cpus, 0); /* too far apart: left out */
    buf_clear(&bytes);
    placement_pack(&full, &bytes);
    assert_true(bytes.len <= PLACEMENT_BYTES_MAX);
    assert_true(placement_unpack(bytes.data, bytes.len, &back));
    assert_false(back->pinned);
    placement_free(back);
    assert_true(placement_unpack("", 0, &back));
    assert_null(back);
    buf_free(&bytes);
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, up, down)
    const struct CMUnitTest tests[] = {
        T(quarters_share_a_card),
        T(native_tasks_name_a_device),
        T(no_request_is_no_placement),
        T(the_next_agent_knows_the_cards),
        T(a_card_that_is_gone),
        T(statistics),
        T(cores_and_nodes),
        T(a_limit_by_cpus),
        T(the_next_agent_knows_the_cpus),
        T(what_hard_becomes),
        T(packed_and_unpacked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
