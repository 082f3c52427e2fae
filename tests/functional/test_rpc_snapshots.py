"""dumptxoutset, loadtxoutset and getchainstates of the daemon, and a stop while they are at work."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from block_files import write_blocks
from node_process import Daemon, RpcFailure, running
from snapshot_chain import BASE_HASH, BASE_HEIGHT, UTXO_HASH, snapshot_chain, snapshot_file

CHAIN = snapshot_chain(230)


def give_headers(daemon: Daemon) -> None:
    for block in CHAIN:
        daemon.call("submitheader", block.header.raw.hex())


def test_dump_and_load(tmp_path: Path) -> None:
    file = write_blocks(tmp_path / "blocks.dat", CHAIN)
    with running(tmp_path / "first", f"-loadblock={file}") as daemon:
        daemon.until("the blocks", lambda: daemon.call("getblockcount") == 230)
        for n, options in enumerate(({"rollback": BASE_HEIGHT}, {"rollback": BASE_HASH, "in_memory": True})):
            dump = daemon.call("dumptxoutset", f"{n}.dat", **options)
            path = daemon.net_dir / f"{n}.dat"
            assert dump == {
                "coins_written": BASE_HEIGHT,
                "base_hash": BASE_HASH,
                "base_height": BASE_HEIGHT,
                "path": str(path),
                "txoutset_hash": UTXO_HASH,
                "nchaintx": BASE_HEIGHT + 1,
            }
            assert path.read_bytes() == snapshot_file()
        code, text = daemon.failure("dumptxoutset", "0.dat", "latest")
        assert code == -8 and "0.dat already exists. If you are sure this is what you want" in text
        assert not list(daemon.net_dir.glob("temp_utxo*")) and not list(daemon.net_dir.glob("*.incomplete"))
        latest = daemon.call("dumptxoutset", "latest.dat", "latest")
        assert latest["txoutset_hash"] == daemon.call("gettxoutsetinfo")["hash_serialized_3"]
        (state,) = daemon.call("getchainstates")["chainstates"]
        assert (state["blocks"], state["validated"], "snapshot_blockhash" in state) == (230, True, False)
    with running(tmp_path / "second", "-dbcache=100") as daemon:
        code, text = daemon.failure("loadtxoutset", str(path))
        assert code == -32603 and text.startswith("Unable to load UTXO snapshot: The base block header (")
        give_headers(daemon)
        assert daemon.call("loadtxoutset", str(path))["coins_loaded"] == BASE_HEIGHT
        below, above = daemon.call("getchainstates")["chainstates"]
        assert (below["blocks"], above["blocks"]) == (0, BASE_HEIGHT)
        assert (below["validated"], above["validated"]) == (True, False)
        assert above["snapshot_blockhash"] == BASE_HASH
        assert below["coins_tip_cache_bytes"] + above["coins_tip_cache_bytes"] == 100 << 20
        assert daemon.call("getblockchaininfo")["backgroundvalidation"]["snapshotheight"] == BASE_HEIGHT
        assert "NETWORK" not in daemon.call("getnetworkinfo")["localservicesnames"]
    with running(tmp_path / "second", f"-loadblock={file}", "-blockfilterindex=1") as daemon:
        daemon.until("validation", lambda: len(daemon.call("getchainstates")["chainstates"]) == 1)
        daemon.until("the tip", lambda: daemon.call("getblockcount") == 230)
        daemon.until(
            "the index",
            lambda: daemon.call("getindexinfo")["basic block filter index"]["best_block_height"] == 230,
        )
        assert "NETWORK" in daemon.call("getnetworkinfo")["localservicesnames"]
    with running(tmp_path / "second") as daemon:
        assert "cleaning up unneeded background chainstate" in daemon.log
        assert not (daemon.net_dir / "chainstate_snapshot").exists()
        assert daemon.call("gettxoutsetinfo")["hash_serialized_3"] == latest["txoutset_hash"]
        assert daemon.call("verifychain", 4, 0)


def test_a_named_pipe(tmp_path: Path) -> None:
    """Written into while somebody reads; a stop ends the wait for who would."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with running(tmp_path / "node") as daemon:
        for block in CHAIN[:BASE_HEIGHT]:
            daemon.call("submitblock", block.raw.hex())
        read: list[bytes] = []
        reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
        reader.start()
        assert daemon.call("dumptxoutset", str(pipe), "latest")["coins_written"] == BASE_HEIGHT
        reader.join()
        assert read == [snapshot_file()] and pipe.is_fifo()
        failures: list[BaseException] = []

        def ask() -> None:
            try:
                daemon.call("dumptxoutset", str(pipe), "latest")
            except Exception as error:  # it ends with the node
                failures.append(error)

        asking = threading.Thread(target=ask)
        asking.start()
        time.sleep(0.2)
        daemon.process.terminate()
        started = time.monotonic()
        assert daemon.process.wait(20) == 0
        assert time.monotonic() - started < 2
        asking.join()
        assert failures and isinstance(failures[0], (RpcFailure, Exception))
