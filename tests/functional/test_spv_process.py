"""-role=spv as a real process beside full nodes: what it shows, sends, refuses and remembers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from node_process import Daemon, running

FILTERS = ("-blockfilterindex", "-peerblockfilters", "-fallbackfee=0.0001")


@contextmanager
def light(folder: Path, *servers: Daemon, options: tuple[str, ...] = ()) -> Iterator[Daemon]:
    connect = [f"-connect=127.0.0.1:{server.ports['p2p']}" for server in servers]
    with running(folder, "-role=spv", "-fallbackfee=0.0001", "-debug=net", *connect, *options) as daemon:
        yield daemon


def mine(full: Daemon, count: int = 1, address: str = "") -> list[str]:
    blocks: list[str] = full.call("generatetoaddress", count, address or full.call("getnewaddress"))
    return blocks


def rich(full: Daemon) -> None:
    """A wallet with some mature coins."""
    full.call("createwallet", "rich")
    mine(full, 105)


def until_synced(spv: Daemon, full: Daemon) -> None:
    spv.until("the full node's tip", lambda: spv.call("getbestblockhash") == full.call("getbestblockhash"))


def mine_balance(spv: Daemon) -> dict[str, Any]:
    balances: dict[str, Any] = spv.call("getbalances")["mine"]
    return balances


def test_a_payment_from_announcement_to_confirmation_and_back(tmp_path: Path) -> None:
    with running(tmp_path / "full", *FILTERS) as full:
        rich(full)
        with light(tmp_path / "spv", full) as spv:
            spv.call("createwallet", "w")
            until_synced(spv, full)
            address = spv.call("getnewaddress")
            txid = full.call("sendtoaddress", address, 3)
            spv.until("the payment", lambda: mine_balance(spv)["untrusted_pending"] == 3)
            seen = spv.call("gettransaction", txid)
            assert (seen["confirmations"], seen["trusted"], seen["unvalidated"]) == (0, False, True)
            assert spv.call("listunspent", 1) == []
            other = full.call("sendtoaddress", full.call("getnewaddress"), 1)
            (block,) = mine(full)
            until_synced(spv, full)
            seen = spv.call("gettransaction", txid)
            assert (seen["confirmations"], seen["blockhash"]) == (1, block) and "unvalidated" not in seen
            assert mine_balance(spv)["trusted"] == 3
            assert spv.failure("gettransaction", other)[0] == -5, "what is not ours is not kept"
            proof = full.call("gettxoutproof", [txid])
            assert spv.call("verifytxoutproof", proof) == [txid]
            # The block is taken back, and a longer branch without the payment wins.
            raw = spv.call("gettransaction", txid)["hex"]
            full.call("invalidateblock", block)
            mining = full.call("getnewaddress")
            for _ in range(2):
                full.call("generateblock", mining, [])
            until_synced(spv, full)
            seen = spv.call("gettransaction", txid)
            assert seen["confirmations"] == 0 and mine_balance(spv)["trusted"] == 0
            assert mine_balance(spv)["untrusted_pending"] == 3
            full.call("generateblock", mining, [raw])
            until_synced(spv, full)
            assert spv.call("gettransaction", txid)["confirmations"] == 1


def test_sends_and_remembers_over_restarts(tmp_path: Path) -> None:
    with running(tmp_path / "full", *FILTERS) as full:
        rich(full)
        with light(tmp_path / "spv", full) as spv:
            spv.call("createwallet", "w", load_on_startup=True)
            address = spv.call("getnewaddress")
            until_synced(spv, full)
            txid = full.call("sendtoaddress", address, 5)
            mine(full)
            until_synced(spv, full)
            assert mine_balance(spv)["trusted"] == 5
        # While it is away it is paid again; then it starts without anybody to talk to, and sends.
        mine(full)
        full.call("sendtoaddress", address, 2)
        mine(full)
        with light(tmp_path / "spv", options=("-connect=0",)) as spv:
            assert spv.call("gettransaction", txid)["confirmations"] >= 1
            assert mine_balance(spv)["trusted"] == 5, "nobody told it of the second payment"
            sent = spv.call("sendtoaddress", full.call("getnewaddress"), 1)
            assert spv.call("gettransaction", sent)["confirmations"] == 0
        with light(tmp_path / "spv", full) as spv:
            spv.until("what it missed", lambda: sum(mine_balance(spv).values()) > Decimal("5.9"))
            full.until("the transaction to be sent again", lambda: sent in full.call("getrawmempool"))
            mine(full)
            until_synced(spv, full)
            assert spv.call("gettransaction", sent)["confirmations"] == 1
            assert Decimal("5.99") < mine_balance(spv)["trusted"] < 6
            by_hand = full.call(
                "createrawtransaction", [{"txid": sent, "vout": 0}], {full.call("getnewaddress"): 0.5}
            )
            signed = full.call("signrawtransactionwithwallet", by_hand)
            if not signed["complete"]:
                by_hand = full.call(
                    "createrawtransaction", [{"txid": sent, "vout": 1}], {full.call("getnewaddress"): 0.5}
                )
                signed = full.call("signrawtransactionwithwallet", by_hand)
            assert signed["complete"]
            foreign = spv.call("sendrawtransaction", signed["hex"], 0)
            full.until("a transaction of others", lambda: foreign in full.call("getrawmempool"))


def test_killed_and_started_again(tmp_path: Path) -> None:
    with running(tmp_path / "full", *FILTERS) as full:
        rich(full)
        with light(tmp_path / "spv", full) as spv:
            spv.call("createwallet", "w", load_on_startup=True)
            address = spv.call("getnewaddress")
            until_synced(spv, full)
            paid = 0
        for amount in (1, 2, 3):
            with light(tmp_path / "spv", full) as spv:
                full.call("sendtoaddress", address, amount)
                mine(full)
                paid += amount
                if amount != 3:
                    until_synced(spv, full)
                    assert mine_balance(spv)["trusted"] == paid
                spv.kill()
        with light(tmp_path / "spv", full) as spv:
            spv.until("all of it", lambda: mine_balance(spv)["trusted"] == paid)
            assert spv.call("getwalletinfo")["lastprocessedblock"]["hash"] == full.call("getbestblockhash")


def test_methods_that_need_the_chain_say_so(tmp_path: Path) -> None:
    with running(tmp_path / "full", *FILTERS) as full:
        blocks = full.call("generatetodescriptor", 3, "raw(51)")
        with light(tmp_path / "spv", full) as spv:
            until_synced(spv, full)
            refusal = (-1, "This node runs as SPV: it keeps no blocks. Ask a full node.")
            for method, args in (
                ("getblock", [blocks[0]]),
                ("gettxout", [blocks[0], 0]),
                ("gettxoutsetinfo", []),
                ("gettxoutproof", [[blocks[0]]]),
                ("scantxoutset", ["status"]),
                ("getblockfilter", [blocks[0]]),
                ("getblocktemplate", [{"rules": ["segwit"]}]),
                ("generatetodescriptor", [1, "raw(51)"]),
                ("invalidateblock", [blocks[0]]),
                ("testmempoolaccept", [["00"]]),
                ("verifychain", []),
            ):
                assert spv.failure(method, *args) == refusal, method
            for method in ("getmempoolinfo", "getrawmempool"):
                assert spv.failure(method) == (
                    -33,
                    "This node runs as SPV: it has no mempool. Ask a full node.",
                )
            assert spv.call("getblockhash", 2) == blocks[1]
            assert spv.call("getblockheader", blocks[2])["confirmations"] == 1
            info = spv.call("getblockchaininfo")
            assert (info["blocks"], info["headers"], info["bestblockhash"]) == (3, 3, blocks[2])
            (peer,) = spv.call("getpeerinfo")
            assert "COMPACT_FILTERS" in peer["servicesnames"] and peer["synced_headers"] == 3
            assert spv.call("getnetworkinfo")["localservicesnames"] == []
            unsigned = full.call("createrawtransaction", [{"txid": blocks[0], "vout": 0}], {"data": "00"})
            assert spv.call("signrawtransactionwithkey", unsigned, [])["complete"] is False
            coinbase = full.call("getblock", blocks[0])["tx"][0]
            assert spv.call("getrawtransaction", coinbase, 1, blocks[0])["confirmations"] == 3
            assert spv.failure("getrawtransaction", coinbase)[0] == -5


def test_peers_without_filters_and_peers_that_go(tmp_path: Path) -> None:
    with running(tmp_path / "full", *FILTERS) as full, running(tmp_path / "plain") as plain:
        rich(full)
        plain.call("addnode", f"127.0.0.1:{full.ports['p2p']}", "add")
        until_synced(plain, full)
        with light(tmp_path / "spv", plain) as spv:
            spv.wait_for_log("it is used for headers only")
            until_synced(spv, full)
            spv.call("createwallet", "w")
            address = spv.call("getnewaddress")
            txid = full.call("sendtoaddress", address, 1)
            spv.until("the announcement", lambda: mine_balance(spv)["untrusted_pending"] == 1)
            mine(full)
            until_synced(spv, full)
            assert spv.call("gettransaction", txid)["confirmations"] == 0, "nobody gives filters"
            spv.call("addnode", f"127.0.0.1:{full.ports['p2p']}", "add")
            spv.until("the confirmation", lambda: spv.call("gettransaction", txid)["confirmations"] == 1)
            (peer,) = [p for p in spv.call("getpeerinfo") if "COMPACT_FILTERS" in p["servicesnames"]]
            spv.call("disconnectnode", peer["addr"])
            second = full.call("sendtoaddress", address, 2)
            mine(full)
            spv.until(
                "the second one, once it is connected again",
                lambda: (
                    spv.call("listtransactions")[-1]["txid"] == second
                    and spv.call("listtransactions")[-1]["confirmations"] == 1
                ),
            )


@pytest.mark.parametrize("option", ["-txindex", "-prune=550", "-blockfilterindex"])
def test_options_that_need_the_chain_are_refused(tmp_path: Path, option: str) -> None:
    from node_process import run_to_end

    code, stderr = run_to_end(tmp_path / "node", "-role=spv", option)
    assert code == 1 and "-role=spv" in stderr
