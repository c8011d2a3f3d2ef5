"""Fixtures of the integration tests; tests/lib/harness.py has what they are made of.

    box      this test's temporary directory
    redis    a RedisServer that runs; redis_server(**options) makes more, with other options
    queue    redisManager on it: queue("checkTask"), queue.run(...), queue.json(...), queue.counts()
    worker   a factory: worker(), worker("w2", cpus=4, lease="600ms", health_report_interval="200ms")
    memory_box    a factory: memory_box(1024) is a memory cgroup of 1 GiB (tests/lib/memorybox.py)
    boxed_worker  a factory: boxed_worker(memory_box(1024), ...) is a worker with its tasks in there

A test that takes over 120 s (times DISTCOMP_SLOW) fails; @pytest.mark.limit(seconds) says otherwise. With
DISTCOMP_CI set a skip is a failure, unless its reason begins with "expected: ". DISTCOMP_KEEP keeps the boxes.
"""
import os
import signal
import sys
import tempfile
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "lib"))
import harness  # noqa: E402
import memorybox  # noqa: E402

totals = {"passed": 0, "failed": 0, "skipped": 0}
settings = {key: os.environ.get(key) for key in ("DISTCOMP_CI", "DISTCOMP_KEEP")}


def pytest_configure(config):
    config.addinivalue_line("markers", "limit(seconds): how long this test may take")
    harness.become_subreaper()
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:  # as in the background of a script; programs inherit that
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    report = (yield).get_result()
    if report.skipped and settings["DISTCOMP_CI"] and not hasattr(report, "wasxfail"):
        reason = str(call.excinfo.value) if call.excinfo else ""
        if not reason.startswith(("expected: ", "Skipped: expected: ")):
            report.outcome = "failed"
            report.longrepr = f"skipped in CI: {reason}"


def pytest_runtest_logreport(report):
    """Of all tests, also where pytest-xdist runs them in several processes."""
    if report.failed or report.when == "call" or (report.skipped and report.when == "setup"):
        totals[report.outcome] += 1


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line("integration: {passed} passed, {failed} failed, {skipped} skipped".format(**totals))


@pytest.fixture(autouse=True)
def box(request, monkeypatch):
    path = tempfile.mkdtemp(prefix="dc", dir="/tmp")
    before = harness.descendants()
    environment = harness.clean_environment(path)
    for key in set(os.environ) - set(environment):
        monkeypatch.delenv(key)
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    monkeypatch.chdir(Path(path) / "cwd")

    limit = request.node.get_closest_marker("limit")
    seconds = int((limit.args[0] if limit else 120) * harness.SLOW)

    def too_long(*_):
        raise AssertionError(f"the test took over {seconds} s")

    old = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    yield Path(path)
    signal.alarm(0)
    signal.signal(signal.SIGALRM, old)
    harness.end_descendants(before)
    reports = harness.sanitizer_reports(path)
    if settings["DISTCOMP_KEEP"] is None:
        harness.remove_box(path)
    else:
        print(f"kept {path}")
    assert not reports, reports


@pytest.fixture
def redis_server(box):
    servers = []

    def make(**options):
        server = harness.RedisServer(box / f"redis{len(servers)}", **options)
        servers.append(server)
        return server.start()

    yield make
    for server in servers:
        server.kill()


@pytest.fixture
def redis(redis_server):
    return redis_server()


@pytest.fixture
def queue(redis, box):
    return harness.Queue(redis.url, box / "cwd")


@pytest.fixture
def worker(redis, box):
    workers = []

    def make(name=None, url=None, **settings):
        made = harness.Worker(box, url or redis.url, name or f"w{len(workers) + 1}", cwd=box / "cwd", **settings)
        workers.append(made)
        return made

    yield make
    for made in workers:
        made.kill()


@pytest.fixture
def memory_box(box):
    boxes = []

    def make(limit=1024):
        try:
            boxes.append(memorybox.MemoryBox(limit, f"{box.name}.{len(boxes)}"))
        except memorybox.NoRights as error:
            pytest.skip(f"expected: no memory cgroup can be made here: {error}")
        return boxes[-1]

    yield make
    for made in boxes:
        made.close()


@pytest.fixture
def boxed_worker(redis, box):
    workers = []

    def make(memory_box, name=None, url=None, **settings):
        made = memorybox.BoxedWorker(memory_box, box, url or redis.url, name or f"b{len(workers) + 1}",
                                     cwd=box / "cwd", **settings)
        workers.append(made)
        return made

    yield make
    for made in workers:
        made.kill()


@pytest.fixture
def wait_until():
    return harness.wait_until
