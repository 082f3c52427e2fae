"""scanblocks and getdescriptoractivity of a running node: what is found, a scan that is given up."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from node_process import Daemon, running

from pybitcoind.node.localnet.client import RpcClient

MINED = "bcrt1q6rhpng9evdsfnn833a4f4vej0asu6dk5srld6x"
KEY = (
    "tpubD6NzVbkrYhZ4WaWSyoBvQwbpLkojyoTZPRsgXELWz3Popb3qkjcJyJUGLnL4q"
    "HHoQvao8ESaAstxYSnhyswJ76uZPStJRJCTKvosUCJZL5B"
)
PAID = "addr(bcrt1qjqmxmkpmxt80xz4y3746zgt0q3u3ferr34acd5)"


def synced(daemon: Daemon) -> Any:
    return daemon.call("getindexinfo", "basic block filter index")["basic block filter index"]["synced"]


def test_payments_are_found(tmp_path: Path) -> None:
    with running(tmp_path / "node", "-blockfilterindex", "-fallbackfee=0.0001", "-rpcdoccheck") as daemon:
        daemon.call("createwallet", "w")
        own = daemon.call("getnewaddress")
        daemon.call("generatetoaddress", 1, own)
        daemon.call("generatetoaddress", 100, MINED)
        paid = daemon.call("sendtoaddress", PAID[5:-1], 7)
        (block,) = daemon.call("generatetoaddress", 1, MINED)
        daemon.until("the index", lambda: synced(daemon))
        exact = {"filter_false_positives": True}
        found = daemon.call("scanblocks", "start", [PAID], 0, 102, "basic", exact)
        assert found == {
            "from_height": 0,
            "to_height": 102,
            "relevant_blocks": [block],
            "completed": True,
        }
        scripts = [PAID, f"addr({own})"]
        first = daemon.call("getblockhash", 1)
        both = daemon.call("scanblocks", "start", scripts, 0, 102, "basic", exact)["relevant_blocks"]
        assert both == [first, block]
        later = daemon.call("sendtoaddress", PAID[5:-1], 1)
        mined, spent, received, waiting = daemon.call("getdescriptoractivity", [block, first], scripts)[
            "activity"
        ]
        assert (mined["type"], mined["height"], mined["amount"]) == ("receive", 1, 50)
        assert (spent["type"], spent["spend_txid"], spent["prevout_txid"]) == ("spend", paid, mined["txid"])
        assert (received["type"], received["txid"], received["height"]) == ("receive", paid, 102)
        assert (waiting["txid"], "height" in waiting, waiting["amount"]) == (later, False, 1)
        assert len(daemon.call("getdescriptoractivity", [block, first], scripts, False)["activity"]) == 3
        assert daemon.call("scanblocks", "status") is None and daemon.call("scanblocks", "abort") is False


def test_a_scan_is_given_up(tmp_path: Path) -> None:
    """Many scripts to look for take long; another scan is refused meanwhile."""
    with running(tmp_path / "node", "-blockfilterindex") as daemon:
        daemon.call("generatetoaddress", 3, MINED)
        daemon.until("the index", lambda: synced(daemon))
        scan = ("scanblocks", "start", [{"desc": f"wpkh({KEY}/*)", "range": 2_000}])
        client = RpcClient(daemon.ports["rpc"], daemon.net_dir / ".cookie")
        answers: list[Any] = []
        asking = threading.Thread(target=lambda: answers.append(client.call(*scan)))
        asking.start()
        daemon.until("the scan", lambda: daemon.call("scanblocks", "status"))
        assert daemon.failure(*scan) == (-8, 'Scan already in progress, use action "abort" or "status"')
        assert daemon.call("scanblocks", "abort") is True
        asking.join(60)
        client.close()
        assert answers == [{"from_height": 0, "to_height": 0, "relevant_blocks": [], "completed": False}]
