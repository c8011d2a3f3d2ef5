"""Inputs and outputs that are URLs, against a server that breaks connections, has no Range, is busy, redirects."""
import base64
import io
import re
import signal
import socket
import subprocess
import threading

import numpy
import pytest

import datacopy
import harness
from datacopy import copy, copy_fails
from httpserver import HttpServer, cut, give, hang_up, status


def npy(array):
    file = io.BytesIO()
    numpy.save(file, array)
    return file.getvalue()


ARRAY = numpy.random.default_rng(1).random((300, 100))
BODY = npy(ARRAY)  # 240 kB


@pytest.fixture
def server():
    made = HttpServer()
    made.files["/a.npy"] = BODY
    yield made
    made.close()


def check_copy(server, box, path="/a.npy", login=""):
    copy(server.url(path, login), "out.npy")
    assert numpy.array_equal(numpy.load(box / "cwd" / "out.npy"), ARRAY)


def test_read(server, box):
    check_copy(server, box)
    assert server.ranges_asked() == [None]


def test_read_without_a_length(server, box):
    """What ends with the connection, as HTTP/1.0 has it."""
    with socket.create_server(("127.0.0.1", 0)) as old:
        def answer():
            client, _ = old.accept()
            client.recv(65536)
            client.sendall(b"HTTP/1.0 200 OK\r\n\r\n" + BODY)
            client.close()

        threading.Thread(target=answer, daemon=True).start()
        copy(f"http://127.0.0.1:{old.getsockname()[1]}/", "out.npy")
    assert numpy.array_equal(numpy.load(box / "cwd" / "out.npy"), ARRAY)


def test_a_broken_download_goes_on(server, box):
    server.then(cut(100_000), cut(50_000))
    check_copy(server, box)
    ranges = server.ranges_asked()
    assert ranges == [None, "bytes=100000-", "bytes=150000-"]
    assert [headers.get("If-Range") for _, _, headers in server.requests] == [None, '"one"', '"one"']


def test_a_broken_download_goes_on_by_date(server, box):
    server.headers = {"Last-Modified": "Sat, 21 Nov 2026 12:00:00 GMT", "ETag": 'W/"weak"'}
    server.then(cut(1000), cut(0))
    server.orders[1] = lambda handler: (server.headers.pop("ETag"), cut(1000)(handler))
    check_copy(server, box)
    assert server.requests[1][2]["If-Range"] == "Sat, 21 Nov 2026 12:00:00 GMT"


def test_nothing_to_recognise_it_by(server, box):
    server.headers = {}
    server.then(cut(100_000))
    check_copy(server, box)
    assert server.ranges_asked() == [None, None]


def test_it_changed_meanwhile(server, box):
    """If-Range makes the server send all of the new one."""
    old = npy(numpy.zeros((300, 100)))
    server.then(give(old[:100_000], length=len(old), ETag='"old"'))
    server.orders.append(lambda handler: handler.serve())
    first = server.orders[0]
    server.orders[0] = lambda handler: (first(handler), setattr(handler, "close_connection", True))
    check_copy(server, box)
    assert server.ranges_asked() == [None, "bytes=100000-"]


def test_a_server_without_range(server, box):
    server.ranges = False
    server.then(cut(100_000))
    check_copy(server, box)
    assert server.ranges_asked() == [None, "bytes=100000-"]


@pytest.mark.parametrize("said", ["bytes 0-99/240128", "bytes 100000-200000/999999", "nonsense"])
def test_a_server_that_gives_another_part(server, box, said):
    """What does not continue is not used; the whole is asked for instead."""
    server.then(cut(100_000), give(b"x" * 100, 206, Content_Range=said, ETag='"one"'))
    check_copy(server, box)
    assert server.ranges_asked() == [None, "bytes=100000-", None]


def test_it_became_shorter(server, box):
    server.then(cut(100_000), status(416))
    check_copy(server, box)
    assert server.ranges_asked() == [None, "bytes=100000-", None]


@pytest.mark.parametrize("order", [status(503), status(500), status(429, Retry_After="1"), hang_up], ids=["503", "500", "429", "hang_up"])
def test_what_passes_is_tried_again(server, box, order):
    server.then(order, order)
    check_copy(server, box)
    assert len(server.requests) == 3


