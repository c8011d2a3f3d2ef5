"""The kernel cuda through kernelHost: what is wrong is told before any work, sources are compiled by the NVRTC of this
machine (skipped where there is none), and launches go to the card of tests/lib/fake_cuda.c, which multiplies saxpy.
"""
import os
import shlex
import signal
import subprocess

import numpy
import pytest

import harness
from kernel_host_test import Served

DEADLINE = 60 * harness.SLOW
CUDA = harness.ROOT / "taskfiles" / "cuda"
PARTS = {"driver": ["libcuda.so.1"], "nvrtc": ["libnvrtc.so.13", "libnvrtc.so.12", "libnvrtc.so.11.2"],
         "cublas": ["libcublas.so.13", "libcublas.so.12", "libcublas.so.11"]}
SAXPY = """\
extern "C" __global__ void saxpy(unsigned n, float a, const float *x, float *y) {
    unsigned i = blockIdx.x * blockDim.x + threadIdx.x;
    if (i < n)
        y[i] = a * x[i] + y[i];
}
"""
SAXPY_WORDS = ["source=saxpy.cu", "kernel=saxpy", "grid=4", "block=256", "device=gpu",
               "args=u32:1000 f32:2 in:x.npy inout:y.npy->z.npy"]


def start(kernel, *words, **options):
    return subprocess.Popen([harness.program("kernelHost"), "run", kernel, *map(str, words)], text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)


def run(*words, code=0, kernel="cuda"):
    """(standard output as a dictionary of results, standard error)"""
    with start(kernel, *words) as child:
        out, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == code, f"{child.returncode}: {out}{err}"
    assert "Sanitizer" not in err
    return dict(word.split("=", 1) for word in out.split()), err


def without(*parts):
    """A directory whose files have the libraries' names and are none of them: the loader looks there first."""
    os.mkdir("broken")
    for name in sum((PARTS[part] for part in parts), []):
        with open(f"broken/{name}", "wb"):
            pass
    return os.path.abspath("broken")


@pytest.fixture
def files(box):
    """saxpy.cu, x.npy and y.npy in the directory of the test."""
    with open("saxpy.cu", "w") as out:
        out.write(SAXPY)
    numpy.save("x.npy", numpy.arange(1000, dtype="f4"))
    numpy.save("y.npy", numpy.ones(1000, "f4"))


@pytest.fixture
def nvrtc(box):
    words = ["text=__global__ void a() {}", "arch=compute_80", "compile_only=yes"]
    with start("cuda", *words) as child:
        out, err = child.communicate(timeout=DEADLINE)
    if child.returncode == 1 and "was not found" in err:
        pytest.skip(f"expected: {err.strip()}")
    assert child.returncode == 0, out + err


class Card:
    """The fake one: tell("busy -1"), calls("cuLaunchKernel")."""

    def __init__(self, box):
        self.told, self.log = box / "told", box / "log"
        self.dir = str(harness.HELPERS / "cuda")

    def tell(self, *lines):
        self.told.write_text("".join(f"{line}\n" for line in lines))

    def calls(self, start):
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [line for line in lines if line.startswith(start)]


@pytest.fixture
def card(box, monkeypatch):
    made = Card(box)
    monkeypatch.setenv("FAKE_CUDA", str(made.told))
    monkeypatch.setenv("FAKE_CUDA_LOG", str(made.log))
    monkeypatch.setenv("LD_LIBRARY_PATH", ":".join(filter(None, [made.dir, os.environ.get("LD_LIBRARY_PATH")])))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    return made


# --- what is missing --------------------------------------------------------------------------


