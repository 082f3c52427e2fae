"""-loadblock with -assumevalid, where only a file tells of the assumed block: which scripts are run.

Core reads all files before it connects a block, so it knows; we connect while we read. BITCOIND asks it.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest
from block_files import empty_branch, write_blocks
from both_nodes import BOTH, daemon
from invalid_transactions import INVALID_TRANSACTIONS
from scene import make_scene

from pybitcoind.chain.primitives.hashes import hash_hex

LENGTH = 112
WEEKS_2 = 2016
"""Blocks that regtest's spacing of ten minutes makes of two weeks."""


class Files(NamedTuple):
    """A chain in two files. bad: height and hash of a block whose script fails; assumed: one above it."""

    first: Path
    second: Path
    bad: int
    bad_hash: str
    assumed: str
    tip: int
    now: int


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Files:
    folder = tmp_path_factory.mktemp("files")
    scene = make_scene(LENGTH)
    (template,) = (t for t in INVALID_TRANSACTIONS if t.name == "script: verify")
    bad = scene.block(template.build(scene))
    above = empty_branch(bad.header, LENGTH + 1, WEEKS_2 + 60)
    first = write_blocks(folder / "first.dat", [*scene.blocks, bad, *above[:300]])
    second = write_blocks(folder / "second.dat", above[300:])
    bad_hash, assumed = hash_hex(bad.hash), hash_hex(above[310].hash)
    height = LENGTH + 1 + len(above)
    return Files(first, second, LENGTH + 1, bad_hash, assumed, height, above[-1].header.time)


def load(program: str, folder: Path, files: Files, *options: str) -> tuple[int, list[str]]:
    """Height of the tip once all blocks of both files are connected, and what became of the tips."""
    both = (f"-loadblock={files.first}", f"-loadblock={files.second}", f"-mocktime={files.now}")
    # Core's check of itself cannot stand blocks that come before the genesis block is connected.
    with daemon(program, folder, *both, *options, "-checkblockindex=0") as node:
        node.until("the import", lambda: node.log.count(" blocks from external file in ") == 2)
        node.until("the mempool, which is loaded last", lambda: node.call("getmempoolinfo")["loaded"])
        return node.call("getblockcount"), [tip["status"] for tip in node.call("getchaintips")]


@pytest.mark.parametrize("program", BOTH)
def test_assumed_block_in_the_second_file(program: str, files: Files, tmp_path: Path) -> None:
    found = load(program, tmp_path / "node", files, f"-assumevalid={files.assumed}")
    assert found == (files.tip, ["active"])


@pytest.mark.parametrize("program", BOTH)
@pytest.mark.parametrize("option", ["-assumevalid=0", f"-assumevalid={'12' * 32}"])
def test_nothing_to_assume(program: str, option: str, files: Files, tmp_path: Path) -> None:
    height, tips = load(program, tmp_path / "node", files, option)
    assert (height, tips) == (files.bad - 1, ["invalid", "active"])


@pytest.mark.parametrize("program", BOTH)
def test_pruning_connects_block_by_block(program: str, files: Files, tmp_path: Path) -> None:
    """There no header is known before its block, with Core neither."""
    found = load(program, tmp_path / "node", files, f"-assumevalid={files.assumed}", "-prune=1")
    assert found[0] == files.bad - 1
