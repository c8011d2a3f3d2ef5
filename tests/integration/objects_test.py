"""Objects in Redis: the verbs, redis: names of kernels, and what happens when they are replaced, expire, are too large,
or when somebody dies or the connection is lost in the middle."""
import json
import os
import subprocess

import pytest

import datacopy
import harness
from redisproxy import RedisProxy

MIB = 1 << 20
PREFIX = "distcomp:{default}:"


@pytest.fixture
def env(redis):
    return {"DISTCOMP_REDIS": redis.url}


@pytest.fixture
def proxy(redis):
    made = RedisProxy(redis)
    yield made
    made.close()


@pytest.fixture
def content(box):
    """content(name, bytes or size): a file; returns its bytes."""
    def make(name, what):
        data = os.urandom(what) if isinstance(what, int) else what
        (box / "cwd" / name).write_bytes(data)
        return data
    return make


def read(box, name):
    return (box / "cwd" / name).read_bytes()


def files(box):
    return sorted(path.name for path in (box / "cwd").iterdir())


# --- the verbs --------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [0, 1, MIB - 1, MIB, MIB + 1, 4 * MIB, 9 * MIB + 17])
def test_there_and_back(queue, box, content, redis, size):
    data = content("in", size)
    queue("putObject", "a/b.npy", "in")
    queue("getObject", "a/b.npy", "out")
    assert read(box, "out") == data and files(box) == ["in", "out"]
    for words in ([], ["-"]):
        done = subprocess.run([harness.program("redisManager"), "getObject", "a/b.npy", *words, *queue.flags],
                              capture_output=True)
        assert done.returncode == 0 and done.stdout == data
    chunks = redis.command("HLEN", PREFIX + "object:a/b.npy") - 3
    assert chunks == (size + MIB - 1) // MIB
    assert redis.keys() == [PREFIX + "object:a/b.npy"]


def test_from_standard_input(queue, box, content):
    data = content("in", 3 * MIB + 5)
    with open(box / "cwd" / "in", "rb") as file:
        done = subprocess.run([harness.program("redisManager"), "putObject", "x", "-", *queue.flags], stdin=file,
                              capture_output=True, text=True)
    assert done.stdout == "redis:x: 3.0 MiB, kept for 7d0h\n"
    queue("getObject", "x", "out")
    assert read(box, "out") == data


def test_list_and_remove(queue, redis, content):
    assert queue("listObjects") == "no objects\n"
    assert queue("listObjects", "--json") == ""
    content("in", 1000)
    for name in ("b", "a/2", "a/1"):
        assert queue.json("putObject", name, "in") == {"name": name, "bytes": 1000}
    harness.Queue(queue.url, queue.cwd, "other")("putObject", "elsewhere", "in")
    lines = queue("listObjects").splitlines()
    assert lines[0].split() == ["SIZE", "WRITTEN", "EXPIRES", "IN", "NAME"]
    assert [line.split()[-1] for line in lines[1:]] == ["a/1", "a/2", "b"]
    found = [json.loads(line) for line in queue("listObjects", "--json").splitlines()]
    assert [(entry["name"], entry["bytes"]) for entry in found] == [("a/1", 1000), ("a/2", 1000), ("b", 1000)]
    week = 7 * 86400 * 1000
    assert all(week - 600000 < entry["expires_in_ms"] <= week for entry in found)
    done = queue.run("removeObject", "b", "none", "a/1")
    assert (done.returncode, done.stdout) == (1, "2 objects removed\n")
    assert done.stderr == "redisManager removeObject: there is no object none\n"
    assert queue.json("removeObject", "a/2") == {"removed": 1}
    assert redis.keys() == ["distcomp:{other}:object:elsewhere"]


def test_many_are_listed(queue, redis):
    for i in range(2500):
        redis.command("HSET", f"{PREFIX}object:o{i:04d}", "size", i, "version", "0" * 16, "written", 1)
    names = [json.loads(line)["name"] for line in queue("listObjects", "--json").splitlines()]
    assert names == [f"o{i:04d}" for i in range(2500)]


