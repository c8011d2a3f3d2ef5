/* The functions of kernel.h but for data (api_data.c). */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "kernels/data/http.h"
#include "kernels/host/kernel_run.h"
#include "kernels/host/try.h"
#include "kernels/host/watch.h"

#define EXPORT     __attribute__((visibility("default")))
#define ALIGNMENT  64u
#define HUGE_BYTES (UINT64_C(2) << 20) /* from twice this on, scratch memory has large pages */
#define PROGRESS_S 5

/* --- lines on standard error -------------------------------------------------------------------
 */

static void write_all(int fd, const char *bytes, size_t len) {
    while (len) {
        ssize_t n = write(fd, bytes, len);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return; /* there is nowhere to say so */
        bytes += n;
        len -= (size_t)n;
    }
}

static void say(struct kernel_run *run, const char *format, va_list args)
    __attribute__((format(printf, 2, 0)));

static void say(struct kernel_run *run, const char *format, va_list args) {
    struct buf text = BUF_INIT; /* kernels name their parameters, which may have passwords */
    buf_addvf(&text, format, args);
    buf_clear(&run->line);
    buf_addf(&run->line, "%s: ", run->plugin->name);
    http_show_all(text.data, &run->line);
    buf_addc(&run->line, '\n');
    write_all(STDERR_FILENO, run->line.data, run->line.len);
    buf_free(&text);
}

void run_say(struct kernel_run *run, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(run, format, args);
    va_end(args);
}

EXPORT int kernel_fail(struct kernel_run *run, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(run, format, args);
    va_end(args);
    return run->complaint = TRY_FAILED;
}

EXPORT int kernel_refuse(struct kernel_run *run, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(run, format, args);
    va_end(args);
    return run->complaint = TRY_REFUSED;
}

EXPORT void kernel_log(struct kernel_run *run, const char *format, ...) {
    va_list args;
    va_start(args, format);
    say(run, format, args);
    va_end(args);
}

static time_t seconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
    return now.tv_sec;
}

EXPORT void kernel_progress(struct kernel_run *run, double done) {
    time_t now = seconds();
    if (now < run->next_progress_s)
        return;
    run->next_progress_s = now + PROGRESS_S;
    run_say(run, "%.1f %% done", 100 * (done > 0 ? done < 1 ? done : 1 : 0));
}

/* --- parameters --------------------------------------------------------------------------------
 */

#define TYPE(type) (1u << (type))
#define LISTS      (TYPE(KERNEL_INPUTS) | TYPE(KERNEL_OUTPUTS))

/* A plug-in that asks for what its own table does not have is broken: it ends here, not with
 * another row's value. */
static const struct param_value *value(const struct kernel_run *run, size_t index, unsigned types,
                                       const char *function) {
    const struct params *params = &run->plugin->params;
    if (index >= params->rows || !(TYPE(params->table[index].type) & types)) {
        fprintf(stderr, "%s: %s(%zu): its table has no such parameter of that type\n",
                run->plugin->name, function, index);
        abort();
    }
    return &params->values[index];
}

EXPORT int64_t kernel_int(const struct kernel_run *run, size_t index) {
    return value(run, index, TYPE(KERNEL_INT), "kernel_int")->of.integer;
}

EXPORT double kernel_real(const struct kernel_run *run, size_t index) {
    return value(run, index, TYPE(KERNEL_REAL), "kernel_real")->of.real;
}

EXPORT bool kernel_flag(const struct kernel_run *run, size_t index) {
    return value(run, index, TYPE(KERNEL_FLAG), "kernel_flag")->of.flag;
}

EXPORT size_t kernel_choice(const struct kernel_run *run, size_t index) {
    return value(run, index, TYPE(KERNEL_CHOICE), "kernel_choice")->of.choice;
}

EXPORT const char *kernel_text(const struct kernel_run *run, size_t index) {
    return value(run, index, ~0u, "kernel_text")->text;
}

EXPORT bool kernel_given(const struct kernel_run *run, size_t index) {
    return value(run, index, ~0u, "kernel_given")->given;
}

EXPORT size_t kernel_count(const struct kernel_run *run, size_t index) {
    return value(run, index, LISTS, "kernel_count")->count;
}

