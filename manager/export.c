#include "manager/export.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "manager/output.h"
#include "manager/print.h"
#include "manager/utf8.h"
#include "manager/view.h"

/* What a row is made of. */
struct row {
    const struct store_task *task;
    bool tried; /* there is a last try */
    struct try_entry entry;
    bool has_output;
    struct output output;
};

static void row_init(struct row *row, const struct export_columns *columns,
                     const struct store_task *task) {
    *row = (struct row){.task = task};
    row->tried = try_log_last(task->log, &row->entry);
    if (columns->outputs && task->output.len) {
        row->has_output = output_read(&row->output, task->output);
        if (!row->has_output)
            output_free(&row->output);
    }
}

static void row_free(struct row *row) {
    if (row->has_output)
        output_free(&row->output);
}

/* --- cells of CSV -------------------------------------------------------------------------------
 */

/* UTF-8 without NUL, in quotes where RFC 4180 wants them. */
static void add_text(struct buf *out, const char *text, size_t len) {
    bool quoted = false;
    for (size_t i = 0; i < len && !quoted; i++)
        quoted = text[i] == '"' || text[i] == ',' || text[i] == '\n' || text[i] == '\r';
    if (quoted)
        buf_addc(out, '"');
    for (size_t at = 0; at < len;) {
        uint32_t character;
        size_t size = utf8_read(text + at, len - at, &character);
        if (text[at] == '"')
            buf_adds(out, "\"\"");
        else if (!size || !text[at])
            buf_adds(out, "\xef\xbf\xbd");
        else
            buf_add(out, text + at, size);
        at += size ? size : 1;
    }
    if (quoted)
        buf_addc(out, '"');
}

static void add_slice(struct buf *out, struct slice text) {
    add_text(out, text.data, text.len);
}

static void add_seconds(struct buf *out, const struct row *row, uint64_t us) {
    if (row->tried)
        buf_addf(out, "%llu.%06u", (unsigned long long)(us / 1000000), (unsigned)(us % 1000000));
}

static void add_stream(struct buf *out, const struct row *row, int which) {
    if (!row->has_output)
        return;
    struct slice text = row->output.stream[which].bytes;
    if (text.len && text.data[text.len - 1] == '\n')
        text.len--;
    add_slice(out, text);
}

