#include "worker/hostbook.h"

#include <stdlib.h>

#include "common/buf.h"

static struct hostbook_entry *find(const struct hostbook *book, int32_t pid) {
    for (size_t i = 0; i < book->count; i++)
        if (book->entries[i].pid == pid)
            return &book->entries[i];
    return NULL;
}

static bool has_left(const struct hostbook_entry *entry, mono_ms_t left) {
    return entry->idle && mono_diff(entry->since, left) < 0;
}

const struct usage_base *hostbook_used(const struct hostbook *book, int32_t pid) {
    const struct hostbook_entry *entry = find(book, pid);
    return entry ? &entry->used : NULL;
}

const struct usage_base *hostbook_started(struct hostbook *book, int32_t pid) {
    struct hostbook_entry *entry = find(book, pid);
    if (!entry)
        return NULL;
    entry->idle = false;
    return &entry->used;
}

static void drop_left(struct hostbook *book, mono_ms_t left) {
    for (size_t i = 0; i < book->count;) {
        if (has_left(&book->entries[i], left))
            book->entries[i] = book->entries[--book->count];
        else
            i++;
    }
}

static struct hostbook_entry *add(struct hostbook *book, int32_t pid) {
    if (book->count == book->cap) {
        book->cap = book->cap ? 2 * book->cap : 16;
        book->entries = xrealloc(book->entries, book->cap * sizeof *book->entries);
    }
    book->entries[book->count] = (struct hostbook_entry){.pid = pid};
    return &book->entries[book->count++];
}

void hostbook_stayed(struct hostbook *book, int32_t pid, const struct usage_base *use,
                     mono_ms_t now, mono_ms_t left) {
    struct hostbook_entry *entry = find(book, pid);
    if (!entry) {
        drop_left(book, left);
        entry = add(book, pid);
    }
    entry->idle = true;
    entry->since = now;
    entry->used.cpu_us += use->cpu_us;
    entry->used.read_bytes += use->read_bytes;
    entry->used.write_bytes += use->write_bytes;
}

void hostbook_gone(struct hostbook *book, int32_t pid) {
    struct hostbook_entry *entry = find(book, pid);
    if (entry)
        *entry = book->entries[--book->count];
}

size_t hostbook_idle(const struct hostbook *book, mono_ms_t left, int32_t *pids, size_t max) {
    size_t count = 0;
    for (size_t i = 0; i < book->count; i++) {
        const struct hostbook_entry *entry = &book->entries[i];
        if (entry->idle && !has_left(entry, left) && count++ < max)
            pids[count - 1] = entry->pid;
    }
    return count;
}

void hostbook_forget_idle(struct hostbook *book) {
    for (size_t i = 0; i < book->count;) {
        if (book->entries[i].idle)
            book->entries[i] = book->entries[--book->count];
        else
            i++;
    }
}

void hostbook_free(struct hostbook *book) {
    free(book->entries);
    *book = (struct hostbook)HOSTBOOK_INIT;
}
