"""The mlp_ kernels by kernelHost, against numpy in float64, and redisPlan mlp through real workers."""
import gzip
import re
import struct
import subprocess
from pathlib import Path

import numpy as np
import pytest

from harness import SLOW, program, wait_until

FAST = {"cpus": 1, "lease": "1500ms", "health_report_interval": "300ms", "retry_backoff": "50ms"}
IMAGES = Path("/usr/share/datasets/fashion-mnist")
WEIGHTS, MOMENTUM, GRADIENT = 1, 2, 3


def kernel(name, *words, code=0, **values):
    """stdout of `kernelHost run`, or stderr when it is to fail."""
    line = [program("kernelHost"), "run", *words, name, *(f"{key}={value}" for key, value in values.items())]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == code, f"{line}: {done.returncode} {done.stdout} {done.stderr}"
    return done.stdout if code == 0 else done.stderr


def results(text):
    return dict(word.split("=", 1) for word in text.split())


def planned(*words, code=0):
    done = subprocess.run([program("redisPlan"), "mlp", *map(str, words)], capture_output=True, text=True,
                          timeout=60 * SLOW)
    assert done.returncode == code, done.stderr
    return done.stdout if code == 0 else done.stderr


def write_idx(path, array, packed=False):
    data = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.astype(np.uint8).tobytes()
    Path(path).write_bytes(gzip.compress(data) if packed else data)


def write_letters(path, values, labels):
    Path(path).write_text("\n".join(",".join(map(str, [*row, label])) for row, label in zip(values, labels)))


def save(path, kind, w, v, *more, dtype=np.float64):
    head = [kind, w.shape[0] - 1, w.shape[1], v.shape[1]]
    np.save(path, np.concatenate([head, w.ravel(), v.ravel(), *map(np.ravel, more)]).astype(dtype))


class Net:
    """The formulas in float64."""

    def __init__(self, w, v, full):
        self.w, self.v, self.full = w.astype(np.float64), v.astype(np.float64), full

    def forward(self, x):
        x = np.hstack([np.ones((len(x), 1)), x])
        a = x @ self.w
        z = np.hstack([np.ones((len(x), 1)), np.maximum(a, 0)])
        o = z @ self.v
        e = np.exp(o - o.max(axis=1, keepdims=True))
        return x, a, z, e / (e.sum(axis=1, keepdims=True) + (1e-6 * e if self.full else 0))

    def gradient(self, x, labels):
        x, a, z, y = self.forward(x)
        rows = np.arange(len(x))
        loss = -np.log(y[rows, labels] + (1e-6 if self.full else 0)).sum()
        d = -y
        d[rows, labels] += 1
        return x.T @ ((d @ self.v[1:].T) * (a >= 0 if self.full else a > 0)), z.T @ d, loss


def draw(rng, rows, inputs, hidden, classes, most):
    values, labels = rng.integers(0, most + 1, (rows, inputs)), rng.integers(0, classes, rows)
    w, v = rng.uniform(-0.3, 0.3, (inputs + 1, hidden)), rng.uniform(-0.3, 0.3, (hidden + 1, classes))
    return values, labels, w, v


SHAPES = [(37, 16, 20, 26), (1, 5, 3, 2), (9, 1, 1, 1), (200, 3, 40, 7), (130, 28, 9, 10), (5, 4, 1, 3)]


