/*
 * task.h - what a task is: its states, its description, its record in Redis.
 *
 * A task has two halves. The *description* (struct task) is what its author wrote: type, priority,
 * memory, cores, options, command. The *head* (struct task_head) is what the queue knows of it: its
 * state and its counts. Both together are packed into one string, the record, which lives in the
 * hash `task` under the task's id (docs/protocol.md draws the bytes; common/lua/lib/20_records.lua
 * reads the head).
 */
#ifndef DISTCOMP_TASK_H
#define DISTCOMP_TASK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"

/* X(symbol, number in the record, name). The numbers are stored: never reuse one. */
#define TASK_STATES(X)                                                                             \
    X(WAITING, 1, "waiting")                                                                       \
    X(TODO, 2, "todo")                                                                             \
    X(IN_PROGRESS, 3, "in_progress")                                                               \
    X(FINISHED, 4, "finished")                                                                     \
    X(FAILED, 5, "failed")                                                                         \
    X(DELAYED, 6, "delayed")                                                                       \
    X(HELD, 7, "held")                                                                             \
    X(CANCELLED, 8, "cancelled")

enum task_state {
#define X(symbol, number, name) TASK_##symbol = number,
    TASK_STATES(X)
#undef X
};
#define TASK_STATE_COUNT 9 /* one more than the highest number, for arrays indexed by state */

/* Name of a state, or "unknown". */
const char *task_state_name(enum task_state state);
/* The state of that name; returns false when there is none. */
bool task_state_parse(const char *name, enum task_state *state);

enum task_type { TASK_SHELL = 0, TASK_PYTHON = 1, TASK_NATIVE = 2 };
const char *task_type_name(enum task_type type);
bool task_type_parse(const char *name, size_t len, enum task_type *type);

/* clang-format off */
/*
 * Options: X(symbol, tag in the record, key, value form, help). The key is what `#@ key=value` and
 * the JSONL field say; ENV and ARG stand for `env.NAME` and `arg.NAME`. Values are kept as the
 * normalised text named by the form, so that the record needs no type of its own:
 *   TEXT      any bytes but NUL                  DURATION  decimal milliseconds
 *   COUNT     decimal integer                    SIZE      decimal bytes
 *   MILLI     decimal thousandths                NAMES     names or ids joined by ','
 *   PAIR      NAME=VALUE                         CHOICE    one of option_choices (option.h)
 */
/* clang-format on */
#define TASK_OPTIONS(X)                                                                            \
    X(NAME, 1, "name", TEXT, "name of a group of tasks; '/' nests: a/b belongs to a too")          \
    X(TIMEOUT, 2, "timeout", DURATION, "a try is ended after this long (30s, 5m, 2h)")             \
    X(RETRIES, 3, "retries", COUNT, "tries in all before a task has failed, 1 to 1000")            \
    X(BACKOFF, 4, "backoff", DURATION, "wait before the first retry; doubles with each")           \
    X(CWD, 5, "cwd", TEXT, "working directory; the worker's own by default")                       \
    X(ENV, 6, "env.", PAIR, "environment variable: env.NAME=VALUE")                                \
    X(AFTER, 7, "after", NAMES, "start when these names or ids have all finished")                 \
    X(AFTER_ANY, 8, "after_any", NAMES, "start when these have ended, failed or not")              \
    X(REPEAT, 9, "repeat", COUNT, "make this many tasks of each line; the record has the index")   \
    X(GPU, 10, "gpu", MILLI, "GPUs: a share of one, such as 0.25, or whole ones")                  \
    X(GPU_MEM, 11, "gpu_mem", SIZE, "video memory on each of its GPUs")                            \
    X(LABELS, 12, "labels", NAMES, "run only on workers that have all these labels")               \
    X(OUTPUT, 13, "output", CHOICE, "auto, keep (a file on the worker) or redis (all of it)")      \
    X(LEFTOVERS, 14, "leftovers", CHOICE, "kill or wait for processes that outlive the command")   \
    X(ARG, 15, "arg.", PAIR, "value of a sweep's parameter, a column of exportTask")               \
    X(LIMIT, 16, "limit", CHOICE, "soft, or hard: min_dram and min_cpu are limits, too")           \
    X(PIN, 17, "pin", CHOICE, "none, core (cores for min_cpu) or numa (a node that has them)")

enum task_option_tag {
#define X(symbol, tag, key, form, help) OPT_##symbol = tag,
    TASK_OPTIONS(X)
#undef X
};
enum task_option_form {
    FORM_TEXT,
    FORM_DURATION,
    FORM_COUNT,
    FORM_SIZE,
    FORM_MILLI,
    FORM_NAMES,
    FORM_PAIR,
    FORM_CHOICE
};
struct task_option_info {
    enum task_option_tag tag;
    const char *key;
    enum task_option_form form;
    const char *help;
};
extern const struct task_option_info task_options[];
extern const size_t task_options_count;

struct task_option {
    enum task_option_tag tag;
    const char *value; /* not NUL-terminated; borrowed from the line, the record or the arena */
    size_t len;
};

