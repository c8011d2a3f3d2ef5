/* kernels/host/serve.h and request.h: a host under a supervisor, one try after the other. */
#include "tests/unit/serve_rig.h"

#include <dirent.h>
#include <signal.h>

#include "kernels/host/request.h"

static void codes(void **state) {
    (void)state;
    static const struct {
        const char *text;
        int code;
        const char *out, *err;
    } rows[] = {
        {"probe do=print arg='x y'", 0, "printed\na=1 b=x y\n", ""},
        {"probe do=log arg=hello", 0, "", "probe: note: hello\n"},
        {"probe do=fail arg=it", 1, "", "probe: no luck with it\n"},
        {"probe do=refuse arg=it", 2, "", "probe: it does not fit\n"},
        {"probe do=code number=7", 7, "", "probe: failed with code 7\n"},
        {"probe do=code number=126", 1, "", "probe: failed with 126; codes are 1 to 125\n"},
        {"probe do=code number=-1", 1, "", "probe: failed with -1; codes are 1 to 125\n"},
        {"probe do=code", 0, "", ""},
        {"probe do=fill number=100", 0, "aligned=1\n", ""},
        {"probe do=fill number=9Mi", 0, "aligned=1\n", ""},
        {"probe number=x", 2, "",
         "probe: number=\"x\": expected an integer (10k is 10000, 4Ki is 4096; M, G, Mi, Gi)\n"
         "probe: do is missing: expected one of env, setenv, pwd, burn, touch, fill, crash, exit, "
         "wait, "
         "fail, refuse, code, keep, print, given, log\n"
         "usage: probe do=" ORDERS " [arg=TEXT] [number=INTEGER]\n"},
        {"probe do='env", 2, "",
         "kernelHost: parameters, column 10: a single quote that is not closed, expected ' later "
         "on\n"},
        {"", 2, "", "kernelHost: no kernel is named: expected KERNEL key=value ...\n"},
        {"probe do=code", 0, "", ""},
    };
    struct rig rig;
    rig_up(&rig);
    for (size_t i = 0; i < COUNT(rows); i++) {
        assert_int_equal(try_one(&rig, rows[i].text), rows[i].code);
        assert_string_equal(output(rig.out), rows[i].out);
        assert_string_equal(output(rig.err), rows[i].err);
    }
    assert_int_equal(try_one(&rig, "../probe"), 2);
    assert_non_null(strstr(output(rig.err), "no kernel \"../probe\""));
    rig_down(&rig);
}

#define LONG  "a value of 400 bytes" FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY FIFTY
#define FIFTY "..................................................."

static void environment(void **state) {
    (void)state;
    const char *const first[] = {"A=1", "HOST_TEST_BASE=other", "A_LONGER_NAME=", NULL},
                      *const second[] = {"A=a value that is longer than the one it had before",
                                         "B=2", NULL},
                      *const third[] = {"A=" LONG, "B=2", NULL};
    static const struct {
        int env; /* 0: none */
        const char *text, *out;
    } rows[] = {
        {0, "probe do=env arg=A", "-\n"},
        {0, "probe do=env arg=HOST_TEST_BASE", "base\n"},
        {1, "probe do=env arg=A", "1\n"},
        {1, "probe do=env arg=HOST_TEST_BASE", "other\n"},
        {1, "probe do=env arg=A_LONGER_NAME", "\n"},
        {2, "probe do=env arg=A", "a value that is longer than the one it had before\n"},
        {2, "probe do=env arg=B", "2\n"},
        {3, "probe do=env arg=A", LONG "\n"}, /* the same names: more room for one */
        {3, "probe do=env arg=B", "2\n"},
        {2, "probe do=env arg=B", "2\n"},
        {2, "probe do=env arg=A_LONGER_NAME", "-\n"},
        {2, "probe do=env arg=HOST_TEST_BASE", "base\n"},
        /* What a kernel changes is gone at the next try, whichever variables that has. */
        {2, "probe do=setenv arg=A", ""},
        {2, "probe do=env arg=A", "a value that is longer than the one it had before\n"},
        {2, "probe do=env arg=HOST_TEST_BASE", "base\n"},
        {2, "probe do=env arg=HOST_TEST_NEW", "-\n"},
        {1, "probe do=env arg=A", "1\n"},
        {1, "probe do=setenv arg=HOST_TEST_BASE", ""},
        {0, "probe do=env arg=HOST_TEST_BASE", "base\n"},
        {0, "probe do=env arg=A", "-\n"},
    };
    struct rig rig;
    rig_up(&rig);
    for (size_t i = 0; i < COUNT(rows); i++) {
        const char *const *sets[] = {NULL, first, second, third}, *const *env = sets[rows[i].env];
        assert_int_equal(try_full(&rig, NULL, rows[i].text, env).code, 0);
        assert_string_equal(output(rig.out), rows[i].out);
    }
    rig_down(&rig);
}