@pytest.mark.parametrize("form", ["letters", "idx"])
def test_gradient_validate_and_predict(form, tmp_path):
    rng = np.random.default_rng(3)
    for rows, inputs, hidden, classes in SHAPES:
        full = form == "letters"
        dtype, tolerance = (np.float64, 1e-11) if full else (np.float32, 2e-5)
        values, labels, w, v = draw(rng, rows, inputs, hidden, classes, 15 if full else 255)
        if full:
            write_letters("data", values, labels)
            data, x = {"data": "data"}, values
        else:
            write_idx("data.gz", values, packed=True), write_idx("labels", labels)
            data, x = {"data": "data.gz", "labels": "labels"}, values / 255
        save("w.npy", WEIGHTS, w, v, dtype=dtype)
        net = Net(w.astype(dtype), v.astype(dtype), full)
        first, last = sorted(rng.integers(0, rows + 1, 2))
        for bounds in ({}, {"from": first, "to": last}):
            part = slice(bounds.get("from", 0), bounds.get("to", rows))
            dw, dv, loss = net.gradient(x[part], labels[part])
            kernel("mlp_gradient", **data, weights="w.npy", out="g.npy", **bounds)
            got, want = np.load("g.npy"), np.concatenate([dw.ravel(), dv.ravel(), [loss, len(x[part])]])
            assert got.dtype == dtype and list(got[:4]) == [GRADIENT, inputs, hidden, classes]
            np.testing.assert_allclose(got[4:], want, rtol=tolerance, atol=tolerance * (1 + np.abs(want[:-2]).max()))
        y = net.forward(x)[3]
        shown = results(kernel("mlp_validate", **data, weights="w.npy"))
        wrong = (y.argmax(axis=1) != labels).sum()
        assert int(shown["wrong"]) == wrong and int(shown["rows"]) == rows
        assert float(shown["error"]) == pytest.approx(wrong / rows, rel=1e-5)
        kernel("mlp_predict", data=data["data"], weights="w.npy", out="p.npy", probabilities="y.npy")
        np.testing.assert_allclose(np.load("y.npy"), y, rtol=tolerance, atol=tolerance)
        assert np.load("p.npy").dtype == np.int32
        np.testing.assert_array_equal(np.load("p.npy"), y.argmax(axis=1))


def test_training_by_full_gradients():
    rng = np.random.default_rng(4)
    values, labels, w, v = draw(rng, 90, 7, 11, 5, 15)
    write_letters("data", values, labels)
    save("w.npy", WEIGHTS, w, v)
    net = Net(w, v, True)
    for _ in range(7):
        dw, dv, _ = net.gradient(values, labels)
        net.w, net.v = net.w + 0.001 * dw, net.v + 0.001 * dv
    shown = results(kernel("mlp_train", data="data", weights="w.npy", epochs=7, rate=0.001, out="t.npy"))
    assert int(shown["epochs"]) == 7
    assert float(shown["loss"]) == pytest.approx(net.gradient(values, labels)[2], rel=1e-6)
    np.testing.assert_allclose(np.load("t.npy")[4:], np.concatenate([net.w.ravel(), net.v.ravel()]), rtol=1e-10)
    # A change of at most `stop` ends it, after the update.
    assert int(results(kernel("mlp_train", data="data", weights="w.npy", epochs=7, stop=1e9, out="s.npy"))["epochs"]) == 1


def test_training_by_batches_sees_every_row_once_an_epoch():
    """With one row a batch and no momentum the order matters; with one batch of all rows it does not."""
    rng = np.random.default_rng(5)
    values, labels, w, v = draw(rng, 60, 9, 8, 4, 255)
    write_idx("data", values), write_idx("labels", labels)
    save("w.npy", WEIGHTS, w, v, dtype=np.float32)
    net = Net(w.astype(np.float32), v.astype(np.float32), False)
    velocity = [0 * net.w, 0 * net.v]
    for _ in range(3):
        dw, dv, _ = net.gradient(values / 255, labels)
        velocity = [0.9 * velocity[0] + 0.2 / 60 * dw, 0.9 * velocity[1] + 0.2 / 60 * dv]
        net.w, net.v = net.w + velocity[0], net.v + velocity[1]
    how = {"data": "data", "labels": "labels", "method": "sgd", "weights": "w.npy", "rate": 0.2}
    kernel("mlp_train", **how, epochs=3, batch=60, momentum=0.9, out="t.npy")
    got = np.load("t.npy")
    assert got[0] == MOMENTUM
    want = np.concatenate([net.w.ravel(), net.v.ravel(), velocity[0].ravel(), velocity[1].ravel()])
    np.testing.assert_allclose(got[4:], want, rtol=1e-4, atol=1e-5)
    # The velocity is taken on: three epochs are one and two more.
    kernel("mlp_train", **how, epochs=1, batch=60, momentum=0.9, out="a.npy")
    kernel("mlp_train", **{**how, "weights": "a.npy"}, epoch=1, epochs=2, batch=60, momentum=0.9, out="b.npy")
    np.testing.assert_allclose(np.load("b.npy"), got, rtol=1e-5, atol=1e-6)
    # The same seed gives the same bits, another one other orders.
    for seed, name in ((1, "c"), (1, "d"), (2, "e")):
        kernel("mlp_train", **how, epochs=1, batch=7, seed=seed, out=f"{name}.npy")
    assert Path("c.npy").read_bytes() == Path("d.npy").read_bytes() != Path("e.npy").read_bytes()
    # The slices of an epoch are the whole of it.
    rows = [int(results(kernel("mlp_train", **how, batch=7, slice=i, slices=7, out="f.npy"))["rows"]) for i in range(7)]
    assert sum(rows) == 60 and max(rows) - min(rows) <= 1