EXPORT const char *kernel_item(const struct kernel_run *run, size_t index, size_t which) {
    if (which >= value(run, index, LISTS, "kernel_item")->count) {
        fprintf(stderr, "%s: kernel_item(%zu, %zu): there are fewer\n", run->plugin->name, index,
                which);
        abort();
    }
    return params_item(&run->plugin->params, index, which);
}

/* --- results, and what the try was given -------------------------------------------------------
 */

EXPORT void kernel_result(struct kernel_run *run, const char *key, const char *format, ...) {
    va_list args;
    if (run->results.len)
        buf_addc(&run->results, ' ');
    size_t start = run->results.len;
    buf_addf(&run->results, "%s=", key);
    va_start(args, format);
    buf_addvf(&run->results, format, args);
    va_end(args);
    for (size_t i = start; i < run->results.len; i++)
        if (run->results.data[i] == '\n')
            run->results.data[i] = ' '; /* it is one line */
}

EXPORT bool kernel_cancelled(const struct kernel_run *run) {
    (void)run;
    return watch_cancelled() != 0;
}

EXPORT unsigned kernel_threads(const struct kernel_run *run) {
    (void)run;
    return run_threads();
}

EXPORT uint64_t kernel_memory(const struct kernel_run *run) {
    (void)run;
    return run_memory_bytes();
}

static uint64_t variable(const char *name) {
    const char *text = getenv(name);
    return text && *text >= '0' && *text <= '9' ? strtoull(text, NULL, 10) : 0;
}

#define THREADS_MOST 4096

unsigned run_threads(void) {
    uint64_t count = variable("DISTCOMP_THREADS");
    if (!count)
        count = variable("OMP_NUM_THREADS");
    if (!count)
        count = (variable("DISTCOMP_MIN_MCPU") + 999) / 1000;
    return count < 1 ? 1 : count > THREADS_MOST ? THREADS_MOST : (unsigned)count;
}

uint64_t run_memory_bytes(void) {
    return variable("DISTCOMP_MEMORY");
}

EXPORT int kernel_device(const struct kernel_run *run) {
    (void)run;
    const char *cards = getenv("CUDA_VISIBLE_DEVICES");
    return cards && *cards && *cards != '-' ? 0 : -1; /* CUDA counts those that are visible */
}

EXPORT const char *kernel_task_id(const struct kernel_run *run) {
    (void)run;
    const char *id = getenv("DISTCOMP_TASK_ID");
    return id ? id : "";
}

EXPORT unsigned kernel_try(const struct kernel_run *run) {
    (void)run;
    uint64_t number = variable("DISTCOMP_TRY");
    return number ? (unsigned)number : 1;
}

/* --- memory ------------------------------------------------------------------------------------
 */

EXPORT void *kernel_scratch(struct kernel_run *run, size_t bytes) {
    void *memory = NULL;
    bool large = bytes >= 2 * HUGE_BYTES;
    if (run->scratch_count == run->scratch_room) {
        run->scratch_room = run->scratch_room ? 2 * run->scratch_room : 16;
        run->scratch = xrealloc(run->scratch, run->scratch_room * sizeof *run->scratch);
    }
    if (posix_memalign(&memory, large ? HUGE_BYTES : ALIGNMENT, bytes ? bytes : 1) != 0) {
        kernel_fail(run, "out of memory: %zu bytes asked for", bytes);
        return NULL;
    }
    if (large)
        madvise(memory, bytes, MADV_HUGEPAGE); /* where it cannot, it is only slower */
    run->scratch[run->scratch_count++] = memory;
    return memory;
}

EXPORT void **kernel_keep(struct kernel_run *run, const char *key, void (*close)(void *kept)) {
    return plugin_keep(run->plugin, key, close);
}

void run_clear(struct kernel_run *run) {
    for (size_t i = 0; i < run->scratch_count; i++)
        free(run->scratch[i]);
    run->scratch_count = 0;
    run_drop_data(run);
    run->complaint = 0;
    run->next_progress_s = seconds() + PROGRESS_S;
    buf_clear(&run->results);
}
