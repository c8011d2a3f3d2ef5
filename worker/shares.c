#include "worker/shares.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "common/buf.h"
#include "worker/procfile.h"

struct shares {
    const char *root;
    bool busy;
    pthread_t thread;
    int32_t *pids;
    size_t count;
    atomic_bool stop, done;
    struct shares_answer answer; /* the thread's until done */
};

static uint64_t thread_cpu_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void *ask_all(void *arg) {
    struct shares *s = arg;
    setpriority(PRIO_PROCESS, (id_t)gettid(), 10);
    for (size_t i = 0; i < s->count && !atomic_load(&s->stop); i++) {
        uint64_t bytes = 0;
        struct process_stat stat;
        if (procfile_shares(s->root, s->pids[i], &bytes))
            s->answer.bytes += bytes;
        else if (procfile_stat(s->root, s->pids[i], &stat) && !procfile_dead(&stat))
            s->answer.known = false;
    }
    s->answer.cost_us = thread_cpu_us();
    atomic_store(&s->done, true);
    return NULL;
}

struct shares *shares_new(const char *root) {
    struct shares *s = xcalloc(1, sizeof *s);
    s->root = root;
    return s;
}

void shares_free(struct shares *s) {
    if (!s)
        return;
    atomic_store(&s->stop, true);
    if (s->busy)
        pthread_join(s->thread, NULL);
    free(s->pids);
    free(s);
}

bool shares_busy(const struct shares *s) {
    return s->busy;
}

bool shares_ask(struct shares *s, uint64_t tag, const int32_t *pids, size_t count) {
    free(s->pids);
    s->pids = xmalloc((count ? count : 1) * sizeof *pids);
    memcpy(s->pids, pids, count * sizeof *pids);
    s->count = count;
    s->answer = (struct shares_answer){.tag = tag, .known = true};
    atomic_store(&s->done, false);
    sigset_t all, before; /* signals are the loop's */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    s->busy = pthread_create(&s->thread, NULL, ask_all, s) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->busy;
}

bool shares_answer(struct shares *s, struct shares_answer *answer) {
    if (!s->busy || !atomic_load(&s->done))
        return false;
    pthread_join(s->thread, NULL);
    s->busy = false;
    *answer = s->answer;
    return true;
}