def test_init_removes_them(queue, redis, content):
    """This queue's, parts too, and no others."""
    content("in", 10)
    queue("putObject", "x", "in")
    redis.command("HSET", PREFIX + "object_part:y.0123456789abcdef", "0", "z")
    harness.Queue(queue.url, queue.cwd, "other")("putObject", "x", "in")
    redis.command("SET", "distcomp:{default}object:x", "not ours")
    queue("initRedis")
    assert redis.keys() == ["distcomp:{default}object:x", "distcomp:{other}:object:x"]


@pytest.mark.parametrize("name", ["", "a b", "a*b", "ä", "a" * 201, "a\nb", "a,b", "a{b}"])
def test_names_that_are_none(queue, name, content):
    content("in", 10)
    for words in (["putObject", name, "in"], ["getObject", name], ["removeObject", name]):
        done = queue.run(*words)
        assert done.returncode in (1, 2) and done.stdout == "" and done.stderr.count("\n") == 1
        assert "1 to 200 letters, digits" in done.stderr or not name, done.stderr


def test_the_longest_name(queue, content):
    content("in", 10)
    queue("putObject", "a" * 200, "in")
    assert queue("listObjects").split()[-1] == "a" * 200


def test_files_that_cannot_be(queue, box, content):
    (box / "cwd" / "dir").mkdir()
    assert queue.run("putObject", "x", "none").stderr == (
        "redisManager putObject: none: No such file or directory\n")
    assert queue.run("putObject", "x", "dir").stderr == "redisManager putObject: dir: Is a directory\n"
    content("in", 10)
    queue("putObject", "x", "in")
    for target in ("dir", "none/x"):
        done = queue.run("getObject", "x", target)
        assert done.returncode == 1 and done.stderr.startswith(f"redisManager getObject: {target}: "), done
    done = queue.run("getObject", "none", "out")
    assert done.stderr.startswith("redisManager getObject: there is no object none in this queue")
    assert files(box) == ["dir", "in"]


def test_too_large(queue, box, content, redis, env):
    """Known before anything is sent, or found out on the way; nothing is left."""
    content("in", 2 * MIB + 1)
    done = queue.run("putObject", "x", "in", "--object_max", "2MiB")
    assert done.returncode == 1 and "in has 2.0 MiB, an object at most 2.0 MiB (object_max)" in done.stderr
    with open(box / "cwd" / "in", "rb") as file:
        done = subprocess.run(["sh", "-c", 'cat | "$@"', "sh", harness.program("redisManager"), "putObject", "x", "-",
                               "--object_max", "2MiB", *queue.flags], stdin=file, capture_output=True, text=True)
    assert done.returncode == 1 and "object x would be larger than 2.0 MiB (object_max)" in done.stderr
    line = datacopy.copy_fails("--bytes", "in", "redis:x", env={**env, "OBJECT_MAX": str(2 * MIB)})
    assert line == ("redis:x would have 2.0 MiB; an object has at most 2.0 MiB (object_max): write a file, or raise it")
    assert redis.keys() == []
    queue("putObject", "x", "in", "--object_max", str(2 * MIB + 1))


# --- kernels ----------------------------------------------------------------------------------


def test_kernels_and_verbs_see_the_same(queue, box, content, env):
    data = content("in", 5 * MIB + 3)
    queue("putObject", "x", "in")
    assert datacopy.copy("--bytes", "redis:x", "redis:y", "out", env=env) == f"{len(data)} ended\n"
    assert read(box, "out") == data
    queue("getObject", "y", "back")
    assert read(box, "back") == data


def test_a_queue_of_another_name(redis, box, content, env):
    content("in", 10)
    datacopy.copy("--bytes", "in", "redis:x", env={**env, "DISTCOMP_QUEUE": "q2"})
    assert redis.keys() == ["distcomp:{q2}:object:x"]
    assert "there is no object x" in datacopy.copy_fails("--bytes", "redis:x", env=env)


