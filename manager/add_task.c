#include <inttypes.h>
#include <string.h>

#include "common/field.h"
#include "common/option.h"
#include "common/refs.h"
#include "manager/command.h"
#include "manager/interrupt.h"
#include "manager/loading.h"
#include "manager/print.h"
#include "manager/progress.h"
#include "manager/sweep.h"
#include "manager/task_json.h"

static const struct opt options[] = {
    {.name = "type",
     .kind = KIND_TYPES,
     .metavar = "TYPE",
     .preset = "shell",
     .help = "what runs the command"},
    {.name = "priority",
     .kind = KIND_PRIORITY,
     .metavar = "N",
     .preset = "0",
     .help = "higher starts first"},
    {.name = "min_dram",
     .kind = KIND_MEMORY,
     .metavar = "GIB",
     .preset = "0",
     .help = "memory it needs, in GiB or with a unit; auto learns it; 0 reserves none"},
    {.name = "min_cpu",
     .kind = KIND_CORES,
     .metavar = "CORES",
     .preset = "1",
     .help = "cores it needs, fractions allowed; 0 reserves none"},
    {.name = "dry_run",
     .kind = KIND_BOOL,
     .preset = "false",
     .help = "only print the tasks, one JSON object a line"},
    {.name = "retry_failed",
     .kind = KIND_BOOL,
     .preset = "false",
     .help = "queue those again that have failed or were cancelled"},
    OPT_END};

/* The task options of common/task.h, each under its key; those that are pairs take NAME=VALUE. */
#define NAME_OF_ENV                     "env"
#define NAME_OF_ARG                     "arg"
#define ROW_TEXT(symbol, key, text)     ROW(symbol, key, "TEXT", false, text)
#define ROW_DURATION(symbol, key, text) ROW(symbol, key, "TIME", false, text)
#define ROW_COUNT(symbol, key, text)    ROW(symbol, key, "N", false, text)
#define ROW_SIZE(symbol, key, text)     ROW(symbol, key, "SIZE", false, text)
#define ROW_MILLI(symbol, key, text)    ROW(symbol, key, "N", false, text)
#define ROW_NAMES(symbol, key, text)    ROW(symbol, key, "NAMES", false, text)
#define ROW_CHOICE(symbol, key, text)   ROW(symbol, key, "WORD", false, text)
#define ROW_PAIR(symbol, key, text)     ROW(symbol, NAME_OF_##symbol, "NAME=VALUE", true, text)
#define ROW(symbol, key, value, repeated, text)                                                    \
    {.name = (key),                                                                                \
     .kind = KIND_OPTION,                                                                          \
     .tag = OPT_##symbol,                                                                          \
     .metavar = (value),                                                                           \
     .many = (repeated),                                                                           \
     .help = (text)},
static const struct opt task_option_rows[] = {
#define X(symbol, tag, key, form, help) ROW_##form(symbol, key, help)
    TASK_OPTIONS(X)
#undef X
        OPT_END};

/* --- the tasks of a command line ---------------------------------------------------------------
 */

/* Hands out task by task; the task borrows from here until the next one. */
struct adding {
    struct sweep *sweep;
    struct options options;
    struct buf command;
    struct task task;
    struct sweep_arg values[SWEEP_LISTS_MAX];
    uint64_t repeat, repeats; /* the index given last, and how many each command gets */
    char index[24];
};

/* The task options of the command line. */
static bool set_options(struct options *set, const struct args *args, struct buf *error) {
    for (size_t i = 0; i < task_options_count; i++) {
        const struct task_option_info *info = &task_options[i];
        char name[32];
        size_t key_len = strlen(info->key);
        snprintf(name, sizeof name, "%s", info->key);
        if (info->form == FORM_PAIR)
            name[key_len - 1] = '\0'; /* env. is --env */
        for (const struct opt_value *value = args_next(args, name, NULL); value;
             value = args_next(args, name, value)) {
            struct buf key = BUF_INIT;
            size_t pair = info->form == FORM_PAIR ? strcspn(value->text, "=") : 0;
            const char *text = value->text + pair + (pair > 0);
            buf_addf(&key, "%s%.*s", info->key, (int)pair, value->text);
            bool ok = options_set(set, info, key.data, key.len, text, strlen(text), error);
            buf_free(&key);
            if (!ok)
                return false;
        }
    }
    return options_check(set, error);
}

static void adding_free(struct adding *a) {
    sweep_free(a->sweep);
    options_free(&a->options);
    buf_free(&a->command);
    free(a);
}

