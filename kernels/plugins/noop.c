/* Does nothing: what a native task costs by itself. */
#include "kernel.h"

static const struct kernel_param params[] = {{0}};

static int run(struct kernel_run *r) {
    (void)r;
    return 0;
}

KERNEL_EXPORT(.name = "noop", .summary = "does nothing", .params = params, .run = run)
