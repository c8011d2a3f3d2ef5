"""kernels_ml: the letters training beside numpy, and Fashion-MNIST beside scikit-learn, queue and all.

A training of ours runs from loadTask of what redisPlan printed to the last result, on workers of one core each that
have no host yet. The yardsticks run on one thread: numpy is the same algorithm (sums by matrix products, everything in
place), scikit-learn is MLPClassifier with the same sizes, rate and momentum on float32 rows.

An epoch of scikit-learn is a tenth of ten without reading the data. One of ours is an eighth of what lies between the
first meeting, after two, and the last one: queue, hosts and meetings counted, but not the reading of the data before.
"""
import contextlib
import datetime
import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from rig import BIN, ROOT, Redis, Worker, rounds, wait_until

LETTERS = ROOT / "build" / "letters"
MAKE_LETTERS = ROOT / "taskfiles" / "letters" / "make_letters.py"
IMAGES = Path("/usr/share/datasets/fashion-mnist")
WORKERS = (1, 2)
SYNCS = (0.25, 0.5, 1, 2, 5)

# What a yardstick is: a program of its own, so that BLAS gets its number of threads; it prints seconds.
NUMPY = """
import sys, time
import numpy as np
directory, count, epochs, h, eta = sys.argv[1], *map(float, sys.argv[2:6])
count, epochs, h = int(count), int(epochs), int(h)
start = time.monotonic()

def load(name):
    rows = np.loadtxt(f"{directory}/{name}", delimiter=",")
    return np.hstack([np.ones((len(rows), 1)), rows[:, :16]]), rows[:, 16].astype(int)

def forward(x, w, v, a, z, y):
    np.matmul(x, w, out=a)
    np.maximum(a, 0, out=z[:, 1:])
    np.matmul(z, v, out=y)
    y -= y.max(axis=1, keepdims=True)
    np.exp(y, out=y)
    y /= y.sum(axis=1, keepdims=True) + 1e-6 * y

def train(x, labels, w, v):
    w, v, n = w.copy(), v.copy(), len(x)
    a, z, y, rows = np.empty((n, h)), np.ones((n, h + 1)), np.empty((n, 26)), np.arange(n)
    forward(x, w, v, a, z, y)
    loss = -np.log(y[rows, labels] + 1e-6).sum()
    for _ in range(epochs):
        np.negative(y, out=y)
        y[rows, labels] += 1
        dv = z.T @ y
        d = y @ v[1:].T
        d *= a >= 0
        dv *= eta
        v += dv
        w += eta * (x.T @ d)
        forward(x, w, v, a, z, y)
        before, loss = loss, -np.log(y[rows, labels] + 1e-6).sum()
        if abs(before - loss) <= 0.2:
            break
    return w, v

rng = np.random.default_rng(0)
v, w = rng.uniform(-0.01, 0.01, (h + 1, 26)), rng.uniform(-0.01, 0.01, (17, h))
files = [load(f"train_letters{i}.txt") for i in range(1, 12)]
x, labels = load("validate_letters.txt")
a, z, y = np.empty((len(x), h)), np.ones((len(x), h + 1)), np.empty((len(x), 26))
for _ in range(count):
    trained = [train(*file, w, v) for file in files]
    w = w + sum(t[0] - w for t in trained) / len(files)
    v = v + sum(t[1] - v for t in trained) / len(files)
    forward(x, w, v, a, z, y)
    print("error", (y.argmax(axis=1) != labels).mean())
print("seconds", time.monotonic() - start)
"""
SKLEARN = """
import gzip, sys, time, warnings
import numpy as np
from sklearn.neural_network import MLPClassifier
warnings.filterwarnings("ignore")
def idx(name, skip):
    return np.frombuffer(gzip.open(f"{sys.argv[1]}/{name}-ubyte.gz").read(), np.uint8, offset=skip)
x = idx("train-images-idx3", 16).reshape(-1, 784).astype(np.float32) / np.float32(255)
y = idx("train-labels-idx1", 8)
net = MLPClassifier((128,), solver="sgd", batch_size=128, learning_rate_init=0.05, momentum=0.9,
                    nesterovs_momentum=False, max_iter=int(sys.argv[2]), tol=0, n_iter_no_change=10**6, random_state=1)
start = time.monotonic()
net.fit(x, y)
print("seconds", (time.monotonic() - start) / int(sys.argv[2]))
"""


def yardstick(program, *words):
    environment = {**os.environ, **{f"{name}_NUM_THREADS": "1" for name in ("OMP", "OPENBLAS", "MKL")}}
    out = subprocess.run([sys.executable, "-c", program, *map(str, words)], env=environment, check=True,
                         capture_output=True, text=True).stdout
    return float(re.search(r"seconds (\S+)", out)[1])


def plan(*words):
    return subprocess.run([BIN / "redisPlan", *map(str, words)], check=True, capture_output=True, text=True).stdout