static struct adding *adding_new(const struct args *args, struct buf *error) {
    struct adding *a = xcalloc(1, sizeof *a);
    a->options = (struct options)OPTIONS_INIT;
    a->command = (struct buf)BUF_INIT;
    a->sweep = sweep_new(args->operands, args->operand_count, error);
    if (!a->sweep || !set_options(&a->options, args, error)) {
        adding_free(a);
        return NULL;
    }
    uint32_t types = args_mask(args, "type");
    while (types >> a->task.type != 1)
        a->task.type = (enum task_type)(a->task.type + 1);
    a->task.priority = (uint32_t)args_number(args, "priority");
    a->task.mem_bytes = args_number(args, "min_dram");
    a->task.mcpu = (uint32_t)args_number(args, "min_cpu");
    options_fill(&a->options, &a->task);
    a->repeats = (uint64_t)task_option_number(&a->task, OPT_REPEAT, 1);
    options_unset(&a->options, option_find("repeat", 6), "repeat", 6);
    a->repeat = a->repeats;
    if (option_check_task(&a->task, error))
        return a;
    adding_free(a);
    return NULL;
}

static uint64_t adding_total(const struct adding *a) {
    uint64_t total;
    return __builtin_mul_overflow(sweep_total(a->sweep), a->repeats, &total) ? UINT64_MAX : total;
}

/* Gives the command its place in the sweep: OPT_ARG for each value, OPT_REPEAT. */
static bool set_place(struct adding *a, struct buf *error) {
    bool ok = true;
    struct buf key = BUF_INIT;
    const struct task_option_info *arg = option_find("arg.", 4);
    for (size_t i = 0; i < sweep_lists(a->sweep) && ok; i++) {
        buf_clear(&key);
        buf_addf(&key, "%s%s", arg->key, a->values[i].key);
        ok = options_set(&a->options, arg, key.data, key.len, a->values[i].value,
                         strlen(a->values[i].value), error);
    }
    if (a->repeats > 1 && ok) {
        int len = snprintf(a->index, sizeof a->index, "%" PRIu64, a->repeat);
        ok = options_set(&a->options, option_find("repeat", 6), "repeat", 6, a->index, (size_t)len,
                         error);
    }
    buf_free(&key);
    if (ok)
        options_fill(&a->options, &a->task);
    return ok;
}

/* The next task. False at the end, and, with an error, when a combination makes no good task. */
static bool adding_next(struct adding *a, struct buf *error) {
    size_t offset;
    if (a->repeat < a->repeats) {
        a->repeat++;
        return set_place(a, error);
    }
    if (!sweep_next(a->sweep, &a->command, a->values))
        return false;
    a->repeat = 1;
    a->task.params = a->command.data;
    a->task.params_len = a->command.len;
    return field_params(a->task.type, a->command.data, a->command.len, &offset, error) &&
           set_place(a, error) && option_check_task(&a->task, error);
}

/* --- what is done with them --------------------------------------------------------------------
 */

/* For each task; false to stop, with an error or after a signal. */
typedef bool adding_each(struct adding *a, void *arg, struct buf *error);

static bool each_task(const struct args *args, adding_each *each, void *arg, struct buf *error) {
    struct adding *a = adding_new(args, error);
    if (!a)
        return false;
    while (!interrupt_caught() && adding_next(a, error) && each(a, arg, error))
        ;
    adding_free(a);
    return !error->len;
}

static bool nothing(struct adding *a, void *arg, struct buf *error) {
    (void)a, (void)arg, (void)error;
    return true;
}

static bool check(const struct args *args, struct buf *error) {
    uint32_t types = args_mask(args, "type");
    if (types & (types - 1)) {
        buf_adds(error, "--type: expected one type");
        return false;
    }
    return each_task(args, nothing, NULL, error);
}

struct printing {
    struct session *session;
    struct refs refs;
    struct buf lines;
    bool failed; /* and was told so */
};

/* The queue is asked only for what an option names. */
static bool print_task(struct adding *a, void *arg, struct buf *error) {
    struct printing *p = arg;
    bool refers = task_option(&a->task, OPT_AFTER) || task_option(&a->task, OPT_AFTER_ANY);
    if (refers && !p->refs.store && !(p->refs.store = session_store(p->session))) {
        p->failed = true;
        return false;
    }
    buf_clear(&p->lines);
    if (refers && refs_resolve(&p->refs, &a->task, &p->lines, error) != REFS_OK)
        return false;
    print_json(p->session->out, task_json(&a->task, NULL));
    return !ferror(p->session->out);
}

static bool print_id(struct adding *a, void *arg, struct buf *error) {
    char id[TASK_ID_LEN + 1];
    FILE *out = arg;
    (void)error;
    task_id(&a->task, id);
    fprintf(out, "%s\n", id);
    return !ferror(out);
}

