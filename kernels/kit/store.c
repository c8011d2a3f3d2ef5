#include "kernels/kit/store.h"

#define PIECE_MOST ((size_t)4 << 20) /* bytes */

bool store_bytes(struct kernel_run *run, void *to, const void *from, size_t bytes) {
    for (size_t at = 0; at < bytes; at += PIECE_MOST) {
        size_t piece = bytes - at < PIECE_MOST ? bytes - at : PIECE_MOST;
        if (kernel_cancelled(run)) {
            kernel_fail(run, "stopped while it was writing");
            return false;
        }
        if (!kernel_store(run, (char *)to + at, (const char *)from + at, piece))
            return false;
        kernel_release(run, (char *)to + at, piece);
    }
    return true;
}
