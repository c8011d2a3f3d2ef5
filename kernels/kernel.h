/*
 * kernel.h - how compiled work becomes a task: the interface of a plug-in.
 *
 * A plug-in is a shared object NAME.so in a kernel directory; it gives the kernel NAME, and a task
 * `native:priority:min_dram:min_cpu:NAME key=value ...` runs it inside a warm process (kernelHost).
 * It exports one symbol, made by KERNEL_EXPORT:
 *
 *     #include "kernel.h"
 *
 *     static const struct kernel_param params[] = {
 *         {"n", KERNEL_INT, .fallback = "10", .min = 1, .max = 1e6, .help = "how many"},
 *         {0}};
 *     static int run(struct kernel_run *r) {
 *         kernel_result(r, "sum", "%lld", (long long)(kernel_int(r, 0) * (kernel_int(r, 0) + 1) /
 * 2)); return 0;
 *     }
 *     KERNEL_EXPORT(.name = "sum", .summary = "adds the numbers up to n", .params = params, .run =
 * run)
 *
 *     cc -O2 -shared -fPIC -I DIRECTORY_OF_KERNEL_H -o sum.so sum.c
 *
 * The functions below are the host's; a plug-in is linked to nothing for them. They may be called
 * from run() and estimate() only, and by one thread at a time but for kernel_cancelled. Whatever
 * they return is the host's and ends with the task, but for what kernel_keep made.
 *
 * A host runs one task at a time and then the next, so a kernel must leave nothing behind: no
 * threads that still work, no changed signal handlers, no open files. What it writes to standard
 * output and standard error is the task's output. exit(), a crash or a kill ends the host, and
 * costs that one try; the next task gets a new host.
 */
#ifndef DISTCOMP_KERNEL_H
#define DISTCOMP_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Grows when something here changes its meaning; functions that are added do not change it. A host
 * refuses a plug-in with another number, and says so. */
#define KERNEL_ABI 1

#define KERNEL_NAME_MAX 32 /* bytes: letters, digits, '_' and '-', a letter first */

/* --- parameters --------------------------------------------------------------------------------
 */

enum kernel_type {
    KERNEL_INT = 1, /* decimal, or with k, M, G (powers of 1000) or Ki, Mi, Gi */
    KERNEL_REAL,    /* decimal, finite */
    KERNEL_FLAG,    /* y/yes/t/true/on/1 and their opposites */
    KERNEL_TEXT,    /* any bytes; quotes as in a shell where there are blanks */
    KERNEL_CHOICE,  /* one of `choices`; its value is the index */
    KERNEL_INPUT,   /* the name of something that is read: see "data" */
    KERNEL_INPUTS,  /* several, joined by ',' */
    KERNEL_OUTPUT,  /* the name of something that is written */
    KERNEL_OUTPUTS  /* several, joined by ',' */
};

/* One row; the table ends with a row without a name. An index below is a row's number. */
struct kernel_param {
    const char *name; /* letters, digits, '_'; no two alike */
    enum kernel_type type;
    const char *fallback; /* as it would be written; NULL: must be given; "": may be absent (see
                             kernel_given) */
    double min, max;      /* INT, REAL: the range, when max > min */
    const char *choices;  /* CHOICE: "f32|f64" */
    const char *unit;     /* "rows", "s"; NULL: none */
    const char *help;     /* a phrase */
};

struct kernel_run;

/* Values, checked against the table before estimate() or run() is called. */
int64_t kernel_int(const struct kernel_run *run, size_t index);
double kernel_real(const struct kernel_run *run, size_t index);
bool kernel_flag(const struct kernel_run *run, size_t index);
size_t kernel_choice(const struct kernel_run *run, size_t index);
const char *kernel_text(const struct kernel_run *run, size_t index); /* also INPUT, OUTPUT */
/* Whether it has a value, written or by default. */
bool kernel_given(const struct kernel_run *run, size_t index);
/* INPUTS, OUTPUTS: how many names, and one of them. */
size_t kernel_count(const struct kernel_run *run, size_t index);
const char *kernel_item(const struct kernel_run *run, size_t index, size_t which);

/* --- the kernel --------------------------------------------------------------------------------
 */

struct kernel_estimate {
    uint64_t memory_bytes; /* the most that it needs at a time, inputs that are mapped included */
    double flops;          /* floating-point operations; 0: not known */
    bool gpu;              /* it would run on a card (kernel_device) */
};

struct kernel {
    uint32_t abi; /* KERNEL_ABI */
    const char *name;
    const char *summary; /* a line */
    const struct kernel_param *params;
    /* What run() will need, from the values and the shapes of its inputs (kernel_stat); NULL when
     * nothing can be said. False: kernel_fail was called. Must be quick. */
    bool (*estimate)(struct kernel_run *run, struct kernel_estimate *estimate);
    /* Does it. 0: done, and the outputs become visible. Else the try has failed with this exit code
     * (1 to 125), and no output of it is ever seen. kernel_fail gives both the text and the code.
     */
    int (*run)(struct kernel_run *run);
};

#define KERNEL_EXPORT(...)                                                                         \
    __attribute__((visibility("default"))) extern const struct kernel distcomp_kernel;             \
    const struct kernel distcomp_kernel = {.abi = KERNEL_ABI, __VA_ARGS__};

