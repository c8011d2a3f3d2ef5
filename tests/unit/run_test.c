/* run.h: the states of a try, its slot, what is promised, and the note that outlives an agent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/claimops.h"
#include "worker/run.h"

#define NONCE(last) "0123456789abcdef000" last
#define FAMILY      "shell true" /* of make_record's command */
/* Version, id, nonce, try, failures, retries, backoff, memory, cores, mode of output. */
#define NOTE_1_BYTES (1 + TASK_ID_LEN + NONCE_LEN + 2 + 2 + 4 + 8 + 8 + 4 + 1)
#define NOTE_TERMS   (NOTE_1_BYTES + 6) /* where a note has what is held, and then the family */

static const struct run_share share = {777, 555};

static struct runs runs;
static struct buf record = BUF_INIT;

static int up(void **state) {
    (void)state;
    runs_init(&runs, 3);
    return 0;
}

static int down(void **state) {
    (void)state;
    runs_free(&runs);
    buf_free(&record);
    return 0;
}

/* A record as claim.lua gives it: tries and failures stand at fixed places of the head. */
static struct slice make_record(uint64_t mem_bytes, uint32_t mcpu, const char *output,
                                uint16_t tries, uint16_t failures) {
    struct task task = {.mem_bytes = mem_bytes, .mcpu = mcpu, .params = "true", .params_len = 4};
    task.options[0] = (struct task_option){OPT_TIMEOUT, "1500", 4};
    task.options[1] = (struct task_option){OPT_RETRIES, "7", 1};
    task.options[2] = (struct task_option){OPT_BACKOFF, "250", 3};
    task.options[3] = (struct task_option){OPT_OUTPUT, output, strlen(output)};
    task.option_count = output[0] ? 4 : 0;
    buf_clear(&record);
    task_record(&task, TASK_IN_PROGRESS, 5, &record);
    record.data[19] = (char)(tries >> 8);
    record.data[20] = (char)(tries & 0xff);
    record.data[21] = (char)(failures >> 8);
    record.data[22] = (char)(failures & 0xff);
    return (struct slice){record.data, record.len};
}

static struct run *add(const char *id, const char *nonce, uint64_t mem_bytes, uint32_t mcpu) {
    struct run *run = run_add(&runs, id, nonce, make_record(mem_bytes, mcpu, "", 1, 0), share);
    assert_non_null(run);
    return run;
}

/* The lists are whole: in order, linked both ways, counted, each run in that of its state. */
static void expect_lists(size_t ready, size_t started, size_t ended, size_t reporting) {
    const size_t counts[RUN_STATES] = {ready, started, ended, reporting};
    uint64_t mem_bytes = 0, mcpu = 0;
    for (int state = 0; state < RUN_STATES; state++) {
        const struct run_list *list = &runs.lists[state];
        const struct run *last = NULL;
        size_t count = 0;
        for (const struct run *run = list->first; run; last = run, run = run->next, count++) {
            assert_int_equal(run->state, state);
            assert_ptr_equal(run->prev, last);
            mem_bytes += state == RUN_STARTED ? run->mem_bytes : 0;
            mcpu += state == RUN_STARTED ? run->mcpu : 0;
        }
        assert_ptr_equal(list->last, last);
        assert_int_equal(list->count, count);
        assert_int_equal(count, counts[state]);
    }
    assert_int_equal(runs.started_mem_bytes, mem_bytes);
    assert_int_equal(runs.started_mcpu, mcpu);
}

