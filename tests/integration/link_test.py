"""Everything that can be wrong with a Redis is one line that says what and what to do."""
import json
import os
import socket
import subprocess
import threading

import pytest

from harness import HELPERS, ROOT, SLOW, free_port, wait_until
from sentinels import Sentinel


def probe(*words):
    return subprocess.run([HELPERS / "link_probe", *map(str, words)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, timeout=60 * SLOW)


def expect_error(*words, says, secret="hush"):
    """One line that has all of `says`, and not the password."""
    done = probe(*words)
    assert done.returncode == 1, done.stdout
    assert done.stderr.count("\n") == 1
    for text in [says] if isinstance(says, str) else says:
        assert text in done.stderr
    assert "; " in done.stderr, "says what to do"
    assert secret not in done.stderr


@pytest.fixture
def fake():
    """A TCP server that answers every line it knows with a fixed text: fake({b'HELLO': b'...'}) -> port."""
    sockets = []

    def serve(listener, answers, default, greeting):
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            sockets.append(connection)
            connection.sendall(greeting)
            try:
                data = connection.recv(65536)
                if default is not None:
                    for word in data.split(b"\r\n"):
                        if word.isalpha() and word.isupper():
                            connection.sendall(answers.get(word, default))
                    connection.settimeout(0.2)
                    while connection.recv(65536):
                        pass
            except OSError:
                pass
            if default is not None:
                connection.close()

    def make(answers=None, default=b"", greeting=b""):
        listener = socket.create_server(("127.0.0.1", 0))
        sockets.append(listener)
        threading.Thread(target=serve, args=(listener, answers or {}, default, greeting), daemon=True).start()
        return listener.getsockname()[1]

    yield make
    for each in sockets:
        try:
            each.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        each.close()


def test_a_good_one(redis):
    assert probe("--redis", redis.url, "--", "PING").stdout == "PONG\n"
    assert probe("--redis", redis.tcp_url + "/3", "--", "SET", "k", "v").returncode == 0
    assert probe("--redis", redis.url + "?db=3", "--", "GET", "k").stdout == "v\n"


def test_script_falls_back_to_eval(redis):
    done = probe("--redis", redis.url, "--", "script", "return KEYS[1] .. '!'")
    assert done.stdout == "distcomp:{probe}!\n", done.stderr


def test_refused():
    expect_error("--redis", f"redis://:hush@127.0.0.1:{free_port()}", says=["connection refused", "redis.sh"])


def test_no_socket(box):
    expect_error("--redis", f"unix://{box}/none", says=["no such socket", "redis.sh"])


def test_a_socket_left_behind(box):
    left = socket.socket(socket.AF_UNIX)
    left.bind(f"{box}/left")
    left.close()
    expect_error("--redis", f"unix://{box}/left", says="connection refused")


def test_unknown_host():
    expect_error("--redis_host", "no-such-host.invalid", "--redis_pass", "hush", says=["name is not known", "redis_host"])


def test_wants_a_password(redis_server):
    server = redis_server(requirepass="secret")
    expect_error("--redis", server.url, says=["wants a password", "redis_pass"])
    assert probe("--redis", server.url, "--redis_pass", "secret", "--", "PING").stdout == "PONG\n"


def test_wrong_password(redis_server):
    server = redis_server(requirepass="secret")
    expect_error("--redis", server.url, "--redis_pass", "hush", says="wrong user or password")
    expect_error("--redis", f"redis://me:hush@127.0.0.1:{server.port}", says="wrong user or password")


def test_password_for_one_that_has_none(redis):
    expect_error("--redis", redis.url, "--redis_pass", "hush", says="it has none")


@pytest.mark.parametrize("junk", [b"HTTP/1.1 400 Bad Request\r\n\r\n", b"SSH-2.0-OpenSSH_9.2\r\n", b"\x00\xff\x00", b"+OK\r\n"])
def test_not_a_redis(fake, junk):
    expect_error("--redis", f"redis://127.0.0.1:{fake(default=junk)}", says=["not a Redis", "host and port"])


def test_too_old(fake):
    unknown = b"-ERR unknown command `HELLO`, with args beginning with: `2`, \r\n"
    port = fake({b"HELLO": unknown, b"PING": b"+PONG\r\n"})
    expect_error("--redis", f"redis://127.0.0.1:{port}", says=["too old", "6.0"])
    port = fake({b"HELLO": b"*4\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$5\r\n5.0.7\r\n"})
    expect_error("--redis", f"redis://127.0.0.1:{port}", says=["too old", "5.0.7"])


def test_closed_at_once(fake):
    expect_error("--redis", f"redis://127.0.0.1:{fake()}", says="closed")


def test_no_answer(fake):
    """One that accepts and is silent: the time limit of connecting (5 s)."""
    expect_error("--redis", f"redis://127.0.0.1:{fake(default=None)}", says="no answer in time")


def test_silent_while_an_answer_is_due(redis):
    done = probe("--redis", redis.url, "--answer_ms", "300", "--", "BLPOP", "nothing", "0")
    assert done.returncode == 1
    assert "no answer in time" in done.stderr


def test_full(redis):
    redis.command("CONFIG", "SET", "maxmemory", "100kb")
    for words in (["SET", "k", "v"], ["script", "return redis.call('set', KEYS[1], 'v')"]):
        expect_error("--redis", redis.url, "--", *words, says=["full (maxmemory)", "removeFinishedTask"])


def test_read_only_replica(redis, redis_server):
    redis.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica = redis_server(replicaof=f"127.0.0.1 {redis.port}")
    wait_until(lambda: replica.info("replication").get("master_link_status") == "up", what="the replica follows")
    expect_error("--redis", replica.url, says=["read-only replica", "master"])


def test_cannot_write_its_disk(redis_server, box):
    server = redis_server(save="1 1")
    server.command("CONFIG", "SET", "stop-writes-on-bgsave-error", "yes")
    (server.dir / "dump.rdb").mkdir()  # a directory: a snapshot cannot be renamed to it
    server.command("SET", "k", "v")
    server.command("BGSAVE")
    wait_until(lambda: server.info("persistence")["rdb_last_bgsave_status"] == "err", what="a snapshot failed")
    expect_error("--redis", server.url, says=["cannot write to its disk", "log"])


def test_busy_with_a_script(redis):
    redis.command("CONFIG", "SET", "busy-reply-threshold", "50")
    slow = redis.connect()
    slow.send("EVAL", "while true do end", "0")
    wait_until(lambda: "slow script" in probe("--redis", redis.url).stderr, what="it is busy")
    expect_error("--redis", redis.url, says=["slow script", "SCRIPT KILL"])
    redis.connect().command("SCRIPT", "KILL")


def test_no_such_database(redis):
    expect_error("--redis", redis.tcp_url + "/99", says=["no such database", "redis_db"])


def test_not_permitted(redis):
    redis.command("ACL", "SETUSER", "guest", "on", ">hush", "+hello", "+ping", "+auth")
    expect_error("--redis", f"redis://guest:hush@127.0.0.1:{redis.port}", "--", "GET", "k", says=["may not do this", "ACL"])


def test_no_room_for_another_connection(redis):
    redis.command("CONFIG", "SET", "maxclients", "1")
    expect_error("--redis", redis.tcp_url, says=["no room", "maxclients"])


def test_tls_is_refused_clearly():
    expect_error("--redis", "rediss://:hush@127.0.0.1", says=["no TLS", "tunnel"])


def test_the_one_of_redis_sh_is_found_without_any_option(box):
    words = ["bash", str(ROOT / "redis.sh")]
    subprocess.run([*words, "start", "--dir", f"{box}/data", "--port", str(free_port())], check=True, capture_output=True)
    assert probe("--", "PING").stdout == "PONG\n"
    subprocess.run([*words, "stop"], check=True, capture_output=True)
    assert "redis.sh" not in probe("--", "PING").stderr.split(";")[0]


def test_config_errors_are_one_line(box):
    (box / "cwd/conf.json").write_text('{\n  "redis_prot": 1\n}')
    done = probe()
    assert done.returncode == 1
    assert done.stderr == "link_probe: conf.json:2:3: unknown key 'redis_prot'; did you mean 'redis_port'?\n"


# --- Sentinels ----------------------------------------------------------------------------------


def address(port):
    return b"*2\r\n$9\r\n127.0.0.1\r\n$%d\r\n%d\r\n" % (len(str(port)), port)


def sentinels(*ports, login=""):
    return f"sentinel://{login}{','.join(f'127.0.0.1:{port}' for port in ports)}/main"


def test_the_first_sentinel_that_answers_counts(fake, redis):
    gone, silent, good = free_port(), fake(default=None), fake({b"SENTINEL": address(redis.port)})
    done = probe("--redis", sentinels(gone, silent, good), "--", "PING")
    assert (done.stdout, done.stderr) == ("PONG\n", "")


def test_sentinel_by_conf_json_and_environment(fake, redis_server, box):
    server = redis_server(requirepass="data")
    port = fake({b"AUTH": b"+OK\r\n", b"SENTINEL": address(server.port)})
    (box / "cwd/conf.json").write_text(
        json.dumps({"redis": sentinels(port), "redis_pass": "data", "sentinel_pass": "watch", "redis_db": 3}))
    assert probe("--", "PING").stdout == "PONG\n"
    (box / "cwd/conf.json").unlink()
    env = {"DISTCOMP_REDIS": sentinels(port), "DISTCOMP_REDIS_PASS": "data"}
    done = subprocess.run([HELPERS / "link_probe", "--", "PING"], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=60 * SLOW, env={**os.environ, **env})
    assert done.stdout == "PONG\n", done.stderr


def test_no_sentinel_answers(fake):
    gone, silent = free_port(), fake(default=None)
    expect_error("--redis", sentinels(gone, silent, login=":hush@"), "--redis_pass", "hush",
                 says=["no Sentinel says where the master is", f"{gone}: Connection refused", f"127.0.0.1:{silent}: ",
                       "/main (from --redis)"])


def test_sentinels_that_do_not_know_the_name(fake):
    nil = {b"SENTINEL": b"*-1\r\n"}
    expect_error("--redis", sentinels(fake(nil), fake(nil)), says=["know no master of this name", "sentinel masters"])
    expect_error("--redis", sentinels(fake(nil), free_port()),
                 says=["no Sentinel says", "it knows no master of this name", "Connection refused"])


def test_a_named_master_that_is_none_yet(fake, redis, redis_server):
    """Asked again for the time that a connect may take; then one line."""
    redis.command("CONFIG", "SET", "repl-diskless-sync-delay", "0")
    replica = redis_server(replicaof=f"127.0.0.1 {redis.port}")
    wait_until(lambda: replica.info("replication").get("master_link_status") == "up", what="the replica follows")
    url = sentinels(fake({b"SENTINEL": address(replica.port)}))
    expect_error("--redis", url, says=["name it as the master, but it is a replica", "failover",
                                       f"redis://127.0.0.1:{replica.port} (named by {url}, from --redis)"])
    waiting = subprocess.Popen([HELPERS / "link_probe", "--redis", url, "--", "PING"], stdin=subprocess.DEVNULL,
                               stdout=subprocess.PIPE, text=True)
    wait_until(lambda: int(replica.info("stats")["total_connections_received"]) > 5, what="it has been asked")
    replica.command("REPLICAOF", "NO", "ONE")
    assert waiting.communicate(timeout=60 * SLOW)[0] == "PONG\n"


def test_a_named_master_that_is_gone(fake):
    expect_error("--redis", sentinels(fake({b"SENTINEL": address(free_port())})),
                 says=["connection refused", "Sentinels have made another one the master"])


@pytest.mark.parametrize("answers, says", [
    ({b"SENTINEL": b"-NOAUTH Authentication required.\r\n"}, "it wants a password (sentinel_pass)"),
    ({b"AUTH": b"-WRONGPASS invalid username-password pair\r\n", b"SENTINEL": b"-NOAUTH x\r\n"},
     "wrong user or password (sentinel_pass)"),
    ({b"SENTINEL": b"-ERR unknown command `SENTINEL`, with args beginning with: \r\n"}, "it is no Sentinel"),
    ({b"SENTINEL": b"+OK\r\n"}, "its answer is no address"),
    ({b"SENTINEL": b"*2\r\n$1\r\nh\r\n$1\r\n0\r\n"}, "its answer is no address"),
])
def test_sentinels_that_are_of_no_use(fake, answers, says):
    login = ":hush@" if b"AUTH" in answers else ""
    expect_error("--redis", sentinels(fake(answers), login=login), says=["no Sentinel says", says])


def test_a_sentinel_is_no_redis(box):
    sentinel = Sentinel(box / "sentinel").start(f"127.0.0.1 {free_port()} 1", 1000)
    try:
        expect_error("--redis", f"redis://127.0.0.1:{sentinel.port}", says=["a Sentinel", "sentinel://host:port/mastername"])
    finally:
        sentinel.kill()