static void cell_id(struct buf *out, const struct row *row) {
    buf_adds(out, row->task->id);
}
static void cell_name(struct buf *out, const struct row *row) {
    const struct task_option *name = task_option(&row->task->task, OPT_NAME);
    if (name)
        add_text(out, name->value, name->len);
}
static void cell_state(struct buf *out, const struct row *row) {
    buf_adds(out, task_state_name((enum task_state)row->task->head.state));
}
static void cell_type(struct buf *out, const struct row *row) {
    buf_adds(out, task_type_name(row->task->task.type));
}
static void cell_priority(struct buf *out, const struct row *row) {
    buf_addf(out, "%u", row->task->head.priority);
}
static void cell_min_dram(struct buf *out, const struct row *row) {
    uint64_t bytes = row->task->head.mem_bytes;
    if (bytes == TASK_MEM_AUTO)
        buf_adds(out, "auto");
    else
        buf_addf(out, "%.10g", (double)bytes / (double)(UINT64_C(1) << 30));
}
static void cell_min_cpu(struct buf *out, const struct row *row) {
    buf_addf(out, "%.10g", (double)row->task->head.mcpu / 1000);
}
/* An option's value; nothing where the task does not have it. */
static void add_option(struct buf *out, const struct row *row, enum task_option_tag tag) {
    const struct task_option *option = task_option(&row->task->task, tag);
    if (option)
        add_text(out, option->value, option->len);
}
static void cell_gpu(struct buf *out, const struct row *row) {
    int64_t milli = task_option_number(&row->task->task, OPT_GPU, -1);
    if (milli >= 0)
        buf_addf(out, "%.10g", (double)milli / 1000);
}
static void cell_gpu_mem(struct buf *out, const struct row *row) {
    int64_t bytes = task_option_number(&row->task->task, OPT_GPU_MEM, -1);
    if (bytes >= 0)
        buf_addf(out, "%.10g", (double)bytes / (double)(UINT64_C(1) << 30));
}
static void cell_labels(struct buf *out, const struct row *row) {
    add_option(out, row, OPT_LABELS);
}
static void cell_limit(struct buf *out, const struct row *row) {
    add_option(out, row, OPT_LIMIT);
}
static void cell_pin(struct buf *out, const struct row *row) {
    add_option(out, row, OPT_PIN);
}
static void cell_command(struct buf *out, const struct row *row) {
    add_text(out, row->task->task.params, row->task->task.params_len);
}
static void cell_tries(struct buf *out, const struct row *row) {
    buf_addf(out, "%u", row->task->head.tries);
}
static bool has_status(const struct row *row) {
    return row->tried && row->entry.outcome != TRY_LOST && row->entry.outcome != TRY_DEPENDENCY;
}
static void cell_exit_code(struct buf *out, const struct row *row) {
    if (has_status(row) && !row->entry.signal)
        buf_addf(out, "%d", row->entry.exit_code);
}
static void cell_signal(struct buf *out, const struct row *row) {
    const char *name = row->entry.signal ? sigabbrev_np(row->entry.signal) : NULL;
    if (has_status(row) && name)
        buf_addf(out, "SIG%s", name);
    else if (has_status(row) && row->entry.signal)
        buf_addf(out, "%d", row->entry.signal);
}
static void cell_worker(struct buf *out, const struct row *row) {
    if (row->task->worker.len || row->tried)
        add_slice(out, row->task->worker.len ? row->task->worker : row->entry.worker);
}
static void add_time(struct buf *out, uint64_t unix_ms) {
    if (unix_ms)
        view_add_time(out, unix_ms);
}
static void cell_start(struct buf *out, const struct row *row) {
    add_time(out, row->entry.start_ms);
}
static void cell_end(struct buf *out, const struct row *row) {
    add_time(out, row->entry.end_ms);
}
static void cell_wall_s(struct buf *out, const struct row *row) {
    add_seconds(out, row, row->entry.wall_us);
}
static void cell_user_s(struct buf *out, const struct row *row) {
    add_seconds(out, row, row->entry.user_us);
}
static void cell_system_s(struct buf *out, const struct row *row) {
    add_seconds(out, row, row->entry.system_us);
}
static void cell_max_rss_bytes(struct buf *out, const struct row *row) {
    if (row->entry.maxrss_kib)
        buf_addf(out, "%llu", (unsigned long long)row->entry.maxrss_kib * 1024);
}
static bool io_known(const struct row *row) {
    return row->entry.read_bytes || row->entry.write_bytes;
}
static void cell_read_bytes(struct buf *out, const struct row *row) {
    if (io_known(row))
        buf_addf(out, "%llu", (unsigned long long)row->entry.read_bytes);
}
static void cell_write_bytes(struct buf *out, const struct row *row) {
    if (io_known(row))
        buf_addf(out, "%llu", (unsigned long long)row->entry.write_bytes);
}
static void cell_stdout(struct buf *out, const struct row *row) {
    add_stream(out, row, OUTPUT_STDOUT);
}
static void cell_stderr(struct buf *out, const struct row *row) {
    add_stream(out, row, OUTPUT_STDERR);
}
static void cell_reason(struct buf *out, const struct row *row) {
    if (row->tried)
        add_slice(out, row->entry.reason);
}

/* --- columns ------------------------------------------------------------------------------------
 */

/* The parameters stand before this column. */
#define ARGS_BEFORE "tries"

static const struct column {
    const char *name;
    void (*cell)(struct buf *out, const struct row *row);
    bool output; /* only with --with_output */
} fixed[] = {{"id", cell_id, false},
             {"name", cell_name, false},
             {"state", cell_state, false},
             {"type", cell_type, false},
             {"priority", cell_priority, false},
             {"min_dram", cell_min_dram, false},
             {"min_cpu", cell_min_cpu, false},
             {"gpu", cell_gpu, false},
             {"gpu_mem", cell_gpu_mem, false},
             {"labels", cell_labels, false},
             {"limit", cell_limit, false},
             {"pin", cell_pin, false},
             {"command", cell_command, false},
             {"tries", cell_tries, false},
             {"exit_code", cell_exit_code, false},
             {"signal", cell_signal, false},
             {"worker", cell_worker, false},
             {"start", cell_start, false},
             {"end", cell_end, false},
             {"wall_s", cell_wall_s, false},
             {"user_s", cell_user_s, false},
             {"system_s", cell_system_s, false},
             {"max_rss_bytes", cell_max_rss_bytes, false},
             {"read_bytes", cell_read_bytes, false},
             {"write_bytes", cell_write_bytes, false},
             {"stdout", cell_stdout, true},
             {"stderr", cell_stderr, true},
             {"reason", cell_reason, false}};
#define FIXED (sizeof fixed / sizeof *fixed)

void export_columns_init(struct export_columns *columns, bool outputs) {
    *columns = (struct export_columns){.outputs = outputs};
}

void export_columns_free(struct export_columns *columns) {
    for (size_t i = 0; i < columns->arg_count; i++)
        free(columns->args[i]);
    free(columns->args);
    free(columns->values);
}

