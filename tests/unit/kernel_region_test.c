/* Memory that inputs and outputs lie in, and what of it is given back before the end
 * (kernels/data/region.h). */
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "kernels/data/file.h"
#include "kernels/data/region.h"

#define PAGES 16u

static size_t page;

/* KiB of the mapping at data that are in memory as this process's. */
static long resident_kib(const void *data) {
    FILE *maps = fopen("/proc/self/smaps", "re");
    char line[512], head[32];
    long kib = -1;
    bool in = false;
    assert_non_null(maps);
    snprintf(head, sizeof head, "%08" PRIxPTR "-", (uintptr_t)data);
    while (kib < 0 && fgets(line, sizeof line, maps)) {
        in = in || strncmp(line, head, strlen(head)) == 0;
        if (in)
            sscanf(line, "Rss: %ld", &kib);
    }
    fclose(maps);
    return kib;
}

static int file_of(char byte) {
    char path[] = "/tmp/kernel_region_test.XXXXXX", bytes[4096];
    int fd = mkstemp(path);
    assert_true(fd >= 0 && unlink(path) == 0);
    memset(bytes, byte, sizeof bytes);
    for (size_t i = 0; i < PAGES * page / sizeof bytes; i++)
        assert_int_equal(write(fd, bytes, sizeof bytes), sizeof bytes);
    return fd;
}

static void all_are(const char *bytes, char byte, size_t len) {
    for (size_t i = 0; i < len; i++)
        assert_int_equal(bytes[i], byte);
}

static void pages_of_an_input_go(void **state) {
    (void)state;
    struct region region;
    struct buf error = BUF_INIT;
    int fd = file_of('i');
    assert_true(region_map_input(&region, fd, PAGES * page, &error));
    close(fd);
    all_are(region.bytes, 'i', region.len);
    assert_int_equal(resident_kib(region.bytes), PAGES * page / 1024);
    region_release(&region, region.bytes + 1,
                   region.len - 1); /* not the first: a byte of it may be wanted */
    assert_int_equal(resident_kib(region.bytes), page / 1024);
    region_release(&region, region.bytes + page, 1);
    all_are(region.bytes, 'i', region.len);
    assert_int_equal(region.bytes[region.len], 0);
    region_free(&region);
    buf_free(&error);
}

static void pages_of_its_own_stay(void **state) {
    (void)state;
    struct region region;
    struct buf error = BUF_INIT;
    assert_true(region_make(&region, PAGES * page, &error));
    memset(region.bytes, 'm', region.len);
    region_release(&region, region.bytes, region.len);
    all_are(region.bytes, 'm', region.len);
    region_free(&region);
    region_release(&region, NULL, 0);
    buf_free(&error);
}

static void what_was_written_to_an_output_is_in_its_file(void **state) {
    (void)state;
    char path[] = "/tmp/kernel_region_test.XXXXXX", name[64];
    struct outfile out;
    struct buf error = BUF_INIT;
    assert_non_null(mkdtemp(path));
    snprintf(name, sizeof name, "%s/out", path);
    assert_true(outfile_open(&out, name, &error) && outfile_map(&out, PAGES * page, &error));
    memset(out.map.bytes, 'o', out.map.len);
    outfile_release(&out, out.map.bytes + 5 * page, 3 * page);
    assert_int_equal(resident_kib(out.map.bytes), (PAGES - 3) * page / 1024);
    out.map.bytes[6 * page] = 'x'; /* it may be needed all the same */
    assert_true(outfile_store(&out, &error) && outfile_publish(&out, &error));
    outfile_free(&out);
    struct region region;
    int fd = open(name, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0 && region_map_input(&region, fd, PAGES * page, &error));
    all_are(region.bytes, 'o', 6 * page);
    assert_int_equal(region.bytes[6 * page], 'x');
    all_are(region.bytes + 6 * page + 1, 'o', region.len - 6 * page - 1);
    region_free(&region);
    close(fd);
    assert_true(unlink(name) == 0 && rmdir(path) == 0);
    buf_free(&error);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_of_an_input_go),
        cmocka_unit_test(pages_of_its_own_stay),
        cmocka_unit_test(what_was_written_to_an_output_is_in_its_file),
    };
    page = (size_t)sysconf(_SC_PAGESIZE);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
