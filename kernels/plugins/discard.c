/* Makes objects empty: what blocks in Redis took is free again, and their names expire. */
#include "kernels/kernel.h"

enum { P_OBJECTS };
static const struct kernel_param params[] = {
    {"objects", KERNEL_OUTPUTS, .help = "what is not needed any more"}, {0}};

static int run(struct kernel_run *r) {
    size_t count = kernel_count(r, P_OBJECTS);
    for (size_t i = 0; i < count; i++)
        if (!kernel_write_bytes(r, kernel_item(r, P_OBJECTS, i), "", 0))
            return 1;
    kernel_result(r, "objects", "%zu", count);
    return 0;
}

KERNEL_EXPORT(.name = "discard", .summary = "makes objects empty, so that they take no memory",
              .params = params, .run = run)
