/*
 * statedir.h - the directory that makes one worker of several processes and several lives.
 *
 *   STATE_DIR/lock             flock by the living supervisor; holds its pid
 *   STATE_DIR/incarnation      the lives of this directory, the last first, one a line:
 *                              "HEX16 BOOT_ID DEVICE:INODE": the number drawn by a supervisor, in
 *                              which boot, and where the directory was
 *   STATE_DIR/supervisor.sock  where an agent can attach (wire.h)
 *   STATE_DIR/out/             output files of running tries (capture.h)
 *
 * Who holds the lock knows that all earlier lives of this directory are over, also those of a
 * supervisor that died before its agent had spoken with Redis: so a worker that starts is never
 * taken for somebody else because of its own past. The directory may be a copy, though, whose owner
 * lives: one of the same boot has another inode; of one from an earlier boot nobody here can tell
 * (it may be an image of another machine), so register.lua looks whether that life has been silent
 * for as long as this machine has been up.
 *
 * It is private: made 0700, and refused when it, or a directory above it, belongs to another user
 * than us and root. Errors are written to `error`, a text of error_size bytes without newline.
 */
#ifndef DISTCOMP_STATEDIR_H
#define DISTCOMP_STATEDIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define STATEDIR_PATH_MAX 256
#define STATEDIR_LIVES    32 /* so many are remembered */

struct statedir {
    char path[STATEDIR_PATH_MAX]; /* absolute, links resolved */
    int dir_fd, lock_fd, out_fd;  /* out_fd: STATE_DIR/out */
    uint64_t incarnation;
    uint64_t previous; /* incarnation before ours, 0 for none */
    bool same_boot;    /* previous lived in this boot: processes of it may be left */
};

/* An earlier life of the directory: over, unless (of another boot only) it is a copy. */
struct statedir_life {
    uint64_t incarnation;
    bool same_boot;
};

enum { STATEDIR_OK = 0, STATEDIR_ERROR = -1, STATEDIR_NONE = -2, STATEDIR_HELD = -3 };

/*
 * Makes, checks and locks the directory and reads `previous`; draws a new incarnation but does not
 * write it (statedir_commit does, once what the previous one left has been ended). STATEDIR_HELD:
 * another supervisor lives; error names its pid. STATEDIR_ERROR: anything else.
 */
int statedir_open(struct statedir *sd, const char *path, char *error, size_t error_size);
int statedir_commit(struct statedir *sd, char *error, size_t error_size);
/* Only locks an existing directory and reads `incarnation` as found there (0 for none); for
 * aftermath. */
int statedir_peek(struct statedir *sd, const char *path, char *error, size_t error_size);
void statedir_close(struct statedir *sd);

/*
 * For the agent of incarnation `own`: fills lives[0..*count - 1], newest first, with what was here
 * before. False when the files do not tell: they were removed, or a supervisor of before an upgrade
 * wrote them; then *count is 0.
 */
bool statedir_lives(const char *path, uint64_t own, struct statedir_life lives[STATEDIR_LIVES],
                    size_t *count);

/* The listening socket, non-blocking; -1 with error. */
int statedir_listen(const struct statedir *sd, char *error, size_t error_size);

/*
 * For a redisWorker that starts: is there a living supervisor on this directory that wants an
 * agent?
 *   >= 0            a connected socket (blocking, close-on-exec): be its agent, beginning with
 * HELLO STATEDIR_NONE   no supervisor lives here: start one STATEDIR_HELD   it has an agent; error
 * names both pids STATEDIR_ERROR  error says what is wrong
 */
int statedir_attach(const char *state_dir, char *error, size_t error_size);

#endif
