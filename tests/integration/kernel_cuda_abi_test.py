"""kernels/cuda/cudalib.h has declarations of its own; where NVIDIA's headers are installed, they are compared: every
number, and of every function the result and each argument, by size and kind. And the toolkit's stub of the driver, NVRTC
and cuBLAS have every symbol.
"""
import ctypes
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import harness

TOOLKIT = Path(os.environ.get("CUDA_PATH", "/usr/local/cuda"))
HEADER = (harness.ROOT / "kernels" / "cuda" / "cudalib.h").read_text()
SYMBOL = re.compile(r"\bX\((DRIVER|NVRTC|CUBLAS), (\w+), (\d),")

# Our name: NVIDIA's. A number of ours that is missing here fails the test.
RESULTS = "CUDA_ERROR_"
NUMBERS = {"CU_SUCCESS": "CUDA_SUCCESS", "CU_DEVICE_CAPABILITY_MAJOR": "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR",
           "CU_DEVICE_CAPABILITY_MINOR": "CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR",
           "CU_DEVICE_MAX_SHARED_PER_BLOCK_OPTIN": "CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN",
           "CU_FUNCTION_MAX_THREADS_PER_BLOCK": "CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK",
           "CU_FUNCTION_SHARED_BYTES": "CU_FUNC_ATTRIBUTE_SHARED_SIZE_BYTES",
           "CU_FUNCTION_MAX_DYNAMIC_SHARED_BYTES": "CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES"}
# The plain name of cuda.h means a newer function of the same shape; C++ has a second cublasGemmEx.
DECLARED_AS = {
    "cuEventElapsedTime": "decltype(::cuEventElapsedTime_v2)",
    "cublasGemmEx": """std::remove_pointer_t<decltype(static_cast<cublasStatus_t (*)(
        cublasHandle_t, cublasOperation_t, cublasOperation_t, int, int, int, const void *, const void *, cudaDataType,
        int, const void *, cudaDataType, int, const void *, void *, cudaDataType, int, cublasComputeType_t,
        cublasGemmAlgo_t)>(&::cublasGemmEx))>"""}

SOURCE = r"""
#include <type_traits>
#include <cuda.h>
#include <nvrtc.h>
#include <cublas_v2.h>
%(theirs)s
#undef cuEventElapsedTime
#undef cuEventRecord
#undef cuLaunchKernel
namespace own {
#define CU_SUCCESS OWN_CU_SUCCESS
#define cu_result own_cu_result
%(hide)s
#include "kernels/cuda/cudalib.h"
}
template <class A, class B> struct same {
    static constexpr bool value = sizeof(A) == sizeof(B) && std::is_pointer<A>::value == std::is_pointer<B>::value &&
                                  std::is_floating_point<A>::value == std::is_floating_point<B>::value;
};
template <class A, class B> struct fits : std::false_type {};
template <class R, class... A, class S, class... B> struct fits<R(A...), S(B...)> {
    static constexpr bool result = same<R, S>::value;
    template <bool many, class = void> struct all : std::false_type {};
    template <class T> struct all<true, T> { static constexpr bool value = (same<A, B>::value && ...); };
    static constexpr bool value = result && all<sizeof...(A) == sizeof...(B)>::value;
};
"""


def need(condition, why):
    if not condition:
        pytest.skip(f"expected: {why}")


def symbols():
    found = SYMBOL.findall(HEADER)
    assert len(found) > 40
    return found


def numbers():
    """{our name: NVIDIA's} of all enumerators."""
    ours = {}
    text = re.sub(r"/\*.*?\*/", "", HEADER.split("/* --- every symbol")[0], flags=re.S)
    for body in re.findall(r"enum(?: \w+)? \{(.*?)\}", text, flags=re.S):
        for name in re.findall(r"(\w+) =", body):
            ours[name] = NUMBERS.get(name, RESULTS + name[3:] if name.startswith("CU_") else name)
    assert len(ours) > 40
    return ours


def test_the_headers_agree(box):
    need((TOOLKIT / "include" / "cuda.h").exists() and (TOOLKIT / "include" / "cublas_v2.h").exists(),
         f"no headers of CUDA in {TOOLKIT}/include")
    need(shutil.which("g++"), "no g++")
    ours = numbers()
    source = SOURCE % {
        "theirs": "\n".join(f"constexpr long long theirs_{name} = (long long){theirs};" for name, theirs in ours.items()),
        "hide": "\n".join(f"#define {name} own_{name}" for name in ours if name != "CU_SUCCESS")}
    for name in ours:
        own = "OWN_CU_SUCCESS" if name == "CU_SUCCESS" else f"own_{name}"
        source += f'static_assert((long long)own::{own} == theirs_{name}, "{name}");\n'
    for _, symbol, _ in symbols():
        theirs = DECLARED_AS.get(symbol, f"decltype(::{symbol})")
        source += (f"static_assert(fits<std::remove_pointer_t<decltype(own::cudalib::{symbol})>, {theirs}>::value, "
                   f'"{symbol}");\n')
    Path("abi.cc").write_text(source)
    done = subprocess.run(["g++", "-std=c++17", "-fsyntax-only", "-I", TOOLKIT / "include", "-I", harness.ROOT, "abi.cc"],
                          capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:4000]


@pytest.mark.parametrize("part, file", [("DRIVER", "stubs/libcuda.so"), ("NVRTC", "libnvrtc.so"),
                                        ("CUBLAS", "libcublas.so")])
def test_the_libraries_have_every_symbol(box, part, file):
    found = [path for sub in ("lib64", "lib") if (path := TOOLKIT / sub / file).exists()]
    need(found, f"no {file} in {TOOLKIT}")
    need(shutil.which("nm"), "no nm")
    listed = subprocess.run(["nm", "-D", "--defined-only", found[0]], check=True, capture_output=True, text=True).stdout
    names = {line.split()[-1].split("@")[0] for line in listed.splitlines()}
    missing = [symbol for of, symbol, _ in symbols() if of == part and symbol not in names]
    assert not missing


def test_the_fakes_have_every_symbol(box):
    for part, file in (("DRIVER", "libcuda.so.1"), ("CUBLAS", "libcublas.so.13")):
        library = ctypes.CDLL(str(harness.HELPERS / "cuda" / file))
        for of, symbol, _ in symbols():
            if of == part:
                assert getattr(library, symbol)