def test_nothing_without_a_commit(redis, content, env):
    content("in", 3 * MIB)
    datacopy.copy("--bytes", "--fail", "in", "redis:x", env=env)
    assert redis.keys() == []


def test_expiry(redis, content, env):
    """Of not being written: to write it again prolongs it, to read it does not."""
    content("in", 10)
    for seconds in ("100", "1000", "1"):
        datacopy.copy("--bytes", "in", "redis:x", env={**env, "OBJECT_TTL": seconds})
        assert 0 < redis.command("PTTL", PREFIX + "object:x") <= 1000 * int(seconds)
    harness.wait_until(lambda: not redis.keys())
    assert datacopy.copy_fails("--bytes", "redis:x", env=env).startswith("there is no object x in this queue")


def test_no_redis_there(content):
    content("in", 10)
    assert "DISTCOMP_REDIS" in datacopy.copy_fails("--bytes", "redis:x")
    assert "no such socket" in datacopy.copy_fails("--bytes", "in", "redis:x", env={"DISTCOMP_REDIS": "unix:///no/s"})


# --- replaced, removed, lost in the middle ----------------------------------------------------


def test_replaced_while_it_is_read(queue, proxy, box, content):
    """The reader has four chunks when the object is replaced, by a shorter one; it gets the new one, whole."""
    content("old", 9 * MIB)
    new = content("new", 6 * MIB + 1)
    queue("putObject", "x", "old")
    proxy.at(b"HMGET", 2, lambda: queue("putObject", "x", "new"))
    datacopy.copy("--bytes", "redis:x", "out", env={"DISTCOMP_REDIS": proxy.url})
    assert read(box, "out") == new and not proxy.orders
    content("old", 9 * MIB)
    queue("putObject", "x", "old")
    proxy.at(b"HMGET", proxy.seen[b"HMGET"] + 2, lambda: queue("putObject", "x", "new"))
    harness.Queue(proxy.url, box / "cwd")("getObject", "x", "out")
    assert read(box, "out") == new and not proxy.orders


def test_replaced_again_and_again(queue, proxy, content):
    content("in", 9 * MIB)
    queue("putObject", "x", "in")
    for i in range(10):
        proxy.at(b"HMGET", 2 * i + 2, lambda: queue("putObject", "x", "in"))
    line = datacopy.copy_fails("--bytes", "redis:x", env={"DISTCOMP_REDIS": proxy.url})
    assert line == "object x was replaced 10 times while it was read"


def test_removed_while_it_is_read(queue, proxy, content, box):
    content("in", 9 * MIB)
    queue("putObject", "x", "in")
    proxy.at(b"HMGET", 2, lambda: queue("removeObject", "x"))
    line = datacopy.copy_fails("--bytes", "redis:x", "out", env={"DISTCOMP_REDIS": proxy.url})
    assert line == "object x was removed while it was read" and files(box) == ["in"]


def test_damaged(queue, redis, content, env):
    content("in", 2 * MIB)
    queue("putObject", "x", "in")
    for field, value in (("1", "short"), ("size", "x"), ("size", "-1"), ("size", 3 * MIB)):
        was = redis.command("HGET", PREFIX + "object:x", field)
        redis.command("HSET", PREFIX + "object:x", field, value)
        assert "damaged" in datacopy.copy_fails("--bytes", "redis:x", env=env), (field, value)
        redis.command("HSET", PREFIX + "object:x", field, was)
    datacopy.copy("--bytes", "redis:x", env=env)


@pytest.mark.parametrize("how", ["drop", "swallow"])
@pytest.mark.parametrize("word, count", [(b"HMGET", 1), (b"HMGET", 2), (b"WATCH", 1), (b"HLEN", 1), (b"RENAME", 1),
                                         (b"TIME", 1), (b"HSET", 1), (b"HSET", 3)])
