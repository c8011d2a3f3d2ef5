"""CUDA tasks through a real worker whose inventory has a card and whose driver is that of tests/lib/fake_cuda.c."""
import json

import numpy
import pytest

from harness import BIN
from kernel_cuda_test import Card, SAXPY_WORDS, files, nvrtc  # noqa: F401
from tasks import Tasks

FAST = {"health_report_interval": "100ms", "lease": "2s", "retry_backoff": "50ms"}
SAXPY = " ".join(f"'{word}'" for word in ["cuda", *SAXPY_WORDS])
ASTRAY = SAXPY.replace("grid=4", "grid=8").replace("u32:1000", "u32:2000")


@pytest.fixture
def tasks(queue, redis):
    made = Tasks(queue, redis)
    made.native = lambda words: made.add(words.replace("'cuda'", "cuda"), type="native", min_dram=0, min_cpu=0)
    return made


@pytest.fixture
def card(box, worker):
    """A worker with one card."""
    made = Card(box)
    inventory = box / "inventory.json"
    inventory.write_text(json.dumps({"gpus": [{"uuid": "GPU-a", "name": "A", "memory": "16GiB"}]}))
    worker(inventory=inventory, kernel_dir=BIN / "kernels", **FAST,
           env={"LD_LIBRARY_PATH": made.dir, "FAKE_CUDA": str(made.told), "FAKE_CUDA_LOG": str(made.log)})
    return made


def test_tasks_share_a_warm_card(nvrtc, files, card, tasks):  # noqa: F811
    for program in ("compiled", "kept", "kept"):
        task = tasks.native(SAXPY).wait()
        assert task.outcomes == ["finished"] and f"program={program} ".encode() in task.out
    assert (numpy.load("z.npy") == 2 * numpy.arange(1000) + 1).all()
    assert len(card.calls("cuDevicePrimaryCtxRetain")) == 1


def test_a_fatal_error_costs_its_own_try_only(nvrtc, files, card, tasks):  # noqa: F811
    tasks.native(SAXPY).wait()
    astray = tasks.native(ASTRAY).wait("failed")
    assert set(astray.outcomes) == {"failed"} and all(got.exit == 1 for got in astray.tries)
    assert "CUDA_ERROR_ILLEGAL_ADDRESS" in astray.tries[-1].reason
    made = len(card.calls("cuDevicePrimaryCtxRetain"))
    assert made == len(astray.tries), "each fatal error took a context; the first was the good task's"
    after = tasks.native(SAXPY).wait()
    assert after.outcomes == ["finished"] and b"program=compiled " in after.out
    assert len(card.calls("cuDevicePrimaryCtxRetain")) == made + 1


def test_source_that_is_wrong_is_not_tried_again(nvrtc, files, card, tasks):  # noqa: F811
    task = tasks.native(SAXPY.replace("kernel=saxpy", "kernel=saxpi")).wait("failed")
    assert task.outcomes == ["failed"] and task.tries[0].exit == 2
    assert "there is no kernel saxpi; it has: saxpy" in task.tries[0].reason
