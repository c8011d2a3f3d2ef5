#include "kernels/data/region.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/units.h"

#define SLACK   1u /* the NUL behind the content */
#define LEN_MAX ((size_t)PTRDIFF_MAX - (1u << 20))

static size_t whole_pages(size_t len) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (len + page - 1) / page * page;
}

static bool no_memory(size_t len, struct buf *error) {
    int reason = errno;
    buf_adds(error, "does not fit into memory (");
    units_add_bytes(error, len);
    buf_addf(error, "): %s", strerror(reason));
    return false;
}

/* Pages of its own for len bytes and `more`. */
static bool map_pages(struct region *region, size_t len, size_t more, int protection,
                      struct buf *error) {
    *region = (struct region)REGION_NONE;
    if (len > LEN_MAX) {
        errno = ENOMEM;
        return no_memory(len, error);
    }
    size_t mapped = whole_pages(len + more);
    void *base = mmap(NULL, mapped, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (base == MAP_FAILED)
        return no_memory(len, error);
    *region = (struct region){base, 0, base, mapped, false};
    return true;
}

bool region_map_input(struct region *region, int fd, size_t len, struct buf *error) {
    /* The NUL is in the file's last page, or else in a page of zeros behind it. */
    if (!map_pages(region, len, 1, PROT_READ, error))
        return false;
    region->len = len;
    region->in_file = true;
    /* Shared, so that pages may be given back. */
    if (len && mmap(region->base, len, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED) {
        buf_addf(error, "cannot be mapped: %s", strerror(errno));
        region_free(region);
        return false;
    }
    return true;
}

bool region_map_output(struct region *region, int fd, size_t len, struct buf *error) {
    *region = (struct region)REGION_NONE;
    void *base = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (base == MAP_FAILED) {
        buf_addf(error, "cannot be mapped: %s", strerror(errno));
        return false;
    }
    *region = (struct region){base, len, base, len, true};
    return true;
}

bool region_make(struct region *region, size_t len, struct buf *error) {
    if (!map_pages(region, len, SLACK, PROT_READ | PROT_WRITE, error))
        return false;
    region->len = len;
    return true;
}

bool region_reserve(struct region *region, size_t extra, struct buf *error) {
    size_t wanted;
    if (__builtin_add_overflow(region->len, extra, &wanted) || wanted > LEN_MAX) {
        errno = ENOMEM;
        return no_memory(extra, error);
    }
    wanted += SLACK;
    if (wanted <= region->mapped)
        return true;
    if (!region->base) {
        bool ok = region_make(region, extra, error);
        region->len = 0;
        return ok;
    }
    size_t mapped = whole_pages(wanted);
    void *base = mremap(region->base, region->mapped, mapped, MREMAP_MAYMOVE);
    if (base == MAP_FAILED)
        return no_memory(wanted, error);
    region->base = base;
    region->bytes = base;
    region->mapped = mapped;
    return true;
}

void region_seal(struct region *region) {
    if (region->base)
        mprotect(region->base, region->mapped, PROT_READ); /* only a help against mistakes */
}

void region_release(const struct region *region, const void *bytes, size_t len) {
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), start = (uintptr_t)bytes;
    uintptr_t first = (start + page - 1) / page * page, end = (start + len) / page * page;
    if (region->in_file && first < end)
        madvise((char *)region->base + (first - (uintptr_t)region->base), end - first,
                MADV_DONTNEED);
}

void region_free(struct region *region) {
    if (region->base)
        munmap(region->base, region->mapped);
    *region = (struct region)REGION_NONE;
}

/* --- pieces ------------------------------------------------------------------------------------
 */

#define GROW_LEAST (UINT64_C(1) << 16)

bool intake_start(struct intake *intake, uint64_t bytes, struct buf *error) {
    region_free(&intake->region);
    if (bytes == UINT64_MAX)
        return region_make(&intake->region, 0, error);
    if (bytes > intake->most)
        bytes = intake->most;
    bool ok = region_make(&intake->region, (size_t)bytes, error);
    intake->region.len = 0;
    return ok;
}

bool intake_add(struct intake *intake, const void *bytes, size_t len, struct buf *error) {
    struct region *region = &intake->region;
    if (len > intake->most - region->len)
        len = intake->most - region->len;
    size_t have = region->mapped;
    if (region->len + len + SLACK > have) {
        size_t grow = have / 2 > GROW_LEAST ? have / 2 : GROW_LEAST;
        if (!region_reserve(region, len > grow ? len : grow, error))
            return false;
    }
    memcpy(region->bytes + region->len, bytes, len);
    region->len += len;
    region->bytes[region->len] = '\0';
    return true;
}

bool intake_full(const struct intake *intake) {
    return intake->region.len >= intake->most;
}
