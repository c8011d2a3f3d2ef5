/*
 * change.h - what the verbs that change tasks have in common: they go through the queue in pages,
 * match (select.h), change in batches, and count. Memory is bounded, whatever is selected.
 */
#ifndef DISTCOMP_MANAGER_CHANGE_H
#define DISTCOMP_MANAGER_CHANGE_H

#include "common/store.h"
#include "manager/command.h"

#define CHANGE_ALL_STATES ((UINT32_C(1) << TASK_STATE_COUNT) - 2)
#define CHANGE_BIT(state) (UINT32_C(1) << (state))

struct change_plan {
    enum store_change change;
    const char *arg;     /* of store_change, or NULL */
    uint32_t states;     /* bit (1 << state): tasks in others are not touched */
    const char *doing;   /* the bar's label: "cancelling" */
    const char *done;    /* completes "3 tasks …": "cancelled" */
    const char *field;   /* of the JSON answer: "cancelled" */
    const char *refusal; /* why the queue refused some: "changed meanwhile" when NULL */
    unsigned with;       /* STORE_WITH_* that `also` needs */
    /* A further condition, or NULL. */
    bool (*also)(const struct store_task *task, void *arg);
    void *also_arg;
};

/*
 * The whole verb: its options are select.h's tables, select_change_options (--limit, --dry_run)
 * among them. Answers `3 tasks cancelled, …`, as JSON {"cancelled": 3, "skipped": 0}; with
 * CHANGE_CANCEL also "requested", with ids that are in no queue also "unknown", which is a failure;
 * with --dry_run {"dry_run": true, "matched": 3}.
 */
int change_tasks(struct session *session, const struct args *args, const struct change_plan *plan);

#endif
