"""A node killed while it loads a snapshot, and while it validates it, comes back to the same coins."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
from snapshot_chain import utxo_hash_at

import pybitcoind.chain

TESTS = Path(__file__).resolve().parent.parent
HASH_230 = utxo_hash_at(230)
KILLS = 10
WRITES = 600
"""Of a child that is not killed, about; its last ones are those that count most."""


def start(folder: Path, write: int = 0) -> subprocess.Popen[str]:
    packages = str(Path(next(iter(pybitcoind.chain.__path__))).parent.parent)
    env = os.environ | {"PYTHONPATH": os.pathsep.join((packages, str(TESTS)))}
    return subprocess.Popen(
        [sys.executable, str(TESTS / "snapshot_child.py"), str(folder), str(write)],
        env=env,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(child: subprocess.Popen[str]) -> list[str]:
    """Its stages; it may have been killed, but not have failed."""
    out, err = child.communicate(timeout=60)
    assert child.returncode in (0, -9), err
    return out.splitlines()


@pytest.mark.parametrize("by", ["write", "time"])
def test_killed_at_random_instants(tmp_path: Path, by: str) -> None:
    """Until it is done in one folder, then in the next; at a write to a database, or at any moment."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    folder, validated, stages = tmp_path / "0", 0, set()
    for n in range(KILLS):
        if by == "write":
            lines = finish(start(folder, rng.randrange(1, WRITES)))
        else:
            child = start(folder)
            assert child.stdout is not None
            first = child.stdout.readline()
            time.sleep(rng.uniform(0, 0.5))
            child.kill()
            lines = [first.strip(), *finish(child)]
        if not lines:
            continue  # it was killed before it had opened its databases
        stages |= {line.split()[0] for line in lines}
        _, tip, below = lines[0].split()
        # What is behind a snapshot that is in use never comes to less.
        assert int(tip) >= 200 or int(tip) <= 20, lines
        assert int(below) >= validated or int(tip) < 200, lines
        validated = int(below) if int(tip) >= 200 else 0
        if lines[-1].startswith("done"):
            assert lines[-1].split()[1:3] == ["230", HASH_230.hex()]
            folder, validated = tmp_path / str(n + 1), 0
    print("stages", sorted(stages))
    for _ in range(2):  # the second start makes one chainstate of two
        lines = finish(start(folder))
        assert lines[-1].split()[1:3] == ["230", HASH_230.hex()], lines
    assert lines[-1].endswith("False") and not list(folder.glob("chainstate_*"))


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_killed_at_many_writes(tmp_path: Path) -> None:
    """Each in a new folder; killed again at the second start, where two chainstates may become one."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    write = kills = 0
    while True:
        write += rng.randrange(1, 12)
        folder = tmp_path / str(write)
        lines = finish(start(folder, write))
        if lines and lines[-1].startswith("done"):
            break
        finish(start(folder, rng.randrange(1, 20)))
        lines = finish(start(folder))
        assert lines[-1].split()[1:3] == ["230", HASH_230.hex()], (write, lines)
        kills += 2
    print("writes", write, "kills", kills)
    assert kills > 50
