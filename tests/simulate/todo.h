/*
 * todo.h - the queue of the simulator, as docs/protocol.md has it: a list for each shape, the one
 * with the oldest head first, and what went back in front of its list.
 */
#ifndef DISTCOMP_SIMULATE_TODO_H
#define DISTCOMP_SIMULATE_TODO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TODO_STEPS 256 /* lists of explicit requests, by rung; those of families come after */

struct todo_list {
    size_t *ring; /* numbers of tasks; owned */
    uint64_t *sequence;
    size_t cap, first, count;
};

struct todo {
    struct todo_list *lists;
    unsigned list_count;
    uint64_t pushed;
    size_t count;
};

void todo_init(struct todo *todo, unsigned families);
void todo_free(struct todo *todo);
/* number: of the list. front: it ran already, and comes before all others of its list. */
void todo_push(struct todo *todo, unsigned number, size_t task, bool front);

/* Gives the lists that are not empty in the order of their heads, from {0} on; false at the end.
 * Lists behind the cursor may change in between. */
struct todo_cursor {
    bool begun;
    uint64_t rank;
    unsigned list;
};
bool todo_next(const struct todo *todo, struct todo_cursor *cursor);
size_t todo_head(const struct todo *todo, unsigned number); /* of a list that is not empty */
void todo_pop(struct todo *todo, unsigned number);

#endif