def test_it_does_not_pass(server):
    server.then(*[status(503)] * 6)
    assert copy_fails(server.url("/a.npy")) == (
        f"{server.url('/a.npy')} cannot be read: the server answered 503 Service Unavailable (tried 6 times)")
    assert len(server.requests) == 6


def test_progress_begins_the_count_anew(server, box):
    """Seven broken connections, but each brings a mebibyte."""
    body = npy(numpy.arange(1 << 20, dtype="f8"))
    server.files["/big.npy"] = body
    server.then(*[cut((1 << 20) + 1)] * 7)
    copy(server.url("/big.npy"), "out.npy")
    assert (box / "cwd" / "out.npy").read_bytes() == body


@pytest.mark.parametrize("code, text", [(404, "404 Not Found"), (403, "403 Forbidden"), (401, "401 Unauthorized")])
def test_what_does_not_pass_is_said_at_once(server, code, text):
    server.then(status(code))
    assert copy_fails(server.url("/a.npy")) == f"{server.url('/a.npy')} cannot be read: the server answered {text}"
    assert len(server.requests) == 1


def test_the_password_is_used_and_never_shown(server, box):
    check_copy(server, box, login="me:geheim@")
    sent = server.requests[0][2]["Authorization"]
    assert base64.b64decode(sent.removeprefix("Basic ")) == b"me:geheim"
    port = harness.free_port()
    for url in (server.url("/none?token=geheim", "me:geheim@"), f"http://me:geheim@127.0.0.1:{port}/",
                "http://me:geheim@no-such-host.invalid/", "http://me:ge/heim@host/"):
        assert "heim" not in copy_fails(url)


@pytest.mark.parametrize("how", ["silent", "busy"])
def test_cancelled(server, how):
    """While a server says nothing, or in the wait before the next try: not a minute later."""
    came, over = threading.Event(), threading.Event()

    def order(handler):
        came.set()
        if how == "silent":
            over.wait(60)
        status(503, Retry_After="30")(handler)

    server.then(*[order] * 6)
    process = datacopy.start(server.url("/a.npy"))
    assert came.wait(30 * harness.SLOW)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20 * harness.SLOW) == 1
    over.set()
    assert re.fullmatch(rf"data_copy: {server.url('/a.npy')} was not read: the task was cancelled( \(tried \d times\))?\n",
                        process.stderr.read())


def test_nobody_listens():
    line = copy_fails(f"http://127.0.0.1:{harness.free_port()}/a")
    assert "connect" in line and line.endswith("(tried 6 times)")


def test_redirections(server, box):
    server.then(status(302, Location="/a.npy"))
    check_copy(server, box, "/elsewhere")
    server.files.clear()
    server.then(*[status(301, Location="/round")] * 12)
    assert "redirects" in copy_fails(server.url("/round"))


@pytest.mark.parametrize("to", ["file:///etc/passwd", "ftp://127.0.0.1/a", "gopher://127.0.0.1/a"])
def test_redirections_to_something_else(server, to):
    server.then(status(302, Location=to))
    assert to.split(":")[0] in copy_fails(server.url("/x"))


def test_shape_alone(server):
    """Of a large file not much more than the header is fetched, also without Range."""
    server.files["/big.npy"] = npy(numpy.zeros(1 << 20))
    url = server.url("/big.npy")
    assert copy("--stat", url) == "f64 C 1048576\n"
    assert server.ranges_asked() == ["bytes=0-65546"]
    server.ranges = False
    assert copy("--stat", url) == "f64 C 1048576\n"
    server.ranges = True
    server.files["/small.npy"] = npy(numpy.zeros(3, "i4"))
    assert copy("--stat", server.url("/small.npy")) == "i32 C 3\n"
    server.files["/empty"] = b""
    assert copy_fails("--stat", server.url("/empty")).endswith("/empty is no .npy file")


def test_it_ends_too_early(server):
    server.files["/a.npy"] = BODY[:-8]
    assert "ends too early" in copy_fails(server.url("/a.npy"))


def test_bytes(server, box):
    for size in (0, 1, 4096, 1_000_000):
        server.files["/b"] = bytes(size)
        assert copy("--bytes", server.url("/b"), "out") == f"{size} ended\n"
        assert (box / "cwd" / "out").read_bytes() == bytes(size)