/* --- while it runs -----------------------------------------------------------------------------
 */

/* Writes one line "NAME: text" to standard error. Returns 1, for `return kernel_fail(...)`. */
int kernel_fail(struct kernel_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for what no retry can mend: arguments that do not fit together, shapes, NaN in the
 * input. Returns 2, and the task has failed without another try. */
int kernel_refuse(struct kernel_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Writes one line to standard error, as a note. */
void kernel_log(struct kernel_run *run, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A figure of the result: all of them are written as one line "key=value key=value" to standard
 * output when run() has returned 0. */
void kernel_result(struct kernel_run *run, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* How far it is, 0 to 1; written to standard error at most every 5 s. Cheap: call it in a loop. */
void kernel_progress(struct kernel_run *run, double done);
/* It is to end (cancelTask, timeout, memory short): return soon, with any code. After the grace the
 * host is killed. Any thread may ask. */
bool kernel_cancelled(const struct kernel_run *run);

/* Threads that it may use: min_cpu rounded up, at least 1. */
unsigned kernel_threads(const struct kernel_run *run);
/* Memory promised to the task, bytes; 0: none was asked for. */
uint64_t kernel_memory(const struct kernel_run *run);
/* The CUDA ordinal of the first card it was given, or -1. */
int kernel_device(const struct kernel_run *run);
const char *kernel_task_id(const struct kernel_run *run); /* "" outside a queue */
unsigned kernel_try(const struct kernel_run *run);        /* from 1 */

/*
 * These bytes of an array, or what was read, will not be needed soon. Where they lie in a file
 * whole pages of them stop to count as the task's memory, and what was written is on its way to the
 * disk while run() goes on. Their content does not change; elsewhere nothing happens.
 */
void kernel_release(struct kernel_run *run, const void *bytes, size_t len);
/* 64-byte aligned memory until the task ends, not zeroed. NULL: kernel_fail was called. */
void *kernel_scratch(struct kernel_run *run, size_t bytes);
/*
 * Something dear to make (a context, a compiled program) that the host keeps for later tasks, by
 * name: the pointer that is kept under `key`, at first NULL. close() is called with what is kept
 * when the host ends well. The place is the plug-in's own (two plug-ins with one key have two).
 */
void **kernel_keep(struct kernel_run *run, const char *key, void (*close)(void *kept));

/* --- data ---------------------------------------------------------------------------------------
 */
/*
 * A NAME is a file (relative to the task's directory), `redis:OBJECT` (an object in the queue's own
 * Redis), `http://...` or `https://...` (read with GET; written with PUT). Outputs are visible
 * under their names when run() has returned 0, each whole, and not at all else.
 */

enum kernel_dtype { KERNEL_F32 = 1, KERNEL_F64, KERNEL_I32, KERNEL_I64 };
#define KERNEL_DIMS_MAX 8

/* An array as .npy has it (NumPy's NEP 1). */
struct kernel_array {
    enum kernel_dtype dtype;
    unsigned dims;                 /* 0 to KERNEL_DIMS_MAX; 0: one number */
    size_t shape[KERNEL_DIMS_MAX]; /* any may be 0 */
    bool fortran;                  /* the first index runs fastest */
    void *data;                    /* elements in the machine's byte order; read-only for an input;
                                      64-byte aligned; NULL from kernel_stat */
};

size_t kernel_dtype_bytes(enum kernel_dtype dtype);
const char *kernel_dtype_name(enum kernel_dtype dtype); /* "f32" */
/* Elements. The functions below refuse an array whose bytes overflow, so the product is exact. */
size_t kernel_elements(const struct kernel_array *array);

/* Type and shape alone. False: kernel_fail was called, as below. */
bool kernel_stat(struct kernel_run *run, const char *name, struct kernel_array *array);
/* The array; a local file is mapped, so that only what is touched is read. */
bool kernel_read(struct kernel_run *run, const char *name, struct kernel_array *array);
/* Anything as bytes, with a NUL after the last. */
bool kernel_read_bytes(struct kernel_run *run, const char *name, const char **data, size_t *len);
/* Makes an output: dtype, dims, shape and fortran are the caller's; data is set, zeroed. Only the
 * process that runs run() fills it: what its children write to data may be lost. */
bool kernel_write(struct kernel_run *run, const char *name, struct kernel_array *array);
/*
 * Copies len bytes to a place within an output of kernel_write: as memcpy, but where that is a
 * mapped file of a disk (outputs of more than 4 MiB are, as a rule) they go to it by a system call,
 * and its pages do not become the task's memory. That is several times as fast as filling them for
 * the first time, from some KiB a call on. False: kernel_fail was called.
 */
bool kernel_store(struct kernel_run *run, void *to, const void *from, size_t len);
/* Whether it is such a file: then what is not made in order is better made in scratch memory. */
bool kernel_store_pays(struct kernel_run *run, const void *to);
/* An output of bytes, copied. */
bool kernel_write_bytes(struct kernel_run *run, const char *name, const void *data, size_t len);

#ifdef __cplusplus
}
#endif

#endif
