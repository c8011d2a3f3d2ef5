/*
 * verbs.h - the list of verbs, in the order of help. X(symbol): `verb_symbol` is in
 * manager/symbol.c. command.h says how to add one.
 */
#ifndef DISTCOMP_MANAGER_VERBS_H
#define DISTCOMP_MANAGER_VERBS_H

#include "manager/command.h"

/* clang-format off */
#define VERBS(X) \
    X(init_redis) \
    X(load_task) \
    X(add_task) \
    X(check_task) \
    X(check_worker) \
    X(show_task) \
    X(show_family) \
    X(task_output) \
    X(wait_task) \
    X(export_task) \
    X(cancel_task) \
    X(hold_task) \
    X(release_task) \
    X(set_task) \
    X(put_object) \
    X(get_object) \
    X(list_objects) \
    X(remove_object) \
    X(cleanup) \
    X(remove_finished_task) \
    X(move_in_progress_task_to_todo) \
    X(move_failed_task_to_todo) \
    X(drain_worker) \
    X(resume_worker) \
    X(stop_worker) \
    X(help) \
    X(completion) \
    X(manual)
/* clang-format on */

#define X(symbol) extern const struct verb verb_##symbol;
VERBS(X)
#undef X

#endif