static void what_a_record_says(void **state) {
    (void)state;
    struct run *run = run_add(&runs, "0123456789abcd", NONCE("1"),
                              make_record(4096, 1500, "keep", 0x1234, 3), share);
    assert_string_equal(run->id, "0123456789abcd");
    assert_string_equal(run->nonce, NONCE("1"));
    assert_int_equal(run->try_number, 0x1234);
    assert_int_equal(run->failures, 3);
    assert_int_equal(run->retries, 7);
    assert_int_equal(run->backoff_ms, 250);
    assert_int_equal(run->timeout_ms, 1500);
    assert_int_equal(run->mem_bytes, 4096);
    assert_int_equal(run->held_bytes, 4096); /* what somebody wrote is held whole */
    assert_false(run->mem_auto);
    assert_string_equal(run->family, FAMILY);
    assert_int_equal(run->mcpu, 1500);
    assert_int_equal(run->output, OUTPUT_KEEP);
    assert_int_equal(run->slot, RUN_NO_SLOT);
    assert_int_equal(run->record.len, record.len);
    assert_true(run->claimed.ms > 0);
    run = run_add(&runs, "a", "b", make_record(TASK_MEM_AUTO, 0, "redis", 1, 0), share);
    assert_int_equal(run->mem_bytes, share.need_bytes);
    assert_int_equal(run->held_bytes, share.hold_bytes);
    assert_true(run->mem_auto);
    assert_int_equal(run->output, OUTPUT_REDIS);
    run = run_add(&runs, "a", "b", make_record(0, 0, "", 1, 0), share);
    assert_int_equal(run->output, OUTPUT_AUTO);
    assert_int_equal(run->retries, 0);
    assert_true(run->backoff_ms == UINT64_MAX); /* the configuration's */
    assert_true(run->timeout_ms == UINT64_MAX);
    expect_lists(3, 0, 0, 0);
    make_record(1, 1, "", 1, 0);
    assert_null(run_add(&runs, "a", "b", (struct slice){record.data, 20}, share));
    assert_null(
        run_add(&runs, "a", "b", (struct slice){"", 0}, share)); /* left our hands meanwhile */
    expect_lists(3, 0, 0, 0);
}

static void every_state_and_back(void **state) {
    (void)state;
    struct run *a = add("a", NONCE("1"), 100, 1000), *b = add("b", NONCE("2"), 20, 500);
    struct wire_exit how = {.slot = 0, .status = 256, .wall_us = 9};
    expect_lists(2, 0, 0, 0);
    assert_ptr_equal(runs.lists[RUN_READY].first, a); /* oldest first */
    assert_true(run_start(&runs, a));
    assert_true(run_start(&runs, b));
    expect_lists(0, 2, 0, 0);
    assert_int_equal(runs.started_mem_bytes, 120);
    assert_int_equal(runs.started_mcpu, 1500);
    run_end(&runs, a, &how);
    expect_lists(0, 1, 1, 0);
    assert_int_equal(a->exit.status, 256);
    assert_int_equal(a->fate, RUN_RAN);
    assert_ptr_equal(runs_in_slot(&runs, a->slot), a); /* its output is still there */
    run_report(&runs, a);
    expect_lists(0, 1, 0, 1);
    run_unreport(&runs, a);
    expect_lists(0, 1, 1, 0);
    run_report(&runs, a);
    run_remove(&runs, a);
    expect_lists(0, 1, 0, 0);
    run_remove(&runs, b); /* while it is started */
    expect_lists(0, 0, 0, 0);
    assert_int_equal(runs.free_count, 3);
}

static void given_up_without_an_exit(void **state) {
    (void)state;
    struct run *a = add("a", NONCE("1"), 100, 1000), *b = add("b", NONCE("2"), 20, 500);
    assert_true(run_start(&runs, b));
    run_give_up(&runs, a, RUN_RELEASED);
    assert_int_equal(a->fate, RUN_RELEASED);
    assert_int_equal(a->slot, RUN_NO_SLOT);
    run_give_up(&runs, b, RUN_LOST);
    assert_int_equal(b->fate, RUN_LOST);
    expect_lists(0, 0, 2, 0);
    assert_int_equal(runs.started_mem_bytes, 0);
    run_remove(&runs, a);
    run_remove(&runs, b);
    assert_int_equal(runs.free_count, 3);
}

static void a_slot_belongs_to_one_run(void **state) {
    (void)state;
    struct run *r[4];
    for (int i = 0; i < 4; i++)
        r[i] = add("x", NONCE("1"), 1, 1);
    for (int i = 0; i < 3; i++) {
        assert_true(run_start(&runs, r[i]));
        assert_true(r[i]->slot < 3);
        for (int j = 0; j < i; j++)
            assert_int_not_equal(r[i]->slot, r[j]->slot);
        assert_ptr_equal(runs_in_slot(&runs, r[i]->slot), r[i]);
    }
    assert_false(run_start(&runs, r[3]));
    expect_lists(1, 3, 0, 0);
    uint32_t freed = r[1]->slot;
    run_remove(&runs, r[1]);
    assert_null(runs_in_slot(&runs, freed));
    assert_true(run_start(&runs, r[3]));
    assert_int_equal(r[3]->slot, freed);
    assert_null(runs_in_slot(&runs, 3));
    assert_null(runs_in_slot(&runs, RUN_NO_SLOT));
}

