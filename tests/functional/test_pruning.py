"""A pruned node: its files go from the disk, as far as its indexes and the last blocks allow."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from node_process import Daemon, run_to_end, running

MARGIN = 288
"""Blocks below the tip that stay."""
COUNT = 800
ADDRESS = "bcrt1q6rhpng9evdsfnn833a4f4vej0asu6dk5srld6x"


def files(datadir: Path) -> dict[str, int]:
    folder = datadir / "regtest" / "blocks"
    return {path.name: path.stat().st_size for path in folder.glob("blk*.sqlite")}


def grow(daemon: Daemon, count: int) -> None:
    for start in range(0, count, 100):
        daemon.call("generatetoaddress", min(100, count - start), ADDRESS)


def all_synced(daemon: Daemon) -> bool:
    return all(index["synced"] for index in daemon.call("getindexinfo").values())


def prune_height(daemon: Daemon) -> Any:
    return daemon.call("getblockchaininfo")["pruneheight"]


def test_by_hand_with_an_index_and_a_wallet_behind(tmp_path: Path) -> None:
    datadir, index = tmp_path / "node", ("-scriptindex", "-coinstatsindex", "-blockfilterindex")
    with running(datadir, "-prune=1", "-fastprune") as daemon:
        daemon.call("createwallet", "w")
        daemon.call("getnewaddress")
        grow(daemon, 20)
        daemon.call("unloadwallet", "w")
        grow(daemon, COUNT - 20)
        assert daemon.call("getblockchaininfo")["size_on_disk"] > 0 and prune_height(daemon) == 0
    before = files(datadir)
    assert len(before) > 3
    with running(datadir, "-prune=1", "-fastprune", *index) as daemon:
        # indexes that have not come that far hold it back
        daemon.until("the indexes", lambda: all_synced(daemon))
        size = daemon.call("getblockchaininfo")["size_on_disk"]
        last = daemon.call("pruneblockchain", COUNT)
        info = daemon.call("getblockchaininfo")
        assert 0 < last < COUNT - MARGIN and info["pruneheight"] == last + 1 and info["pruned"]
        assert info["size_on_disk"] < size
        gone = before.keys() - files(datadir).keys()
        assert gone and min(gone) == "blk00000.sqlite"
        kept = daemon.call("getblockhash", COUNT - MARGIN)
        assert daemon.call("getblock", kept)["hash"] == kept
        assert (
            daemon.failure("getblock", daemon.call("getblockhash", 1))[1]
            == "Block not available (pruned data)"
        )
        assert daemon.call("getscripthistory", ADDRESS, 0, 1, "oldest")["history"][0]["height"] == 1
        code, message = daemon.failure("loadwallet", "w")
        assert code == -4 and message.startswith(
            "Prune: last wallet synchronisation goes beyond pruned data."
        )
        # a reorganisation as deep as what was kept
        fork = daemon.call("getblockhash", COUNT - 250)
        daemon.call("invalidateblock", fork)
        assert daemon.call("getblockcount") == COUNT - 251
        daemon.call("reconsiderblock", fork)
        assert daemon.call("getblockcount") == COUNT
    code, error = run_to_end(datadir, "-prune=1", "-fastprune", "-wallet=w")
    assert code == 1 and "goes beyond pruned data" in error
    shutil.rmtree(datadir / "regtest" / "indexes")
    code, error = run_to_end(datadir, "-prune=1", "-fastprune", "-scriptindex")
    assert code == 1 and error.startswith(
        "Error: scriptindex best block of the index goes beyond pruned data."
    )


def test_automatically(tmp_path: Path) -> None:
    """-fastprune lets the target be small; the files on the disk come below it and the node goes on."""
    datadir = tmp_path / "node"
    with running(datadir, "-prune=2", "-fastprune", "-coinstatsindex") as daemon:
        grow(daemon, COUNT)
        first = datadir / "regtest" / "blocks" / "blk00000.sqlite"
        daemon.until("the first file gone", lambda: not first.exists())
        info = daemon.call("getblockchaininfo")
        assert info["automatic_pruning"] and info["prune_target_size"] == 2 << 20
        assert 0 < info["pruneheight"] <= COUNT - MARGIN
        tip = daemon.call("getbestblockhash")
    with running(datadir, "-prune=2", "-fastprune", "-coinstatsindex") as daemon:
        assert daemon.call("getbestblockhash") == tip
        assert daemon.call("gettxoutsetinfo")["height"] == COUNT
    code, told = run_to_end(datadir, "-fastprune")
    assert code == 1 and told == (
        "You need to rebuild the database using -reindex to go back to unpruned mode.  This will redownload "
        "the entire blockchain.\nPlease restart with -reindex or -reindex-chainstate to recover.\n"
    ), "Core's words"
