"""docs/protocol.md against common/keys.h, common/lua and the keys of a live Redis."""
import os
import re
import subprocess

import pytest

from harness import ROOT, program, wait_until
from scriptqueue import GIB, q, script_names, script_server  # noqa: F401

PAGE = (ROOT / "docs" / "protocol.md").read_text()


def section(title):
    return PAGE.split(f"\n## {title}\n")[1].split("\n## ")[0]


def documented_keys(title="Keys"):
    """{suffix: type}, a suffix that is followed by a name ending in ':'."""
    rows = re.findall(r"^\| `([a-z_]+:?)([A-Z.]*)` \| (\w+) \|", section(title), re.M)
    assert all(suffix.endswith(":") == bool(name) for suffix, name, _ in rows)
    return {suffix: type_ for suffix, _, type_ in rows}


def documented_scripts():
    names = []
    for line in section("Scripts").splitlines():
        if line.startswith("**"):
            names += re.findall(r"\*\*([a-z]+)\*\*", line)
    return names


def pattern_of(suffix, keys):
    return suffix if suffix in keys else suffix.split(":")[0] + ":"


def test_keys_are_those_of_keys_h():
    rows = re.findall(r'X\(\w+, "([^"]+)", "(\w+)", "', (ROOT / "common" / "keys.h").read_text())
    assert dict(rows) == {**documented_keys(), **documented_keys("Objects")}


def test_keys_are_those_of_the_scripts():
    lib = (ROOT / "common" / "lua" / "lib" / "10_keys.lua").read_text()
    spelled = set(re.findall(r"\bkey\('([a-z_]+:?)'", lib))
    assert spelled - {"wake:"} == set(documented_keys())
    for name in script_names():
        text = (ROOT / "common" / "lua" / f"{name}.lua").read_text()
        assert not re.search(r"\bkey\('", text), f"{name}.lua spells a key"


def test_scripts_are_those_of_common_lua():
    names = documented_scripts()
    assert sorted(names) == script_names()
    assert len(names) == len(set(names))


def test_record_offsets_are_those_of_task_h(q):  # noqa: F811
    """The drawing is what the tests pack; the programs' own packing is compared in record_test.c."""
    drawn = dict((name, int(at)) for at, name in re.findall(r"^ ?(\d+)(?:\.\.\d+)?  *(\w+)  +u", PAGE, re.M))
    task = q.task(priority=0x01020304, mem=0x0A0B0C0D0E0F, mcpu=0x11121314)
    raw = task.record(0x212223242526)
    for name, value in (("priority", "01020304"), ("memory", "0a0b0c0d0e0f"), ("cores", "11121314"),
                        ("loaded", "212223242526")):
        assert raw[drawn[name]:drawn[name] + len(value) // 2].hex() == value, name


@pytest.fixture
def session(q):  # noqa: F811
    """A session in which every key comes to be; returns {suffix: type} seen on the way."""
    seen = {}

    def look():
        for suffix in q.suffixes():
            seen[pattern_of(suffix, documented_keys())] = q.redis("TYPE", suffix).decode()

    q.register()
    q.register("w2", "j1")
    load = q.begin()
    first = q.tasks(3, name="prep/a")
    q.load(first, load)
    q.load(q.tasks(600, after=["an:prep"]), load)
    q.load([q.task(name="prep/b")], load)
    look()
    for claimed in q.claim(slots=4):
        q.run("cancel", first[0].id)
        look()
        q.finish(claimed, out=b"x")
    look()
    q.close(load)
    look()
    [a, b] = q.claim(slots=2)
    q.finish(a, outcome="failed", delay=100000)
    look()
    q.finish(b, outcome="failed")
    q.claim("w2", "j1", slots=500)
    look()
    q.settle()
    while q.claim(slots=500):
        pass
    look()
    q.add(5)
    q.finish(*q.claim(slots=5), family="shell true", peak=GIB)
    look()
    q.add(mcpu=4000)
    q.add()
    q.claim(mcpu=1000, most=(GIB, 4000))
    look()
    return seen


def test_keys_of_a_live_redis(session):
    documented = documented_keys()
    assert session == documented, "each that is there is documented, each that is documented was there"


def test_objects_of_a_live_redis(queue, redis, box):
    """Also while one is written: its writer waits for more of its input."""
    before = set(redis.keys())
    reading, writing = os.pipe()
    process = subprocess.Popen([program("redisManager"), "putObject", "a/b", "-", "--redis", redis.url], stdin=reading)
    os.close(reading)
    with open(writing, "wb") as pipe:
        pipe.write(bytes(1 << 20))
        pipe.flush()
        wait_until(lambda: set(redis.keys()) - before)
        [part] = set(redis.keys()) - before
        assert 0 < redis.command("PTTL", part) <= 600000
    assert process.wait(30) == 0
    [whole] = set(redis.keys()) - before
    seen = {}
    for key in (part, whole):
        suffix = key.removeprefix("distcomp:{default}:")
        name = suffix.split(":", 1)[0] + ":"
        assert suffix.startswith(name + "a/b")
        seen[name] = "hash"
    assert seen == documented_keys("Objects")
    assert redis.command("TYPE", whole) == b"hash"
    fields = {field.decode() for field in redis.command("HKEYS", whole)}
    assert fields == set(re.findall(r"`(\w+)`", PAGE.split("an object: ")[1].split("\n")[0]))


def test_fields_of_count_and_worker_are_documented(q, session):  # noqa: F811
    for suffix, title in (("count", "Fields of `count`"), ("worker:w1", "Fields of `worker:WORKER`")):
        text = PAGE.split(title)[1].split("\n\n")[0]
        for field in q.hash(suffix):
            if field in ("waiting", "todo", "in_progress", "finished", "failed", "delayed", "held", "cancelled"):
                continue
            assert f"`{field}`" in text, f"{field} of {suffix}"


def test_channels_are_documented():
    keys_h = (ROOT / "common" / "keys.h").read_text()
    for channel in re.findall(r'#define CHANNEL_\w+\s+"([^"]+)"', keys_h):
        assert f"`{channel}" in section("Keys")