def train(redis, count, *words):
    """Seconds from loading to the last result, on so many fresh workers of one core; errors in the order of rounds; a
    row of exportTask for each task."""
    place = redis.dir / "weights"
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir()
    text = plan(*words, "--weights", place / "w")
    tasks = sum(not line.startswith("#") for line in text.splitlines())
    redis.manager("initRedis", "--force")
    with contextlib.ExitStack() as stack:
        workers = [stack.enter_context(Worker(redis, "--cpus", 1, name=f"w{i}")) for i in range(count)]
        for worker in workers:
            worker.wait_ready()
        start = time.monotonic()
        redis.manager("loadTask", "--taskfile", "-", input=text)
        workers[0].wait_finished(tasks, every=0.02)  # all cores are busy
        seconds = time.monotonic() - start
        shown = redis.manager("exportTask", "--format", "jsonl")
    rows = [json.loads(line) for line in shown.splitlines()]
    found = [(int(name), float(error)) for row in rows for name, error in
             re.findall(r'^mlp_validate.*-(?:round|epoch)(\d+)\.npy.*error=([0-9.e-]+)', row["command"] + row["stdout"])]
    return seconds, [error for _, error in sorted(found)], rows


def seconds_an_epoch(rows):
    """From the first meeting to the last: the end of all shards' trainings."""
    met = {}
    for row in rows:
        epoch = re.search(r"epoch(\d+)/train$", row["name"])
        if epoch:
            end = datetime.datetime.fromisoformat(row["end"].replace("Z", "+00:00")).timestamp()
            met[int(epoch[1])] = max(met.get(int(epoch[1]), 0), end)
    return (met[max(met)] - met[min(met)]) / (max(met) - min(met))


def measure_letters(part):
    subprocess.run([sys.executable, MAKE_LETTERS, LETTERS], check=True, stdout=subprocess.DEVNULL)
    words = ("letters", LETTERS, 3, 75, 24, 0.0001)
    errors = []
    with Redis() as redis:
        def ours(count):
            seconds, got, _ = train(redis, count, *words)
            errors.append(got)
            return 1 / seconds
        contenders = {f"{n}": lambda n=n: ours(n) for n in WORKERS}
        contenders["numpy"] = lambda: 1 / yardstick(NUMPY, *words[1:])
        got = rounds(part.options.pairs, contenders)
    if any(e != [0.712, 0.471714, 0.423143] for e in errors):
        raise SystemExit(f"bench: the letters training has errors {errors}")
    part.add_ratio("letters 3/75/24, one worker / numpy on one thread", got["1"], got["numpy"], ">= 1", "from loadTask")
    part.add_ratio("letters 3/75/24, two workers / numpy on one thread", got["2"], got["numpy"], ">= 2", "the same")
    part.add_median("letters 3/75/24: two workers", [1 / v for v in got["2"]], "s", "", "the same")


def measure_images(part):
    if not IMAGES.is_dir():
        print(f"    no {IMAGES} (dataset-fashion-mnist): not measured", file=sys.stderr)
        return
    epochs = max(4, int(10 * part.options.scale))
    accuracy, whole = [], {count: [] for count in WORKERS}
    with Redis() as redis:
        def ours(count):
            seconds, errors, rows = train(redis, count, "mlp", "--data", IMAGES, "--epochs", epochs, "--shards", count,
                                          "--sync", 2, "--seed", 1 + len(whole[count]))
            whole[count].append(seconds)
            if count == 2:
                accuracy.append(1 - errors[-1])
            return 1 / seconds_an_epoch(rows)
        contenders = {f"{n}": lambda n=n: ours(n) for n in WORKERS}
        with contextlib.suppress(ImportError):
            import sklearn  # noqa: F401
            contenders["sklearn"] = lambda: 1 / yardstick(SKLEARN, IMAGES, epochs)
        got = rounds(part.options.pairs, contenders)
        if "sklearn" in got:
            part.add_ratio("Fashion-MNIST: epochs/s, one worker / scikit-learn on one thread", got["1"], got["sklearn"],
                           ">= 1.5", f"{epochs} epochs, batch 128")
        part.add_ratio("Fashion-MNIST: epochs/s, two workers / one", got["2"], got["1"], ">= 1.7",
                       "2 shards / 1 shard, --sync 2")
        part.add_median("Fashion-MNIST: an epoch, one worker", [1000 / v for v in got["1"]], "ms")
        for count in WORKERS:
            part.add_median(f"Fashion-MNIST: {epochs} epochs, {count} worker{'s' * (count > 1)}", whole[count], "s", "",
                            "from loadTask on fresh workers: data read, validated")
        part.add_median(f"Fashion-MNIST: test accuracy after {epochs} epochs, 2 shards", accuracy, "", ">= 0.875",
                        f"--sync 2, seeds 1 to {len(accuracy)}")
        for sync in SYNCS:
            seconds, errors, _ = train(redis, 2, "mlp", "--data", IMAGES, "--epochs", epochs, "--shards", 2, "--sync", sync)
            part.add(f"Fashion-MNIST: test accuracy, sync {sync:g}", 1 - errors[-1], "", "", f"{seconds:.2f} s, 2 workers")


def measure_ml(part):
    os.environ.pop("OPENBLAS_CORETYPE", None)  # both sides get what OpenBLAS takes for this CPU
    measure_letters(part)
    measure_images(part)
