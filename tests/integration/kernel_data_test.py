"""Files as kernels read and write them: what numpy writes is read, what is written numpy reads; a killed writer leaves
nothing behind; a full disk is an error. Everything by name, through data_copy, and once through a kernel in its host."""
import io
import itertools
import os
import shutil
import subprocess

import numpy
import pytest

import datacopy
import harness
from datacopy import copy, copy_fails

DTYPES = {"f32": "f4", "f64": "f8", "i32": "i4", "i64": "i8"}
SHAPES = [(), (1,), (5,), (0,), (3, 4), (1, 7), (7, 1), (0, 3), (3, 0), (2, 3, 4), (1, 2, 1, 2, 1, 2, 1, 2)]
random = numpy.random.default_rng(7)


def make(shape, dtype, order="C"):
    return numpy.array(random.random(shape) * 1000 - 500, dtype=dtype, order=order)


def same(a, b):
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


@pytest.mark.parametrize("dtype, order", itertools.product(DTYPES, "CF"))
def test_what_numpy_writes(box, dtype, order):
    """Every shape in this dtype and order, in every version of the format, in both byte orders."""
    for shape, version, end in itertools.product(SHAPES, [(1, 0), (2, 0), (3, 0)], "<>"):
        array = make(shape, end + DTYPES[dtype], order)
        with open(box / "cwd" / "in.npy", "wb") as file:
            numpy.lib.format.write_array(file, array, version)
        said = copy("in.npy", "out.npy").split()
        back = numpy.load(box / "cwd" / "out.npy", allow_pickle=False)
        assert same(back, array.astype("<" + DTYPES[dtype])), (shape, version, end)
        assert said[0] == dtype and tuple(map(int, said[2:])) == shape
        if array.ndim > 1 and array.size > 1 and sum(n > 1 for n in shape) > 1:
            assert said[1] == order and back.flags.f_contiguous == (order == "F")
        assert copy("--stat", "in.npy").split() == said


def test_what_is_written_is_aligned(box):
    """numpy can map it, and elements begin at a multiple of 64."""
    numpy.save("in.npy", make((1000, 3), "f8"))
    copy("in.npy", "out.npy")
    assert numpy.load("out.npy", mmap_mode="r").offset % 64 == 0
    assert same(numpy.load("out.npy"), numpy.load("in.npy"))


@pytest.mark.parametrize("array, says", [
    (make((3,), "c16"), "has the dtype '<c16' (complex); only f32, f64, i32 and i64 are read"),
    (make((3,), "f2"), "has the dtype '<f2'"),
    (make((3,), "u4"), "has the dtype '<u4' (unsigned)"),
    (make((3,), "i2"), "has the dtype '<i2'"),
    (make((3,), "i1"), "has the dtype '|i1'"),
    (make((3,), "?"), "has the dtype '|b1' (booleans)"),
    (numpy.array(["a", "b"]), "has the dtype '<U1' (text)"),
    (numpy.array([None, {}]), "has the dtype '|O' (Python objects)"),
    (numpy.zeros(3, [("a", "f4"), ("b", "i4")]), "has records (a structured dtype)"),
    (numpy.array(["2026-11-21"], "M8[D]"), "has the dtype '<M8[D]' (dates)"),
], ids=lambda value: str(value.dtype) if hasattr(value, "dtype") else None)
def test_other_dtypes_are_named(array, says):
    numpy.save("in.npy", array)
    for words in (["in.npy"], ["--stat", "in.npy"]):
        assert copy_fails(*words).startswith(f"in.npy {says}")


def test_several_arrays_in_one_file(box):
    with open("in.npy", "wb") as file:
        numpy.save(file, make((3,), "f8"))
        numpy.save(file, make((3,), "f8"))
    assert "goes on behind its last element" in copy_fails("in.npy")


def test_every_cut_is_an_error():
    numpy.save("whole.npy", make((2, 2), "f4"))
    whole = open("whole.npy", "rb").read()
    for length in range(len(whole)):
        with open("in.npy", "wb") as file:
            file.write(whole[:length])
        line = copy_fails("in.npy")
        assert "is no .npy file" in line or "ends" in line, line


def test_a_pipe_is_read():
    """Standard input, for example."""
    file = io.BytesIO()
    array = make((100, 50), "f8")
    numpy.save(file, array)
    process = datacopy.start("/dev/stdin", "out.npy", stdin=subprocess.PIPE)
    process.stdin.buffer.write(file.getvalue())
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert same(numpy.load("out.npy"), array)


def test_bytes(box):
    for size in (0, 1, 4095, 4096, 4097, 1 << 20):
        (box / "cwd" / "in").write_bytes(os.urandom(size))
        assert copy("--bytes", "in", "out") == f"{size} ended\n"
        assert (box / "cwd" / "out").read_bytes() == (box / "cwd" / "in").read_bytes()


def test_an_input_may_be_an_output():
    """It is read to the end as it was."""
    array = make((100, 100), "f8")
    numpy.save("a.npy", array)
    copy("a.npy", "a.npy", "b.npy")
    assert same(numpy.load("a.npy"), array) and same(numpy.load("b.npy"), array)


# --- dying and failing ------------------------------------------------------------------------


def names():
    return sorted(os.listdir("."))


@pytest.fixture
def paused(box):
    """A data_copy that has all outputs ready and waits to be told; (process, go)."""
    numpy.save("in.npy", make((100, 100), "f8"))
    numbers = itertools.count()

    def start(*words, **options):
        mark = box / f"pause{next(numbers)}"
        process = datacopy.start("--pause", mark, *words, **options)
        harness.wait_until(mark.exists, 30)
        return process, mark.unlink

    return start


