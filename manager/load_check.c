#include "manager/load_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/refs.h"
#include "manager/interrupt.h"
#include "manager/progress.h"

struct check {
    struct session *session;
    struct taskfile *file;
    enum load_check_refs mode;
    struct refs refs;
    struct progress *progress;
    uint64_t tasks, bad;
    uint64_t bad_line; /* the last error, so that one directive's is told once */
    size_t bad_column;
    struct buf error, lines;
};

static void tell(struct check *c, uint64_t line, size_t column, const char *text) {
    if (c->bad && line == c->bad_line && column == c->bad_column)
        return;
    c->bad_line = line;
    c->bad_column = column;
    if (c->bad++ >= LOAD_CHECK_SHOWN)
        return;
    progress_hide(c->progress);
    /* A line of its own form, which editors find the place by. */
    fprintf(stderr, "%s:%" PRIu64 ":%zu: %s\n", taskfile_name(c->file), line, column, text);
}

/* False when Redis failed; c->error says why. */
static bool check_refs(struct check *c, const struct task *task) {
    buf_clear(&c->error);
    buf_clear(&c->lines);
    enum refs_result result = refs_resolve(&c->refs, task, &c->lines, &c->error);
    if (result == REFS_UNKNOWN && !c->refs.store && c->mode == LOAD_CHECK_ASIDE) {
        buf_clear(&c->error);
        buf_clear(&c->lines);
        c->refs.store = session_store(c->session);
        if (!c->refs.store)
            return false;
        result = refs_resolve(&c->refs, task, &c->lines, &c->error);
    }
    if (result == REFS_UNKNOWN) {
        bool any = strncmp(c->error.data, "after_any", strlen("after_any")) == 0;
        struct taskfile_place place = taskfile_place(c->file, any ? OPT_AFTER_ANY : OPT_AFTER);
        tell(c, place.line, place.column, c->error.data);
    }
    refs_define(&c->refs, task);
    return result != REFS_FAILED;
}

/* False when it cannot go on; c->error says why, or it has been printed. */
static bool read_all(struct check *c) {
    struct task task;
    for (;;) {
        switch (taskfile_next(c->file, &task)) {
        case TASKFILE_END:
            return true;
        case TASKFILE_TASK:
            progress_set(c->progress, ++c->tasks);
            if (c->mode != LOAD_CHECK_LINES && !check_refs(c, &task))
                return false;
            break;
        case TASKFILE_ERROR:
            tell(c, taskfile_error(c->file)->line, taskfile_error(c->file)->column,
                 taskfile_error(c->file)->text);
            break;
        case TASKFILE_FAILED:
            buf_clear(&c->error);
            buf_addf(&c->error, "%s: %s", taskfile_name(c->file), taskfile_error(c->file)->text);
            return false;
        }
        if (interrupt_caught()) {
            buf_clear(&c->error);
            buf_adds(&c->error, "interrupted before anything was loaded");
            return false;
        }
    }
}

static int judge(const struct check *c, bool read) {
    const char *name = taskfile_name(c->file);
    if (c->bad > LOAD_CHECK_SHOWN)
        fprintf(stderr, "%s: and %" PRIu64 " more\n", name, c->bad - LOAD_CHECK_SHOWN);
    if (!read && c->error.len)
        session_error(c->session, "%s", c->error.data);
    if (c->bad)
        session_error(c->session, "%s has %" PRIu64 " error%s; nothing was loaded", name, c->bad,
                      c->bad == 1 ? "" : "s");
    if (interrupt_caught())
        return interrupt_exit();
    return read && !c->bad ? EXIT_DONE : EXIT_FAILED;
}

int load_check(struct session *session, struct taskfile *file, enum load_check_refs mode, bool bar,
               uint64_t *tasks) {
    struct check *c = xcalloc(1, sizeof *c);
    *c = (struct check){
        .session = session, .file = file, .mode = mode, .error = BUF_INIT, .lines = BUF_INIT};
    refs_init(&c->refs, mode == LOAD_CHECK_QUEUE ? session_store(session) : NULL);
    c->progress = progress_new(stderr, "checking", 0, session->quiet || !bar);
    taskfile_rewind(file);
    bool read = read_all(c);
    progress_free(c->progress);
    int code = judge(c, read);
    *tasks = c->tasks;
    taskfile_rewind(file);
    refs_free(&c->refs);
    buf_free(&c->error);
    buf_free(&c->lines);
    free(c);
    return code;
}
