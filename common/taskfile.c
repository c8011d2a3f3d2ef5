#include "common/taskfile.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/directive.h"
#include "common/field.h"
#include "common/lines.h"
#include "common/option.h"
#include "common/taskjson.h"
#include "common/taskline.h"

struct taskfile {
    char *name;
    struct lines lines;
    bool jsonl;

    struct options sticky; /* set by directives */
    bool sticky_good;      /* options_check has passed since the last directive */
    struct words words;
    struct taskfile_place after, after_any; /* directives that set them last */
    const char *line;                       /* the one read last, and its length */
    size_t line_len;
    struct taskjson *json;

    char *batch; /* or NULL */
    size_t batch_len;
    struct buf full_name; /* BATCH/X of the current task */

    struct task current;      /* the line that is being repeated */
    uint64_t repeat, repeats; /* the index handed out last, and the count; equal when done */
    char index[24];

    struct taskfile_error error;
    struct buf error_text;
};

bool taskfile_format_parse(const char *name, size_t len, enum taskfile_format *format) {
    static const char *const names[] = {
        [TASKFILE_AUTO] = "auto", [TASKFILE_LINE] = "line", [TASKFILE_JSONL] = "jsonl"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == len && memcmp(names[i], name, len) == 0) {
            *format = (enum taskfile_format)i;
            return true;
        }
    }
    return false;
}

static void skip_bom(const char **line, size_t *len) {
    if (*len >= 3 && memcmp(*line, "\xef\xbb\xbf", 3) == 0) {
        *line += 3;
        *len -= 3;
    }
}

static bool is_blank(const char *line, size_t len) {
    while (len && (line[len - 1] == ' ' || line[len - 1] == '\t'))
        len--;
    return len == 0;
}

static bool ends_in(const char *path, const char *suffix) {
    size_t len = strlen(path), suffix_len = strlen(suffix);
    return len >= suffix_len && strcmp(path + len - suffix_len, suffix) == 0;
}

/* Whether the first line that is not blank begins with '{', which no line of the line form does. */
static bool looks_like_json(struct lines *lines) {
    const char *line;
    size_t len;
    char first = '\0';
    while (!first && lines_next(lines, &line, &len) == LINES_LINE) {
        if (lines->number == 1)
            skip_bom(&line, &len);
        for (size_t i = 0; i < len && !first; i++)
            if (line[i] != ' ' && line[i] != '\t')
                first = line[i];
    }
    lines_rewind(lines);
    return first == '{';
}

struct taskfile *taskfile_open(const char *path, enum taskfile_format format, struct buf *error) {
    struct taskfile *f = xcalloc(1, sizeof *f);
    f->sticky = (struct options)OPTIONS_INIT;
    f->words = (struct words)WORDS_INIT;
    f->full_name = (struct buf)BUF_INIT;
    f->error_text = (struct buf)BUF_INIT;
    f->name = xstrdup(strcmp(path, "-") == 0 ? "standard input" : path);
    struct buf why = BUF_INIT;
    if (!lines_open(&f->lines, path, &why)) {
        buf_addf(error, "%s: %s", f->name, why.data);
        buf_free(&why);
        taskfile_close(f);
        return NULL;
    }
    buf_free(&why);
    f->lines.line_max = TASKFILE_LINE_MAX;
    f->jsonl = format == TASKFILE_JSONL ||
               (format == TASKFILE_AUTO && (ends_in(path, ".jsonl") || looks_like_json(&f->lines)));
    if (f->jsonl)
        f->lines.line_max = TASKFILE_JSONL_MAX;
    f->json = taskjson_new();
    taskfile_rewind(f);
    return f;
}

void taskfile_close(struct taskfile *f) {
    if (!f)
        return;
    lines_close(&f->lines);
    options_free(&f->sticky);
    words_free(&f->words);
    taskjson_free(f->json);
    buf_free(&f->full_name);
    buf_free(&f->error_text);
    free(f->batch);
    free(f->name);
    free(f);
}

void taskfile_rename(struct taskfile *f, const char *name) {
    free(f->name);
    f->name = xstrdup(name);
}

bool taskfile_set_batch(struct taskfile *f, const char *name, struct buf *error) {
    size_t len = name ? strlen(name) : 0;
    if (name && !field_name("batch name", name, len, error))
        return false;
    free(f->batch);
    f->batch = name ? xstrdup(name) : NULL;
    f->batch_len = len;
    return true;
}

void taskfile_rewind(struct taskfile *f) {
    lines_rewind(&f->lines);
    options_clear(&f->sticky);
    f->sticky_good = true;
    f->repeat = f->repeats = 0;
    f->error = (struct taskfile_error){0, 0, ""};
}

const char *taskfile_name(const struct taskfile *f) {
    return f->name;
}

uint64_t taskfile_line(const struct taskfile *f) {
    return f->lines.number;
}

uint64_t taskfile_bytes(const struct taskfile *f) {
    return lines_bytes(&f->lines);
}

uint64_t taskfile_size(const struct taskfile *f) {
    return f->lines.size;
}

const struct taskfile_error *taskfile_error(const struct taskfile *f) {
    return &f->error;
}

/* Reports what error_text holds. */
static enum taskfile_result fail(struct taskfile *f, enum taskfile_result result, size_t column) {
    f->error.line = result == TASKFILE_FAILED ? 0 : f->lines.number;
    f->error.column = column;
    f->error.text = f->error_text.data;
    return result;
}

