/* clang-format off */
/*
 * store_bench.c - how fast the queue itself is: one client, no worker.
 *
 *   store_bench URL load N              loads N tasks of 80 bytes; tasks/s and own memory
 *   store_bench URL cycle BATCH N       claims and reports N tasks in batches; tasks/s
 *   store_bench URL noops N             loads N native tasks that ask for nothing
 *   store_bench URL shells N            loads N shell tasks that ask for nothing
 *   store_bench URL native BATCH N      claims N of noops by the 500, reports them in batches:
 *                                       Redis' CPU and AOF bytes a task
 *   store_bench URL claims N            N claims of one task each; percentiles of a claim
 *   store_bench URL shapes N            loads N tasks of N distinct min_dram
 *   store_bench URL cancel N            cancels N queued tasks; tasks/s and the slowest call
 *
 * Prints `name value unit` lines. The queue is "bench"; init empties it (store_bench URL init).
 */
/* clang-format on */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "common/claimops.h"
#include "common/store.h"

static struct store store;
static struct buf error = BUF_INIT;

static void fail(const char *what) {
    fprintf(stderr, "store_bench: %s: %s\n", what, error.data);
    exit(1);
}

static double now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static redisReply *run(const char *what) {
    redisReply *reply = store_run(&store, &error);
    if (!reply)
        fail(what);
    return reply;
}

