#include "kernels/host/tryuse.h"

#include <fcntl.h>
#include <malloc.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

#define RISE_KIB UINT64_C(1024)        /* less does not make a mark worth setting back */
#define BIG_KIB  (UINT64_C(32) * 1024) /* a rise by more: free memory is given back */

static struct {
    struct host_use whole; /* taken so far */
    uint64_t mark_kib;     /* when it was set back, or at the start */
    uint64_t high_kib;     /* at the last take */
    uint64_t child_kib;
    int reset_fd; /* /proc/self/clear_refs, or -1 */
} use = {.reset_fd = -1};

static uint64_t us(struct timeval t) {
    return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_usec;
}

static uint64_t high_kib(void) {
    struct rusage self;
    getrusage(RUSAGE_SELF, &self);
    return (uint64_t)self.ru_maxrss;
}

void tryuse_start(void) {
    use.reset_fd = open("/proc/self/clear_refs", O_WRONLY | O_CLOEXEC);
    use.mark_kib = use.high_kib = high_kib();
}

/* Resident memory now; 0: not known. */
static uint64_t resident_kib(void) {
    char text[128];
    int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
    ssize_t len = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    if (fd >= 0)
        close(fd);
    if (len <= 0)
        return 0;
    text[len] = '\0';
    char *at = text;
    strtoull(at, &at, 10);
    return strtoull(at, NULL, 10) * (uint64_t)sysconf(_SC_PAGESIZE) / 1024;
}

struct host_use tryuse_take(void) {
    struct rusage self, children;
    getrusage(RUSAGE_SELF, &self);
    getrusage(RUSAGE_CHILDREN, &children);
    uint64_t high = (uint64_t)self.ru_maxrss, child = (uint64_t)children.ru_maxrss;
    struct host_use whole = {us(self.ru_utime) + us(children.ru_utime),
                             us(self.ru_stime) + us(children.ru_stime), high,
                             512 * (uint64_t)(self.ru_inblock + children.ru_inblock),
                             512 * (uint64_t)(self.ru_oublock + children.ru_oublock)};
    struct host_use taken = {
        whole.user_us - use.whole.user_us, whole.system_us - use.whole.system_us, high,
        whole.read_bytes - use.whole.read_bytes, whole.write_bytes - use.whole.write_bytes};
    /* A mark that cannot be set back and did not rise says nothing of this try. */
    if (use.reset_fd < 0 && high <= use.high_kib && resident_kib())
        taken.maxrss_kib = resident_kib();
    if (child > use.child_kib && child > taken.maxrss_kib)
        taken.maxrss_kib = child;
    use.whole = whole;
    use.high_kib = high;
    use.child_kib = child;
    return taken;
}

void tryuse_settle(void) {
    uint64_t rise = use.high_kib > use.mark_kib ? use.high_kib - use.mark_kib : 0;
    if (rise > BIG_KIB)
        malloc_trim(0);
    if (rise <= RISE_KIB || use.reset_fd < 0)
        return;
    if (write(use.reset_fd, "5", 1) != 1) {
        close(use.reset_fd);
        use.reset_fd = -1;
        return;
    }
    use.mark_kib = use.high_kib = high_kib();
}