# --- PUT --------------------------------------------------------------------------------------


@pytest.fixture
def array(box):
    (box / "cwd" / "in.npy").write_bytes(BODY)
    return "in.npy"


def test_put(server, array):
    copy(array, server.url("/o/p.npy"))
    assert server.put == {"/o/p.npy": BODY}


def test_put_what_is_large(server, box):
    """Larger than libcurl sends without asking first (Expect: 100-continue)."""
    body = npy(numpy.arange(1 << 20, dtype="f8"))
    (box / "cwd" / "in.npy").write_bytes(body)
    copy("in.npy", server.url("/big"))
    assert server.put == {"/big": body}


def test_put_nothing(server, box):
    (box / "cwd" / "in").write_bytes(b"")
    copy("--bytes", "in", server.url("/empty"))
    assert server.put == {"/empty": b""}


def test_put_again(server, array):
    server.then(status(503), hang_up)
    copy(array, server.url("/p"))
    assert server.put == {"/p": BODY} and len(server.requests) == 3


def test_put_elsewhere(server, array):
    server.then(status(307, Location="/there"))
    copy(array, server.url("/here"))
    assert server.put == {"/there": BODY}


def test_put_refused(server, array, box):
    """Nothing else of the task becomes visible then."""
    server.then(status(403))
    line = copy_fails(array, "other.npy", server.url("/p?sig=geheim"))
    assert line == f"{server.url('/p')}?... cannot be written: the server answered 403 Forbidden"
    assert not server.put and sorted(path.name for path in (box / "cwd").iterdir()) == ["in.npy"]


def test_put_without_a_commit(server, array):
    copy("--fail", array, server.url("/p"))
    assert not server.requests


# --- https -----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """Of 127.0.0.1, signed by itself, with its key."""
    place = tmp_path_factory.mktemp("tls")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1",
                    "-keyout", place / "key.pem", "-out", place / "crt.pem"], check=True, capture_output=True)
    (place / "both.pem").write_bytes((place / "key.pem").read_bytes() + (place / "crt.pem").read_bytes())
    return place


@pytest.fixture
def secure(certificate):
    made = HttpServer(certificate / "both.pem")
    made.files["/a.npy"] = BODY
    yield made
    made.close()


def test_a_certificate_that_nobody_knows_is_refused(secure, array):
    said = copy_fails(secure.url("/a.npy", "me:secret@"), "out.npy")
    assert said.startswith(f"{secure.url('/a.npy')} cannot be read: ") and "certificate" in said
    assert "tried" not in said and secure.requests == []
    said = copy_fails(array, secure.url("/out.npy"))
    assert said.startswith(f"{secure.url('/out.npy')} cannot be written: ") and secure.put == {}


@pytest.mark.parametrize("name", ["CURL_CA_BUNDLE", "SSL_CERT_FILE"])
def test_read_and_put_with_an_authority_of_ones_own(secure, certificate, box, name):
    trust = {"CURL_CA_BUNDLE": "", name: str(certificate / "crt.pem")}
    secure.then(cut(100_000))
    copy(secure.url("/a.npy"), "out.npy", env=trust)
    assert numpy.array_equal(numpy.load(box / "cwd" / "out.npy"), ARRAY)
    assert secure.ranges_asked() == [None, "bytes=100000-"]
    copy("out.npy", secure.url("/b.npy"), env=trust)
    assert numpy.array_equal(numpy.load(io.BytesIO(secure.put["/b.npy"])), ARRAY)


def test_a_redirection_from_https_to_a_server_of_another_name(secure, server, certificate, box):
    secure.then(status(302, Location=server.url("/a.npy")))
    copy(secure.url("/a.npy"), "out.npy", env={"CURL_CA_BUNDLE": str(certificate / "crt.pem")})
    assert numpy.array_equal(numpy.load(box / "cwd" / "out.npy"), ARRAY)


def test_an_authority_that_cannot_be_read(secure, box):
    said = copy_fails(secure.url("/a.npy"), "out.npy", env={"CURL_CA_BUNDLE": "/no/such/file"})
    assert said.startswith(f"{secure.url('/a.npy')} cannot be read: ") and "/no/such/file" in said
