"""Output: any bytes, bounded everywhere, kept where it was asked for (issue 2, "Worker")."""
import os
import subprocess
from pathlib import Path

import pytest

from harness import program, wait_until
from tasks import Tasks

FAST = {"health_report_interval": "100ms", "lease": "1s", "retry_backoff": "50ms"}


@pytest.fixture
def tasks(queue, redis):
    return Tasks(queue, redis)


def test_streams_are_apart_and_bytes_unchanged(tasks, worker):
    worker(**FAST)
    task = tasks.add(r"printf 'a\000b\377\r\n\303'; printf 'err\000\376' >&2").wait()
    assert task.out == b"a\0b\xff\r\n\xc3"
    assert task.err == b"err\0\xfe"
    assert (task.tries[0].out_bytes, task.tries[0].err_bytes) == (7, 5)


def test_output_of_the_last_try(tasks, worker):
    worker(**FAST)
    assert tasks.add("echo try $DISTCOMP_TRY; [ $DISTCOMP_TRY = 2 ]").wait().out == b"try 2\n"


def test_no_output_is_no_output(tasks, worker):
    worker(**FAST)
    done = tasks.add("true").wait().output()
    assert (done.returncode, done.stdout) == (0, b"")


def test_long_output_has_both_ends_and_is_whole_in_result_dir(tasks, worker, box):
    worker(output_limit="1KiB", result_dir=box / "results", **FAST)
    task = tasks.add("seq 1 10000; seq 1 100 >&2").wait()
    whole = "".join(f"{i}\n" for i in range(1, 10001)).encode()
    out = task.out
    assert out.startswith(whole[:512] + b"\n[distcomp: ")
    assert out.endswith(b"bytes left out]\n" + whole[-512:])
    assert str(len(whole) - 1024).encode() in out
    assert task.err == "".join(f"{i}\n" for i in range(1, 101)).encode()
    entry, = task.tries
    assert Path(entry.path).parent == box / "results"
    assert Path(entry.path).read_bytes() == whole
    assert entry.out_bytes == len(whole)


def test_result_dir_on_another_file_system(tasks, worker, box):
    if not os.path.isdir("/dev/shm") or os.stat("/dev/shm").st_dev == os.stat(box).st_dev:
        pytest.skip("expected: no second file system")
    directory = Path("/dev/shm", box.name)
    try:
        worker(output_limit="100", result_dir=directory, **FAST)
        task = tasks.add("seq 1 1000").wait()
        assert Path(task.tries[0].path).read_text().split() == [str(i) for i in range(1, 1001)]
        assert tasks.add("seq 1 3").wait().out == b"1\n2\n3\n", "the slot's file was emptied"
    finally:
        for path in directory.glob("*") if directory.is_dir() else ():
            path.unlink()
        if directory.is_dir():
            directory.rmdir()


def test_result_dir_that_cannot_be_used_is_told_and_the_result_recorded(tasks, worker, box):
    (box / "file").write_text("")
    worker(output_limit="100", result_dir=box / "file", **FAST)
    task = tasks.add("seq 1 1000").wait()
    assert "could not be kept" in task.tries[0].reason
    assert b"bytes left out" in task.out


def test_keep_keeps_what_is_short(tasks, worker, box):
    w = worker(**FAST)
    task = tasks.add("echo short; echo too >&2", output="keep").wait()
    assert task.out == b"short\n"
    out, err = task.tries[0].path.split("\n")
    assert Path(out).read_bytes() == b"short\n"
    assert Path(err).read_bytes() == b"too\n"
    assert Path(out).parent == w.state_dir / "results"


def test_redis_ships_the_whole(tasks, worker):
    worker(output_limit="100", **FAST)
    task = tasks.add("seq 1 100000", output="redis").wait()
    assert task.out == "".join(f"{i}\n" for i in range(1, 100001)).encode()
    assert task.tries[0].path == ""


def test_redis_within_its_limit(tasks, worker):
    worker(output_redis_max="1000", **FAST)
    task = tasks.add("seq 1 100000", output="redis").wait()
    assert b"bytes left out" in task.out
    assert len(task.out) < 1100
    assert task.tries[0].path


def test_a_flood_does_not_fill_the_disk(tasks, worker, box):
    w = worker(output_max="1MiB", **FAST)
    task = tasks.add(f"head -c 200000000 /dev/zero | tr '\\0' x; echo end; touch {box}/written; sleep 1")
    wait_until((box / "written").exists, 60, what="200 MB are written")

    def on_disk():
        return sum(path.stat().st_blocks * 512 for path in (w.state_dir / "out").iterdir())

    wait_until(lambda: on_disk() < 4 << 20, what="the middle is dropped")
    task.wait()
    assert task.out.endswith(b"xend\n")
    assert task.tries[0].out_bytes == 200000004
    assert Path(task.tries[0].path).stat().st_blocks * 512 < 4 << 20


def test_nothing_of_the_hole_is_shown_as_output(tasks, worker):
    worker(output_max="64KiB", output_limit="4MiB", **FAST)
    task = tasks.add("head -c 3000000 /dev/zero | tr '\\0' x").wait()
    assert b"\0" not in task.out
    assert b"bytes left out" in task.out


@pytest.mark.parametrize("command, out, err", [
    ("echo a >&2; echo b >/dev/stderr; echo c >&2", b"", b"b\nc\n"),
    ("echo a >&2; echo b >>/dev/stderr; echo c >&2", b"", b"a\nb\nc\n"),
    ("echo a; echo b >/proc/self/fd/1; echo c", b"b\nc\n", b""),
])
def test_opening_dev_stderr_again(tasks, worker, command, out, err):
    """The table of docs/operations.md."""
    worker(**FAST)
    task = tasks.add(command).wait()
    assert (task.output("--stream", "stdout").stdout, task.err) == (out, err)


def test_oldest_outputs_go_first_and_are_marked(tasks, worker, redis):
    worker(keep_output_bytes="20000", max_tasks=1, **FAST)
    all_ = []
    for i in range(8):
        all_.append(tasks.add(f"head -c 5000 /dev/zero | tr '\\0' {i}").wait())
    wait_until(lambda: int(tasks.view.counts()["output_bytes"]) <= 20000, what="the limit holds")
    assert all_[-1].out == b"7" * 5000
    gone = all_[0].output()
    assert gone.stdout == b""
    assert b"keep_output_bytes" in gone.stderr or b"dropped" in gone.stderr or b"removed" in gone.stderr, gone.stderr
    assert all_[0].tries[0].out_bytes == 5000, "what it was is still known"


def test_follow_from_elsewhere(tasks, worker, box):
    worker(**FAST)
    task = tasks.add(f"echo first; until [ -e {box}/go ]; do sleep 0.02; done; echo last; echo oops >&2")
    task.wait("in_progress")
    follow = subprocess.Popen([program("redisManager"), "taskOutput", task.id, "-f", *tasks.queue.flags],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert follow.stdout.readline() == b"first\n"
    (box / "go").touch()
    out, err = follow.communicate(timeout=30)
    assert (out, err, follow.returncode) == (b"last\n", b"oops\n", 0)
