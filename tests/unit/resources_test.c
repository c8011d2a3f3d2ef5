/* resources.h: what a machine gives, from directories that look like /proc and /sys. */
#include "tests/unit/dir_rig.h"

#include <sched.h>

#include "common/clock.h"
#include "worker/resources.h"

#define MI (UINT64_C(1) << 20)
#define GI (UINT64_C(1) << 30)

static struct resource_meter *meter; /* one lives through each test */
static int64_t clock_ms = 1;

static int down(void **state) {
    (void)state;
    resource_meter_close(meter);
    meter = NULL;
    return dir_remove();
}

/* Both versions, where distributions mount them. */
#define MOUNT_V2     "30 23 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
#define MOUNT_HYBRID "41 31 0:38 / /sys/fs/cgroup/unified rw shared:9 - cgroup2 cgroup2 rw\n"
#define MOUNTS_V1                                                                                  \
    "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime shared:4 - cgroup cgroup rw,memory\n"          \
    "33 31 0:30 / /sys/fs/cgroup/cpu rw,relatime shared:5 - cgroup cgroup rw,cpu,cpuacct\n"        \
    "34 31 0:31 / /sys/fs/cgroup/cpuset rw,relatime shared:6 - cgroup cgroup rw,cpuset\n"

/* A machine of 16 GiB with 12 free, and no cgroup. */
static int up(void **state) {
    (void)state;
    if (dir_make() != 0)
        return -1;
    put("/proc/meminfo", "MemTotal:       16777216 kB\nMemFree:         1048576 kB\n"
                         "MemAvailable:   12582912 kB\nBuffers:          1000 kB\n");
    put("/proc/self/mountinfo", MOUNT_V2 MOUNTS_V1);
    return 0;
}

static uint32_t machine_mcpu(void) {
    cpu_set_t set;
    assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
    return (uint32_t)CPU_COUNT(&set) * 1000;
}

static mono_ms_t fake_mono(void) {
    return (mono_ms_t){clock_ms};
}

static void expect(uint64_t total, uint64_t available) {
    struct resources r;
    if (!meter)
        meter = resource_meter_open(root);
    clock_ms += RESOURCES_RESCAN_MS;
    resources_read(&r, root);
    assert_int_equal(r.mem_total_bytes, total);
    assert_int_equal(r.mem_available_bytes, available);
    assert_int_equal(resources_available(root), available);
    assert_int_equal(resource_meter_available(meter), available);
}

static void expect_mcpu(uint32_t mcpu) {
    struct resources r;
    resources_read(&r, root);
    assert_int_equal(r.mcpu, mcpu < machine_mcpu() ? mcpu : machine_mcpu());
}

static void without_cgroups(void **state) {
    (void)state;
    expect(16 * GI, 12 * GI);
    expect_mcpu(UINT32_MAX);
}

static void without_any_file_nothing_is_limited(void **state) {
    (void)state;
    uint64_t installed = (uint64_t)sysconf(_SC_PHYS_PAGES) * (uint64_t)sysconf(_SC_PAGESIZE);
    put("/proc/meminfo", "");
    expect(installed, installed);
    resource_meter_close(meter);
    meter = NULL;
    strcat(root, "/proc"); /* nothing of that kind below it */
    expect(installed, installed);
    expect_mcpu(UINT32_MAX);
    root[strlen(root) - 5] = '\0';
    resource_meter_close(meter);
    meter = NULL;
    put("/proc/meminfo", "MemTotal: 1024 kB\n"); /* as kernels before 3.14 */
    expect(MI, MI);
    put("/proc/meminfo", "MemTotal: 1024 kB\nMemAvailable: 0 kB\n");
    expect(MI, 0);
}

