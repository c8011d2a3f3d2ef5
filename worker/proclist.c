#include "worker/proclist.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/buf.h"
#include "worker/procfile.h"
#include "worker/proctree.h"

/* An environment read while its process executes another program is empty: look again. */
enum { LOOKS_MAX = 3, ENVIRON_SIZE = 256 * 1024 };

static int by_pid(const void *a, const void *b) {
    int32_t x = ((const struct proc_entry *)a)->pid, y = ((const struct proc_entry *)b)->pid;
    return (x > y) - (x < y);
}

static struct proc_entry *find(struct proc_entry *entries, size_t count, int32_t pid) {
    struct proc_entry wanted = {.pid = pid};
    return count ? bsearch(&wanted, entries, count, sizeof *entries, by_pid) : NULL;
}

/* Puts pid and inode of all processes into the list, sorted. */
static bool list_pids(struct proclist *list) {
    char path[512], entries[32768] __attribute__((aligned(16)));
    snprintf(path, sizeof path, "%s/proc", list->root);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    list->count = 0;
    list->truncated = false;
    if (fd < 0)
        return false;
    bool sorted = true;
    for (long n; (n = syscall(SYS_getdents64, fd, entries, sizeof entries)) > 0;)
        for (long at = 0; at < n;) {
            const struct dirent64 *e = (const void *)(entries + at);
            char *end;
            at += e->d_reclen;
            int32_t pid = (int32_t)strtol(e->d_name, &end, 10);
            if (*end || pid <= 0)
                continue;
            if (list->count == PROCTREE_MAX) {
                list->truncated = true;
                continue;
            }
            if (list->count == list->cap) {
                list->cap = list->cap ? list->cap * 2 : 1024;
                list->entries = xrealloc(list->entries, list->cap * sizeof *list->entries);
            }
            sorted = sorted && (list->count == 0 || list->entries[list->count - 1].pid < pid);
            list->entries[list->count++] =
                (struct proc_entry){.pid = pid, .slot = OWNER_UNKNOWN, .inode = e->d_ino};
        }
    close(fd);
    if (!sorted)
        qsort(list->entries, list->count, sizeof *list->entries, by_pid);
    return true;
}

/* Reads what a process is; start_ticks 0 when it has gone. */
static void read_entry(const struct proclist *list, struct proc_entry *e) {
    struct process_stat stat;
    if (!procfile_stat(list->root, e->pid, &stat))
        return;
    e->ppid = stat.ppid;
    e->session = stat.session;
    e->start_ticks = stat.start_ticks ? stat.start_ticks : 1;
}

/* What was known of it before. An inode that the kernel has dropped and made anew is not proof of
 * another process: the start time decides. */
static void recall(const struct proclist *list, struct proc_entry *e,
                   const struct proc_entry *old) {
    uint64_t inode = e->inode;
    if (old && old->inode == inode && old->slot != OWNER_UNKNOWN) {
        *e = *old;
        e->seen = false;
        return;
    }
    read_entry(list, e);
    if (old && old->start_ticks == e->start_ticks) {
        e->slot = old->slot;
        e->serial = old->serial;
        e->looks = old->looks;
    }
}

static const char *environ_string(const struct proclist *list, int32_t pid, char *text,
                                  size_t size) {
    char path[512];
    snprintf(path, sizeof path, "%s/proc/%d/environ", list->root, pid);
    ssize_t n = procfile_read(AT_FDCWD, path, text, size);
    for (const char *at = text; n > 0 && at < text + n; at += strlen(at) + 1)
        if (strncmp(at, "DISTCOMP_COOKIE=", 16) == 0)
            return at;
    return NULL;
}

static int32_t owner_by_session(const struct proc_owner *owners, uint32_t slots, int32_t session) {
    for (uint32_t i = 0; session > 0 && i < slots; i++)
        if (owners[i].pid == session)
            return (int32_t)i;
    return OWNER_UNKNOWN;
}