def test_the_mean_and_a_step():
    rng = np.random.default_rng(6)
    nets = [draw(rng, 1, 5, 4, 3, 15)[2:] for _ in range(4)]
    for i, (w, v) in enumerate(nets):
        save(f"n{i}.npy", WEIGHTS, w, v)
        save(f"g{i}.npy", GRADIENT, w, v, [1.5, i + 1])
    flat = [np.concatenate([w.ravel(), v.ravel()]) for w, v in nets]
    kernel("mlp_average", start="n0.npy", trained="n1.npy,n2.npy,n3.npy", out="m.npy")
    np.testing.assert_allclose(np.load("m.npy")[4:], np.mean(flat[1:], axis=0), rtol=1e-12, atol=1e-15)
    kernel("mlp_average", start="n0.npy", trained="n3.npy,n1.npy,n2.npy", out="o.npy")
    assert Path("m.npy").read_bytes() == Path("o.npy").read_bytes()
    # Without start it is their mean; with seed= start is the random network that mlp_train begins with.
    kernel("mlp_average", trained="n1.npy,n2.npy,n3.npy", out="p.npy")
    np.testing.assert_allclose(np.load("p.npy")[4:], np.mean(flat[1:], axis=0), rtol=1e-15, atol=1e-16)
    write_letters("data", [[1, 2, 3, 4, 5]], [2])
    for method, kind in (("full", "n"), ("sgd", "f")):
        kernel("mlp_train", data="data", hidden=4, classes=3, epochs=0, seed=9, method=method, out=f"{kind}start.npy")
        kernel("mlp_train", data="data", hidden=4, classes=3, epochs=3, seed=9, method=method, rate=0.1, out=f"{kind}t.npy")
        kernel("mlp_average", start=f"{kind}start.npy", trained=f"{kind}t.npy", out="a.npy")
        kernel("mlp_average", seed=9, trained=f"{kind}t.npy", out="b.npy")
        assert Path("a.npy").read_bytes() == Path("b.npy").read_bytes() != Path(f"{kind}start.npy").read_bytes()
    # Whoever trains from several begins with the same.
    for files in ("n1.npy,n2.npy,n3.npy", "n3.npy,n1.npy,n2.npy"):
        kernel("mlp_train", data="data", weights=files, epochs=0, method="full", out="q.npy")
        assert Path("p.npy").read_bytes() == Path("q.npy").read_bytes()
    shown = results(kernel("mlp_average", start="n0.npy", gradients="g1.npy,g2.npy", rate=0.1, out="s.npy"))
    assert float(shown["loss"]) == pytest.approx(3 / 5, rel=1e-5) and shown["rows"] == "5"
    np.testing.assert_allclose(np.load("s.npy")[4:], flat[0] + 0.1 * (flat[1] + flat[2]) / 5, rtol=1e-12)
    kernel("mlp_average", start="n0.npy", gradients="g1.npy", rate=0.1, mean="no", momentum=0.5, out="v.npy")
    stepped = np.load("v.npy")
    assert stepped[0] == MOMENTUM
    np.testing.assert_allclose(stepped[4:], np.concatenate([flat[0] + 0.1 * flat[1], 0.1 * flat[1]]), rtol=1e-12)


@pytest.fixture
def files():
    """Files that are wrong in one way each."""
    rng = np.random.default_rng(8)
    values, labels, w, v = draw(rng, 6, 5, 4, 3, 15)
    write_letters("data", values, labels), Path("empty").write_text("")
    write_letters("wide", rng.integers(0, 9, (3, 6)), labels[:3]), write_letters("many", values, labels + 3)
    Path("nan").write_text("1,2,3,4,nan,1\n"), Path("short").write_text("1,2,3,4,5,1\n1,2\n")
    write_idx("images", values), write_idx("labels", labels), write_idx("less", labels[:5])
    Path("cut").write_bytes(Path("images").read_bytes()[:-1])
    Path("broken.gz").write_bytes(gzip.compress(Path("images").read_bytes())[:40] + b"x" * 40)
    save("w.npy", WEIGHTS, w, v), save("f32.npy", WEIGHTS, w, v, dtype=np.float32), save("g.npy", GRADIENT, w, v, [1, 1])
    save("m.npy", MOMENTUM, w, v, w, v), save("other.npy", WEIGHTS, w[:, :3], v[:4])
    save("nan.npy", WEIGHTS, w * np.nan, v), np.save("matrix.npy", w), np.save("i.npy", np.arange(50))
    save("huge.npy", WEIGHTS, w * 1e200, v * 1e200)


