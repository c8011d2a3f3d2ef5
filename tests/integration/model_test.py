"""docs/model/ speaks of every script: each is an atomic block of the model, or README.md says why it is not."""
import re

import pytest

from harness import ROOT

MODEL = ROOT / "docs" / "model"
LUA = ROOT / "common" / "lua"
WRITES = re.compile(r"""call(_many)?\(\s*['"](HSET|HSETNX|HDEL|HINCRBY|SADD|SREM|SPOP|ZADD|ZREM|DEL|UNLINK|RPUSH|LPUSH|LTRIM|"""
                    r"""LPOP|LSET)['"]|\b(save|save_record|move|to_todo|flush|release_hold|lose_some|give_back)\(""")


def operations():
    """The scripts that change anything; files directly in common/lua, but for a library."""
    texts = {path.stem: path.read_text() for path in LUA.glob("*.lua") if path.stem != "lib"}
    return {name for name, text in texts.items() if WRITES.search(re.sub(r"--.*", "", text))}


def modelled():
    return set(re.findall(r"^inline script_(\w+)\(", (MODEL / "scripts.pml").read_text(), re.M))


def left_out():
    """The table of README.md: | `name` | why it cannot matter |."""
    section = (MODEL / "README.md").read_text().split("## Scripts that are left out")[1].split("\n## ")[0]
    return dict(re.findall(r"^\| `(\w+)` \| (.+?) \|$", section, re.M))


def test_every_script_that_writes_is_modelled_or_left_out_for_a_reason():
    assert operations() == modelled() | set(left_out())
    assert not modelled() & set(left_out())
    assert all(len(reason) > 20 for reason in left_out().values())


@pytest.mark.parametrize("name", sorted(modelled()))
def test_a_script_is_one_atomic_step(name):
    text = (MODEL / "scripts.pml").read_text()
    body = re.search(rf"^inline script_{name}\([^)]*\) \{{\n(.*?)^\}}$", text, re.M | re.S)[1]
    assert re.fullmatch(r"  d_step \{\n.*\n  \}\n", body, re.S), "one d_step and nothing beside it"
    assert "promises()" in body, "the promises are looked at after it"


def test_every_fault_and_hole_of_the_model_is_run():
    text = "".join(path.read_text() for path in MODEL.glob("*.pml"))
    used = set(re.findall(r"^#if(?:n)?def ((?:FAULT|HOLE)_\w+)", text, re.M))
    run = set(re.findall(r'^    "((?:FAULT|HOLE)_\w+)":', (MODEL / "check.py").read_text(), re.M))
    assert used == run
    readme = (MODEL / "README.md").read_text()
    assert not {name for name in run if f"`{name}`" not in readme}
