"""Measures the kernels gemm and cuda on this machine's GPU and prints a table; refuses where there is none.

usage: python3 tests/bench/gpu/gpu_bench.py [--sizes 8192,16384] [--pairs 3] [--repeat 20]      after make all bench-built

gemm, by type and size: GFLOP/s of a task beside cuBLAS called alone (build/tests/bench/cublas_alone), on the same numbers, in
turn; every product of a task is checked, exactly. C of f16 and bf16 is float32 on both sides; cuBLAS with a C of 16 bits is
shown too. cuda: from the request of a task to its answer in a warm host, for a kernel that does nothing; and two kernels
against numpy, bit by bit.
"""
import argparse
import os
import shlex
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from rig import BIN, ROOT, Part, clean_environment, helper, rounds  # noqa: E402

TYPES = ("f32", "tf32", "f16", "bf16")
HOST = str(BIN / "kernelHost")
SAXPY = """extern "C" __global__ void saxpy(unsigned n, float a, const float *x, float *y) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = a * x[i] + y[i];
}
extern "C" __global__ void nothing() {}
"""


def results(*words):
    """What a program printed as key=value."""
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"gpu_bench: {shlex.join(map(str, words))}: exit {done.returncode}: {done.stderr.strip()}")
    return dict(word.split("=", 1) for word in done.stdout.split() if "=" in word)


def the_card():
    """Its name; ends the program where there is none."""
    if not Path(helper("cublas_alone")).exists():
        sys.exit("gpu_bench: not built; run: make all bench-built")
    done = subprocess.run([helper("cublas_alone")], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"gpu_bench: no GPU to measure: {done.stderr.strip()}")
    return done.stdout.strip()


# --- gemm -------------------------------------------------------------------------------------


def gflops(size, got):
    return 2e-9 * size**3 / float(got["seconds"])


def task_gflops(dtype, size, repeat):
    got = results(HOST, "run", "gemm", f"n={size}", f"dtype={dtype}", "device=gpu", f"repeat={repeat}")
    if got.get("verified") != "yes" or got.get("device") != "gpu":
        sys.exit(f"gpu_bench: the product of {dtype} {size} was not checked on the card: {got}")
    return gflops(size, got)


def alone_gflops(dtype, size, *words):
    return gflops(size, results(helper("cublas_alone"), dtype, size, *words))


def measure_gemm(part, dtype, size, options):
    contenders = {"task": lambda: task_gflops(dtype, size, options.repeat),
                  "alone": lambda: alone_gflops(dtype, size, options.repeat)}
    if dtype in ("f16", "bf16"):
        contenders["narrow"] = lambda: alone_gflops(dtype, size, options.repeat, "narrow")
    values = rounds(options.pairs, contenders)
    name = f"{dtype} {size}"
    part.add_median(f"{name}, task", values["task"], "GFLOP/s")
    part.add_median(f"{name}, cuBLAS alone", values["alone"], "GFLOP/s")
    if "narrow" in values:
        part.add_median(f"{name}, cuBLAS alone, C of 16 bits", values["narrow"], "GFLOP/s")
    part.add_ratio(f"{name}, task / cuBLAS alone", values["task"], values["alone"], ">= 0.97")


# --- cuda -------------------------------------------------------------------------------------


class Host:
    """A warm kernelHost, asked as a worker does (worker/hostwire.h)."""

    def __init__(self):
        self.ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.child = subprocess.Popen([HOST, "serve"], stdout=subprocess.DEVNULL, pass_fds=[theirs.fileno()],
                                      env={**os.environ, "DISTCOMP_HOST_FD": str(theirs.fileno())})
        theirs.close()

    def seconds(self, words):
        """Of one task; its exit code must be 0."""
        there = f"CUDA_VISIBLE_DEVICES={os.environ['CUDA_VISIBLE_DEVICES']}"
        strings = [os.getcwd(), "kernelHost", "serve", words, there]
        head = struct.pack("=6I", 1, 0, len(strings[0].encode()), 3, 1, 0)
        message = head + b"".join(s.encode() + b"\0" for s in strings)
        start = time.perf_counter()
        self.ours.send(message)
        answer = self.ours.recv(1000)
        took = time.perf_counter() - start
        if not answer or struct.unpack("=Ii", answer[:8])[1] != 0:
            sys.exit(f"gpu_bench: {words}: the host failed")
        return took

    def end(self):
        self.ours.close()
        self.child.wait()


