"""The original project's session, word for word but for the names of the programs."""
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

import harness

FIRST = re.compile(r"(\d+) todo tasks, (\d+) in_progress tasks, (\d+) finished tasks, (\d+) failed tasks")


@pytest.fixture
def shell(box):
    """Runs a line of the session in a directory with the programs, without any configuration."""
    cwd = box / "cwd"
    shutil.copy(harness.ROOT / "redis.sh", cwd / "redis.sh")
    (cwd / "sim").write_text("#!/bin/sh\necho cachesim $1 $2\n")
    (cwd / "sim").chmod(0o755)
    env = {**os.environ, "PATH": f"{harness.BIN}:{os.environ['PATH']}", "DISTCOMP_STATE_DIR": f"{box}/w",
           "TERM": "xterm"}

    def run(line, code=0):
        done = subprocess.run(["bash", "-c", line], cwd=cwd, env=env, capture_output=True, text=True, timeout=60,
                              stdin=subprocess.DEVNULL)
        assert done.returncode == code, f"{line}: exit {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    run.cwd, run.env = cwd, env
    yield run
    subprocess.run(["bash", "./redis.sh", "stop"], cwd=cwd, env=env, capture_output=True)


def counts(text):
    match = FIRST.fullmatch(text.splitlines()[0])
    assert match, text
    return tuple(map(int, match.groups()))


CHECK = "redisManager --task checkTask --finished false --todo false --in_progress false --failed false"
WATCHED = "redisManager --task 'checkTask&checkWorker' --finished false --print_result false --in_progress false"


