"""The fixtures themselves: one batch through them, and nothing is left afterwards."""
import os
import shutil
import subprocess
import time

import pytest

import harness
import scriptqueue


def test_a_batch_through_queue_and_worker(queue, worker):
    queue.load("shell:1:0:0:echo one\nshell:2:0:0:echo two\nshell:1:0:0:exit 3\n# end\n")
    assert queue.counts() == {"todo": 3, "in_progress": 0, "finished": 0, "failed": 0}
    worker(max_retry_per_task=1, health_report_interval="200ms", lease="1s")
    queue.wait_counts(finished=2, failed=1)


def test_descendants_are_ended_however_they_hide():
    before = harness.descendants()
    subprocess.run(["sh", "-c", "(setsid sleep 1000 & ) ; (trap '' TERM; sleep 1000) &"], check=True)
    harness.wait_until(lambda: len(harness.descendants() - before) >= 2)
    harness.end_descendants(before)
    assert harness.descendants() - before == set()


def test_the_environment_is_the_boxs(box):
    for name in ("HOME", "TMPDIR", "XDG_RUNTIME_DIR", "DISTCOMP_RUN_DIR"):
        assert os.environ[name].startswith(str(box))
    assert os.getcwd().startswith(str(box))


def test_wait_until_says_what_it_waited_for():
    start = time.monotonic()
    with pytest.raises(AssertionError, match="rain; last value 0"):
        harness.wait_until(lambda: 0, 0.05, what="rain")
    assert time.monotonic() - start < 5


def test_redis_server_pauses_dies_and_comes_back(redis):
    redis.command("CONFIG", "SET", "appendfsync", "always")
    redis.command("SET", "k", "v")
    port = redis.port
    redis.restart()
    assert redis.command("GET", "k") == b"v"
    assert redis.port == port
    redis.freeze()
    client = redis.connect(login=False)
    client.socket.settimeout(0.2)
    with pytest.raises(OSError):
        client.command("PING")
    redis.thaw()
    assert redis.command("PING") == b"PONG"


def test_the_scripts_are_tested_with_valkey_too():
    if not shutil.which("valkey-server"):
        pytest.skip("expected: no valkey-server")
    if scriptqueue.SERVERS == [harness.SERVER] != ["valkey-server"]:
        pytest.skip(f"expected: DISTCOMP_SERVER asks for {harness.SERVER} alone")
    assert "valkey-server" in scriptqueue.SERVERS
