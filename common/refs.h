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
 * what the file lacks. Answers of the queue are remembered, in 16 to 28 bytes each.
 *
 * loadTask's check and its load both go through the same input: refs_restart between the two.
 */
#ifndef DISTCOMP_REFS_H
#define DISTCOMP_REFS_H

#include <stdbool.h>

#include "common/buf.h"
#include "common/nameset.h"
#include "common/task.h"

struct store;

struct refs {
    struct store *store;          /* borrowed; NULL: no queue is asked, as if it were empty */
    struct nameset defined;       /* names of this input so far, and those they lie in */
    struct nameset known, absent; /* the queue's answers; n:NAME or t:ID */
    /* Called before the queue is asked, when answers may be outstanding on its link; or NULL. */
    bool (*before_ask)(void *arg, struct buf *error);
    void *before_ask_arg;
};

enum refs_result { REFS_OK, REFS_UNKNOWN, REFS_FAILED };

void refs_init(struct refs *refs, struct store *store);
void refs_free(struct refs *refs);
/* For another pass over the same input: forgets what was defined, not what the queue answered. */
void refs_restart(struct refs *refs);

/*
 * Appends the task's references to lines, one a line: a|e (after, after_any), n|t (name, task),
 * ':', what it is. REFS_UNKNOWN: one is not there, and error says which; REFS_FAILED: Redis failed.
 * The lines are what load.lua takes.
 */
enum refs_result refs_resolve(struct refs *refs, const struct task *task, struct buf *lines,
                              struct buf *error);
/* Tasks that follow may refer to this one's name. Call it after refs_resolve of the same task. */
void refs_define(struct refs *refs, const struct task *task);

#endif
