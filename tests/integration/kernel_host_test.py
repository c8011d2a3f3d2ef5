"""kernelHost by hand and as a worker drives it: real plug-ins, built here, and everything that can be wrong with one.

The first is README's own: its section "Write your own kernel" is taken out, built and run.
"""
import json
import os
import re
import shutil
import signal
import socket
import struct
import subprocess

import numpy
import pytest

import harness

README = harness.ROOT / "README.md"
HEADER = harness.ROOT / "kernels"
DEADLINE = 60 * harness.SLOW


def host(*words, code=0, env=None, **options):
    """Runs kernelHost with these words; (stdout, stderr)."""
    done = subprocess.run([harness.program("kernelHost"), *map(str, words)], text=True, capture_output=True,
                          timeout=DEADLINE, env={**os.environ, **(env or {})}, **options)
    assert done.returncode == code, f"{done.returncode}: {done.stdout}{done.stderr}"
    return done.stdout, done.stderr


@pytest.fixture
def kernels(box, monkeypatch):
    """A directory of plug-ins, the only one; kernels.build(NAME, SOURCE) puts one there."""
    class Kernels:
        dir = box / "kernels"

        @staticmethod
        def build(name, source, file=None):
            code = box / f"{name}.c"
            code.write_text(source)
            out = Kernels.dir / f"{file or name}.so"
            subprocess.run(["cc", "-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC", "-I", HEADER, "-o",
                            f"{out}.new", code], check=True, timeout=DEADLINE)
            os.rename(f"{out}.new", out)  # a warm host has the old one open
            return out

    Kernels.dir.mkdir()
    monkeypatch.setenv("DISTCOMP_KERNEL_DIR", str(Kernels.dir))
    return Kernels


def plugin(name, body, table="{0}", extra=""):
    return f"""
#include <stdlib.h>
#include <stdio.h>
#include <unistd.h>
#include "kernel.h"
static const struct kernel_param params[] = {{{table}}};
{extra}
static int run(struct kernel_run *r) {{ (void)r; {body} }}
KERNEL_EXPORT(.name = "{name}", .summary = "a test", .params = params, .run = run)
"""


# --- README's ---------------------------------------------------------------------------------


def readme_plugin():
    section = README.read_text().split("## Write your own kernel\n", 1)[1].split("\n## ", 1)[0]
    source = re.search(r"```c\n(.*?)```", section, re.S).group(1)
    assert len(source.splitlines()) < 40
    return re.search(r'\.name = "(\w+)"', source).group(1), source


@pytest.fixture
def scale(kernels):
    name, source = readme_plugin()
    assert name == "scale"
    kernels.build(name, source)
    return name


@pytest.mark.parametrize("shape", [(3, 5), (7,), (), (0, 4)])
@pytest.mark.parametrize("order", ["C", "F"])
def test_the_kernel_of_readme(scale, shape, order):
    a = numpy.asarray(numpy.random.default_rng(1).standard_normal(shape), order=order)
    numpy.save("a.npy", a)
    out, err = host("run", scale, "a=a.npy", "factor=-1.5", "out=b.npy")
    assert (out, err) == (f"elements={a.size}\n", "")
    numpy.testing.assert_array_equal(numpy.load("b.npy"), -1.5 * a)


def test_the_kernel_of_readme_says_what_it_needs(scale):
    numpy.save("a.npy", numpy.zeros((1000, 1000)))
    out, _ = host("estimate", scale, "a=a.npy", "out=b.npy")
    assert out.startswith("memory_bytes=16000000 flops=1e+06 device=cores")
    _, err = host("run", "--memory", "8MiB", scale, "a=a.npy", "out=b.npy")
    assert err == "scale: needs about 15.3 MiB and was promised 8.0 MiB: ask for more min_dram\n"
    _, err = host("run", "--memory", "1G", scale, "a=a.npy", "out=b.npy")
    assert err == ""


def test_the_kernel_of_readme_refuses(scale):
    numpy.save("f32.npy", numpy.zeros(3, numpy.float32))
    _, err = host("run", scale, "a=f32.npy", "out=b.npy", code=2)
    assert err == "scale: f32.npy has f32 elements, expected f64\n"
    _, err = host("run", scale, "a=none.npy", "out=b.npy", code=1)
    assert err.startswith("scale: ") and "none.npy" in err and "No such file" in err
    assert sorted(os.listdir(".")) == ["f32.npy"]  # no output, no trace of one


