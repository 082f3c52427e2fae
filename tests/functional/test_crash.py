"""The daemon killed, on a failing disk, without power: nothing is lost. scripts/crash does it at length."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from crash import ARCHIVE, PRUNED_BY_HAND, Killing, LogReader, finish, make_story
from crash_faults import LoadRuns, WalletRuns
from fault_library import CUT_CODE, Fault, FaultyDisk, build
from node_process import LIMIT, Daemon, run_to_end

KILLS = 10


@pytest.fixture(scope="module")
def library() -> Path:
    path = build()
    if path is None:
        pytest.skip("no C compiler (cc) to build tests/faults with")
    return path


@pytest.fixture
def seed() -> int:
    seed = int.from_bytes(os.urandom(4), "big")
    print("seed", seed)
    return seed


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Killing:
    folder = tmp_path_factory.mktemp("short")
    return Killing(folder, 0, print, make_story(folder, length=240, depth=10))


@pytest.fixture(scope="module")
def long(tmp_path_factory: pytest.TempPathFactory) -> Killing:
    """Long enough for blocks to be pruned."""
    folder = tmp_path_factory.mktemp("long")
    return Killing(folder, 0, print, make_story(folder, length=420, depth=20))


@pytest.mark.timeout(240)
def test_killed_at_random_instants(short: Killing, seed: int) -> None:
    short.rng.seed(seed)
    short.run(KILLS, (ARCHIVE,))
    print("\n".join(short.table()))


@pytest.mark.timeout(240)
def test_blocks_on_a_failing_disk(library: Path, seed: int, tmp_path: Path) -> None:
    runs = LoadRuns(library, tmp_path, print, (ARCHIVE,))
    for number in range(2):
        runs.run(seed + number)


@pytest.mark.timeout(240)
def test_a_wallet_on_a_failing_disk(library: Path, seed: int, tmp_path: Path) -> None:
    runs = WalletRuns(library, tmp_path, print)
    for number in range(2):
        runs.run(seed + number)


def test_power_cut_behind_an_answer(library: Path, tmp_path: Path) -> None:
    """All that was not synced is gone, and with a new folder that was not synced all that is in it."""
    runs = WalletRuns(library, tmp_path, print)
    runs.run(0, fault=Fault("power", keep=0), steps=8)


def test_power_cut_behind_pruning(library: Path, long: Killing, tmp_path: Path) -> None:
    """Coins and indexes stand for blocks behind the pruned ones, whatever the disk had not written."""
    expected, story, folder = long.undisturbed(PRUNED_BY_HAND), long.story, tmp_path / "node"
    with Daemon(folder, "-prune=1", "-fastprune", *story.options) as node:
        node.wait_ready().until("the last tip", lambda: node.call("getbestblockhash") == story.tip)
        node.stop_well()  # the indexes are made by the next, in few large steps
    with (
        FaultyDisk(library, folder, Fault("power", keep=0)) as disk,
        Daemon(folder, *PRUNED_BY_HAND.options, *story.options, env=disk.env) as node,
    ):
        node.wait_ready().until("the last tip", lambda: node.call("getbestblockhash") == story.tip)
        node.until("the indexes", lambda: all(i["synced"] for i in node.call("getindexinfo").values()))
        assert node.call("pruneblockchain", 150) > 0
        disk.cut()
        assert node.process.wait(LIMIT) == CUT_CODE
    with Daemon(folder, *PRUNED_BY_HAND.options) as node:
        assert finish(node, story, PRUNED_BY_HAND) == expected


# -reindex


@pytest.fixture(scope="module")
def loaded(short: Killing) -> Iterator[Path]:
    """A data directory that holds the whole story."""
    short.undisturbed(ARCHIVE)
    yield short.folder / "undisturbed-archive"


@pytest.mark.timeout(240)
@pytest.mark.parametrize("option", ["-reindex", "-reindex-chainstate"])
def test_reindex_killed(short: Killing, loaded: Path, seed: int, option: str) -> None:
    """It goes on at the next start, whether or not that one says -reindex."""
    rng = random.Random(seed)
    folder = loaded
    for number in range(3):
        options = [option] if number == 0 or rng.random() < 0.3 else []
        log = LogReader(folder / "regtest" / "debug.log")
        with Daemon(folder, *ARCHIVE.options, *options) as node:
            node.until("the start", lambda log=log: "Loading block index" in log.read())  # type: ignore[misc]
            time.sleep(rng.uniform(0, 0.8))
            node.kill()
            assert node.stderr == ""
    with Daemon(folder, *ARCHIVE.options) as node:
        assert finish(node, short.story, ARCHIVE) == short.undisturbed(ARCHIVE)


@pytest.mark.timeout(240)
def test_reindex_of_a_pruned_node(long: Killing) -> None:
    """Needed where the coins are gone. What pruning left cannot be connected: all is fetched anew."""
    expected = long.undisturbed(PRUNED_BY_HAND)
    folder = long.folder / "undisturbed-pruned by hand"
    with Daemon(folder, *PRUNED_BY_HAND.options) as node:
        assert node.wait_ready().call("pruneblockchain", 150) > 0
        node.stop_well()
    (folder / "regtest" / "chainstate" / "chainstate.sqlite").unlink()
    code, told = run_to_end(folder, *PRUNED_BY_HAND.options)
    assert code == 1 and told == (
        "Error: The coins are missing, and the blocks to make them from are pruned. Restart with -reindex: "
        "all blocks are fetched anew.\n"
    )
    with Daemon(folder, *PRUNED_BY_HAND.options, "-reindex") as node:
        assert node.wait_ready().call("getblockcount") == 0
        node.until("the files to go", lambda: len(list((node.net_dir / "blocks").glob("blk*.sqlite"))) <= 1)
        node.stop_well()
    with Daemon(folder, *PRUNED_BY_HAND.options, *long.story.options) as node:
        assert finish(node, long.story, PRUNED_BY_HAND) == expected
