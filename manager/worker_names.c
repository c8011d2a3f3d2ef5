#include "manager/worker_names.h"

const struct opt worker_names_options[] = {
    {.name = "all", .kind = KIND_BOOL, .preset = "false", .help = "every worker"}, OPT_END};

bool worker_names_check(const struct args *args, struct buf *error) {
    bool all = args_bool(args, "all"), named = args->operand_count > 0;
    if (all && named)
        buf_adds(error, "expected either NAME or --all, not both");
    else if (!all && !named)
        buf_adds(error, "expected NAME (checkWorker lists them), or --all");
    return all != named;
}
