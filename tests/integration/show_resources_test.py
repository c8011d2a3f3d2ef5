"""redisWorker --show_resources: what the machine has and what of it would be used, without a Redis."""
import contextlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import harness

GIB = 1 << 30
MIB = 1 << 20


def show(*words, env=None, code=0, before=None):
    done = subprocess.run([harness.program("redisWorker"), "--show_resources", *map(str, words)], text=True,
                          capture_output=True, timeout=60 * harness.SLOW, env={**os.environ, **(env or {})},
                          preexec_fn=before)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout if code == 0 else done.stderr


def show_json(*words, **options):
    return json.loads(show("--json", *words, **options))


@pytest.fixture
def inventory(box):
    def write(**keys):
        path = box / "inventory.json"
        path.write_text(json.dumps(keys))
        return ["--inventory", path]
    return write


@pytest.fixture
def nvml(box):
    """Environment with a libnvidia-ml.so.1 that has these cards, one line each (tests/lib/fake_nvml.c)."""
    def make(text):
        (box / "cards").write_text(text)
        return {"LD_LIBRARY_PATH": str(harness.HELPERS / "nvml"), "FAKE_NVML": str(box / "cards")}
    return make


# --- this machine -----------------------------------------------------------------------------


def test_this_machine():
    got = show_json()
    assert got["worker"]["memory"] == got["memory_total"] > 0
    assert 0 < got["memory_available"]
    cpus = os.sched_getaffinity(0)
    assert 0 < got["cores"] <= len(cpus)
    listed = set()
    for node in got["numa"]:
        for core in node["cores"]:
            for part in core.split(","):
                first, _, last = part.partition("-")
                listed |= set(range(int(first), int(last or first) + 1))
    assert listed == cpus
    assert got["worker"]["slots"] == 16 * -(-got["cores"] // 1)
    text = show()
    assert text.startswith("memory ") and "\nworker " in text


def test_affinity_is_what_there_is():
    one = min(os.sched_getaffinity(0))
    got = show_json(before=lambda: os.sched_setaffinity(0, {one}))
    assert (got["cores"], got["cpus"], got["worker"]["slots"]) == (1, str(one), 16)


# --- what the settings make of it -------------------------------------------------------------


def test_flags_and_conf_json(box, inventory):
    words = inventory(memory_total="64GiB", memory_available="48GiB", cores=12, gpus=[],
                      numa=[{"cpus": "0-5", "memory": "32GiB"}, {"cores": ["6,8", "7,9"]}])
    got = show_json(*words)
    assert got["worker"] == {"memory": 64 * GIB, "reserve": 64 * GIB // 20, "return_below": 64 * GIB // 40,
                             "cores": 12, "slots": 192}
    assert got["memory_available"] == 48 * GIB
    assert [node["cores"] for node in got["numa"]] == [list("012345"), ["6,8", "7,9"]]
    conf = box / "conf.json"
    conf.write_text(json.dumps({"memory": 32, "min_dram_gb_accept_new_task": 2, "max_task_per_worker": 7}))
    got = show_json(*words, "--conf", conf, "--cpus", "2.5", "--memory", "16GiB")
    assert got["memory_total"] == 64 * GIB
    assert got["worker"] == {"memory": 16 * GIB, "reserve": 2 * GIB, "return_below": GIB, "cores": 2.5, "slots": 7}
    text = show(*words, "--conf", conf, "--cpus", "2.5", "--memory", "16GiB")
    assert text.splitlines() == [
        "memory      64.0 GiB, available 48.0 GiB",
        "cores       12 on CPUs 0-9",
        "  node 0    6 cores, CPUs 0-5, 32.0 GiB",
        "  node 1    2 cores, CPUs 6-9",
        "gpu         none",
        "worker      16.0 GiB (memory, flag), of which 2.0 GiB are kept free (min_dram_gb_accept_new_task, conf.json)",
        "            returns the most recent task below 1.0 GiB",
        "            2.5 cores (cpus, flag)",
        "            7 tasks at a time (max_task_per_worker, conf.json)",
    ]


def test_bad_words(box, inventory):
    assert "--json goes with --show_resources" in subprocess.run(
        [harness.program("redisWorker"), "--json"], capture_output=True, text=True).stderr
    words = inventory(gpus=[{"uuid": "GPU-1", "memory": "lots"}])
    said = show(*words, code=2)
    assert said == (f"redisWorker: inventory {words[1]}: gpus[0].memory: expected a number of bytes, or a size in "
                    'quotes, as "512M" or "1.5GiB"\n')


def test_a_worker_does_not_start_on_a_bad_inventory(redis, inventory):
    words = [str(word) for word in inventory(core=4)]
    done = subprocess.run([harness.program("redisWorker"), "--redis", redis.url, *words], capture_output=True,
                          text=True, timeout=60 * harness.SLOW)
    assert done.returncode == 2
    assert "core: unknown key, expected memory_total, " in done.stderr


# --- cards ------------------------------------------------------------------------------------

CARDS = "GPU-aa11 H200 150754820096 1073741824 7\nGPU-bb22 T4 16106127360 0 -\n"


def test_cards_by_nvml(inventory, nvml):
    words, env = inventory(nvml=True), nvml(CARDS)
    assert show_json(*words, env=env)["gpus"] == [
        {"uuid": "GPU-aa11", "name": "H200", "memory": 150754820096, "used": GIB, "lost": False, "utilization": 7},
        {"uuid": "GPU-bb22", "name": "T4", "memory": 16106127360, "used": 0, "lost": False}]
    lines = show(*words, env=env).splitlines()
    assert "gpu         H200 GPU-aa11, 140.4 GiB, used 1.0 GiB, 7 % busy" in lines
    assert "gpu         T4 GPU-bb22, 15.0 GiB, used 0 B" in lines
    only = show_json(*words, env={**env, "CUDA_VISIBLE_DEVICES": "GPU-bb"})
    assert [gpu["uuid"] for gpu in only["gpus"]] == ["GPU-bb22"]
    none = show_json(*words, env={**env, "CUDA_VISIBLE_DEVICES": ""})
    assert none["gpus"] == []


def test_cards_in_trouble(inventory, nvml):
    words = inventory(nvml=True)
    got = show_json(*words, env=nvml("! 15\nlost GPU-cc33 A100\n"))
    assert [(gpu["uuid"], gpu["lost"]) for gpu in got["gpus"]] == [("GPU-cc33", True)]
    assert got["gpu_trouble"] == "card 0 is left out: nvmlDeviceGetHandleByIndex_v2: GPU is lost"
    text = show(*words, env=nvml("init 9\n"))
    assert "gpu         none\n  trouble   nvmlInit_v2: some error\n" in text


def test_cards_by_inventory(inventory, nvml):
    words = inventory(gpus=[{"uuid": "GPU-x", "name": "A100", "memory": "80GiB", "used": "1GiB"}])
    got = show_json(*words, env=nvml(CARDS))
    assert [gpu["uuid"] for gpu in got["gpus"]] == ["GPU-x"]


# --- inside a memory cgroup -------------------------------------------------------------------


def own_cgroup(version):
    """This process's memory cgroup in the hierarchy of that version, and whether it is the topmost; or None."""
    paths = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, controllers, path = line.split(":", 2)
        if controllers == "" or "memory" in controllers.split(","):
            paths[2 if controllers == "" else 1] = path
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        fields, _, rest = line.partition(" - ")
        root, point = fields.split()[3:5]
        kind, _, options = rest.split()[:3]
        if kind == ("cgroup2" if version == 2 else "cgroup") and root == "/" and version in paths and \
                (version == 2 or "memory" in options.split(",")):
            return Path(point) / paths[version].lstrip("/"), paths[version] == "/"
    return None


@contextlib.contextmanager
def memory_group(version, limit):
    """A cgroup with that limit; yields it and a function that moves the calling process into it."""
    own = own_cgroup(version)
    if own is None:
        pytest.skip(f"expected: no cgroup v{version} hierarchy here")
    # With processes in it, a v2 group gives its children no controllers: beside ours, then.
    path = (own[0].parent if version == 2 and not own[1] else own[0]) / f"dctest{os.getpid()}"
    try:
        path.mkdir()
    except OSError as error:
        pytest.skip(f"expected: no cgroup can be made here: {error}")
    try:
        if version == 2 and "memory" not in (path / "cgroup.controllers").read_text().split():
            pytest.skip("expected: no memory controller in cgroup v2 here")
        try:
            (path / ("memory.limit_in_bytes" if version == 1 else "memory.max")).write_text(str(limit))
        except OSError as error:
            pytest.skip(f"expected: no memory limit can be set here: {error}")
        yield path, lambda: (path / "cgroup.procs").write_text("0")
    finally:
        # The kernel is not done with a group at once when its last process has ended.
        def gone():
            try:
                path.rmdir()
            except OSError:
                return False
            return True
        harness.wait_until(gone, 20, what=f"{path} can be removed")


@pytest.mark.parametrize("version", [1, 2])
def test_inside_a_memory_cgroup(box, version):
    limit = 384 * MIB
    usage = "memory.usage_in_bytes" if version == 1 else "memory.current"
    with memory_group(version, limit) as (path, enter):
        before = show_json(before=enter)
        assert before["memory_total"] == before["worker"]["memory"] == limit
        assert {"directory": str(path), "cgroup": version, "memory": limit} in before["limits"]
        # Page cache fills half of it, read often, and counts as available.
        fill = (f"import os; f = open({str(box / 'cache')!r}, 'wb+'); f.write(bytes({192 * MIB})); f.flush()\n"
                "os.fsync(f.fileno())\n"
                "for i in range(3):\n f.seek(0)\n while f.read(1 << 20): pass")
        subprocess.run([sys.executable, "-c", fill], check=True, preexec_fn=enter)
        if int((path / usage).read_text()) < 150 * MIB:
            pytest.skip("expected: files here are not in the page cache of the group (tmpfs?)")
        cached = show_json(before=enter)
        assert cached["memory_available"] > before["memory_available"] - 48 * MIB
        # Memory that a process holds is not.
        hold = f"import sys; b = bytearray({160 * MIB}); print('held', flush=True); sys.stdin.read()"
        with subprocess.Popen([sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              preexec_fn=enter) as holder:
            assert holder.stdout.readline() == "held\n"
            held = show_json(before=enter)
            holder.stdin.close()
        assert held["memory_available"] < limit - 160 * MIB
        assert held["memory_total"] == limit
