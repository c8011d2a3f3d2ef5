"""gemm: what it tells, that it checks, and what it refuses; by hand, as a task and beside numpy's product."""
import os
import re
import subprocess

import numpy as np
import pytest

from harness import SLOW, program
from peak import UNSURE_OF_MEMORY, peak_bytes


def run(*words, threads=2, **env):
    line = [program("kernelHost"), "run", "--threads", str(threads), "gemm", *words]
    return subprocess.run(line, capture_output=True, text=True, timeout=100 * SLOW, env={**os.environ, **env})


def figures(*words, **options):
    done = run(*words, **options)
    assert done.returncode == 0, done.stderr
    return dict(word.split("=", 1) for word in done.stdout.split())


# The definition, written once more: kernels/kit/randmat.h.


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def key(seed, which):
    return mix(np.array([seed * 8 + which], np.uint64))[0]


def hashes(seed, which, count):
    places = np.arange(1, count + 1, dtype=np.uint64)
    return mix(key(seed, which) + places * np.uint64(0x9E3779B97F4A7C15))


def bits(k, sums):
    return min((sums - (k - 1).bit_length()) // 2 + 1, sums)


def units(seed, which, rows, cols, size):
    numbers = (hashes(seed, which, rows * cols) >> np.uint64(64 - size)).astype(np.int64) - (1 << (size - 1))
    return numbers.reshape(rows, cols)


def fingerprint(seed, m, n, k, sums):
    """In 64-bit integers, which wrap around as the check's do."""
    with np.errstate(over="ignore"):
        size = bits(k, sums)
        a, b = units(seed, 0, m, k, size), units(seed, 1, k, n, size)
        x = (hashes(seed, 2, n) | np.uint64(1)).view(np.int64)
        weights = (hashes(seed, 3, m) | np.uint64(1)).view(np.int64)
        rows = (a @ b) @ x
        return f"{int((rows * weights).sum().astype(np.int64).view(np.uint64)):016x}"


@pytest.mark.parametrize("dtype,sums", [("f64", 51), ("f32", 24)])
@pytest.mark.parametrize("m,n,k,seed", [(64, 64, 64, 1), (1, 70, 33, 2), (70, 1, 33, 3), (33, 70, 1, 4),
                                        (131, 97, 301, 9007199254740992), (1, 1, 1, 0)])
def test_the_product_is_that_of_the_seed(dtype, sums, m, n, k, seed):
    found = figures(f"m={m}", f"n={n}", f"k={k}", f"seed={seed}", f"dtype={dtype}")
    assert found["fingerprint"] == fingerprint(seed, m, n, k, sums)


def test_threads_and_repetition_change_nothing_but_the_time():
    found = [figures("n=200", "seed=5", *more, threads=threads)
             for threads in (1, 2, 3) for more in ([], ["repeat=3"], ["device=cpu"])]
    assert len({one["fingerprint"] for one in found}) == 1
    for one in found:
        assert one["device"] == "cpu" and one["verified"] == "yes"
        assert all(float(one[name]) > 0 for name in ("seconds", "gflops", "fill_s", "check_s"))
        assert abs(float(one["gflops"]) * float(one["seconds"]) / (2 * 200**3 * 1e-9) - 1) < 0.1
    assert [one["threads"] for one in found[::3]] == ["1", "2", "3"]


def test_without_a_check():
    found = figures("n=50", "verify=no")
    assert found["verified"] == "no" and "fingerprint" not in found


@pytest.mark.parametrize("words,told", [
    ([], "n"),
    (["n=0"], "n"),
    (["n=10", "m=-1"], "m"),
    (["n=10", "k=1.5"], "k"),
    (["n=10", "dtype=f80"], "dtype"),
    (["n=10", "size=3"], "size"),
    (["n=10", "verify=perhaps"], "verify"),
    (["n=10", "dtype=bf16"], "for a card"),
    (["n=10", "dtype=f16"], "for a card"),
    (["n=10", "dtype=tf32", "device=cpu"], "device=cpu"),
    (["n=10", "device=gpu"], "gpu=1"),
    (["n=1", "m=1", "k=20000000", "dtype=f32"], "too long for f32"),
    (["n=2147483647", "k=1"], "memory|bytes|scratch"),
])
def test_what_is_refused(words, told):
    done = run(*words)
    assert done.returncode in (1, 2) and done.stdout == ""
    assert re.search(told, done.stderr), done.stderr
    if told != "memory|bytes|scratch":
        assert done.returncode == 2


def test_an_estimate_that_holds():
    """What it says that it needs is more than what it has in memory at its highest, and not by much."""
    line = [program("kernelHost"), "estimate", "--threads", "2", "gemm", "n=1500"]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    said = int(re.search(r"memory_bytes=(\d+)", done.stdout)[1])
    assert "flops=6.75e+09" in done.stdout
    _, peak = peak_bytes([program("kernelHost"), "run", "--threads", "2", "gemm", "n=1500"])
    assert UNSURE_OF_MEMORY or said * 0.5 < peak <= said