def test_by_hand_objects_are_in_the_queues_redis(scale, redis):
    numpy.save("a.npy", numpy.arange(6.0))
    host("run", scale, "a=a.npy", "out=redis:b", env={"DISTCOMP_REDIS": redis.url})
    where = {"DISTCOMP_REDIS_HOST": "127.0.0.1", "DISTCOMP_REDIS_PORT": str(redis.port)}
    host("run", scale, "a=redis:b", "out=c.npy", env=where)
    numpy.testing.assert_array_equal(numpy.load("c.npy"), 4 * numpy.arange(6.0))
    _, err = host("run", scale, "a=redis:b", "out=d.npy", env={**where, "DISTCOMP_QUEUE": "other"}, code=1)
    assert err.startswith("scale: there is no object b")
    _, err = host("run", scale, "a=redis:b", "out=d.npy", env={"DISTCOMP_REDIS": "nowhere"}, code=1)
    assert "nowhere" in err


# --- list, help -------------------------------------------------------------------------------


def test_list_and_help(kernels):
    table = '{"n", KERNEL_INT, .fallback = "7", .min = 1, .max = 9, .unit = "rows", .help = "how many"}, {0}'
    kernels.build("two", plugin("two", "return 0;", table))
    kernels.build("one", plugin("one", "return 0;"))
    assert host("list") == ("one              a test\ntwo              a test\n", "")
    found = json.loads(host("list", "--json")[0])
    assert [k["name"] for k in found] == ["one", "two"]
    assert found[1]["path"] == str(kernels.dir / "two.so")
    assert found[1]["params"] == [{"name": "n", "type": "integer", "required": False, "default": "7", "min": 1.0,
                                   "max": 9.0, "unit": "rows", "help": "how many"}]
    out, _ = host("help", "two")
    assert "usage: kernelHost run two [n=INTEGER]\n" in out
    assert "  n=INTEGER                   how many; 1 to 9 rows (default: 7)\n" in out


def test_list_shows_the_good_ones_beside_the_bad(kernels):
    kernels.build("good", plugin("good", "return 0;"))
    (kernels.dir / "bad.so").write_text("this is no program\n" * 10)
    (kernels.dir / "README").write_text("no plug-in")
    (kernels.dir / "1st.so").write_text("a name that no kernel can have")
    out, err = host("list", code=1)
    assert out == "good             a test\n"
    assert err == f"kernelHost: {kernels.dir}/bad.so cannot be used: invalid ELF header\n"
    assert len(json.loads(host("list", "--json", code=1)[0])) == 1


def test_the_first_directory_wins(kernels, box):
    first, second = box / "first", kernels.dir
    first.mkdir()
    shutil.copy(kernels.build("same", plugin("same", 'puts("first"); return 0;')), first)
    kernels.build("same", plugin("same", 'puts("second"); return 0;'))
    for dirs, expected in ((f"{first}:{second}", "first"), (f"{second}:{first}", "second"),
                           (f"{box}/none:{first}", "first"), ("../first", "first")):
        assert host("run", "--kernel_dir", dirs, "same") == (f"{expected}\n", "")
    assert host("list", "--kernel-dir", f"{first}:{second}")[0] == "same             a test\n"


# --- what is refused --------------------------------------------------------------------------


TABLE = """{"n", KERNEL_INT, .min = 1, .max = 100}, {"rate", KERNEL_REAL, .fallback = "0.5", .min = 0, .max = 1},
{"check", KERNEL_FLAG, .fallback = "yes"}, {"dtype", KERNEL_CHOICE, .fallback = "f32", .choices = "f32|f64"},
{"a", KERNEL_INPUT, .fallback = ""}, {"out", KERNEL_OUTPUT, .fallback = ""}, {0}"""
INTEGER = "expected an integer from 1 to 100 (10k is 10000, 4Ki is 4096; M, G, Mi, Gi)"