static int32_t owner_by_cookie(struct proclist *list, struct proc_entry *e,
                               const struct proc_owner *owners, uint32_t slots, char *scratch) {
    if (e->looks >= LOOKS_MAX)
        return OWNER_UNKNOWN;
    const char *cookie = environ_string(list, e->pid, scratch, ENVIRON_SIZE);
    e->looks = (uint8_t)(e->looks + !cookie);
    for (uint32_t i = 0; cookie && i < slots; i++)
        if (owners[i].pid && owners[i].cookie && strcmp(owners[i].cookie, cookie) == 0)
            return (int32_t)i;
    return OWNER_UNKNOWN;
}

static bool owned(const struct proc_entry *e, const struct proc_owner *owners, uint32_t slots) {
    return e->slot >= 0 && (uint32_t)e->slot < slots && owners[e->slot].pid &&
           owners[e->slot].serial == e->serial;
}

struct finding {
    struct proclist *list;
    const struct proc_owner *owners;
    uint32_t slots;
    char *scratch; /* ENVIRON_SIZE */
    int32_t self;  /* the agent: its helpers are no try's */
};

/* Whose this one is, apart from its parents. OWNER_UNKNOWN: ask them, unless it is an orphan. */
static int32_t owner_itself(const struct finding *f, struct proc_entry *e, bool orphan) {
    int32_t slot = owner_by_session(f->owners, f->slots, e->session);
    if (slot < 0 && orphan)
        slot = owner_by_cookie(f->list, e, f->owners, f->slots, f->scratch);
    return slot >= 0 ? slot : OWNER_UNKNOWN;
}

/* Finds whose one process is, and with it those of its parents that are not known yet. */
static void find_owner(const struct finding *f, struct proc_entry *e) {
    struct proclist *list = f->list;
    struct proc_entry *top = e;
    int32_t slot = OWNER_UNKNOWN;
    for (size_t depth = 0; top && depth < list->count; depth++) { /* parents may form a ring:
                                                                     they are not read at once */
        bool orphan = top->ppid == list->supervisor_pid;
        if (top->seen || top->slot != OWNER_UNKNOWN) {
            slot = top->slot;
            break;
        }
        if (top->ppid == 0 || top->pid == f->self) { /* the agent is the supervisor's child too */
            slot = OWNER_FOREIGN;
            break;
        }
        slot = owner_itself(f, top, orphan);
        if (slot >= 0 || orphan)
            break;
        /* A parent that ended while we looked: unknown until the next time. */
        top = find(list->entries, list->count, top->ppid);
    }
    uint32_t serial = slot >= 0 ? f->owners[slot].serial : 0;
    for (struct proc_entry *at = e; at && !at->seen && at->slot == OWNER_UNKNOWN;) {
        at->slot = slot;
        at->serial = serial;
        at->seen = true;
        at = at == top ? NULL : find(list->entries, list->count, at->ppid);
    }
}

bool proclist_look(struct proclist *list, const struct proc_owner *owners, uint32_t slots) {
    struct proc_entry *entries = list->entries;
    size_t cap = list->cap;
    list->entries = list->old;
    list->cap = list->old_cap;
    list->old = entries;
    list->old_cap = cap;
    list->old_count = list->count;
    if (!list_pids(list))
        return false;
    size_t kept = 0, at = 0;
    for (size_t i = 0; i < list->count; i++) {
        struct proc_entry *e = &list->entries[i];
        while (at < list->old_count && list->old[at].pid < e->pid)
            at++;
        recall(list, e,
               at < list->old_count && list->old[at].pid == e->pid ? &list->old[at] : NULL);
        if (e->slot >= 0 && !owned(e, owners, slots))
            e->slot = OWNER_UNKNOWN; /* that try has ended */
        if (e->start_ticks)
            list->entries[kept++] = *e;
    }
    list->count = kept;
    struct finding finding = {list, owners, slots, xmalloc(ENVIRON_SIZE), getpid()};
    list->unowned = 0;
    for (size_t i = 0; i < kept; i++)
        if (list->entries[i].slot == OWNER_UNKNOWN) {
            if (!list->entries[i].seen)
                find_owner(&finding, &list->entries[i]);
            list->unowned += list->entries[i].slot == OWNER_UNKNOWN;
        }
    free(finding.scratch);
    return true;
}

void proclist_free(struct proclist *list) {
    free(list->entries);
    free(list->old);
    list->entries = list->old = NULL;
    list->count = list->cap = list->old_count = list->old_cap = 0;
}