def test_connections_that_are_lost(redis, proxy, box, content, word, count, how):
    """Wherever it is: with the request, or with its answer. What was to be done is done, once."""
    data = content("in", 5 * MIB + 1)
    datacopy.copy("--bytes", "in", "redis:x", env={"DISTCOMP_REDIS": redis.url})
    proxy.at(word, count, how)
    datacopy.copy("--bytes", "redis:x", "redis:y", "redis:z", "out", env={"DISTCOMP_REDIS": proxy.url})
    assert not proxy.orders, "it was never reached"
    assert read(box, "out") == data
    assert redis.keys() == [PREFIX + "object:" + name for name in "xyz"]
    for name in "yz":
        datacopy.copy("--bytes", f"redis:{name}", "back", env={"DISTCOMP_REDIS": redis.url})
        assert read(box, "back") == data


def test_the_answer_is_lost_and_others_went_on(redis, proxy, queue, content):
    """EXEC was done, then both objects were removed: nobody can know, and it is no success."""
    content("in", 10)
    proxy.at(b"RENAME", 1, "swallow")
    proxy.at(b"HGET", 1, lambda: redis.command("DEL", PREFIX + "object:x"))
    line = datacopy.copy_fails("--bytes", "in", "redis:x", env={"DISTCOMP_REDIS": proxy.url})
    assert "whether it did is not known" in line and redis.keys() == []


@pytest.mark.parametrize("what", ["initRedis", "expiry"])
def test_pieces_are_lost_before_the_commit(redis, proxy, queue, content, what):
    """The old object stays as it was."""
    content("in", 2 * MIB)
    datacopy.copy("--bytes", "in", "redis:y", env={"DISTCOMP_REDIS": redis.url})

    def lose():
        [part] = [key for key in redis.keys() if ":object_part:y" in key]
        redis.command("HDEL" if what == "expiry" else "DEL", part, *(["0"] if what == "expiry" else []))

    proxy.at(b"WATCH", 1, lose)
    line = datacopy.copy_fails("--bytes", "in", "redis:x", "redis:y", env={"DISTCOMP_REDIS": proxy.url})
    assert "pieces of it were lost in Redis" in line
    assert redis.keys() == [PREFIX + "object:y"]


def test_redis_is_killed_and_comes_back(redis, proxy, content, box):
    """It has appendfsync always here: nothing is lost."""
    redis.command("CONFIG", "SET", "appendfsync", "always")
    data = content("in", 5 * MIB)
    proxy.at(b"HSET", 3, redis.restart)
    datacopy.copy("--bytes", "in", "redis:x", env={"DISTCOMP_REDIS": proxy.url})
    assert proxy.orders == []
    datacopy.copy("--bytes", "redis:x", "out", env={"DISTCOMP_REDIS": redis.url})
    assert read(box, "out") == data


def test_a_killed_writer_leaves_nothing_that_stays(redis, queue, proxy, content):
    """Killed between any two requests: what it left in Redis has an expiry."""
    content("in", 4 * MIB)
    for word, count in ((b"HSET", 1), (b"HSET", 2), (b"HSET", 4), (b"TIME", 1), (b"WATCH", 1), (b"RENAME", 1)):
        process = None
        proxy.seen.clear()
        proxy.at(word, count, lambda: process.kill())
        process = datacopy.start("--pause", "go", "--bytes", "in", "redis:x", env={"DISTCOMP_REDIS": proxy.url})
        harness.wait_until(lambda: os.path.exists("go"), 30)
        os.unlink("go")
        assert process.wait(60) == -9
        process.communicate()
        for key in redis.keys():
            if not key.startswith(PREFIX + "object:"):
                assert 0 < redis.command("PTTL", key) <= 600000, (word, count, key)
                assert redis.command("EXISTS", PREFIX + "object:x") == 0
        redis.command("FLUSHALL")


def test_full(redis, queue, content):
    content("in", 8 * MIB)
    redis.command("CONFIG", "SET", "maxmemory", "5mb")
    done = queue.run("putObject", "x", "in")
    assert done.returncode == 1 and "maxmemory" in done.stderr and done.stderr.count("\n") == 1
    assert redis.keys() == []