@pytest.mark.parametrize("words, error", [
    ([], f"n is missing: {INTEGER}"),
    (["n=0"], f'n="0": {INTEGER}'),
    (["n=1.5"], f'n="1.5": {INTEGER}'),
    (["n=1", "rate=nan"], 'rate="nan": expected a number from 0 to 1'),
    (["n=1", "rate=1.01"], 'rate="1.01": expected a number from 0 to 1'),
    (["n=1", "chekc=no"], 'unknown parameter "chekc", did you mean check?'),
    (["n=1", "check=perhaps"], 'check="perhaps": expected yes or no'),
    (["n=1", "dtype=f16"], 'dtype="f16": expected one of f32, f64'),
    (["n=1", "n=1"], "n is given twice"),
    (["n=1", "a="], 'a="": expected a file, redis:OBJECT or http(s)://...'),
    (["n=1", "fast"], '"fast": expected key=value'),
])
def test_bad_parameters_are_refused_before_any_work(kernels, words, error):
    kernels.build("strict", plugin("strict", 'puts("worked"); return 0;', TABLE))
    out, err = host("run", "strict", *words, code=2)
    assert out == ""
    assert err == (f"strict: {error}\nusage: strict n=INTEGER [rate=NUMBER] [check=yes|no] [dtype=f32|f64] [a=INPUT] "
                   "[out=OUTPUT]\n")
    assert host("estimate", "strict", *words, code=2)[1] == err


def test_unknown_kernels(kernels, box):
    kernels.build("gemm", plugin("gemm", "return 0;"))
    assert host("run", "gem", code=2)[1] == f'kernelHost: no kernel "gem" in {kernels.dir}; did you mean gemm?\n'
    for command in ("help", "estimate", "run"):
        err = host(command, "../kernels/gemm", code=2)[1]
        assert f'no kernel "../kernels/gemm" in {kernels.dir}; `kernelHost list` shows what there is' in err
    (box / "empty").mkdir()
    assert "which have none" in host("run", "--kernel_dir", box / "empty", "gemm", code=2)[1]


@pytest.mark.parametrize("words, error", [
    ([], "usage: kernelHost list"),
    (["rnu", "x"], "unknown command rnu, did you mean run?"),
    (["run"], "run: expected KERNEL key=value ..."),
    (["estimate"], "estimate: expected KERNEL key=value ..."),
    (["help", "a", "b"], "help: expected one KERNEL"),
    (["list", "a"], "list takes no operand, found a"),
    (["list", "--threads", "1"], "unknown option --threads"),
    (["run", "--fast", "x"], "unknown option --fast"),
    (["run", "--threads", "0", "x"], "--threads: expected a number from 1 to 4096"),
    (["run", "--memory=lots", "x"], "--memory: expected a size, as 512MiB or 2G"),
    (["run", "--memory"], "--memory: expected a size, as 512MiB or 2G"),
    (["serve"], "serve is for redisWorker"),
    (["serve", "x"], "serve is for redisWorker"),
])
def test_bad_usage(kernels, words, error):
    assert error in host(*words, code=2)[1]


def test_help_and_version():
    assert host("--help")[0].startswith("usage: kernelHost list") and host("help") == host("--help")
    assert re.fullmatch(r"kernelHost \S+ \(kernel\.h version 1\)\n", host("--version")[0])


# --- plug-ins that are wrong ------------------------------------------------------------------


def test_another_abi(kernels):
    path = kernels.build("old", """
#include "kernel.h"
static int run(struct kernel_run *r) { (void)r; return 0; }
__attribute__((visibility("default"))) const struct kernel distcomp_kernel = {.abi = 99, .name = "old", .run = run};
""")
    assert host("run", "old", code=1)[1] == (
        f"kernelHost: {path} cannot be used: it was built for version 99 of kernel.h and this host has version 1; "
        "build it again\n")


def test_a_plugin_with_another_name(kernels):
    path = kernels.build("right", plugin("right", "return 0;"), file="wrong")
    assert host("run", "wrong", code=1)[1] == (
        f'kernelHost: {path} cannot be used: the kernel in it is named "right"; the file has to be named after it\n')


def test_a_library_that_is_no_plugin(kernels):
    path = kernels.build("library", "int something(void); int something(void) { return 1; }")
    assert host("run", "library", code=1)[1] == (
        f"kernelHost: {path} cannot be used: it is no plug-in: it has no KERNEL_EXPORT\n")