def test_killed_before_the_commit(paused):
    process, _ = paused("in.npy", "a.npy", "b.npy")
    process.kill()
    process.wait()
    assert names() == ["in.npy"]


def test_killed_where_there_are_no_unnamed_files(paused):
    """The hidden ones go with the next try of the same output; not those of one that lives."""
    process, _ = paused("--named", "in.npy", "a.npy")
    other, go = paused("--named", "in.npy", "a.npy")
    assert names() == [".a.npy.part-1", ".a.npy.part-2", "in.npy"]
    process.kill()
    process.wait()
    copy("in.npy", "a.npy")
    assert names() == [".a.npy.part-2", "a.npy", "in.npy"]
    go()
    assert other.wait(30) == 0
    assert names() == ["a.npy", "in.npy"]
    assert same(numpy.load("a.npy"), numpy.load("in.npy"))


def test_nothing_is_visible_before_the_commit(paused):
    numpy.save("b.npy", make((2,), "i4"))
    before = numpy.load("b.npy")
    process, go = paused("in.npy", "a.npy", "b.npy")
    assert names() == ["b.npy", "in.npy"] and same(numpy.load("b.npy"), before)
    go()
    assert process.wait(30) == 0
    assert names() == ["a.npy", "b.npy", "in.npy"] and same(numpy.load("b.npy"), numpy.load("in.npy"))


def test_the_directory_went_away(paused):
    os.mkdir("d")
    process, go = paused("in.npy", "d/a.npy")
    os.rmdir("d")
    go()
    assert process.wait(30) == 1
    assert process.stderr.read() == "data_copy: d/a.npy cannot get its name: No such file or directory\n"


def test_a_full_disk(box):
    """An error before the kernel has worked, and no SIGBUS: on a tmpfs of 1 MiB. What fits there once need not fit
    twice."""
    if not shutil.which("unshare") or subprocess.run(["unshare", "-rm", "mount", "-t", "tmpfs", "none", box / "run"],
                                                     capture_output=True).returncode:
        pytest.skip("expected: no tmpfs can be mounted here")
    numpy.save("in.npy", numpy.zeros(1 << 20, "i4"))
    numpy.save("small.npy", numpy.zeros(150_000, "i4"))
    script = f"""set -e
        mount -t tmpfs -o size=1m none {box}/run
        {harness.HELPERS}/data_copy in.npy {box}/run/a.npy 2>err && exit 9
        {harness.HELPERS}/data_copy --bytes in.npy {box}/run/a.npy 2>>err && exit 9
        test -z "$(ls -A {box}/run)"
        {harness.HELPERS}/data_copy small.npy {box}/run/a.npy"""
    done = subprocess.run(["unshare", "-rm", "sh", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done
    for line in open("err").read().splitlines():
        assert "No space left on device: 4.0 MiB are needed, " in line and line.endswith(" are free"), line


# --- in a kernel ------------------------------------------------------------------------------

PLUGIN = """
#include <string.h>
#include "kernel.h"
static const struct kernel_param params[] = {
    {"in", KERNEL_INPUT, .help = "read"}, {"out", KERNEL_OUTPUT, .help = "written"},
    {"code", KERNEL_INT, .fallback = "0", .help = "what it ends with"}, {0}};
static int run(struct kernel_run *r) {
    struct kernel_array in, out;
    if (!kernel_read(r, kernel_text(r, 0), &in))
        return 1;
    out = in;
    if (!kernel_write(r, kernel_text(r, 1), &out))
        return 1;
    memcpy(out.data, in.data, kernel_elements(&in) * kernel_dtype_bytes(in.dtype));
    kernel_result(r, "dtype", "%s", kernel_dtype_name(in.dtype));
    return (int)kernel_int(r, 2);
}
KERNEL_EXPORT(.name = "copy", .summary = "copies", .params = params, .run = run)
"""


@pytest.fixture
def kernel(box, redis):
    (box / "copy.c").write_text(PLUGIN)
    subprocess.run(["cc", "-O2", "-shared", "-fPIC", "-I", harness.ROOT / "kernels", "-o", box / "copy.so",
                    box / "copy.c"], check=True)

    def run(*words):
        return subprocess.run([harness.program("kernelHost"), "run", "--kernel_dir", box, "copy", *map(str, words)],
                              capture_output=True, text=True, timeout=60,
                              env={**os.environ, "DISTCOMP_REDIS": redis.url})

    return run


def test_in_a_kernel(kernel):
    array = make((30, 40), "f4")
    numpy.save("a.npy", array)
    for source, target in (("a.npy", "redis:b"), ("redis:b", "c.npy")):
        done = kernel(f"in={source}", f"out={target}")
        assert (done.returncode, done.stdout) == (0, "dtype=f32\n"), done
    assert same(numpy.load("c.npy"), array)


def test_a_kernel_that_fails(kernel, redis):
    numpy.save("a.npy", make((3,), "f8"))
    for target in ("b.npy", "redis:b"):
        assert kernel("in=a.npy", f"out={target}", "code=7").returncode == 7
    done = kernel("in=none.npy", "out=b.npy")
    assert done.returncode == 1 and "none.npy cannot be read: No such file or directory\n" in done.stderr
    assert names() == ["a.npy"] and redis.keys() == []