#define TASK_MEM_AUTO     UINT64_C(0xffffffffffff) /* min_dram=auto */
#define TASK_MEM_MAX      (UINT64_C(1) << 47)      /* largest request: 128 TiB */
#define TASK_PRIORITY_MAX 1000000u
#define TASK_MCPU_MAX     1000000000u /* a million cores */
#define TASK_NAME_MAX     255u        /* bytes of a name, and of a requires string */
#define TASK_FAMILY_WORD  24u         /* bytes of a requires string that options leave free */
#define TASK_KERNEL_WORD  49u         /* and a native task's: its kernel, and `gpu:1000` */
#define TASK_PARAMS_MAX   1048576u    /* bytes of params: 1 MiB */
#define TASK_OPTIONS_MAX  128
#define TASK_ID_LEN       14 /* characters of an id, without NUL */

/* A description. All pointers are borrowed; whoever filled it says for how long. */
struct task {
    enum task_type type;
    uint32_t priority;  /* 0..TASK_PRIORITY_MAX, higher first */
    uint64_t mem_bytes; /* 0..TASK_MEM_MAX, or TASK_MEM_AUTO */
    uint32_t mcpu;      /* thousandths of a core */
    const char *params; /* the command; any bytes but NUL and newline */
    size_t params_len;
    struct task_option options[TASK_OPTIONS_MAX]; /* sorted by tag, then as written */
    size_t option_count;
};

/* The first option with this tag, or NULL. */
const struct task_option *task_option(const struct task *task, enum task_option_tag tag);
/* The value of a COUNT, DURATION, SIZE or MILLI option, or `absent` when the task has none. */
int64_t task_option_number(const struct task *task, enum task_option_tag tag, int64_t absent);
/* Whether the first option with this tag has exactly this value. */
bool task_option_is(const struct task *task, enum task_option_tag tag, const char *value);
/* Thousandths of a card that it must have: gpu=, or without that 1000 for a native task with
 * `device=gpu` among its parameters. */
int64_t task_gpu_milli(const struct task *task);

/* Bits of task_head.flags. */
#define TASK_FLAG_DEPENDANTS 1u  /* some task names this one's id in after= */
#define TASK_FLAG_CANCEL     2u  /* cancel was asked for while it ran */
#define TASK_FLAG_AFTER      4u  /* has an entry in the hash `after` */
#define TASK_FLAG_HOLD       8u  /* held while waiting: goes to held, not todo, when released */
#define TASK_FLAG_RAISED     16u /* its memory is what a return has raised it to (docs/memory.md) */

/*
 * The record:  head (33 bytes) | u8 length, requires | u8 length, name | u8 type | u8 options,
 * each: u8 tag, u32 length, value | params to the end.  The name is OPT_NAME's value (or empty) and
 * is not repeated among the options; task_decode puts it back.
 */

/* The queue's half, in the order of its bytes in the record; all integers big-endian. */
struct task_head {
    uint8_t state;       /* enum task_state */
    uint8_t flags;       /* TASK_FLAG_* */
    uint16_t generation; /* a hint in a list is valid only with this generation */
    uint32_t priority;
    uint64_t mem_bytes; /* 6 bytes; TASK_MEM_AUTO for auto */
    uint8_t step;       /* rung of the memory ladder: see task_mem_step */
    uint32_t mcpu;
    uint16_t tries; /* claims so far, and the number of the current try; see docs/protocol.md */
    uint16_t failures;
    uint16_t losses;
    uint16_t returns;
    uint64_t loaded_ms; /* 6 bytes; Redis time of the load that brought it */
};
#define TASK_HEAD_BYTES 33

/*
 * The memory ladder: eighths of an octave from 1 MiB up. Step 0 is "no memory asked for", step s >=
 * 1 is (8 + (s-1)%8) << ((s-1)/8) times 128 KiB, and 255 is auto. Rounds up, by 12.5 % at most.
 */
#define TASK_STEP_AUTO 255u
uint8_t task_mem_step(uint64_t mem_bytes);
uint64_t task_step_bytes(uint8_t step); /* UINT64_MAX for TASK_STEP_AUTO */

/*
 * What a worker must have to run this task, as sorted words joined by ',' ("" for most):
 * `kernel:NAME` (of a native task), `label:NAME`, `gpu:MILLI`, `gpu_mem:BYTES`, `limit`
 * (limit=hard), `pin` (pin=core or numa); and `family:DIGEST` (family.h) with min_dram=auto, under
 * which its memory is looked up. Part of the name of the list the task waits in. Appends to out.
 */
void task_requires(const struct task *task, struct buf *out);

/*
 * Ids derive from content: type, params, cwd, env, name and repeat index, never priority or
 * resources. 70 bits of XXH3-128 over those fields, length-prefixed, in Crockford's base 32, lower
 * case. Writes TASK_ID_LEN characters and a NUL.
 */
void task_id(const struct task *task, char id[TASK_ID_LEN + 1]);
/* Whether s has the form of an id (nothing is said of its existence). */
bool task_id_valid(const char *s, size_t len);

/* Appends the record of a task that has just been loaded in state `state` with generation 0. */
void task_record(const struct task *task, enum task_state state, uint64_t loaded_ms,
                 struct buf *out);
/*
 * Decodes a record. The description borrows from it; its priority, memory and cores are the head's,
 * which are the current ones. Either pointer may be NULL. Returns false when the record is
 * malformed.
 */
bool task_decode(const char *record, size_t len, struct task_head *head, struct task *task);

#endif