/* Splits NAME=VALUE. */
static void split_arg(const struct task_option *option, size_t *name_len, struct slice *value) {
    const char *equals = memchr(option->value, '=', option->len);
    *name_len = equals ? (size_t)(equals - option->value) : option->len;
    size_t from = *name_len + (equals != NULL);
    *value = (struct slice){option->value + from, option->len - from};
}

/* The column of a parameter, or arg_count. Tasks of a sweep have theirs in the same order, so the
 * search goes on from the last one found. */
static size_t find_arg(const struct export_columns *columns, const char *name, size_t len,
                       size_t from) {
    for (size_t k = 0; k < columns->arg_count; k++) {
        size_t i = (from + k) % columns->arg_count;
        if (!strncmp(columns->args[i], name, len) && !columns->args[i][len])
            return i;
    }
    return columns->arg_count;
}

void export_columns_add(struct export_columns *columns, const struct task *task) {
    size_t next = 0;
    for (size_t i = 0; i < task->option_count; i++) {
        size_t len;
        struct slice value;
        if (task->options[i].tag != OPT_ARG)
            continue;
        split_arg(&task->options[i], &len, &value);
        size_t at = find_arg(columns, task->options[i].value, len, next);
        next = at + 1;
        if (at < columns->arg_count || columns->arg_count == EXPORT_ARGS_MAX)
            continue;
        if (columns->arg_count == columns->arg_cap) {
            columns->arg_cap = columns->arg_cap ? 2 * columns->arg_cap : 16;
            columns->args = xrealloc(columns->args, columns->arg_cap * sizeof *columns->args);
            columns->values = xrealloc(columns->values, columns->arg_cap * sizeof *columns->values);
        }
        columns->args[columns->arg_count++] = xstrndup(task->options[i].value, len);
    }
}

static void add_arg_title(struct buf *out, const char *name) {
    struct buf title = BUF_INIT;
    for (size_t i = 0; i < FIXED; i++)
        if (!strcmp(fixed[i].name, name))
            buf_adds(&title, "arg.");
    buf_adds(&title, name);
    add_text(out, title.data, title.len);
    buf_free(&title);
}

static void find_values(struct export_columns *columns, const struct task *task) {
    size_t next = 0;
    if (columns->arg_count)
        memset(columns->values, 0, columns->arg_count * sizeof *columns->values);
    for (size_t i = 0; i < task->option_count; i++) {
        size_t len;
        struct slice value;
        if (task->options[i].tag != OPT_ARG)
            continue;
        split_arg(&task->options[i], &len, &value);
        size_t at = find_arg(columns, task->options[i].value, len, next);
        if (at == columns->arg_count)
            continue; /* it came between the two passes */
        columns->values[at] = (struct export_arg){value.data, value.len};
        next = at + 1;
    }
}

void export_csv_head(const struct export_columns *columns, struct buf *out) {
    size_t start = out->len;
    for (size_t i = 0; i < FIXED; i++) {
        if (!strcmp(fixed[i].name, ARGS_BEFORE))
            for (size_t k = 0; k < columns->arg_count; k++) {
                buf_addc(out, ',');
                add_arg_title(out, columns->args[k]);
            }
        if (fixed[i].output && !columns->outputs)
            continue;
        if (out->len > start)
            buf_addc(out, ',');
        buf_adds(out, fixed[i].name);
    }
    buf_adds(out, "\r\n");
}

void export_csv_row(struct export_columns *columns, const struct store_task *task,
                    struct buf *out) {
    struct row row;
    row_init(&row, columns, task);
    find_values(columns, &task->task);
    for (size_t i = 0; i < FIXED; i++) {
        if (!strcmp(fixed[i].name, ARGS_BEFORE))
            for (size_t k = 0; k < columns->arg_count; k++) {
                buf_addc(out, ',');
                add_text(out, columns->values[k].value, columns->values[k].len);
            }
        if (fixed[i].output && !columns->outputs)
            continue;
        if (i)
            buf_addc(out, ',');
        fixed[i].cell(out, &row);
    }
    buf_adds(out, "\r\n");
    row_free(&row);
}

/* --- JSON ---------------------------------------------------------------------------------------
 */

static json_t *args_json(const struct task *task) {
    json_t *args = json_object();
    for (size_t i = 0; i < task->option_count; i++) {
        size_t len;
        struct slice value;
        if (task->options[i].tag != OPT_ARG)
            continue;
        split_arg(&task->options[i], &len, &value);
        json_t *name = print_json_text(task->options[i].value, len);
        json_object_set_new(args, json_string_value(name), view_slice_json(value));
        json_decref(name);
    }
    return args;
}