def test_a_plugin_that_lacks_a_library(kernels):
    path = kernels.build("lacks", plugin("lacks", "return cblas_nothing();", extra="int cblas_nothing(void);"))
    assert host("run", "lacks", code=1)[1] == (
        f"kernelHost: {path} cannot be used: undefined symbol: cblas_nothing\n")


def test_a_broken_table(kernels):
    path = kernels.build("table", plugin("table", "return 0;", '{"n", KERNEL_INT, .fallback = "many"}, {0}'))
    assert host("run", "table", code=1)[1] == (
        f'kernelHost: {path} cannot be used: parameter 0 of its table, "n": its default is not a value that it '
        "takes\n")


def test_a_plugin_that_asks_for_another_parameter(kernels):
    kernels.build("asks", plugin("asks", "return (int)kernel_int(r, 3);"))
    err = host("run", "asks", code=-signal.SIGABRT)[1]
    assert "asks: kernel_int(3): its table has no such parameter of that type\n" in err


# --- crash, exit, cancel ----------------------------------------------------------------------


@pytest.mark.parametrize("body, number, text", [
    ("raise(SIGSEGV); return 0;", signal.SIGSEGV, "SIGSEGV (memory that it may not touch)"),
    ("char *volatile page = mmap(0, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); *page = 1; return 0;",
     signal.SIGSEGV, "SIGSEGV (memory that it may not touch; address 0x"),
    ("return deep(1);", signal.SIGSEGV, "SIGSEGV (memory that it may not touch; address 0x"),
    ("abort();", signal.SIGABRT, "SIGABRT (it called abort)"),
    ("kill(getpid(), SIGFPE); return 0;", signal.SIGFPE, "SIGFPE (an integer division by zero, perhaps)"),
    ("pthread_t t; pthread_create(&t, 0, other, 0); pthread_join(t, 0); return 0;", signal.SIGABRT,
     "SIGABRT (it called abort)"),
])
def test_a_crash_names_the_kernel(kernels, body, number, text):
    extra = """
#include <pthread.h>
#include <signal.h>
#include <sys/mman.h>
__attribute__((unused, noinline)) static int deep(int n) {
    volatile char room[65536];
    room[0] = (char)n;
    return n > 0 ? deep(n + 1) + room[0] : 0;
}
__attribute__((unused)) static void *other(void *arg) { (void)arg; abort(); }
"""
    kernels.build("crash", plugin("crash", body, extra=extra))
    out, err = host("run", "crash", code=-number)
    assert err.startswith(f"crash: the kernel died of {text}")


def test_a_crash_as_it_is_opened(kernels):
    kernels.build("early", plugin("early", "return 0;",
                                  extra="__attribute__((constructor)) static void start(void) { abort(); }"))
    assert host("run", "early", code=-signal.SIGABRT)[1] == (
        "early: the kernel died of SIGABRT (it called abort)\n")


def test_programs_that_a_kernel_runs_have_the_usual_signals(kernels):
    kernels.build("runs", plugin("runs", 'return system("grep -E \'Sig(Ign|Blk)\' /proc/self/status");'))
    out, _ = host("run", "runs")
    for line in out.splitlines():
        assert not int(line.split()[1], 16) >> signal.SIGPIPE - 1 & 1, out


@pytest.mark.parametrize("code, expected", [(0, 1), (3, 3)])
def test_exit_is_no_success(kernels, code, expected):
    kernels.build("leaves", plugin("leaves", f"exit({code});"))
    assert host("run", "leaves", code=expected)[1] == "leaves: the kernel called exit\n"


PATIENT = """
fputs("waits\\n", stderr);
while (!kernel_cancelled(r)) usleep(1000);
return kernel_flag(r, 0) ? 0 : 9;
"""


