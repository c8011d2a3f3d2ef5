"""What verbs say when Redis is down, locked, full, read-only or something else: one line, exit 1."""
import re
import socket
import threading

import pytest

import harness
from scriptqueue import ScriptQueue

VERBS = [["initRedis"], ["loadTask", "task"], ["cancelTask", "--all"], ["holdTask", "--all"],
         ["releaseTask", "--all"], ["setTask", "--all", "--priority", "1"], ["cleanup"], ["removeFinishedTask"],
         ["moveInProgressTaskToTodo"], ["moveFailedTaskToTodo"], ["drainWorker", "--all"],
         ["resumeWorker", "--all"], ["stopWorker", "w1"], ["addTask", "--", "true"],
         ["putObject", "x", "task"], ["removeObject", "x"]]


@pytest.fixture
def ask(box):
    """ask(url, *words): the one line of stderr of a call that must fail with 1."""
    (box / "cwd" / "task").write_text("shell:1:0:0:true\n")

    def ask(url, *words, **options):
        done = harness.Queue(url, box / "cwd").run(*words, **options)
        assert done.returncode == 1 and done.stdout == "", done
        assert done.stderr.count("\n") == 1 and done.stderr.startswith(f"redisManager {words[0]}: "), done.stderr
        return done.stderr

    return ask


@pytest.mark.parametrize("verb", VERBS, ids=lambda words: words[0])
def test_redis_is_down(ask, box, verb):
    path = box / "no-socket"
    assert str(path) in ask(f"unix://{path}", *verb)
    port = harness.free_port()
    assert f"127.0.0.1:{port}" in ask(f"redis://127.0.0.1:{port}", *verb)


def test_wrong_password(ask, redis_server):
    server = redis_server(requirepass="secret")
    for url, wanted in ((server.tcp_url, "password"), (server.tcp_url.replace("//", "//:wrong@"), "password")):
        line = ask(url, "loadTask", "task")
        assert wanted in line and "wrong@" not in line
    assert "secret" not in line


def test_not_a_redis(ask):
    with socket.create_server(("127.0.0.1", 0)) as server:
        def answer():
            for _ in range(3):
                try:
                    client, _ = server.accept()
                except OSError:
                    return
                with client:
                    client.recv(1000)
                    client.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer, daemon=True)
        thread.start()
        line = ask(f"redis://127.0.0.1:{server.getsockname()[1]}", "cancelTask", "--all")
    assert "not" in line and "Redis" in line


def test_full(ask, redis, queue):
    """loadTask in the middle of a large file; what is in by then is whole."""
    q = ScriptQueue(redis)
    queue.load("shell:1:0:0:done\nshell:1:0:0:running\n")
    q.register()
    claimed = q.claim(slots=2)
    q.finish(claimed[0])
    redis.command("CONFIG", "SET", "maxmemory", "16mb")
    (queue.cwd / "task").write_text("".join(f"shell:1:0:0:echo {i:090d}\n" for i in range(200_000)))
    line = ask(queue.url, "loadTask", "task")
    match = re.search(r"; by then (\d+) new, 0 known, .*the same call again brings the rest\n", line)
    assert "memory" in line and match, line
    q.check()
    there = q.counts()["todo"]
    assert 0 < int(match.group(1)) <= there < 200_000
    redis.command("CONFIG", "SET", "maxmemory", "1mb")  # the loader's own buffers counted, and are free again
    assert "memory" in ask(queue.url, "addTask", "--", "x")
    # What the message advises works while it is full, and results still come in.
    q.finish(claimed[1])
    assert queue("removeFinishedTask") == "2 tasks removed\n"
    redis.command("CONFIG", "SET", "maxmemory", "0")
    out = queue("loadTask", "task")
    assert out == f"{200_000 - there} new, {there} known, 0 updated, 0 duplicate, 0 failed\n"


def test_read_only_replica(ask, redis, redis_server):
    replica = redis_server(replicaof=f"127.0.0.1 {redis.port}")
    harness.wait_until(lambda: replica.info("replication").get("master_link_status") == "up", 30)
    for verb in (["loadTask", "task"], ["cancelTask", "--all"], ["initRedis"]):
        assert "replica" in ask(replica.url, *verb)


def test_redis_goes_away_in_the_middle(redis, queue):
    (queue.cwd / "task").write_text("".join(f"shell:1:0:0:echo {i:090d}\n" for i in range(300_000)))
    from load_test import start_load
    process = start_load(queue)
    harness.wait_until(lambda: (redis.command("HLEN", "distcomp:{default}:task") or 0) > 10_000, every=0.001)
    redis.kill()
    out, err = process.communicate(timeout=60)
    assert process.returncode == 1 and out == "" and err.count("\n") == 1
    assert re.search(r"lost|closed|refused", err) and "the same call again brings the rest" in err, err
    redis.start(same_port=True)
    ScriptQueue(redis).check()
    counts = queue("loadTask", "task")
    new, known = map(int, re.match(r"(\d+) new, (\d+) known", counts).groups())
    assert new + known == 300_000 and known > 0