OUT = {"out": "out.npy"}


@pytest.mark.parametrize("name, values, reason", [
    ("mlp_train", {"data": "data", **OUT}, "a new network needs hidden="),
    ("mlp_train", {"data": "empty", "hidden": 3, **OUT}, "empty has no rows"),
    ("mlp_train", {"data": "none", "hidden": 3, **OUT}, "none"),
    ("mlp_train", {"data": "nan", "hidden": 3, **OUT}, "nan: line 1, column 9: expected an integer"),
    ("mlp_train", {"data": "short", "hidden": 3, **OUT}, "short: line 2 has fewer than the 6 values"),
    ("mlp_train", {"data": "wide", "weights": "w.npy", **OUT}, "wide has 6 values in a row, the network takes 5"),
    ("mlp_train", {"data": "many", "weights": "w.npy", **OUT}, "classes end at 2"),
    ("mlp_train", {"data": "data", "weights": "nan.npy", **OUT}, "nan.npy: number 4 is"),
    ("mlp_train", {"data": "data", "weights": "matrix.npy", **OUT}, "matrix.npy: not a network"),
    ("mlp_train", {"data": "data", "weights": "i.npy", **OUT}, "i.npy: not a network"),
    ("mlp_train", {"data": "data", "weights": "f32.npy", **OUT}, "f32.npy is f32; method=full trains f64"),
    ("mlp_train", {"data": "data", "weights": "m.npy", **OUT}, "has a velocity; method=full has none"),
    ("mlp_train", {"data": "data", "weights": "g.npy", **OUT}, "g.npy is a gradient"),
    ("mlp_train", {"data": "data", "weights": "w.npy", "hidden": 9, **OUT}, "has 4 hidden units, and hidden=9"),
    ("mlp_train", {"data": "data", "weights": "w.npy", "batch": 9, **OUT}, "batch= is for method=sgd"),
    ("mlp_train", {"data": "data", "hidden": 3, "method": "sgd", "stop": 1, **OUT}, "stop= is for method=full"),
    ("mlp_train", {"data": "data", "hidden": 3, "method": "sgd", "slice": 2, "slices": 2, **OUT}, "slice=2 of slices=2"),
    ("mlp_train", {"data": "data", "weights": "huge.npy", "rate": 1e9, "epochs": 50, **OUT}, "is too high"),
    ("mlp_train", {"data": "images", "hidden": 3, **OUT}, "give labels=FILE"),
    ("mlp_train", {"data": "images", "labels": "less", "hidden": 3, **OUT}, "less: 5 labels"),
    ("mlp_train", {"data": "cut", "labels": "labels", "hidden": 3, **OUT}, "promises 30 bytes, but the file has fewer"),
    ("mlp_train", {"data": "broken.gz", "labels": "labels", "hidden": 3, **OUT}, "broken.gz: "),
    ("mlp_train", {"data": "data", "labels": "labels", "hidden": 3, **OUT}, "has its labels in its lines"),
    ("mlp_validate", {"data": "empty", "weights": "w.npy"}, "no rows, so there is no error to tell"),
    ("mlp_validate", {"data": "wide", "weights": "w.npy"}, "wide has 6 values"),
    ("mlp_validate", {"data": "data", "weights": "g.npy"}, "g.npy is a gradient, not a network"),
    ("mlp_predict", {"data": "wide", "weights": "w.npy", **OUT}, "wide has 6 values"),
    ("mlp_gradient", {"data": "data", "weights": "w.npy", "from": 4, "to": 3, **OUT}, "rows 4 to 3 of data, which has 6"),
    ("mlp_gradient", {"data": "data", "weights": "w.npy", "to": 7, **OUT}, "rows 0 to 7 of data"),
    ("mlp_average", {"start": "w.npy", "seed": 1, "trained": "w.npy", **OUT}, "expected either start= or seed="),
    ("mlp_average", {"start": "w.npy", "seed": 1, "gradients": "g.npy", "rate": 1, **OUT}, "seed= is for trained="),
    ("mlp_train", {"data": "data", "weights": "w.npy,other.npy", **OUT}, "other.npy is weights of 5-3-3, f64; expected"),
    ("mlp_average", {"start": "w.npy", **OUT}, "expected either trained= or gradients="),
    ("mlp_average", {"start": "w.npy", "trained": "other.npy", **OUT}, "other.npy is weights of 5-3-3, f64; expected"),
    ("mlp_average", {"start": "w.npy", "trained": "f32.npy", **OUT}, "f32.npy is weights of 5-4-3, f32; expected"),
    ("mlp_average", {"start": "w.npy", "trained": "g.npy", **OUT}, "g.npy is a gradient of 5-4-3"),
    ("mlp_average", {"start": "w.npy", "gradients": "g.npy", **OUT}, "needs rate="),
    ("mlp_average", {"gradients": "g.npy", "rate": 1, **OUT}, "needs start="),
    ("mlp_average", {"trained": "g.npy", **OUT}, "g.npy is a gradient, not a network"),
])
def test_what_is_wrong_is_said_and_nothing_is_written(files, name, values, reason):
    line = [program("kernelHost"), "run", name, *(f"{key}={value}" for key, value in values.items())]
    done = subprocess.run(line, capture_output=True, text=True, timeout=60 * SLOW)
    assert done.returncode == (1 if values.get("data") == "none" else 2) and reason in done.stderr, done.stderr
    assert not Path("out.npy").exists()


