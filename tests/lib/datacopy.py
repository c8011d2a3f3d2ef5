"""data_copy (tests/lib/data_copy.c): reads and writes by name as a kernel does."""
import os
import subprocess

import harness


def start(*words, env=None, **options):
    return subprocess.Popen([str(harness.HELPERS / "data_copy"), *map(str, words)], stdout=subprocess.PIPE,
                            stderr=subprocess.PIPE, text=True, env={**os.environ, **(env or {})}, **options)


def run(*words, **options):
    process = start(*words, **options)
    out, err = process.communicate(timeout=100 * harness.SLOW)
    return process.returncode, out, err


def copy(*words, **options):
    """stdout of one that must succeed."""
    code, out, err = run(*words, **options)
    assert (code, err) == (0, ""), f"{words}: exit {code}: {err}"
    return out


def copy_fails(*words, **options):
    """The message of one that must fail: one line, without the program's name."""
    code, _, err = run(*words, **options)
    assert code == 1 and err.count("\n") == 1 and err.startswith("data_copy: "), (code, err)
    return err[len("data_copy: "):-1]
