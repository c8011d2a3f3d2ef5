"""matmul, assemble and redisPlan matmul: by hand against numpy, and through workers of which one is killed."""
import json
import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness import SLOW, program, wait_until
from peak import UNSURE_OF_MEMORY, peak_bytes

rng = np.random.default_rng(20261121)


def host(command, *words, memory=None, threads=1):
    line = [program("kernelHost"), command, "--threads", str(threads)]
    line += ["--memory", str(memory)] if memory else []
    return subprocess.run([*line, *map(str, words)], capture_output=True, text=True, timeout=100 * SLOW)


def must(*words, **options):
    done = host("run", *words, **options)
    assert done.returncode == 0, done.stderr
    return dict(word.split("=", 1) for word in done.stdout.split())


def save(name, array, fortran=False):
    np.save(name, np.asfortranarray(array) if fortran else np.ascontiguousarray(array))
    return array


def numbers(rows, cols, dtype="f8"):
    return rng.standard_normal((rows, cols)).astype(dtype)


def close(got, a, b):
    """Within what rounding may leave, element by element."""
    wanted = a.astype("f8") @ b.astype("f8")
    unit = 2.0 ** (-24 if got.dtype == np.float32 else -53)
    bound = 2 * (a.shape[1] + 2) * unit * (np.abs(a.astype("f8")) @ np.abs(b.astype("f8")))
    assert got.shape == wanted.shape
    assert (np.abs(got - wanted) <= bound).all()


# --- the kernels, by hand ---------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f8", "f4"])
@pytest.mark.parametrize("orders", ["cc", "cf", "fc", "ff"])
@pytest.mark.parametrize("shape", [(40, 30, 50), (1, 30, 50), (40, 1, 50), (40, 30, 1), (1, 1, 1), (0, 30, 50),
                                   (40, 0, 50), (40, 30, 0), (257, 129, 65)])
def test_matmul_is_numpys(shape, orders, dtype):
    m, n, k = shape
    a = save("A.npy", numbers(m, k, dtype), orders[0] == "f")
    b = save("B.npy", numbers(k, n, dtype), orders[1] == "f")
    for order in ("c", "fortran"):
        must("matmul", "a=A.npy", "b=B.npy", "c=C.npy", f"order={order}")
        c = np.load("C.npy")
        assert c.dtype == np.dtype(dtype)
        assert c.flags.c_contiguous if order == "c" else c.flags.f_contiguous
        close(c, a, b)


def test_a_block_of_rows_and_columns():
    a, b = save("A.npy", numbers(90, 70)), save("B.npy", numbers(70, 80), fortran=True)
    for rows, cols in ((slice(0, 90), slice(10, 20)), (slice(89, 90), slice(0, 80)), (slice(33, 64), slice(5, 5)),
                       (slice(90, 90), slice(0, 80))):
        found = must("matmul", "a=A.npy", "b=B.npy", "c=C.npy", f"rows={rows.start}:{rows.stop}",
                     f"cols={cols.start}:{cols.stop}")
        assert (int(found["rows"]), int(found["cols"])) == (rows.stop - rows.start, cols.stop - cols.start)
        close(np.load("C.npy"), a[rows], b[:, cols])
    must("matmul", "a=A.npy", "b=B.npy", "c=C.npy", "rows=80:", "cols=:3")
    close(np.load("C.npy"), a[80:], b[:, :3])


@pytest.mark.parametrize("orders", ["cc", "cf", "fc", "ff"])
def test_short_memory_is_kept_to(orders):
    """Less than the inputs have: k goes in pieces, and the peak stays below what was promised."""
    a = save("A.npy", numbers(300, 40000), orders[0] == "f")
    b = save("B.npy", numbers(40000, 300), orders[1] == "f")
    line = ["matmul", "a=A.npy", "b=B.npy", "c=C.npy"]
    whole = int(re.search(r"memory_bytes=(\d+)", host("estimate", *line).stdout)[1])
    assert whole > a.nbytes + b.nbytes
    limit = 120 << 20
    out, peak = peak_bytes([program("kernelHost"), "run", "--threads", "1", "--memory", str(limit), *line])
    assert int(re.search(r"panel=(\d+)", out)[1]) < 40000
    assert UNSURE_OF_MEMORY or peak <= limit
    close(np.load("C.npy"), a, b)