def start(kernels, body, *words):
    kernels.build("waits", plugin("waits", body, '{"well", KERNEL_FLAG, .fallback = "no"}, {0}'))
    child = subprocess.Popen([harness.program("kernelHost"), "run", "waits", *words], text=True,
                             stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stderr.readline() == "waits\n"
    return child


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_cancel(kernels, number):
    child = start(kernels, PATIENT)
    child.send_signal(number)
    assert child.communicate(timeout=DEADLINE) == ("", "")
    assert child.returncode == -number


def test_a_kernel_that_is_done_all_the_same(kernels):
    child = start(kernels, "kernel_result(r, \"x\", \"1\");" + PATIENT, "well=yes")
    child.send_signal(signal.SIGTERM)
    assert child.communicate(timeout=DEADLINE) == ("x=1\n", "")
    assert child.returncode == 0


def test_the_second_interrupt_kills(kernels):
    child = start(kernels, 'fputs("waits\\n", stderr); while (!kernel_cancelled(r)) usleep(1000);'
                           'fputs("asked\\n", stderr); pause(); return 1;')
    child.send_signal(signal.SIGINT)
    assert child.stderr.readline() == "asked\n"
    child.send_signal(signal.SIGINT)
    assert child.wait(DEADLINE) == -signal.SIGINT


def test_results_that_cannot_be_written(kernels):
    kernels.build("result", plugin("result", 'kernel_result(r, "x", "1"); return 0;'))
    with open("/dev/full", "w") as full:
        done = subprocess.run([harness.program("kernelHost"), "run", "result"], stdout=full, stderr=subprocess.PIPE,
                              text=True, timeout=DEADLINE)
    assert (done.returncode, done.stderr) == (
        1, "result: cannot write to standard output: No space left on device\n")


def test_threads_memory_and_cards(kernels):
    kernels.build("given", plugin("given", """
kernel_result(r, "threads", "%u", kernel_threads(r));
kernel_result(r, "memory", "%llu", (unsigned long long)kernel_memory(r));
kernel_result(r, "device", "%d", kernel_device(r));
return 0;"""))
    cpus = len(os.sched_getaffinity(0))
    assert host("run", "given")[0] == f"threads={cpus} memory=0 device=-1\n"
    assert host("run", "--threads", 3, "--memory=1k", "--gpu", 1, "given")[0] == "threads=3 memory=1024 device=0\n"


# --- as a worker drives it --------------------------------------------------------------------


class Served:
    """A kernelHost under a worker/hostwire.h conversation."""

    def __init__(self, out):
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        os.set_inheritable(theirs.fileno(), True)
        self.ours.settimeout(DEADLINE)
        self.path = out
        self.number = 0  # of the last request
        self.out = open(out, "ab")
        self.child = subprocess.Popen([harness.program("kernelHost"), "serve"], stdout=self.out, stderr=self.out,
                                      env={**os.environ, "DISTCOMP_HOST_FD": str(theirs.fileno())},
                                      pass_fds=[theirs.fileno()])
        theirs.close()

    def request(self, text, env=None, cwd=""):
        strings = [cwd] * bool(cwd) + ["kernelHost", "serve", text] + [f"{k}={v}" for k, v in (env or {}).items()]
        self.number += 1
        head = struct.pack("=6I", 1, 0, len(cwd.encode()), 3, len(env or {}), self.number)
        return head + b"".join(s.encode() + b"\0" for s in strings)

    def run(self, text, **options):
        """(code, what was written)"""
        self.ours.send(self.request(text, **options))
        answer = self.ours.recv(1000)
        version, code, user, system, maxrss, read, written, flags, number = struct.unpack("=IiQQQQQII", answer)
        text = self.written()
        assert version == 1 and number == self.number and maxrss > 0 and flags == (0 if text else 1)
        return code, text

    def written(self):
        text = self.path.read_text()
        os.truncate(self.path, 0)
        return text

    def end(self):
        self.ours.close()
        code = self.child.wait(DEADLINE)
        return code, self.written()


@pytest.fixture
def served(kernels, box):
    host = Served(box / "output")
    yield host
    if host.child.poll() is None:
        host.child.kill()
        host.child.wait()


COUNTS = plugin("counts", """
void **kept = kernel_keep(r, "count", gone);
if (!*kept) *kept = calloc(1, sizeof(int));
kernel_result(r, "count", "%d", ++*(int *)*kept);
return 0;""", extra='static void gone(void *kept) { printf("kept %d\\n", *(int *)kept); fflush(stdout); free(kept); }')


def test_what_is_kept_lives_from_try_to_try(kernels, served):
    kernels.build("counts", COUNTS)
    kernels.build("other", COUNTS.replace('"counts"', '"other"'))
    assert [served.run("counts") for _ in range(3)] == [(0, f"count={n}\n") for n in (1, 2, 3)]
    assert served.run("other") == (0, "count=1\n")  # one key, two plug-ins
    assert served.run("counts") == (0, "count=4\n")
    code, text = served.end()
    assert code == 0 and sorted(text.splitlines()) == ["kept 1", "kept 4"]


def test_a_plugin_that_was_built_again_is_opened_again(kernels, served):
    kernels.build("version", plugin("version", 'puts("one"); return 0;'))
    assert served.run("version") == (0, "one\n")
    kernels.build("version", plugin("version", 'puts("two"); return 0;'))
    harness.wait_until(lambda: served.run("version") == (0, "two\n"), deadline=30)
    (kernels.dir / "version.so").unlink()
    harness.wait_until(lambda: served.run("version")[0] == 2, deadline=30)
    assert served.end()[0] == 0


def test_the_directories_of_each_try(kernels, served, box):
    for name in ("here", "there"):
        (box / name).mkdir()
        shutil.copy(kernels.build("same", plugin("same", f'puts("{name}"); return 0;')), box / name)
    for name in ("here", "there", "here"):
        assert served.run("same", env={"DISTCOMP_KERNEL_DIR": box / name}) == (0, f"{name}\n")
    code, text = served.run("same", env={"DISTCOMP_KERNEL_DIR": box / "none"})
    assert code == 2 and f'no kernel "same" in {box}/none' in text


def test_a_directory_that_was_made_anew(kernels, served, box):
    kernels.build("list", plugin("list", 'return system("ls");'))
    for name in ("one", "two"):
        shutil.rmtree(box / "work", ignore_errors=True)
        (box / "work").mkdir()
        (box / "work" / name).touch()
        harness.wait_until(lambda: served.run("list", cwd=str(box / "work")) == (0, f"{name}\n"), deadline=30)


def test_errors_leave_the_host_warm(kernels, served):
    kernels.build("strict", plugin("strict", "return 0;", TABLE))
    (kernels.dir / "bad.so").write_text("this is no program\n" * 10)
    pid = served.child.pid
    for text, code in (("strict n=1", 0), ("strict", 2), ("strict n='1", 2), ("none", 2), ("bad", 1), ("", 2),
                       ("strict  n=\"2\"  ", 0)):
        assert served.run(text)[0] == code
    assert harness.is_running(pid)
    assert served.end() == (0, "")


def test_the_variables_of_the_conversation_are_not_a_kernels(kernels, served):
    kernels.build("env", plugin("env", 'return system("env");'))
    lines = served.run("env", env={"A": "1", "HOME": "/elsewhere"})[1].splitlines()
    assert "A=1" in lines and not [line for line in lines if line.startswith("DISTCOMP_HOST_FD")]
    assert [line for line in lines if line.startswith("HOME=")] == ["HOME=/elsewhere"]  # over the host's own
    kernels.build("files", plugin("files", 'return system("ls /proc/self/fd | wc -l");'))
    assert served.run("files")[1].strip() == "4"  # 0, 1, 2, and ls's own


def test_a_crash_in_a_try(kernels, served):
    kernels.build("crash", plugin("crash", "abort();"))
    served.ours.send(served.request("crash"))
    assert served.ours.recv(1000) == b""
    assert served.child.wait(DEADLINE) == -signal.SIGABRT
    assert served.written() == "crash: the kernel died of SIGABRT (it called abort)\n"


def test_warm_tries_do_not_grow(kernels, served):
    kernels.build("nothing", plugin("nothing", "return 0;"))

    def tries(count):
        for n in range(count):
            assert served.run("nothing", env={"DISTCOMP_TASK_ID": f"{n:014}", "DISTCOMP_COOKIE": "x" * 80})[0] == 0
        with open(f"/proc/{served.child.pid}/status") as status:
            return int(re.search(r"VmData:\s+(\d+)", status.read()).group(1))

    before = tries(200)
    assert tries(2000) == before
