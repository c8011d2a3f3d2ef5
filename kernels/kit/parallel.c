#include "kernels/kit/parallel.h"

#include <pthread.h>
#include <stdbool.h>

struct piece {
    parallel_fn *fn;
    void *arg;
    size_t begin, end;
    pthread_t thread;
    unsigned part;
    bool started;
};

static void *run_piece(void *arg) {
    const struct piece *piece = arg;
    piece->fn(piece->arg, piece->part, piece->begin, piece->end);
    return NULL;
}

unsigned parallel_for(unsigned threads, size_t count, size_t least, parallel_fn *fn, void *arg) {
    if (!count)
        return 0;
    size_t pieces = threads < PARALLEL_MAX ? threads : PARALLEL_MAX;
    size_t most = least > 1 ? 1 + (count - 1) / least : count;
    if (pieces > most)
        pieces = most;
    if (pieces < 1)
        pieces = 1;
    struct piece list[PARALLEL_MAX];
    size_t each = count / pieces, more = count % pieces;
    for (size_t i = 1; i < pieces; i++) {
        size_t begin = each * i + (i < more ? i : more), len = each + (i < more);
        list[i] = (struct piece){fn, arg, begin, begin + len, 0, (unsigned)i, false};
        list[i].started = pthread_create(&list[i].thread, NULL, run_piece, &list[i]) == 0;
    }
    fn(arg, 0, 0, each + (more > 0));
    for (size_t i = 1; i < pieces; i++) {
        if (list[i].started)
            pthread_join(list[i].thread, NULL);
        else
            run_piece(&list[i]);
    }
    return (unsigned)pieces;
}