static void v2_limit_and_page_cache(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a.slice/job:1\n");
    put("/sys/fs/cgroup/a.slice/job:1/memory.max", "4294967296\n");
    put("/sys/fs/cgroup/a.slice/job:1/memory.current", "1073741824\n");
    expect(4 * GI, 3 * GI);
    /* Page cache is not in use, whether it was touched once or often: a task that has read 2 GiB
     * has taken nothing. */
    put("/sys/fs/cgroup/a.slice/job:1/memory.stat",
        "anon 5\nfile 900000000\ninactive_file 536870912\nactive_file 268435456\n");
    expect(4 * GI, 3 * GI + 768 * MI);
    /* But what has to be written first is, and of the slab only half can be counted on. */
    put("/sys/fs/cgroup/a.slice/job:1/memory.stat",
        "anon 5\nfile_dirty 134217728\nfile_writeback 67108864\ninactive_file 536870912\n"
        "active_file 268435456\nslab_reclaimable 134217728\nslab 1\nworkingset_refault_file 9\n");
    expect(4 * GI, 3 * GI + 768 * MI - 128 * MI - 64 * MI + 64 * MI);
    put("/sys/fs/cgroup/a.slice/job:1/memory.stat", "inactive_file 5\nfile_dirty 99999999\n");
    expect(4 * GI, 3 * GI);
    put("/sys/fs/cgroup/a.slice/job:1/memory.stat", "inactive_file 99999999999999\n");
    expect(4 * GI, 4 * GI);
    put("/sys/fs/cgroup/a.slice/job:1/memory.current", "9999999999\n"); /* above its limit */
    put("/sys/fs/cgroup/a.slice/job:1/memory.stat", "");
    expect(4 * GI, 0);
}

static void v2_memory_high_is_a_limit_too(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "4294967296\n");
    put("/sys/fs/cgroup/a/memory.high", "3221225472\n");
    put("/sys/fs/cgroup/a/memory.current", "1073741824\n");
    expect(3 * GI, 2 * GI);
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    expect(3 * GI, 2 * GI);
    put("/sys/fs/cgroup/a/memory.high", "max\n");
    expect(16 * GI, 12 * GI);
}

static void v2_smallest_of_nested_limits_counts(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a/b/c\n");
    put("/sys/fs/cgroup/a/b/c/memory.max", "max\n");
    put("/sys/fs/cgroup/a/b/memory.max", "8589934592\n");
    put("/sys/fs/cgroup/a/b/memory.current", "0\n");
    put("/sys/fs/cgroup/a/memory.max", "2147483648\n");
    put("/sys/fs/cgroup/a/memory.current", "1073741824\n");
    expect(2 * GI, GI);
    /* A wider limit may still have less left: others below it take it. */
    put("/sys/fs/cgroup/a/memory.max", "10737418240\n");
    put("/sys/fs/cgroup/a/memory.current", "10200547328\n");
    expect(8 * GI, 512 * MI);
}

static void v2_max_is_no_limit(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.current", "1099511627776\n");
    put("/sys/fs/cgroup/a/cpu.max", "max 100000\n");
    expect(16 * GI, 12 * GI);
    expect_mcpu(UINT32_MAX);
}

static void a_limit_on_the_mount_itself(void **state) {
    (void)state;
    /* In a container's own namespace the path is "/", and the mount is its group. */
    put("/proc/self/cgroup", "0::/\n");
    put("/sys/fs/cgroup/memory.max", "1073741824\n");
    put("/sys/fs/cgroup/memory.current", "1048576\n");
    expect(GI, GI - MI);
    /* Above the mount nothing is read. */
    put("/sys/fs/memory.max", "1024\n");
    expect(GI, GI - MI);
}

static void v1_limit_with_its_own_names(void **state) {
    (void)state;
    put("/proc/self/cgroup", "12:pids:/x\n5:memory:/docker/1\n3:cpu,cpuacct:/docker/1\n");
    put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "3221225472\n");
    put("/sys/fs/cgroup/memory/docker/1/memory.usage_in_bytes", "2147483648\n");
    put("/sys/fs/cgroup/memory/docker/1/memory.stat",
        "inactive_file 999999999\nactive_file 999999999\ntotal_inactive_file 805306368\n"
        "total_active_file 402653184\ntotal_dirty 67108864\ntotal_writeback 67108864\n");
    expect(3 * GI, 2 * GI);
    /* As v1 writes "none". */
    put("/sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", "9223372036854771712\n");
    expect(16 * GI, 12 * GI);
}