static void what_it_was_given(void **state) {
    (void)state;
    static const struct {
        const char *env[6], *out;
    } rows[] = {
        {{NULL}, "threads=1 memory=0 device=-1 task= try=1\n"},
        {{"DISTCOMP_THREADS=3", "OMP_NUM_THREADS=2", "DISTCOMP_TASK_ID=abc", "DISTCOMP_TRY=2"},
         "threads=3 memory=0 device=-1 task=abc try=2\n"},
        {{"OMP_NUM_THREADS=2", "DISTCOMP_MIN_MCPU=5000"},
         "threads=2 memory=0 device=-1 task= try=1\n"},
        {{"DISTCOMP_MIN_MCPU=1500", "CUDA_VISIBLE_DEVICES=GPU-1"},
         "threads=2 memory=0 device=0 task= try=1\n"},
        {{"DISTCOMP_THREADS=x", "CUDA_VISIBLE_DEVICES="},
         "threads=1 memory=0 device=-1 task= try=1\n"},
        {{"DISTCOMP_MEMORY=4096", "CUDA_VISIBLE_DEVICES=-1"},
         "threads=1 memory=4096 device=-1 task= try=1\n"},
    };
    struct rig rig;
    for (size_t i = 0; i < COUNT(rows); i++) {
        rig_up(&rig);
        assert_int_equal(try_full(&rig, NULL, "probe do=given", rows[i].env).code, 0);
        assert_string_equal(output(rig.out), rows[i].out);
        rig_down(&rig);
    }
}

static void estimates(void **state) {
    (void)state;
    const char *const env[] = {"DISTCOMP_MEMORY=1048576", NULL};
    struct rig rig;
    rig_up(&rig);
    assert_int_equal(try_full(&rig, NULL, "probe do=print number=1Mi", env).code, 0);
    assert_string_equal(output(rig.err), "");
    assert_int_equal(try_full(&rig, NULL, "probe do=print number=3Mi", env).code, 0);
    assert_string_equal(
        output(rig.err),
        "probe: needs about 3.0 MiB and was promised 1.0 MiB: ask for more min_dram\n");
    assert_int_equal(try_full(&rig, NULL, "probe do=fail", env).code, 2);
    assert_string_equal(output(rig.err), "probe: estimate says no\n");
    assert_int_equal(try_full(&rig, NULL, "probe do=fail", NULL).code, 1); /* none was promised */
    rig_down(&rig);
}

static void directories(void **state) {
    (void)state;
    char dir[] = "/tmp/hosttest-XXXXXX", sub[64], expected[512], start[4096];
    assert_non_null(mkdtemp(dir));
    assert_non_null(getcwd(start, sizeof start));
    snprintf(sub, sizeof sub, "%s/sub", dir);
    assert_int_equal(mkdir(sub, 0700), 0);
    struct rig rig;
    rig_up(&rig);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(try_full(&rig, dir, "probe do=pwd", NULL).code, 0);
        snprintf(expected, sizeof expected, "%s %s\n", dir, dir);
        assert_string_equal(output(rig.out), expected);
        const char *const env[] = {"PWD=/mine", NULL};
        assert_int_equal(try_full(&rig, sub, "probe do=pwd", env).code, 0);
        snprintf(expected, sizeof expected, "%s /mine\n", sub);
        assert_string_equal(output(rig.out), expected);
        assert_int_equal(try_full(&rig, NULL, "probe do=pwd", NULL).code, 0);
        assert_memory_equal(output(rig.out), start, strlen(start));
        /* One that is not there costs the try, not the host. */
        assert_int_equal(try_full(&rig, "/tmp/hosttest-none", "probe do=pwd", NULL).code, 1);
        assert_string_equal(output(rig.out), "");
        assert_string_equal(output(rig.err), "kernelHost: cannot change to the task's directory "
                                             "/tmp/hosttest-none: No such file or directory\n");
    }
    rig_down(&rig);
    rmdir(sub);
    rmdir(dir);
}

