"""-walletnotify: run for what comes in, for what is confirmed, and for what a rescan finds."""

from __future__ import annotations

from pathlib import Path

from node_process import running

ADDRESS = "bcrt1q6rhpng9evdsfnn833a4f4vej0asu6dk5srld6x"


def test_a_command_for_each_transaction(tmp_path: Path) -> None:
    folder = tmp_path / "told"
    folder.mkdir()
    name = "it's $HOME;"
    command = f"-walletnotify=echo %h_%b > {folder}/%w_%s"
    with running(tmp_path / "node", command, "-fallbackfee=0.0001") as daemon:

        def told(txid: str, expected: str) -> None:
            path = folder / f"{name}_{txid}"
            daemon.until(
                f"{expected} for {txid}", lambda: path.is_file() and path.read_text() == f"{expected}\n"
            )

        daemon.call("createwallet", name)
        own = daemon.call("getnewaddress")
        blocks = daemon.call("generatetoaddress", 101, own)
        first = daemon.call("getblock", blocks[0])["tx"][0]
        told(first, f"1_{blocks[0]}")
        daemon.until("all of them", lambda: len(list(folder.iterdir())) == 101)
        paid = daemon.call("sendtoaddress", ADDRESS, 1)
        told(paid, "-1_unconfirmed")
        (block,) = daemon.call("generatetoaddress", 1, ADDRESS)
        told(paid, f"102_{block}")
        for path in folder.iterdir():
            path.unlink()
        daemon.call("rescanblockchain")
        told(paid, f"102_{block}")
        daemon.until("all of them", lambda: len(list(folder.iterdir())) == 102)
        daemon.stop_well()