static void v1_path_that_a_container_does_not_see(void **state) {
    (void)state;
    put("/proc/self/cgroup", "5:memory:/docker/1\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "1073741824\n");
    put("/sys/fs/cgroup/memory/memory.usage_in_bytes", "0\n");
    expect(GI, GI);
}

static void both_versions_side_by_side(void **state) {
    (void)state;
    put("/proc/self/mountinfo", MOUNTS_V1 MOUNT_HYBRID);
    put("/proc/self/cgroup", "5:memory:/m\n2:cpu:/c\n0::/u\n");
    put("/sys/fs/cgroup/memory/m/memory.limit_in_bytes", "8589934592\n");
    put("/sys/fs/cgroup/memory/m/memory.usage_in_bytes", "0\n");
    put("/sys/fs/cgroup/unified/u/memory.max", "4294967296\n");
    put("/sys/fs/cgroup/unified/u/memory.current", "0\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_quota_us", "20000\n");
    put("/sys/fs/cgroup/cpu/c/cpu.cfs_period_us", "100000\n");
    expect(4 * GI, 4 * GI);
    expect_mcpu(200);
    put("/sys/fs/cgroup/unified/u/cpu.max", "10000 100000\n");
    expect_mcpu(100);
}

static void cpu_quotas(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
    expect_mcpu(500);
    put("/sys/fs/cgroup/a/cpu.max", "12500 50000\n"); /* the one above is tighter */
    expect_mcpu(250);
    put("/sys/fs/cgroup/a/cpu.max", "1 1000000\n"); /* never 0 */
    expect_mcpu(1);
    put("/sys/fs/cgroup/a/cpu.max", "99999999 100000\n"); /* more than there is */
    expect_mcpu(500);
    put("/sys/fs/cgroup/a/b/cpu.max", "50000 0\n"); /* nonsense limits nothing */
    put("/sys/fs/cgroup/a/cpu.max", "");
    expect_mcpu(UINT32_MAX);
}

static void v1_cpu_quotas(void **state) {
    (void)state;
    put("/proc/self/cgroup", "3:cpu,cpuacct:/d\n");
    put("/sys/fs/cgroup/cpu/d/cpu.cfs_quota_us", "30000\n");
    put("/sys/fs/cgroup/cpu/d/cpu.cfs_period_us", "100000\n");
    expect_mcpu(300);
    put("/sys/fs/cgroup/cpu/d/cpu.cfs_quota_us", "-1\n");
    expect_mcpu(UINT32_MAX);
    /* A controller whose name only contains "cpu" is another one. */
    put("/proc/self/cgroup", "3:cpuset:/d\n4:xcpu:/d\n5:memoryx:/d\n6:xmemory:/d\n");
    put("/sys/fs/cgroup/cpu/d/cpu.cfs_quota_us", "30000\n");
    put("/sys/fs/cgroup/memory/d/memory.limit_in_bytes", "1048576\n");
    expect_mcpu(UINT32_MAX);
    expect(16 * GI, 12 * GI);
}

static void lines_that_make_no_sense(void **state) {
    (void)state;
    put("/proc/self/cgroup", "\nnothing\n5:\n:\n::\n0::/a");
    put("/sys/fs/cgroup/a/memory.max", "1073741824");
    expect(GI, GI); /* no memory.current: nothing is in use */
}

/* --- a meter that is kept open ---------------------------------------------------------------- */

static void the_meter_sees_use_at_once_and_limits_after_a_while(void **state) {
    (void)state;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "4294967296\n");
    put("/sys/fs/cgroup/a/memory.current", "1073741824\n");
    expect(4 * GI, 3 * GI);
    put("/sys/fs/cgroup/a/memory.current", "2147483648\n");
    assert_int_equal(resource_meter_available(meter), 2 * GI);
    put("/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 1048576 kB\n");
    assert_int_equal(resource_meter_available(meter), GI);
    put("/proc/meminfo", "MemTotal: 16777216 kB\nMemAvailable: 12582912 kB\n");
    put("/sys/fs/cgroup/a/memory.max", "3221225472\n");
    clock_ms += RESOURCES_RESCAN_MS - 1;
    assert_int_equal(resource_meter_available(meter), 2 * GI);
    clock_ms += 1;
    assert_int_equal(resource_meter_available(meter), GI);
}