static void give_files(struct rig *rig, const char *text, const int files[2]) {
    static char message[HOST_MESSAGE_MAX];
    size_t len = make_request(message, NULL, text, NULL);
    ((struct host_request *)(void *)message)->flags = HOST_NEW_FILES;
    union {
        struct cmsghdr head;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {.bytes = {0}};
    struct iovec part = {message, len};
    struct msghdr header = {.msg_iov = &part,
                            .msg_iovlen = 1,
                            .msg_control = &control,
                            .msg_controllen = sizeof control};
    control.head.cmsg_level = SOL_SOCKET;
    control.head.cmsg_type = SCM_RIGHTS;
    control.head.cmsg_len = CMSG_LEN(2 * sizeof(int));
    memcpy(CMSG_DATA(&control.head), files, 2 * sizeof(int));
    assert_int_equal(sendmsg(rig->fd, &header, MSG_NOSIGNAL), len);
}

/* Descriptors that the host has open. */
static int open_files(const struct rig *rig) {
    char path[64];
    int count = 0;
    snprintf(path, sizeof path, "/proc/%d/fd", (int)rig->pid);
    DIR *dir = opendir(path);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

static void new_files(void **state) {
    (void)state;
    struct rig rig;
    struct host_done done;
    rig_up(&rig);
    assert_int_equal(try_one(&rig, "probe do=print"), 0);
    int before = open_files(&rig);
    int files[2] = {output_file(), output_file()};
    give_files(&rig, "probe do=fail arg=new", files);
    assert_true(hear(&rig, &done) && done.code == 1);
    give_files(&rig, "probe do=print arg=new", files);
    assert_true(hear(&rig, &done) && done.code == 0);
    assert_int_equal(try_one(&rig, "probe do=print arg=again"), 0);
    assert_string_equal(output(files[0]), "printed\na=1 b=new\nprinted\na=1 b=again\n");
    assert_string_equal(output(files[1]), "probe: no luck with new\n");
    assert_string_equal(output(rig.out), "printed\na=1 b=\n");
    /* A full disk is a failed try, and is said. */
    int full[2] = {open("/dev/full", O_WRONLY | O_CLOEXEC), files[1]};
    assert_true(full[0] >= 0);
    give_files(&rig, "probe do=print", full);
    assert_true(hear(&rig, &done) && done.code == 1);
    assert_string_equal(output(files[1]),
                        "probe: cannot write to standard output: No space left on device\n");
    give_files(&rig, "probe do=print arg=ok", files);
    assert_true(hear(&rig, &done) && done.code == 0);
    assert_string_equal(output(files[0]), "printed\na=1 b=ok\n");
    assert_int_equal(open_files(&rig), before);
    close(files[0]);
    close(files[1]);
    close(full[0]);
    rig_down(&rig);
}

static void usage(void **state) {
    (void)state;
    struct rig rig;
    rig_up(&rig);
    for (int i = 0; i < 2; i++) {
        struct host_done done = try_full(&rig, NULL, "probe do=burn number=300", NULL);
        assert_true(done.use.user_us + done.use.system_us >= 290000);
        done = try_full(&rig, NULL, "probe do=code", NULL);
        assert_true(done.use.user_us + done.use.system_us < 200000);
        done = try_full(&rig, NULL, "probe do=touch number=96Mi", NULL);
        assert_int_equal(done.code, 0);
        assert_true(done.use.maxrss_kib >= 96 * 1024);
        uint64_t most_kib = done.use.maxrss_kib;
        done = try_full(&rig, NULL, "probe do=code", NULL);
        assert_true(done.use.maxrss_kib > 0 && done.use.maxrss_kib + 90 * 1024 < most_kib);
    }
    rig_down(&rig);
}

static void kept(void **state) {
    (void)state;
    struct rig rig;
    char expected[32];
    rig_up(&rig);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(try_one(&rig, "probe do=keep"), 0);
        snprintf(expected, sizeof expected, "count=%d\n", i);
        assert_string_equal(output(rig.out), expected);
    }
    shutdown(rig.fd, SHUT_WR);
    assert_int_equal(rig_wait(&rig), 0);
    assert_string_equal(output(rig.err), "closed at 3\n");
    close(rig.out);
    close(rig.err);
}

/* The try that ends the process: its status. */
static int last_try(struct rig *rig, const char *text) {
    struct host_done done;
    give(rig, NULL, text, NULL);
    assert_false(hear(rig, &done));
    return rig_wait(rig);
}

static void crashes(void **state) {
    (void)state;
    struct rig rig;
    rig_up(&rig);
    assert_int_equal(try_one(&rig, "probe do=code"), 0);
    int status = last_try(&rig, "probe do=crash");
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
    assert_non_null(strstr(output(rig.err), "probe: the kernel died of SIGSEGV (memory that it may "
                                            "not touch; address 0x"));
    rig_up(&rig);
    status = last_try(&rig, "probe do=exit number=0");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1); /* it has not done its work */
    assert_string_equal(output(rig.err), "probe: the kernel called exit\n");
    rig_up(&rig);
    status = last_try(&rig, "probe do=exit number=9");
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 9);
}

