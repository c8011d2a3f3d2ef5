/*
 * trylog.h - what became of each try of a task, and what it printed, as kept in Redis.
 *
 * A try log (hash `try`) is a sequence of entries, oldest first, the last 20 of them. An entry is
 * u16 length of the rest | u16 try | u8 outcome | u8 signal | u16 exit | u48 start_ms | u48 end_ms
 * | u48 wall_us | u48 user_us | u48 system_us | u40 maxrss_kib | u48 out_bytes | u48 err_bytes | 10
 * bytes nonce | u8 n, worker | u8 n, node | u16 n, path | u16 n, reason, and where they are known,
 * u48 read_bytes | u48 write_bytes; all big-endian.
 * common/lua/lib/60_tries.lua writes entries too (lost, dependency) and looks into them at fixed
 * places: keep them in step.
 *
 * An output (hash `output`) is u16 try | u8 flags | u48 out_bytes | u48 err_bytes | u32 n, stdout |
 * u32 n, stderr. The sizes are those of the whole streams; what is kept may be their first and last
 * part with a mark in between. An empty value: there was an output, and it was dropped to make
 * room.
 */
#ifndef DISTCOMP_TRYLOG_H
#define DISTCOMP_TRYLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* X(symbol, number, name). The names are those that report.lua takes; the numbers are stored. */
#define TRY_OUTCOMES(X)                                                                            \
    X(FINISHED, 1, "finished")                                                                     \
    X(FAILED, 2, "failed")                                                                         \
    X(TIMEOUT, 3, "timeout")                                                                       \
    X(CANCELLED, 4, "cancelled")                                                                   \
    X(RETURNED, 5, "returned")                                                                     \
    X(RELEASED, 6, "released")                                                                     \
    X(TEMPFAIL, 7, "tempfail")                                                                     \
    X(LOST, 8, "lost")                                                                             \
    X(DEPENDENCY, 9, "dependency")

enum try_outcome {
#define X(symbol, number, name) TRY_##symbol = number,
    TRY_OUTCOMES(X)
#undef X
};
const char *try_outcome_name(enum try_outcome outcome); /* "unknown" when there is none */

#define NONCE_LEN 20 /* hex digits of a token's nonce: 16 drawn by the claimer, 4 of the index */

/* A slice of bytes, borrowed. */
struct slice {
    const char *data;
    size_t len;
};

struct try_entry {
    uint16_t try_number;
    enum try_outcome outcome;
    int exit_code;             /* of the main process when signal is 0 */
    int signal;                /* that ended the main process, or 0 */
    uint64_t start_ms, end_ms; /* Unix time */
    uint64_t wall_us, user_us, system_us;
    uint64_t maxrss_kib; /* 0: not known */
    uint64_t out_bytes, err_bytes;
    uint64_t read_bytes, write_bytes; /* from and to storage; both 0: not known, or none */
    char nonce[NONCE_LEN + 1];        /* hex, or "" */
    struct slice worker;              /* at most 255 bytes */
    struct slice node;   /* host that has the kept output, or empty; at most 255 bytes */
    struct slice path;   /* where it is there, or empty; at most 4095 bytes */
    struct slice reason; /* why it failed: last lines of stderr or a sentence; at most 4000 bytes */
};

/* Appends an entry; longer strings are cut. */
void try_entry_pack(const struct try_entry *entry, struct buf *out);
/* Takes the first entry of *log and moves *log behind it. False at the end or when malformed. */
bool try_log_next(struct slice *log, struct try_entry *entry);
/* The last entry. False when there is none. */
bool try_log_last(struct slice log, struct try_entry *entry);

/* "exit 3", "killed by SIGKILL", "timeout", "returned (memory)": one short phrase; appends. */
void try_entry_describe(const struct try_entry *entry, struct buf *out);

#define OUTPUT_COMPRESSED 1u /* flags: both streams are zlib streams (output=redis) */
#define OUTPUT_CUT_OUT    2u /* stdout here is not whole */
#define OUTPUT_CUT_ERR    4u

struct task_output {
    uint16_t try_number;
    unsigned flags;                /* OUTPUT_* */
    uint64_t out_bytes, err_bytes; /* of the whole streams */
    struct slice out, err;
};
void task_output_pack(const struct task_output *output, struct buf *out);
bool task_output_unpack(struct slice packed, struct task_output *output);

#endif