static struct wire_task wire_task(uint32_t slot, const struct buf *note) {
    return (struct wire_task){{slot, 4711, 5}, 1, (uint32_t)note->len};
}

static void a_note_carries_a_run_over(void **state) {
    (void)state;
    static const char *const outputs[] = {"auto", "keep", "redis"};
    for (int mode = 0; mode < 3; mode++) {
        struct buf note = BUF_INIT;
        struct slice packed = make_record(UINT64_C(1) << 40, 70000, outputs[mode], 65535, 999);
        struct run *old = run_add(&runs, "0123456789abcd", NONCE("f"), packed, share);
        run_note(old, &note);
        assert_true(note.len <= WIRE_NOTE_MAX);
        struct runs later;
        runs_init(&later, 3);
        struct wire_task task = wire_task(2, &note);
        struct run *run = run_adopt(&later, &task, note.data);
        assert_non_null(run);
        assert_string_equal(run->id, old->id);
        assert_string_equal(run->nonce, old->nonce);
        assert_int_equal(run->try_number, 65535);
        assert_int_equal(run->failures, 999);
        assert_int_equal(run->loaded, 5);
        assert_int_equal(run->retries, 7);
        assert_int_equal(run->backoff_ms, 250);
        assert_int_equal(run->mem_bytes, UINT64_C(1) << 40);
        assert_int_equal(run->held_bytes, UINT64_C(1) << 40);
        assert_string_equal(run->family, FAMILY);
        assert_true(run->memory.adopted);
        assert_int_equal(run->mcpu, 70000);
        assert_int_equal(run->output, mode);
        assert_int_equal(run->slot, 2);
        assert_int_equal(run->pid, 4711);
        assert_true(run->timeout_ms == UINT64_MAX); /* not carried over */
        assert_in_range(mono_diff(mono_now(), run->claimed), wall_now().ms - 5 - 60000,
                        wall_now().ms - 5 + 60000); /* since it was started */
        assert_int_equal(run->state, RUN_STARTED);
        assert_true(run->in_supervisor); /* so that its slot is acknowledged */
        assert_int_equal(later.started_mem_bytes, UINT64_C(1) << 40);
        assert_ptr_equal(runs_in_slot(&later, 2), run);
        for (int i = 0; i < 2; i++) { /* the slot is not given away */
            packed = make_record(0, 0, "", 1, 0);
            run = run_add(&later, "x", "y", packed, share);
            assert_true(run_start(&later, run));
            assert_int_not_equal(run->slot, 2);
        }
        assert_int_equal(later.free_count, 0);
        assert_null(run_adopt(&later, &task, note.data)); /* the slot is taken */
        runs_free(&later);
        buf_free(&note);
    }
}

/* Of min_dram=auto it was told what to promise and to hold when it was claimed. */
static void a_note_carries_what_auto_stands_for(void **state) {
    (void)state;
    struct buf note = BUF_INIT;
    struct slice packed = make_record(TASK_MEM_AUTO, 0, "", 1, 0);
    run_note(run_add(&runs, "0123456789abcd", NONCE("f"), packed, share), &note);
    struct wire_task task = wire_task(0, &note);
    struct run *run = run_adopt(&runs, &task, note.data);
    assert_non_null(run);
    assert_true(run->mem_auto);
    assert_int_equal(run->mem_bytes, share.need_bytes);
    assert_int_equal(run->held_bytes, share.hold_bytes);
    buf_free(&note);
}

/* Of a supervisor that was there before the upgrade. */
static void notes_of_earlier_versions(void **state) {
    (void)state;
    for (uint32_t version = 1; version <= 2; version++) {
        struct buf note = BUF_INIT;
        run_note(add("0123456789abcd", NONCE("f"), 4096, 1), &note);
        note.data[0] = (char)version;
        note.len = NOTE_1_BYTES + (version == 1 ? 0 : 6);
        struct wire_task task = wire_task(version, &note);
        struct run *run = run_adopt(&runs, &task, note.data);
        assert_non_null(run);
        assert_string_equal(run->id, "0123456789abcd");
        assert_int_equal(run->loaded, version == 1 ? 0 : 5);
        assert_int_equal(run->held_bytes, 4096);
        assert_null(run->placement);
        assert_string_equal(run->family, ""); /* its peak is counted nowhere */
        buf_free(&note);
    }
}