static void cancels(void **state) {
    (void)state;
    struct rig rig;
    struct host_done done;
    for (int code = 0; code < 2; code++) {
        rig_up(&rig);
        give(&rig, NULL, code ? "probe do=wait number=5" : "probe do=wait", NULL);
        await_error(&rig, "waits\n");
        kill(rig.pid, SIGTERM);
        bool answered = hear(&rig, &done);
        int status = rig_wait(&rig);
        assert_int_equal(answered, code == 0); /* it was done, and says so */
        if (code)
            assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
        else
            assert_true(done.code == 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0);
        assert_string_equal(output(rig.err), "");
    }
    rig_up(&rig);
    assert_int_equal(try_one(&rig, "probe do=code"), 0);
    kill(rig.pid, SIGTERM); /* idle, or about to be */
    int status = rig_wait(&rig);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM);
}

static void requests(void **state) {
    (void)state;
    char message[1024];
    struct request request;
    const char *why;
    const char *const env[] = {"A=1", "B=", NULL};
    size_t len = make_request(message, "/tmp", "probe x=1", env);
    assert_true(request_read(message, len, &request, &why));
    assert_string_equal(request.cwd, "/tmp");
    assert_string_equal(request.text, "probe x=1");
    assert_string_equal(request.env, "A=1");
    for (size_t cut = 0; cut < len; cut++)
        assert_false(request_read(message, cut, &request, &why));
    message[len] = '\0';
    assert_false(request_read(message, len + 1, &request, &why));
    struct host_request *head = (struct host_request *)(void *)message, good = *head;
    struct host_request bad[] = {good, good, good, good, good, good, good};
    bad[0].version++;
    bad[1].cwd_len--;
    bad[2].cwd_len = UINT32_MAX;
    bad[3].argc--;
    bad[4].argc = UINT32_MAX;
    bad[5].envc++;
    bad[6].envc = UINT32_MAX;
    for (size_t i = 0; i < COUNT(bad); i++) {
        *head = bad[i];
        assert_false(request_read(message, len, &request, &why));
    }
    *head = good;
    assert_true(request_read(message, len, &request, &why));
    len = make_request(message, NULL, "noop", NULL);
    assert_true(request_read(message, len, &request, &why));
    assert_null(request.cwd);
}

/* Parameters that do not fit into a message come in a file. */
static void long_parameters(void **state) {
    (void)state;
    static char many[3 * HOST_MESSAGE_MAX];
    char path[] = "/tmp/hosttest-XXXXXX", text[64];
    struct rig rig;
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    snprintf(text, sizeof text, "@%s", path);
    memset(many, 'x', sizeof many);
    assert_true(dprintf(fd, "probe do=print arg=%.*s\n", (int)sizeof many, many) > 0);
    rig_up(&rig);
    assert_int_equal(try_one(&rig, text), 0);
    struct stat st;
    assert_int_equal(fstat(rig.out, &st), 0);
    assert_int_equal(st.st_size, strlen("printed\na=1 b=\n") + sizeof many);
    assert_int_equal(ftruncate(rig.out, 0), 0);
    assert_int_equal(write(fd, "\0", 1), 1);
    assert_int_equal(try_one(&rig, text), 2);
    assert_string_equal(output(rig.err), "kernelHost: the parameters have a NUL byte\n");
    assert_int_equal(unlink(path), 0);
    assert_int_equal(try_one(&rig, text), 1);
    assert_non_null(strstr(output(rig.err), "cannot be read: No such file or directory"));
    assert_int_equal(try_one(&rig, "probe do=code"), 0);
    close(fd);
    rig_down(&rig);
}

static void bad_request(void **state) {
    (void)state;
    struct rig rig;
    rig_up(&rig);
    struct host_request head = {.version = HOST_VERSION + 1};
    struct host_done done;
    assert_int_equal(send(rig.fd, &head, sizeof head, 0), sizeof head);
    assert_false(hear(&rig, &done));
    int status = rig_wait(&rig);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == SERVE_MALFORMED);
    assert_string_equal(output(rig.err),
                        "kernelHost: a request of the supervisor cannot be read: it "
                        "is of another version\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes),
        cmocka_unit_test(environment),
        cmocka_unit_test(what_it_was_given),
        cmocka_unit_test(estimates),
        cmocka_unit_test(directories),
        cmocka_unit_test(new_files),
        cmocka_unit_test(usage),
        cmocka_unit_test(kept),
        cmocka_unit_test(crashes),
        cmocka_unit_test(cancels),
        cmocka_unit_test(requests),
        cmocka_unit_test(long_parameters),
        cmocka_unit_test(bad_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
