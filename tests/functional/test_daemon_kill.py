"""The daemon, killed at random instants while it loads, connects, reorganises, flushes and stops.

It always starts again, and ends with the same tip and the same coins as a daemon that nobody disturbed.
"""

from __future__ import annotations

import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from block_files import empty_branch, read_blocks, write_blocks
from crash import send
from node_process import Daemon, running

from pybitcoind.chain.primitives.block import Block
from pybitcoind.chain.primitives.hashes import hash_hex

KILLS = 10
LOAD_LIMIT = 150.0
"""Real seconds, for broken code only: 6 s alone on two cores, many times as much beside other work."""
INDEXES = ("-txindex", "-blockfilterindex")
FORK = 195
"""Height of the last common block: 25 blocks full of spends come off, and on again."""


@dataclass
class Story:
    """Three files of blocks, each of which makes the chain reorganise, and where that leads."""

    files: list[Path]
    tip: str
    branch_point: str
    """The first block of the main chain that the branch does not have."""

    @property
    def options(self) -> list[str]:
        return [f"-loadblock={path}" for path in self.files]


@pytest.fixture(scope="module")
def story(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("blocks")
    chain = shared / "data" / "regtest-signatures.dat"
    blocks = [Block.decode(raw) for raw in read_blocks(chain)]
    if blocks[0].header.prev_hash == bytes(32):
        del blocks[0]
    fork, top = blocks[FORK - 1].header, blocks[-1].header
    away = empty_branch(fork, FORK, len(blocks) - FORK + 5, salt=1)
    back = empty_branch(top, len(blocks), 10, salt=2)
    files = [chain, write_blocks(folder / "away.dat", away), write_blocks(folder / "back.dat", back)]
    return Story(files, hash_hex(back[-1].hash), hash_hex(blocks[FORK].hash))


@pytest.fixture(scope="module")
def undisturbed(story: Story, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, ...]:
    """Of a node that does not even see the branch away from the chain."""
    straight = [f"-loadblock={story.files[0]}", f"-loadblock={story.files[-1]}"]
    with running(tmp_path_factory.mktemp("undisturbed"), *INDEXES, *straight) as node:
        return finish(node, story)


def finish(node: Daemon, story: Story) -> tuple[str, ...]:
    """Waits for the tip; both hashes of the UTXO set, and the filter header, which stands for all filters."""
    node.until("the last tip", lambda: node.call("getbestblockhash") == story.tip, limit=LOAD_LIMIT)
    digest: dict[str, Any] = node.call("gettxoutsetinfo", "hash_serialized_3")
    assert digest["bestblock"] == story.tip
    muhash = node.call("gettxoutsetinfo", "muhash")["muhash"]
    node.until("the indexes", lambda: all(i["synced"] for i in node.call("getindexinfo").values()))
    filter_header = node.call("getblockfilter", story.tip)["header"]
    return digest["hash_serialized_3"], muhash, filter_header


@pytest.mark.timeout(300)
def test_killed_at_random_instants(story: Story, undisturbed: tuple[str, ...], tmp_path: Path) -> None:
    """With this large cache coins are written at the end only; test_crash.py has a small one."""
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    rng = random.Random(seed)
    ways = [_while_it_loads, _while_it_reorganises, _while_it_stops]
    for number in range(KILLS):
        with Daemon(tmp_path, *INDEXES, *story.options) as node:
            ways[number % 3](node, rng, story)
            assert node.stderr == ""
    with running(tmp_path, *INDEXES, *story.options) as node:
        for header in node.call("getchaintips"):
            if header["status"] == "invalid":
                node.call("reconsiderblock", header["hash"])
        assert finish(node, story) == undisturbed


def _while_it_loads(node: Daemon, rng: random.Random, story: Story) -> None:
    """From the start of the process on: some kills hit it before there is anything."""
    time.sleep(rng.uniform(0, 0.9))
    node.kill()


def _while_it_reorganises(node: Daemon, rng: random.Random, story: Story) -> None:
    """25 blocks off, or on."""
    node.wait_ready()
    method = rng.choice(("invalidateblock", "reconsiderblock"))
    send(node, method, story.branch_point)
    time.sleep(rng.uniform(0, 0.4))
    node.kill()


def _while_it_stops(node: Daemon, rng: random.Random, story: Story) -> None:
    node.wait_ready()
    time.sleep(rng.uniform(0, 0.5))
    node.process.send_signal(signal.SIGTERM)
    time.sleep(rng.uniform(0, 0.2))
    node.kill()