def test_empty_rows_move_nothing(files):
    kernel("mlp_train", data="empty", weights="w.npy", epochs=3, out="t.npy")
    assert Path("t.npy").read_bytes() == Path("w.npy").read_bytes()
    kernel("mlp_gradient", data="empty", weights="w.npy", out="z.npy")
    assert not np.load("z.npy")[4:].any()
    kernel("mlp_average", start="w.npy", gradients="z.npy", rate=1, out="s.npy")
    assert Path("s.npy").read_bytes() == Path("w.npy").read_bytes()
    kernel("mlp_predict", data="empty", weights="w.npy", out="p.npy", probabilities="y.npy")
    assert np.load("p.npy").shape == (0,) and np.load("y.npy").shape == (0, 3)


# --- the plan -------------------------------------------------------------------------------------


@pytest.fixture
def pictures():
    """Ten kinds of pictures that a small network can tell apart: 28 x 28, 1500 to learn from and 400 for the test."""
    rng = np.random.default_rng(11)
    kinds = rng.integers(0, 256, (10, 28, 28))
    for name, rows in (("train", 1500), ("t10k", 400)):
        labels = rng.integers(0, 10, rows)
        noisy = np.clip(kinds[labels] + rng.normal(0, 80, (rows, 28, 28)), 0, 255)
        write_idx(f"{name}-images-idx3-ubyte.gz", noisy, packed=True), write_idx(f"{name}-labels-idx1-ubyte", labels)
    return Path.cwd()


def errors_of(queue):
    shown = queue("exportTask", "--state", "finished", "--include", "^mlp_validate", "--format", "jsonl")
    return [float(error) for _, error in
            sorted((int(n), e) for n, e in re.findall(r'-epoch(\d+)\.npy.*?error=([0-9.e-]+)', shown))]


def run_all(queue, text):
    queue("loadTask", "--taskfile", "-", input=text)
    count = text.count("native:")
    wait_until(lambda: queue.counts()["finished"] == count, 120, what=lambda: queue("checkTask", "--finished", "false"))
    return errors_of(queue)


@pytest.mark.limit(240)
@pytest.mark.parametrize("shards, sync", [(1, 1), (3, 1), (2, 0.5), (2, 2), (9, 0.5)])
def test_shards_share_their_weights(shards, sync, pictures, queue, worker):
    """They learn, and every copy starts where the average of the last meeting is: few make it for themselves."""
    worker("w1", **FAST), worker("w2", **FAST)
    steps = ("--batch", 36, "--rate", 0.003) if shards > 8 else ()  # a shard's batch is 4 rows, of 83 between meetings
    text = planned("--data", pictures, "--epochs", 4, "--shards", shards, "--sync", sync, "--hidden", 16,
                   "--weights", "w", *steps)
    meetings = int(4 / sync)
    kept = min(4, meetings)
    averages = 0 if shards == 1 else kept if shards <= 8 else meetings
    assert text.count("mlp_train") == meetings * shards and text.count("mlp_average") == averages
    errors = run_all(queue, text)
    assert len(errors) == kept and errors[-1] < 0.3
    if shards > 1:
        copies = [np.load(f"w-epoch4-shard{i + 1}.npy") for i in range(shards)]
        assert any((copies[0] != copy).any() for copy in copies[1:])
        np.testing.assert_allclose(np.load("w-epoch4.npy")[4:], np.mean(copies, axis=0)[4:], rtol=1e-4, atol=1e-6)
        starts = re.findall(r"mlp_train .*weights=(\S+)", text)
        assert len(starts) == (meetings - 1) * shards
        assert all((start.count("-shard") == shards) == (shards <= 8) for start in starts)
        kernel("mlp_train", method="sgd", data=pictures / "train-images-idx3-ubyte.gz",
               labels=pictures / "train-labels-idx1-ubyte", momentum=0.9, epochs=0, out="start.npy",
               weights=",".join(f"w-epoch2-shard{i + 1}.npy" for i in range(shards)))
        assert Path("start.npy").read_bytes() == Path("w-epoch2.npy").read_bytes()


