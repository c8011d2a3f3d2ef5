/*
 * tryuse.h - what each of several tries in one process has used: the differences of getrusage, and
 * the high-water mark of memory, which /proc/self/clear_refs sets back.
 */
#ifndef DISTCOMP_KERNEL_TRYUSE_H
#define DISTCOMP_KERNEL_TRYUSE_H

#include <stdint.h>

#include "worker/hostwire.h"

/* Before the first try. What the process used until then counts for it. */
void tryuse_start(void);
/* What was used since the call before. */
struct host_use tryuse_take(void);
/* After a try: when it took much memory, what is free goes back to the system; the high-water mark
 * is set back when it has risen. */
void tryuse_settle(void);

#endif
