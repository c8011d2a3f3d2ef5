/*
 * load_check.c
 *
 * DESIGN
 * References that the file does not define are laid aside until there are enough questions for the
 * queue to be worth a round trip. So their errors come later than those of the lines after them:
 * the first errors, by their place, are kept and told at the end.
 */
#include "manager/load_check.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "common/store.h"
#include "manager/interrupt.h"
#include "manager/progress.h"

#define ASIDE_MOST       2000 /* references, */
#define ASIDE_BYTES_MOST (256u * 1024u)

struct bad {
    struct taskfile_place place;
    char *text; /* owned */
};

/* A reference that the queue is to be asked for; its texts lie in check.texts, own name first. */
struct aside {
    struct taskfile_place place;
    size_t own_len, len;
    bool any;
};

struct check {
    struct session *session;
    struct taskfile *file;
    enum load_check_refs mode;
    struct refs *refs;
    struct progress *progress;
    uint64_t tasks, bad;
    struct bad shown[LOAD_CHECK_SHOWN]; /* the first ones, by their place */
    size_t shown_count;
    /* The last errors, so that one directive's is told once. */
    struct taskfile_place bad_line, bad_ref;
    struct aside aside[ASIDE_MOST];
    size_t aside_count;
    struct buf texts, error;
};

/* --- errors -------------------------------------------------------------------------------------
 */

static bool is_after(struct taskfile_place a, struct taskfile_place b) {
    return a.line != b.line ? a.line > b.line : a.column > b.column;
}

static void tell(struct check *c, struct taskfile_place place, struct taskfile_place *last,
                 const char *text) {
    if (last->line == place.line && last->column == place.column)
        return;
    *last = place;
    c->bad++;
    size_t at = c->shown_count;
    while (at > 0 && is_after(c->shown[at - 1].place, place))
        at--;
    if (at == LOAD_CHECK_SHOWN)
        return;
    if (c->shown_count == LOAD_CHECK_SHOWN)
        free(c->shown[--c->shown_count].text);
    memmove(&c->shown[at + 1], &c->shown[at], (c->shown_count - at) * sizeof *c->shown);
    c->shown[at] = (struct bad){place, xstrdup(text)};
    c->shown_count++;
}

/* --- references ---------------------------------------------------------------------------------
 */

static void judge_ref(struct check *c, const struct ref *ref, struct taskfile_place place) {
    struct buf text = BUF_INIT;
    if (refs_is_known(c->refs, ref))
        return;
    refs_tell_unknown(ref, &text);
    tell(c, place, &c->bad_ref, text.data);
    buf_free(&text);
}

/* Asks the queue for what was laid aside. False when Redis failed; c->error says why. */
static bool settle(struct check *c) {
    const char *at = c->texts.data;
    buf_clear(&c->error);
    if (!refs_ask(c->refs, &c->error))
        return false;
    for (size_t i = 0; i < c->aside_count; i++) {
        const struct aside *a = &c->aside[i];
        judge_ref(c, &(struct ref){at, a->own_len, a->any, at + a->own_len, a->len}, a->place);
        at += a->own_len + a->len;
    }
    c->aside_count = 0;
    buf_clear(&c->texts);
    return true;
}

static bool check_ref(const struct ref *ref, void *arg) {
    struct check *c = arg;
    if (refs_is_defined(c->refs, ref))
        return true;
    if (!c->refs->store && c->mode == LOAD_CHECK_ASIDE &&
        !(c->refs->store = session_store(c->session))) {
        buf_clear(&c->error); /* it was told */
        return false;
    }
    struct taskfile_place place = taskfile_place(c->file, ref->any ? OPT_AFTER_ANY : OPT_AFTER);
    if (!refs_want(c->refs, ref) && !c->aside_count) {
        judge_ref(c, ref, place);
        return true;
    }
    c->aside[c->aside_count++] = (struct aside){place, ref->own_len, ref->len, ref->any};
    buf_add(&c->texts, ref->own, ref->own_len);
    buf_add(&c->texts, ref->text, ref->len);
    if (refs_questions(c->refs) >= STORE_BATCH || c->aside_count == ASIDE_MOST ||
        c->texts.len > ASIDE_BYTES_MOST)
        return settle(c);
    return true;
}

static bool check_refs(struct check *c, const struct task *task) {
    if (!refs_walk(task, check_ref, c))
        return false;
    refs_define(c->refs, task);
    return true;
}

/* --- the file -----------------------------------------------------------------------------------
 */

/* False when it cannot go on; c->error says why, or it has been printed. */
static bool read_all(struct check *c) {
    struct task task;
    for (;;) {
        switch (taskfile_next(c->file, &task)) {
        case TASKFILE_END:
            return c->mode == LOAD_CHECK_LINES || settle(c);
        case TASKFILE_TASK:
            progress_set(c->progress, ++c->tasks);
            if (c->mode != LOAD_CHECK_LINES && !check_refs(c, &task))
                return false;
            break;
        case TASKFILE_ERROR:
            tell(c,
                 (struct taskfile_place){taskfile_error(c->file)->line,
                                         taskfile_error(c->file)->column},
                 &c->bad_line, taskfile_error(c->file)->text);
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
    for (size_t i = 0; i < c->shown_count; i++) /* of a form which editors find the place by */
        fprintf(stderr, "%s:%" PRIu64 ":%zu: %s\n", name, c->shown[i].place.line,
                c->shown[i].place.column, c->shown[i].text);
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
               struct refs *refs, uint64_t *tasks) {
    struct check *c = xcalloc(1, sizeof *c);
    c->session = session;
    c->file = file;
    c->mode = mode;
    c->refs = refs;
    c->error = c->texts = (struct buf)BUF_INIT;
    c->progress = progress_new(stderr, "checking", 0, session->quiet || !bar);
    taskfile_rewind(file);
    bool read = read_all(c);
    progress_free(c->progress);
    int code = judge(c, read);
    *tasks = c->tasks;
    taskfile_rewind(file);
    if (refs)
        refs_settle(refs);
    for (size_t i = 0; i < c->shown_count; i++)
        free(c->shown[i].text);
    buf_free(&c->error);
    buf_free(&c->texts);
    free(c);
    return code;
}