/* A new agent must not take an old try for the newest. */
static void starts_are_numbered_in_their_order(void **state) {
    (void)state;
    struct buf note = BUF_INIT;
    run_note(add("0123456789abcd", NONCE("f"), 1, 1), &note);
    struct wire_task task = wire_task(1, &note);
    int64_t now = wall_now().ms;
    task.started.start_wall_ms = (uint64_t)now + 3600000; /* the clock was set back since */
    struct run *old = run_adopt(&runs, &task, note.data);
    struct run *first = runs.lists[RUN_READY].first, *second = add("b", NONCE("2"), 1, 1);
    assert_true(run_start(&runs, first));
    assert_true(run_start(&runs, second));
    assert_true(first->memory.order > old->memory.order);
    assert_true(second->memory.order > first->memory.order);
    assert_true(second->memory.started.ms >= first->memory.started.ms);
    buf_free(&note);
}

/* The supervisor tells its tries by slot; lists are by start. */
static void taken_over_by_their_starts(void **state) {
    (void)state;
    static const uint64_t starts[] = {500, 100, 300};
    struct buf note = BUF_INIT;
    run_note(add("0123456789abcd", NONCE("f"), 1, 1), &note);
    for (uint32_t slot = 0; slot < 3; slot++) {
        struct wire_task task = wire_task(slot, &note);
        task.started.start_wall_ms = starts[slot];
        assert_non_null(run_adopt(&runs, &task, note.data));
    }
    uint32_t slots[] = {1, 2, 0}, i = 0;
    for (struct run *run = runs.lists[RUN_STARTED].first; run; run = run->next)
        assert_int_equal(run->slot, slots[i++]);
    assert_int_equal(i, 3);
    for (struct run *run = runs.lists[RUN_STARTED].last; run; run = run->prev)
        assert_int_equal(run->slot, slots[--i]);
    buf_free(&note);
}

/* The longest that there can be. */
static void a_note_with_a_placement(void **state) {
    (void)state;
    struct buf note = BUF_INIT;
    struct run *run = add("0123456789abcd", NONCE("f"), 1, 1);
    run->placement = xcalloc(1, sizeof *run->placement);
    run->placement->card_count = GPUS_MAX;
    run->placement->pinned = true;
    cpus_add_range(&run->placement->cpus, 0, 2559);
    run_note(run, &note);
    assert_true(note.len <= WIRE_NOTE_MAX);
    struct wire_task task = wire_task(0, &note);
    struct run *taken = run_adopt(&runs, &task, note.data);
    assert_non_null(taken);
    assert_int_equal(taken->placement->card_count, GPUS_MAX);
    assert_true(cpus_same(&taken->placement->cpus, &run->placement->cpus));
    buf_free(&note);
}

static mono_ms_t clock_ms;
static mono_ms_t test_clock(void) {
    return clock_ms;
}

static void the_earlier_end_counts(void **state) {
    (void)state;
    struct run *run = add("a", NONCE("1"), 1, 1);
    clock_replace(&(struct clock_source){test_clock, NULL});
    clock_ms.ms = 1000;
    run_end_asked(run, WIRE_WHY_CANCEL, 5000); /* at 6000 */
    clock_ms.ms = 2000;
    run_end_asked(run, WIRE_WHY_MEMORY, 4000); /* at 6000 as well */
    assert_int_equal(run->memory.end_asked.ms, 1000);
    run_end_asked(run, WIRE_WHY_MEMORY, 100);
    assert_int_equal(run->memory.end_why, WIRE_WHY_CANCEL); /* the first one is kept */
    assert_int_equal(run->memory.end_asked.ms, 2000);
    assert_int_equal(run->memory.end_grace_ms, 100);
    clock_ms.ms = 2050;
    run_end_asked(run, WIRE_WHY_MEMORY, 0);
    assert_int_equal(run->memory.end_asked.ms, 2050);
    assert_int_equal(run->memory.end_grace_ms, 0);
    clock_replace(NULL);
}

