"""An SPV node whose only peer is Bitcoin Core's daemon."""

from __future__ import annotations

import os
from decimal import Decimal
from pathlib import Path

import pytest
from core_process import CoreDaemon
from node_process import running

pytestmark = [
    pytest.mark.interop,
    pytest.mark.skipif(not os.environ.get("BITCOIND"), reason="BITCOIND names no daemon"),
]


def test_core_serves_an_spv_wallet(tmp_path: Path) -> None:
    with CoreDaemon(tmp_path / "core", "-blockfilterindex", "-peerblockfilters") as core:
        core.wait_ready()
        peer = f"-connect=127.0.0.1:{core.ports['p2p']}"
        with running(tmp_path / "spv", "-role=spv", "-fallbackfee=0.0001", peer) as spv:
            spv.call("createwallet", "w")
            addresses = [
                spv.call("getnewaddress", "", kind) for kind in ("bech32", "bech32m", "p2sh-segwit", "legacy")
            ]
            for address in addresses:
                core.call("generatetoaddress", 1, address)
            away = "raw(51)"
            core.call("generatetodescriptor", 100, away)
            spv.until("the tip", lambda: spv.call("getblockcount") == 104)
            spv.until("the coinbases", lambda: spv.call("getbalances")["mine"]["trusted"] == 200)
            txid = spv.call("sendtoaddress", addresses[0], 199)
            core.until("Core to take the spend of all kinds", lambda: txid in core.call("getrawmempool"))
            (block,) = core.call("generatetodescriptor", 1, away)
            spv.until("a confirmation", lambda: spv.call("gettransaction", txid)["confirmations"] == 1)
            assert spv.call("verifytxoutproof", core.call("gettxoutproof", [txid])) == [txid]
            core.call("invalidateblock", block)
            for _ in range(2):
                core.call("generateblock", away, [])
            spv.until("the other branch", lambda: spv.call("getblockcount") == 106)
            spv.until("the way back", lambda: spv.call("gettransaction", txid)["confirmations"] == 0)
            core.call("generatetodescriptor", 1, away)
            spv.until("it again", lambda: spv.call("gettransaction", txid)["confirmations"] == 1)
            assert Decimal("199.9") < spv.call("getbalance") < 200
