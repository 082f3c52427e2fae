"""A block file that is not there any more: before the start, and while the node runs.

What is asked of our daemon is asked of Core's too, where BITCOIND names it: it answers alike.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

import pytest
from both_nodes import BOTH
from core_process import CoreDaemon
from node_process import Daemon, RpcFailure, running

ADDRESS = "bcrt1qw508d6qejxtdg4y5r3zarvary0c5xw7kygt080"
NOW = 1_700_000_000
OPTIONS = ("-fastprune", f"-mocktime={NOW}")
"""Block files of 64 KiB: some 250 blocks."""
HEIGHT = 600
RECOVER = "Error loading block database.\nPlease restart with -reindex or -reindex-chainstate to recover.\n"
IN_SECOND_FILE = 380
NOT_ON_DISK = (-1, "Block not found on disk")


@pytest.fixture(params=BOTH, scope="module")
def kind(request: pytest.FixtureRequest) -> type[Daemon]:
    if request.param == "core" and not os.environ.get("BITCOIND"):
        pytest.skip("BITCOIND does not name Bitcoin Core's daemon")
    return CoreDaemon if request.param == "core" else Daemon


@pytest.fixture(scope="module")
def whole(kind: type[Daemon], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with three block files."""
    folder = tmp_path_factory.mktemp("whole") / "node"
    with kind(folder, *OPTIONS) as node:
        node.wait_ready()
        for _ in range(HEIGHT // 100):
            node.call("generatetoaddress", 100, ADDRESS)
        node.stop_well()
    return folder


@pytest.fixture
def folder(whole: Path, tmp_path: Path) -> Path:
    shutil.copytree(whole, tmp_path / "node")
    return tmp_path / "node"


def lose(folder: Path, number: int) -> None:
    """Deletes a block file and what goes with it."""
    lost = list((folder / "regtest/blocks").glob(f"blk{number:05}.*"))
    assert lost, "there are fewer files than thought"
    for path in lost:
        path.unlink()


@pytest.mark.parametrize("number", [0, 1, 2])
def test_at_the_start(kind: type[Daemon], folder: Path, number: int) -> None:
    lose(folder, number)
    with kind(folder, *OPTIONS) as node:
        assert node.process.wait(30) == 1
        assert node.stderr == RECOVER
        assert "Checking all blk files are present..." in node.log
        assert f"blk{number:05}" in node.log, "the log does not say which"


def test_reindex_goes_as_far_as_blocks_are_left(folder: Path, kind: type[Daemon]) -> None:
    lose(folder, 1)
    with kind(folder, *OPTIONS, "-reindex") as node:
        node.wait_ready()
        node.wait_for_log("Reindexing finished")
        node.until("the tip", lambda: 200 < node.call("getblockcount") < IN_SECOND_FILE)
        node.call("generatetoaddress", 1, ADDRESS)
        node.stop_well()


def test_while_the_node_runs(kind: type[Daemon], folder: Path) -> None:
    """What only shows blocks says that it cannot; all else goes on."""
    with kind(folder, *OPTIONS) as node:
        node.wait_ready()
        lost, there = (node.call("getblockhash", height) for height in (IN_SECOND_FILE, 20))
        coinbase = node.call("getblock", lost)["tx"][0]
        lose(folder, 1)
        for verbosity in range(4):
            assert node.failure("getblock", lost, verbosity) == NOT_ON_DISK
        assert node.failure("getblockstats", lost) == NOT_ON_DISK
        assert node.failure("gettxoutproof", [coinbase], lost) == (-32603, "Can't read block from disk")
        assert node.failure("getrawtransaction", coinbase, 1, lost) == (
            -5,
            "No such transaction found in the provided block. Use gettransaction for wallet transactions.",
        )
        assert node.call("verifychain", 0, 10) is True
        assert node.call("verifychain", 4, 500) is False
        assert node.call("getblockheader", lost)["height"] == IN_SECOND_FILE
        assert node.call("getblock", there)["height"] == 20
        assert len(node.call("generatetoaddress", 1, ADDRESS)) == 1
        assert node.stderr == ""
        node.stop_well()
    with kind(folder, *OPTIONS) as node:
        assert (node.process.wait(30), node.stderr) == (1, RECOVER)


def test_a_damaged_row_is_like_a_missing_block(tmp_path: Path) -> None:
    with running(tmp_path, *OPTIONS) as node:
        hashes = node.call("generatetoaddress", 20, ADDRESS)
    with closing(sqlite3.connect(tmp_path / "regtest/blocks/blk00000.sqlite")) as conn:
        body = bytearray(conn.execute("SELECT body FROM bodies WHERE height=5").fetchone()[0])
        body[40] ^= 1
        conn.execute("UPDATE bodies SET body=? WHERE height=5", (bytes(body),))
        conn.execute("DELETE FROM undo WHERE id=(SELECT id FROM bodies WHERE height=7)")
        conn.commit()
    with running(tmp_path, *OPTIONS) as node:
        assert node.failure("getblock", hashes[4]) == NOT_ON_DISK
        assert node.call("getblock", hashes[6])["height"] == 7
        assert node.failure("getblock", hashes[6], 2)[0] == -32603
        assert node.failure("getblockstats", hashes[6]) == (-1, "Can't read undo data from disk")
        assert "blk00000.sqlite is damaged" in node.log


@pytest.mark.parametrize("kind", ["pybitcoind"], indirect=True)
def test_what_the_chain_needs_stops_the_node(folder: Path) -> None:
    """Here our node is stricter: Core stays where the block is missing, and connects no more blocks."""
    with Daemon(folder, *OPTIONS) as node:
        node.wait_ready()
        lost = node.call("getblockhash", IN_SECOND_FILE)
        lose(folder, 1)
        assert node.failure("invalidateblock", lost)[0] in (-9, -20)
        assert node.process.wait(30) == 1
        assert "blocks/blk00001.sqlite is missing. Restart with -reindex" in node.stderr
        assert node.stderr.count("\n") == 1


def test_the_file_that_is_written_to(tmp_path: Path) -> None:
    """It is not made anew without what was in it: the node stops, and what it has promised is not lost."""
    with running(tmp_path, *OPTIONS) as node:
        node.call("generatetoaddress", 20, ADDRESS)
    path = tmp_path / "regtest/blocks/blk00000.sqlite"
    saved = {part: part.read_bytes() for part in path.parent.glob("blk00000.*")}
    with Daemon(tmp_path, *OPTIONS) as node:
        node.wait_ready()
        lose(tmp_path, 0)
        with suppress(RpcFailure):  # it may be stopping before it has answered
            node.call("generatetoaddress", 1, ADDRESS)
        assert node.process.wait(30) == 1
        assert "blocks/blk00000.sqlite is missing." in node.stderr
        assert not path.exists()
    with Daemon(tmp_path, *OPTIONS) as node:
        assert (node.process.wait(30), node.stderr) == (1, RECOVER)
    for part, data in saved.items():
        part.write_bytes(data)
    with running(tmp_path, *OPTIONS) as node:
        assert node.call("getblockcount") == 20
