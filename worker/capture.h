/*
 * capture.h - a try's two output files, STATE_DIR/out/N.out and N.err. N is its slot, or hM for a
 * try in host M (struct slot's `files` is WIRE_FILES_HOST + M then).
 *
 * The child opens them by name, append-only, just before it executes the task (spawn.c): the
 * supervisor holds no descriptor of them, so the cost of a spawn does not grow with the number of
 * slots. A file is made at a slot's first use and used again: emptied by O_TRUNC when the last try
 * wrote something, replaced when a process that we do not know may still hold it, made anew when
 * the agent renamed it away.
 *
 * Since all writers append, a task never waits for a reader. A stream that outgrows output_max
 * loses its middle: the bytes between the first and the last half are punched out of the file,
 * whose size goes on growing while its blocks on disk stay bounded (by output_max and what is
 * written between two looks).
 *
 * A task that opens /dev/stdout or /dev/stderr again opens the file itself, without our O_APPEND:
 *   >>/dev/stderr  adds, as expected
 *   >/dev/stderr   cuts off what the stream had so far (O_TRUNC), then writes at the start; later
 * lines of the original descriptor follow at the end. `echo x >&2` has neither effect.
 */
#ifndef DISTCOMP_CAPTURE_H
#define DISTCOMP_CAPTURE_H

#include <stdbool.h>
#include <stdint.h>

#define CAPTURE_NAME_MAX 16

/* dir_fd: STATE_DIR/out; removes files of earlier supervisors. output_max: bytes of a stream, at
   least 2 pages. */
void capture_init(int dir_fd, uint64_t output_max);
int capture_dir(void);
/* "N.out" (stream 0) or "N.err" (stream 1) of these files. */
void capture_name(uint32_t files, int stream, char name[CAPTURE_NAME_MAX]);
/* Flags for the child's open beside O_WRONLY|O_APPEND|O_CREAT. */
int capture_open_flags(uint32_t files, int stream);

/*
 * A host has files of its own, which it keeps open from one try to the next; they belong to the try
 * until its ACK. Before the next: capture_reuse empties them. False: they are not those of these
 * names any more (moved to the results, or removed), so it has to be given others, from
 * capture_open
 * (-1 with errno).
 */
bool capture_reuse(uint32_t files);
int capture_open(uint32_t files, int stream);
/* Whoever comes next gets new files; who has the old ones may still write to them. */
void capture_renew(uint32_t files);
/* Adds a line to the standard error among them. */
void capture_remark(uint32_t files, const char *line);

/* A try begins with these files: its timer runs. */
void capture_started(uint32_t files);
/* Sizes of a slot's files now, holes included. */
void capture_sizes(uint32_t slot, uint64_t *out_bytes, uint64_t *err_bytes);
/* ACK of a slot: flags of struct wire_ack. Makes room on disk where that matters. */
void capture_acknowledged(uint32_t slot, uint32_t flags);

/* When the next look is due (INT64_MAX: nothing runs), and the look itself. */
int64_t capture_deadline(void);
void capture_timer(int64_t now_us);

#endif