static bool add_id(struct adding *a, void *arg, struct buf *error) {
    char id[TASK_ID_LEN + 1];
    (void)error;
    task_id(&a->task, id);
    json_array_append_new(arg, json_string(id));
    return true;
}

struct loading {
    const struct session *session;
    struct store_load *load;
    struct progress *progress;
    uint64_t done;
};

static bool load_one(struct adding *a, void *arg, struct buf *error) {
    struct loading *l = arg;
    if (!l->progress)
        l->progress = progress_new(stderr, "adding", adding_total(a), l->session->quiet);
    if (!store_load_add(l->load, &a->task, error))
        return false;
    progress_set(l->progress, ++l->done);
    return true;
}

/* --- the verb ------------------------------------------------------------------------------------
 */

#define IDS_MOST 1000 /* in a JSON answer */

static int print_all(struct session *session, const struct args *args) {
    struct printing p = {.session = session, .lines = BUF_INIT};
    struct buf error = BUF_INIT;
    refs_init(&p.refs, NULL);
    bool ok = each_task(args, print_task, &p, &error);
    if (error.len)
        session_error(session, "%s", error.data);
    refs_free(&p.refs);
    buf_free(&p.lines);
    buf_free(&error);
    return ok && !p.failed ? EXIT_DONE : EXIT_FAILED;
}

/* The answer: counts and the id of one task, as JSON those of up to IDS_MOST; --quiet, only ids. */
static int answer(struct session *session, const struct args *args,
                  const struct load_counts *counts, uint64_t done) {
    struct buf text = BUF_INIT;
    bool retry_failed = args_bool(args, "retry_failed");
    if (session->json) {
        json_t *object = loading_json(counts), *ids = json_array();
        if (done <= IDS_MOST)
            each_task(args, add_id, ids, &text);
        json_object_set_new(object, "ids", done <= IDS_MOST ? json_incref(ids) : json_null());
        json_decref(ids);
        print_json(session->out, object);
    } else if (session->quiet) {
        each_task(args, print_id, session->out, &text);
    } else {
        loading_counts(counts, retry_failed, &text);
        fprintf(session->out, "%s%s", text.data, done == 1 ? ": " : "\n");
        if (done == 1)
            each_task(args, print_id, session->out, &text);
    }
    loading_note(session, counts, retry_failed);
    buf_free(&text);
    return EXIT_DONE;
}

static int load_all(struct session *session, const struct args *args) {
    struct buf error = BUF_INIT;
    struct loading l = {.session = session};
    l.load = store_load_begin(session->store, args_bool(args, "retry_failed"), &error);
    struct load_counts counts;
    int code = EXIT_FAILED;
    if (l.load)
        each_task(args, load_one, &l, &error);
    progress_free(l.progress);
    if (!l.load)
        session_error(session, "%s", error.data);
    else if (error.len || interrupt_caught())
        code = loading_abandon(session, l.load, &error);
    else if (loading_end(session, l.load, &counts))
        code = answer(session, args, &counts, l.done);
    buf_free(&error);
    return code;
}

static int add_task(struct session *session, const struct args *args) {
    if (args_bool(args, "dry_run"))
        return print_all(session, args);
    if (!session_store(session))
        return EXIT_FAILED;
    interrupt_catch();
    int code = load_all(session, args);
    interrupt_release();
    return code;
}

const struct verb verb_add_task = {
    .name = "addTask",
    .operands = "[--] COMMAND… [::: VALUE…]…",
    .min_operands = 1,
    .max_operands = VERB_ANY,
    .summary = "adds one command, or a sweep over lists of values",
    .about = "Options stand before the command; everything from its first word on is the "
             "command's. One word is a shell line as it stands; several are the arguments, "
             "quoted for the shell where needed.\n\n"
             "Each ::: begins a list of values, and every combination becomes a task; the "
             "first list varies slowest. :::NAME gives the list a name, :::+ goes in step "
             "with the list before it. {1} and {NAME} stand for the value of a list, {} for "
             "all of them; a command without any gets all at its end. The values become "
             "columns of exportTask.\n\n"
             "The answer counts new, known, updated, duplicate and failed tasks as loadTask's "
             "does, with the id when it is one task. With --quiet it is the ids, one a line; "
             "--json has those of up to 1000 tasks.\n\n"
             "  redisManager addTask --min_dram 2 -- ./sim {1} {2} ::: lru fifo ::: 1 2 4\n"
             "  redisManager addTask './sim --size={size} >{size}.log' :::size 1 2 4\n"
             "  redisManager addTask gzip -k ::: *.txt\n"
             "  id=$(redisManager addTask --quiet ./prepare)",
    .group = GROUP_LOAD,
    .flags = VERB_ANSWERS | VERB_COMMAND,
    .options = {options, task_option_rows},
    .check = check,
    .run = add_task,
};
