"""How much memory a program has at its highest."""
import subprocess
import sys

from harness import SLOW, program

# A sanitizer's own memory is in it.
UNSURE_OF_MEMORY = "-asan" in program("kernelHost") or "-tsan" in program("kernelHost")

# The high-water mark of a process survives exec: it must not be a child of this one, which may be large.
WRAPPER = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024, file=sys.stderr)
sys.exit(code)
"""


def peak_bytes(line):
    """Runs it, which must succeed: (stdout, bytes)."""
    done = subprocess.run([sys.executable, "-c", WRAPPER, *map(str, line)], capture_output=True, text=True,
                          timeout=100 * SLOW)
    assert done.returncode == 0, done.stderr
    return done.stdout, int(done.stderr.splitlines()[-1])
