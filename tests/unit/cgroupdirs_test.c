/* cgroupdirs.h: from mountinfo and /proc/self/cgroup to directories. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/cgroupdirs.h"

#define OTHER                                                                                      \
    "22 27 0:21 / /proc rw - proc proc rw\n23 27 0:22 / /sys ro,nosuid shared:1 - sysfs s rw\n"

/* What is found: the group's directory, and in parentheses what of it is the mount. */
static void expect(size_t row, const struct cgroupdir *dir, const char *wanted) {
    struct buf text = BUF_INIT;
    if (dir->path.len)
        buf_addf(&text, "(%.*s)%s", (int)dir->mount_len, dir->path.data,
                 dir->path.data + dir->mount_len);
    if (strcmp(text.data, wanted) != 0)
        fail_msg("row %zu: '%s', not '%s'", row, text.data, wanted);
    buf_free(&text);
}

static void found_by_table(void **state) {
    (void)state;
    static const struct {
        const char *mountinfo, *cgroup, *v2, *memory;
    } rows[] = {
        /* a host with v2 */
        {OTHER "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/a.slice/b.scope\n",
         "(/sys/fs/cgroup)/a.slice/b.scope", ""},
        /* its first group */
        {OTHER "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n", "0::/\n",
         "(/sys/fs/cgroup)", ""},
        /* v1 beside v2 */
        {"41 31 0:38 / /cg/unified rw - cgroup2 cgroup2 rw\n"
         "35 31 0:32 / /cg/memory rw shared:4 master:1 - cgroup cgroup rw,memory\n"
         "33 31 0:30 / /cg/cpu rw - cgroup cgroup rw,cpu,cpuacct\n",
         "5:memory:/m\n3:cpu,cpuacct:/c\n1:name=systemd:/s\n0::/u\n", "(/cg/unified)/u",
         "(/cg/memory)/m"},
        /* a container that sees the host's paths, with its own group mounted */
        {"35 31 0:32 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
         "5:memory:/docker/1\n", "", "(/sys/fs/cgroup/memory)"},
        {"35 31 0:32 /docker/1 /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
         "5:memory:/docker/1/inner\n", "", "(/sys/fs/cgroup/memory)/inner"},
        /* the name only begins alike, or is another: the mount's top is what can be read */
        {"35 31 0:32 /docker/1 /m ro - cgroup cgroup rw,memory\n", "5:memory:/docker/12\n", "",
         "(/m)"},
        {"35 31 0:32 /docker/1 /m ro - cgroup cgroup rw,memory\n", "5:memory:/system.slice\n", "",
         "(/m)"},
        /* in a namespace of its own, with the host's hierarchy mounted over it */
        {"30 23 0:26 /../.. /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n", "0::/\n", "(/sys/fs/cgroup)",
         ""},
        /* moved out of its namespace */
        {"30 23 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup2 rw\n", "0::/../other\n",
         "(/sys/fs/cgroup)", ""},
        /* of two mounts, the one that shows more above us, whichever comes first */
        {"30 23 0:26 /a/b /deep rw - cgroup2 c rw\n31 23 0:26 / /top rw - cgroup2 c rw\n",
         "0::/a/b/c\n", "(/top)/a/b/c", ""},
        {"31 23 0:26 / /top rw - cgroup2 c rw\n30 23 0:26 /a/b /deep rw - cgroup2 c rw\n",
         "0::/a/b/c\n", "(/top)/a/b/c", ""},
        {"30 23 0:26 /x /other rw - cgroup2 c rw\n31 23 0:26 /a /ours rw - cgroup2 c rw\n",
         "0::/a/b\n", "(/ours)/b", ""},
        /* blanks, colons and backslashes in names */
        {"30 23 0:26 /a\\040b /c\\134d\\011e rw - cgroup2 c rw\n", "0::/a b/x:y\n",
         "(/c\\d\te)/x:y", ""},
        /* no optional fields, or many; a source with a blank */
        {"30 23 0:26 / /m rw shared:1 master:2 propagate_from:3 unbindable - cgroup2 no\\040ne "
         "rw\n",
         "0::/q\n", "(/m)/q", ""},
        /* a controller whose name only contains ours; a hierarchy that is not mounted */
        {"35 31 0:32 / /m rw - cgroup cgroup rw,memoryx,xmemory\n", "5:memory:/q\n", "", ""},
        {"30 23 0:26 / /m rw - cgroup2 c rw\n", "5:memory:/q\n", "", ""},
        {"30 23 0:26 / /m rw - cgroup2 c rw\n", "5:xmemory,memory2:/q\n", "", ""},
        /* lines that make no sense */
        {"", "0::/a\n", "", ""},
        {"x\n\n30 23\n30 23 0:26 / /m rw cgroup2 c rw\n", "\n:\n0:\n0::\n0::a\n5:memory\n", "", ""},
        {"30 23 0:26 / /m rw - cgroup2 c rw", "0::/last", "(/m)/last", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct cgroupdirs found;
        cgroupdirs_find(&found, rows[i].mountinfo, rows[i].cgroup, "");
        expect(i, &found.dirs[CGROUP_V2], rows[i].v2);
        expect(i, &found.dirs[CGROUP_V1_MEMORY], rows[i].memory);
        cgroupdirs_free(&found);
    }
}

static void prefix_comes_first(void **state) {
    (void)state;
    struct cgroupdirs found;
    cgroupdirs_find(&found, "33 31 0:30 /d /c rw - cgroup cgroup rw,cpu,cpuacct\n",
                    "3:cpu,cpuacct:/d/e\n", "/tmp/x");
    expect(0, &found.dirs[CGROUP_V1_CPU], "(/tmp/x/c)/e");
    expect(1, &found.dirs[CGROUP_V1_CPUSET], "");
    cgroupdirs_free(&found);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(found_by_table),
        cmocka_unit_test(prefix_comes_first),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
