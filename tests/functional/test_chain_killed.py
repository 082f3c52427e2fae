"""A node killed at random instants, again and again, ends with the same chain and the same coins."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import pybitcoind.chain
from pybitcoind.chain.primitives.hashes import hash_from_hex

TESTS = Path(__file__).resolve().parent.parent
TIP = "10b98c99e27acb82d318194371a7657844a469ed5629efff515b7ab591081399"
HASH_SERIALIZED = "14590a6bbe29271542ee2aecf633854fbd6ff73baa4d5047bc724818c06056b5"


def start(folder: Path, file: Path, cache: int) -> subprocess.Popen[str]:
    packages = str(Path(next(iter(pybitcoind.chain.__path__))).parent.parent)
    env = os.environ | {"PYTHONPATH": os.pathsep.join((packages, str(TESTS)))}
    return subprocess.Popen(
        [sys.executable, str(TESTS / "chain_child.py"), str(folder), str(file), str(cache)],
        env=env,
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.mark.parametrize("cache", [1 << 20, pytest.param(1 << 28, marks=pytest.mark.slow)])
def test_killed_at_random_instants(shared: Path, tmp_path: Path, cache: int) -> None:
    """The small cache is written every few blocks, the large one hardly ever, as in test_daemon_kill.py."""
    file = shared / "data" / "regtest-signatures.dat"
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    heights = []
    for _ in range(10):
        child = start(tmp_path, file, cache)
        assert child.stdout is not None
        with child.stdout:
            heights.append(int(child.stdout.readline().split()[1]))
            time.sleep(rng.uniform(0, 0.8))
            child.kill()
            child.wait()
    assert heights == sorted(heights), "a node came back with less than it had"
    child = start(tmp_path, file, cache)
    out, _ = child.communicate(timeout=60)
    assert child.returncode == 0
    _, tip, digest, txouts = out.splitlines()[-1].split()
    assert bytes.fromhex(tip) == hash_from_hex(TIP)
    assert bytes.fromhex(digest) == hash_from_hex(HASH_SERIALIZED)
    assert int(txouts) == 20180
