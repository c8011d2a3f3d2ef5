/* In place of api_data.c until kernels/data is there: a try without data. */
#include "kernels/host/kernel_run.h"
#include "kernels/host/try.h"

const char *(*try_find_redis)(void);

bool run_commit(struct kernel_run *run) {
    (void)run;
    return true;
}

void run_drop_data(struct kernel_run *run) {
    (void)run;
}
