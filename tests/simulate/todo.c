#include "tests/simulate/todo.h"

#include <stdlib.h>
#include <string.h>

#include "common/buf.h"

void todo_init(struct todo *todo, unsigned families) {
    *todo = (struct todo){.list_count = TODO_STEPS + families};
    todo->lists = xcalloc(todo->list_count, sizeof *todo->lists);
}

void todo_free(struct todo *todo) {
    for (unsigned i = 0; i < todo->list_count; i++) {
        free(todo->lists[i].ring);
        free(todo->lists[i].sequence);
    }
    free(todo->lists);
    *todo = (struct todo){0};
}

static void grow(struct todo_list *list) {
    struct todo_list larger = {.cap = list->cap ? 2 * list->cap : 64, .count = list->count};
    larger.ring = xcalloc(larger.cap, sizeof *larger.ring);
    larger.sequence = xcalloc(larger.cap, sizeof *larger.sequence);
    for (size_t i = 0; i < list->count; i++) {
        size_t from = (list->first + i) % list->cap;
        larger.ring[i] = list->ring[from];
        larger.sequence[i] = list->sequence[from];
    }
    free(list->ring);
    free(list->sequence);
    *list = larger;
}

void todo_push(struct todo *todo, unsigned number, size_t task, bool front) {
    struct todo_list *list = &todo->lists[number];
    if (list->count == list->cap)
        grow(list);
    if (front)
        list->first = (list->first + list->cap - 1) % list->cap;
    size_t at = front ? list->first : (list->first + list->count) % list->cap;
    list->ring[at] = task;
    list->sequence[at] = front ? 0 : ++todo->pushed;
    list->count++;
    todo->count++;
}

/* By the sequence of the head, then by number. */
bool todo_next(const struct todo *todo, struct todo_cursor *cursor) {
    struct todo_cursor best = {false, 0, 0};
    for (unsigned i = 0; i < todo->list_count; i++) {
        const struct todo_list *list = &todo->lists[i];
        if (list->count == 0)
            continue;
        uint64_t rank = list->sequence[list->first];
        if (cursor->begun && (rank < cursor->rank || (rank == cursor->rank && i <= cursor->list)))
            continue;
        if (!best.begun || rank < best.rank)
            best = (struct todo_cursor){true, rank, i};
    }
    if (best.begun)
        *cursor = best;
    return best.begun;
}

size_t todo_head(const struct todo *todo, unsigned number) {
    return todo->lists[number].ring[todo->lists[number].first];
}

void todo_pop(struct todo *todo, unsigned number) {
    struct todo_list *list = &todo->lists[number];
    list->first = (list->first + 1) % list->cap;
    list->count--;
    todo->count--;
}