static json_t *number_or_null(bool known, double number) {
    return known ? json_real(number) : json_null();
}

static json_t *text_or_null(const struct task *task, enum task_option_tag tag) {
    const struct task_option *option = task_option(task, tag);
    return option ? print_json_text(option->value, option->len) : json_null();
}

static void add_placement(json_t *o, const struct task *task) {
    int64_t milli = task_option_number(task, OPT_GPU, -1);
    int64_t bytes = task_option_number(task, OPT_GPU_MEM, -1);
    json_object_set_new(o, "gpu", number_or_null(milli >= 0, (double)milli / 1000));
    json_object_set_new(o, "gpu_mem",
                        number_or_null(bytes >= 0, (double)bytes / (double)(UINT64_C(1) << 30)));
    json_object_set_new(o, "labels", text_or_null(task, OPT_LABELS));
    json_object_set_new(o, "limit", text_or_null(task, OPT_LIMIT));
    json_object_set_new(o, "pin", text_or_null(task, OPT_PIN));
}

static json_t *signal_json(const struct row *row) {
    struct buf text = BUF_INIT;
    cell_signal(&text, row);
    json_t *signal = text.len ? json_string(text.data) : json_null();
    buf_free(&text);
    return signal;
}

static json_t *worker_json(const struct row *row) {
    struct slice name = row->task->worker.len ? row->task->worker : row->entry.worker;
    return name.len ? view_slice_json(name) : json_null();
}

void export_json_row(const struct export_columns *columns, const struct store_task *task,
                     struct buf *out) {
    struct row row;
    row_init(&row, columns, task);
    const struct task_head *head = &task->head;
    const struct try_entry *entry = &row.entry;
    const struct task_option *name = task_option(&task->task, OPT_NAME);
    bool exited = has_status(&row) && !entry->signal;
    bool automatic = head->mem_bytes == TASK_MEM_AUTO;
    json_t *o = json_object();
    json_object_set_new(o, "id", json_string(task->id));
    json_object_set_new(o, "name", name ? print_json_text(name->value, name->len) : json_null());
    json_object_set_new(o, "state", json_string(task_state_name((enum task_state)head->state)));
    json_object_set_new(o, "type", json_string(task_type_name(task->task.type)));
    json_object_set_new(o, "priority", json_integer(head->priority));
    json_object_set_new(o, "min_dram",
                        automatic
                            ? json_string("auto")
                            : json_real((double)head->mem_bytes / (double)(UINT64_C(1) << 30)));
    json_object_set_new(o, "min_cpu", json_real((double)head->mcpu / 1000));
    add_placement(o, &task->task);
    json_object_set_new(o, "command", print_json_text(task->task.params, task->task.params_len));
    json_object_set_new(o, "args", args_json(&task->task));
    json_object_set_new(o, "tries", json_integer(head->tries));
    json_object_set_new(o, "exit_code", exited ? json_integer(entry->exit_code) : json_null());
    json_object_set_new(o, "signal", signal_json(&row));
    json_object_set_new(o, "worker", worker_json(&row));
    json_object_set_new(o, "start", view_time_json(entry->start_ms));
    json_object_set_new(o, "end", view_time_json(entry->end_ms));
    json_object_set_new(o, "wall_s", number_or_null(row.tried, (double)entry->wall_us / 1e6));
    json_object_set_new(o, "user_s", number_or_null(row.tried, (double)entry->user_us / 1e6));
    json_object_set_new(o, "system_s", number_or_null(row.tried, (double)entry->system_us / 1e6));
    json_object_set_new(o, "max_rss_bytes",
                        entry->maxrss_kib ? json_integer((json_int_t)entry->maxrss_kib * 1024)
                                          : json_null());
    bool io = io_known(&row);
    json_object_set_new(o, "read_bytes",
                        io ? json_integer((json_int_t)entry->read_bytes) : json_null());
    json_object_set_new(o, "write_bytes",
                        io ? json_integer((json_int_t)entry->write_bytes) : json_null());
    for (int i = 0; columns->outputs && i < 2; i++)
        json_object_set_new(o, i ? "stderr" : "stdout",
                            row.has_output ? view_slice_json(row.output.stream[i].bytes)
                                           : json_null());
    json_object_set_new(o, "reason",
                        entry->reason.len ? view_slice_json(entry->reason) : json_null());
    const size_t flags = JSON_COMPACT | JSON_REAL_PRECISION(15);
    size_t need = json_dumpb(o, NULL, 0, flags);
    buf_reserve(out, need);
    out->len += json_dumpb(o, out->data + out->len, need, flags);
    buf_addc(out, '\n');
    json_decref(o);
    row_free(&row);
}
