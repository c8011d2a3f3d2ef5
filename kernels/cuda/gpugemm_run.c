/* gpugemm.h for a kernel that runs in a host: apart, so that the rest needs no host. */
#include <stdlib.h>

#include "kernels/cuda/gpugemm.h"

static void close_kept(void *kept) {
    gpugemm_close(kept);
    free(kept);
}

static bool is_cancelled(const void *run) {
    return kernel_cancelled(run);
}

bool gpugemm_run(struct kernel_run *run, const struct gpugemm *request,
                 struct gpugemm_result *result) {
    struct cuda_why why = {""};
    void **place = kernel_keep(run, "gpugemm", close_kept);
    struct gpugemm_state *state = *place;
    if (!state)
        state = *place = calloc(1, sizeof *state);
    if (!state) {
        kernel_fail(run, "out of memory");
        return false;
    }
    int ordinal = kernel_device(run);
    if (gpugemm_on(state, ordinal < 0 ? 0 : ordinal, request, is_cancelled, run, result, &why))
        return true;
    kernel_fail(run, "%s", why.text);
    if (!kernel_cancelled(run)) /* else the host ends by itself */
        cudadev_end_if_lost(&state->dev);
    return false;
}