@pytest.mark.limit(240)
def test_the_same_training_with_a_worker_that_dies(pictures, queue, redis, worker):
    """The same weights to the bit, and a plan with more epochs goes on from the last."""
    words = ("--data", pictures, "--shards", 2, "--hidden", 64, "--batch", 2, "--sync", 1, "--epochs")
    victim, _ = worker("victim", **FAST), worker("other", **FAST)
    text = planned(*words, 15, "--weights", "w")
    queue("loadTask", "--taskfile", "-", input=text)
    held = "distcomp:{default}:held:victim"
    wait_until(lambda: queue.counts()["finished"] > 2 and int(redis.command("HLEN", held) or 0) > 0, 60)
    victim.kill()
    wait_until(lambda: queue.counts()["finished"] == text.count("native:"), 120)
    errors = errors_of(queue)
    before = queue.counts()["finished"]
    again = planned(*words, 15, "--weights", "v")
    queue("loadTask", "--taskfile", "-", input=again)
    wait_until(lambda: queue.counts()["finished"] == before + again.count("native:"), 120)
    assert Path("w-epoch15.npy").read_bytes() == Path("v-epoch15.npy").read_bytes()
    assert queue.counts()["failed"] == 0 and len(errors) == 15
    longer = planned(*words, 17, "--weights", "w")
    assert queue.json("loadTask", "--taskfile", "-", input=text)["new"] == 0
    assert queue.json("loadTask", "--taskfile", "-", input=longer)["new"] == 2 * 4


@pytest.mark.limit(400)
def test_fashion_mnist_is_learnt(queue, worker):
    """Two epochs of the true images, in two shards: what a wrong gradient, order or label would not reach."""
    if not IMAGES.is_dir():
        pytest.skip("expected: dataset-fashion-mnist is not installed")
    worker("w1", **FAST), worker("w2", **FAST)
    text = planned("--data", IMAGES, "--epochs", 2, "--shards", 2, "--sync", 1, "--weights", "w")
    assert run_all(queue, text)[-1] < 0.19


@pytest.mark.parametrize("words, code, reason", [
    (("--epochs", 0), 2, '--epochs "0", expected a whole number of 1'),
    (("--rate", "inf"), 2, "--rate"),
    (("--momentum", 1), 2, '--momentum "1", expected a number of 0 to 0.9999'),
    (("--sync", "often"), 2, '--sync "often"'),
    (("more",), 2, '"more" is one too many'),
    (("--data", "/nowhere"), 1, "--data /nowhere: No such file"),
    (("--data", "."), 1, "train-images-idx3-ubyte.gz is not there"),
])
def test_a_wrong_command_line(words, code, reason):
    assert reason in planned(*words, code=code)


def test_memory_that_the_tasks_ask_for_is_what_they_need(pictures):
    """The host says so when a kernel's own estimate is beyond the promise: a plan must be above it."""
    lines = [line for line in planned("--data", pictures, "--epochs", 2, "--sync", 1, "--shards", 2, "--weights",
                                      "w").splitlines() if line.startswith("native:")]
    assert any("mlp_train" in line and "shard1.npy,w" in line.replace(str(pictures) + "/", "") for line in lines)
    for line in lines:
        _, _, memory, _, command = line.split(":", 4)
        done = subprocess.run([program("kernelHost"), "run", "--memory", memory, *command.split()], capture_output=True,
                              text=True, timeout=60 * SLOW)
        assert done.returncode == 0 and "promised" not in done.stderr, done.stderr