static bool apply_batch(struct taskfile *f, struct task *task) {
    const struct task_option *name = task_option(task, OPT_NAME);
    if (!name) {
        memmove(&task->options[1], &task->options[0], task->option_count * sizeof task->options[0]);
        task->option_count++;
        task->options[0] = (struct task_option){OPT_NAME, f->batch, f->batch_len};
    } else {
        buf_clear(&f->full_name);
        buf_add(&f->full_name, f->batch, f->batch_len);
        buf_addc(&f->full_name, '/');
        buf_add(&f->full_name, name->value, name->len);
        task->options[0].value = f->full_name.data;
        task->options[0].len = f->full_name.len;
        if (f->full_name.len > TASK_NAME_MAX)
            return field_name("batch and name", f->full_name.data, f->full_name.len,
                              &f->error_text);
    }
    return option_check_own_name(task, &f->error_text);
}

static struct task_option *repeat_option(struct task *task) {
    size_t i = 0;
    while (i < task->option_count && task->options[i].tag < OPT_REPEAT)
        i++;
    return i < task->option_count && task->options[i].tag == OPT_REPEAT ? &task->options[i] : NULL;
}

static void copy_task(struct task *to, const struct task *from) {
    memcpy(to, from, offsetof(struct task, options));
    memcpy(to->options, from->options, from->option_count * sizeof from->options[0]);
    to->option_count = from->option_count;
}

/* Takes repeat=1 away; remembers the task when there is more to come. */
static void begin_repeat(struct taskfile *f, struct task *task) {
    struct task_option *option = repeat_option(task);
    if (!option)
        return;
    uint64_t count = (uint64_t)task_option_number(task, OPT_REPEAT, 1);
    if (count > 1) {
        copy_task(&f->current, task);
        f->repeat = 0;
        f->repeats = count;
        return;
    }
    task->option_count--;
    memmove(option, option + 1,
            (size_t)(task->options + task->option_count - option) * sizeof *option);
}

static enum taskfile_result next_repeat(struct taskfile *f, struct task *task) {
    copy_task(task, &f->current);
    struct task_option *option = repeat_option(task);
    int len = snprintf(f->index, sizeof f->index, "%" PRIu64, ++f->repeat);
    option->value = f->index;
    option->len = (size_t)len;
    return TASKFILE_TASK;
}

static enum taskfile_result finish(struct taskfile *f, struct task *task) {
    if (f->batch && !apply_batch(f, task))
        return fail(f, TASKFILE_ERROR, 1);
    if (task->option_count)
        begin_repeat(f, task);
    return f->repeats ? next_repeat(f, task) : TASKFILE_TASK;
}

static void note_places(struct taskfile *f) {
    for (size_t i = 0; i < f->words.count; i++) {
        const char *word = f->words.argv[i];
        bool any = strncmp(word, "after_any=", 10) == 0;
        if (!any && strncmp(word, "after=", 6) != 0)
            continue;
        struct taskfile_place *place = any ? &f->after_any : &f->after;
        place->line = f->lines.number;
        place->column = directive_column(f->words.list[i].start) + strcspn(word, "=") + 1;
    }
}

struct taskfile_place taskfile_place(const struct taskfile *f, enum task_option_tag tag) {
    bool any = tag == OPT_AFTER_ANY;
    if (!f->jsonl)
        return any ? f->after_any : f->after;
    return (struct taskfile_place){
        f->lines.number, taskjson_column(f->line, f->line_len, any ? "after_any" : "after")};
}

static bool parse_line(struct taskfile *f, const char *line, size_t len, struct task *task,
                       size_t *column) {
    if (f->jsonl)
        return taskjson_parse(f->json, line, len, task, column, &f->error_text);
    if (!taskline_parse(line, len, task, column, &f->error_text))
        return false;
    if (!f->sticky_good && !options_check(&f->sticky, &f->error_text)) {
        *column = 1;
        return false;
    }
    f->sticky_good = true;
    options_fill(&f->sticky, task);
    if (option_check_task(task, &f->error_text))
        return true;
    *column = taskline_column(line, len, 2);
    return false;
}

enum taskfile_result taskfile_next(struct taskfile *f, struct task *task) {
    const char *line;
    size_t len, column = 1;
    if (f->repeat < f->repeats)
        return next_repeat(f, task);
    f->repeat = f->repeats = 0;
    buf_clear(&f->error_text);
    for (;;) {
        switch (lines_next(&f->lines, &line, &len)) {
        case LINES_LINE:
            break;
        case LINES_END:
            return TASKFILE_END;
        case LINES_TOO_LONG:
            buf_addf(&f->error_text, "line too long, expected at most %zu bytes",
                     f->lines.line_max);
            return fail(f, TASKFILE_ERROR, f->lines.line_max + 1);
        case LINES_FAILED:
            buf_addf(&f->error_text, "cannot read on after line %" PRIu64 ": %s", f->lines.number,
                     strerror(errno));
            return fail(f, TASKFILE_FAILED, 0);
        }
        if (f->lines.number == 1)
            skip_bom(&line, &len);
        const char *nul = len ? memchr(line, '\0', len) : NULL;
        if (nul) {
            buf_adds(&f->error_text, "a NUL byte, expected text (UTF-16 and binary files are not)");
            return fail(f, TASKFILE_ERROR, (size_t)(nul - line) + 1);
        }
        if (len == 0 || is_blank(line, len))
            continue;
        if (f->jsonl || *line != '#')
            break;
        if (!directive_is(line, len))
            continue;
        f->sticky_good = false;
        if (!directive_apply(line, len, &f->sticky, &f->words, &column, &f->error_text))
            return fail(f, TASKFILE_ERROR, column);
        note_places(f);
    }
    f->line = line;
    f->line_len = len;
    if (!parse_line(f, line, len, task, &column))
        return fail(f, TASKFILE_ERROR, column);
    return finish(f, task);
}