static int compare(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void print_percentiles(const char *name, double *us, size_t count) {
    if (!count)
        return;
    qsort(us, count, sizeof *us, compare);
    printf("%s_median %.0f us\n", name, us[count / 2]);
    printf("%s_p99 %.0f us\n", name, us[count * 99 / 100]);
    printf("%s_max %.0f us\n", name, us[count - 1]);
}

static void load(size_t count, uint64_t mem_step) {
    struct load_counts counts;
    double start = now_us();
    struct store_load *loading = store_load_begin(&store, false, &error);
    for (size_t i = 0; loading && i < count; i++) {
        char params[128];
        snprintf(params, sizeof params,
                 "./cachesim --trace /data/traces/w%08zu.bin --policy lru --size 4096 --seed 17 -v",
                 i);
        struct task task = {.type = TASK_SHELL,
                            .priority = 4,
                            .mem_bytes = (UINT64_C(64) << 20) + mem_step * i,
                            .mcpu = 1000,
                            .params = params,
                            .params_len = 80};
        if (!store_load_add(loading, &task, &error))
            fail("load");
    }
    if (!loading || !store_load_end(loading, &counts, &error))
        fail("load");
    double seconds = (now_us() - start) / 1e6;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("load %.0f tasks/s\nload_new %llu tasks\nload_rss %ld KiB\n", (double)count / seconds,
           (unsigned long long)counts.new_tasks, usage.ru_maxrss);
}

static void load_small(size_t count, enum task_type type, const char *command) {
    struct load_counts counts;
    struct store_load *loading = store_load_begin(&store, false, &error);
    for (size_t i = 0; loading && i < count; i++) {
        char index[24];
        snprintf(index, sizeof index, "%zu", i);
        struct task task = {.type = type,
                            .priority = 4,
                            .params = command,
                            .params_len = strlen(command),
                            .options = {{OPT_REPEAT, index, strlen(index)}},
                            .option_count = 1};
        if (!store_load_add(loading, &task, &error))
            fail("load");
    }
    if (!loading || !store_load_end(loading, &counts, &error))
        fail("load");
}

static void enlist(void) {
    struct register_args args = {"bench", "i1", "i1", "", 600000, "{}", 5};
    register_build(&store.cmd, store.queue_key, &args);
    freeReplyObject(run("register"));
}

static redisReply *claim(struct claim_args *args, uint32_t slots, struct claim_answer *answer) {
    *args = (struct claim_args){.worker = "bench",
                                .session = "i1",
                                .request = (uint64_t)random() << 32 | (uint64_t)random(),
                                .nonce = (uint64_t)random() << 32 | (uint64_t)random(),
                                .free_mem_bytes = UINT64_C(1) << 46,
                                .free_mcpu = 4000000,
                                .slots = slots,
                                .auto_mem_bytes = 1 << 30,
                                .caps = ",native,kernel:noop,",
                                .most_mem_bytes = UINT64_C(1) << 46,
                                .most_mcpu = 4000000,
                                .starve_after_ms = 60000,
                                .forecast = ""};
    claim_build(&store.cmd, store.queue_key, args);
    redisReply *reply = run("claim");
    if (!claim_read(reply, answer) || answer->status != CLAIM_OK)
        fail("claim: not ok");
    return reply;
}

/* Reports tasks from..to-1 of a claim's answer as finished; native: with memory, without output. */
static void finish(const redisReply *claimed, const struct claim_args *args, size_t from, size_t to,
                   bool native) {
    struct buf entry = BUF_INIT, output = BUF_INIT;
    enum report_result results[CLAIM_MAX];
    int64_t due_ms;
    report_begin(&store.cmd, store.queue_key, "bench", 5, UINT64_C(1) << 40);
    for (size_t i = from; i < to; i++) {
        struct claimed task;
        struct task_head head;
        if (!claim_task(claimed, args, i, &task) ||
            !task_decode(task.record.data, task.record.len, &head, NULL))
            fail("claim: bad task");
        struct try_entry try = {.try_number = head.tries,
                                .outcome = TRY_FINISHED,
                                .start_ms = 1,
                                .end_ms = 2,
                                .wall_us = 1000,
                                .worker = {"bench", 5}};
        memcpy(try.nonce, task.nonce, sizeof try.nonce);
        struct task_output out = {
            .try_number = head.tries, .out_bytes = 12, .out = {"hello world\n", 12}};
        buf_clear(&entry);
        buf_clear(&output);
        try_entry_pack(&try, &entry);
        struct report_item item = {.id = task.id,
                                   .try_number = head.tries,
                                   .nonce = task.nonce,
                                   .outcome = TRY_FINISHED,
                                   .delay_ms = -1,
                                   .entry = {entry.data, entry.len}};
        if (native) {
            item.family = (struct slice){"native noop", 11};
            item.peak_bytes = 5 << 20;
        } else {
            task_output_pack(&out, &output);
            item.output = (struct slice){output.data, output.len};
        }
        report_add(&store.cmd, &item);
    }
    redisReply *reply = run("report");
    if (!report_read(reply, to - from, results, &due_ms) || results[0] != REPORT_RECORDED)
        fail("report: not recorded");
    freeReplyObject(reply);
    buf_free(&entry);
    buf_free(&output);
}

static void cycle(uint32_t batch, size_t count) {
    struct claim_args args;
    struct claim_answer answer;
    double start = now_us(), claiming = 0;
    size_t done = 0;
    while (done < count) {
        double before = now_us();
        redisReply *reply = claim(&args, batch, &answer);
        claiming += now_us() - before;
        if (!answer.count && answer.more < 0)
            break;
        if (answer.count)
            finish(reply, &args, 0, answer.count, false);
        done += answer.count;
        freeReplyObject(reply);
    }
    double us = now_us() - start;
    printf("cycle_%u %.0f tasks/s\ncycle_%u_claim_share %.2f\n", batch, (double)done / us * 1e6,
           batch, claiming / us);
}

/* A number of Redis' INFO, as it is written there. */
static double info(const char *section, const char *name) {
    cmd_clear(&store.cmd);
    cmd_adds(&store.cmd, "INFO");
    cmd_adds(&store.cmd, section);
    redisReply *reply = run("INFO");
    const char *at = strstr(reply->str, name);
    double value = at ? strtod(at + strlen(name), NULL) : 0;
    freeReplyObject(reply);
    return value;
}

static double cpu_us(void) {
    return (info("cpu", "used_cpu_user:") + info("cpu", "used_cpu_sys:")) * 1e6;
}

static void native(uint32_t batch, size_t count) {
    struct claim_args args;
    struct claim_answer answer = {.more = 0};
    double claiming = 0, reporting = 0, aof = info("persistence", "aof_current_size:"),
           start = now_us();
    size_t done = 0;
    while (done < count) {
        double before = cpu_us();
        redisReply *reply = claim(&args, CLAIM_MAX, &answer);
        double claimed = cpu_us();
        if (!answer.count)
            fail("native: the tasks are gone");
        for (size_t from = 0; from < answer.count; from += batch)
            finish(reply, &args, from, from + batch < answer.count ? from + batch : answer.count,
                   true);
        double reported = cpu_us();
        claiming += claimed - before;
        reporting += reported - claimed;
        done += answer.count;
        freeReplyObject(reply);
    }
    printf("native_%u %.0f tasks/s\nnative_%u_claim %.1f us\nnative_%u_report %.1f us\n"
           "native_%u_aof %.0f bytes\n",
           batch, (double)done / (now_us() - start) * 1e6, batch, claiming / (double)done, batch,
           reporting / (double)done, batch,
           (info("persistence", "aof_current_size:") - aof) / (double)done);
}

static void claims(size_t count) {
    double *us = xcalloc(count, sizeof *us);
    size_t done = 0;
    for (; done < count; done++) {
        struct claim_args args;
        struct claim_answer answer;
        double start = now_us();
        redisReply *reply = claim(&args, 1, &answer);
        us[done] = now_us() - start;
        if (answer.count)
            finish(reply, &args, 0, answer.count, false);
        freeReplyObject(reply);
        if (!answer.count && answer.more < 0)
            break;
    }
    print_percentiles("claim", us, done);
    free(us);
}

static size_t picked, wanted;
static task_id_t *picked_ids;

static bool pick(const struct store_task *task, void *arg) {
    (void)arg;
    if (task->head.state == TASK_TODO)
        memcpy(picked_ids[picked++], task->id, sizeof *picked_ids);
    return picked < wanted;
}

static void cancel(size_t count) {
    picked_ids = xcalloc(count, sizeof *picked_ids);
    double *us = xcalloc(count / STORE_BATCH + 1, sizeof *us), start = now_us();
    size_t calls = 0;
    wanted = count;
    if (!store_walk(&store, STORE_ALL, 0, pick, NULL, &error))
        fail("walk");
    double walked = now_us();
    struct change_counts counts = {0};
    for (size_t at = 0; at < picked; at += STORE_BATCH, calls++) {
        double before = now_us();
        if (!store_change(&store, CHANGE_CANCEL, NULL, picked_ids + at,
                          picked - at < STORE_BATCH ? picked - at : STORE_BATCH, &counts, &error))
            fail("cancel");
        us[calls] = now_us() - before;
    }
    printf("walk %.0f tasks/s\ncancel %.0f tasks/s\n", (double)picked / (walked - start) * 1e6,
           (double)counts.changed / (now_us() - walked) * 1e6);
    print_percentiles("cancel", us, calls);
    free(us);
    free(picked_ids);
}

int main(int argc, char **argv) {
    struct config config;
    uint64_t removed, running;
    if (argc < 3) {
        fprintf(stderr,
                "usage: store_bench URL init|load|noops|shells|cycle|native|claims|shapes|cancel "
                "[BATCH] [N]\n");
        return 2;
    }
    config_defaults(&config);
    if (!config_set(&config, setting_find("redis", 5), argv[1], CONFIG_FLAG, "URL", &error) ||
        !config_set(&config, setting_find("queue", 5), "bench", CONFIG_FLAG, "queue", &error) ||
        !config_finish(&config, &error) || !store_open(&store, &config, &error))
        fail("open");
    size_t count = argc > 3 ? strtoull(argv[argc - 1], NULL, 10) : 0;
    srandom((unsigned)time(NULL));
    enlist();
    if (strcmp(argv[2], "init") == 0 && !store_init(&store, true, &removed, &running, &error))
        fail("init");
    else if (strcmp(argv[2], "load") == 0)
        load(count, 0);
    else if (strcmp(argv[2], "shapes") == 0)
        load(count, 1234567);
    else if (strcmp(argv[2], "cycle") == 0 && argc > 4)
        cycle((uint32_t)strtoul(argv[3], NULL, 10), count);
    else if (strcmp(argv[2], "noops") == 0)
        load_small(count, TASK_NATIVE, "noop");
    else if (strcmp(argv[2], "shells") == 0)
        load_small(count, TASK_SHELL, "/bin/true");
    else if (strcmp(argv[2], "native") == 0 && argc > 4)
        native((uint32_t)strtoul(argv[3], NULL, 10), count);
    else if (strcmp(argv[2], "claims") == 0)
        claims(count);
    else if (strcmp(argv[2], "cancel") == 0)
        cancel(count);
    store_close(&store);
    config_free(&config);
    buf_free(&error);
    return 0;
}
