#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "manager/command.h"
#include "manager/follow.h"
#include "manager/output.h"
#include "manager/print.h"
#include "manager/view.h"

static const struct opt options[] = {
    {.name = "follow",
     .kind = KIND_BOOL,
     .letter = 'f',
     .preset = "false",
     .help = "go on while it runs, from wherever it runs; exits 1 unless it finishes"},
    {.name = "stream",
     .kind = KIND_CHOICE,
     .metavar = "STREAM",
     .preset = "both",
     .choices = "both|stdout|stderr",
     .help = "which of its streams to print"},
    OPT_END};

/* What is printed: bit 0 stdout, bit 1 stderr. In the order of the choices. */
static const unsigned stream_bits[] = {3, 1, 2};

static const char *const stream_names[] = {"stdout", "stderr"};

/* Where the whole of an output lies, if a worker kept it. */
static void add_place(struct buf *text, struct slice log, uint16_t try_number) {
    struct try_entry entry;
    while (try_log_next(&log, &entry)) {
        if (entry.try_number != try_number || !entry.path.len)
            continue;
        struct slice rest = entry.path; /* a line a stream */
        while (rest.len) {
            const char *newline = memchr(rest.data, '\n', rest.len);
            size_t len = newline ? (size_t)(newline - rest.data) : rest.len;
            buf_addf(text, "; all of it is kept in %.*s:%.*s", (int)entry.node.len, entry.node.data,
                     (int)len, rest.data);
            rest.data += len + (newline != NULL);
            rest.len -= len + (newline != NULL);
        }
    }
}

static uint16_t last_try(const struct store_task *task) {
    struct try_entry entry;
    return try_log_last(task->log, &entry) ? entry.try_number : 0;
}

static void note_cut(const struct session *session, const struct store_task *task,
                     const struct output *output, unsigned bits) {
    for (unsigned i = 0; i < 2; i++) {
        const struct output_stream *stream = &output->stream[i];
        if (!stream->cut || !(bits & 1u << i))
            continue;
        struct buf place = BUF_INIT;
        add_place(&place, task->log, output->try_number);
        session_note(session, "%s was %llu bytes long; only its first and last part are here%s",
                     stream_names[i], (unsigned long long)stream->whole_bytes, place.data);
        buf_free(&place);
    }
}

static int print_json_output(const struct session *session, const struct store_task *task,
                             const struct output *output, unsigned bits) {
    json_t *object =
        json_pack("{s:s, s:s, s:i}", "id", task->id, "state",
                  task_state_name((enum task_state)task->head.state), "try", output->try_number);
    for (unsigned i = 0; i < 2; i++) {
        const struct output_stream *stream = &output->stream[i];
        if (!(bits & 1u << i))
            continue;
        json_object_set_new(object, stream_names[i], view_slice_json(stream->bytes));
        struct buf key = BUF_INIT;
        buf_addf(&key, "%s_bytes", stream_names[i]);
        json_object_set_new(object, key.data, json_integer((json_int_t)stream->whole_bytes));
        buf_clear(&key);
        buf_addf(&key, "%s_cut", stream_names[i]);
        json_object_set_new(object, key.data, json_boolean(stream->cut));
        buf_free(&key);
    }
    print_json(session->out, object);
    return EXIT_DONE;
}

/* The task has no output in Redis: why. */
static int explain_none(const struct session *session, const struct store_task *task) {
    enum task_state state = (enum task_state)task->head.state;
    struct buf place = BUF_INIT;
    if (task->has_output) {
        add_place(&place, task->log, last_try(task));
        session_error(session, "%s: its output was dropped to make room (keep_output_bytes)%s",
                      task->id, place.data);
        buf_free(&place);
        return EXIT_FAILED;
    }
    buf_free(&place);
    if (state == TASK_IN_PROGRESS)
        session_error(session, "%s runs on %.*s; -f follows it", task->id, (int)task->worker.len,
                      task->worker.data);
    else if (!last_try(task) && state != TASK_FINISHED)
        session_error(session, "%s has not run (%s)%s", task->id, task_state_name(state),
                      state == TASK_CANCELLED || state == TASK_FAILED ? "" : "; -f waits for it");
    else if (session->json)
        return print_json_output(session, task, &(struct output){.try_number = last_try(task)}, 0);
    else
        return EXIT_DONE; /* it printed nothing */
    return EXIT_FAILED;
}

static int print_output(const struct session *session, const struct store_task *task,
                        unsigned bits) {
    struct output output;
    int code = EXIT_DONE;
    if (!task->output.len)
        return explain_none(session, task);
    if (!output_read(&output, task->output)) {
        session_error(session, "%s: its output in Redis is damaged", task->id);
        code = EXIT_FAILED;
    } else if (session->json) {
        code = print_json_output(session, task, &output, bits);
    } else {
        if (task->head.state != TASK_FINISHED && task->head.state != TASK_FAILED &&
            task->head.state != TASK_CANCELLED)
            session_note(session, "this is from try %u; the task is %s", output.try_number,
                         task_state_name((enum task_state)task->head.state));
        for (unsigned i = 0; i < 2; i++)
            if (bits & 1u << i)
                fwrite(output.stream[i].bytes.data, 1, output.stream[i].bytes.len,
                       i ? stderr : session->out);
        fflush(session->out);
        note_cut(session, task, &output, bits);
    }
    output_free(&output);
    return code;
}

static int task_output(struct session *session, const struct args *args) {
    struct store *store = session_store(session);
    struct store_detail detail;
    struct buf error = BUF_INIT;
    task_id_t id;
    if (!store || !view_find(session, store, args->operands[0], id))
        return EXIT_FAILED;
    unsigned bits = stream_bits[args_number(args, "stream")];
    if (args_bool(args, "follow"))
        return follow_task(session, store, id, bits);
    int code = EXIT_FAILED;
    if (store_detail(store, id, &detail, &error))
        code = print_output(session, &detail.task, bits);
    else
        session_error(session, "%s", error.len ? error.data : "the task was just removed");
    store_detail_free(&detail);
    buf_free(&error);
    return code;
}

static bool check(const struct args *args, struct buf *error) {
    if (args_bool(args, "follow") && args_bool(args, "json")) {
        buf_adds(error, "--follow goes without --json: it gives the bytes as they come");
        return false;
    }
    return true;
}

const struct verb verb_task_output = {
    .name = "taskOutput",
    .operands = "ID",
    .min_operands = 1,
    .max_operands = 1,
    .summary = "what a task printed",
    .about = "stdout goes to stdout and stderr to stderr, byte for byte. Of long outputs the "
             "first and the last part are kept with the result; where the whole of it is "
             "(which machine, which file) is told on stderr. With --json, bytes that are not "
             "UTF-8 become U+FFFD.\n\n"
             "-f waits for a task that has not started, follows it through its tries, and exits 0 "
             "when it has finished, 1 when it failed or was cancelled.\n\n"
             "An ID may be shortened as long as only one task's begins so.\n\n"
             "  redisManager taskOutput -f 3k7x",
    .group = GROUP_LOOK,
    .flags = VERB_ANSWERS,
    .options = {options},
    .check = check,
    .run = task_output,
};
