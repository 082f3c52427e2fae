"""scripts/oracle: counts what it compared, and judges again what it wrote down."""

from __future__ import annotations

import importlib.util
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from oracle import court, judge
from oracle.spends import make_spend
from oracle.trees import make_tree

TESTS = Path(__file__).resolve().parents[1]

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pbk") is None, reason="py-bitcoinkernel is not installed"
)


def oracle(folder: Path, *arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, "-m", "oracle", *arguments],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_commands(tmp_path: Path) -> None:
    assert "30 spends (5 to 35 of seed x), 64 sets of flags each: 0 differences" in oracle(
        tmp_path, "scripts", "30", "--first", "5", "--seed", "x"
    )
    assert "different verdicts: 0 differences" in oracle(tmp_path, "blocks", "15", "--size", "15")
    assert "50 transactions of seed oracle: 0 differences" in oracle(tmp_path, "bytes", "50")
    assert list(tmp_path.iterdir()) == []


def test_replay(tmp_path: Path) -> None:
    rng = random.Random(1)
    lines = [judge.reproduction("a spend", make_spend(rng)), court.reproduction("a tree", make_tree(rng, 10))]
    file = tmp_path / "differences.jsonl"
    file.write_text("".join(lines))
    assert oracle(tmp_path, "replay", str(file)).split("\n") == [
        "a spend",
        "  now: no difference",
        "a tree",
        "  now: no difference",
        "",
    ]