def test_no_driver(files, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", without("driver"))
    _, err = run(*SAXPY_WORDS, code=1)
    assert err.count("\n") == 1
    for part in ("NVIDIA's driver library was not found", "libcuda.so.1", "LD_LIBRARY_PATH", "the driver of the card",
                 "broken/libcuda.so.1"):
        assert part in err
    assert not os.path.exists("z.npy")


def test_no_nvrtc(files, monkeypatch):
    monkeypatch.setenv("LD_LIBRARY_PATH", without("nvrtc"))
    monkeypatch.setenv("CUDA_PATH", "/no/toolkit")
    _, err = run("source=saxpy.cu", "compile_only=yes", "arch=sm_80", code=1)
    assert err.count("\n") == 1
    for part in ("cuda: NVRTC was not found: looked for ", *PARTS["nvrtc"], "LD_LIBRARY_PATH",
                 "/no/toolkit/lib64 and /no/toolkit/lib", "CUDA toolkit"):
        assert part in err


def test_a_driver_without_a_card(files, card):
    card.tell("cards 0")
    _, err = run(*SAXPY_WORDS, code=1)
    assert "cuInit: CUDA_ERROR_NO_DEVICE" in err and "libcuda.so.1" in err and err.count("\n") == 1


def test_a_task_without_a_card(files, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    _, err = run(*SAXPY_WORDS, code=2)
    assert "the task was given no card: write device=gpu" in err


# --- what is wrong before anything is looked at -----------------------------------------------


@pytest.mark.parametrize("words, told", [
    (["text=x", "source=saxpy.cu"], "one of source= and text= is needed"),
    ([], "one of source= and text= is needed"),
    (["source=saxpy.cu", "compile_only=yes"], "compile_only needs arch="),
    (["source=saxpy.cu", "kernel=saxpy", "grid=0"], "grid=0: blocks are"),
    (["source=saxpy.cu", "kernel=saxpy", "grid=1,70000"], "grid=1,70000: blocks are"),
    (["source=saxpy.cu", "kernel=saxpy", "block=64,32"], "block=64,32: 2048 threads"),
    (["source=saxpy.cu", "kernel=saxpy", "block=x"], "block=x: threads are"),
    (["source=saxpy.cu", "kernel=saxpy", "args=in:a f32:z"], "args: 'f32:z': the value is no number"),
    (["source=saxpy.cu", "kernel=saxpy", "args=a.npy"], "args: 'a.npy': an argument is in:NAME"),
    (["source=saxpy.cu", "kernel=saxpy", "args=out:z.npy:f32:4y"], "args: 'out:z.npy:f32:4y': the shape is"),
    (["source=saxpy.cu"], "kernel= is missing; saxpy.cu has: saxpy"),
    (["source=bytes", "kernel=a"], "bytes: there is a NUL byte in it"),
    (["source=saxpy.cu", "kernel=saxpy", "shared=2M"], "shared"),
    (["source=saxpy.cu", "kernel=saxpy", "device=cpu"], "device"),
])
def test_refused(files, card, words, told):
    with open("bytes", "wb") as out:
        out.write(b"a\0b")
    _, err = run(*words, code=2)
    assert told in err
    assert not card.calls("cuMemAlloc")


def test_files_that_are_not_there(nvrtc, files, card):
    _, err = run("source=nothing.cu", "kernel=saxpy", code=1)
    assert "nothing.cu" in err
    _, err = run("source=saxpy.cu", "kernel=saxpy", "args=u32:1 f32:1 in:nothing.npy in:x.npy", code=1)
    assert "nothing.npy" in err


# --- compiling --------------------------------------------------------------------------------


def test_a_compile_error_comes_back_with_its_line(nvrtc):
    with open("broken.cu", "w") as out:
        out.write("__global__ void a(int *x) {\n    *x = 1;\n    *x = yy;\n}\n")
    _, err = run("source=broken.cu", "kernel=a", "arch=sm_80", "compile_only=yes", code=2)
    assert 'cuda: broken.cu(3): error: identifier "yy" is undefined' in err  # the log
    last = err.strip().splitlines()[-1]
    assert last.startswith("cuda: broken.cu: does not compile for sm_80 with NVRTC ")
    assert last.endswith('broken.cu(3): error: identifier "yy" is undefined')


def test_an_unknown_kernel(nvrtc, files):
    _, err = run("source=saxpy.cu", "kernel=saxpi", "arch=sm_80", "compile_only=yes", code=2)
    assert err.endswith("cuda: saxpy.cu: there is no kernel saxpi; it has: saxpy\n")


def test_an_architecture_that_nvrtc_does_not_know(nvrtc, files):
    _, err = run("source=saxpy.cu", "arch=sm_35", "compile_only=yes", code=2)
    assert "arch=sm_35: NVRTC " in err and " sm_80 " in err


@pytest.mark.parametrize("args, told", [
    ("u32:1 f32:1 in:x.npy", "args gives 3, and saxpy takes 4 (u32, f32, u64, u64)"),
    ("u64:1 f32:1 in:x.npy in:x.npy", "'u64:1' is number 1 of saxpy, which is u32"),
    ("u32:1 i32:1 in:x.npy in:x.npy", "'i32:1' is number 2 of saxpy, which is f32"),
])
def test_arguments_that_do_not_fit(nvrtc, files, args, told):
    _, err = run("source=saxpy.cu", "kernel=saxpy", "arch=sm_80", "compile_only=yes", f"args={args}", code=2)
    assert told in err


def test_machine_code_and_ptx(nvrtc, files):
    got, _ = run("source=saxpy.cu", "kernel=saxpy", "arch=sm_80", "compile_only=yes", "image=saxpy.cubin")
    assert got["program"] == "compiled" and got["symbol"] == "saxpy" and got["arch"] == "sm_80"
    with open("saxpy.cubin", "rb") as image:
        data = image.read()
    assert data[:4] == b"\x7fELF" and len(data) == int(got["bytes"])
    run("source=saxpy.cu", "arch=compute_80", "compile_only=yes", "image=saxpy.ptx")
    with open("saxpy.ptx") as image:
        assert ".visible .entry saxpy(" in image.read()


def test_a_cache_directory(nvrtc, files):
    words = ["source=saxpy.cu", "kernel=saxpy", "arch=sm_80", "compile_only=yes", "cache=programs"]
    assert run(*words)[0]["program"] == "compiled"
    assert run(*words)[0]["program"] == "cached"
    assert run(*words, "options=-lineinfo")[0]["program"] == "compiled"
    for name in os.listdir("programs"):
        os.truncate(f"programs/{name}", 100)
    assert run(*words)[0]["program"] == "compiled"
    assert run(*words)[0]["program"] == "cached"


def test_the_example_compiles_and_loads(nvrtc, queue):
    text = subprocess.run(["bash", CUDA / "zoom.sh", "3", "100"], check=True, capture_output=True, text=True).stdout
    tasks = [line.split(":", 4)[4] for line in text.splitlines() if line.startswith("native:")]
    assert len(tasks) == 3
    for task in tasks:
        kernel, *words = shlex.split(task)
        got, _ = run(*words, "compile_only=yes", "arch=sm_80", kernel=kernel)
        assert got["symbol"] == "mandelbrot"
    with open("zoom.task", "w") as out:
        out.write(text)
    queue("loadTask", "--taskfile", "zoom.task", "--name", "zoom")


# --- on the fake card -------------------------------------------------------------------------


def test_saxpy(nvrtc, files, card):
    got, err = run(*SAXPY_WORDS)
    z = numpy.load("z.npy")
    assert z.dtype == numpy.float32 and (z == 2 * numpy.arange(1000) + 1).all()
    assert (numpy.load("y.npy") == 1).all()
    assert err == "" and got["card_bytes"] == "8000" and got["arch"] == "sm_80" and float(got["kernel_s"]) == 0.002
    assert card.calls("cuLaunchKernel") == ["cuLaunchKernel saxpy 4,1,1 256,1,1 shared 0"]
    assert card.calls("cuDevicePrimaryCtxRelease") == ["cuDevicePrimaryCtxRelease_v2 0 used 0 modules 0"]


def test_an_array_in_place_and_in_fortran_order(nvrtc, files, card):
    numpy.save("y.npy", numpy.asfortranarray(numpy.arange(1000, dtype="f4").reshape(20, 50)))
    run(*SAXPY_WORDS[:-1], "args=u32:1000 f32:0 in:x.npy inout:y.npy")
    y = numpy.load("y.npy")
    assert y.shape == (20, 50) and numpy.isfortran(y) and (y == numpy.arange(1000).reshape(20, 50)).all()


def test_a_card_that_nvrtc_does_not_know_gets_ptx(nvrtc, files, card):
    card.tell("capability 1999")
    got, _ = run(*SAXPY_WORDS)
    assert got["arch"].startswith("compute_")
    card.tell("capability 35")
    _, err = run(*SAXPY_WORDS, code=2)
    assert "the card has compute capability 3.5: NVRTC" in err


def test_more_than_the_card_has(nvrtc, files, card):
    card.tell("memory 7999")
    _, err = run(*SAXPY_WORDS, code=1)
    assert "MiB of card memory are needed, and Fake Card 0 has" in err
    assert not os.path.exists("z.npy") and not card.calls("cuMemAlloc")


def test_a_kernel_that_goes_astray(nvrtc, files, card):
    _, err = run(*SAXPY_WORDS[:2], "grid=8", "block=256", "args=u32:2000 f32:2 in:x.npy inout:y.npy->z.npy", code=1)
    assert err == "cuda: the work on the card failed: CUDA_ERROR_ILLEGAL_ADDRESS: an illegal memory access was encountered\n"
    assert not os.path.exists("z.npy")
    assert not card.calls("cuMemFree") and not card.calls("cuDevicePrimaryCtxRelease")


def test_cancelled_while_the_card_works(nvrtc, files, card):
    card.tell("busy -1")
    with start("cuda", *SAXPY_WORDS) as child:
        harness.wait_until(lambda: card.calls("cuEventQuery"), DEADLINE)
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == -signal.SIGTERM and err == "cuda: cancelled while the card worked\n"
    assert not os.path.exists("z.npy")


@pytest.fixture
def served(box):
    host = Served(box / "output")
    yield host
    if host.child.poll() is None:
        host.child.kill()
        host.child.wait()


def test_a_warm_host_keeps_card_and_program(nvrtc, files, card, served):
    words = shlex.join(["cuda", *SAXPY_WORDS])
    there = {"CUDA_VISIBLE_DEVICES": "0"}
    for program in ("compiled", "kept", "kept"):
        code, text = served.run(words, env=there, cwd=os.getcwd())
        assert code == 0 and f"program={program} " in text
    code, text = served.run(words + " grid=0", env=there, cwd=os.getcwd())
    assert code == 2
    assert len(card.calls("cuDevicePrimaryCtxRetain")) == 1 and len(card.calls("cuModuleLoadData")) == 1
    assert served.end()[0] == 0
    assert card.calls("cuDevicePrimaryCtxRelease") == ["cuDevicePrimaryCtxRelease_v2 0 used 0 modules 0"]


def test_a_fatal_error_ends_the_host(nvrtc, files, card, served):
    words = ["cuda", *SAXPY_WORDS[:2], "grid=8", "block=256", "args=u32:2000 f32:2 in:x.npy inout:y.npy->z.npy"]
    served.ours.send(served.request(shlex.join(words), env={"CUDA_VISIBLE_DEVICES": "0"}, cwd=os.getcwd()))
    assert served.ours.recv(1000) == b""
    assert served.child.wait(DEADLINE) == 1
    assert "CUDA_ERROR_ILLEGAL_ADDRESS" in served.written()


# --- gemm on the fake card --------------------------------------------------------------------


@pytest.mark.parametrize("dtype", ["f32", "tf32", "f64", "f16", "bf16"])
def test_gemm(box, card, dtype):
    got, err = run("m=30", "n=40", "k=50", f"dtype={dtype}", "device=gpu", "repeat=2", kernel="gemm")
    assert err == "" and got["device"] == "gpu" and got["verified"] == "yes"
    assert float(got["seconds"]) == 0.002
    if dtype in ("f32", "f64"):
        cores, _ = run("m=30", "n=40", "k=50", f"dtype={dtype}", "device=cpu", kernel="gemm")
        assert cores["fingerprint"] == got["fingerprint"]


def test_gemm_without_cublas(box, card, monkeypatch):
    os.symlink(f"{card.dir}/libcuda.so.1", f"{without('cublas')}/libcuda.so.1")
    monkeypatch.setenv("LD_LIBRARY_PATH", os.path.abspath("broken"))
    monkeypatch.setenv("CUDA_PATH", "/no/toolkit")
    _, err = run("n=10", "dtype=f32", "device=gpu", code=1, kernel="gemm")
    for part in ("cuBLAS was not found", *PARTS["cublas"], "/no/toolkit/lib64"):
        assert part in err


@pytest.mark.parametrize("driver, there, opened", [
    (13000, (11, 12, 13), 13), (12040, (11, 12, 13), 12), (11080, (11, 12, 13), 11), (12040, (11, 13), 11),
    (11040, (12, 13), 13)])
def test_libraries_that_the_driver_can_run(box, card, monkeypatch, driver, there, opened):
    """No newer major version than the driver's, when there is an older one."""
    os.mkdir("lib")
    os.symlink(f"{card.dir}/libcuda.so.1", "lib/libcuda.so.1")
    for version in there:
        os.symlink(f"{card.dir}/libcublas.so.13", f"lib/libcublas.so.{version}")
    monkeypatch.setenv("LD_LIBRARY_PATH", os.path.abspath("lib"))
    monkeypatch.setenv("CUDA_PATH", "/no/toolkit")
    card.tell(f"version {driver}")
    for version in {11, 12, 13} - set(there):  # nor one of this machine's own
        with open(f"lib/libcublas.so.{version}", "wb"):
            pass
    run("n=10", "dtype=f32", "device=gpu", kernel="gemm")
    assert card.calls(os.path.abspath("lib")) == [os.path.abspath(f"lib/libcublas.so.{opened}")]


def test_gemm_cancelled_while_the_card_works(box, card):
    card.tell("busy -1")
    with start("gemm", "n=10", "dtype=f32", "device=gpu") as child:
        harness.wait_until(lambda: card.calls("cuEventQuery"), DEADLINE)
        child.send_signal(signal.SIGTERM)
        _, err = child.communicate(timeout=DEADLINE)
    assert child.returncode == -signal.SIGTERM and err == "gemm: cancelled while the card worked\n"
    assert not card.calls("cublasDestroy") and not card.calls("cuDevicePrimaryCtxRelease")


def test_gemm_with_a_fatal_error(box, card):
    card.tell("fail cuMemcpyDtoH_v2 719 1")
    _, err = run("n=10", "dtype=f32", "device=gpu", code=1, kernel="gemm")
    assert err == "gemm: copying from the card: CUDA_ERROR_OF_THE_TEST: some text\n"
    assert not card.calls("cublasDestroy") and not card.calls("cuMemFree")


def test_gemm_with_errors_of_the_card(box, card, monkeypatch):
    card.tell("memory 1000")
    _, err = run("n=100", "dtype=f32", "device=gpu", code=1, kernel="gemm")
    assert "MiB of card memory are needed" in err
    card.tell("")
    monkeypatch.setenv("FAKE_CUBLAS", "cublasGemmEx 13")
    _, err = run("n=100", "dtype=f32", "device=gpu", code=1, kernel="gemm")
    assert "cublasGemmEx: CUBLAS_STATUS_EXECUTION_FAILED" in err