static void the_meter_follows_the_process_into_another_group(void **state) {
    (void)state;
    struct resource_limit limit;
    put("/proc/self/cgroup", "0::/a\n");
    put("/sys/fs/cgroup/a/memory.max", "4294967296\n");
    put("/sys/fs/cgroup/b/memory.max", "1073741824\n");
    expect(4 * GI, 4 * GI);
    assert_true(resource_meter_limit(meter, 0, &limit));
    assert_int_equal(limit.limit_bytes, 4 * GI);
    assert_true(limit.v2);
    put("/proc/self/cgroup", "0::/b\n");
    expect(GI, GI);
    assert_true(resource_meter_limit(meter, 0, &limit));
    assert_non_null(strstr(limit.directory, "/sys/fs/cgroup/b"));
    assert_false(resource_meter_limit(meter, 1, &limit));
    put("/proc/self/cgroup", "0::/\n");
    expect(16 * GI, 12 * GI);
}

static void mounts_are_where_mountinfo_says(void **state) {
    (void)state;
    put("/proc/self/mountinfo", "9 1 0:2 /docker/1 /cg\\040two rw - cgroup2 none rw\n");
    put("/proc/self/cgroup", "0::/docker/1/inner\n");
    put("/cg two/memory.max", "2147483648\n");
    put("/cg two/inner/memory.max", "1073741824\n");
    put("/cg two/inner/memory.current", "1048576\n");
    put("/sys/fs/cgroup/docker/1/memory.max", "1024\n"); /* not mounted there */
    expect(GI, GI - MI);
}

static void cpusets(void **state) {
    (void)state;
    struct resources r;
    cpu_set_t mask;
    assert_int_equal(sched_getaffinity(0, sizeof mask, &mask), 0);
    size_t first = 0;
    while (!CPU_ISSET(first, &mask))
        first++;
    char text[32];
    snprintf(text, sizeof text, "%zu\n", first);
    put("/proc/self/cgroup", "3:cpuset:/d\n0::/e\n");
    put("/sys/fs/cgroup/cpuset/d/cpuset.effective_cpus", text);
    expect_mcpu(1000);
    resources_read(&r, root);
    assert_int_equal(cpus_count(&r.cpus), 1);
    assert_int_equal(cpus_next(&r.cpus, 0), first);
    /* One that has nothing we may run on is no news of ours. */
    put("/sys/fs/cgroup/cpuset/d/cpuset.effective_cpus", "4000\n");
    expect_mcpu(UINT32_MAX);
    put("/sys/fs/cgroup/e/cpuset.cpus.effective", text);
    expect_mcpu(1000);
}

static void boot_id_is_one_line(void **state) {
    (void)state;
    struct buf out = BUF_INIT;
    resources_boot_id(&out);
    assert_true(out.len == 36 || strcmp(out.data, "unknown") == 0);
    assert_null(strchr(out.data, '\n'));
    buf_free(&out);
}

int main(void) {
    const struct clock_source clocks = {.mono = fake_mono};
    clock_replace(&clocks);
    const struct CMUnitTest tests[] = {
        fresh(without_cgroups),
        fresh(without_any_file_nothing_is_limited),
        fresh(v2_limit_and_page_cache),
        fresh(v2_memory_high_is_a_limit_too),
        fresh(v2_smallest_of_nested_limits_counts),
        fresh(v2_max_is_no_limit),
        fresh(a_limit_on_the_mount_itself),
        fresh(v1_limit_with_its_own_names),
        fresh(v1_path_that_a_container_does_not_see),
        fresh(both_versions_side_by_side),
        fresh(cpu_quotas),
        fresh(v1_cpu_quotas),
        fresh(lines_that_make_no_sense),
        fresh(the_meter_sees_use_at_once_and_limits_after_a_while),
        fresh(the_meter_follows_the_process_into_another_group),
        fresh(mounts_are_where_mountinfo_says),
        fresh(cpusets),
        fresh(boot_id_is_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
