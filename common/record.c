/* record.c - a task as one string of bytes: task_record and task_decode of common/task.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/task.h"

static void record_impossible(const char *what) __attribute__((noreturn));

/* The parsers refuse such tasks (option.h, task_check); one that comes this far is a bug of ours.
 */
static void record_impossible(const char *what) {
    fprintf(stderr, "distcomp: cannot pack a task: %s\n", what);
    abort();
}

static void add_short(struct buf *out, const char *bytes, size_t len, const char *what) {
    if (len > TASK_NAME_MAX)
        record_impossible(what);
    buf_add_be(out, len, 1);
    buf_add(out, bytes, len);
}

void task_record(const struct task *task, enum task_state state, uint64_t loaded_ms,
                 struct buf *out) {
    unsigned char head[TASK_HEAD_BYTES] = {0};
    buf_reserve(out, TASK_HEAD_BYTES + 8 + task->params_len);
    size_t start = out->len;
    buf_add_be(out, (uint64_t)state, 1);
    buf_add_be(out, 0, 3); /* flags, generation */
    buf_add_be(out, task->priority, 4);
    buf_add_be(out, task->mem_bytes, 6);
    buf_add_be(out, task_mem_step(task->mem_bytes), 1);
    buf_add_be(out, task->mcpu, 4);
    buf_add(out, head, 8); /* tries, failures, losses, returns */
    buf_add_be(out, loaded_ms, 6);
    if (out->len - start != TASK_HEAD_BYTES)
        record_impossible("the head has the wrong size");

    size_t requires = out->len;
    buf_addc(out, 0);
    task_requires(task, out);
    size_t requires_len = out->len - requires - 1;
    if (requires_len > TASK_NAME_MAX)
        record_impossible("its requirements are longer than 255 bytes");
    out->data[requires] = (char)(unsigned char)requires_len;

    const struct task_option *name = task_option(task, OPT_NAME);
    add_short(out, name ? name->value : "", name ? name->len : 0,
              "its name is longer than 255 bytes");
    buf_add_be(out, (uint64_t)task->type, 1);
    buf_add_be(out, task->option_count - (name ? 1 : 0), 1);
    for (size_t i = 0; i < task->option_count; i++) {
        const struct task_option *option = &task->options[i];
        if (option->tag == OPT_NAME)
            continue;
        if (option->len > UINT32_MAX)
            record_impossible("an option is longer than 4 GiB");
        buf_add_be(out, (uint64_t)option->tag, 1);
        buf_add_be(out, option->len, 4);
        buf_add(out, option->value, option->len);
    }
    buf_add(out, task->params, task->params_len);
}

static bool decode_head(struct cursor *c, struct task_head *head) {
    head->state = (uint8_t)cursor_be(c, 1);
    head->flags = (uint8_t)cursor_be(c, 1);
    head->generation = (uint16_t)cursor_be(c, 2);
    head->priority = (uint32_t)cursor_be(c, 4);
    head->mem_bytes = cursor_be(c, 6);
    head->step = (uint8_t)cursor_be(c, 1);
    head->mcpu = (uint32_t)cursor_be(c, 4);
    head->tries = (uint16_t)cursor_be(c, 2);
    head->failures = (uint16_t)cursor_be(c, 2);
    head->losses = (uint16_t)cursor_be(c, 2);
    head->returns = (uint16_t)cursor_be(c, 2);
    head->loaded_ms = cursor_be(c, 6);
    return !c->failed && head->state >= 1 && head->state < TASK_STATE_COUNT;
}

/* Adds an option to a task; false when there are too many, or the value holds a NUL. */
static bool decode_option(struct task *task, unsigned tag, const char *value, size_t len) {
    if (task->option_count == TASK_OPTIONS_MAX || memchr(value, 0, len))
        return false;
    task->options[task->option_count++] =
        (struct task_option){(enum task_option_tag)tag, value, len};
    return true;
}

/* Options with a tag that this program does not know are kept: a newer manager wrote them. */
static bool decode_options(struct cursor *c, struct task *task) {
    unsigned last = OPT_NAME + 1;
    for (uint64_t left = cursor_be(c, 1); left > 0; left--) {
        unsigned tag = (unsigned)cursor_be(c, 1);
        size_t len = (size_t)cursor_be(c, 4);
        const char *value = cursor_bytes(c, len);
        if (!value || tag < last || !decode_option(task, tag, value, len))
            return false;
        last = tag;
    }
    return !c->failed;
}

bool task_decode(const char *record, size_t len, struct task_head *head, struct task *task) {
    struct task_head own;
    struct cursor c = cursor_make(record, len);
    if (!head)
        head = &own;
    if (!decode_head(&c, head))
        return false;
    if (!task)
        return true;
    cursor_bytes(&c, (size_t)cursor_be(&c, 1)); /* requires follows from the description */
    size_t name_len = (size_t)cursor_be(&c, 1);
    const char *name = cursor_bytes(&c, name_len);
    unsigned type = (unsigned)cursor_be(&c, 1);
    if (c.failed || type > TASK_NATIVE)
        return false;
    task->type = (enum task_type)type;
    task->priority = head->priority;
    task->mem_bytes = head->mem_bytes;
    task->mcpu = head->mcpu;
    task->option_count = 0;
    if (name_len && !decode_option(task, OPT_NAME, name, name_len))
        return false;
    if (!decode_options(&c, task))
        return false;
    task->params_len = cursor_left(&c);
    task->params = cursor_bytes(&c, task->params_len);
    return task->params_len > 0 && !memchr(task->params, 0, task->params_len);
}
