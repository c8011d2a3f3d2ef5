#include "kernels/host/try.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/units.h"
#include "common/words.h"
#include "kernels/data/http.h"
#include "kernels/host/kernel_run.h"
#include "kernels/host/paramtext.h"
#include "kernels/host/plugindir.h"
#include "kernels/host/watch.h"

/* Of the one try at a time; its memory is kept for the next. */
static struct kernel_run the_run = {.line = BUF_INIT, .results = BUF_INIT};

static int complain(const char *what, const char *text, int code) {
    fprintf(stderr, "%s: %s\n", what, text);
    return code;
}

/* Each line of errors after the kernel's name, then how it is used. */
static void say_refused(const struct kernel *kernel, const struct buf *errors) {
    struct buf text = BUF_INIT, shown = BUF_INIT;
    http_show_all(errors->data, &shown);
    for (const char *at = shown.data; *at;) {
        size_t len = strcspn(at, "\n");
        buf_addf(&text, "%s: %.*s\n", kernel->name, (int)len, at);
        at += len + (at[len] == '\n');
    }
    buf_adds(&text, "usage: ");
    paramtext_usage(kernel, &text);
    fprintf(stderr, "%s\n", text.data);
    buf_free(&text);
    buf_free(&shown);
}

/* Opens the plug-in that the first word names, and reads the others. 0, or the code. */
static int prepare(struct kernel_run *run, char *const *words, size_t count) {
    struct buf error = BUF_INIT;
    int code = TRY_DONE;
    plugindir_set(getenv("DISTCOMP_KERNEL_DIR"));
    enum plugin_result result = plugin_open(words[0], &run->plugin, &error);
    if (result != PLUGIN_OK) {
        code = result == PLUGIN_UNKNOWN ? TRY_REFUSED : TRY_FAILED;
        complain("kernelHost", error.data, code);
    } else if (!params_read(&run->plugin->params, words + 1, count - 1, &error)) {
        say_refused(run->plugin->kernel, &error);
        code = TRY_REFUSED;
    }
    buf_free(&error);
    return code;
}

/* A code that a plug-in gave, as an exit code; a failure has been told of. */
static int exit_code(struct kernel_run *run, int code) {
    if (code < 0 || code > TRY_CODE_MAX) {
        run_say(run, "failed with %d; codes are 1 to %d", code, TRY_CODE_MAX);
        return TRY_FAILED;
    }
    if (code && !run->complaint && !watch_cancelled())
        run_say(run, "failed with code %d", code);
    return code;
}

/* Fills run->estimate; else the code. */
static int ask(struct kernel_run *run) {
    run->estimate = (struct kernel_estimate){0};
    if (run->plugin->kernel->estimate(run, &run->estimate))
        return TRY_DONE;
    if (!run->complaint)
        return kernel_fail(run, "cannot say what it needs");
    return run->complaint;
}

/* A line when it will need more than was promised to it. Not 0: the try has failed. */
static int check_memory(struct kernel_run *run) {
    uint64_t promised = run_memory_bytes();
    if (!promised || !run->plugin->kernel->estimate)
        return TRY_DONE;
    int code = ask(run);
    if (code != TRY_DONE || run->estimate.memory_bytes <= promised)
        return code;
    struct buf need = BUF_INIT, have = BUF_INIT;
    units_add_bytes(&need, run->estimate.memory_bytes);
    units_add_bytes(&have, promised);
    run_say(run, "needs about %s and was promised %s: ask for more min_dram", need.data, have.data);
    buf_free(&need);
    buf_free(&have);
    return TRY_DONE;
}

/* The results, after what the kernel has printed itself. */
static bool print_results(struct kernel_run *run) {
    if (run->results.len) {
        buf_addc(&run->results, '\n');
        fwrite(run->results.data, 1, run->results.len, stdout);
    }
    if (fflush(stdout) == 0 && !ferror(stdout))
        return true;
    run_say(run, "cannot write to standard output: %s", strerror(errno));
    clearerr(stdout);
    return false;
}

static int run_kernel(struct kernel_run *run) {
    int code = check_memory(run);
    if (code == TRY_DONE)
        code = exit_code(run, run->plugin->kernel->run(run));
    if (watch_is_child())
        _exit(code); /* it came back from run() as well */
    if (code == TRY_DONE && !run_commit(run))
        code = TRY_FAILED;
    if (code != TRY_DONE)
        buf_clear(&run->results);
    if (!print_results(run) && code == TRY_DONE)
        code = TRY_FAILED;
    return code;
}

static int run_estimate(struct kernel_run *run) {
    if (!run->plugin->kernel->estimate)
        return kernel_fail(run, "it does not say what it needs");
    return ask(run);
}

/* From the opening of the plug-in on, whose own code runs then, a crash is the kernel's. */
static int try_with(int (*work)(struct kernel_run *run), char *const *words, size_t count) {
    struct kernel_run *run = &the_run;
    if (!count)
        return complain("kernelHost", "no kernel is named: expected KERNEL key=value ...",
                        TRY_REFUSED);
    watch_try_begins(words[0]);
    int code = prepare(run, words, count);
    if (code == TRY_DONE) {
        run_clear(run);
        code = work(run);
        run_clear(run);
    }
    watch_try_ends();
    return code;
}

int try_words(char *const *words, size_t count) {
    return try_with(run_kernel, words, count);
}

int try_text(const char *text, size_t len) {
    static struct words words = WORDS_INIT; /* its memory is kept */
    struct buf error = BUF_INIT;
    size_t offset = 0;
    if (memchr(text, '\0', len))
        return complain("kernelHost", "the parameters have a NUL byte", TRY_REFUSED);
    if (words_split(text, len, &words, &offset, &error))
        return try_words(words.argv, words.count);
    fprintf(stderr, "kernelHost: parameters, column %zu: %s\n", offset + 1, error.data);
    buf_free(&error);
    return TRY_REFUSED;
}

int try_estimate(char *const *words, size_t count, struct kernel_estimate *estimate) {
    int code = try_with(run_estimate, words, count);
    *estimate = the_run.estimate;
    return code;
}