def measure_start(part):
    host = Host()
    words = "cuda source=bench.cu kernel=nothing device=gpu"
    part.add("cuda, first task of a host", 1000 * host.seconds(words), "ms")
    warm = [1000 * host.seconds(words) for _ in range(500)]
    host.end()
    part.add("cuda, warm task, median of 500", statistics.median(warm), "ms", "<= 2")
    part.add("cuda, warm task, 99 of 100", sorted(warm)[494], "ms")


def check_saxpy():
    """How many elements differ from numpy's."""
    n = 10_000_000
    random = numpy.random.default_rng(1)
    x, y = random.standard_normal(n, "f4"), random.standard_normal(n, "f4")
    numpy.save("x.npy", x)
    numpy.save("y.npy", y)
    results(HOST, "run", "cuda", "source=bench.cu", "kernel=saxpy", f"grid={(n + 255) // 256}", "block=256", "device=gpu",
            "options=--fmad=false", f"args=u32:{n} f32:2.5 in:x.npy inout:y.npy->z.npy")
    return int((numpy.load("z.npy") != numpy.float32(2.5) * x + y).sum())


def check_mandelbrot():
    size, most, scale, x, y = 512, 200, 3 / 512, -0.75, 0.0
    results(HOST, "run", "cuda", f"source={ROOT}/taskfiles/cuda/mandelbrot.cu", "kernel=mandelbrot", "grid=32,32",
            "block=16,16", "device=gpu", "options=--fmad=false",
            f"args=out:m.npy:i32:{size}x{size} i32:{size} i32:{size} f64:{x} f64:{y} f64:{scale!r} i32:{most}")
    rows, columns = numpy.mgrid[:size, :size]
    a, b = x + (columns - 0.5 * size) * scale, y + (rows - 0.5 * size) * scale
    re, im, steps = numpy.zeros_like(a), numpy.zeros_like(a), numpy.zeros((size, size), "i4")
    for _ in range(most):
        inside = re * re + im * im <= 4
        re, im = numpy.where(inside, re * re - im * im + a, re), numpy.where(inside, 2 * re * im + b, im)
        steps += inside
    return int((numpy.load("m.npy") != steps).sum())


def measure_cuda(part):
    Path("bench.cu").write_text(SAXPY)
    measure_start(part)
    part.add("saxpy of 10,000,000: elements unlike numpy's", check_saxpy(), "", "<= 0")
    part.add("mandelbrot 512 x 512: elements unlike numpy's", check_mandelbrot(), "", "<= 0")


def table(card, figures):
    rows = [("figure", "measured", "target", "")]
    rows += [(f.name, f.shown(), f.target, f.verdict) for f in figures]
    print(f"{card}\n")
    for i, row in enumerate(rows):
        print("| " + " | ".join(row) + " |")
        if i == 0:
            print("| --- | ---: | --- | --- |")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default="8192,16384", help="of the matrices (default: %(default)s)")
    parser.add_argument("--pairs", type=int, default=3, help="rounds of task and cuBLAS (default: %(default)s)")
    parser.add_argument("--repeat", type=int, default=20, help="products a round; the fastest counts (default: %(default)s)")
    options = parser.parse_args()
    card = the_card()
    cards = os.environ.get("CUDA_VISIBLE_DEVICES") or "0"
    os.environ.update(clean_environment(CUDA_VISIBLE_DEVICES=cards.split(",")[0]))
    part = Part("gpu", options)
    with tempfile.TemporaryDirectory(prefix="dcgpu.") as box:
        os.chdir(box)
        for dtype in TYPES:
            for size in map(int, options.sizes.split(",")):
                measure_gemm(part, dtype, size, options)
        measure_cuda(part)
        os.chdir("/")
    table(card, part.figures)


if __name__ == "__main__":
    main()
