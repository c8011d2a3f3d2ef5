/*
 * refs.h - what `after` and `after_any` refer to: names and ids, made definite.
 *
 * DESIGN
 * A reference is looked up beside the task first, then one level up, and so on: in a task named
 * `night/clean/x`, the reference `prep` is `night/clean/x/prep`, else `night/clean/prep`, else
 * `night/prep`, else `prep`. So a file whose tasks name each other means the same under
 * `loadTask --name night`. What the task belongs to itself is passed over: it could not end.
 * All of these are looked for among the names that were defined before in the same input
 * (refs_define), then, in the same order, among those that the queue has; last, an id of a task
 * that the queue has. So what a file means does not hang on the queue, and it is asked only for
 * what the file lacks. What the queue has is remembered, in 18 to 21 bytes each.
 *
 * loadTask goes through its input twice. Its check gathers questions over many tasks (refs_want)
 * and asks them together (refs_ask); what it has learned is all that the load needs (refs_settle).
 */
#ifndef DISTCOMP_REFS_H
#define DISTCOMP_REFS_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/cmd.h"
#include "common/nameset.h"
#include "common/task.h"

struct store;

struct refs {
    struct store *store;    /* borrowed; NULL: no queue is asked, it has what is known */
    struct nameset defined; /* names of this input so far, and those they lie in */
    struct nameset known;   /* what the queue has; n:NAME or t:ID, as in the next three */
    struct nameset absent;  /* some of what it lacks, so that it is not asked at once again */
    struct nameset wanted;  /* the questions */
    struct cmd questions;
    /* Called before the queue is asked, when answers may be outstanding on its link; or NULL. */
    bool (*before_ask)(void *arg, struct buf *error);
    void *before_ask_arg;
};

enum refs_result { REFS_OK, REFS_UNKNOWN, REFS_FAILED };

void refs_init(struct refs *refs, struct store *store);
void refs_free(struct refs *refs);
/* For another pass over an input whose references have all been asked for: forgets what was
 * defined, keeps what the queue has, and asks it no more. */
void refs_settle(struct refs *refs);

/*
 * Appends the task's references to lines, one a line: a|e (after, after_any), n|t (name, task),
 * ':', what it is. REFS_UNKNOWN: one is not there, and error says which; REFS_FAILED: Redis failed.
 * The lines are what load.lua takes.
 */
enum refs_result refs_resolve(struct refs *refs, const struct task *task, struct buf *lines,
                              struct buf *error);
/* Tasks that follow may refer to this one's name. Call it after refs_resolve of the same task. */
void refs_define(struct refs *refs, const struct task *task);

/* --- one reference after the other --------------------------------------------------------------
 */

struct ref {
    const char *own; /* name of the task that has it, own_len 0: none; borrowed, as text */
    size_t own_len;
    bool any; /* after_any */
    const char *text;
    size_t len;
};
/* Calls each(ref, arg) for every reference of a task until it returns false, which it returns. */
typedef bool refs_each(const struct ref *ref, void *arg);
bool refs_walk(const struct task *task, refs_each *each, void *arg);

/* Whether the input has defined it. */
bool refs_is_defined(const struct refs *refs, const struct ref *ref);
/* Whether the queue is known to have it. */
bool refs_is_known(const struct refs *refs, const struct ref *ref);
/* Notes what the queue is to be asked for it. False: nothing, refs_is_known tells already. */
bool refs_want(struct refs *refs, const struct ref *ref);
size_t refs_questions(const struct refs *refs); /* how many there are; STORE_BATCH go at once */
bool refs_ask(struct refs *refs, struct buf *error);
/* Appends the message that a reference is nowhere. */
void refs_tell_unknown(const struct ref *ref, struct buf *error);

#endif
