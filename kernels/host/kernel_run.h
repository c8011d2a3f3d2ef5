/*
 * kernel_run.h - the host's side of kernel.h: what a try has. Only try.c and api*.c know it.
 */
#ifndef DISTCOMP_KERNEL_RUN_H
#define DISTCOMP_KERNEL_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include "common/buf.h"
#include "kernels/data/data.h"
#include "kernels/host/plugin.h"

struct kernel_run {
    struct plugin *plugin;
    int complaint;      /* what kernel_fail or kernel_refuse returned last; 0: not called */
    struct buf line;    /* of standard error, being made */
    struct buf results; /* "key=value key=value" */
    struct kernel_estimate estimate;
    time_t next_progress_s; /* monotonic */
    void **scratch;
    size_t scratch_count, scratch_room;
    struct data *data; /* NULL until a data function is called */
};

/* Writes "NAME: text" and a newline to standard error, by one write. */
void run_say(struct kernel_run *run, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* What the environment says. */
unsigned run_threads(void);
uint64_t run_memory_bytes(void);

/* Makes the outputs visible, if there are any. False: kernel_fail was called. */
bool run_commit(struct kernel_run *run);
/* Outputs that are not visible yet are gone. */
void run_drop_data(struct kernel_run *run);
/* Frees what a try had; outputs that are not visible yet are gone. The struct is ready again. */
void run_clear(struct kernel_run *run);

#endif