def test_the_session(shell):
    assert "Redis runs" in shell("bash ./redis.sh --dir redis-data")
    shell("echo 'shell:4:2:2:./cachesim PARAM1 PARAM2' >> task")
    (shell.cwd / "sim").rename(shell.cwd / "cachesim")
    shell("redisManager --task 'initRedis&loadTask' --taskfile task")
    assert counts(shell(CHECK)) == (1, 0, 0, 0)
    assert shell("redisManager --task checkWorker") == "no workers\n"
    worker = subprocess.Popen(["redisWorker"], cwd=shell.cwd, env=shell.env, stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    harness.wait_until(lambda: counts(shell(CHECK)) == (0, 0, 1, 0), 20, every=0.1)
    assert len(shell(CHECK).splitlines()) == 1
    assert "cachesim PARAM1 PARAM2" in shell("redisManager --task checkTask")
    told = shell("redisManager --task checkWorker").splitlines()
    assert len(told) == 2 and os.uname().nodename in told[1]
    both = shell(WATCHED)
    assert counts(both) == (0, 0, 1, 0) and told[1].split()[0] in both and "finished:" not in both
    # Loaded again, it is known; initRedis first, it is new.
    shell("redisManager --task loadTask --taskfile task")
    assert counts(shell(CHECK)) == (0, 0, 1, 0)
    shell("redisManager --task 'initRedis&loadTask' --taskfile task")
    harness.wait_until(lambda: counts(shell(CHECK)) == (0, 0, 1, 0), 20, every=0.1)
    worker.terminate()
    assert worker.wait(20) == 0
    assert shell("redisManager --task checkWorker") == "no workers\n"


def test_a_bad_file_in_the_chain_empties_nothing(shell):
    shell("bash ./redis.sh --dir redis-data")
    shell("echo 'shell:4:2:2:true' > task; echo 'shell:4:2' > bad")
    shell("redisManager --task 'initRedis&loadTask' --taskfile task")
    shell("redisManager --task 'initRedis&loadTask' --taskfile bad", code=1)
    assert counts(shell(CHECK)) == (1, 0, 0, 0)


@pytest.mark.skipif(not shutil.which("watch"), reason="watch (procps) is not installed")
def test_under_watch(shell, box):
    """One turn of watch on a terminal; its screen has the counts and the worker table."""
    shell("bash ./redis.sh --dir redis-data")
    shell("echo 'shell:4:2:2:true' > task; redisManager --task 'initRedis&loadTask' --taskfile task")
    line = f'watch -n 0.5 "{WATCHED}"'
    with open(box / "screen", "wb") as screen:
        watching = subprocess.Popen(["script", "-qfec", line, "/dev/null"], cwd=shell.cwd, env=shell.env,
                                    stdin=subprocess.DEVNULL, stdout=screen, stderr=subprocess.DEVNULL)

    def shown():
        return re.sub(rb"\x1b[^a-zA-Z]*[a-zA-Z]", b" ", Path(box / "screen").read_bytes())

    harness.wait_until(lambda: b"1 todo tasks, 0 in_progress tasks, 0 finished tasks, 0 failed tasks" in shown()
                       and b"no workers" in shown(), 20)
    watching.terminate()
    watching.wait(20)


def test_with_a_redis_that_other_machines_reach(shell, redis_server):
    """redis_host, redis_port and redis_pass in conf.json, as in the original."""
    server = redis_server(requirepass="secret")
    (shell.cwd / "conf.json").write_text(
        f'{{"redis_host": "127.0.0.1", "redis_port": {server.port}, "redis_pass": "secret", "redis_db": 0}}')
    shell("echo 'shell:4:2:2:true' > task; redisManager --task 'initRedis&loadTask' --taskfile task")
    assert counts(shell(CHECK)) == (1, 0, 0, 0)
    assert [key for key in map(bytes.decode, server.command("KEYS", "*")) if not key.startswith("distcomp:{default}:")] == []


def test_words_of_the_originals_booleans(shell):
    shell("bash ./redis.sh --dir redis-data; echo 'shell:4:2:2:true' > task; redisManager loadTask --taskfile task")
    for false in ("false", "False", "f", "no", "n", "0", "off"):
        assert len(shell(f"redisManager --task checkTask --todo {false}").splitlines()) == 2, false
    for true in ("true", "True", "t", "yes", "y", "1", "on"):
        assert "true\n" in shell(f"redisManager --task checkTask --todo {true}"), true


@pytest.mark.skipif(not all(map(shutil.which, ("gzip", "bzip2", "xz"))), reason="bzip2 or xz is not installed")
def test_the_demo(box):
    """make demo's script: from the task file to a table, and nothing is left running."""
    before = harness.descendants()
    done = subprocess.run(["bash", str(harness.ROOT / "taskfiles" / "demo.sh")], capture_output=True, text=True,
                          env={**os.environ, "DISTCOMP_BIN": str(harness.BIN)}, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    table = dict(re.findall(r"^((?:gzip|bzip2|xz) -\d) +(\d+ .*)$", done.stdout, re.M))
    assert sorted(table) == [f"{tool} -{level}" for tool in ("bzip2", "gzip", "xz") for level in (1, 6, 9)]
    tasks, before_bytes, after_bytes, ratio, seconds = zip(*(row.split() for row in table.values()))
    assert len(set(tasks)) == 1 and sum(map(int, tasks)) >= 100 and len(set(before_bytes)) == 1
    assert all(1 < float(number) < 10 for number in ratio) and all(float(number) > 0 for number in seconds)
    harness.wait_until(lambda: not any(map(harness.is_running, harness.descendants() - before)))
    assert os.listdir(box / "tmp") == []


def test_the_demos_table_reads_any_csv(box):
    """Quotes, commas and newlines in cells, columns in another order, rows without a result."""
    (box / "in.csv").write_text('stdout,tool,x,level,state\r\n"100 50 0.5",gzip,"a,""b""\nc",1,finished\r\n'
                                '100 25 0.5,gzip,,1,finished\r\n,gzip,,9,failed\r\n')
    done = subprocess.run(["awk", "-f", str(harness.ROOT / "taskfiles" / "compress.awk"), str(box / "in.csv")],
                          capture_output=True, text=True)
    assert [line.split() for line in done.stdout.splitlines()] == [
        ["compressor", "tasks", "before", "after", "ratio", "seconds"],
        ["gzip", "-1", "2", "200", "75", "2.67", "1.000"], ["1", "rows", "had", "no", "result"]]
