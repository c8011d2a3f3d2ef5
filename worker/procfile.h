/*
 * procfile.h - small files of /proc and of cgroups: read whole, one number, one field; and the
 * figures of one process.
 *
 * `root` is "" but in tests, where it is a directory with such files. No heap, no state. A file
 * that is not there, or a process that has ended, is an ordinary answer: false, nothing is logged.
 */
#ifndef DISTCOMP_PROCFILE_H
#define DISTCOMP_PROCFILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Reads a file until it ends or `size - 1` bytes are there. Always NUL-terminated; -1 when it
 * cannot be read (then text is ""). dir_fd may be AT_FDCWD. */
ssize_t procfile_read(int dir_fd, const char *name, char *text, size_t size);
/* Writes text by one write(2). Returns 0 or the errno. */
int procfile_write(int dir_fd, const char *name, const char *text);

/* A file that begins with a number. "max" is UINT64_MAX. */
bool procfile_number(int dir_fd, const char *name, uint64_t *value);
/* The number after `key` in lines of "key value" or "key: value kB" (the unit is the caller's). */
bool procfile_field(const char *text, const char *key, uint64_t *value);
/* Is the word in a list separated by spaces or commas? */
bool procfile_word(const char *list, const char *word);

struct process_stat {
    int32_t ppid, session;
    uint32_t threads;
    char state;           /* see procfile_dead */
    uint64_t start_ticks; /* since boot; with the pid it names a process for ever */
    uint64_t cpu_ticks;   /* user and system, its own and of the children it waited for */
};
bool procfile_stat(const char *root, int32_t pid, struct process_stat *stat);
/* Nothing of it runs any more: a zombie whose first thread alone has ended is not dead. */
bool procfile_dead(const struct process_stat *stat);

struct process_memory {
    uint64_t anon_bytes;
    uint64_t shmem_bytes; /* shared mappings that no file on a disk is behind */
};
/*
 * Resident memory without page cache. The kernel's counters lag by up to 32 pages a core and
 * thread. Shared memory is told from mapped files only when both together are over 8 MiB, because
 * that needs a second file.
 */
bool procfile_memory(const char *root, int32_t pid, struct process_memory *memory);
/* The same pages, each divided by the number of processes that map it. Slow: the kernel walks the
 * page tables (3 to 4 ms a GiB of small pages). */
bool procfile_shares(const char *root, int32_t pid, uint64_t *bytes);

/* Bytes from and to storage, of it and of the children it waited for. */
bool procfile_io(const char *root, int32_t pid, uint64_t *read_bytes, uint64_t *write_bytes);

#endif
