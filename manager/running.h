/*
 * running.h - lines of running tasks. Since when one runs, and what it uses, Redis has under other
 * keys than its record: up to TABLE_HELD tasks are held, and these are asked for in one go.
 */
#ifndef DISTCOMP_RUNNING_H
#define DISTCOMP_RUNNING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <jansson.h>

#include "common/store.h"
#include "manager/command.h"
#include "manager/print.h"

struct running_list {
    const struct session *session;
    struct store *store;
    struct table *table; /* with the columns of checkTask's list; NULL: lines of JSON */
    uint64_t now_ms;
    struct running_row {
        json_t *json;
        char *cells[5]; /* id, worker, memory, cores, command */
        unsigned try_number;
    } rows[TABLE_HELD];
    size_t count;
};

/* Holds one more; at TABLE_HELD call running_show. */
void running_add(struct running_list *list, const struct store_task *task);
/* Shows those held, and holds none. Also within a walk: its answers have all been read then. False
 * with an error when Redis does not answer; the lines are shown all the same. */
bool running_show(struct running_list *list, struct buf *error);

#endif
