/*
 * load_check.h - the first pass over a task file: everything that is wrong with it, before any of
 * it is loaded.
 */
#ifndef DISTCOMP_MANAGER_LOAD_CHECK_H
#define DISTCOMP_MANAGER_LOAD_CHECK_H

#include "common/refs.h"
#include "common/taskfile.h"
#include "manager/command.h"

#define LOAD_CHECK_SHOWN 20 /* bad lines that are told one by one */

enum load_check_refs {
    LOAD_CHECK_LINES, /* not what after= names: the queue is going to change before the load */
    LOAD_CHECK_QUEUE, /* a name is defined above or in the queue */
    LOAD_CHECK_ASIDE  /* the same, and the queue is asked only when the file alone does not do */
};

/*
 * Reads the file, which is rewound before and after. EXIT_DONE: all is good, and *tasks how many
 * there are. Else it has printed `file:line:column: what, expected …` for the first
 * LOAD_CHECK_SHOWN errors, or why it could not go on. refs (NULL with LOAD_CHECK_LINES) has, when
 * all is good, what the load of the same file needs of the queue: it is settled.
 */
int load_check(struct session *session, struct taskfile *file, enum load_check_refs mode, bool bar,
               struct refs *refs, uint64_t *tasks);

#endif