static void notes_that_are_no_notes(void **state) {
    (void)state;
    struct buf note = BUF_INIT;
    run_note(add("0123456789abcd", NONCE("f"), 1, 1), &note);
    for (size_t len = 0; len < note.len; len++) {
        char *exact = xrealloc(xstrndup(note.data, len), len);
        struct wire_task task = wire_task(0, &note);
        task.note_len = (uint32_t)len;
        assert_null(run_adopt(&runs, &task, exact));
        free(exact);
    }
    struct { /* a byte that cannot be there */
        size_t at;
        char byte;
    } spoiled[] = {
        {0, 0},
        {0, 9},
        {1, 0},                /* version, id */
        {1 + TASK_ID_LEN, 0},  /* nonce */
        {NOTE_1_BYTES - 1, 3}, /* output */
        {NOTE_TERMS + 9, FAMILY_KEY_MAX + 1},
        {NOTE_TERMS + 10, 0}, /* family */
    };
    for (size_t i = 0; i < sizeof spoiled / sizeof *spoiled; i++) {
        char kept = note.data[spoiled[i].at];
        struct wire_task task = wire_task(0, &note);
        note.data[spoiled[i].at] = spoiled[i].byte;
        assert_null(run_adopt(&runs, &task, note.data));
        note.data[spoiled[i].at] = kept;
    }
    struct wire_task task = wire_task(3, &note); /* beyond capacity */
    assert_null(run_adopt(&runs, &task, note.data));
    buf_addc(&note, 'x'); /* longer than it should be */
    task = wire_task(0, &note);
    assert_null(run_adopt(&runs, &task, note.data));
    expect_lists(1, 0, 0, 0);
    assert_int_equal(runs.free_count, 3);
    buf_free(&note);
}

/* The supervisor has a try in slot 0 that we cannot read: the slot waits until that has ended. */
static void a_blocked_slot_is_not_used(void **state) {
    (void)state;
    runs_block(&runs, 0);
    runs_block(&runs, 99);
    for (int i = 0; i < 2; i++) {
        struct run *run = add("x", NONCE("1"), 1, 1);
        assert_true(run_start(&runs, run));
        assert_int_not_equal(run->slot, 0);
        assert_false(runs_unblock(&runs, run->slot));
    }
    assert_false(run_start(&runs, add("x", NONCE("1"), 1, 1)));
    assert_false(runs_unblock(&runs, 99));
    assert_true(runs_unblock(&runs, 0));
    assert_false(runs_unblock(&runs, 0));
    assert_true(run_start(&runs, runs.lists[RUN_READY].first));
}

static void found_until_it_is_reported_or_stale(void **state) {
    (void)state;
    struct run *a = add("a", NONCE("1"), 1, 1), *b = add("b", NONCE("2"), 1, 1);
    struct wire_exit how = {0};
    assert_ptr_equal(runs_find(&runs, "a"), a);
    run_start(&runs, a);
    assert_ptr_equal(runs_find(&runs, "a"), a);
    run_end(&runs, a, &how);
    assert_ptr_equal(runs_find(&runs, "a"), a);
    run_report(&runs, a);
    assert_null(runs_find(&runs, "a"));
    b->stale = true;
    assert_null(runs_find(&runs, "b"));
    assert_null(runs_find(&runs, "c"));
}

static void held_are_those_the_queue_believes_we_have(void **state) {
    (void)state;
    struct run *r[4];
    const char *nonces[4] = {NONCE("1"), NONCE("2"), NONCE("3"), NONCE("4")};
    struct wire_exit how = {0};
    uint64_t digest, expected = 0;
    assert_int_equal(runs_held(&runs, &digest), 0);
    assert_int_equal(digest, 0);
    for (int i = 0; i < 4; i++)
        r[i] = add("x", nonces[i], 1, 1);
    for (int i = 0; i < 3; i++)
        run_start(&runs, r[i]);
    run_end(&runs, r[0], &how); /* ENDED counts, REPORTING and stale ones do not */
    run_end(&runs, r[1], &how);
    run_report(&runs, r[1]);
    r[2]->stale = true;
    expected = held_digest_add(0, 1, nonces[0]);
    expected = held_digest_add(expected, 1, nonces[3]);
    assert_int_equal(runs_held(&runs, &digest), 2);
    assert_int_equal(digest, expected);
}

#define fresh(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void) {
    const struct CMUnitTest tests[] = {
        fresh(what_a_record_says),
        fresh(every_state_and_back),
        fresh(given_up_without_an_exit),
        fresh(a_slot_belongs_to_one_run),
        fresh(a_note_carries_a_run_over),
        fresh(a_note_carries_what_auto_stands_for),
        fresh(notes_of_earlier_versions),
        fresh(starts_are_numbered_in_their_order),
        fresh(taken_over_by_their_starts),
        fresh(the_earlier_end_counts),
        fresh(a_note_with_a_placement),
        fresh(notes_that_are_no_notes),
        fresh(a_blocked_slot_is_not_used),
        fresh(found_until_it_is_reported_or_stale),
        fresh(held_are_those_the_queue_believes_we_have),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
