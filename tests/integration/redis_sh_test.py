"""redis.sh: starts, finds again, stops; refuses what would be open to everybody."""
import json
import os
import signal
import stat
import subprocess

import pytest

from harness import ROOT, SLOW, Resp, RedisError, free_port, is_running, wait_until

SCRIPT = ROOT / "redis.sh"


@pytest.fixture
def redis_sh(box):
    def run(*words, check=True):
        done = subprocess.run(["bash", SCRIPT, *map(str, words)], capture_output=True, text=True, timeout=60 * SLOW,
                              stdin=subprocess.DEVNULL)
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done

    return run


def environment(box):
    lines = (box / "run/.redis/redis.env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith("#"))


def connect(box):
    env = environment(box)
    client = Resp(path=env["socket"])
    if env["pass"]:
        client.command("AUTH", env["pass"])
    return client


def config(client, name):
    return client.command("CONFIG", "GET", name)[1].decode()


def pid_of(box):
    return int((box / "run/.redis/redis.pid").read_text())


def test_start_is_durable_protected_and_only_local(box, redis_sh):
    redis_sh("start", "--dir", box / "data", "--port", free_port())
    client = connect(box)
    assert config(client, "appendonly") == "yes"
    assert config(client, "appendfsync") == "everysec"
    assert config(client, "maxmemory-policy") == "noeviction"
    assert int(config(client, "maxmemory")) > 0
    assert config(client, "bind") == "127.0.0.1"
    assert config(client, "dir") == str(box / "data")
    env = environment(box)
    assert len(env["pass"]) >= 32
    for path in (box / "run/.redis/redis.env", box / "data/password", box / "data/redis.conf"):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o600, path
    with pytest.raises(RedisError, match="NOAUTH"):
        Resp(port=int(env["port"])).command("PING")


def test_run_again_says_it_runs_and_stop_ends_it(box, redis_sh):
    redis_sh("--dir", box / "data", "--port", free_port())
    pid = pid_of(box)
    again = redis_sh("start", "--dir", box / "data")
    assert "already running" in again.stdout
    assert pid_of(box) == pid
    assert f"pid {pid}" in redis_sh("status").stdout
    redis_sh("stop")
    assert not is_running(pid)
    assert redis_sh("status", check=False).returncode == 1
    assert "was not running" in redis_sh("stop").stdout


def test_data_and_password_survive_stop_and_crash(box, redis_sh):
    port = free_port()
    redis_sh("--dir", box / "data", "--port", port, "--appendfsync", "always")
    password = environment(box)["pass"]
    connect(box).command("SET", "kept", "1")
    os.kill(pid_of(box), signal.SIGKILL)
    wait_until(lambda: not is_running(pid_of(box)), what="it is dead")
    assert redis_sh("status", check=False).returncode == 1
    redis_sh("--dir", box / "data", "--port", port)  # its stale pid file is no obstacle
    assert connect(box).command("GET", "kept") == b"1"
    assert environment(box)["pass"] == password
    redis_sh("stop")
    redis_sh("--dir", box / "data", "--port", port)
    assert connect(box).command("GET", "kept") == b"1"


def test_pid_file_with_a_foreign_pid_is_stale(box, redis_sh):
    redis_sh("--dir", box / "data", "--port", free_port())
    redis_sh("stop")
    with subprocess.Popen(["sleep", "1000"]) as other:
        (box / "run/.redis/redis.pid").write_text(f"{other.pid}\n")
        redis_sh("stop")
        assert is_running(other.pid)
        redis_sh("--dir", box / "data", "--port", free_port())
        assert is_running(other.pid)
        other.kill()


def test_two_starts_at_once_make_one(box):
    words = ["bash", SCRIPT, "start", "--dir", box / "data", "--port", str(free_port())]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    outputs = [process.communicate(timeout=60 * SLOW)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert sum("already running" in output for output in outputs) == 1
    pid = pid_of(box)
    assert all(f"pid {pid}" in output for output in outputs)


def test_conf_json_names_host_port_and_password(box, redis_sh):
    port = free_port()
    conf = {"redis_host": "0.0.0.0", "redis_port": port, "redis_pass": 'a"b\\c d', "max_retry_per_task": 2}
    (box / "cwd/conf.json").write_text(json.dumps(conf, indent=4))
    out = redis_sh("--dir", box / "data").stdout
    printed = json.loads(out[out.index("{"):])
    assert printed["redis_port"] == port
    assert printed["redis_pass"] == conf["redis_pass"]
    client = Resp(port=port)
    client.command("AUTH", conf["redis_pass"])
    assert config(client, "bind") == "0.0.0.0"


@pytest.mark.parametrize("words, conf", [
    (["--bind", "0.0.0.0", "--no_password"], None),
    (["--bind", "0.0.0.0"], {"redis_pass": ""}),
    ([], {"redis_host": "0.0.0.0", "redis_pass": ""}),
])
def test_never_beyond_loopback_without_a_password(box, redis_sh, words, conf):
    if conf is not None:
        (box / "cwd/conf.json").write_text(json.dumps(conf))
    done = redis_sh("start", "--dir", box / "data", "--port", free_port(), *words, check=False)
    assert done.returncode == 1
    assert "would obey everybody" in done.stderr
    assert not (box / "run/.redis/redis.env").exists()


def test_bind_makes_a_password_and_prints_conf_json(box, redis_sh):
    out = redis_sh("start", "--bind", "0.0.0.0", "--dir", box / "data", "--port", free_port()).stdout
    printed = json.loads(out[out.index("{"):])
    assert printed["redis_pass"] == environment(box)["pass"] != ""


@pytest.mark.parametrize("words, expected", [
    (["--bind", "192.0.2.1"], "did not start"),  # no address of this machine
    (["--maxmemory", "lots"], "redis-server"),
])
def test_a_start_that_fails_says_why_and_leaves_nothing(box, redis_sh, words, expected):
    done = redis_sh("start", "--dir", box / "data", "--port", free_port(), *words, check=False)
    assert done.returncode == 1
    assert expected in done.stderr
    assert not (box / "run/.redis/redis.env").exists()
    assert redis_sh("status", check=False).returncode == 1


def test_port_in_use_is_said(box, redis_sh, redis):
    done = redis_sh("start", "--dir", box / "data", "--port", redis.port, check=False)
    assert done.returncode == 1
    assert "in use" in done.stderr.lower()
    assert redis.command("PING") == b"PONG"


@pytest.mark.parametrize("words", [["launch"], ["--port"], ["--appendfsync", "often"], ["--port", "x"]])
def test_bad_usage_is_exit_2(redis_sh, box, words):
    if words[0] != "launch":
        words = ["start", "--dir", box / "data", *words]
    assert redis_sh(*words, check=False).returncode == 2


def test_an_aof_that_ends_within_a_script_is_mended(box, redis_sh):
    """Half of a script must not take effect, not even at the start after the next (redis 7 itself lets it)."""
    redis_sh("start", "--dir", box / "data", "--port", free_port())
    client = connect(box)
    client.command("SET", "before", 1)
    client.command("EVAL", "redis.call('SET', 'half', 1) redis.call('SET', 'whole', 1)", 0)
    aof, = (box / "data/appendonlydir").glob("*.incr.aof")
    # Under everysec a write waits while the disk is still busy with the last fsync.
    wait_until(lambda: b"whole" in aof.read_bytes())
    os.kill(pid_of(box), signal.SIGKILL)
    data = aof.read_bytes()
    aof.write_bytes(data[:data.rindex(b"whole") + 2])
    said = redis_sh("start", "--dir", box / "data").stderr
    assert "torn" in said and "bytes" in said
    cut, = (box / "data").glob("aof-cut.*")
    assert aof.read_bytes() + cut.read_bytes() == data[:data.rindex(b"whole") + 2], "what was cut off is kept"
    client = connect(box)
    client.command("EVAL", "redis.call('SET', 'a', 1) redis.call('SET', 'b', 1)", 0)
    wait_until(lambda: aof.read_bytes().endswith(b"EXEC\r\n"))
    os.kill(pid_of(box), signal.SIGKILL)
    assert "torn" not in redis_sh("start", "--dir", box / "data").stderr
    assert sorted(connect(box).command("KEYS", "*")) == [b"a", b"b", b"before"]
    redis_sh("stop")


def test_an_aof_that_is_damaged_in_its_middle_is_left_to_a_person(box, redis_sh):
    """A length that was changed looks like a torn end to Redis, and everything behind it would go."""
    redis_sh("start", "--dir", box / "data", "--port", free_port())
    client = connect(box)
    for i in range(20):
        client.command("EVAL", f"redis.call('SET', 'key{i}', 1) redis.call('SET', 'other{i}', 1)", 0)
    aof, = (box / "data/appendonlydir").glob("*.incr.aof")
    wait_until(lambda: b"other19" in aof.read_bytes())
    os.kill(pid_of(box), signal.SIGKILL)
    data = aof.read_bytes()
    aof.write_bytes(data.replace(b"$4\r\nkey5", b"$9999999\r\nkey5"))
    damaged = aof.read_bytes()
    done = redis_sh("start", "--dir", box / "data", check=False)
    assert done.returncode == 1
    assert "damaged at byte" in done.stderr and "in its middle" in done.stderr
    assert aof.read_bytes() == damaged, "nothing was cut off"