def test_memory_that_is_too_short_is_told():
    save("A.npy", numbers(300, 4000)), save("B.npy", numbers(4000, 300))
    done = host("run", "matmul", "a=A.npy", "b=B.npy", "c=C.npy", memory=8 << 20)
    assert done.returncode == 2 and "min_dram" in done.stderr
    assert not Path("C.npy").exists()


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("victim", ["A.npy", "B.npy"])
def test_what_is_no_number_is_refused_with_its_place(value, victim):
    arrays = {"A.npy": numbers(60, 700), "B.npy": numbers(700, 50)}
    arrays[victim][31, 17] = value
    for name, array in arrays.items():
        save(name, array, fortran=victim == "B.npy")
    line = ["matmul", "a=A.npy", "b=B.npy", "c=C.npy"]
    done = host("run", *line)
    assert done.returncode == 2 and f"{victim} has" in done.stderr and "row 31, column 17" in done.stderr
    assert not Path("C.npy").exists()
    must(*line, "check=no")
    assert np.isnan(np.load("C.npy")).any() or np.isinf(np.load("C.npy")).any()
    # A block that does not use it is none of its business.
    must(*line, "rows=32:60", "cols=18:50") if victim == "A.npy" else must(*line, "cols=18:50")


def write_numbers():
    save("A.npy", numbers(6, 7)), save("B.npy", numbers(7, 5))
    save("F4.npy", numbers(7, 5, "f4")), save("I4.npy", np.ones((7, 5), "i4")), save("V.npy", np.ones(7))
    save("B3.npy", np.ones((2, 7, 5))), save("A8.npy", numbers(6, 8))
    Path("short.npy").write_bytes(Path("A.npy").read_bytes()[:-8])
    Path("text.npy").write_text("no numbers")


@pytest.mark.parametrize("words,told", [
    ("a=A.npy b=B.npy", "c"),
    ("a=A.npy b=B.npy c=C.npy x=1", "x"),
    ("a=A.npy b=F4.npy c=C.npy", "a=A.npy is f64 and b=F4.npy is f32"),
    ("a=A.npy b=I4.npy c=C.npy", "integers"),
    ("a=A.npy b=V.npy c=C.npy", "reshape"),
    ("a=B3.npy b=B.npy c=C.npy", "3 dimensions"),
    ("a=A8.npy b=B.npy c=C.npy", "8 columns and b=B.npy has 7 rows"),
    ("a=A.npy b=B.npy c=C.npy rows=3:8", "3:8, but there are 6"),
    ("a=A.npy b=B.npy c=C.npy cols=4:3", "4:3, but there are 5"),
    ("a=A.npy b=B.npy c=C.npy rows=all", "expected FROM:TO"),
    ("a=A.npy b=B.npy c=C.npy order=d", "order"),
    ("a=none.npy b=B.npy c=C.npy", "none.npy"),
    ("a=short.npy b=B.npy c=C.npy", "short.npy"),
    ("a=text.npy b=B.npy c=C.npy", "text.npy"),
    ("a=A.npy b=B.npy c=none/C.npy", "none/C.npy"),
    ("a=A.npy b=redis:B c=C.npy", "redis:B|Redis"),
])
def test_what_matmul_refuses(words, told):
    write_numbers()
    done = host("run", "matmul", *words.split())
    assert done.returncode in (1, 2) and done.stdout == ""
    assert re.search(told, done.stderr), done.stderr
    assert not Path("C.npy").exists()


@pytest.mark.parametrize("order", ["c", "fortran"])
def test_assemble_puts_blocks_where_they_belong(order):
    whole = numbers(30, 40, "f4")
    cuts = {"0:0": (0, 10, 0, 40), "10:0": (10, 30, 0, 5), "10:5": (10, 17, 5, 40), "17:5": (17, 30, 5, 40),
            "30:3": (30, 30, 3, 9)}
    names = []
    for i, (a, b, c, d) in enumerate(cuts.values()):
        names.append(f"b{i}.npy")
        save(names[-1], whole[a:b, c:d], fortran=i % 2)
    line = ["assemble", "blocks=" + ",".join(names), "places=" + ",".join(cuts), "shape=30:40", "c=C.npy"]
    found = must(*line, f"order={order}")
    assert found["blocks"] == "5"
    c = np.load("C.npy")
    assert (c == whole).all() and (c.flags.c_contiguous if order == "c" else c.flags.f_contiguous)


