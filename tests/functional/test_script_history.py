"""getscripthistory of a running node: pages, spends, a reorganisation, its errors, and a damaged index."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from node_process import Daemon, running

ADDRESS = "bcrt1q6rhpng9evdsfnn833a4f4vej0asu6dk5srld6x"
OTHER = "bcrt1qjqmxmkpmxt80xz4y3746zgt0q3u3ferr34acd5"


def synced(daemon: Daemon) -> Any:
    return daemon.call("getindexinfo", "scriptindex")["scriptindex"]["synced"]


def history(daemon: Daemon, script: str, *args: Any) -> Any:
    daemon.until("the index", lambda: synced(daemon))
    return daemon.call("getscripthistory", script, *args)


def test_history_of_a_script(tmp_path: Path) -> None:
    with running(tmp_path / "node", "-scriptindex", "-fallbackfee=0.0001", "-rpcdoccheck") as daemon:
        daemon.call("createwallet", "w")
        own = daemon.call("getnewaddress")
        daemon.call("generatetoaddress", 3, own)
        daemon.call("generatetoaddress", 101, ADDRESS)
        first = history(daemon, own)
        script = daemon.call("getaddressinfo", own)["scriptPubKey"]
        assert first["scriptPubKey"] == script and history(daemon, script) == first
        assert [one["height"] for one in first["history"]] == [3, 2, 1]
        assert (first["height"], first["outputs"], first["unspent"]) == (104, 3, 3)
        assert first["received"] == first["balance"] == 150
        paid = daemon.call("sendtoaddress", OTHER, 60)
        assert history(daemon, OTHER)["history"] == []  # the mempool does not count
        (block,) = daemon.call("generatetoaddress", 1, ADDRESS)
        found = history(daemon, OTHER)
        (output,) = found["history"]
        assert (output["txid"], output["value"], output["height"], output["position"]) == (paid, 60, 105, 1)
        assert "spent" not in output
        spent = history(daemon, own, 0, 10, "oldest")
        assert spent["balance"] == 50 and spent["unspent"] == 1 and spent["outputs"] == 3
        spends = [one["spent"] for one in spent["history"] if "spent" in one]
        assert [(spend["txid"], spend["height"]) for spend in spends] == [(paid, 105)] * 2
        assert sorted(spend["vin"] for spend in spends) == [0, 1]

        every = history(daemon, ADDRESS, 0, 10_000)["history"]
        assert [one["height"] for one in every] == list(range(105, 3, -1))
        assert history(daemon, ADDRESS, 40, 20)["history"] == every[40:60]
        assert history(daemon, ADDRESS, 100, 7, "oldest")["history"] == every[1::-1]

        daemon.call("invalidateblock", block)
        assert history(daemon, OTHER)["history"] == [] and history(daemon, own)["balance"] == 150
        daemon.call("reconsiderblock", block)
        assert history(daemon, OTHER) == found

        assert daemon.failure("getscripthistory", own, -1) == (-8, "Negative skip")
        assert daemon.failure("getscripthistory", own, 0, 10_001)[0] == -8
        assert daemon.failure("getscripthistory", own, 0, 1, "best") == (-8, "'best' is not a valid order")
        assert daemon.failure("getscripthistory", "nonsense")[0] == -5
    with running(tmp_path / "node") as daemon:
        code, message = daemon.failure("getscripthistory", own)
        assert code == -1 and "-scriptindex" in message

    path = tmp_path / "node" / "regtest" / "indexes" / "scriptindex.sqlite"
    path.write_bytes(b"no database" * 1000)
    with running(tmp_path / "node", "-scriptindex", "-prune=1") as daemon:
        assert history(daemon, OTHER) == found
        assert "scriptindex: indexes/scriptindex.sqlite is not a database. It is deleted" in daemon.log
