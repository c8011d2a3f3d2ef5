/*
 * select.h - which tasks a verb is about: ids as operands, and filters.
 *
 * All that are given must hold; of one filter's several values, one must. No filter selects
 * everything, which a verb that changes tasks refuses unless --all says that it is meant
 * (select_require).
 *
 *   ID …            these tasks                 --state todo,held   in one of these states
 *   --name sweep    of this name, or below it   --type shell        of one of these types
 *   --include RE    command matches one         --exclude RE        command matches none
 *   --priority 4    of this priority            --worker w1         runs or last ran on this worker
 */
#ifndef DISTCOMP_MANAGER_SELECT_H
#define DISTCOMP_MANAGER_SELECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/task.h"
#include "manager/args.h"

/* Tables for the verbs that select. A verb lists those it wants; select_init asks which are there.
 */
extern const struct opt select_options[];          /* name, type, include, exclude */
extern const struct opt select_worker_options[];   /* worker */
extern const struct opt select_state_options[];    /* state */
extern const struct opt select_priority_options[]; /* priority */
extern const struct opt select_change_options[];   /* limit, dry_run */
extern const struct opt select_all_options[];      /* all */

struct select {
    char (*ids)[TASK_ID_LEN + 1]; /* sorted, each once; owned */
    size_t id_count;
    uint32_t states;         /* bit (1 << state); 0 for any */
    uint32_t types;          /* bit (1 << type); 0 for any */
    int64_t priority;        /* -1 for any */
    uint64_t limit;          /* at most so many are to be changed; 0 for all. The caller counts. */
    const char *worker;      /* NULL for any */
    bool all;                /* --all */
    bool filtered;           /* there is an id or a filter; the state alone is one too */
    const struct args *args; /* name, include, exclude are looked up in it */
};

/* Reads ids and filters, which select_check has accepted. Borrows args. */
void select_init(struct select *select, const struct args *args);
void select_free(struct select *select);

/*
 * For struct verb.check. select_check: the operands have the form of ids. select_require, for verbs
 * that change tasks: besides, an id, a filter or --all must be there, and --all not together with
 * them.
 */
bool select_check(const struct args *args, struct buf *error);
bool select_require(const struct args *args, struct buf *error);

/*
 * Whether the task is selected. `worker` is the name of the worker that runs it or ran it last, or
 * NULL; select_needs_worker tells whether it has to be known. The id is TASK_ID_LEN bytes.
 */
bool select_match(const struct select *select, const char *id, const struct task_head *head,
                  const struct task *task, const char *worker, size_t worker_len);
bool select_needs_worker(const struct select *select);
/* Whether a task in this state could match: lists of other states need not be read. */
bool select_wants_state(const struct select *select, enum task_state state);

#endif