def cut(rng, rows, cols, most):
    """Rectangles that cover rows x cols, cut at random until each has at most so many elements."""
    (i0, i1), (j0, j1) = rows, cols
    if (i1 - i0) * (j1 - j0) <= most:
        return [(i0, i1, j0, j1)]
    if rng.random() < 0.5:
        middle = rng.integers(i0, i1 + 1)
        return cut(rng, (i0, middle), cols, most) + cut(rng, (middle, i1), cols, most)
    middle = rng.integers(j0, j1 + 1)
    return cut(rng, rows, (j0, middle), most) + cut(rng, rows, (middle, j1), most)


@pytest.mark.parametrize("order", ["c", "fortran"])
@pytest.mark.parametrize("rows, cols", [(1100, 900), (70000, 9), (3, 400000), (3, 700000)])
def test_assemble_of_many_stretches(rows, cols, order):
    """More than is put together at a time, from blocks of any shape and order."""
    rng = np.random.default_rng(rows)
    whole = rng.random((rows, cols))
    parts = cut(rng, (0, rows), (0, cols), rows * cols // 12)
    rng.shuffle(parts)
    for n, (a, b, c, d) in enumerate(parts):
        save(f"b{n}.npy", whole[a:b, c:d], fortran=rng.random() < 0.5)
    must("assemble", "blocks=" + ",".join(f"b{n}.npy" for n in range(len(parts))),
         "places=" + ",".join(f"{a}:{c}" for a, _, c, _ in parts), f"shape={rows}:{cols}", "c=C.npy", f"order={order}")
    assert (np.load("C.npy") == whole).all()


@pytest.mark.parametrize("words,told", [
    ("blocks=a.npy,b.npy places=0:0 shape=4:3", "number 2"),
    ("blocks=a.npy places=0:0,2:0 shape=2:3", "more than"),
    ("blocks=a.npy,b.npy places=0:0,2 shape=4:3", "number 2"),
    ("blocks=a.npy,b.npy places=0:0,2:0 shape=4", "ROWS:COLUMNS"),
    ("blocks=a.npy,b.npy places=0:0,2:0 shape=4:3x", "ROWS:COLUMNS"),
    ("blocks=a.npy,b.npy places=0:0,1:0 shape=3:3", "row 1, column 0 is in two blocks: a.npy and b.npy"),
    ("blocks=a.npy,b.npy places=0:0,3:0 shape=5:3", "row 2, column 0 is in no block"),
    ("blocks=a.npy,b.npy places=0:0,2:0 shape=5:3", "row 4, column 0 is in no block"),
    ("blocks=a.npy,b.npy places=0:0,2:0 shape=4:4", "row 0, column 3 is in no block"),
    ("blocks=a.npy,b.npy places=0:0,2:0 shape=3:3", r"b.npy \(2x3, at 2:0\) goes beyond"),
    ("blocks=a.npy,f.npy places=0:0,2:0 shape=4:3", "f.npy is f32, but a.npy is f64"),
    ("blocks=a.npy,none.npy places=0:0,2:0 shape=4:3", "none.npy"),
])
def test_what_assemble_refuses(words, told):
    save("a.npy", numbers(2, 3)), save("b.npy", numbers(2, 3)), save("f.npy", numbers(2, 3, "f4"))
    save("C.npy", np.arange(4.0))
    done = host("run", "assemble", *words.split(), "c=C.npy")
    assert done.returncode in (1, 2)
    assert re.search(told, done.stderr), done.stderr
    assert (np.load("C.npy") == np.arange(4.0)).all()  # what was there stays
    assert sorted(os.listdir()) == ["C.npy", "a.npy", "b.npy", "f.npy"]


def assembled(whole, cuts, turned=()):
    """The peak of assemble for blocks that are cut so, and what it says before."""
    for n, (a, b, c, d) in enumerate(cuts):
        save(f"b{n}.npy", whole[a:b, c:d], fortran=n in turned)
    line = ["assemble", "blocks=" + ",".join(f"b{n}.npy" for n in range(len(cuts))),
            "places=" + ",".join(f"{a}:{c}" for a, _, c, _ in cuts), f"shape={whole.shape[0]}:{whole.shape[1]}", "c=C.npy"]
    said = int(re.search(r"memory_bytes=(\d+)", host("estimate", *line).stdout)[1])
    _, peak = peak_bytes([program("kernelHost"), "run", *line])
    assert (np.load("C.npy") == whole).all()
    assert UNSURE_OF_MEMORY or peak <= said
    return said


def test_assemble_has_few_pages_at_a_time():
    """Less than the whole and its blocks, and not more than it says."""
    whole = np.arange(9e6).reshape(3000, 3000)
    assert assembled(whole, [(i, i + 1500, j, j + 1500) for i in (0, 1500) for j in (0, 1500)]) < whole.nbytes


def test_assemble_of_a_long_line_has_a_part_of_it():
    whole = np.arange(1e7).reshape(1, 10**7)
    assert assembled(whole, [(0, 1, 0, 4 * 10**6), (0, 1, 4 * 10**6, 10**7)]) < whole.nbytes / 2


def test_assemble_counts_blocks_that_lie_beside_one_another():
    """The largest block says nothing of them: one over 500 narrow ones, and flat ones beside tall ones across."""
    narrow = [(1000, 2000, 4 * j, 4 * j + 4) for j in range(500)]
    assembled(np.arange(4e6).reshape(2000, 2000), [(0, 1000, 0, 2000), *narrow])
    flat = [(0, 2000, 0, 1400), (2000, 4000, 0, 1400)]
    tall = [(0, 4000, 1400 + 300 * j, 1700 + 300 * j) for j in range(8)]
    assembled(np.arange(4000 * 3800.0).reshape(4000, 3800), flat + tall, turned=range(2, 10))


# --- the planner ------------------------------------------------------------------------------


def plan(*words, flags=("--workers", "2", "--mem", "1")):
    line = [program("redisPlan"), "matmul", *map(str, words), *flags]
    return subprocess.run(line, capture_output=True, text=True, timeout=60 * SLOW)


def planned(*words, **options):
    done = plan(*words, **options)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tasks_of(text, queue):
    lines = queue("loadTask", "--dry_run", "--taskfile", "-", input=text).splitlines()
    return [json.loads(line) for line in lines]


def test_a_plan_is_a_task_file(queue):
    save("A.npy", numbers(100, 70)), save("B.npy", numbers(70, 60))
    text = planned("A.npy", "B.npy", "-o", "C.npy", "--block", "40x60", "--priority", "3")
    tasks = tasks_of(text, queue)
    steps = [task["name"].rsplit("/", 1)[1] for task in tasks]
    assert steps == ["prepare", "blocks", "blocks", "blocks", "assemble", "remove"]
    assert {task["priority"] for task in tasks} == {3}
    assert all(task["min_cpu"] == 1 for task in tasks if task["type"] == "native")
    assert {task["cwd"] for task in tasks} == {os.getcwd()}
    base = tasks[0]["name"].rsplit("/", 1)[0]
    assert [task["after"] for task in tasks[1:]] == [[f"{base}/{step}"] for step in
                                                     ["prepare"] * 3 + ["blocks", "assemble"]]
    # The same files give the same tasks; others, other ones.
    again = planned("A.npy", "B.npy", "-o", "C.npy", "--block", "40x60", "--priority", "3")
    assert again == text
    os.utime("A.npy", ns=(1, 1))
    assert planned("A.npy", "B.npy", "-o", "C.npy", "--block", "40x60", "--priority", "3") != text


def test_what_is_said_of_memory_is_what_the_kernels_say(queue):
    save("A.npy", numbers(300, 20000)), save("B.npy", numbers(20000, 300), fortran=True)
    for memory, block in (("1", "100"), ("115MiB", "300"), ("1", "300x40")):
        for task in tasks_of(planned("A.npy", "B.npy", "-o", "C.npy", "--block", block,
                                     flags=("--workers", "2", "--mem", memory)), queue):
            if task["type"] != "native" or not task["params"].startswith("matmul"):
                continue
            said = round(task["min_dram"] * 2**30)
            estimate = host("estimate", *task["params"].split(), memory=said)
            needs = int(re.search(r"memory_bytes=(\d+)", estimate.stdout)[1])
            assert needs <= said < needs + (2 << 20)
            assert memory == "1" or said <= 115 << 20


def test_names_with_blanks_and_quotes(queue):
    Path("some dir").mkdir()
    save("some dir/it's A.npy", numbers(20, 20)), save("B.npy", numbers(20, 20))
    text = planned("some dir/it's A.npy", "B.npy", "-o", "some dir/C $x.npy", "--block", "10")
    tasks = tasks_of(text, queue)
    assert len(tasks) == 7
    for task in tasks:
        if task["type"] == "native":
            import shlex
            done = host("run", *shlex.split(task["params"]))
        else:
            done = subprocess.run(["sh", "-c", task["params"]], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    close(np.load("some dir/C $x.npy"), np.load("some dir/it's A.npy"), np.load("B.npy"))
    assert sorted(os.listdir("some dir")) == ["C $x.npy", "it's A.npy"]


@pytest.mark.parametrize("words,told,code", [
    ("A.npy -o C.npy", "two matrices", 2),
    ("A.npy B.npy", "-o C", 2),
    ("A.npy B.npy B.npy -o C.npy", "one too many", 2),
    ("A.npy B.npy -o C.npy --fast", "unknown option --fast", 2),
    ("A.npy B.npy -o C.npy --block 0", "--block", 2),
    ("A.npy B.npy -o C.npy --block 3x", "--block", 2),
    ("A.npy B.npy -o C.npy --mem lots", "--mem", 2),
    ("A.npy B.npy -o C.npy --workers 0", "--workers", 2),
    ("A.npy B.npy -o C.npy --name a//b", "name", 2),
    ("A.npy B.npy -o", "value is missing", 2),
    ("A,x.npy B.npy -o C.npy", "','", 2),
    ("A.npy none.npy -o C.npy", "none.npy", 1),
    ("A.npy F4.npy -o C.npy", "A.npy is f64 and F4.npy is f32", 1),
    ("A.npy I4.npy -o C.npy", "integers", 1),
    ("A.npy V.npy -o C.npy", "reshape", 1),
    ("A8.npy B.npy -o C.npy", "8 columns and B.npy has 7 rows", 1),
    ("A.npy B.npy -o A.npy", "overwritten", 1),
    ("A.npy B.npy -o http://localhost/C.npy --block 2", "--blocks", 1),
    ("A.npy B.npy -o C.npy --blocks http://localhost/", "--blocks", 1),
    ("A.npy B.npy -o C.npy --mem 1MiB --workers 1", "--mem", 1),
    ("A.npy B.npy -o C.npy --redis unix:///none/here", "Redis", 1),
])
def test_what_the_planner_refuses(words, told, code):
    write_numbers()
    done = plan(*words.split(), flags=())
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr and done.stderr.startswith("redisPlan matmul: ")
    assert ("--help" in done.stderr) == (code == 2) and done.stderr.count("\n") == 1


def test_help_and_version():
    def call(*words):
        return subprocess.run([program("redisPlan"), *words], capture_output=True, text=True)

    for words in ((), ("matmull",), ("--foo",)):
        done = call(*words)
        assert done.returncode == 2 and done.stdout == "" and "redisPlan --help" in done.stderr
    assert "did you mean matmul?" in call("matmull").stderr
    assert "matmul" in call("--help").stdout and call("--help").returncode == 0
    assert call("matmul", "--help").stdout == call("help", "matmul").stdout
    assert "--block" in call("matmul", "--help").stdout
    assert call("--version").stdout.startswith("redisPlan ")


def test_blocks_follow_the_workers(queue, redis, worker):
    """Memory for a core and how many cores there are come from the queue."""
    save("A.npy", np.zeros((3000, 3000))), save("B.npy", np.zeros((3000, 3000)))
    line = ["A.npy", "B.npy", "-o", "C.npy", "--redis", redis.url]
    assert "(no worker is there yet)" in planned(*line, flags=())
    worker("w1", cpus=3, memory="3GiB")
    worker("w2", cpus=2, memory="1GiB")
    wait_until(lambda: redis.command("ZCARD", "distcomp:{default}:lease") == 2, 20)
    text = planned(*line, flags=())
    found = re.search(r"for (\d+) tasks at a time with ([\d.]+) (\w+) each \(as the workers have\)", text)
    assert found[1] == "5" and found[3] == "MiB" and float(found[2]) <= 512
    said = planned(*line, "--mem", "200MiB", "--workers", "7", flags=())
    assert "for 7 tasks at a time with 200.0 MiB each (as told)" in said
